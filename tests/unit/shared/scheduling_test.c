/* SPDX-License-Identifier: Apache-2.0 */
/* The policy of a thread, as the kernel tells it. What changes it runs in a thread of its own. */
#include "tests/unit/test.h"

#include <pthread.h>
#include <sched.h>

#include "shared/scheduling.h"

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
    pthread_t thread;
    struct policies seen = {-1, -1, -1, -1};
    assert_int_equal(pthread_create(&thread, NULL, change, &seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(seen.first, SCHED_OTHER);
    assert_int_equal(seen.giving_way, SCHED_BATCH);
    assert_int_equal(seen.again, SCHED_OTHER);
    assert_int_equal(seen.idle, SCHED_IDLE);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER); /* of the thread that started it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_gives_way_alone_and_leaves_another_policy_as_it_is),
    };
    return cmocka_run_group_tests_name("scheduling", tests, NULL, NULL);
}
