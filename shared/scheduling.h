/* SPDX-License-Identifier: Apache-2.0 */
/* Which thread runs where several could: see sched(7). Nothing but speed depends on it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* From now on the calling thread, when it is woken, waits until who runs there sleeps or has had
 * its share (SCHED_BATCH); false: it displaces him at once, as threads do by default (SCHED_OTHER).
 * For one that works on what others gather: who displaces them in the middle finds less of it, and
 * has to come again. Any other policy than these two is the operator's, and stays. */
void scheduling_give_way(bool gives_way);

/* How much a thread finds to do when it is woken. Zeroed: nothing yet. */
struct crowd {
    uint32_t went_on; /* requests in this turn: whoever serves one adds to it */
    int64_t average;  /* of the turns before, in 1,024ths; the last ones count most */
};
/* At the end of each turn. Where several requests went on in each of late, the thread gives way,
 * until there are few again. */
void crowd_turn(struct crowd *crowd);
