/* SPDX-License-Identifier: Apache-2.0 */
/* Start, callers, prices. */
#include "services/ledger/store.h"

#include <assert.h>
#include <stdlib.h>

#include "shared/array.h"
#include "shared/log.h"

extern const char ledger_statements_sql[];
const struct db_statements store_statements = {ledger_statements_sql};

status store_clock(struct db *db, wall_time *now)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(db, "clock", NULL, 0, &result));
    now->ns = db_i64(result, 0, 0);
    return OK;
}

status store_begin_cell(struct db *db, uint16_t cell, uint64_t *epoch)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(cell)};
    TRY(db_run(db, "cell_begin", params, COUNT_OF(params), &result));
    *epoch = (uint64_t)db_i64(result, 0, 0);
    return OK;
}

status store_ensure_partitions(struct db *db)
{
    return db_run(db, "partitions_ensure", NULL, 0, NULL);
}

status store_new_stream(struct db *db, uint16_t cell, uint32_t *incarnation)
{
    static const char zeros[HASH_SIZE];
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(cell), DB_P_BYTES(((slice){zeros, sizeof(zeros)}))};
    TRY(db_run(db, "stream_new", params, COUNT_OF(params), &result));
    *incarnation = (uint32_t)db_i64(result, 0, 0);
    return OK;
}

status store_read_identity(struct db *db, uint16_t cell, int64_t *identity)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(cell)};
    TRY(db_run(db, "database_identity", params, COUNT_OF(params), &result));
    *identity = db_i64(result, 0, 0);
    return OK;
}

status store_read_stream(struct db *db, uint16_t cell, uint32_t incarnation,
                         struct store_stream *stream)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(cell), DB_P_I64(incarnation)};
    TRY(db_run(db, "stream_read", params, COUNT_OF(params), &result));
    if (db_row_count(result) == 0) return FAIL(NOT_FOUND);
    slice link = db_bytes(result, 0, 1);
    if (link.len != HASH_SIZE) return FAIL(INTERNAL);
    stream->last_seq = (uint64_t)db_i64(result, 0, 0);
    memcpy(stream->link, link.data, HASH_SIZE);
    stream->hold_floor = (uint64_t)db_i64(result, 0, 2);
    return OK;
}

/* ---- callers and prices --------------------------------------------------------------------- */

static status load_meters(struct db *db, struct caller_answer *answer)
{
    const struct caller *caller = &answer->caller;
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(caller->org), DB_P_I64(caller->key),
                                      DB_P_I64(caller->member), DB_P_I64(caller->workspace)};
    TRY(db_run(db, "caller_meters", params, COUNT_OF(params), &result));
    /* Four owners with four cadences each: the table has no room for more. */
    if (db_row_count(result) > METERS_MAX) return FAIL(INTERNAL);
    for (size_t row = 0; row < db_row_count(result); row++) {
        answer->meters[answer->meter_count++] =
            (struct caller_meter){.meter = db_i64(result, row, 0),
                                  .owner = (uint8_t)db_i64(result, row, 1),
                                  .cadence = (uint8_t)db_i64(result, row, 2),
                                  .include_byok = db_bool(result, row, 4),
                                  .version = (uint64_t)db_i64(result, row, 3)};
    }
    return OK;
}

status store_load_caller(struct db *db, const struct key_hash *stored, struct caller_answer *answer)
{
    *answer = (struct caller_answer){.stored = *stored, .error = ERROR_BAD_KEY};
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {
        DB_P_BYTES(((slice){(const char *)stored->bytes, sizeof(stored->bytes)}))};
    TRY(db_run(db, "caller_load", params, COUNT_OF(params), &result));
    if (db_row_count(result) == 0) return OK;
    bool deleted = db_bool(result, 0, 8);
    if (deleted) return OK;
    answer->error = db_bool(result, 0, 7) ? ERROR_KEY_DISABLED : ERROR_NONE;
    if (db_bool(result, 0, 9)) answer->error = ERROR_KEY_EXPIRED; /* the secret, not its key */
    answer->caller = (struct caller){
        .org = db_i64(result, 0, 0),
        .workspace = db_i64(result, 0, 1),
        .member = db_i64(result, 0, 2),
        .key = db_i64(result, 0, 3),
        .version = (uint64_t)db_i64(result, 0, 4),
        .expires_ns = db_i64(result, 0, 5),
        .kind = (uint8_t)db_i64(result, 0, 6),
    };
    TRY(load_meters(db, answer));
    return store_load_plan(db, answer);
}

#define PRICE_COLUMN 2 /* of the first class in prices_load */
#define LIST_COLUMN  (PRICE_COLUMN + BILLING_CLASS_COUNT)

/* Rows come ordered by price and tier. A row with more tiers than we know how to charge is left
 * out: unknown, not wrong. */
static uint32_t read_price_rows(const struct db_result *result, struct price_row *rows)
{
    uint32_t count = 0;
    for (size_t i = 0; i < db_row_count(result); i++) {
        uint32_t id = (uint32_t)db_i64(result, i, 0);
        bool first = count == 0 || rows[count - 1].id != id;
        if (first)
            rows[count++] =
                (struct price_row){.id = id, .list = (uint32_t)db_i64(result, i, LIST_COLUMN)};
        struct price_row *row = &rows[count - 1];
        if (row->tier_count == BILLING_TIERS_MAX) {
            log_error("price_has_too_many_tiers", FN(number, price, id));
            continue;
        }
        struct price_tier *tier = &row->tiers[row->tier_count++];
        tier->above_prompt_tokens = (uint32_t)db_i64(result, i, 1);
        for (size_t class = 0; class < BILLING_CLASS_COUNT; class ++)
            tier->prices[class].nano_per_million = db_i64(result, i, PRICE_COLUMN + class);
    }
    return count;
}

status store_load_prices(struct db *db, struct prices **prices)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(db, "prices_load", NULL, 0, &result));
    struct price_row *rows = calloc(db_row_count(result) + 1, sizeof(*rows));
    if (rows == NULL) abort();
    *prices = prices_new(rows, read_price_rows(result, rows));
    return OK;
}

status store_listen(struct db *db)
{
    return db_run(db, "listen_price", NULL, 0, NULL);
}
