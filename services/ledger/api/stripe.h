/* SPDX-License-Identifier: Apache-2.0 */
/* What is said to Stripe, and what an answer means. No money moves here and no database is known.
 * Every call has one of three outcomes; UNKNOWN is never taken for a refusal, because Stripe may
 * have done what was asked. */
#pragma once

#include "shared/buffer.h"
#include "shared/config.h"
#include "shared/json/read.h"
#include "shared/secret.h"

/* Whether Stripe can be reached. */
struct stripe_line {
    _Atomic bool silent;
    _Atomic bool probing;
};

struct stripe {
    const struct config *config;
    struct secret key;     /* no bytes: purchases by Stripe are off */
    struct secret secrets; /* of the webhook, one per line */
    struct stripe_line *line;
    bool livemode; /* what the key is for; objects of the other mode are not ours */
};

/* Reads the files that the options name. Off when stripe_key_file is empty. IO, CONFIGURATION. */
status stripe_open(const struct config *config, struct stripe *stripe);
void stripe_close(struct stripe *stripe);
static inline bool stripe_is_on(const struct stripe *stripe)
{
    return stripe->key.len > 0;
}

/* Around whatever asks Stripe. While it is silent one at a time may find out whether it still is,
 * and the others are told so at once: a worker that waits for Stripe, or for the row that another
 * has locked meanwhile, serves nobody else. PAYMENTS_DOWN. */
status stripe_enter(const struct stripe *stripe, bool *probe);
void stripe_leave(const struct stripe *stripe, bool probe);

enum stripe_outcome {
    STRIPE_DONE,    /* the answer's JSON is in `root` */
    STRIPE_REFUSED, /* Stripe says that it cannot be done, and nothing was */
    STRIPE_UNKNOWN, /* no answer, or one that says nothing about what was done */
};
struct stripe_reply {
    struct buffer body;
    struct json_document document;
    struct json_value root;
};
void stripe_reply_free(struct stripe_reply *reply);

/* What a session is made of: sent twice for the same purchase it is the same session. */
struct stripe_order {
    int64_t org;
    slice purchase;
    int64_t amount_cents, fee_cents;
    bool save_card;
    slice customer, card; /* of a charge without the customer: empty otherwise */
};
enum stripe_outcome stripe_session_create(const struct stripe *stripe,
                                          const struct stripe_order *order,
                                          struct stripe_reply *reply);
/* Charges a card that was saved, at once and without its owner. REFUSED: declined, among others. */
enum stripe_outcome stripe_intent_create(const struct stripe *stripe,
                                         const struct stripe_order *order,
                                         struct stripe_reply *reply);
/* With its payment intent as an object. */
enum stripe_outcome stripe_session_read(const struct stripe *stripe, slice session,
                                        struct stripe_reply *reply);
/* `data` lists the session that an intent belongs to. */
enum stripe_outcome stripe_sessions_read(const struct stripe *stripe, slice intent,
                                         struct stripe_reply *reply);
enum stripe_outcome stripe_intent_read(const struct stripe *stripe, slice intent,
                                       struct stripe_reply *reply);
/* Of a payment intent, at most 100: `data` is the list. */
enum stripe_outcome stripe_refunds_read(const struct stripe *stripe, slice intent,
                                        struct stripe_reply *reply);
enum stripe_outcome stripe_disputes_read(const struct stripe *stripe, slice intent,
                                         struct stripe_reply *reply);
/* Balance transactions of a time, a hundred at once; `after` is the last one of the page before. */
struct stripe_span {
    int64_t from_s, until_s;
    slice after; /* empty: the first page */
};
enum stripe_outcome stripe_movements_read(const struct stripe *stripe,
                                          const struct stripe_span *span,
                                          struct stripe_reply *reply);
/* refund: our id, which is the idempotency key and is found again in the refund's metadata. */
struct stripe_refund {
    slice refund, intent;
    int64_t amount_cents;
};
enum stripe_outcome stripe_refund_create(const struct stripe *stripe,
                                         const struct stripe_refund *refund,
                                         struct stripe_reply *reply);

/* Members of an answer; empty and 0 when they are missing or of another kind. A text with an escape
 * counts as missing: ids have none. */
slice stripe_text(struct json_value object, slice name);
int64_t stripe_number(struct json_value object, slice name);
bool stripe_flag(struct json_value object, slice name);
