/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: growth, the cap, and the one report of an overflow. */
#include "tests/unit/test.h"

#include "shared/buffer.h"

TEST(appends_stand_one_behind_the_other)
{
    SCOPED(buffer_free) struct buffer b;
    buffer_init(&b, 4096);
    assert_slice(buffer_slice(&b), "");
    buffer_append(&b, SLICE("abc"));
    buffer_append_char(&b, '-');
    buffer_append_bytes(&b, "de", 2);
    buffer_append(&b, (slice){NULL, 0});
    assert_slice(buffer_slice(&b), "abc-de");
    assert_ok(buffer_finish(&b));
}

TEST(numbers_are_written_up_to_the_ends_of_their_range)
{
    SCOPED(buffer_free) struct buffer b;
    buffer_init(&b, 4096);
    const int64_t values[] = {0, 7, -10, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 5; i++) {
        buffer_append_i64(&b, values[i]);
        buffer_append_char(&b, ' ');
    }
    buffer_append_u64(&b, UINT64_MAX);
    assert_slice(buffer_slice(&b),
                 "0 7 -10 9223372036854775807 -9223372036854775808 18446744073709551615");
}

TEST(hexadecimal_is_in_lower_case)
{
    SCOPED(buffer_free) struct buffer b;
    buffer_init(&b, 4096);
    const uint8_t bytes[] = {0x00, 0x0f, 0xa5, 0xff};
    buffer_append_hex(&b, bytes, sizeof(bytes));
    assert_slice(buffer_slice(&b), "000fa5ff");
}

TEST(it_grows_to_its_cap_and_keeps_what_it_holds)
{
    SCOPED(buffer_free) struct buffer b;
    buffer_init(&b, 100000);
    for (int i = 0; i < 100000; i++) {
        buffer_append_char(&b, (char)('a' + i % 26));
    }
    assert_ok(buffer_finish(&b));
    assert_int_equal(b.len, 100000);
    for (size_t i = 0; i < 100000; i++) {
        assert_int_equal(b.data[i], 'a' + (int)(i % 26));
    }
    buffer_append_char(&b, 'x');
    assert_fails(buffer_finish(&b), OVERFLOW);
    assert_int_equal(b.len, 100000);
}

TEST(after_an_overflow_nothing_more_is_taken_in)
{
    SCOPED(buffer_free) struct buffer b;
    buffer_init(&b, 5);
    buffer_append(&b, SLICE("abc"));
    buffer_append(&b, SLICE("def"));
    /* It would fit, but stand at the wrong place. */
    buffer_append(&b, SLICE("g"));
    assert_slice(buffer_slice(&b), "abc");
    assert_fails(buffer_finish(&b), OVERFLOW);
    buffer_clear(&b);
    buffer_append(&b, SLICE("12345"));
    assert_slice(buffer_slice(&b), "12345");
    assert_ok(buffer_finish(&b));
}

TEST(trimming_keeps_memory_up_to_its_bound_only)
{
    SCOPED(buffer_free) struct buffer b;
    buffer_init(&b, 100000);
    for (int i = 0; i < 300; i++)
        buffer_append_char(&b, 'x');
    const size_t size = b.size;
    buffer_trim(&b, size);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.size, size);
    buffer_append_char(&b, 'y');
    buffer_trim(&b, size - 1);
    assert_null(b.data);
    buffer_append(&b, SLICE("abc"));
    assert_slice(buffer_slice(&b), "abc");
    assert_ok(buffer_finish(&b));
}

TEST(a_fixed_buffer_fills_its_memory_and_no_more)
{
    char memory[4] = {'?', '?', '?', '?'};
    SCOPED(buffer_free) struct buffer b;
    buffer_init_fixed(&b, memory, 3);
    buffer_append(&b, SLICE("abc"));
    assert_ok(buffer_finish(&b));
    buffer_append_char(&b, 'd');
    assert_fails(buffer_finish(&b), OVERFLOW);
    assert_memory_equal(memory, "abc?", 4);
}

TEST(room_is_reserved_within_the_cap_only)
{
    SCOPED(buffer_free) struct buffer b;
    buffer_init(&b, 300);
    char *room = buffer_reserve(&b, 300);
    assert_non_null(room);
    memset(room, 'x', 300);
    b.len += 300;
    assert_null(buffer_reserve(&b, 1));
    buffer_clear(&b);
    assert_null(buffer_reserve(&b, SIZE_MAX));
    assert_fails(buffer_finish(&b), OVERFLOW);
}

TEST(consuming_drops_from_the_front)
{
    SCOPED(buffer_free) struct buffer b;
    buffer_init(&b, 100);
    buffer_append(&b, SLICE("abcdef"));
    buffer_consume(&b, 2);
    assert_slice(buffer_slice(&b), "cdef");
    buffer_consume(&b, 0);
    assert_slice(buffer_slice(&b), "cdef");
    buffer_consume(&b, 5);
    assert_slice(buffer_slice(&b), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_stand_one_behind_the_other),
        cmocka_unit_test(numbers_are_written_up_to_the_ends_of_their_range),
        cmocka_unit_test(hexadecimal_is_in_lower_case),
        cmocka_unit_test(it_grows_to_its_cap_and_keeps_what_it_holds),
        cmocka_unit_test(after_an_overflow_nothing_more_is_taken_in),
        cmocka_unit_test(trimming_keeps_memory_up_to_its_bound_only),
        cmocka_unit_test(a_fixed_buffer_fills_its_memory_and_no_more),
        cmocka_unit_test(room_is_reserved_within_the_cap_only),
        cmocka_unit_test(consuming_drops_from_the_front),
    };
    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
