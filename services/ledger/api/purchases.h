/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about purchases ask of each other. */
#pragma once

#include "shared/http/control.h"

struct purchase_place {
    int64_t org;
    slice purchase;
};

/* The purchase as `data` of the answer; inside a transaction of its organization. NOT_FOUND. */
status purchases_write(struct control_request *request, struct control_response *response,
                       int64_t org, slice id);

/* What decides whether a purchase can be refunded. */
struct refund_facts {
    slice method, state;
    bool disputed, in_window;
    bool running; /* a refund of it is not decided yet */
};

/* Why there can be no refund, whatever the amount; empty: there can. */
slice purchases_refund_refusal(const struct refund_facts *facts, bool by_operator);

/* The id in an answer that idempotency_run() wrote, perhaps the one of a twin: `data`.`id`. */
status purchases_answered_id(struct control_request *request, struct control_response *response,
                             slice *id);

/* Asks Stripe about a purchase (nothing happens with another method), tells the core what moved,
 * and clears the answer for a new one. What fails here is left to the janitor. */
status purchases_continue(struct control_request *request, struct control_response *response,
                          const struct purchase_place *place);
