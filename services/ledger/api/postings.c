/* SPDX-License-Identifier: Apache-2.0 */
/* See the header: ensure, lock, move, record. */
#include "services/ledger/api/postings.h"

#include <assert.h>

/* Customers' accounts touched here exist once, the platform's once per cell and under org 0. */
static int64_t org_of(enum account_kind kind, const struct booking *booking)
{
    return account_is_platform(kind) ? 0 : booking->org;
}

static int64_t cell_of(enum account_kind kind, const struct booking *booking)
{
    return account_is_platform(kind) ? booking->cell : 0;
}

static status ensure_and_lock(struct db *db, const struct booking *booking)
{
    int64_t orgs[2 * ENTRIES_MAX], kinds[2 * ENTRIES_MAX], cells[2 * ENTRIES_MAX];
    size_t count = 2 * booking->count;
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = &booking->entries[i / 2];
        enum account_kind kind = i % 2 == 0 ? entry->debit : entry->credit;
        orgs[i] = org_of(kind, booking);
        kinds[i] = kind;
        cells[i] = cell_of(kind, booking);
    }
    const struct db_param params[] = {DB_P_I64_ARRAY(orgs, count), DB_P_I64_ARRAY(kinds, count),
                                      DB_P_I64_ARRAY(cells, count)};
    TRY(db_run(db, "ensure_accounts", params, 3, NULL));
    return db_run(db, "lock_accounts", params, 3, NULL);
}

static status move(struct db *db, const char *statement, const struct booking *booking,
                   enum account_kind kind, money amount)
{
    return db_run(db, statement,
                  (const struct db_param[]){DB_P_I64(org_of(kind, booking)), DB_P_I64(kind),
                                            DB_P_I64(cell_of(kind, booking)), DB_P_MONEY(amount)},
                  4, NULL);
}

/* What moves between two accounts of the platform belongs to org 0. */
static status record(struct db *db, const struct booking *booking, const struct entry *entry)
{
    bool internal = account_is_platform(entry->debit) && account_is_platform(entry->credit);
    return db_run(db, "insert_transfer",
                  (const struct db_param[]){
                      DB_P_I64(internal ? 0 : booking->org), DB_P_I64(entry->debit),
                      DB_P_I64(entry->credit), DB_P_I64(booking->cell), DB_P_MONEY(entry->amount),
                      DB_P_TEXT(slice_of(entry->code)), DB_P_TEXT(booking->reference)},
                  7, NULL);
}

struct entry postings_refund_end(int64_t credit_cents, bool paid)
{
    return (struct entry){ACCOUNT_REFUND_PENDING,
                          paid ? ACCOUNT_PAYMENT_CLEARING : ACCOUNT_CREDIT_PAID,
                          money_of_cents(credit_cents), paid ? "refund" : "refund_void"};
}

status postings_make(struct db *db, const struct booking *booking)
{
    assert(booking->count <= ENTRIES_MAX);
    TRY(ensure_and_lock(db, booking));
    for (size_t i = 0; i < booking->count; i++) {
        const struct entry *entry = &booking->entries[i];
        if (money_is_zero(entry->amount)) continue;
        TRY(move(db, "debit_account", booking, entry->debit, entry->amount));
        TRY(move(db, "credit_account", booking, entry->credit, entry->amount));
        TRY(record(db, booking, entry));
    }
    return OK;
}
