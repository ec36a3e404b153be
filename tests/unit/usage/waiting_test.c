/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows may still come, and how many readers wait for them at once. */
#include "tests/unit/test.h"

#include "services/usage/waiting.h"

#define DAY           20000 /* 2024-10-04 */
#define NOON_NS       ((20000LL * 86400 + 43200) * 1000000000)
#define BEYOND        4294967296u /* 2^32 */
#define place_of(...) ((struct generation_place){__VA_ARGS__})

static const wall_time noon = {NOON_NS};
static const struct stream_end stream = {.incarnation = 3, .hold_floor = 1000};

static bool may_come(struct generation_place place)
{
    return waiting_may_come(place, noon, &stream);
}

TEST(a_hold_at_or_beyond_the_floor_of_the_present_stream_may_come)
{
    assert_true(may_come(place_of(DAY, 1, 3, 1000)));
    assert_true(may_come(place_of(DAY, 1, 3, 1001)));
    assert_true(may_come(place_of(DAY, 1, 3, 999 + (uint64_t)BEYOND)));
}

TEST(a_hold_below_the_floor_is_posted_or_never_was)
{
    assert_false(may_come(place_of(DAY, 1, 3, 999)));
    assert_false(may_come(place_of(DAY, 1, 3, 0)));
}

TEST(a_hold_far_beyond_what_can_be_open_is_nobodys)
{
    assert_false(may_come(place_of(DAY, 1, 3, 1000 + (uint64_t)BEYOND)));
    assert_false(may_come(place_of(DAY, 1, 3, UINT64_MAX)));
}

TEST(another_stream_than_the_present_one_gets_no_more_rows)
{
    assert_false(may_come(place_of(DAY, 1, 2, 1000)));
    assert_false(may_come(place_of(DAY, 1, 4, 1000)));
}

TEST(a_hold_is_of_today_yesterday_or_by_another_clock_tomorrow)
{
    assert_true(may_come(place_of(DAY - 1, 1, 3, 1000)));
    assert_true(may_come(place_of(DAY + 1, 1, 3, 1000)));
    assert_false(may_come(place_of(DAY - 2, 1, 3, 1000)));
    assert_false(may_come(place_of(DAY + 2, 1, 3, 1000)));
    assert_false(may_come(place_of(0, 1, 3, 1000)));
    assert_false(may_come(place_of(UINT16_MAX, 1, 3, 1000)));
}

TEST(one_worker_never_waits)
{
    struct waiting waiting;
    waiting_init(&waiting, 4);
    for (int i = 0; i < 3; i++)
        assert_true(waiting_enter(&waiting));
    assert_false(waiting_enter(&waiting));
    assert_false(waiting_enter(&waiting));
    waiting_leave(&waiting);
    assert_true(waiting_enter(&waiting));
    assert_false(waiting_enter(&waiting));
}

TEST(a_lone_worker_lets_nobody_wait)
{
    struct waiting waiting;
    waiting_init(&waiting, 1);
    assert_false(waiting_enter(&waiting));
    assert_false(waiting_enter(&waiting));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_at_or_beyond_the_floor_of_the_present_stream_may_come),
        cmocka_unit_test(a_hold_below_the_floor_is_posted_or_never_was),
        cmocka_unit_test(a_hold_far_beyond_what_can_be_open_is_nobodys),
        cmocka_unit_test(another_stream_than_the_present_one_gets_no_more_rows),
        cmocka_unit_test(a_hold_is_of_today_yesterday_or_by_another_clock_tomorrow),
        cmocka_unit_test(one_worker_never_waits),
        cmocka_unit_test(a_lone_worker_lets_nobody_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
