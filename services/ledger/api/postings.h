/* SPDX-License-Identifier: Apache-2.0 */
/* Double entries made by the control plane. All accounts of a booking are made if absent, locked in
 * the one order, then moved. */
#pragma once

#include "services/ledger/accounts.h"
#include "shared/db.h"

#define ENTRIES_MAX 4

struct entry {
    enum account_kind debit;
    enum account_kind credit;
    money amount; /* zero is skipped: a transfer moves more than nothing */
    const char *code;
};
struct booking {
    int64_t org, cell;
    slice reference; /* what it is for, e.g. a purchase id */
    size_t count;
    struct entry entries[ENTRIES_MAX];
};

/* How a refund ends whose credit waits in refund_pending: paid back, or credit again. */
struct entry postings_refund_end(int64_t credit_cents, bool paid);

/* Inside a transaction with bourse.org = booking->org. */
status postings_make(struct db *db, const struct booking *booking);
