/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/credits/lots: which credit is how old, what is left of it and when it ends. Lots are
 * brought up to date by being looked at (see schema/0011_lots.sql). */
#include "services/ledger/api/api.h"

#include "services/ledger/accounts.h"
#include "services/ledger/api/credits.h"

#define LOT_PAGE_MAX 100

/* Columns of list_lots. */
enum { COLUMN_KIND, COLUMN_AMOUNT, COLUMN_LEFT, COLUMN_EXPIRED, COLUMN_EXPIRES, COLUMN_CREATED };

status lots_set_expiry(struct db *db, int64_t org, slice reference, struct db_param expires_ns)
{
    if (expires_ns.kind == DB_NULL) return OK;
    return db_run(db, "expire_lot_at",
                  (const struct db_param[]){DB_P_I64(org), DB_P_TEXT(reference), expires_ns}, 3,
                  NULL);
}

struct lots_query {
    int64_t org, offset, limit;
    struct db_result **rows;
};

static status query_lots(struct db *db, void *context)
{
    const struct lots_query *q = context;
    static const enum account_kind kinds[] = {ACCOUNT_CREDIT_PAID, ACCOUNT_CREDIT_PROMO};
    for (size_t i = 0; i < 2; i++) {
        const struct db_param params[] = {DB_P_I64(q->org), DB_P_I64(kinds[i])};
        TRY(db_run(db, "fold_lots", params, 2, NULL));
    }
    const struct db_param params[] = {DB_P_I64(q->org), DB_P_I64(q->offset), DB_P_I64(q->limit)};
    db_result_free(q->rows);
    return db_run(db, "list_lots", params, 3, q->rows);
}

static void write_lot(const struct db_result *rows, size_t row, struct json_writer *w)
{
    bool paid = db_i64(rows, row, COLUMN_KIND) == ACCOUNT_CREDIT_PAID;
    json_object_begin(w);
    json_key_string(w, SLICE("kind"), paid ? SLICE("paid") : SLICE("promotional"));
    json_key_money(w, SLICE("amount"), db_money(rows, row, COLUMN_AMOUNT));
    json_key_money(w, SLICE("left"), db_money(rows, row, COLUMN_LEFT));
    json_key_money(w, SLICE("expired"), db_money(rows, row, COLUMN_EXPIRED));
    api_write_time(rows, row, SLICE("expires_at"), COLUMN_EXPIRES, w);
    api_write_time(rows, row, SLICE("created_at"), COLUMN_CREATED, w);
    json_object_end(w);
}

status lots_list(struct control_request *request, struct control_response *response)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    struct lots_query query = {.rows = &rows};
    TRY(api_org(request, response, &query.org));
    TRY(api_page(request, response, LOT_PAGE_MAX, &query.offset, &query.limit));
    api_await_posted(request, response);
    TRY(db_transaction(request->db, query.org, query_lots, &query));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (size_t i = 0; i < db_row_count(rows); i++)
        write_lot(rows, i, w);
    json_array_end(w);
    json_object_end(w);
    return OK;
}
