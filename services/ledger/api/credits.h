/* SPDX-License-Identifier: Apache-2.0 */
/* The credits of an organization: its figures, and the one way in. */
#pragma once

#include "services/ledger/api/postings.h"
#include "shared/http/control.h"

struct credits {
    int64_t org;
    money balance; /* what is left, less what could not be taken from credit */
    money usage;   /* what all keys ever spent */
    money total;   /* their sum: what was ever credited */
};

/* A body for db_transaction with a struct credits. OVERFLOW. */
status credits_query(struct db *db, void *credits);

/* postings_make() for money that comes in. Refused with a sentence (CONFLICT) when the counter of
 * an account would leave its column, or the organization's figures could not be read any more. */
status credits_book(struct db *db, struct control_response *response,
                    const struct booking *booking);

/* Calls back what this cell has on lease and no request needs, and waits a moment for it; it is
 * credit, or not owed, once it is back. Where it does not come in time, it counts as used. */
status credits_recall(struct control_request *request, struct control_response *response,
                      int64_t org);

/* Promotional credit that was booked in this transaction under this reference ends then; NULL:
 * never. */
status lots_set_expiry(struct db *db, int64_t org, slice reference, struct db_param expires_ns);
