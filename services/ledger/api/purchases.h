/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about purchases ask of each other. */
#pragma once

#include "shared/db.h"
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
    slice state;
    bool disputed, in_window;
    bool running; /* a refund of it is not decided yet */
};

/* Why there can be no refund, whatever the amount; empty: there can. */
slice purchases_refund_refusal(const struct refund_facts *facts, bool by_operator);

/* Manual purchases are paid, and their refunds paid back, without an operator's word. */
struct api;
bool purchases_are_immediate(const struct api *api);

/* The fields of a refund, into an object that is begun; from the nine columns of the statement
 * read_refund, which begin with the column `first` here. */
void refunds_write(const struct db_result *rows, size_t row, size_t first, struct json_writer *w);

/* The refund as it stands becomes the whole answer; the body of a transaction. NOT_FOUND. */
struct refund_answer {
    struct control_response *response;
    int64_t org;
    slice id;
};
status refunds_answer(struct db *db, void *context);

/* The id in an answer that idempotency_run() wrote, perhaps the one of a twin: `data`.`id`. */
status purchases_answered_id(struct control_request *request, struct control_response *response,
                             slice *id);

/* Asks Stripe about a purchase (nothing happens with another method), tells the core what moved,
 * and clears the answer for a new one. What fails here is left to the janitor. */
status purchases_continue(struct control_request *request, struct control_response *response,
                          const struct purchase_place *place);
