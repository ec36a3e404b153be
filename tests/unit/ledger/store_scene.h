/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the ledger's SQL begin with: one real PostgreSQL per program, and a world of
 * one organization with credit and one key. */
#pragma once

#include "tests/unit/ledger/sql_book.h"
#include "tests/unit/ledger/world.h"

/* Violations that each audit here may find: the tables' days need not be the server's, and one of
 * them ends in a debt on purpose. */
#define SCENE_EXPECTED "default_partition_is_empty receivable_is_zero"
#define SCENE_CLIENT   ((client_prefix)0x0400cb0071000000)

extern struct sql_book *scene_sql;

int scene_set_up(void **state);
int scene_tear_down(void **state);

/* An empty database; organization 1 with so much paid credit, and its key 1. */
void scene_begin(struct world *world, int64_t nano);
/* Asks for so much, from SCENE_CLIENT. */
struct message_hold scene_hold(int64_t nano);
/* Three settled requests of 10, 20 and 30 cents, synced and not posted. */
void scene_settle_three(struct world *world);
