/* SPDX-License-Identifier: Apache-2.0 */
/* Buying credits. The fee comes on top by the plan's rule; a purchase is a row first and credit
 * only once it is paid. The `manual` method waits for an operator's word, or is paid at once where
 * the instance says payments_manual = immediate. With `stripe` the row is committed before anything
 * is asked of Stripe (stripe_purchase.c), and the answer shows what came of it. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/credit_line.h"
#include "services/ledger/api/credits.h"
#include "services/ledger/api/fields.h"
#include "services/ledger/api/purchases.h"
#include "services/ledger/api/idempotency.h"
#include "services/ledger/api/stripe_purchase.h"
#include "shared/array.h"
#include "shared/log.h"

#define PURCHASE_PAGE_MAX 100
#define REFERENCE_MAX     200
#define ANSWER_VALUES_MAX 256

/* Columns of the statement list_purchases. */
enum {
    COLUMN_ID,
    COLUMN_METHOD,
    COLUMN_AMOUNT,
    COLUMN_FEE,
    COLUMN_CHARGED,
    COLUMN_CREDITED,
    COLUMN_STATE,
    COLUMN_REFERENCE,
    COLUMN_CREATED,
    COLUMN_PAID,
    COLUMN_URL,
    COLUMN_REFUNDED,
    COLUMN_DISPUTED,
    COLUMN_AUTO,
    COLUMN_REFUNDABLE_UNTIL,
    COLUMN_IN_WINDOW,
    COLUMN_REFUND_RUNS,
    COLUMN_LAST_REFUND /* and the eight behind it; null: none */
};

struct purchase {
    int64_t org;
    slice id;
    int64_t amount_cents;
    slice reference;
    bool immediate;
    bool by_stripe, save_card;
    bool changed; /* credit moved: the core must hear of it */
};

/* ---- reading */

/* Whom a purchase is shown to, and what there is to give back. */
struct purchase_query {
    int64_t org, offset, limit;
    slice id;         /* empty: all */
    bool by_operator; /* who may refund more */
    struct db_result **rows;
    money unused; /* answered: paid credit that no debt takes, in whole cents */
};

/* What whoever asks could give back of it now, and why not more. */
static void write_refundable(const struct purchase_query *q, size_t row, struct json_writer *w)
{
    const struct db_result *rows = *q->rows;
    const struct refund_facts facts = {.state = db_text(rows, row, COLUMN_STATE),
                                       .disputed = db_i64(rows, row, COLUMN_DISPUTED) > 0,
                                       .in_window = db_bool(rows, row, COLUMN_IN_WINDOW),
                                       .running = db_bool(rows, row, COLUMN_REFUND_RUNS)};
    slice refusal = purchases_refund_refusal(&facts, q->by_operator);
    money left =
        money_of_cents(db_i64(rows, row, COLUMN_AMOUNT) - db_i64(rows, row, COLUMN_REFUNDED));
    money refundable = refusal.len > 0 ? MONEY_ZERO : money_min(left, q->unused);
    if (refusal.len == 0 && !money_is_positive(refundable))
        refusal = SLICE("Nothing of this purchase is left: it was used or given back.");
    json_key_money(w, SLICE("refundable"), refundable);
    api_write_time(rows, row, SLICE("refundable_until"), COLUMN_REFUNDABLE_UNTIL, w);
    json_key_string_or_null(w, SLICE("refund_refusal"), refusal);
}

static void write_last_refund(const struct db_result *rows, size_t row, struct json_writer *w)
{
    json_key(w, SLICE("last_refund"));
    if (db_is_null(rows, row, COLUMN_LAST_REFUND)) {
        json_null(w);
        return;
    }
    json_object_begin(w);
    refunds_write(rows, row, COLUMN_LAST_REFUND, w);
    json_object_end(w);
}

static void write_purchase(const struct purchase_query *q, size_t row, struct json_writer *w)
{
    const struct db_result *rows = *q->rows;
    json_object_begin(w);
    json_key_string(w, SLICE("id"), db_text(rows, row, COLUMN_ID));
    json_key_string(w, SLICE("payment_method"), db_text(rows, row, COLUMN_METHOD));
    json_key_string(w, SLICE("status"), db_text(rows, row, COLUMN_STATE));
    json_key_money(w, SLICE("amount"), money_of_cents(db_i64(rows, row, COLUMN_AMOUNT)));
    json_key_money(w, SLICE("fee"), money_of_cents(db_i64(rows, row, COLUMN_FEE)));
    json_key_money(w, SLICE("charged"), money_of_cents(db_i64(rows, row, COLUMN_CHARGED)));
    json_key_money(w, SLICE("credited"), money_of_cents(db_i64(rows, row, COLUMN_CREDITED)));
    json_key_money(w, SLICE("refunded"), money_of_cents(db_i64(rows, row, COLUMN_REFUNDED)));
    json_key_money(w, SLICE("disputed"), money_of_cents(db_i64(rows, row, COLUMN_DISPUTED)));
    json_key_bool(w, SLICE("auto"), db_bool(rows, row, COLUMN_AUTO));
    json_key_string_or_null(w, SLICE("url"), db_text(rows, row, COLUMN_URL));
    json_key_string_or_null(w, SLICE("reference"), db_text(rows, row, COLUMN_REFERENCE));
    api_write_time(rows, row, SLICE("created_at"), COLUMN_CREATED, w);
    api_write_time(rows, row, SLICE("paid_at"), COLUMN_PAID, w);
    write_refundable(q, row, w);
    write_last_refund(rows, row, w);
    json_object_end(w);
}

/* What lies in leases is unused, too: a refund calls it back. */
static status query_unused(struct db *db, struct purchase_query *q)
{
    SCOPED(db_result_free) struct db_result *own = NULL;
    TRY(db_run(db, "read_credit_and_debt", (const struct db_param[]){DB_P_I64(q->org)}, 1, &own));
    money credit = money_plus(db_money(own, 0, 0), db_money(own, 0, 2));
    money owed = db_money(own, 0, 1);
    q->unused = money_less(owed, credit)
                    ? money_of_cents(money_minus(credit, owed).nano / NANO_PER_CENT)
                    : MONEY_ZERO;
    return OK;
}

static status query_purchases(struct db *db, void *context)
{
    struct purchase_query *q = context;
    db_result_free(q->rows);
    TRY(query_unused(db, q));
    return db_run(db, "list_purchases",
                  (const struct db_param[]){DB_P_I64(q->org),
                                            q->id.len == 0 ? DB_P_NULL : DB_P_TEXT(q->id),
                                            DB_P_I64(q->offset), DB_P_I64(q->limit)},
                  4, q->rows);
}

static bool is_operator(const struct control_request *request)
{
    return request->principal.kind == PRINCIPAL_OPERATOR;
}

status purchases_list(struct control_request *request, struct control_response *response)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    struct purchase_query query = {.by_operator = is_operator(request), .rows = &rows};
    TRY(api_org(request, response, &query.org));
    TRY(api_page(request, response, PURCHASE_PAGE_MAX, &query.offset, &query.limit));
    api_await_posted(request, response);
    TRY(db_transaction(request->db, query.org, query_purchases, &query));
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    json_array_begin(&response->json);
    for (size_t i = 0; i < db_row_count(rows); i++)
        write_purchase(&query, i, &response->json);
    json_array_end(&response->json);
    json_object_end(&response->json);
    return OK;
}

status purchases_write(struct control_request *request, struct control_response *response,
                       int64_t org, slice id)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    struct purchase_query query = {
        .org = org, .id = id, .limit = 1, .by_operator = is_operator(request), .rows = &rows};
    TRY(query_purchases(request->db, &query));
    if (db_row_count(rows) == 0)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No purchase has this id."));
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    write_purchase(&query, 0, &response->json);
    json_object_end(&response->json);
    return OK;
}

struct read_context {
    struct control_request *request;
    struct control_response *response;
    int64_t org;
    slice id;
};

static status read_body(struct db *db, void *context)
{
    struct read_context *c = context;
    (void)db; /* the request's */
    return purchases_write(c->request, c->response, c->org, c->id);
}

status purchases_read(struct control_request *request, struct control_response *response)
{
    struct read_context context = {request, response, 0, request->params[0]};
    TRY(api_org(request, response, &context.org));
    api_await_posted(request, response);
    return db_transaction(request->db, context.org, read_body, &context);
}

/* ---- paying */

bool purchases_are_immediate(const struct api *api)
{
    return slice_equal(slice_of(api->config->payments_manual), SLICE("immediate"));
}

/* Clearing gets what was charged; the customer gets the amount, the fee is income. */
static status post_payment(struct control_request *request, struct control_response *response,
                           const struct purchase *p, int64_t fee_cents)
{
    struct api *api = request->service;
    const struct booking booking = {
        .org = p->org,
        .cell = api->config->cell,
        .reference = p->id,
        .count = 2,
        .entries = {{ACCOUNT_PAYMENT_CLEARING, ACCOUNT_CREDIT_PAID, money_of_cents(p->amount_cents),
                     "purchase"},
                    {ACCOUNT_PAYMENT_CLEARING, ACCOUNT_PURCHASE_FEE_INCOME,
                     money_of_cents(fee_cents), "purchase_fee"}},
    };
    TRY(db_run(
        request->db, "pay_purchase",
        (const struct db_param[]){DB_P_I64(p->org), DB_P_TEXT(p->id), DB_P_TEXT(p->reference)}, 3,
        NULL));
    return credits_book(request->db, response, &booking);
}

/* ---- creating */

static status read_amount(struct control_request *request, struct control_response *response,
                          int64_t *cents)
{
    slice digits;
    money amount = MONEY_ZERO;
    status result = json_read_number_text(json_get(request->json, SLICE("amount")), &digits);
    if (status_ok(result)) result = money_parse_dollars(digits, false, &amount);
    if (!status_ok(result) || amount.nano % NANO_PER_CENT != 0) {
        return control_fail(response, status_ok(result) ? FAIL(OUT_OF_RANGE) : result,
                            SLICE("amount must be a number of dollars with at most two decimals, "
                                  "within the plan's bounds (by default $5 to $25,000)."));
    }
    *cents = amount.nano / NANO_PER_CENT;
    return OK;
}

static status read_method(struct control_request *request, struct control_response *response,
                          struct purchase *p)
{
    const struct api *api = request->service;
    struct json_value method = json_get(request->json, SLICE("payment_method"));
    bool on = stripe_is_on(&api->stripe);
    p->by_stripe = on && json_string_equal(method, SLICE("stripe"));
    if (p->by_stripe) p->immediate = false;
    if (p->by_stripe || !json_exists(method) || json_string_equal(method, SLICE("manual")))
        return OK;
    return control_fail(response, FAIL(OUT_OF_RANGE),
                        on ? SLICE("payment_method must be manual or stripe.")
                           : SLICE("payment_method must be manual."));
}

static status read_save_card(struct control_request *request, struct control_response *response,
                             struct purchase *p)
{
    struct json_value save = json_get(request->json, SLICE("save_card"));
    if (!json_exists(save)) return OK;
    if (!status_ok(json_read_bool(save, &p->save_card)))
        return control_fail(response, FAIL(WRONG_TYPE), SLICE("save_card must be true or false."));
    if (!p->save_card || p->by_stripe) return OK;
    return control_fail(response, FAIL(OUT_OF_RANGE),
                        SLICE("save_card goes with payment_method stripe only."));
}

static status price_purchase(struct control_request *request, struct control_response *response,
                             const struct purchase *p, int64_t *fee_cents)
{
    SCOPED(db_result_free) struct db_result *plan = NULL;
    TRY(db_run(request->db, "find_org", (const struct db_param[]){DB_P_I64(p->org)}, 1, &plan));
    if (db_row_count(plan) == 0)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No organization has this id."));
    if (p->amount_cents < db_i64(plan, 0, 4) || p->amount_cents > db_i64(plan, 0, 5)) {
        return control_fail(
            response, FAIL(OUT_OF_RANGE),
            SLICE("amount is outside the bounds of the plan (by default $5 to $25,000)."));
    }
    return money_purchase_fee_cents(p->amount_cents, db_i64(plan, 0, 2), db_i64(plan, 0, 3),
                                    fee_cents);
}

static status create_effect(struct control_request *request, struct control_response *response,
                            void *context)
{
    struct purchase *p = context;
    int64_t fee_cents;
    TRY(credit_line_refuse(request->db, response, p->org));
    TRY(price_purchase(request, response, p, &fee_cents));
    const struct api *api = request->service;
    const struct db_param params[] = {DB_P_I64(p->org),
                                      DB_P_TEXT(p->id),
                                      DB_P_I64(p->amount_cents),
                                      DB_P_I64(fee_cents),
                                      DB_P_I64(p->amount_cents + fee_cents),
                                      DB_P_I64(api->config->stripe_janitor_interval),
                                      DB_P_BOOL(p->save_card)};
    if (p->by_stripe)
        TRY(db_run(request->db, "insert_stripe_purchase", params, 7, NULL));
    else
        TRY(db_run(request->db, "insert_purchase", params, 5, NULL));
    if (p->immediate) TRY(post_payment(request, response, p, fee_cents));
    response->http_status = 201;
    return purchases_write(request, response, p->org, p->id);
}

struct undecided {
    const struct purchase_place *place;
    bool yes;
};

static status read_undecided(struct db *db, void *context)
{
    struct undecided *undecided = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(db, "purchase_is_undecided",
               (const struct db_param[]){DB_P_I64(undecided->place->org),
                                         DB_P_TEXT(undecided->place->purchase)},
               2, &row));
    undecided->yes = db_bool(row, 0, 0);
    return OK;
}

/* The first answer was kept before Stripe was asked; what is told is what is known now. Once that
 * is decided, a repeat asks Stripe nothing. */
status purchases_continue(struct control_request *request, struct control_response *response,
                          const struct purchase_place *place)
{
    struct api *api = request->service;
    struct convergence convergence = {.stripe = &api->stripe,
                                      .db = request->db,
                                      .arena = request->arena,
                                      .cell = api->config->cell,
                                      .org = place->org,
                                      .purchase = place->purchase};
    struct undecided undecided = {.place = place};
    bool probe;
    TRY(db_transaction(request->db, place->org, read_undecided, &undecided));
    buffer_clear(&response->body);
    json_write_init(&response->json, &response->body);
    if (!undecided.yes) return OK;
    status converged = stripe_enter(&api->stripe, &probe);
    if (status_ok(converged)) {
        converged = stripe_converge(&convergence);
        stripe_leave(&api->stripe, probe);
    }
    if (!status_ok(converged) && converged.code != ERROR_NOT_FOUND)
        log_warning("stripe_purchase_left_to_janitor", F(error, converged));
    if (status_ok(converged)) api_converged(api, &convergence);
    return OK;
}

status purchases_answered_id(struct control_request *request, struct control_response *response,
                             slice *id)
{
    SCOPED(json_document_free) struct json_document document;
    json_document_init(&document, ANSWER_VALUES_MAX);
    TRY(json_parse(&document, buffer_slice(&response->body)));
    slice text = stripe_text(json_get(json_root(&document), SLICE("data")), SLICE("id"));
    *id = arena_copy(request->arena, text);
    return id->data == NULL ? FAIL(TOO_LARGE) : OK;
}

/* A repeat of the request finds the first one's purchase in the first one's answer. */
static status continue_created(struct control_request *request, struct control_response *response,
                               int64_t org)
{
    struct purchase_place place = {.org = org};
    TRY(purchases_answered_id(request, response, &place.purchase));
    TRY(purchases_continue(request, response, &place));
    struct read_context context = {request, response, org, place.purchase};
    return db_transaction(request->db, org, read_body, &context);
}

status purchases_create(struct control_request *request, struct control_response *response)
{
    /* A currency that is not looked at would be a purchase in another than was meant. */
    static const struct field fields[] = {{.name = SLICE_INIT("amount")},
                                          {.name = SLICE_INIT("payment_method")},
                                          {.name = SLICE_INIT("save_card")}};
    struct api *api = request->service;
    char id[40];
    struct buffer id_out;
    struct purchase p = {.immediate = purchases_are_immediate(api)};
    TRY(api_org(request, response, &p.org));
    TRY(fields_check_names(request, response, fields, COUNT_OF(fields)));
    TRY(read_amount(request, response, &p.amount_cents));
    TRY(read_method(request, response, &p));
    TRY(read_save_card(request, response, &p));
    buffer_init_fixed(&id_out, id, sizeof(id));
    id_append_random(&id_out, SLICE("pur-"));
    p.id = buffer_slice(&id_out);
    if (p.immediate) p.reference = SLICE("paid at once: payments_manual = immediate");
    TRY(idempotency_run(request, response, p.org, SLICE("purchase"), create_effect, &p));
    if (p.by_stripe) return continue_created(request, response, p.org);
    if (p.immediate) api_credit_moved(api, p.org);
    return OK;
}

/* ---- the operator's word */

struct decision {
    struct control_request *request;
    struct control_response *response;
    struct purchase purchase;
    bool confirm;
};

static status decide(struct db *db, void *context)
{
    struct decision *d = context;
    struct purchase *p = &d->purchase;
    SCOPED(db_result_free) struct db_result *row = NULL;
    const struct db_param params[] = {DB_P_I64(p->org), DB_P_TEXT(p->id), DB_P_TEXT(p->reference)};
    TRY(db_run(db, "lock_purchase", params, 2, &row));
    if (db_row_count(row) == 0)
        return control_fail(d->response, FAIL(NOT_FOUND), SLICE("No purchase has this id."));
    if (!slice_equal(db_text(row, 0, 4), SLICE("manual")))
        return control_fail(d->response, FAIL(CONFLICT),
                            SLICE("This purchase is paid by Stripe, which alone decides it."));
    slice state = db_text(row, 0, 3);
    bool pending = slice_equal(state, SLICE("pending"));
    bool done = slice_equal(state, d->confirm ? SLICE("paid") : SLICE("cancelled"));
    if (!pending && !done)
        return control_fail(d->response, FAIL(CONFLICT),
                            SLICE("The purchase was decided otherwise before."));
    p->amount_cents = db_i64(row, 0, 0);
    if (pending && d->confirm) TRY(post_payment(d->request, d->response, p, db_i64(row, 0, 1)));
    if (pending && !d->confirm) TRY(db_run(db, "cancel_purchase", params, 3, NULL));
    p->changed = pending && d->confirm;
    buffer_clear(&d->response->body);
    json_write_init(&d->response->json, &d->response->body);
    return purchases_write(d->request, d->response, p->org, p->id);
}

static status decide_purchase(struct control_request *request, struct control_response *response,
                              bool confirm)
{
    struct api *api = request->service;
    struct decision decision = {.request = request, .response = response, .confirm = confirm};
    struct purchase *p = &decision.purchase;
    TRY(api_org(request, response, &p->org));
    p->id = request->params[0];
    struct json_value reference = json_get(request->json, SLICE("reference"));
    if (json_exists(reference)) TRY(json_read_string(reference, request->arena, &p->reference));
    if (p->reference.len > REFERENCE_MAX) {
        return control_fail(response, FAIL(OUT_OF_RANGE),
                            SLICE("reference has at most 200 bytes."));
    }
    TRY(db_transaction(request->db, p->org, decide, &decision));
    if (p->changed) api_credit_moved(api, p->org);
    return OK;
}

status purchases_confirm(struct control_request *request, struct control_response *response)
{
    return decide_purchase(request, response, true);
}

status purchases_cancel(struct control_request *request, struct control_response *response)
{
    return decide_purchase(request, response, false);
}
