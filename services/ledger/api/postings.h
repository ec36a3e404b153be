/* SPDX-License-Identifier: Apache-2.0 */
/* Double entries made by the control plane. All accounts of a posting are made if absent, locked in
 * the one order, then moved. */
#pragma once

#include "shared/db.h"

/* Kinds of account, as schema/0002_ledger.sql lists them. */
enum account_kind {
    ACCOUNT_CREDIT_PAID = 1,
    ACCOUNT_CREDIT_PROMO = 2,
    ACCOUNT_PAYMENT_CLEARING = 101,
    ACCOUNT_PURCHASE_FEE_INCOME = 111,
    ACCOUNT_PROMO_EXPENSE = 131,
};

struct posting {
    enum account_kind debit;
    enum account_kind credit;
    money amount; /* zero is skipped: a transfer moves more than nothing */
    const char *code;
};

#define POSTINGS_MAX 4

/* Inside a transaction with bourse.org = org. reference: what it is for, e.g. a purchase id. */
status postings_make(struct db *db, int64_t org, int64_t cell, const struct posting *postings,
                     size_t count, slice reference);
