/* SPDX-License-Identifier: Apache-2.0 */
/* The cell's time: PostgreSQL's clock as of its last reading, carried on by the boot clock. It
 * reads no clock itself. One thread reads PostgreSQL's, one lives by the time (the core's), any may
 * ask for it. */
#pragma once

#include <stdatomic.h>

#include "shared/clock.h"

/* The core's time stands still for a step back up to here, and follows a greater one: then it was
 * PostgreSQL's clock that had been wrong, and to stand still would keep it wrong as long. */
#define CELL_CLOCK_STANDS_NS ((int64_t)5 * 1000000000)

struct cell_clock {
    _Atomic int64_t offset_ns; /* PostgreSQL's clock minus the boot clock */
    int64_t last_ns;           /* that the core lived by; its thread only */
};

/* PostgreSQL said `read` at some time between the two. What is known already stays if that may be
 * so, and changes by the least that is needed otherwise: an answer that was long on its way moves
 * nothing. */
void cell_clock_read(struct cell_clock *clock, wall_time read, uint64_t asked_boot_ns,
                     uint64_t answered_boot_ns);
/* May step back whenever PostgreSQL's does. */
wall_time cell_clock_at(const struct cell_clock *clock, uint64_t boot_ns);
/* For the core: steps back by more than CELL_CLOCK_STANDS_NS or not at all. */
wall_time cell_clock_live(struct cell_clock *clock, uint64_t boot_ns);
