/* SPDX-License-Identifier: Apache-2.0 */
/* Which generation may still be posted, and how many readers may wait for theirs. Readers wait in
 * the control plane's workers, so whoever waits keeps one from everybody else. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "shared/clock.h"
#include "shared/id.h"

/* How far the present stream of a cell is posted. */
struct stream_end {
    uint32_t incarnation;
    uint64_t hold_floor; /* every hold below it has its row */
};

/* Whether a row that is not there may yet come: a hold of about now, of the cell's present stream,
 * neither below what is posted nor absurdly far beyond it. Everything else is a random id, or
 * another organization's. */
bool waiting_may_come(struct generation_place place, wall_time now, const struct stream_end *end);

/* Places for readers that wait: one less than there are workers, so that one is always there for
 * those whose answer is known. */
struct waiting {
    _Atomic int64_t places;
};
void waiting_init(struct waiting *waiting, int64_t workers);
bool waiting_enter(struct waiting *waiting); /* false: no place, do not wait */
void waiting_leave(struct waiting *waiting);
