/* SPDX-License-Identifier: Apache-2.0 */
/* One batch of journal records as the rows and sums that one transaction will write. Pure: what is
 * written where is decided here, store_posting.c carries it out. */
#pragma once

#include "services/ledger/accounts.h"
#include "services/ledger/journal/records.h"
#include "shared/arena.h"
#include "shared/clock.h"
#include "shared/generation_row.h"

#define HASH_SIZE 32

/* Sorted by key and summed, except transfers. */
struct account_move {
    int64_t org, kind, cell, detail;
    money debits, credits;
};
struct lease_move {
    int64_t org, meter, period, epoch;
    money settled;
};
struct period_move {
    int64_t org, meter, period;
    money spent, leased, byok_spent;
    int64_t requests;
};
struct transfer_row {
    int64_t org, debit_kind, debit_detail, credit_kind, credit_detail;
    money amount;
    slice code;
};
/* A meter of a member, a workspace or an organization; those exist only once a limit was set. */
struct owner_meter {
    int64_t org, owner_kind, owner, meter; /* enum meter_owner */
    enum cadence cadence;
};
struct late_charge { /* what no lease covered, per organization and kind of income */
    int64_t org;
    int64_t income;
    money amount;
};

enum posting_sum {
    POSTING_ACCOUNTS,
    POSTING_LEASES,
    POSTING_PERIODS,
    POSTING_TRANSFERS,
    POSTING_LATE,
    POSTING_SUMS
};

struct posting {
    struct arena *arena;
    uint16_t cell;
    uint32_t incarnation;
    uint64_t lo, hi; /* records (lo, hi] */
    uint64_t hold_first, hold_floor;
    uint8_t previous_link[HASH_SIZE];

    size_t count, count_max;
    struct record_ending *endings;
    uint64_t *seqs;
    slice *payloads;
    struct record_use *uses; /* after posting_finish(): the last of each key, by org and key */
    size_t use_count;
    bool finished;
    struct arena_mark gathered; /* what an attempt to post needs is behind it */

    /* After posting_finish(): */
    int64_t *numbers[GENERATION_NUMBER_COUNT];
    slice *texts[GENERATION_TEXT_COUNT];
    slice *attempts;
    money charge;
    struct account_move *accounts;
    size_t account_count;
    struct lease_move *leases;
    size_t lease_count;
    struct period_move *periods;
    size_t period_count;
    struct transfer_row *transfers;
    size_t transfer_count;
    struct late_charge *late;
    size_t late_count;
    uint32_t *recent[POSTING_SUMS]; /* while they are added up */
    uint8_t root[HASH_SIZE];
    uint8_t link[HASH_SIZE];
};

/* An empty batch after `lo`. Everything of it lives in the arena, which is reset. */
void posting_begin(struct posting *posting, struct arena *arena, size_t count_max);
/* The next record of the journal, of whatever type. MALFORMED. */
status posting_add(struct posting *posting, const struct record *record);
/* Rows and sums. OVERFLOW when a sum leaves int64: post fewer at once. Each time anew: what the
 * attempt before had allocated, here and behind it, is given back. */
status posting_finish(struct posting *posting);
/* Whose meters the batch may have to count in: one row per ending and owner, with doubles. */
size_t posting_owners(const struct posting *posting, int64_t *orgs, int64_t *kinds,
                      int64_t *owners); /* each has room for 3 × count */
/* Counts every settled row in the meters of its owners. `meters` is sorted here. Once, after
 * posting_finish(). */
status posting_count_meters(struct posting *posting, struct owner_meter *meters, size_t count);
/* Splits what no lease covered over what the customer still has and the receivable, given the
 * locked balances, which are used up here. Adds the account moves and transfers of it. */
struct late_balance {
    int64_t org;
    money promo;
    money paid;
};
status posting_pay_late(struct posting *posting, struct late_balance *balances, size_t count);
