/* SPDX-License-Identifier: Apache-2.0 */
/* Refunds of manual purchases that their customers asked for: what waits for an operator, who pays
 * by hand, and his word. Confirmed, the credit that lies in refund_pending is gone for good; void,
 * it is the customer's again, who is told why. A second equal word changes nothing, another one is
 * refused. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/credits.h"
#include "services/ledger/api/fields.h"
#include "services/ledger/api/purchases.h"

#define REFUND_PAGE_MAX 100

/* Of list_refunds_waiting: behind those that refunds_write() takes. */
enum { COLUMN_ORG = 9, COLUMN_PURCHASE_REFERENCE, COLUMN_OWED };

/* Columns of lock_refund. */
enum { COLUMN_PURCHASE, COLUMN_METHOD, COLUMN_STATE, COLUMN_CREDIT };

static const struct field confirm_fields[] = {
    {SLICE_INIT("reference"), FIELD_TEXT, 1, 200, false, false, "a note of 1 to 200 bytes."}};
static const struct field void_fields[] = {{SLICE_INIT("reason"), FIELD_TEXT, 1, 200, false, true,
                                            "what the customer is told, in 1 to 200 bytes."}};

struct decision {
    struct control_request *request;
    struct control_response *response;
    int64_t org;
    slice id;
    bool paid;
    struct field_value note; /* the reference, or the reason */
    bool changed;
};

/* ---- what waits */

status refunds_list(struct control_request *request, struct control_response *response)
{
    int64_t offset, limit;
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(api_page(request, response, REFUND_PAGE_MAX, &offset, &limit));
    TRY(db_run(request->db, "list_refunds_waiting",
               (const struct db_param[]){DB_P_I64(offset), DB_P_I64(limit)}, 2, &rows));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (size_t i = 0; i < db_row_count(rows); i++) {
        json_object_begin(w);
        api_write_org(w, SLICE("org"), db_i64(rows, i, COLUMN_ORG));
        refunds_write(rows, i, 0, w);
        json_key_string_or_null(w, SLICE("purchase_reference"),
                                db_text(rows, i, COLUMN_PURCHASE_REFERENCE));
        json_key_money(w, SLICE("owed"), db_money(rows, i, COLUMN_OWED));
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
    return OK;
}

/* ---- the operator's word */

/* Credit whose time came while it lay in refund_pending ends now, as it would have. */
static status put_back(const struct decision *d)
{
    return db_run(d->request->db, "fold_lots",
                  (const struct db_param[]){DB_P_I64(d->org), DB_P_I64(ACCOUNT_CREDIT_PAID)}, 2,
                  NULL);
}

static status book(struct decision *d, slice purchase, int64_t credit_cents)
{
    struct db *db = d->request->db;
    const struct api *api = d->request->service;
    const struct booking booking = {.org = d->org,
                                    .cell = api->config->cell,
                                    .reference = d->id,
                                    .count = 1,
                                    .entries = {postings_refund_end(credit_cents, d->paid)}};
    const struct db_param note = field_text(&d->note);
    TRY(credits_book(db, d->response, &booking));
    TRY(db_run(db, "decide_refund",
               (const struct db_param[]){DB_P_I64(d->org), DB_P_TEXT(d->id),
                                         DB_P_TEXT(d->paid ? SLICE("succeeded") : SLICE("failed")),
                                         d->paid ? note : DB_P_NULL, d->paid ? DB_P_NULL : note},
               5, NULL));
    if (!d->paid) return put_back(d);
    return db_run(
        db, "add_purchase_refunded",
        (const struct db_param[]){DB_P_I64(d->org), DB_P_TEXT(purchase), DB_P_I64(credit_cents)}, 3,
        NULL);
}

static status decide(struct db *db, void *context)
{
    struct decision *d = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(db, "lock_refund", (const struct db_param[]){DB_P_I64(d->org), DB_P_TEXT(d->id)}, 2,
               &row));
    if (db_row_count(row) == 0)
        return control_fail(d->response, FAIL(NOT_FOUND),
                            SLICE("No refund of this organization has this id. See `bourse refund "
                                  "list`."));
    if (!slice_equal(db_text(row, 0, COLUMN_METHOD), SLICE("manual")))
        return control_fail(d->response, FAIL(CONFLICT),
                            SLICE("This refund is paid by Stripe, which alone decides it."));
    slice state = db_text(row, 0, COLUMN_STATE);
    bool pending = slice_equal(state, SLICE("pending"));
    if (!pending && !slice_equal(state, d->paid ? SLICE("succeeded") : SLICE("failed")))
        return control_fail(d->response, FAIL(CONFLICT),
                            SLICE("The refund was decided otherwise before."));
    if (pending) TRY(book(d, db_text(row, 0, COLUMN_PURCHASE), db_i64(row, 0, COLUMN_CREDIT)));
    d->changed = pending && !d->paid;
    struct refund_answer answer = {d->response, d->org, d->id};
    return refunds_answer(db, &answer);
}

static status decide_refund(struct control_request *request, struct control_response *response,
                            bool paid)
{
    struct decision decision = {
        .request = request, .response = response, .id = request->params[0], .paid = paid};
    TRY(api_org(request, response, &decision.org));
    TRY(fields_read(request, response, paid ? confirm_fields : void_fields, 1, &decision.note));
    TRY(db_transaction(request->db, decision.org, decide, &decision));
    if (decision.changed) api_credit_moved(request->service, decision.org);
    return OK;
}

status refunds_confirm(struct control_request *request, struct control_response *response)
{
    return decide_refund(request, response, true);
}

status refunds_void(struct control_request *request, struct control_response *response)
{
    return decide_refund(request, response, false);
}
