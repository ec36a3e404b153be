/* SPDX-License-Identifier: Apache-2.0 */
/* Double entries made by the control plane. All accounts of a posting are made if absent, locked in
 * the one order, then moved. */
#pragma once

#include "services/ledger/accounts.h"
#include "shared/db.h"

struct entry {
    enum account_kind debit;
    enum account_kind credit;
    money amount; /* zero is skipped: a transfer moves more than nothing */
    const char *code;
};

#define ENTRIES_MAX 4

/* Inside a transaction with bourse.org = org. reference: what it is for, e.g. a purchase id. */
status postings_make(struct db *db, int64_t org, int64_t cell, const struct entry *entries,
                     size_t count, slice reference);
