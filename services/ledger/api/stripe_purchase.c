/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. The row's lock is held while Stripe is asked, so that an older answer never
 * overtakes a newer one; no account is locked before everything was read, so nobody else waits. */
#include "services/ledger/api/stripe_purchase.h"

#include "services/ledger/api/postings.h"
#include "shared/log.h"

/* A session lives for 24 h and an idempotency key as long: what got none in that time never will.
 * */
#define SESSION_LIFE_S      (23 * 3600)
#define HOUR_MS             (3600 * INT64_C(1000))
#define LOOK_AFTER_PART_AGE 250 /* ms per second of age: a quarter of it */
/* A bank may dispute a payment for about so long; until then even a lost event is made up for. */
#define DISPUTABLE_S        (120 * 24 * 3600)
#define NEVER               (-1)

static status converge(struct db *db, void *context);

status stripe_converge(struct convergence *c)
{
    return db_transaction(c->db, c->org, converge, c);
}

/* ---- the row --------------------------------------------------------------------------------- */

static status load(struct convergence *c, struct purchase_row *row)
{
    SCOPED(db_result_free) struct db_result *found = NULL;
    TRY(db_run(c->db, "lock_stripe_purchase",
               (const struct db_param[]){DB_P_I64(c->org), DB_P_TEXT(c->purchase)}, 2, &found));
    if (db_row_count(found) == 0) return FAIL(NOT_FOUND);
    *row = (struct purchase_row){
        .state = arena_copy(c->arena, db_text(found, 0, 0)),
        .session = arena_copy(c->arena, db_text(found, 0, 1)),
        .url = SLICE_NONE,
        .intent = arena_copy(c->arena, db_text(found, 0, 2)),
        .amount_cents = db_i64(found, 0, 3),
        .fee_cents = db_i64(found, 0, 4),
        .charged_cents = db_i64(found, 0, 5),
        .credited_cents = db_i64(found, 0, 6),
        .refunded_cents = db_i64(found, 0, 7),
        .refunding_cents = db_i64(found, 0, 8),
        .disputed_cents = db_i64(found, 0, 9),
        .dispute_fee_cents = db_i64(found, 0, 10),
        .clawed_cents = db_i64(found, 0, 11),
        .debt = db_money(found, 0, 12),
        .age_s = db_i64(found, 0, 13),
        .save_card = db_bool(found, 0, 14),
        .automatic = db_bool(found, 0, 15),
        .customer = arena_copy(c->arena, db_text(found, 0, 16)),
        .card = arena_copy(c->arena, db_text(found, 0, 17)),
        .dispute_open = db_bool(found, 0, 18),
        .look_after_ms = NEVER,
    };
    bool fits = row->state.data != NULL && row->session.data != NULL && row->intent.data != NULL &&
                row->customer.data != NULL && row->card.data != NULL;
    return fits ? OK : FAIL(TOO_LARGE);
}

static status save(const struct convergence *c, const struct purchase_row *row)
{
    return db_run(
        c->db, "save_stripe_purchase",
        (const struct db_param[]){DB_P_I64(c->org), DB_P_TEXT(c->purchase), DB_P_TEXT(row->state),
                                  DB_P_TEXT(row->session), DB_P_TEXT(row->url),
                                  DB_P_TEXT(row->intent), DB_P_I64(row->refunded_cents),
                                  DB_P_I64(row->disputed_cents), DB_P_I64(row->dispute_fee_cents),
                                  DB_P_I64(row->clawed_cents), DB_P_MONEY(row->debt),
                                  row->look_after_ms < 0 ? DB_P_NULL : DB_P_I64(row->look_after_ms),
                                  DB_P_BOOL(row->dispute_open)},
        13, NULL);
}

static void look_again(const struct convergence *c, struct purchase_row *row)
{
    row->look_after_ms = c->stripe->config->stripe_janitor_interval;
}

static int64_t quarter_of_age(const struct purchase_row *row, int64_t low_ms, int64_t high_ms)
{
    int64_t later_ms = row->age_s * LOOK_AFTER_PART_AGE;
    if (later_ms < low_ms) return low_ms;
    return later_ms < high_ms ? later_ms : high_ms;
}

/* ---- the session ----------------------------------------------------------------------------- */

static void ask_for_session(struct convergence *c, struct purchase_row *row)
{
    if (row->age_s > SESSION_LIFE_S) {
        row->state = SLICE("cancelled");
        return;
    }
    const struct stripe_order order = {.org = c->org,
                                       .purchase = c->purchase,
                                       .amount_cents = row->amount_cents,
                                       .fee_cents = row->fee_cents,
                                       .save_card = row->save_card};
    SCOPED(stripe_reply_free) struct stripe_reply reply;
    enum stripe_outcome outcome = stripe_session_create(c->stripe, &order, &reply);
    row->session = arena_copy(c->arena, stripe_text(reply.root, SLICE("id")));
    row->url = arena_copy(c->arena, stripe_text(reply.root, SLICE("url")));
    bool made = outcome == STRIPE_DONE && row->session.len > 0 && row->url.len > 0;
    if (made) {
        row->state = SLICE("open");
    } else {
        row->session = row->url = SLICE_NONE;
        row->state = outcome == STRIPE_REFUSED ? SLICE("cancelled") : SLICE("unknown");
        c->unknown = outcome != STRIPE_REFUSED;
    }
    if (outcome != STRIPE_REFUSED) look_again(c, row);
}

/* An intent that is not paid yet has no amount received. */
static bool is_ours(const struct convergence *c, const struct purchase_row *row,
                    struct json_value session, struct json_value intent)
{
    bool paid = slice_equal(stripe_text(session, SLICE("payment_status")), SLICE("paid"));
    bool ours = slice_equal(stripe_text(session, SLICE("client_reference_id")), c->purchase) &&
                slice_equal(stripe_text(session, SLICE("currency")), SLICE("usd")) &&
                stripe_number(session, SLICE("amount_total")) == row->charged_cents &&
                stripe_flag(session, SLICE("livemode")) == c->stripe->livemode;
    if (!ours || !paid) return ours;
    return slice_equal(stripe_text(intent, SLICE("currency")), SLICE("usd")) &&
           stripe_number(intent, SLICE("amount_received")) == row->charged_cents &&
           stripe_flag(intent, SLICE("livemode")) == c->stripe->livemode &&
           stripe_text(intent, SLICE("id")).len > 0;
}

/* Nobody can pay it any more. A session that is complete may wait for a bank; when the bank says
 * no, the session stays complete and its intent tells. */
static bool is_over(struct json_value session, struct json_value intent)
{
    slice state = stripe_text(session, SLICE("status"));
    slice payment = stripe_text(intent, SLICE("status"));
    bool failed = slice_equal(payment, SLICE("canceled")) ||
                  slice_equal(payment, SLICE("requires_payment_method"));
    return slice_equal(state, SLICE("expired")) ||
           (slice_equal(state, SLICE("complete")) && failed);
}

status stripe_purchase_pay(struct convergence *c, struct purchase_row *row, slice intent)
{
    row->intent = arena_copy(c->arena, intent);
    if (row->intent.data == NULL) return FAIL(TOO_LARGE);
    const struct booking booking = {
        .org = c->org,
        .cell = c->cell,
        .reference = c->purchase,
        .count = 2,
        .entries = {{ACCOUNT_PAYMENT_CLEARING, ACCOUNT_CREDIT_PAID,
                     money_of_cents(row->amount_cents), "purchase"},
                    {ACCOUNT_PAYMENT_CLEARING, ACCOUNT_PURCHASE_FEE_INCOME,
                     money_of_cents(row->fee_cents), "purchase_fee"}},
    };
    TRY(db_run(
        c->db, "pay_purchase",
        (const struct db_param[]){DB_P_I64(c->org), DB_P_TEXT(c->purchase), DB_P_TEXT(row->intent)},
        3, NULL));
    TRY(postings_make(c->db, &booking));
    row->credited_cents = row->amount_cents;
    row->state = SLICE("paid");
    c->moved = true;
    return OK;
}

static status read_session(struct convergence *c, struct purchase_row *row)
{
    SCOPED(stripe_reply_free) struct stripe_reply reply;
    if (stripe_session_read(c->stripe, row->session, &reply) != STRIPE_DONE) {
        c->unknown = true;
        look_again(c, row);
        return OK;
    }
    struct json_value intent = json_get(reply.root, SLICE("payment_intent"));
    if (!is_ours(c, row, reply.root, intent)) {
        log_error(
            "stripe_purchase_contradicted", FN(name, purchase, c->purchase),
            F(reason, SLICE("amount, currency, mode or reference differ; nothing is credited, "
                            "and an operator has to look at it")));
        c->alien = true;
        return OK;
    }
    if (slice_equal(row->state, SLICE("pending")) || slice_equal(row->state, SLICE("unknown")))
        row->state = SLICE("open");
    if (row->credited_cents > 0) return OK;
    if (slice_equal(stripe_text(reply.root, SLICE("payment_status")), SLICE("paid"))) {
        if (row->save_card) TRY(stripe_card_keep(c, intent));
        return stripe_purchase_pay(c, row, stripe_text(intent, SLICE("id")));
    }
    if (is_over(reply.root, intent)) {
        row->state = SLICE("cancelled");
        return OK;
    }
    row->look_after_ms =
        quarter_of_age(row, c->stripe->config->stripe_janitor_interval, 6 * HOUR_MS);
    return OK;
}

static status converge_session(struct convergence *c, struct purchase_row *row)
{
    if (row->session.len == 0) row->session = c->session; /* looked at like any other */
    if (row->session.len > 0) return read_session(c, row);
    if (!slice_equal(row->state, SLICE("cancelled"))) ask_for_session(c, row);
    return OK;
}

/* Begun anew by the database when two met: nothing of the first time counts. */
static status converge(struct db *db, void *context)
{
    struct convergence *c = context;
    struct purchase_row row;
    (void)db;
    c->moved = c->frozen = c->unknown = c->alien = false;
    TRY(load(c, &row));
    const struct purchase_row before = row;
    if (row.automatic)
        TRY(stripe_converge_topup(c, &row));
    else
        TRY(converge_session(c, &row));
    if (c->alien) { /* an event's object that is not ours must not become it */
        row.session = before.session;
        row.intent = before.intent;
    }
    if (row.credited_cents > 0 && !c->alien && !c->unknown) TRY(stripe_converge_returns(c, &row));
    if (row.credited_cents > 0 && row.look_after_ms < 0 && row.age_s < DISPUTABLE_S)
        row.look_after_ms = quarter_of_age(&row, HOUR_MS, 24 * HOUR_MS);
    TRY(save(c, &row));
    return c->moved
               ? db_run(c->db, "thaw_org", (const struct db_param[]){DB_P_I64(c->org)}, 1, NULL)
               : OK;
}
