/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that asks PostgreSQL what the core does not know: leases, callers, prices, the time.
 * Questions are answered in the order of questions.h, each exactly once, by an item in the inbox; a
 * database that is down is an answer, too. */
#pragma once

#include "services/ledger/inbox.h"
#include "services/ledger/store.h"

struct lender;

struct lender_settings {
    const char *database;
    struct store_cell cell;
    uint32_t questions_max; /* more never wait at once */
    struct inbox *inbox;
};

status lender_new(const struct lender_settings *settings, struct lender **lender);
void lender_start(struct lender *lender);
void lender_stop(struct lender *lender); /* what was asked before is answered first */
void lender_free(struct lender **lender);

void lender_ask_lease(struct lender *lender, const struct lease_request *request);
void lender_ask_caller(struct lender *lender, const struct key_hash *stored, bool stranger);
void lender_ask_prices(struct lender *lender);

/* PostgreSQL's clock, carried on by the boot clock (cell_clock.h). It is read once a second by the
 * lender's thread, and before that thread starts by whoever starts it. */
status lender_read_clock(struct lender *lender);
struct core_now lender_now(struct lender *lender); /* the core's thread only */
wall_time lender_wall(const struct lender *lender);
