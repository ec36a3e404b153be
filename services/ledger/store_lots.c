/* SPDX-License-Identifier: Apache-2.0 */
/* Credit past its time ends, one organization per transaction. What may end is decided in the
 * database (schema/0011_lots.sql), where lots, accounts and leases lie; a repeat finds nothing. */
#include "services/ledger/store.h"

#include "shared/array.h"
#include "shared/log.h"

struct expiring {
    uint16_t cell;
    int64_t org;
    money expired;
};

static status expire_body(struct db *db, void *context)
{
    struct expiring *expiring = context;
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(expiring->org), DB_P_I64(expiring->cell)};
    TRY(db_run(db, "lots_expire", params, COUNT_OF(params), &result));
    expiring->expired = db_money(result, 0, 0);
    return OK;
}

status store_expire_lots(struct db *db, uint16_t cell, int64_t *after)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(*after)};
    TRY(db_run(db, "lots_due", params, COUNT_OF(params), &result));
    if (db_row_count(result) == 0) *after = 0;
    for (size_t row = 0; row < db_row_count(result); row++) {
        struct expiring expiring = {.cell = cell, .org = db_i64(result, row, 0)};
        *after = expiring.org; /* one that fails does not keep the others waiting */
        TRY(db_transaction(db, 0, expire_body, &expiring));
        if (money_is_positive(expiring.expired))
            log_info("credit_expired", FN(number, org, expiring.org),
                     FN(amount, expired, expiring.expired));
    }
    return OK;
}
