/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of posting: what becomes a row of its own. */
#pragma once

#include "services/ledger/posting.h"

/* The columns, the root over all rows and the link to the batch before. TOO_LARGE when the arena is
 * full. */
status posting_fill_rows(struct posting *posting);

/* Ids and durations are 32 bits on the wire and signed in the tables: a larger one can only be
 * nonsense and is cut. */
static inline int64_t at_most(uint64_t value, int64_t max)
{
    return value > (uint64_t)max ? max : (int64_t)value;
}
