/* SPDX-License-Identifier: Apache-2.0 */
/* Giving credits back: the unused part of a purchase, within the plan's window for customers, at
 * any time for an operator. The fee is kept. In two phases: the credit leaves the account in the
 * transaction that makes the row, and ends with the payer or comes back when Stripe has decided, or
 * of a manual purchase an operator (manual_refunds.c). What this cell has on lease is called back
 * first; what another has counts as used until it is idle. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/credits.h"
#include "services/ledger/api/fields.h"
#include "services/ledger/api/idempotency.h"
#include "services/ledger/api/postings.h"
#include "services/ledger/api/purchases.h"
#include "services/ledger/api/topups.h"
#include "shared/array.h"

struct refund {
    int64_t org;
    slice purchase, id;
    slice asked; /* digits of the amount; empty: all that can be refunded */
    int64_t cents;
    bool by_operator, by_stripe;
    bool waits;  /* for Stripe, or for an operator who has to pay */
    bool owes;   /* what is owed is paid first */
    bool can_be; /* as far as its purchase tells */
};

/* Columns of purchase_for_refund. */
enum {
    COLUMN_METHOD,
    COLUMN_STATE,
    COLUMN_LEFT,
    COLUMN_DISPUTED,
    COLUMN_IN_WINDOW,
    COLUMN_RUNNING
};

/* Columns of read_refund, and of whatever else shows a refund. */
enum {
    REFUND_ID,
    REFUND_PURCHASE,
    REFUND_STATE,
    REFUND_AMOUNT,
    REFUND_ORIGIN,
    REFUND_CREATED,
    REFUND_DONE,
    REFUND_REFERENCE,
    REFUND_REASON
};

slice purchases_refund_refusal(const struct refund_facts *facts, bool by_operator)
{
    const struct {
        bool applies;
        slice sentence;
    } refusals[] = {
        {!slice_equal(facts->state, SLICE("paid")),
         SLICE("Only a purchase that was paid can be refunded.")},
        {facts->disputed, SLICE("The payment is disputed: the bank decides.")},
        {facts->running, SLICE("A refund of this purchase is under way.")},
        {!by_operator && !facts->in_window,
         SLICE("The time in which a purchase can be refunded is over (by default 24 hours).")},
    };
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        if (refusals[i].applies) return refusals[i].sentence;
    }
    return SLICE_NONE;
}

static slice find_refusal(const struct refund *refund, const struct db_result *row)
{
    const struct refund_facts facts = {.state = db_text(row, 0, COLUMN_STATE),
                                       .disputed = db_bool(row, 0, COLUMN_DISPUTED),
                                       .in_window = db_bool(row, 0, COLUMN_IN_WINDOW),
                                       .running = db_bool(row, 0, COLUMN_RUNNING)};
    return purchases_refund_refusal(&facts, refund->by_operator);
}

/* Of credit that is owed nothing goes back: it pays the debt. */
static status lock_credit(struct control_request *request, struct refund *refund,
                          int64_t *credit_cents)
{
    SCOPED(db_result_free) struct db_result *own = NULL;
    const int64_t cell = ((struct api *)request->service)->config->cell;
    const int64_t orgs[] = {0, refund->org, refund->org, refund->org};
    const int64_t kinds[] = {ACCOUNT_PAYMENT_CLEARING, ACCOUNT_CREDIT_PAID, ACCOUNT_RECEIVABLE,
                             ACCOUNT_REFUND_PENDING};
    const int64_t cells[] = {cell, 0, 0, 0};
    const struct db_param params[] = {DB_P_I64_ARRAY(orgs, COUNT_OF(orgs)),
                                      DB_P_I64_ARRAY(kinds, COUNT_OF(kinds)),
                                      DB_P_I64_ARRAY(cells, COUNT_OF(cells))};
    TRY(db_run(request->db, "ensure_accounts", params, 3, NULL));
    TRY(db_run(request->db, "lock_accounts", params, 3, NULL));
    TRY(db_run(request->db, "read_credit_and_debt",
               (const struct db_param[]){DB_P_I64(refund->org)}, 1, &own));
    money credit = db_money(own, 0, 0), owed = db_money(own, 0, 1);
    refund->owes = money_is_positive(owed);
    *credit_cents = money_less(owed, credit) ? money_minus(credit, owed).nano / NANO_PER_CENT : 0;
    return OK;
}

static status choose_amount(struct control_response *response, struct refund *refund,
                            int64_t cents_max)
{
    money amount = money_of_cents(cents_max);
    status read = refund->asked.len == 0 ? OK : money_parse_dollars(refund->asked, false, &amount);
    if (!status_ok(read) || amount.nano % NANO_PER_CENT != 0 ||
        (refund->asked.len > 0 && !money_is_positive(amount))) {
        return control_fail(response, status_ok(read) ? FAIL(OUT_OF_RANGE) : read,
                            SLICE("amount must be a positive number of dollars with at most two "
                                  "decimals."));
    }
    refund->cents = amount.nano / NANO_PER_CENT;
    if (refund->cents > 0 && refund->cents <= cents_max) return OK;
    if (refund->owes)
        return control_fail(
            response, FAIL(CONFLICT),
            SLICE("So much is not left of the credit: what is owed is paid first."));
    return control_fail(response, FAIL(CONFLICT),
                        SLICE("So much of this purchase is not unused. What requests under way "
                              "may cost counts as used until they end."));
}

static status book_refund(struct control_request *request, const struct refund *refund)
{
    const struct api *api = request->service;
    const struct booking booking = {
        .org = refund->org,
        .cell = api->config->cell,
        .reference = refund->id,
        .count = refund->waits ? 1 : 2,
        .entries = {{ACCOUNT_CREDIT_PAID, ACCOUNT_REFUND_PENDING, money_of_cents(refund->cents),
                     "refund_hold"},
                    {ACCOUNT_REFUND_PENDING, ACCOUNT_PAYMENT_CLEARING,
                     money_of_cents(refund->cents), "refund"}},
    };
    const struct db_param place[] = {
        DB_P_I64(refund->org), DB_P_TEXT(refund->purchase),
        DB_P_I64(refund->by_stripe ? api->config->stripe_janitor_interval : refund->cents)};
    TRY(db_run(request->db, "insert_purchase_refund",
               (const struct db_param[]){
                   DB_P_I64(refund->org), DB_P_TEXT(refund->id), DB_P_TEXT(refund->purchase),
                   DB_P_TEXT(refund->by_operator ? SLICE("operator") : SLICE("customer")),
                   DB_P_I64(refund->cents), DB_P_I64(refund->cents),
                   DB_P_TEXT(refund->waits ? SLICE("pending") : SLICE("succeeded")),
                   DB_P_TEXT(SLICE(""))},
               8, NULL));
    TRY(postings_make(request->db, &booking));
    TRY(topups_turn_off(request->db, refund->org, TOPUP_OFF_REFUND));
    if (refund->by_stripe) return db_run(request->db, "look_at_purchase", place, 3, NULL);
    return refund->waits ? OK : db_run(request->db, "add_purchase_refunded", place, 3, NULL);
}

void refunds_write(const struct db_result *rows, size_t row, size_t first, struct json_writer *w)
{
    json_key_string(w, SLICE("id"), db_text(rows, row, first + REFUND_ID));
    json_key_string(w, SLICE("purchase"), db_text(rows, row, first + REFUND_PURCHASE));
    json_key_string(w, SLICE("status"), db_text(rows, row, first + REFUND_STATE));
    json_key_money(w, SLICE("amount"), money_of_cents(db_i64(rows, row, first + REFUND_AMOUNT)));
    json_key_string(w, SLICE("by"), db_text(rows, row, first + REFUND_ORIGIN));
    api_write_time(rows, row, SLICE("created_at"), first + REFUND_CREATED, w);
    api_write_time(rows, row, SLICE("done_at"), first + REFUND_DONE, w);
    json_key_string_or_null(w, SLICE("reference"), db_text(rows, row, first + REFUND_REFERENCE));
    json_key_string_or_null(w, SLICE("reason"), db_text(rows, row, first + REFUND_REASON));
}

status refunds_answer(struct db *db, void *context)
{
    const struct refund_answer *a = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    struct json_writer *w = &a->response->json;
    TRY(db_run(db, "read_refund", (const struct db_param[]){DB_P_I64(a->org), DB_P_TEXT(a->id)}, 2,
               &row));
    if (db_row_count(row) == 0) return FAIL(NOT_FOUND);
    buffer_clear(&a->response->body);
    json_write_init(w, &a->response->body);
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    refunds_write(row, 0, 0, w);
    json_object_end(w);
    json_object_end(w);
    return OK;
}

static status refund_effect(struct control_request *request, struct control_response *response,
                            void *context)
{
    struct refund *refund = context;
    const struct api *api = request->service;
    SCOPED(db_result_free) struct db_result *row = NULL;
    const struct db_param params[] = {DB_P_I64(refund->org), DB_P_TEXT(refund->purchase)};
    int64_t credit_cents;
    TRY(db_run(request->db, "hold_org", params, 1, NULL)); /* before its accounts, as everywhere */
    TRY(db_run(request->db, "lock_purchase", params, 2, NULL));
    TRY(db_run(request->db, "purchase_for_refund", params, 2, &row));
    if (db_row_count(row) == 0)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No purchase has this id."));
    refund->by_stripe = slice_equal(db_text(row, 0, COLUMN_METHOD), SLICE("stripe"));
    refund->waits = refund->by_stripe || (!refund->by_operator && !purchases_are_immediate(api));
    slice refusal = find_refusal(refund, row);
    if (refusal.len > 0) return control_fail(response, FAIL(CONFLICT), refusal);
    if (refund->by_stripe && !stripe_is_on(&api->stripe))
        return control_fail(response, FAIL(PAYMENTS_DOWN),
                            SLICE("Payments by Stripe are switched off here, and so is giving one "
                                  "back."));
    TRY(lock_credit(request, refund, &credit_cents));
    int64_t left = db_i64(row, 0, COLUMN_LEFT);
    TRY(choose_amount(response, refund, left < credit_cents ? left : credit_cents));
    TRY(book_refund(request, refund));
    response->http_status = 201;
    struct refund_answer answer = {response, refund->org, refund->id};
    return refunds_answer(request->db, &answer);
}

/* Nothing is waited for on behalf of a refund that cannot be, or was made before. */
static status look_first(struct db *db, void *context)
{
    struct refund *refund = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(db, "purchase_for_refund",
               (const struct db_param[]){DB_P_I64(refund->org), DB_P_TEXT(refund->purchase)}, 2,
               &row));
    refund->can_be = db_row_count(row) > 0 && find_refusal(refund, row).len == 0;
    return OK;
}

status purchases_refund(struct control_request *request, struct control_response *response)
{
    /* Without an amount all is given back; so nothing else may stand where one was meant. */
    static const struct field fields[] = {{.name = SLICE_INIT("amount")}};
    struct api *api = request->service;
    char id[40];
    struct buffer id_out;
    struct refund refund = {.purchase = request->params[0],
                            .by_operator = request->principal.kind == PRINCIPAL_OPERATOR};
    struct json_value amount = json_get(request->json, SLICE("amount"));
    TRY(api_org(request, response, &refund.org));
    TRY(fields_check_names(request, response, fields, COUNT_OF(fields)));
    if (json_exists(amount)) {
        status read = json_read_number_text(amount, &refund.asked);
        if (!status_ok(read))
            return control_fail(response, read, SLICE("amount must be a number of dollars."));
    }
    buffer_init_fixed(&id_out, id, sizeof(id));
    id_append_random(&id_out, SLICE("ref-"));
    refund.id = buffer_slice(&id_out);
    TRY(db_transaction(request->db, refund.org, look_first, &refund));
    if (refund.can_be) TRY(credits_recall(request, response, refund.org));
    TRY(idempotency_run(request, response, refund.org, SLICE("refund"), refund_effect, &refund));
    api_credit_moved(api, refund.org);
    TRY(purchases_answered_id(request, response, &refund.id));
    const struct purchase_place place = {refund.org, refund.purchase};
    struct refund_answer answer = {response, refund.org, refund.id};
    if (stripe_is_on(&api->stripe)) TRY(purchases_continue(request, response, &place));
    return db_transaction(request->db, refund.org, refunds_answer, &answer);
}
