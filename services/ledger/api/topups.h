/* SPDX-License-Identifier: Apache-2.0 */
/* Charging a saved card when credit runs low: the rule is the customer's, and it is looked at by
 * the janitor. */
#pragma once

#include "shared/arena.h"
#include "shared/db.h"

/* Makes the row of a charge if one is due, and names it; *purchase stays empty where none is. The
 * size is decided in the same transaction, under a lock of the rule. */
status topups_begin(struct db *db, struct arena *arena, int64_t org, slice *purchase);
