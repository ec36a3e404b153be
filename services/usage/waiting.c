/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. The ledger's clock is PostgreSQL's and may differ a little from ours, so the day
 * of a hold may be the next one, too. */
#include "services/usage/waiting.h"

/* One hold may stay open for hours while others are posted beyond it: two days of 20,000 holds a
 * second are 2^32. */
#define HOLDS_BEYOND_MAX ((uint64_t)1 << 32)

bool waiting_may_come(struct generation_place place, wall_time now, const struct stream_end *end)
{
    int64_t age_days = clock_period(CADENCE_DAY, now) - (int64_t)place.day;
    return age_days >= -1 && age_days <= 1 && place.incarnation == end->incarnation &&
           place.hold >= end->hold_floor && place.hold - end->hold_floor < HOLDS_BEYOND_MAX;
}

void waiting_init(struct waiting *waiting, int64_t workers)
{
    atomic_init(&waiting->places, workers - 1);
}

bool waiting_enter(struct waiting *waiting)
{
    if (atomic_fetch_sub(&waiting->places, 1) > 0) return true;
    atomic_fetch_add(&waiting->places, 1);
    return false;
}

void waiting_leave(struct waiting *waiting)
{
    atomic_fetch_add(&waiting->places, 1);
}
