/* SPDX-License-Identifier: Apache-2.0 */
/* Money that goes back: refunds that were asked for here or made in Stripe's dashboard, and
 * disputes. First everything is read, then the accounts are locked, then the differences are
 * booked. Credit that was spent already becomes a debt, and a debt or a dispute freezes the
 * account. */
#include "services/ledger/api/stripe_purchase.h"

#include <stdlib.h>

#include "services/ledger/api/postings.h"
#include "services/ledger/api/topups.h"
#include "shared/array.h"
#include "shared/log.h"

#define DISPUTE_FEE_MAX 1000000 /* cents; Stripe takes 1,500 to 3,000 */
#define REFUNDS_MAX     101     /* a page of Stripe's, and one that was just made */

enum refund_state { REFUND_PENDING, REFUND_SUCCEEDED, REFUND_FAILED };
static const slice state_names[] = {SLICE_INIT("pending"), SLICE_INIT("succeeded"),
                                    SLICE_INIT("failed")};

/* What Stripe says about one. */
struct refund_fact {
    slice own_id; /* of the metadata; empty: not asked for here */
    slice stripe_id;
    int64_t amount_cents;
    enum refund_state state;
};
/* What our row says. */
struct refund_row {
    slice id, state, stripe_id;
    int64_t amount_cents, credit_cents;
};
struct returns {
    struct convergence *c;
    struct purchase_row *row;
    struct stripe_reply refunds, disputes, made;
    struct refund_fact facts[REFUNDS_MAX];
    size_t fact_count;
    struct refund_row *rows;
    size_t row_count;
    int64_t disputed_cents, dispute_fee_cents; /* as Stripe has them */
    bool dispute_open;
    money credit, receivable; /* of the organization, under lock */
};

static status gather(struct returns *r);
static status book(struct returns *r);

status stripe_converge_returns(struct convergence *c, struct purchase_row *row)
{
    struct returns *r = ARENA_NEW(c->arena, struct returns);
    if (r == NULL) return FAIL(TOO_LARGE);
    r->c = c;
    r->row = row;
    status done = gather(r);
    if (status_ok(done) && !c->unknown && !c->alien) done = book(r);
    stripe_reply_free(&r->refunds);
    stripe_reply_free(&r->disputes);
    stripe_reply_free(&r->made);
    if (c->unknown && row->look_after_ms < 0)
        row->look_after_ms = c->stripe->config->stripe_janitor_interval;
    return done;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool is_dollars(struct json_value object)
{
    return slice_equal(stripe_text(object, SLICE("currency")), SLICE("usd"));
}

static void add_fact(struct returns *r, struct json_value refund)
{
    slice state = stripe_text(refund, SLICE("status"));
    struct refund_fact *fact = &r->facts[r->fact_count];
    if (r->fact_count == REFUNDS_MAX) return;
    *fact = (struct refund_fact){
        .own_id = stripe_text(json_get(refund, SLICE("metadata")), SLICE("refund")),
        .stripe_id = stripe_text(refund, SLICE("id")),
        .amount_cents = stripe_number(refund, SLICE("amount")),
        .state = REFUND_PENDING,
    };
    if (slice_equal(state, SLICE("succeeded"))) fact->state = REFUND_SUCCEEDED;
    if (slice_equal(state, SLICE("failed")) || slice_equal(state, SLICE("canceled")))
        fact->state = REFUND_FAILED;
    bool sane = fact->stripe_id.len > 0 && fact->amount_cents > 0 &&
                fact->amount_cents <= r->row->charged_cents && is_dollars(refund);
    if (sane)
        r->fact_count++;
    else
        r->c->alien = true;
}

/* Movements are of the currency in which our account at Stripe is settled. Where that is another,
 * one only tells that the disputed amount went out or came back, and its fee is not of these books.
 */
static void translate(struct returns *r, struct json_value dispute, int64_t *amount, int64_t *fee)
{
    int64_t disputed = stripe_number(dispute, SLICE("amount"));
    if (!is_dollars(dispute)) r->c->alien = true;
    if (*fee != 0) {
        log_warning("stripe_fee_not_booked", FN(name, purchase, r->c->purchase),
                    F(reason, SLICE("it is not in dollars")));
    }
    *amount = *amount < 0 ? -disputed : *amount > 0 ? disputed : 0;
    *fee = 0;
}

/* Money that went out for a dispute is a negative amount, what came back a positive one. */
static int64_t add_dispute_movement(struct returns *r, struct json_value dispute,
                                    struct json_value movement)
{
    int64_t amount = stripe_number(movement, SLICE("amount"));
    int64_t fee = stripe_number(movement, SLICE("fee"));
    if (!is_dollars(movement)) translate(r, dispute, &amount, &fee);
    bool sane = llabs(amount) <= r->row->charged_cents && llabs(fee) <= DISPUTE_FEE_MAX;
    if (!sane) {
        r->c->alien = true;
        return 0;
    }
    r->disputed_cents -= amount;
    r->dispute_fee_cents += fee;
    return -amount;
}

/* Lost is over, too, though its money stays away. */
static bool is_over(struct json_value dispute)
{
    static const slice states[] = {SLICE_INIT("won"), SLICE_INIT("lost"),
                                   SLICE_INIT("warning_closed"), SLICE_INIT("prevented")};
    slice state = stripe_text(dispute, SLICE("status"));
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        if (slice_equal(state, states[i])) return true;
    }
    return false;
}

static void add_dispute(struct returns *r, struct json_value dispute)
{
    int64_t withdrawn = 0;
    struct json_value moves = json_get(dispute, SLICE("balance_transactions"));
    for (struct json_iterator i = json_iterate(moves); json_next(&i);)
        withdrawn += add_dispute_movement(r, dispute, i.value);
    r->dispute_open |= withdrawn > 0 && !is_over(dispute);
}

static status load_rows(struct returns *r)
{
    SCOPED(db_result_free) struct db_result *found = NULL;
    struct convergence *c = r->c;
    TRY(db_run(c->db, "list_purchase_refunds",
               (const struct db_param[]){DB_P_I64(c->org), DB_P_TEXT(c->purchase)}, 2, &found));
    r->row_count = db_row_count(found);
    r->rows = arena_alloc_array(c->arena, r->row_count + 1, sizeof(r->rows[0]));
    if (r->rows == NULL) return FAIL(TOO_LARGE);
    for (size_t i = 0; i < r->row_count; i++) {
        r->rows[i] = (struct refund_row){
            .id = arena_copy(c->arena, db_text(found, i, 0)),
            .state = arena_copy(c->arena, db_text(found, i, 1)),
            .stripe_id = arena_copy(c->arena, db_text(found, i, 2)),
            .amount_cents = db_i64(found, i, 3),
            .credit_cents = db_i64(found, i, 4),
        };
        if (r->rows[i].id.data == NULL || r->rows[i].state.data == NULL) return FAIL(TOO_LARGE);
    }
    return OK;
}

static bool is_in_flight(const struct refund_row *row)
{
    return slice_equal(row->state, SLICE("pending")) || slice_equal(row->state, SLICE("unknown"));
}

/* What Stripe refused has no id of its, on neither side. */
static bool is_about(const struct refund_fact *fact, const struct refund_row *row)
{
    bool same = fact->stripe_id.len > 0 && slice_equal(fact->stripe_id, row->stripe_id);
    return same || slice_equal(fact->own_id, row->id);
}

static status set_refund(const struct returns *r, const struct refund_row *row, slice state,
                         slice stripe_id)
{
    return db_run(r->c->db, "set_purchase_refund",
                  (const struct db_param[]){DB_P_I64(r->c->org), DB_P_TEXT(row->id),
                                            DB_P_TEXT(state), DB_P_TEXT(stripe_id)},
                  4, NULL);
}

/* At most one is in flight (purchase_refund_in_flight). Stripe knows those that it lists. */
static status make_refund(struct returns *r, const struct refund_row *row)
{
    const struct stripe_refund refund = {row->id, r->row->intent, row->amount_cents};
    for (size_t i = 0; i < r->fact_count; i++) {
        if (is_about(&r->facts[i], row)) return OK;
    }
    switch (stripe_refund_create(r->c->stripe, &refund, &r->made)) {
    case STRIPE_DONE: add_fact(r, r->made.root); return OK;
    case STRIPE_REFUSED:
        if (r->fact_count < REFUNDS_MAX) {
            r->facts[r->fact_count++] =
                (struct refund_fact){row->id, SLICE_NONE, row->amount_cents, REFUND_FAILED};
        }
        return OK;
    default: r->c->unknown = true; return set_refund(r, row, SLICE("unknown"), row->stripe_id);
    }
}

static status gather(struct returns *r)
{
    struct convergence *c = r->c;
    bool told = stripe_refunds_read(c->stripe, r->row->intent, &r->refunds) == STRIPE_DONE &&
                stripe_disputes_read(c->stripe, r->row->intent, &r->disputes) == STRIPE_DONE;
    if (!told) {
        c->unknown = true;
        return OK;
    }
    struct json_value list = json_get(r->refunds.root, SLICE("data"));
    for (struct json_iterator i = json_iterate(list); json_next(&i);)
        add_fact(r, i.value);
    list = json_get(r->disputes.root, SLICE("data"));
    for (struct json_iterator i = json_iterate(list); json_next(&i);)
        add_dispute(r, i.value);
    if (r->disputed_cents < 0 || r->disputed_cents > r->row->charged_cents) c->alien = true;
    if (c->alien) {
        log_error("stripe_returns_contradicted", FN(name, purchase, c->purchase),
                  F(reason, SLICE("refunds or disputes of more than was paid; nothing is booked, "
                                  "and an operator has to look at it")));
        return OK;
    }
    TRY(load_rows(r));
    for (size_t i = 0; i < r->row_count; i++) {
        if (is_in_flight(&r->rows[i])) TRY(make_refund(r, &r->rows[i]));
    }
    return OK;
}

/* ---- booking --------------------------------------------------------------------------------- */

static status lock(struct returns *r)
{
    const struct convergence *c = r->c;
    const int64_t orgs[] = {0, 0, 0, c->org, c->org, c->org};
    const int64_t kinds[] = {ACCOUNT_PAYMENT_CLEARING, ACCOUNT_PURCHASE_FEE_INCOME,
                             ACCOUNT_DISPUTE_EXPENSE,  ACCOUNT_CREDIT_PAID,
                             ACCOUNT_RECEIVABLE,       ACCOUNT_REFUND_PENDING};
    const int64_t cells[] = {c->cell, c->cell, c->cell, 0, 0, 0};
    const struct db_param params[] = {DB_P_I64_ARRAY(orgs, 6), DB_P_I64_ARRAY(kinds, 6),
                                      DB_P_I64_ARRAY(cells, 6)};
    SCOPED(db_result_free) struct db_result *own = NULL;
    TRY(db_run(c->db, "ensure_accounts", params, 3, NULL));
    TRY(db_run(c->db, "lock_accounts", params, 3, NULL));
    TRY(db_run(c->db, "read_credit_and_debt", (const struct db_param[]){DB_P_I64(c->org)}, 1,
               &own));
    r->credit = db_money(own, 0, 0);
    r->receivable = db_money(own, 0, 1);
    return OK;
}

static status post(struct returns *r, slice reference, const struct entry *entries, size_t count)
{
    struct booking booking = {
        .org = r->c->org, .cell = r->c->cell, .reference = reference, .count = count};
    memcpy(booking.entries, entries, count * sizeof(entries[0]));
    r->c->moved = true;
    return postings_make(r->c->db, &booking);
}

static status freeze(struct returns *r)
{
    r->c->frozen = true;
    return db_run(r->c->db, "freeze_org", (const struct db_param[]){DB_P_I64(r->c->org)}, 1, NULL);
}

/* From the customer: of the credit as far as it goes, the rest is owed. */
static status take(struct returns *r, int64_t cents, const char *code, slice reference)
{
    money owed, amount = money_of_cents(cents);
    money there = money_min(r->credit, amount);
    TRY(money_subtract(amount, there, &owed));
    TRY(money_subtract(r->credit, there, &r->credit));
    TRY(money_add(r->receivable, owed, &r->receivable));
    TRY(money_add(r->row->debt, owed, &r->row->debt));
    const struct entry entries[] = {{ACCOUNT_CREDIT_PAID, ACCOUNT_PAYMENT_CLEARING, there, code},
                                    {ACCOUNT_RECEIVABLE, ACCOUNT_PAYMENT_CLEARING, owed, code}};
    if (!money_is_zero(owed)) TRY(freeze(r));
    return post(r, reference, entries, 2);
}

/* To the customer: what this purchase made him owe goes first. */
static status give(struct returns *r, int64_t cents, const char *code, slice reference)
{
    money rest, amount = money_of_cents(cents);
    money owed = money_min(money_min(r->row->debt, r->receivable), amount);
    TRY(money_subtract(amount, owed, &rest));
    TRY(money_subtract(r->row->debt, owed, &r->row->debt));
    TRY(money_subtract(r->receivable, owed, &r->receivable));
    TRY(money_add(r->credit, rest, &r->credit));
    const struct entry entries[] = {{ACCOUNT_PAYMENT_CLEARING, ACCOUNT_RECEIVABLE, owed, code},
                                    {ACCOUNT_PAYMENT_CLEARING, ACCOUNT_CREDIT_PAID, rest, code}};
    return post(r, reference, entries, 2);
}

/* What of an amount the customer's credit of this purchase can still answer for. */
static int64_t share_of(const struct purchase_row *row, int64_t cents)
{
    int64_t left = row->amount_cents - row->refunded_cents - row->refunding_cents;
    if (left < 0) left = 0;
    return cents < left ? cents : left;
}

/* Asked for here: the credit lies in refund_pending since then. */
static status end_own(struct returns *r, const struct refund_row *row,
                      const struct refund_fact *fact)
{
    bool paid = fact->state == REFUND_SUCCEEDED;
    if (fact->amount_cents != row->amount_cents) {
        log_error("stripe_refund_contradicted", FN(name, refund, row->id));
        r->c->alien = true;
        return OK;
    }
    if (fact->state != REFUND_PENDING) {
        const struct entry entry = postings_refund_end(row->credit_cents, paid);
        TRY(post(r, row->id, &entry, 1));
        r->row->refunding_cents -= row->credit_cents;
        if (paid) r->row->refunded_cents += row->credit_cents;
        if (!paid) TRY(money_add(r->credit, entry.amount, &r->credit));
    } else {
        r->row->look_after_ms = r->c->stripe->config->stripe_janitor_interval;
    }
    return set_refund(r, row, state_names[fact->state], fact->stripe_id);
}

/* A bank sent back what had been refunded. */
static status reverse(struct returns *r, const struct refund_row *row,
                      const struct refund_fact *fact)
{
    const struct entry fee = {ACCOUNT_PAYMENT_CLEARING, ACCOUNT_PURCHASE_FEE_INCOME,
                              money_of_cents(row->amount_cents - row->credit_cents), "refund_void"};
    r->row->refunded_cents -= row->credit_cents;
    TRY(give(r, row->credit_cents, "refund_void", row->id));
    TRY(post(r, row->id, &fee, 1));
    return set_refund(r, row, SLICE("failed"), fact->stripe_id);
}

/* Made in Stripe's dashboard, perhaps for more than the credit was: then the fee goes back, too. */
static status take_foreign(struct returns *r, const struct refund_fact *fact)
{
    struct convergence *c = r->c;
    int64_t credit_cents = share_of(r->row, fact->amount_cents + r->row->clawed_cents);
    credit_cents = credit_cents > r->row->clawed_cents ? credit_cents - r->row->clawed_cents : 0;
    const struct entry fee = {ACCOUNT_PURCHASE_FEE_INCOME, ACCOUNT_PAYMENT_CLEARING,
                              money_of_cents(fact->amount_cents - credit_cents), "refund"};
    TRY(take(r, credit_cents, "refund", fact->stripe_id));
    TRY(post(r, fact->stripe_id, &fee, 1));
    TRY(topups_turn_off(c->db, c->org, TOPUP_OFF_REFUND));
    r->row->refunded_cents += credit_cents;
    return db_run(c->db, "insert_purchase_refund",
                  (const struct db_param[]){DB_P_I64(c->org), DB_P_TEXT(fact->stripe_id),
                                            DB_P_TEXT(c->purchase), DB_P_TEXT(SLICE("stripe")),
                                            DB_P_I64(fact->amount_cents), DB_P_I64(credit_cents),
                                            DB_P_TEXT(SLICE("succeeded")),
                                            DB_P_TEXT(fact->stripe_id)},
                  8, NULL);
}

static status book_refund(struct returns *r, const struct refund_fact *fact)
{
    for (size_t i = 0; i < r->row_count; i++) {
        const struct refund_row *row = &r->rows[i];
        if (!is_about(fact, row)) continue;
        if (is_in_flight(row)) return end_own(r, row, fact);
        bool came_back =
            slice_equal(row->state, SLICE("succeeded")) && fact->state == REFUND_FAILED;
        return came_back ? reverse(r, row, fact) : OK;
    }
    return fact->state == REFUND_SUCCEEDED ? take_foreign(r, fact) : OK;
}

/* While a dispute is open the account is frozen; once none is, it may be thawed. */
static status follow_dispute(struct returns *r)
{
    struct purchase_row *row = r->row;
    bool more = r->disputed_cents > row->disputed_cents;
    bool begun = r->dispute_open && (more || !row->dispute_open);
    if (row->dispute_open && !r->dispute_open) r->c->moved = true;
    row->dispute_open = r->dispute_open;
    if (more) TRY(topups_turn_off(r->c->db, r->c->org, TOPUP_OFF_DISPUTE));
    return begun ? freeze(r) : OK;
}

/* Stripe's figure may rise (withdrawn) and fall (reinstated). What the customer's credit of this
 * purchase cannot answer for, the fee among it, is our expense, and so is what Stripe takes for a
 * dispute. */
static status book_disputes(struct returns *r)
{
    struct purchase_row *row = r->row;
    slice reference = r->c->purchase;
    TRY(follow_dispute(r));
    int64_t clawed = share_of(row, r->disputed_cents);
    int64_t customer = clawed - row->clawed_cents;
    int64_t ours = r->disputed_cents - row->disputed_cents - customer + r->dispute_fee_cents -
                   row->dispute_fee_cents;
    if (customer == 0 && ours == 0 && r->disputed_cents == row->disputed_cents) return OK;
    if (customer > 0) TRY(take(r, customer, "dispute", reference));
    if (customer < 0) TRY(give(r, -customer, "reinstatement", reference));
    const struct entry expense =
        ours > 0 ? (struct entry){ACCOUNT_DISPUTE_EXPENSE, ACCOUNT_PAYMENT_CLEARING,
                                  money_of_cents(ours), "dispute"}
                 : (struct entry){ACCOUNT_PAYMENT_CLEARING, ACCOUNT_DISPUTE_EXPENSE,
                                  money_of_cents(-ours), "reinstatement"};
    TRY(post(r, reference, &expense, 1));
    row->clawed_cents = clawed;
    row->disputed_cents = r->disputed_cents;
    row->dispute_fee_cents = r->dispute_fee_cents;
    return OK;
}

static status book(struct returns *r)
{
    TRY(lock(r));
    for (size_t i = 0; i < r->fact_count; i++)
        TRY(book_refund(r, &r->facts[i]));
    return book_disputes(r);
}
