/* SPDX-License-Identifier: Apache-2.0 */
/* Slices: cutting, comparing and reading numbers; and the table of errors. */
#include "tests/unit/test.h"

TEST(comparing_without_case_knows_ascii_letters_only)
{
    assert_true(slice_equal_nocase(SLICE("Content-TYPE"), SLICE("content-type")));
    assert_false(slice_equal_nocase(SLICE("content-type"), SLICE("content_type")));
    assert_false(slice_equal_nocase(SLICE("a"), SLICE("ab")));
    /* '[' is '{' without the bit that tells capitals from small letters. */
    assert_false(slice_equal_nocase(SLICE("["), SLICE("{")));
    assert_true(slice_equal_nocase(SLICE_NONE, (slice){NULL, 0}));
}

TEST(empty_slices_are_equal_whatever_they_point_to)
{
    assert_true(slice_equal((slice){NULL, 0}, SLICE("")));
    assert_false(slice_equal((slice){NULL, 0}, SLICE("a")));
}

TEST(a_prefix_and_a_suffix_are_found)
{
    assert_true(slice_starts_with(SLICE("sk-bourse"), SLICE("sk-")));
    assert_true(slice_starts_with(SLICE("sk-"), SLICE("sk-")));
    assert_true(slice_starts_with(SLICE("sk-"), SLICE("")));
    assert_false(slice_starts_with(SLICE("sk"), SLICE("sk-")));
    assert_true(slice_ends_with(SLICE("gpt:free"), SLICE(":free")));
    assert_false(slice_ends_with(SLICE("free"), SLICE(":free")));
    assert_true(slice_ends_with(SLICE(""), SLICE("")));
}

TEST(cutting_past_the_end_gives_what_is_there)
{
    assert_slice(slice_from(SLICE("abc"), 1), "bc");
    assert_slice(slice_from(SLICE("abc"), 3), "");
    assert_slice(slice_from(SLICE("abc"), SIZE_MAX), "");
    assert_slice(slice_first(SLICE("abc"), 2), "ab");
    assert_slice(slice_first(SLICE("abc"), SIZE_MAX), "abc");
}

TEST(trimming_takes_spaces_and_tabs_from_the_ends_only)
{
    assert_slice(slice_trim(SLICE(" \t a b\t ")), "a b");
    assert_slice(slice_trim(SLICE(" \t ")), "");
    assert_slice(slice_trim(SLICE("\na")), "\na");
}

TEST(splitting_is_at_the_first_separator)
{
    slice head, rest;
    assert_true(slice_split(SLICE("a=b=c"), '=', &head, &rest));
    assert_slice(head, "a");
    assert_slice(rest, "b=c");
    assert_true(slice_split(SLICE("a="), '=', &head, &rest));
    assert_slice(head, "a");
    assert_slice(rest, "");
    assert_false(slice_split(SLICE("abc"), '=', &head, &rest));
    assert_slice(head, "abc");
    assert_slice(rest, "");
    assert_false(slice_split((slice){NULL, 0}, '=', &head, &rest));
}

TEST(a_character_is_taken_only_where_it_stands_first)
{
    slice text = SLICE("-a");
    assert_false(slice_take_char(&text, 'a'));
    assert_slice(text, "-a");
    assert_true(slice_take_char(&text, '-'));
    assert_slice(text, "a");
    assert_true(slice_take_char(&text, 'a'));
    assert_false(slice_take_char(&text, 'a'));
}

TEST(signed_numbers_are_read_up_to_both_ends_of_their_range)
{
    int64_t value = 7;
    assert_ok(slice_to_i64(SLICE("0"), &value));
    assert_int_equal(value, 0);
    assert_ok(slice_to_i64(SLICE("-0"), &value));
    assert_int_equal(value, 0);
    assert_ok(slice_to_i64(SLICE("007"), &value));
    assert_int_equal(value, 7);
    assert_ok(slice_to_i64(SLICE("9223372036854775807"), &value));
    assert_true(value == INT64_MAX);
    assert_ok(slice_to_i64(SLICE("-9223372036854775808"), &value));
    assert_true(value == INT64_MIN);
    assert_fails(slice_to_i64(SLICE("9223372036854775808"), &value), OUT_OF_RANGE);
    assert_fails(slice_to_i64(SLICE("-9223372036854775809"), &value), OUT_OF_RANGE);
    assert_fails(slice_to_i64(SLICE("99999999999999999999999"), &value), OUT_OF_RANGE);
}

TEST(unsigned_numbers_are_read_up_to_the_end_of_their_range)
{
    uint64_t value = 7;
    assert_ok(slice_to_u64(SLICE("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    assert_fails(slice_to_u64(SLICE("18446744073709551616"), &value), OUT_OF_RANGE);
    assert_fails(slice_to_u64(SLICE("-1"), &value), OUT_OF_RANGE);
    assert_ok(slice_to_u64(SLICE("-0"), &value));
    assert_true(value == 0);
}

TEST(text_that_is_no_number_is_refused)
{
    const char *const texts[] = {
        "", "-", "+1", " 1", "1 ", "1.0", "0x10", "1e3", "--1", "1-", "99999999999999999999999x"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t number;
        uint64_t count;
        assert_fails(slice_to_i64(slice_of(texts[i]), &number), BAD_REQUEST);
        assert_fails(slice_to_u64(slice_of(texts[i]), &count), BAD_REQUEST);
    }
}

TEST(hexadecimal_is_read_in_both_cases)
{
    uint8_t bytes[3];
    assert_ok(slice_from_hex(SLICE("00fFA5"), bytes, 3));
    assert_memory_equal(bytes, "\x00\xff\xa5", 3);
    assert_ok(slice_from_hex(SLICE(""), bytes, 0));
}

TEST(hexadecimal_of_another_length_or_alphabet_is_refused)
{
    uint8_t bytes[3];
    assert_fails(slice_from_hex(SLICE("00ff"), bytes, 3), MALFORMED);
    assert_fails(slice_from_hex(SLICE("00ffa55"), bytes, 3), MALFORMED);
    assert_fails(slice_from_hex(SLICE("00ffg5"), bytes, 3), MALFORMED);
    assert_fails(slice_from_hex(SLICE("0x00ff"), bytes, 3), MALFORMED);
}

TEST(a_c_string_is_made_only_when_it_fits_with_its_end)
{
    char out[4];
    assert_ok(slice_to_c_string(SLICE("abc"), out, sizeof(out)));
    assert_string_equal(out, "abc");
    assert_ok(slice_to_c_string((slice){NULL, 0}, out, sizeof(out)));
    assert_string_equal(out, "");
    assert_fails(slice_to_c_string(SLICE("abcd"), out, sizeof(out)), OVERFLOW);
    assert_fails(slice_to_c_string(SLICE("a\0b"), out, sizeof(out)), OVERFLOW);
    assert_fails(slice_to_c_string(SLICE(""), out, 0), OVERFLOW);
}

TEST(an_error_is_found_by_its_code)
{
    const struct error_row *row = error_row_of(ERROR_NO_CREDIT);
    assert_string_equal(row->name, "NO_CREDIT");
    assert_int_equal(row->code, 430);
    assert_int_equal(row->http, 402);
    assert_string_equal(row->type, "payment_required");
}

TEST(an_unknown_code_is_an_internal_error)
{
    assert_string_equal(error_row_of(399)->name, "INTERNAL");
    assert_string_equal(error_row_of(65535)->name, "INTERNAL");
    assert_string_equal(error_row_of(0)->name, "NONE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing_without_case_knows_ascii_letters_only),
        cmocka_unit_test(empty_slices_are_equal_whatever_they_point_to),
        cmocka_unit_test(a_prefix_and_a_suffix_are_found),
        cmocka_unit_test(cutting_past_the_end_gives_what_is_there),
        cmocka_unit_test(trimming_takes_spaces_and_tabs_from_the_ends_only),
        cmocka_unit_test(splitting_is_at_the_first_separator),
        cmocka_unit_test(a_character_is_taken_only_where_it_stands_first),
        cmocka_unit_test(signed_numbers_are_read_up_to_both_ends_of_their_range),
        cmocka_unit_test(unsigned_numbers_are_read_up_to_the_end_of_their_range),
        cmocka_unit_test(text_that_is_no_number_is_refused),
        cmocka_unit_test(hexadecimal_is_read_in_both_cases),
        cmocka_unit_test(hexadecimal_of_another_length_or_alphabet_is_refused),
        cmocka_unit_test(a_c_string_is_made_only_when_it_fits_with_its_end),
        cmocka_unit_test(an_error_is_found_by_its_code),
        cmocka_unit_test(an_unknown_code_is_an_internal_error),
    };
    return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
