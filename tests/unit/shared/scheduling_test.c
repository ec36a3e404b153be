/* SPDX-License-Identifier: Apache-2.0 */
/* The policy of a thread, as the kernel tells it. What changes it runs in a thread of its own. */
#include "tests/unit/test.h"

#include <pthread.h>
#include <sched.h>

#include "shared/scheduling.h"

/* A policy is a thread's, and this one keeps its own. */
static void in_a_thread(void *(*run)(void *seen), void *seen)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

struct policies {
    int first, giving_way, again, idle;
};

static void *change(void *context)
{
    struct policies *seen = context;
    const struct sched_param none = {.sched_priority = 0};
    seen->first = sched_getscheduler(0);
    scheduling_give_way(true);
    seen->giving_way = sched_getscheduler(0);
    scheduling_give_way(false);
    seen->again = sched_getscheduler(0);
    if (sched_setscheduler(0, SCHED_IDLE, &none) == 0) {
        scheduling_give_way(true);
        scheduling_give_way(false);
    }
    seen->idle = sched_getscheduler(0);
    return NULL;
}

TEST(a_thread_gives_way_alone_and_leaves_another_policy_as_it_is)
{
    struct policies seen = {-1, -1, -1, -1};
    in_a_thread(change, &seen);
    assert_int_equal(seen.first, SCHED_OTHER);
    assert_int_equal(seen.giving_way, SCHED_BATCH);
    assert_int_equal(seen.again, SCHED_OTHER);
    assert_int_equal(seen.idle, SCHED_IDLE);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER); /* of the thread that started it */
}

#define TURNS 1000

static int policy_after(struct crowd *crowd, uint32_t requests)
{
    for (int turn = 0; turn < TURNS; turn++) {
        crowd->went_on += requests;
        crowd_turn(crowd);
    }
    return sched_getscheduler(0);
}

struct crowds {
    int alone, few, crowded, over, one_large;
};

static void *meet(void *context)
{
    struct crowds *seen = context;
    struct crowd crowd = {0};
    seen->alone = policy_after(&crowd, 1);
    seen->few = policy_after(&crowd, 5);
    seen->crowded = policy_after(&crowd, 7);
    seen->over = policy_after(&crowd, 5);
    crowd.went_on = 50; /* makes an average of 5.7 */
    crowd_turn(&crowd);
    seen->one_large = sched_getscheduler(0);
    return NULL;
}

TEST(in_a_crowd_a_thread_gives_way_until_it_is_over)
{
    struct crowds seen = {-1, -1, -1, -1, -1};
    in_a_thread(meet, &seen);
    assert_int_equal(seen.alone, SCHED_OTHER);
    assert_int_equal(seen.few, SCHED_OTHER);
    assert_int_equal(seen.crowded, SCHED_BATCH);
    assert_int_equal(seen.over, SCHED_OTHER);
    assert_int_equal(seen.one_large, SCHED_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_gives_way_alone_and_leaves_another_policy_as_it_is),
        cmocka_unit_test(in_a_crowd_a_thread_gives_way_until_it_is_over),
    };
    return cmocka_run_group_tests_name("scheduling", tests, NULL, NULL);
}
