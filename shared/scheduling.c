/* SPDX-License-Identifier: Apache-2.0 */
/* Two of the kernel's policies, which need no privilege. */
#include "shared/scheduling.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include "shared/log.h"

#define TURNS_AVERAGED 64
#define CROWD_UNIT     1024
/* Sixteen connections bring more; four askers of the ledger alone, one after another, 5.3. */
#define CROWD          (6 * CROWD_UNIT)

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

void crowd_turn(struct crowd *crowd)
{
    bool was_there = crowd->average >= CROWD;
    crowd->average += ((int64_t)crowd->went_on * CROWD_UNIT - crowd->average) / TURNS_AVERAGED;
    crowd->went_on = 0;
    bool there = crowd->average >= CROWD;
    if (there != was_there) scheduling_give_way(there);
}
