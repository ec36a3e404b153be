/* SPDX-License-Identifier: Apache-2.0 */
/* Two of the kernel's policies, which need no privilege. */
#include "shared/scheduling.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include "shared/log.h"

#define TURNS_AVERAGED 16
#define CROWD          (6 * TURNS_AVERAGED) /* six of them a turn; half of that ends a crowd */

void scheduling_give_way(bool gives_way)
{
    const struct sched_param none = {.sched_priority = 0};
    int from = gives_way ? SCHED_OTHER : SCHED_BATCH;
    int to = gives_way ? SCHED_BATCH : SCHED_OTHER;
    if (sched_getscheduler(0) != from) return;
    if (sched_setscheduler(0, to, &none) == 0) return;
    static atomic_flag told = ATOMIC_FLAG_INIT; /* once: it may be tried many times a second */
    if (!atomic_flag_test_and_set(&told))
        log_warning("scheduling_policy_unchanged", F(errno, errno));
}

/* The level is a sum in which a turn counts less with each that follows: the average times
 * TURNS_AVERAGED. */
void crowd_turn(struct crowd *crowd)
{
    crowd->level += crowd->went_on - crowd->level / TURNS_AVERAGED;
    crowd->went_on = 0;
    bool there = crowd->level >= (crowd->there ? CROWD / 2 : CROWD);
    if (there != crowd->there) scheduling_give_way(there);
    crowd->there = there;
}
