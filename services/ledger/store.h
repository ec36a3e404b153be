/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's SQL, as calls. Each function is one statement or one transaction; every row of money
 * is locked in the one order before it is read for a decision. Used on the poster's and the
 * lender's thread, each with its own connection. */
#pragma once

#include "services/ledger/core/core.h"
#include "services/ledger/posting.h"
#include "shared/db.h"

extern const struct db_statements store_statements;

/* ---- start ---- */

status store_clock(struct db *db, wall_time *now);
status store_begin_cell(struct db *db, uint16_t cell, uint64_t *epoch);
status store_ensure_partitions(struct db *db);

struct store_stream {
    uint64_t last_seq;
    uint8_t link[HASH_SIZE];
    uint64_t hold_floor;
};
status store_new_stream(struct db *db, uint16_t cell, uint32_t *incarnation);
/* What tells this database from every other one that has such a cell. */
status store_read_identity(struct db *db, uint16_t cell, int64_t *identity);
/* NOT_FOUND: this database has never heard of the stream. */
status store_read_stream(struct db *db, uint16_t cell, uint32_t incarnation,
                         struct store_stream *stream);

/* Ends all leases of older epochs. What open holds use moves to this epoch; `kept` is called for
 * each with what could be kept. */
struct store_move {
    uint16_t cell;
    uint64_t epoch;
    const struct lease_held *held;
    uint32_t count;
    void (*kept)(void *context, const struct lease_held *lease, money granted);
    void *context;
};
status store_move_leases(struct db *db, const struct store_move *move);

/* ---- while running ---- */

status store_load_caller(struct db *db, const struct key_hash *stored,
                         struct caller_answer *answer);
status store_load_prices(struct db *db, struct prices **prices);
status store_listen(struct db *db);

/* CONFLICT: the cell's epoch is not ours any more. */
struct store_cell {
    uint16_t cell;
    uint64_t epoch;
};
status store_lease(struct db *db, const struct store_cell *cell,
                   const struct lease_request *request, struct lease_answer *answer);

/* store_rates.c: what the plan and the key say of rates, by the credits that were bought, and the
 * plan of holds. */
/* Of the first row, from this column on. */
struct plan_terms store_plan_terms(const struct db_result *result, size_t column);
status store_load_plan(struct db *db, struct caller_answer *answer);
/* At start: `counted` is called for each organization that used free models on this day. */
struct store_free_requests {
    int64_t day;
    status (*counted)(void *context, int64_t org, uint32_t requests);
    void *context;
};
status store_load_free_requests(struct db *db, const struct store_free_requests *load);
/* Part of a posting: requests of free models per organization and day, however they ended. */
status store_count_free_requests(struct db *db, struct posting *posting);

/* One batch, whole. CONFLICT: the cursor does not stand at posting->lo. Other failures leave
 * nothing behind, unless the connection was lost while committing (DATABASE): then only the cursor
 * tells. */
status store_post(struct db *db, struct posting *posting);
/* The parameters of generations_add: the batch's rows, column by column. */
#define STORE_ROW_PARAMS (3 + GENERATION_NUMBER_COUNT + GENERATION_TEXT_COUNT + 1)
void store_row_params(const struct posting *posting, struct db_param params[STORE_ROW_PARAMS]);
/* The same step of the cursor for a record that no path could post. */
status store_suspend(struct db *db, struct posting *posting, const char *sqlstate);

/* Ends the credit past its time of some organizations with ids above *after, which becomes the last
 * one's, or 0 when there are no more. Each stands or falls by itself. */
status store_expire_lots(struct db *db, uint16_t cell, int64_t *after);
