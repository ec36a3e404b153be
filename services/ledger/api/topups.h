/* SPDX-License-Identifier: Apache-2.0 */
/* Charging a saved card when credit runs low: the rule is the customer's, and it is looked at by
 * the janitor. */
#pragma once

#include "shared/arena.h"
#include "shared/db.h"

/* Inside a transaction: no card is charged again before the customer says so anew. What was given
 * back is not taken again by the rule, and a card whose owner disputes is not charged. */
#define TOPUP_OFF_REFUND  SLICE("Credit was refunded.")
#define TOPUP_OFF_DISPUTE SLICE("A payment was disputed.")
status topups_turn_off(struct db *db, int64_t org, slice reason);

/* Makes the row of a charge if one is due, and names it; *purchase stays empty where none is. The
 * size is decided in the same transaction, under a lock of the rule. */
status topups_begin(struct db *db, struct arena *arena, int64_t org, slice *purchase);
