/* SPDX-License-Identifier: Apache-2.0 */
/* One offset, written by whoever reads PostgreSQL's clock, and the last time the core was given. */
#include "services/ledger/cell_clock.h"

#include "shared/log.h"

void cell_clock_read(struct cell_clock *clock, wall_time read, uint64_t asked_boot_ns,
                     uint64_t answered_boot_ns)
{
    int64_t least_ns = read.ns - (int64_t)answered_boot_ns;
    int64_t most_ns = read.ns - (int64_t)asked_boot_ns;
    int64_t offset_ns = atomic_load(&clock->offset_ns);
    if (offset_ns < least_ns) offset_ns = least_ns;
    if (offset_ns > most_ns) offset_ns = most_ns;
    atomic_store(&clock->offset_ns, offset_ns);
}

wall_time cell_clock_at(const struct cell_clock *clock, uint64_t boot_ns)
{
    return (wall_time){(int64_t)boot_ns + atomic_load(&clock->offset_ns)};
}

wall_time cell_clock_live(struct cell_clock *clock, uint64_t boot_ns)
{
    wall_time now = cell_clock_at(clock, boot_ns);
    int64_t back_ns = clock->last_ns - now.ns;
    if (back_ns > 0 && back_ns <= CELL_CLOCK_STANDS_NS) return (wall_time){clock->last_ns};
    if (back_ns > 0) log_warning("clock_stepped_back", FN(ms, by, back_ns / 1000000));
    clock->last_ns = now.ns;
    return now;
}
