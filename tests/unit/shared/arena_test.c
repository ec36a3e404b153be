/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas: alignment, clearing, the cap, and what a reset keeps. */
#include "tests/unit/test.h"

#include "shared/arena.h"

#define MEBIBYTE ((size_t)1 << 20)

static bool is_zero(const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

TEST(memory_is_aligned_zeroed_and_apart)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, MEBIBYTE);
    unsigned char *before = NULL;
    for (size_t size = 1; size < 1000; size += 7) {
        unsigned char *memory = arena_alloc(&arena, size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 16, 0);
        assert_true(is_zero(memory, size));
        assert_ptr_not_equal(memory, before);
        memset(memory, 0xff, size);
        before = memory;
    }
}

TEST(memory_is_zeroed_again_after_a_reset)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, MEBIBYTE);
    unsigned char *first = arena_alloc(&arena, 1000);
    assert_non_null(first);
    memset(first, 0xff, 1000);
    arena_reset(&arena);
    assert_int_equal(arena.used, 0);
    unsigned char *second = arena_alloc(&arena, 1000);
    assert_ptr_equal(second, first);
    assert_true(is_zero(second, 1000));
}

TEST(what_was_allocated_behind_a_mark_is_given_back_and_what_was_before_stays)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, MEBIBYTE);
    struct arena_mark empty = arena_take_mark(&arena);
    char *kept = arena_alloc(&arena, 100);
    assert_non_null(kept);
    kept[99] = 'k';
    struct arena_mark mark = arena_take_mark(&arena);
    void *first = arena_alloc(&arena, 100);
    for (int i = 0; i < 100; i++) { /* a hundred times most of the cap */
        arena_rewind(&arena, mark);
        assert_int_equal(arena.used, mark.used);
        assert_ptr_equal(arena_alloc(&arena, 100), first);
        assert_non_null(arena_alloc(&arena, 900000));
    }
    assert_int_equal(kept[99], 'k');
    arena_rewind(&arena, empty);
    assert_int_equal(arena.used, 0);
    assert_non_null(arena_alloc(&arena, 900000));
}

TEST(a_reset_keeps_the_first_chunk_and_gives_back_the_others)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, 16 * MEBIBYTE);
    void *first = arena_alloc(&arena, 16);
    assert_non_null(first);
    for (int i = 0; i < 100; i++) {
        assert_non_null(arena_alloc(&arena, 100000));
    }
    arena_reset(&arena);
    /* The sanitizer of leaks watches over the others. */
    assert_ptr_equal(arena_alloc(&arena, 16), first);
    arena_reset(&arena);
    arena_reset(&arena);
    assert_ptr_equal(arena_alloc(&arena, 16), first);
}

TEST(the_cap_is_reached_exactly_and_not_passed)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, 160);
    for (int i = 0; i < 10; i++) {
        assert_non_null(arena_alloc(&arena, 16));
    }
    assert_int_equal(arena.used, 160);
    assert_null(arena_alloc(&arena, 1));
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 160));
    assert_null(arena_alloc(&arena, 1));
}

TEST(a_refused_request_changes_nothing)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, 64);
    assert_non_null(arena_alloc(&arena, 16));
    assert_null(arena_alloc(&arena, 49));
    assert_int_equal(arena.used, 16);
    assert_non_null(arena_alloc(&arena, 48));
}

TEST(hostile_sizes_do_not_wrap)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, SIZE_MAX);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 15));
    assert_null(arena_alloc_array(&arena, SIZE_MAX / 2, 3));
    assert_null(arena_alloc_array(&arena, (size_t)1 << 32, (size_t)1 << 32));
    assert_int_equal(arena.used, 0);
}

TEST(an_array_is_as_large_as_its_items_together)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, 4096);
    uint64_t *numbers = arena_alloc_array(&arena, 100, sizeof(uint64_t));
    assert_non_null(numbers);
    numbers[99] = 1;
    assert_int_equal(arena.used, 800);
    assert_null(arena_alloc_array(&arena, 413, sizeof(uint64_t)));
}

TEST(a_copy_ends_with_a_zero_byte_that_is_not_counted)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, 4096);
    char source[] = "abc";
    slice copy = arena_copy(&arena, slice_of(source));
    source[0] = 'x';
    assert_slice(copy, "abc");
    assert_int_equal(copy.data[3], 0);
    slice empty = arena_copy(&arena, (slice){NULL, 0});
    assert_non_null(empty.data);
    assert_slice(empty, "");
}

TEST(a_copy_past_the_cap_has_no_data)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, 16);
    slice copy = arena_copy(&arena, SLICE("0123456789abcdef")); /* 16 bytes and the zero byte */
    assert_null(copy.data);
    assert_int_equal(copy.len, 0);
    assert_slice(arena_copy(&arena, SLICE("0123456789abcde")), "0123456789abcde");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_zeroed_and_apart),
        cmocka_unit_test(memory_is_zeroed_again_after_a_reset),
        cmocka_unit_test(what_was_allocated_behind_a_mark_is_given_back_and_what_was_before_stays),
        cmocka_unit_test(a_reset_keeps_the_first_chunk_and_gives_back_the_others),
        cmocka_unit_test(the_cap_is_reached_exactly_and_not_passed),
        cmocka_unit_test(a_refused_request_changes_nothing),
        cmocka_unit_test(hostile_sizes_do_not_wrap),
        cmocka_unit_test(an_array_is_as_large_as_its_items_together),
        cmocka_unit_test(a_copy_ends_with_a_zero_byte_that_is_not_counted),
        cmocka_unit_test(a_copy_past_the_cap_has_no_data),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
