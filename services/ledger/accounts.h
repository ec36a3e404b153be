/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of account, as schema/0002_ledger.sql lists them: below 100 a customer's, from 100 the
 * platform's, which lie under org 0 once per cell. */
#pragma once

#include <stdbool.h>

enum account_kind {
    ACCOUNT_CREDIT_PAID = 1,
    ACCOUNT_CREDIT_PROMO = 2,
    ACCOUNT_ESCROW = 3, /* per cell */
    ACCOUNT_RECEIVABLE = 4,
    ACCOUNT_REFUND_PENDING = 5,
    ACCOUNT_PAYMENT_CLEARING = 101,
    ACCOUNT_PURCHASE_FEE_INCOME = 111,
    ACCOUNT_USAGE_INCOME = 112,
    ACCOUNT_BYOK_FEE_INCOME = 113,
    ACCOUNT_PROVIDER_EXPENSE = 121, /* per provider, as the next */
    ACCOUNT_PROVIDER_PAYABLE = 122,
    ACCOUNT_PROMO_EXPENSE = 131,
    ACCOUNT_DISPUTE_EXPENSE = 132,
    ACCOUNT_ABSORBED_EXPENSE = 133,
};

static inline bool account_is_platform(enum account_kind kind)
{
    return kind >= 100;
}
