/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/purchases/{id}/receipt: what was paid for one purchase, as a page. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/page.h"

/* Columns of read_receipt. */
enum {
    COLUMN_STATE,
    COLUMN_AMOUNT,
    COLUMN_FEE,
    COLUMN_CHARGED,
    COLUMN_METHOD,
    COLUMN_REFERENCE,
    COLUMN_PAID_DAY
};

struct receipt {
    struct control_request *request;
    struct control_response *response;
    int64_t org;
};

static void append_line(struct buffer *out, slice what, int64_t cents)
{
    page_row_begin(out);
    page_cell_text(out, what);
    page_cell_money(out, (money){cents * NANO_PER_CENT});
    page_row_end(out);
}

static void append_purchase(struct buffer *out, const struct db_result *row)
{
    static const struct page_column columns[] = {{"Item", false}, {"Amount", true}};
    page_table_begin(out, SLICE("Paid"), columns, 2);
    append_line(out, SLICE("Credit for the use of models"), db_i64(row, 0, COLUMN_AMOUNT));
    append_line(out, SLICE("Purchase fee"), db_i64(row, 0, COLUMN_FEE));
    page_table_total(out, SLICE("Total in US dollars"), 2,
                     (money){db_i64(row, 0, COLUMN_CHARGED) * NANO_PER_CENT});
    buffer_append(out, SLICE("<p>Payment method: "));
    page_text(out, db_text(row, 0, COLUMN_METHOD));
    slice reference = db_text(row, 0, COLUMN_REFERENCE);
    if (reference.len > 0) {
        buffer_append(out, SLICE("<br>Reference: "));
        page_text(out, reference);
    }
    buffer_append(out, SLICE("</p>\n"));
}

static status write_receipt(struct db *db, void *context)
{
    struct receipt *r = context;
    struct api *api = r->request->service;
    SCOPED(db_result_free) struct db_result *buyer = NULL;
    SCOPED(db_result_free) struct db_result *row = NULL;
    const struct db_param params[] = {DB_P_I64(r->org), DB_P_TEXT(r->request->params[0])};
    TRY(db_run(db, "read_buyer", params, 1, &buyer));
    TRY(db_run(db, "read_receipt", params, 2, &row));
    if (db_row_count(buyer) == 0 || db_row_count(row) == 0)
        return control_fail(r->response, FAIL(NOT_FOUND), SLICE("No purchase has this id."));
    if (db_is_null(row, 0, COLUMN_PAID_DAY))
        return control_fail(r->response, FAIL(CONFLICT),
                            SLICE("The purchase has not been paid, so there is no receipt."));
    const struct page_head head = {
        .kind = SLICE("Receipt"),
        .number = r->request->params[0],
        .date = db_text(row, 0, COLUMN_PAID_DAY),
        .seller = page_seller(api->config),
        .buyer = page_buyer(buyer),
    };
    page_begin(r->response, &head);
    append_purchase(&r->response->body, row);
    page_end(r->response);
    return OK;
}

status receipts_read(struct control_request *request, struct control_response *response)
{
    struct receipt receipt = {.request = request, .response = response};
    TRY(api_org(request, response, &receipt.org));
    TRY(page_announce(response));
    return db_transaction(request->db, receipt.org, write_receipt, &receipt);
}
