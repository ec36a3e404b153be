/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of callers: what it keeps, for how long, and whom it lets go. */
#include "services/edge/callers.h"

#include "tests/unit/test.h"

static struct key_hash key_of(uint32_t number)
{
    struct key_hash key = {{0}};
    memcpy(key.bytes, &number, sizeof(number));
    return key;
}

static void put(struct callers *callers, uint32_t number, uint64_t version, uint64_t now_ms)
{
    const struct key_hash key = key_of(number);
    const struct caller caller = {.key = number, .version = version, .kind = CALLER_KEY};
    callers_put(callers, &key, &caller, now_ms);
}

/* The version that is known of this key; 0 when none is. */
static uint64_t version_of(struct callers *callers, uint32_t number, uint64_t now_ms)
{
    const struct key_hash key = key_of(number);
    struct caller caller;
    if (!callers_find(callers, &key, now_ms, &caller)) return 0;
    assert_int_equal(caller.key, number);
    return caller.version;
}

static void free_callers(struct callers **callers)
{
    callers_free(callers);
    assert_null(*callers);
}

TEST(a_caller_that_was_put_is_found_and_another_is_not)
{
    SCOPED(free_callers) struct callers *callers = callers_new();
    put(callers, 1, 7, 1000);
    assert_int_equal(version_of(callers, 1, 1000), 7);
    assert_int_equal(version_of(callers, 2, 1000), 0);
}

TEST(a_newer_word_of_the_same_key_replaces_the_older)
{
    SCOPED(free_callers) struct callers *callers = callers_new();
    put(callers, 1, 7, 1000);
    put(callers, 1, 8, 2000);
    assert_int_equal(version_of(callers, 1, 2000), 8);
}

TEST(an_entry_lives_for_a_minute_from_when_it_was_put)
{
    SCOPED(free_callers) struct callers *callers = callers_new();
    put(callers, 1, 7, 1000);
    assert_int_equal(version_of(callers, 1, 61000), 7);
    assert_int_equal(version_of(callers, 1, 61001), 0);
    /* It is gone for good, even for a clock that looks back. */
    assert_int_equal(version_of(callers, 1, 1000), 0);
}

TEST(a_dropped_caller_is_not_found_and_its_neighbours_are)
{
    SCOPED(free_callers) struct callers *callers = callers_new();
    /* 8192 buckets: these three share one. */
    put(callers, 5, 1, 0);
    put(callers, 5 + 8192, 2, 0);
    put(callers, 5 + 2 * 8192, 3, 0);
    const struct key_hash middle = key_of(5 + 8192);
    callers_drop(callers, &middle);
    callers_drop(callers, &middle);
    assert_int_equal(version_of(callers, 5, 0), 1);
    assert_int_equal(version_of(callers, 5 + 8192, 0), 0);
    assert_int_equal(version_of(callers, 5 + 2 * 8192, 0), 3);
}

TEST(the_one_not_used_for_longest_makes_room)
{
    SCOPED(free_callers) struct callers *callers = callers_new();
    for (uint32_t i = 0; i < CALLERS_MAX; i++)
        put(callers, i, 1, 0);
    assert_int_equal(version_of(callers, 0, 0), 1); /* now 1 is the oldest */
    put(callers, CALLERS_MAX, 1, 0);
    assert_int_equal(version_of(callers, 1, 0), 0);
    assert_int_equal(version_of(callers, 0, 0), 1);
    assert_int_equal(version_of(callers, 2, 0), 1);
    assert_int_equal(version_of(callers, CALLERS_MAX, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_that_was_put_is_found_and_another_is_not),
        cmocka_unit_test(a_newer_word_of_the_same_key_replaces_the_older),
        cmocka_unit_test(an_entry_lives_for_a_minute_from_when_it_was_put),
        cmocka_unit_test(a_dropped_caller_is_not_found_and_its_neighbours_are),
        cmocka_unit_test(the_one_not_used_for_longest_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
