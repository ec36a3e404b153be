/* SPDX-License-Identifier: Apache-2.0 */
/* What the reads of an accepted document answer: members, items, strings, integers, and the rule
 * about top-level keys. What is accepted at all is the matter of parse_test.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "shared/json/read.h"

static struct json_document document;
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    json_document_init(&document, 1000000);
    arena_init(&arena, 1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_document_free(&document);
    arena_free(&arena);
    return 0;
}

static struct json_value parse(slice text)
{
    assert_int_equal(json_parse(&document, text).code, ERROR_NONE);
    return json_root(&document);
}

static void assert_slice(slice actual, slice expected)
{
    assert_int_equal(actual.len, expected.len);
    assert_memory_equal(actual.data, expected.data, expected.len);
}

/* ---- members and items ----------------------------------------------------------------------- */

static void a_member_is_found_by_name(void **state)
{
    (void)state;
    struct json_value root = parse(SLICE("{\"a\":{\"x\":[1,[2]]},\"ab\":true,\"b\":\"y\"}"));
    assert_int_equal(json_kind_of(json_get(root, SLICE("a"))), JSON_OBJECT);
    assert_int_equal(json_kind_of(json_get(root, SLICE("ab"))), JSON_TRUE);
    assert_slice(json_raw(json_get(root, SLICE("b"))), SLICE("\"y\""));
    assert_slice(json_raw(json_get(json_get(root, SLICE("a")), SLICE("x"))), SLICE("[1,[2]]"));
}

static void a_name_that_is_no_member_is_missing(void **state)
{
    (void)state;
    struct json_value root = parse(SLICE("{\"ab\":1,\"c\":\"d\",\"e\":[\"f\",1]}"));
    assert_false(json_exists(json_get(root, SLICE("a"))));
    assert_false(json_exists(json_get(root, SLICE("abc"))));
    assert_false(json_exists(json_get(root, SLICE(""))));
    assert_false(json_exists(json_get(root, SLICE("d"))));
    assert_false(json_exists(json_get(json_get(root, SLICE("e")), SLICE("f"))));
    assert_false(json_exists(json_get(json_get(root, SLICE("c")), SLICE("d"))));
}

static void names_are_compared_unescaped(void **state)
{
    (void)state;
    struct json_value root = parse(SLICE("{\"mod\\u0065l\":1,\"a\\\"\\n\":2,\"\\u00e9\":3}"));
    assert_slice(json_raw(json_get(root, SLICE("model"))), SLICE("1"));
    assert_slice(json_raw(json_get(root, SLICE("a\"\n"))), SLICE("2"));
    assert_slice(json_raw(json_get(root, SLICE("\xC3\xA9"))), SLICE("3"));
    assert_false(json_exists(json_get(root, SLICE("mod\\u0065l"))));
    assert_false(json_exists(json_get(root, SLICE("mode"))));
    assert_false(json_exists(json_get(root, SLICE("models"))));
}

static void of_duplicates_the_first_is_found(void **state)
{
    (void)state;
    struct json_value root = parse(SLICE("{\"a\":1,\"\\u0061\":2,\"a\":3}"));
    assert_slice(json_raw(json_get(root, SLICE("a"))), SLICE("1"));
    assert_int_equal(json_count(root), 3);
}

struct found {
    struct json_value a, bc, d;
};
static const struct json_member_row found_rows[] = {
    JSON_MEMBER(found, a),
    JSON_MEMBER(found, bc),
    JSON_MEMBER(found, d),
};

static void members_of_a_table_are_found_in_one_walk(void **state)
{
    (void)state;
    struct found found = {0};
    struct json_value root =
        parse(SLICE("{\"b\":0,\"bc\":[{\"a\":1}],\"a\":2,\"\\u0064\":3,\"a\":4,\"bcd\":5}"));
    json_find_members(root, found_rows, 3, &found);
    assert_slice(json_raw(found.a), SLICE("4")); /* the last of two */
    assert_slice(json_raw(found.bc), SLICE("[{\"a\":1}]"));
    assert_false(json_exists(found.d)); /* "\u0064" stands for it, but is written otherwise */
}

static void what_is_no_object_has_no_members(void **state)
{
    (void)state;
    struct found found = {0};
    json_find_members(parse(SLICE("[\"a\",1]")), found_rows, 3, &found);
    json_find_members((struct json_value){0}, found_rows, 3, &found);
    assert_false(json_exists(found.a));
}

static void an_iterator_stops_at_each_member_in_order(void **state)
{
    (void)state;
    struct json_iterator i = json_iterate(parse(SLICE("{\"a\":[1,2],\"b\":{\"c\":3},\"d\":4}")));
    assert_true(json_next(&i));
    assert_true(json_string_equal(i.key, SLICE("a")));
    assert_slice(json_raw(i.value), SLICE("[1,2]"));
    assert_true(json_next(&i));
    assert_true(json_string_equal(i.key, SLICE("b")));
    assert_slice(json_raw(i.value), SLICE("{\"c\":3}"));
    assert_true(json_next(&i));
    assert_true(json_string_equal(i.key, SLICE("d")));
    assert_slice(json_raw(i.value), SLICE("4"));
    assert_false(json_next(&i));
    assert_false(json_next(&i));
}

static void items_of_an_array_have_no_key(void **state)
{
    (void)state;
    struct json_iterator i = json_iterate(parse(SLICE("[[],\"x\",{\"y\":[]}]")));
    assert_true(json_next(&i));
    assert_false(json_exists(i.key));
    assert_slice(json_raw(i.value), SLICE("[]"));
    assert_true(json_next(&i));
    assert_slice(json_raw(i.value), SLICE("\"x\""));
    assert_true(json_next(&i));
    assert_false(json_exists(i.key));
    assert_slice(json_raw(i.value), SLICE("{\"y\":[]}"));
    assert_false(json_next(&i));
}

static void what_holds_nothing_iterates_over_nothing(void **state)
{
    (void)state;
    struct json_value root = parse(SLICE("[[],{},1,\"a\",null]"));
    for (struct json_iterator i = json_iterate(root); json_next(&i);) {
        struct json_iterator inner = json_iterate(i.value);
        assert_int_equal(json_count(i.value), 0);
        assert_false(json_next(&inner));
    }
}

static void a_missing_value_answers_that_it_is_missing(void **state)
{
    (void)state;
    struct json_value missing = json_get(parse(SLICE("{}")), SLICE("a"));
    slice text = SLICE_NONE;
    int64_t number = 0;
    uint32_t small = 0;
    bool yes = false;
    assert_false(json_exists(missing));
    assert_int_equal(json_kind_of(missing), JSON_NULL);
    assert_int_equal(json_raw(missing).len, 0);
    assert_int_equal(json_count(missing), 0);
    assert_int_equal(json_string_len(missing), 0);
    assert_false(json_string_equal(missing, SLICE("")));
    assert_false(json_exists(json_get(missing, SLICE("b"))));
    struct json_iterator i = json_iterate(missing);
    assert_false(json_next(&i));
    assert_int_equal(json_read_string(missing, &arena, &text).code, ERROR_MISSING_FIELD);
    assert_int_equal(json_read_bool(missing, &yes).code, ERROR_MISSING_FIELD);
    assert_int_equal(json_read_i64(missing, &number).code, ERROR_MISSING_FIELD);
    assert_int_equal(json_read_u32(missing, &small).code, ERROR_MISSING_FIELD);
    assert_int_equal(json_read_number_text(missing, &text).code, ERROR_MISSING_FIELD);
}

static void another_kind_is_the_wrong_type(void **state)
{
    (void)state;
    struct json_value root = parse(SLICE("[null,true,1,\"1\",[],{}]"));
    static const bool is_string[] = {false, false, false, true, false, false};
    static const bool is_number[] = {false, false, true, false, false, false};
    static const bool is_bool[] = {false, true, false, false, false, false};
    int at = 0;
    for (struct json_iterator i = json_iterate(root); json_next(&i); at++) {
        slice text = SLICE_NONE;
        int64_t number = 0;
        uint32_t small = 0;
        bool yes = false;
        uint16_t for_string = is_string[at] ? ERROR_NONE : ERROR_WRONG_TYPE;
        uint16_t for_number = is_number[at] ? ERROR_NONE : ERROR_WRONG_TYPE;
        uint16_t for_bool = is_bool[at] ? ERROR_NONE : ERROR_WRONG_TYPE;
        assert_int_equal(json_read_string(i.value, &arena, &text).code, for_string);
        assert_int_equal(json_read_i64(i.value, &number).code, for_number);
        assert_int_equal(json_read_u32(i.value, &small).code, for_number);
        assert_int_equal(json_read_number_text(i.value, &text).code, for_number);
        assert_int_equal(json_read_bool(i.value, &yes).code, for_bool);
        assert_int_equal(json_string_equal(i.value, SLICE("1")), is_string[at]);
    }
    assert_int_equal(at, 6);
}

static void both_booleans_are_read(void **state)
{
    (void)state;
    struct json_value root = parse(SLICE("{\"yes\":true,\"no\":false}"));
    bool yes = false;
    bool no = true;
    assert_int_equal(json_read_bool(json_get(root, SLICE("yes")), &yes).code, ERROR_NONE);
    assert_int_equal(json_read_bool(json_get(root, SLICE("no")), &no).code, ERROR_NONE);
    assert_true(yes);
    assert_false(no);
}

/* ---- strings --------------------------------------------------------------------------------- */

static void a_string_without_escapes_is_a_view_of_the_text(void **state)
{
    (void)state;
    slice text = SLICE("[\"h\xC3\xA9\"]");
    struct json_iterator i = json_iterate(parse(text));
    assert_true(json_next(&i));
    slice read = SLICE_NONE;
    assert_int_equal(json_read_string(i.value, &arena, &read).code, ERROR_NONE);
    assert_ptr_equal(read.data, text.data + 2);
    assert_int_equal(read.len, 3);
    assert_int_equal(arena.used, 0);
}

#define REPLACEMENT "\xEF\xBF\xBD"

static const struct {
    slice text;
    slice meaning;
} strings[] = {
    {SLICE("\"\""), SLICE("")},
    {SLICE("\"abc\""), SLICE("abc")},
    {SLICE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), SLICE("\"\\/\b\f\n\r\t")},
    {SLICE("\"a\\nb\""), SLICE("a\nb")},
    {SLICE("\"\\\\n\""), SLICE("\\n")},
    {SLICE("\"\\\\u0041\""), SLICE("\\u0041")},
    {SLICE("\"\\u0000\""), SLICE("\0")},
    {SLICE("\"x\\u0041y\""), SLICE("xAy")},
    {SLICE("\"\\u007f\""), SLICE("\x7F")},
    {SLICE("\"\\u0080\""), SLICE("\xC2\x80")},
    {SLICE("\"\\u07FF\""), SLICE("\xDF\xBF")},
    {SLICE("\"\\u0800\""), SLICE("\xE0\xA0\x80")},
    {SLICE("\"\\u20aC\""), SLICE("\xE2\x82\xAC")},
    {SLICE("\"\\uffff\""), SLICE("\xEF\xBF\xBF")},
    {SLICE("\"\\ud800\\udc00\""), SLICE("\xF0\x90\x80\x80")},
    {SLICE("\"\\uD83D\\uDE00!\""), SLICE("\xF0\x9F\x98\x80!")},
    {SLICE("\"\\udbff\\udfff\""), SLICE("\xF4\x8F\xBF\xBF")},
    {SLICE("\"\\ud800\""), SLICE(REPLACEMENT)},
    {SLICE("\"\\udc00\""), SLICE(REPLACEMENT)},
    {SLICE("\"\\ud800x\""), SLICE(REPLACEMENT "x")},
    {SLICE("\"\\ud800\\n\""), SLICE(REPLACEMENT "\n")},
    {SLICE("\"\\ud800\\u0041\""), SLICE(REPLACEMENT "A")},
    {SLICE("\"\\ud800\\ndc00\""), SLICE(REPLACEMENT "\ndc00")},
    {SLICE("\"\\ud800\\ud800\\udc00\""), SLICE(REPLACEMENT "\xF0\x90\x80\x80")},
    {SLICE("\"\\udc00\\ud800\""), SLICE(REPLACEMENT REPLACEMENT)},
    {SLICE("\"\\ud7ff\\ue000\""), SLICE("\xED\x9F\xBF\xEE\x80\x80")},
};

static void strings_are_unescaped(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        struct json_value v = parse(strings[i].text);
        slice read = SLICE_NONE;
        assert_int_equal(json_read_string(v, &arena, &read).code, ERROR_NONE);
        assert_slice(read, strings[i].meaning);
        assert_int_equal(json_string_len(v), strings[i].meaning.len);
        assert_true(json_string_equal(v, strings[i].meaning));
    }
}

static void a_string_differs_from_any_other_text(void **state)
{
    (void)state;
    struct json_value v = parse(SLICE("\"a\\u0062c\""));
    assert_true(json_string_equal(v, SLICE("abc")));
    assert_false(json_string_equal(v, SLICE("ab")));
    assert_false(json_string_equal(v, SLICE("abcd")));
    assert_false(json_string_equal(v, SLICE("abd")));
    assert_false(json_string_equal(v, SLICE("")));
    assert_false(json_string_equal(v, SLICE("a\\u0062c")));
}

static void an_escaped_string_past_the_cap_of_the_arena_is_too_large(void **state)
{
    (void)state;
    SCOPED(arena_free) struct arena small;
    arena_init(&small, 64);
    char text[200];
    memset(text, 'x', sizeof(text));
    text[0] = text[199] = '"';
    slice read = SLICE_NONE;
    struct json_value v = parse((slice){text, sizeof(text)});
    assert_int_equal(json_read_string(v, &small, &read).code, ERROR_NONE);
    text[1] = '\\';
    text[2] = 'n';
    v = parse((slice){text, sizeof(text)});
    assert_int_equal(json_read_string(v, &small, &read).code, ERROR_TOO_LARGE);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static const struct {
    slice text;
    int64_t value;
} integers[] = {
    {SLICE("0"), 0},
    {SLICE("-0"), 0},
    {SLICE("-0.000e99"), 0},
    {SLICE("0e-400"), 0},
    {SLICE("0e99999999999999999999"), 0},
    {SLICE("7"), 7},
    {SLICE("-7"), -7},
    {SLICE("1.0"), 1},
    {SLICE("1.50e1"), 15},
    {SLICE("1e3"), 1000},
    {SLICE("1E+3"), 1000},
    {SLICE("1e0"), 1},
    {SLICE("1200e-2"), 12},
    {SLICE("-2.5e1"), -25},
    {SLICE("0.0001e4"), 1},
    {SLICE("123.4567e00004"), 1234567},
    {SLICE("9223372036854775807"), INT64_MAX},
    {SLICE("-9223372036854775808"), INT64_MIN},
    {SLICE("9223372036854775807.000"), INT64_MAX},
    {SLICE("922337203685477580.7e1"), INT64_MAX},
    {SLICE("92233720368547758070e-1"), INT64_MAX},
    {SLICE("1e18"), 1000000000000000000},
    {SLICE("100000000000000000000000000000e-29"), 1},
    {SLICE("0.00000000000000000000000000001e29"), 1},
};

static const slice no_integers[] = {
    SLICE("0.5"),
    SLICE("-1.5"),
    SLICE("1e-1"),
    SLICE("15e-1"),
    SLICE("1.0000000000000000000000001"),
    SLICE("9223372036854775808"),
    SLICE("-9223372036854775809"),
    SLICE("92233720368547758080e-1"),
    SLICE("9223372036854775807.5"),
    SLICE("18446744073709551616"),
    SLICE("1e19"),
    SLICE("1e20"),
    SLICE("1e400"),
    SLICE("-1e400"),
    SLICE("1e-400"),
    SLICE("1e9223372036854775808"),
    SLICE("1e18446744073709551616"),
    SLICE("1e-18446744073709551616"),
    SLICE("340282366920938463463374607431768211456"),
    SLICE("340282366920938463463374607431768211457"),
};

static void exact_integers_are_read_however_they_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        int64_t value = 42;
        assert_int_equal(json_read_i64(parse(integers[i].text), &value).code, ERROR_NONE);
        assert_true(value == integers[i].value);
    }
}

static void anything_but_an_exact_integer_is_out_of_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(no_integers) / sizeof(no_integers[0]); i++) {
        int64_t value = 0;
        uint16_t code = json_read_i64(parse(no_integers[i]), &value).code;
        if (code != ERROR_OUT_OF_RANGE)
            fail_msg("not out of range: %.*s", (int)no_integers[i].len, no_integers[i].data);
    }
}

static void a_u32_ends_at_4294967295(void **state)
{
    (void)state;
    uint32_t value = 0;
    assert_int_equal(json_read_u32(parse(SLICE("4294967295")), &value).code, ERROR_NONE);
    assert_true(value == UINT32_MAX);
    assert_int_equal(json_read_u32(parse(SLICE("4294967296")), &value).code, ERROR_OUT_OF_RANGE);
    assert_int_equal(json_read_u32(parse(SLICE("0")), &value).code, ERROR_NONE);
    assert_int_equal(json_read_u32(parse(SLICE("-1")), &value).code, ERROR_OUT_OF_RANGE);
    assert_int_equal(json_read_u32(parse(SLICE("1.5")), &value).code, ERROR_OUT_OF_RANGE);
}

static void the_text_of_a_number_is_kept_digit_by_digit(void **state)
{
    (void)state;
    slice digits = SLICE_NONE;
    struct json_value root = parse(SLICE("[ -12345678901234567890.10e+07 ]"));
    struct json_iterator i = json_iterate(root);
    assert_true(json_next(&i));
    assert_int_equal(json_read_number_text(i.value, &digits).code, ERROR_NONE);
    assert_slice(digits, SLICE("-12345678901234567890.10e+07"));
}

/* ---- the top level --------------------------------------------------------------------------- */

static uint16_t top_level_code(slice text)
{
    parse(text);
    return json_check_top_level(&document).code;
}

static void the_top_level_holds_each_key_once_and_unescaped(void **state)
{
    (void)state;
    assert_int_equal(top_level_code(SLICE("{}")), ERROR_NONE);
    assert_int_equal(top_level_code(SLICE("{\"model\":1,\"models\":2,\"Model\":3}")), ERROR_NONE);
    assert_int_equal(top_level_code(SLICE("{\"model\":1,\"a\":2,\"model\":1}")),
                     ERROR_DUPLICATE_KEY);
    assert_int_equal(top_level_code(SLICE("{\"model\":1,\"mod\\u0065l\":2}")), ERROR_ESCAPED_KEY);
    assert_int_equal(top_level_code(SLICE("{\"a\\/b\":1}")), ERROR_ESCAPED_KEY);
}

static void below_the_top_level_keys_are_free(void **state)
{
    (void)state;
    assert_int_equal(top_level_code(SLICE("{\"a\":{\"b\":1,\"b\":2,\"\\u0062\":3,\"a\":4}}")),
                     ERROR_NONE);
    assert_int_equal(top_level_code(SLICE("{\"a\":\"\\n\",\"b\":[\"a\",\"a\"]}")), ERROR_NONE);
}

static void a_root_that_is_no_object_is_the_wrong_type(void **state)
{
    (void)state;
    assert_int_equal(top_level_code(SLICE("[]")), ERROR_WRONG_TYPE);
    assert_int_equal(top_level_code(SLICE("\"a\"")), ERROR_WRONG_TYPE);
    assert_int_equal(json_parse(&document, SLICE("{")).code, ERROR_BAD_JSON);
    assert_int_equal(json_check_top_level(&document).code, ERROR_WRONG_TYPE);
}

/* {"k00000000":0,"k00000001":0,…}; the last key repeats the one numbered `repeated`. */
static char *object_of_keys(uint32_t count, uint32_t repeated, slice *text)
{
    const size_t member_len = sizeof("\"k00000000\":0,") - 1;
    char *memory = malloc(member_len * count + 2);
    assert_non_null(memory);
    char *at = memory;
    *at++ = '{';
    for (uint32_t i = 0; i < count; i++, at += member_len)
        snprintf(at, member_len + 1, "\"k%08u\":0,", i == count - 1 ? repeated : i);
    at[-1] = '}';
    *text = (slice){memory, (size_t)(at - memory)};
    return memory;
}

static void duplicates_are_found_among_any_number_of_keys(void **state)
{
    (void)state;
    static const uint32_t counts[] = {2, 16, 23, 24, 25, 26, 1000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint32_t count = counts[i];
        slice text = SLICE_NONE;
        char *memory = object_of_keys(count, count - 1, &text);
        assert_int_equal(top_level_code(text), ERROR_NONE);
        free(memory);
        for (uint32_t repeated = 0; repeated < count - 1; repeated += 1 + count / 7) {
            memory = object_of_keys(count, repeated, &text);
            assert_int_equal(top_level_code(text), ERROR_DUPLICATE_KEY);
            free(memory);
        }
    }
}

/* {"k":0,"kk":0,…} with 40 keys; where one is repeated, it stands once more at the end. */
static void a_key_that_begins_another_is_no_duplicate_of_it(void **state)
{
    (void)state;
    for (size_t repeated = 0; repeated <= 40; repeated++) {
        char text[1200];
        size_t len = 0;
        text[len++] = '{';
        for (size_t key_len = 1; key_len <= 41; key_len++) {
            size_t used_len = key_len <= 40 ? key_len : repeated;
            if (used_len == 0) break;
            text[len++] = '"';
            memset(text + len, 'k', used_len);
            len += used_len;
            memcpy(text + len, "\":0,", 4);
            len += 4;
        }
        text[len - 1] = '}';
        assert_int_equal(top_level_code((slice){text, len}),
                         repeated == 0 ? ERROR_NONE : ERROR_DUPLICATE_KEY);
    }
}

static void a_hundred_thousand_keys_are_checked_at_once(void **state)
{
    (void)state;
    slice text = SLICE_NONE;
    char *memory = object_of_keys(100000, 99999, &text);
    clock_t before = clock();
    assert_int_equal(top_level_code(text), ERROR_NONE);
    /* Each with each would be five thousand million comparisons. */
    assert_true(clock() - before < CLOCKS_PER_SEC);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_found_by_name),
        cmocka_unit_test(a_name_that_is_no_member_is_missing),
        cmocka_unit_test(names_are_compared_unescaped),
        cmocka_unit_test(of_duplicates_the_first_is_found),
        cmocka_unit_test(members_of_a_table_are_found_in_one_walk),
        cmocka_unit_test(what_is_no_object_has_no_members),
        cmocka_unit_test(an_iterator_stops_at_each_member_in_order),
        cmocka_unit_test(items_of_an_array_have_no_key),
        cmocka_unit_test(what_holds_nothing_iterates_over_nothing),
        cmocka_unit_test(a_missing_value_answers_that_it_is_missing),
        cmocka_unit_test(another_kind_is_the_wrong_type),
        cmocka_unit_test(both_booleans_are_read),
        cmocka_unit_test(a_string_without_escapes_is_a_view_of_the_text),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(a_string_differs_from_any_other_text),
        cmocka_unit_test(an_escaped_string_past_the_cap_of_the_arena_is_too_large),
        cmocka_unit_test(exact_integers_are_read_however_they_are_written),
        cmocka_unit_test(anything_but_an_exact_integer_is_out_of_range),
        cmocka_unit_test(a_u32_ends_at_4294967295),
        cmocka_unit_test(the_text_of_a_number_is_kept_digit_by_digit),
        cmocka_unit_test(the_top_level_holds_each_key_once_and_unescaped),
        cmocka_unit_test(below_the_top_level_keys_are_free),
        cmocka_unit_test(a_root_that_is_no_object_is_the_wrong_type),
        cmocka_unit_test(duplicates_are_found_among_any_number_of_keys),
        cmocka_unit_test(a_key_that_begins_another_is_no_duplicate_of_it),
        cmocka_unit_test(a_hundred_thousand_keys_are_checked_at_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
