/* SPDX-License-Identifier: Apache-2.0 */
/* From records to rows and sums: per account, lease and period one sum, sorted by key so that they
 * are locked in order. The general ledger gets one transfer per (organization, code) and per
 * provider. */
#include "services/ledger/posting.h"

#include <assert.h>
#include <stdlib.h>

#include "services/ledger/core/core.h"
#include "services/ledger/core/slots.h"
#include "services/ledger/posting_rows.h"

#define RECENT_PLACES 4096 /* of sums that more may be added to; a power of two */

static status fill_sums(struct posting *posting);
static void merge_uses(struct posting *posting);

void posting_begin(struct posting *posting, struct arena *arena, size_t count_max)
{
    arena_reset(arena);
    posting->arena = arena;
    posting->count = 0;
    posting->count_max = count_max;
    posting->endings = arena_alloc_unset(arena, count_max, sizeof(*posting->endings));
    posting->seqs = arena_alloc_unset(arena, count_max, sizeof(*posting->seqs));
    posting->payloads = arena_alloc_unset(arena, count_max, sizeof(*posting->payloads));
    posting->uses = arena_alloc_unset(arena, count_max, sizeof(*posting->uses));
    posting->use_count = 0;
    posting->finished = false;
    assert(posting->endings != NULL && posting->seqs != NULL && posting->payloads != NULL &&
           posting->uses != NULL);
}

status posting_add(struct posting *posting, const struct record *record)
{
    if (record->seq != posting->hi + 1) return FAIL(MALFORMED);
    assert(!posting->finished);
    posting->hi = record->seq;
    if (record->type == RECORD_use) {
        assert(posting->use_count < posting->count_max);
        return record_decode_use(record->payload, &posting->uses[posting->use_count++]);
    }
    if (record->type != RECORD_ending) return OK;
    assert(posting->count < posting->count_max);
    slice payload = arena_copy(posting->arena, record->payload);
    if (payload.data == NULL) return FAIL(TOO_LARGE);
    struct record_ending *ending = &posting->endings[posting->count];
    TRY(record_decode_ending(payload, ending));
    posting->seqs[posting->count] = record->seq;
    posting->payloads[posting->count] = payload;
    posting->hold_floor = ending->hold_floor;
    posting->count++;
    return OK;
}

status posting_finish(struct posting *posting)
{
    if (posting->finished)
        arena_rewind(posting->arena, posting->gathered);
    else
        posting->gathered = arena_take_mark(posting->arena);
    posting->finished = true;
    merge_uses(posting);
    TRY(posting_fill_rows(posting));
    return fill_sums(posting);
}

/* ---- sums ----------------------------------------------------------------------------------- */

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* Lexicographic order of the numbers at the front of both structures. */
static int compare_numbers(const int64_t *a, const int64_t *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (a[i] != b[i]) return order(a[i], b[i]);
    }
    return 0;
}

static status add_to(money *sum, money amount)
{
    return money_add(*sum, amount, sum);
}

static status add_account_move(void *into, const void *move)
{
    struct account_move *sum = into, both = *sum;
    const struct account_move *more = move;
    TRY(add_to(&both.debits, more->debits));
    TRY(add_to(&both.credits, more->credits));
    *sum = both;
    return OK;
}

static status add_lease_move(void *into, const void *move)
{
    return add_to(&((struct lease_move *)into)->settled,
                  ((const struct lease_move *)move)->settled);
}

static status add_period_move(void *into, const void *move)
{
    struct period_move *sum = into, all = *sum;
    const struct period_move *more = move;
    TRY(add_to(&all.spent, more->spent));
    TRY(add_to(&all.leased, more->leased));
    TRY(add_to(&all.byok_spent, more->byok_spent));
    all.requests += more->requests;
    *sum = all;
    return OK;
}

/* Settlements of one organization have one code; so do costs of one provider. */
static status add_transfer_row(void *into, const void *row)
{
    return add_to(&((struct transfer_row *)into)->amount,
                  ((const struct transfer_row *)row)->amount);
}

static status add_late_charge(void *into, const void *late)
{
    return add_to(&((struct late_charge *)into)->amount,
                  ((const struct late_charge *)late)->amount);
}

/* What is added up by key. Each begins with the numbers of its key; a failed addition changes
 * nothing. */
static const struct sum_kind {
    size_t size;
    size_t key_numbers;
    status (*add)(void *into, const void *more);
} sum_kinds[] = {
    [POSTING_ACCOUNTS] = {sizeof(struct account_move), 4, add_account_move},
    [POSTING_LEASES] = {sizeof(struct lease_move), 4, add_lease_move},
    [POSTING_PERIODS] = {sizeof(struct period_move), 3, add_period_move},
    [POSTING_TRANSFERS] = {sizeof(struct transfer_row), 5, add_transfer_row},
    [POSTING_LATE] = {sizeof(struct late_charge), 2, add_late_charge},
};

/* Where the last sum of such a key stands, counted from 1; 0: nowhere. */
static uint32_t *recent(const struct posting *posting, enum posting_sum kind, const int64_t *key)
{
    uint64_t mixed = 0;
    for (size_t i = 0; i < sum_kinds[kind].key_numbers; i++)
        mixed = slot_mix(mixed ^ (uint64_t)key[i]);
    return &posting->recent[kind][mixed % RECENT_PLACES];
}

/* Most endings are of keys that others of the batch have, too, and what is added up at once need
 * not be sorted. Keys that share a place take turns, and find each other when all are sorted; so
 * does a sum that does not fit, and is refused then. `items` has room. */
static void sum_up(struct posting *posting, enum posting_sum kind, void *items, size_t *count,
                   const void *more)
{
    const struct sum_kind *of = &sum_kinds[kind];
    uint32_t *last = recent(posting, kind, more);
    char *sums = items;
    void *before = sums + (size_t)(*last - (*last > 0)) * of->size;
    bool same = *last > 0 && compare_numbers(before, more, of->key_numbers) == 0;
    if (same && status_ok(of->add(before, more))) return;
    memcpy(sums + *count * of->size, more, of->size);
    *count += 1;
    *last = (uint32_t)*count;
}

static int compare_keys(const void *a, const void *b, void *kind)
{
    return compare_numbers(a, b, ((const struct sum_kind *)kind)->key_numbers);
}

/* Sorted, and one of each key; none of them is where it was. OVERFLOW. */
static status merge(struct posting *posting, enum posting_sum kind, void *items, size_t *count)
{
    struct sum_kind of = sum_kinds[kind];
    char *sums = items, *end = sums + *count * of.size, *last = NULL;
    qsort_r(items, *count, of.size, compare_keys, &of);
    for (char *next = sums; next < end; next += of.size) {
        if (last != NULL && compare_keys(last, next, &of) == 0) {
            TRY(of.add(last, next));
            continue;
        }
        last = last == NULL ? sums : last + of.size;
        if (last != next) memcpy(last, next, of.size);
    }
    *count = last == NULL ? 0 : (size_t)(last - sums) / of.size + 1;
    memset(posting->recent[kind], 0, RECENT_PLACES * sizeof(uint32_t));
    return OK;
}

static void add_account(struct posting *posting, struct account_move move)
{
    if (!money_is_zero(move.debits) || !money_is_zero(move.credits))
        sum_up(posting, POSTING_ACCOUNTS, posting->accounts, &posting->account_count, &move);
}

static void add_lease(struct posting *posting, struct lease_move move)
{
    if (!money_is_zero(move.settled))
        sum_up(posting, POSTING_LEASES, posting->leases, &posting->lease_count, &move);
}

static void add_period(struct posting *posting, struct period_move move)
{
    sum_up(posting, POSTING_PERIODS, posting->periods, &posting->period_count, &move);
}

static void add_transfer(struct posting *posting, struct transfer_row row)
{
    if (!money_is_zero(row.amount))
        sum_up(posting, POSTING_TRANSFERS, posting->transfers, &posting->transfer_count, &row);
}

static void add_late(struct posting *posting, struct late_charge late)
{
    if (!money_is_zero(late.amount))
        sum_up(posting, POSTING_LATE, posting->late, &posting->late_count, &late);
}

/* The provider is owed for its work whether the customer pays or not. */
static void add_provider(struct posting *posting, const struct record_ending *ending)
{
    bool absorbed = ending->state != ENDING_SETTLED;
    int64_t provider = at_most(ending->facts.provider, INT32_MAX);
    int64_t expense = absorbed ? ACCOUNT_ABSORBED_EXPENSE : ACCOUNT_PROVIDER_EXPENSE;
    int64_t expense_detail = absorbed ? 0 : provider;
    money cost = ending->provider_cost;
    add_account(posting,
                (struct account_move){0, expense, posting->cell, expense_detail, cost, MONEY_ZERO});
    add_account(posting, (struct account_move){0, ACCOUNT_PROVIDER_PAYABLE, posting->cell, provider,
                                               MONEY_ZERO, cost});
    add_transfer(posting, (struct transfer_row){
                              0, expense, expense_detail, ACCOUNT_PROVIDER_PAYABLE, provider, cost,
                              absorbed ? SLICE("absorbed") : SLICE("provider_cost")});
}

/* What the leases of its meters covered is not leased any more. */
static void add_meters(struct posting *posting, const struct record_ending *ending)
{
    uint8_t room[METER_SHARE_SIZE];
    slice shares = record_ending_meters(ending, room);
    struct meter_share share;
    while (meter_share_next(&shares, &share)) {
        if (money_is_zero(share.leased)) continue;
        add_lease(posting, (struct lease_move){ending->org, share.meter, share.period,
                                               (int64_t)ending->epoch, share.leased});
        add_period(posting, (struct period_move){.org = ending->org,
                                                 .meter = share.meter,
                                                 .period = share.period,
                                                 .leased = share.leased});
    }
}

/* What the allowance gave is spent of it, and no longer leased; without an epoch no lease covers
 * it. */
static void add_allowance(struct posting *posting, const struct record_ending *ending)
{
    if (ending->byok_unit == BYOK_NONE || ending->state != ENDING_SETTLED) return;
    money leased = ending->epoch == 0 ? MONEY_ZERO : ending->byok_units;
    struct period_move move = {
        .org = ending->org,
        .meter = meter_of_allowance(ending->org, (enum byok_unit)ending->byok_unit),
        .period = clock_period(CADENCE_MONTH, (wall_time){ending->created_ns}),
        .spent = ending->byok_units,
        .leased = leased,
        .requests = 1,
    };
    add_period(posting, move);
    add_lease(posting, (struct lease_move){ending->org, move.meter, move.period,
                                           (int64_t)ending->epoch, leased});
}

/* With an own key the charge is a fee. */
static enum account_kind income_of(const struct record_ending *ending)
{
    return ending->byok_unit == BYOK_NONE ? ACCOUNT_USAGE_INCOME : ACCOUNT_BYOK_FEE_INCOME;
}

static void add_customer(struct posting *posting, const struct record_ending *ending)
{
    money leased = ending->leased;
    enum account_kind income = income_of(ending);
    add_account(posting, (struct account_move){ending->org, ACCOUNT_ESCROW, posting->cell, 0,
                                               leased, MONEY_ZERO});
    add_account(posting, (struct account_move){0, income, posting->cell, 0, MONEY_ZERO, leased});
    add_transfer(posting,
                 (struct transfer_row){ending->org, ACCOUNT_ESCROW, 0, income, 0, leased,
                                       income == ACCOUNT_USAGE_INCOME ? SLICE("settle")
                                                                      : SLICE("byok_fee")});
    add_lease(posting, (struct lease_move){ending->org, 0, 0, (int64_t)ending->epoch, leased});
    add_meters(posting, ending);
    add_allowance(posting, ending);
    add_late(posting,
             (struct late_charge){ending->org, income, money_minus(ending->charge, leased)});
}

/* What an ending costs counts in the periods of its hold. */
static wall_time counted_at(const struct record_ending *ending)
{
#ifdef BUG_RESET_JOB /* planted by a test: in those that a job has set, which runs once a minute */
    static wall_time current;
    static uint64_t due_ms;
    if (clock_monotonic_ms() < due_ms) return current;
    current.ns = ending->created_ns;
    due_ms = clock_monotonic_ms() + 60000;
#endif
    return (wall_time){ending->created_ns};
}

/* Every key has a meter per cadence, in the period of the hold. */
static void add_periods(struct posting *posting, const struct record_ending *ending)
{
    if (ending->state != ENDING_SETTLED) return;
    for (int cadence = 0; cadence < CADENCE_COUNT; cadence++) {
        struct period_move move = {
            .org = ending->org,
            .meter = meter_of_key(ending->key, (enum cadence)cadence),
            .period = clock_period((enum cadence)cadence, counted_at(ending)),
            .spent = ending->charge,
            .byok_spent = ending->byok_list,
            .requests = 1,
        };
        add_period(posting, move);
    }
}

static size_t count_meters(const struct posting *posting)
{
    size_t count = 0;
    uint8_t room[METER_SHARE_SIZE];
    for (size_t i = 0; i < posting->count; i++)
        count += record_ending_meters(&posting->endings[i], room).len / METER_SHARE_SIZE;
    return count;
}

/* Room for the most that this batch can need, late charges included. */
static status allocate_sums(struct posting *posting)
{
    size_t count = posting->count + 1;
    size_t meters = count_meters(posting);
    struct arena *arena = posting->arena;
    posting->accounts = arena_alloc_unset(arena, count * 10, sizeof(*posting->accounts));
    posting->leases = arena_alloc_unset(arena, 2 * count + meters, sizeof(*posting->leases));
    posting->periods =
        arena_alloc_unset(arena, count * (CADENCE_COUNT + 1) + meters, sizeof(*posting->periods));
    posting->transfers = arena_alloc_unset(arena, count * 5, sizeof(*posting->transfers));
    posting->late = arena_alloc_unset(arena, count, sizeof(*posting->late));
    bool recent_fit = true;
    for (size_t kind = 0; kind < POSTING_SUMS; kind++) {
        posting->recent[kind] = arena_alloc_array(arena, RECENT_PLACES, sizeof(uint32_t));
        recent_fit &= posting->recent[kind] != NULL;
    }
    bool enough = recent_fit && posting->accounts != NULL && posting->leases != NULL &&
                  posting->periods != NULL && posting->transfers != NULL && posting->late != NULL;
    posting->account_count = posting->lease_count = posting->period_count = 0;
    posting->transfer_count = posting->late_count = 0;
    posting->charge = MONEY_ZERO;
    return enough ? OK : FAIL(TOO_LARGE);
}

static status merge_all(struct posting *posting)
{
    TRY(merge(posting, POSTING_ACCOUNTS, posting->accounts, &posting->account_count));
    TRY(merge(posting, POSTING_LEASES, posting->leases, &posting->lease_count));
    TRY(merge(posting, POSTING_PERIODS, posting->periods, &posting->period_count));
    TRY(merge(posting, POSTING_TRANSFERS, posting->transfers, &posting->transfer_count));
    return merge(posting, POSTING_LATE, posting->late, &posting->late_count);
}

static status fill_sums(struct posting *posting)
{
    TRY(allocate_sums(posting));
    for (size_t i = 0; i < posting->count; i++) {
        const struct record_ending *ending = &posting->endings[i];
        TRY(add_to(&posting->charge, ending->charge));
        add_customer(posting, ending);
        add_provider(posting, ending);
        add_periods(posting, ending);
    }
    return merge_all(posting);
}

/* ---- meters of members, workspaces, organizations ------------------------------------------- */

size_t posting_owners(const struct posting *posting, int64_t *orgs, int64_t *kinds, int64_t *owners)
{
    size_t count = 0;
    for (size_t i = 0; i < posting->count; i++) {
        const struct record_ending *ending = &posting->endings[i];
        if (ending->state != ENDING_SETTLED) continue;
        const int64_t all[][2] = {{OWNER_MEMBER, ending->member},
                                  {OWNER_WORKSPACE, ending->workspace},
                                  {OWNER_ORG, ending->org}};
        for (size_t j = 0; j < sizeof(all) / sizeof(all[0]); j++) {
            if (all[j][1] == 0) continue; /* a key of no member */
            orgs[count] = ending->org;
            kinds[count] = all[j][0];
            owners[count++] = all[j][1];
        }
    }
    return count;
}

static int compare_meters(const void *a, const void *b)
{
    return compare_numbers(a, b, 4);
}

static int compare_owners(const void *a, const void *b)
{
    return compare_numbers(a, b, 3);
}

/* The first meter of an owner; its others follow. */
static const struct owner_meter *find_meters(const struct owner_meter *meters, size_t count,
                                             const struct owner_meter *owner)
{
    const struct owner_meter *found = bsearch(owner, meters, count, sizeof(*owner), compare_owners);
    while (found != NULL && found > meters && compare_owners(found - 1, owner) == 0)
        found--;
    return found;
}

static void count_in(struct posting *posting, const struct record_ending *ending,
                     const struct owner_meter *key, const struct owner_meter *meters, size_t count)
{
    const struct owner_meter *meter = find_meters(meters, count, key);
    if (meter == NULL) return;
    for (; meter < meters + count && compare_owners(meter, key) == 0; meter++) {
        add_period(posting, (struct period_move){
                                .org = ending->org,
                                .meter = meter->meter,
                                .period = clock_period(meter->cadence, counted_at(ending)),
                                .spent = ending->charge,
                                .byok_spent = ending->byok_list,
                                .requests = 1,
                            });
    }
}

/* The most that one row can count in: each owner's cadences. */
#define OWNER_METERS_MAX (3 * CADENCE_COUNT)

status posting_count_meters(struct posting *posting, struct owner_meter *meters, size_t count)
{
    if (count == 0) return OK;
    size_t room = posting->period_count + posting->count * OWNER_METERS_MAX;
    struct period_move *all = arena_alloc_unset(posting->arena, room, sizeof(*all));
    if (all == NULL) return FAIL(TOO_LARGE);
    memcpy(all, posting->periods, posting->period_count * sizeof(*all));
    posting->periods = all;
    qsort(meters, count, sizeof(*meters), compare_meters);
    for (size_t i = 0; i < posting->count; i++) {
        const struct record_ending *ending = &posting->endings[i];
        if (ending->state != ENDING_SETTLED) continue;
        const int64_t owners[][2] = {{OWNER_MEMBER, ending->member},
                                     {OWNER_WORKSPACE, ending->workspace},
                                     {OWNER_ORG, ending->org}};
        for (size_t j = 0; j < sizeof(owners) / sizeof(owners[0]); j++) {
            const struct owner_meter key = {
                .org = ending->org, .owner_kind = owners[j][0], .owner = owners[j][1]};
            count_in(posting, ending, &key, meters, count);
        }
    }
    return merge(posting, POSTING_PERIODS, posting->periods, &posting->period_count);
}

/* ---- what no lease covered ------------------------------------------------------------------ */

static void pay_from(struct posting *posting, const struct late_charge *late,
                     enum account_kind kind, money amount)
{
    slice code = late->income == ACCOUNT_USAGE_INCOME ? SLICE("settle_late") : SLICE("byok_fee");
    add_account(posting, (struct account_move){late->org, kind, 0, 0, amount, MONEY_ZERO});
    add_account(posting,
                (struct account_move){0, late->income, posting->cell, 0, MONEY_ZERO, amount});
    add_transfer(posting, (struct transfer_row){late->org, kind, 0, late->income, 0, amount, code});
}

/* What a balance can pay of an amount is gone from both. */
static money pay(money *balance, money *amount)
{
    money paid = money_min(*amount, *balance);
    *balance = money_minus(*balance, paid);
    *amount = money_minus(*amount, paid);
    return paid;
}

static struct late_balance *find_balance(struct late_balance *balances, size_t count, int64_t org)
{
    for (size_t i = 0; i < count; i++) {
        if (balances[i].org == org) return &balances[i];
    }
    return NULL;
}

status posting_pay_late(struct posting *posting, struct late_balance *balances, size_t count)
{
    for (size_t i = 0; i < posting->late_count; i++) {
        const struct late_charge *late = &posting->late[i];
        struct late_balance none = {.org = late->org};
        struct late_balance *balance = find_balance(balances, count, late->org);
        if (balance == NULL) balance = &none;
        money rest = late->amount;
        pay_from(posting, late, ACCOUNT_CREDIT_PROMO, pay(&balance->promo, &rest));
        pay_from(posting, late, ACCOUNT_CREDIT_PAID, pay(&balance->paid, &rest));
        pay_from(posting, late, ACCOUNT_RECEIVABLE, rest);
    }
    return merge(posting, POSTING_ACCOUNTS, posting->accounts, &posting->account_count);
}

/* ---- uses of keys --------------------------------------------------------------------------- */

static int compare_uses(const void *a, const void *b)
{
    return compare_numbers(a, b, 3);
}

static void merge_uses(struct posting *posting)
{
    size_t kept = 0;
    struct record_use *uses = posting->uses;
    qsort(uses, posting->use_count, sizeof(*uses), compare_uses);
    for (size_t i = 0; i < posting->use_count; i++) {
        bool same_key = kept > 0 && compare_numbers(&uses[kept - 1].org, &uses[i].org, 2) == 0;
        if (same_key) kept--;
        uses[kept++] = uses[i];
    }
    posting->use_count = kept;
}
