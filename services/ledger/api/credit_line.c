/* SPDX-License-Identifier: Apache-2.0 */
/* Sets a credit line, and books what was paid on what is owed. An account with a line uses nothing
 * but the line, so that an invoice is the usage of its month and nothing else; credit that is left
 * pays what is owed. The change from one to the other is made while cells have nothing of it: what
 * was leased goes back to where it came from. */
#include "services/ledger/api/credit_line.h"

#include "services/ledger/api/api.h"
#include "services/ledger/api/credits.h"
#include "services/ledger/api/idempotency.h"
#include "shared/array.h"

#define REFERENCE_MAX 200

struct line_account {
    bool has_line;
    bool is_leased; /* a part of it is with a cell */
    money owed;     /* with what cells have leased */
};

static status lock_account(struct db *db, int64_t org, struct line_account *account)
{
    const int64_t orgs[] = {org, org, org};
    const int64_t kinds[] = {ACCOUNT_CREDIT_PAID, ACCOUNT_CREDIT_PROMO, ACCOUNT_RECEIVABLE};
    const int64_t cells[] = {0, 0, 0};
    const struct db_param make[] = {DB_P_I64_ARRAY(orgs, 3), DB_P_I64_ARRAY(kinds, 3),
                                    DB_P_I64_ARRAY(cells, 3)};
    TRY(db_run(db, "ensure_accounts", make, COUNT_OF(make), NULL));
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(db_run(db, "lock_customer", (const struct db_param[]){DB_P_I64(org)}, 1, &rows));
    *account = (struct line_account){0};
    for (size_t i = 0; i < db_row_count(rows); i++) {
        int64_t kind = db_i64(rows, i, 0);
        money balance = db_money(rows, i, 1);
        if (kind == ACCOUNT_ESCROW) account->is_leased |= !money_is_zero(balance);
        if (kind != ACCOUNT_RECEIVABLE) continue;
        account->has_line = !db_is_null(rows, i, 2);
        account->owed = money_minus(MONEY_ZERO, balance);
    }
    return OK;
}

status credit_line_set(struct db *db, struct control_response *response, int64_t org,
                       const struct field_value *line)
{
    struct line_account account;
    SCOPED(db_result_free) struct db_result *pending = NULL;
    const struct db_param own[] = {DB_P_I64(org)};
    TRY(db_run(db, "lock_org", own, 1, NULL));
    TRY(lock_account(db, org, &account));
    TRY(db_run(db, "has_pending", own, 1, &pending));
    bool begins = !account.has_line && !line->is_null;
    if (begins && db_bool(pending, 0, 0))
        return control_fail(response, FAIL(CONFLICT),
                            SLICE("The organization has a purchase or refund that is not decided. "
                                  "A session that nobody pays ends after a day."));
    if (begins && account.is_leased)
        return control_fail(response, FAIL(CONFLICT),
                            SLICE("The organization has requests running on its credit, or a cell "
                                  "has not given back what it had leased; it comes back within a "
                                  "minute of the last request. Repeat this then; where there are "
                                  "always requests, freeze the organization meanwhile."));
    if (account.has_line && line->is_null && !money_is_zero(account.owed))
        return control_fail(response, FAIL(CONFLICT),
                            SLICE("The organization owes something or has requests running. It "
                                  "goes back to credit once it has paid and they have ended."));
    TRY(db_run(db, "set_line", (const struct db_param[]){DB_P_I64(org), field_number(line)}, 2,
               NULL));
    if (begins) return db_run(db, "begin_line", own, 1, NULL);
    return line->is_null ? db_run(db, "end_line", own, 1, NULL) : OK;
}

status credit_line_refuse(struct db *db, struct control_response *response, int64_t org)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(db_run(db, "hold_org", (const struct db_param[]){DB_P_I64(org)}, 1, NULL));
    TRY(db_run(db, "read_line", (const struct db_param[]){DB_P_I64(org)}, 1, &rows));
    if (db_row_count(rows) == 0 || db_is_null(rows, 0, 0)) return OK;
    return control_fail(response, FAIL(CONFLICT),
                        SLICE("The organization has a credit line and pays by invoice; it "
                              "buys no credit and is given none."));
}

/* ---- payments ---- */

struct payment {
    int64_t org;
    money amount;
    slice reference;
};

/* More than is owed would be credit, which no payment from outside gives. */
static status book_payment(struct control_request *request, struct control_response *response,
                           const struct payment *payment)
{
    struct api *api = request->service;
    const struct booking booking = {
        .org = payment->org,
        .cell = api->config->cell,
        .reference = payment->reference,
        .count = 1,
        .entries = {{ACCOUNT_PAYMENT_CLEARING, ACCOUNT_RECEIVABLE, payment->amount,
                     "invoice_payment"}},
    };
    SCOPED(db_result_free) struct db_result *rows = NULL;
    const struct db_param org[] = {DB_P_I64(payment->org)};
    status result = credits_book(request->db, response, &booking);
    bool too_much = result.code == ERROR_DATABASE_CHECK; /* the receivable would be below zero */
    if (!too_much) {
        TRY(result);
        TRY(db_run(request->db, "read_line", org, 1, &rows));
        too_much = money_less(db_money(rows, 0, 1), MONEY_ZERO);
    }
    if (!too_much) return OK;
    return control_fail(response, FAIL(CONFLICT),
                        SLICE("The organization owes less than that. Nothing was booked."));
}

/* What disputes and refunds left owing is paid first, and whoever owes none of it is free. */
static status end_debts(struct db *db, const struct payment *payment)
{
    const struct db_param params[] = {DB_P_I64(payment->org), DB_P_MONEY(payment->amount)};
    TRY(db_run(db, "lower_debts", params, 2, NULL));
    return db_run(db, "thaw_org", params, 1, NULL);
}

static status payment_effect(struct control_request *request, struct control_response *response,
                             void *context)
{
    const struct payment *payment = context;
    SCOPED(db_result_free) struct db_result *org = NULL;
    SCOPED(db_result_free) struct db_result *rows = NULL;
    const struct db_param params[] = {DB_P_I64(payment->org)};
    TRY(db_run(request->db, "find_org", params, 1, &org));
    if (db_row_count(org) == 0)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No organization has this id."));
    TRY(db_run(request->db, "lock_debts", params, 1, NULL));
    TRY(book_payment(request, response, payment));
    TRY(end_debts(request->db, payment));
    TRY(db_run(request->db, "read_line", params, 1, &rows));
    response->http_status = 201;
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    api_write_org(w, SLICE("id"), payment->org);
    json_key_money(w, SLICE("paid"), payment->amount);
    json_key_money(w, SLICE("owed"), db_money(rows, 0, 1));
    json_object_end(w);
    json_object_end(w);
    return OK;
}

status payments_create(struct control_request *request, struct control_response *response)
{
    static const struct field fields[] = {
        {SLICE_INIT("amount"), FIELD_DOLLARS, 1, INT64_MAX, false, true,
         "a number of dollars above 0 with at most 9 decimals."},
        {SLICE_INIT("reference"), FIELD_TEXT, 1, REFERENCE_MAX, false, false,
         "text of 1 to 200 bytes, e.g. the line of a bank statement."},
    };
    struct field_value values[2];
    struct payment payment = {0};
    TRY(api_org(request, response, &payment.org));
    TRY(fields_read(request, response, fields, 2, values));
    payment.amount = (money){values[0].number};
    payment.reference = values[1].given ? values[1].text : request->idempotency_key;
    TRY(idempotency_run(request, response, payment.org, SLICE("payment"), payment_effect,
                        &payment));
    api_credit_moved(request->service, payment.org);
    return OK;
}
