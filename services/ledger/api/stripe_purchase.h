/* SPDX-License-Identifier: Apache-2.0 */
/* What Stripe says about one purchase becomes what our rows say: under a lock of the purchase's row
 * its objects are fetched, and the difference between their figures and what was posted is posted.
 * So it may run at any time, as often as somebody likes: after a purchase was made, when an event
 * comes, when a refund was asked for, and from the janitor. */
#pragma once

#include "services/ledger/api/stripe.h"
#include "shared/arena.h"
#include "shared/db.h"

struct convergence {
    const struct stripe *stripe;
    struct db *db;
    struct arena *arena;
    int64_t cell;
    int64_t org;
    slice purchase;
    slice session, intent; /* of an event, where our row may have none: empty otherwise */
    /* what came of it */
    bool moved;   /* credit moved or the account was frozen: the core must hear of it */
    bool frozen;  /* credit is owed: what is on lease has to come back */
    bool unknown; /* Stripe did not say everything; the janitor asks again */
    bool alien;   /* Stripe's objects contradict our row: nothing was posted */
};

/* OK also when Stripe does not answer; NOT_FOUND: no such purchase by Stripe. What failed in the
 * database left nothing behind. */
status stripe_converge(struct convergence *convergence);

/* ---- between stripe_purchase.c and stripe_return.c */

struct purchase_row {
    slice state, session, url, intent;
    int64_t amount_cents, fee_cents, charged_cents, credited_cents;
    int64_t refunded_cents, refunding_cents, disputed_cents, dispute_fee_cents, clawed_cents;
    money debt;
    bool save_card, automatic, dispute_open;
    slice customer, card;
    int64_t age_s;
    int64_t look_after_ms; /* < 0: not before an event */
};

/* stripe_purchase.c: the payment is whole and ours. */
status stripe_purchase_pay(struct convergence *convergence, struct purchase_row *row, slice intent);

/* stripe_topup.c: a charge of a saved card, made or looked at. */
status stripe_converge_topup(struct convergence *convergence, struct purchase_row *row);
/* After a session that was to keep the card. */
status stripe_card_keep(const struct convergence *convergence, struct json_value intent);

/* Refunds and disputes of a purchase that was paid. */
status stripe_converge_returns(struct convergence *convergence, struct purchase_row *row);
