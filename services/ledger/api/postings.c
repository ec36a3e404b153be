/* SPDX-License-Identifier: Apache-2.0 */
/* See the header: ensure, lock, move, record. */
#include "services/ledger/api/postings.h"

#include <assert.h>

/* Customers' accounts touched here exist once, the platform's once per cell and under org 0. */
static int64_t org_of(enum account_kind kind, int64_t org)
{
    return account_is_platform(kind) ? 0 : org;
}

static int64_t cell_of(enum account_kind kind, int64_t cell)
{
    return account_is_platform(kind) ? cell : 0;
}

static status ensure_and_lock(struct db *db, int64_t org, int64_t cell, const struct entry *entries,
                              size_t count)
{
    int64_t orgs[2 * ENTRIES_MAX], kinds[2 * ENTRIES_MAX], cells[2 * ENTRIES_MAX];
    for (size_t i = 0; i < 2 * count; i++) {
        enum account_kind kind = i % 2 == 0 ? entries[i / 2].debit : entries[i / 2].credit;
        orgs[i] = org_of(kind, org);
        kinds[i] = kind;
        cells[i] = cell_of(kind, cell);
    }
    const struct db_param params[] = {DB_P_I64_ARRAY(orgs, 2 * count),
                                      DB_P_I64_ARRAY(kinds, 2 * count),
                                      DB_P_I64_ARRAY(cells, 2 * count)};
    TRY(db_run(db, "ensure_accounts", params, 3, NULL));
    return db_run(db, "lock_accounts", params, 3, NULL);
}

static status move(struct db *db, const char *statement, enum account_kind kind, int64_t org,
                   int64_t cell, money amount)
{
    return db_run(db, statement,
                  (const struct db_param[]){DB_P_I64(org_of(kind, org)), DB_P_I64(kind),
                                            DB_P_I64(cell_of(kind, cell)), DB_P_MONEY(amount)},
                  4, NULL);
}

status postings_make(struct db *db, int64_t org, int64_t cell, const struct entry *entries,
                     size_t count, slice reference)
{
    assert(count <= ENTRIES_MAX);
    TRY(ensure_and_lock(db, org, cell, entries, count));
    for (size_t i = 0; i < count; i++) {
        const struct entry *p = &entries[i];
        if (money_is_zero(p->amount)) continue;
        TRY(move(db, "debit_account", p->debit, org, cell, p->amount));
        TRY(move(db, "credit_account", p->credit, org, cell, p->amount));
        bool internal = account_is_platform(p->debit) && account_is_platform(p->credit);
        TRY(db_run(db, "insert_transfer",
                   (const struct db_param[]){DB_P_I64(internal ? 0 : org), DB_P_I64(p->debit),
                                             DB_P_I64(p->credit), DB_P_I64(cell),
                                             DB_P_MONEY(p->amount), DB_P_TEXT(slice_of(p->code)),
                                             DB_P_TEXT(reference)},
                   7, NULL));
    }
    return OK;
}
