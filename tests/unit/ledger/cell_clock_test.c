/* SPDX-License-Identifier: Apache-2.0 */
/* The cell's time, read by read. Boot times are small numbers of seconds, PostgreSQL's are 1,000 s
 * ahead of them, and an answer takes a second at most, unless a test is about it. */
#include "tests/unit/test.h"

#include "services/ledger/cell_clock.h"

#define SECOND ((int64_t)1000000000)
#define AHEAD  (1000 * SECOND)
#define DAY    (86400 * SECOND)

/* PostgreSQL is asked at `boot` and answers at once. */
static void read_at(struct cell_clock *clock, int64_t boot, int64_t read)
{
    cell_clock_read(clock, (wall_time){read}, (uint64_t)boot, (uint64_t)boot);
}

static int64_t live(struct cell_clock *clock, int64_t boot)
{
    return cell_clock_live(clock, (uint64_t)boot).ns;
}

TEST(time_is_postgresqls_and_the_boot_clock_carries_it_on)
{
    struct cell_clock clock = {0};
    read_at(&clock, 10 * SECOND, AHEAD + 10 * SECOND);
    assert_int_equal(live(&clock, 10 * SECOND), AHEAD + 10 * SECOND);
    assert_int_equal(live(&clock, 75 * SECOND), AHEAD + 75 * SECOND);
    read_at(&clock, 80 * SECOND, AHEAD + 82 * SECOND); /* it was put forward by 2 s */
    assert_int_equal(live(&clock, 80 * SECOND), AHEAD + 82 * SECOND);
}

TEST(a_small_step_back_is_waited_for)
{
    struct cell_clock clock = {0};
    read_at(&clock, 10 * SECOND, AHEAD + 10 * SECOND);
    (void)live(&clock, 10 * SECOND);
    read_at(&clock, 11 * SECOND, AHEAD + 6 * SECOND); /* 5 s behind what it should be */
    assert_int_equal(cell_clock_at(&clock, 11 * SECOND).ns, AHEAD + 6 * SECOND);
    assert_int_equal(live(&clock, 11 * SECOND), AHEAD + 10 * SECOND);
    assert_int_equal(live(&clock, 15 * SECOND), AHEAD + 10 * SECOND);
    assert_int_equal(live(&clock, 16 * SECOND), AHEAD + 11 * SECOND);
}

/* Found by reasoning: time stood still for as long as the clock had been ahead. */
TEST(after_a_reading_that_was_a_day_ahead_time_is_right_with_the_next_reading)
{
    struct cell_clock clock = {0};
    read_at(&clock, 10 * SECOND, AHEAD + 10 * SECOND);
    (void)live(&clock, 10 * SECOND);
    read_at(&clock, 11 * SECOND, AHEAD + DAY + 11 * SECOND);
    assert_int_equal(live(&clock, 11 * SECOND), AHEAD + DAY + 11 * SECOND);
    read_at(&clock, 12 * SECOND, AHEAD + 12 * SECOND);
    assert_int_equal(live(&clock, 12 * SECOND), AHEAD + 12 * SECOND);
    assert_int_equal(live(&clock, 13 * SECOND), AHEAD + 13 * SECOND);
}

/* Each is small, so time stands still, and in all they are more than it may stand still for: it
 * stands at 10 while the readings say 7, 5 and 4. */
TEST(small_steps_that_add_up_are_a_large_one)
{
    struct cell_clock clock = {0};
    read_at(&clock, 10 * SECOND, AHEAD + 10 * SECOND);
    (void)live(&clock, 10 * SECOND);
    const int64_t seconds[] = {7, 5, 4}, expected[] = {10, 10, 4};
    for (int64_t i = 0; i < 3; i++) {
        read_at(&clock, 10 * SECOND, AHEAD + seconds[i] * SECOND);
        assert_int_equal(live(&clock, 10 * SECOND), AHEAD + expected[i] * SECOND);
    }
}

/* PostgreSQL stood still for a minute with the question, before or after it had read its clock. */
TEST(an_answer_that_was_long_on_its_way_moves_nothing)
{
    struct cell_clock clock = {0};
    read_at(&clock, 10 * SECOND, AHEAD + 10 * SECOND);
    cell_clock_read(&clock, (wall_time){AHEAD + 11 * SECOND}, 11 * SECOND, 71 * SECOND);
    assert_int_equal(live(&clock, 71 * SECOND), AHEAD + 71 * SECOND);
    cell_clock_read(&clock, (wall_time){AHEAD + 132 * SECOND}, 72 * SECOND, 132 * SECOND);
    assert_int_equal(live(&clock, 132 * SECOND), AHEAD + 132 * SECOND);
}

/* Asked at 11, answered at 71: had it been right it had said 11 to 71. It said 75 and is 4 s ahead
 * at least; it said 1 and is 10 s behind at least. */
TEST(of_a_slow_answer_that_contradicts_no_more_is_believed_than_it_proves)
{
    struct cell_clock ahead = {0}, behind = {0};
    read_at(&ahead, 10 * SECOND, AHEAD + 10 * SECOND);
    cell_clock_read(&ahead, (wall_time){AHEAD + 75 * SECOND}, 11 * SECOND, 71 * SECOND);
    assert_int_equal(live(&ahead, 71 * SECOND), AHEAD + 75 * SECOND);
    read_at(&behind, 10 * SECOND, AHEAD + 10 * SECOND);
    cell_clock_read(&behind, (wall_time){AHEAD + 1 * SECOND}, 11 * SECOND, 71 * SECOND);
    assert_int_equal(live(&behind, 71 * SECOND), AHEAD + 61 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_is_postgresqls_and_the_boot_clock_carries_it_on),
        cmocka_unit_test(a_small_step_back_is_waited_for),
        cmocka_unit_test(after_a_reading_that_was_a_day_ahead_time_is_right_with_the_next_reading),
        cmocka_unit_test(small_steps_that_add_up_are_a_large_one),
        cmocka_unit_test(an_answer_that_was_long_on_its_way_moves_nothing),
        cmocka_unit_test(of_a_slow_answer_that_contradicts_no_more_is_believed_than_it_proves),
    };
    return cmocka_run_group_tests_name("ledger cell clock", tests, NULL, NULL);
}
