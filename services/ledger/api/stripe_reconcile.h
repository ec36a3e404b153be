/* SPDX-License-Identifier: Apache-2.0 */
/* Once a day everything that moved at Stripe the day before is compared with our purchases. */
#pragma once

#include "services/ledger/api/stripe.h"
#include "shared/db.h"

struct reconciliation {
    const struct stripe *stripe;
    struct db *db;
    /* Asks Stripe about a purchase: NOT_FOUND where there is none, PAYMENTS_DOWN where Stripe is
     * silent altogether. */
    status (*look_at)(void *context, int64_t org, slice purchase, slice intent);
    bool (*is_stopping)(void *context);
    void *context;
};

/* OK also when no day is due. A day that was not compared to its end is begun anew next time; one
 * purchase about which nothing is told does not keep it from its end. */
status stripe_reconcile(const struct reconciliation *reconciliation);
