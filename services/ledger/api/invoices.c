/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/invoices/{YYYY-MM}: a month as a page. What an account with credit was charged for is
 * the credit it bought, and its usage is told beside it; what an account with a credit line is
 * charged for is its usage. Which of them a request was its hold says, so a month in which the line
 * began or ended has both. Sums are made by the database over the very rows that are shown. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/page.h"

#define ROWS_MAX   1000 /* of a table; its total counts the others, too */
#define YEAR_FIRST 2020
#define YEAR_LAST  2200

struct invoice {
    struct control_request *request;
    struct control_response *response;
    int64_t org;
    slice month;   /* 2026-11 */
    bool has_line; /* at some time of the month */
    char number[48];
};

/* ---- the month ---- */

static status read_month(slice text, wall_time *begin)
{
    char iso[] = "2026-11-01T00:00:00Z";
    int64_t year, month;
    if (text.len != 7 || text.data[4] != '-') return FAIL(BAD_REQUEST);
    TRY(slice_to_i64(slice_first(text, 4), &year));
    TRY(slice_to_i64(slice_from(text, 5), &month));
    if (year < YEAR_FIRST || year > YEAR_LAST || month < 1 || month > 12) return FAIL(OUT_OF_RANGE);
    memcpy(iso, text.data, 7);
    return clock_parse_iso(slice_of(iso), begin);
}

/* ---- the tables ---- */

/* More rows than are shown are told of. */
static void append_rest(struct buffer *out, int64_t all)
{
    if (all <= ROWS_MAX) return;
    page_row_begin(out);
    buffer_append(out, SLICE("<td>and "));
    buffer_append_i64(out, all - ROWS_MAX);
    buffer_append(out, SLICE(" more</td>"));
    page_row_end(out);
}

static status run(struct db *db, const struct invoice *invoice, const char *statement,
                  struct db_result **rows)
{
    return db_run(db, statement,
                  (const struct db_param[]){DB_P_I64(invoice->org), DB_P_TEXT(invoice->month),
                                            DB_P_I64(ROWS_MAX)},
                  3, rows);
}

/* What an invoice need not have: without a row it is not told. */
static bool is_left_out(const struct invoice *invoice, size_t rows)
{
    return invoice->has_line && rows == 0;
}

static money cents_at(const struct db_result *rows, size_t row, size_t column)
{
    return (money){db_i64(rows, row, column) * NANO_PER_CENT};
}

static status append_purchases(struct db *db, const struct invoice *invoice, struct buffer *out)
{
    static const struct page_column columns[] = {{"Paid on", false},
                                                 {"Purchase", false},
                                                 {"Credit", true},
                                                 {"Fee", true},
                                                 {"Charged", true}};
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(run(db, invoice, "invoice_purchases", &rows));
    size_t count = db_row_count(rows);
    if (is_left_out(invoice, count)) return OK;
    page_table_begin(out, SLICE("Credit bought"), columns, 5);
    for (size_t i = 0; i < count; i++) {
        page_row_begin(out);
        page_cell_text(out, db_text(rows, i, 0));
        page_cell_text(out, db_text(rows, i, 1));
        page_cell_money(out, cents_at(rows, i, 2));
        page_cell_money(out, cents_at(rows, i, 3));
        page_cell_money(out, cents_at(rows, i, 4));
        page_row_end(out);
    }
    if (count > 0) append_rest(out, db_i64(rows, 0, 5));
    page_table_total(out, SLICE("Total charged in US dollars"), 5,
                     count > 0 ? cents_at(rows, 0, 6) : MONEY_ZERO);
    return OK;
}

static status append_usage(struct db *db, const struct invoice *invoice, bool due,
                           struct buffer *out)
{
    static const struct page_column columns[] = {{"Model", false},
                                                 {"Requests", true},
                                                 {"Tokens in", true},
                                                 {"Tokens out", true},
                                                 {"Amount", true}};
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(db_run(db, "invoice_usage",
               (const struct db_param[]){DB_P_I64(invoice->org), DB_P_TEXT(invoice->month),
                                         DB_P_I64(ROWS_MAX), DB_P_BOOL(due)},
               4, &rows));
    size_t count = db_row_count(rows);
    if (!due && is_left_out(invoice, count)) return OK;
    page_table_begin(out, due ? SLICE("Usage") : SLICE("Usage, paid from credit"), columns, 5);
    for (size_t i = 0; i < count; i++) {
        page_row_begin(out);
        page_cell_text(out, db_text(rows, i, 0));
        page_cell_count(out, db_i64(rows, i, 1));
        page_cell_count(out, db_i64(rows, i, 2));
        page_cell_count(out, db_i64(rows, i, 3));
        page_cell_money(out, db_money(rows, i, 4));
        page_row_end(out);
    }
    if (count > 0) append_rest(out, db_i64(rows, 0, 5));
    page_table_total(out,
                     due ? SLICE("Total due in US dollars") : SLICE("Total used in US dollars"), 5,
                     count > 0 ? db_money(rows, 0, 6) : MONEY_ZERO);
    return OK;
}

/* Promotions, what expired, refunds, payments: whatever else moved the account. */
static status append_movements(struct db *db, const struct invoice *invoice, struct buffer *out)
{
    static const struct page_column columns[] = {
        {"Date", false}, {"What", false}, {"Reference", false}, {"Amount", true}};
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(run(db, invoice, "invoice_movements", &rows));
    size_t count = db_row_count(rows);
    if (count == 0) return OK;
    page_table_begin(out, SLICE("Other movements"), columns, 4);
    for (size_t i = 0; i < count; i++) {
        page_row_begin(out);
        page_cell_text(out, db_text(rows, i, 0));
        page_cell_text(out, db_text(rows, i, 1));
        page_cell_text(out, db_text(rows, i, 2));
        page_cell_money(out, db_money(rows, i, 3));
        page_row_end(out);
    }
    append_rest(out, db_i64(rows, 0, 4));
    page_table_end(out);
    return OK;
}

/* ---- the page ---- */

/* Columns of read_buyer behind those of page_buyer. */
enum { COLUMN_OWED = 4, COLUMN_TODAY };

static slice number_of(struct invoice *invoice)
{
    struct buffer number;
    buffer_init_fixed(&number, invoice->number, sizeof(invoice->number));
    api_append_org(&number, invoice->org);
    buffer_append_char(&number, '/');
    buffer_append(&number, invoice->month);
    return buffer_slice(&number);
}

static status read_has_line(struct db *db, struct invoice *invoice)
{
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(db, "invoice_has_line",
               (const struct db_param[]){DB_P_I64(invoice->org), DB_P_TEXT(invoice->month)}, 2,
               &row));
    invoice->has_line = db_bool(row, 0, 0);
    return OK;
}

static void append_owed(struct buffer *out, slice today, money owed)
{
    buffer_append(out, SLICE("<p>Owed in all on "));
    page_text(out, today);
    buffer_append(out, SLICE(": <strong>"));
    page_money(out, owed);
    buffer_append(out, SLICE("</strong></p>\n"));
}

static status write_invoice(struct db *db, void *context)
{
    struct invoice *invoice = context;
    struct api *api = invoice->request->service;
    struct buffer *out = &invoice->response->body;
    SCOPED(db_result_free) struct db_result *buyer = NULL;
    TRY(db_run(db, "read_buyer", (const struct db_param[]){DB_P_I64(invoice->org)}, 1, &buyer));
    if (db_row_count(buyer) == 0)
        return control_fail(invoice->response, FAIL(NOT_FOUND),
                            SLICE("No organization has this id."));
    slice today = db_text(buyer, 0, COLUMN_TODAY);
    TRY(read_has_line(db, invoice));
    const struct page_head head = {
        .kind = invoice->has_line ? SLICE("Invoice") : SLICE("Monthly statement"),
        .number = number_of(invoice),
        .date = today,
        .seller = page_seller(api->config),
        .buyer = page_buyer(buyer),
    };
    page_begin(invoice->response, &head);
    if (slice_starts_with(today, invoice->month))
        page_note(out, SLICE("The month is not over: these are the figures until now."));
    TRY(append_purchases(db, invoice, out));
    if (invoice->has_line) TRY(append_usage(db, invoice, true, out));
    TRY(append_usage(db, invoice, false, out));
    TRY(append_movements(db, invoice, out));
    if (invoice->has_line) append_owed(out, today, db_money(buyer, 0, COLUMN_OWED));
    page_end(invoice->response);
    return OK;
}

status invoices_read(struct control_request *request, struct control_response *response)
{
    struct invoice invoice = {
        .request = request, .response = response, .month = request->params[0]};
    wall_time begin;
    TRY(api_org(request, response, &invoice.org));
    if (!status_ok(read_month(invoice.month, &begin)) || begin.ns > api_now().ns)
        return control_fail(response, FAIL(NOT_FOUND),
                            SLICE("There is an invoice for each month up to this one, as "
                                  "/api/v1/invoices/2026-11."));
    api_await_posted(request, response);
    TRY(page_announce(response));
    return db_transaction(request->db, invoice.org, write_invoice, &invoice);
}
