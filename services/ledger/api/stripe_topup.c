/* SPDX-License-Identifier: Apache-2.0 */
/* Charges of a saved card, which the customer does not attend: a payment intent in place of a
 * session, made under the purchase's id. What Stripe or the bank refuses ends the charge and turns
 * the rule off, so that a card is not tried over and over. */
#include "services/ledger/api/stripe_purchase.h"
#include "services/ledger/api/topups.h"

#include "shared/log.h"

/* As long as an idempotency key lives: later the same words could charge twice. */
#define CHARGE_LIFE_S (23 * 3600)

status stripe_card_keep(const struct convergence *c, struct json_value intent)
{
    slice customer = stripe_text(intent, SLICE("customer"));
    slice card = stripe_text(intent, SLICE("payment_method"));
    if (customer.len == 0 || card.len == 0) return OK;
    return db_run(c->db, "save_payment_card",
                  (const struct db_param[]){DB_P_I64(c->org), DB_P_TEXT(customer), DB_P_TEXT(card)},
                  3, NULL);
}

static status refuse(const struct convergence *c, struct purchase_row *row, slice reason)
{
    row->state = SLICE("cancelled");
    log_warning("topup_turned_off", FN(name, purchase, c->purchase));
    return topups_turn_off(c->db, c->org, reason);
}

static bool is_ours(const struct convergence *c, const struct purchase_row *row,
                    struct json_value intent)
{
    struct json_value metadata = json_get(intent, SLICE("metadata"));
    bool paid = slice_equal(stripe_text(intent, SLICE("status")), SLICE("succeeded"));
    return slice_equal(stripe_text(metadata, SLICE("purchase")), c->purchase) &&
           slice_equal(stripe_text(intent, SLICE("currency")), SLICE("usd")) &&
           stripe_number(intent, SLICE("amount")) == row->charged_cents &&
           (!paid || stripe_number(intent, SLICE("amount_received")) == row->charged_cents) &&
           stripe_flag(intent, SLICE("livemode")) == c->stripe->livemode &&
           stripe_text(intent, SLICE("id")).len > 0;
}

static status take_intent(struct convergence *c, struct purchase_row *row, struct json_value intent)
{
    slice state = stripe_text(intent, SLICE("status"));
    if (!is_ours(c, row, intent)) {
        log_error("stripe_purchase_contradicted", FN(name, purchase, c->purchase));
        c->alien = true;
        return OK;
    }
    if (row->credited_cents > 0) return OK;
    if (slice_equal(state, SLICE("succeeded")))
        return stripe_purchase_pay(c, row, stripe_text(intent, SLICE("id")));
    row->intent = arena_copy(c->arena, stripe_text(intent, SLICE("id")));
    if (row->intent.data == NULL) return FAIL(TOO_LARGE);
    if (!slice_equal(state, SLICE("processing")))
        return refuse(c, row, SLICE("The bank wants the card's owner to confirm the payment."));
    row->state = SLICE("open");
    row->look_after_ms = c->stripe->config->stripe_janitor_interval;
    return OK;
}

static enum stripe_outcome ask(const struct convergence *c, const struct purchase_row *row,
                               struct stripe_reply *reply)
{
    const struct stripe_order order = {.org = c->org,
                                       .purchase = c->purchase,
                                       .amount_cents = row->amount_cents,
                                       .fee_cents = row->fee_cents,
                                       .customer = row->customer,
                                       .card = row->card};
    if (row->intent.len > 0) return stripe_intent_read(c->stripe, row->intent, reply);
    return stripe_intent_create(c->stripe, &order, reply);
}

status stripe_converge_topup(struct convergence *c, struct purchase_row *row)
{
    SCOPED(stripe_reply_free) struct stripe_reply reply = {0};
    if (row->intent.len == 0) row->intent = c->intent;
    bool making = row->intent.len == 0;
    if (making && slice_equal(row->state, SLICE("cancelled"))) return OK;
    if (making && row->age_s > CHARGE_LIFE_S)
        return refuse(c, row, SLICE("The payment processor did not answer for a day."));
    enum stripe_outcome told = ask(c, row, &reply);
    if (told == STRIPE_DONE) return take_intent(c, row, reply.root);
    if (told == STRIPE_REFUSED && making) {
        struct json_value error = json_get(reply.root, SLICE("error"));
        bool declined = slice_equal(stripe_text(error, SLICE("type")), SLICE("card_error"));
        return refuse(c, row,
                      declined ? SLICE("The card was declined.")
                               : SLICE("The payment processor refused the charge."));
    }
    c->unknown = true;
    if (making) row->state = SLICE("unknown");
    row->look_after_ms = c->stripe->config->stripe_janitor_interval;
    return OK;
}
