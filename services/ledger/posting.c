/* SPDX-License-Identifier: Apache-2.0 */
/* From records to rows: the generation columns, and per account, lease and period one sum, sorted
 * by key so that they are locked in order. The general ledger gets one transfer per (organization,
 * code) and per provider. */
#include "services/ledger/posting.h"

#include <assert.h>
#include <stdlib.h>

#include "services/ledger/core/core.h"
#include "shared/merkle.h"
#include "services/ledger/text.h"

#define ATTEMPT_SIZE 15

static status fill_rows(struct posting *posting);
static status fill_sums(struct posting *posting);
static status hash_rows(struct posting *posting);
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
    TRY(fill_rows(posting));
    TRY(fill_sums(posting));
    return hash_rows(posting);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int64_t at_most(uint64_t value, int64_t max)
{
    return value > (uint64_t)max ? max : (int64_t)value;
}

/* As the column holds them: see codec.h. */
static slice encode_attempts(struct arena *arena, const struct generation_facts *facts)
{
    size_t size = 1 + (size_t)facts->attempt_count * ATTEMPT_SIZE;
    char *memory = arena_alloc(arena, size);
    if (memory == NULL) return (slice){NULL, 0};
    struct buffer out;
    buffer_init_fixed(&out, memory, size);
    codec_put_attempts(&out, facts);
    return buffer_slice(&out);
}

/* The class, and whose key it was, are the ledger's own knowledge, whatever the edge says. */
static int64_t flags_of(const struct record_ending *ending)
{
    uint32_t said = ending->facts.flags & ~(uint32_t)(FACT_FREE_MODEL | FACT_BYOK);
    uint32_t free_model = ending->model_class == MODEL_FREE ? FACT_FREE_MODEL : 0;
    uint32_t byok = ending->byok_unit != BYOK_NONE ? FACT_BYOK : 0;
    return at_most(said | free_model | byok, INT32_MAX);
}

/* Ids and durations are 32 bits on the wire and signed in the table: a larger one can only be
 * nonsense and is cut. */
static void fill_numbers(struct posting *posting, size_t row)
{
    const struct record_ending *ending = &posting->endings[row];
    const struct generation_facts *facts = &ending->facts;
    int64_t values[GENERATION_NUMBER_COUNT] = {
        [GENERATION_org] = ending->org,
        [GENERATION_day] = clock_period(CADENCE_DAY, (wall_time){ending->created_ns}),
        [GENERATION_hold] = (int64_t)ending->hold,
        [GENERATION_part] = ending->part,
        [GENERATION_seq] = (int64_t)posting->seqs[row],
        [GENERATION_workspace] = ending->workspace,
        [GENERATION_member] = ending->member,
        [GENERATION_key] = ending->key,
        [GENERATION_created_ns] = ending->created_ns,
        [GENERATION_state] = ending->state,
        [GENERATION_reason] = at_most(ending->reason, INT16_MAX),
        [GENERATION_price] = at_most(ending->price_id, INT32_MAX),
        [GENERATION_held] = ending->held.nano,
        [GENERATION_charge] = ending->charge.nano,
        [GENERATION_charge_told] = ending->charge_told.nano,
        [GENERATION_provider_cost] = ending->provider_cost.nano,
        [GENERATION_flags] = flags_of(ending),
        [GENERATION_finish] = facts->finish,
        [GENERATION_model] = at_most(facts->model, INT32_MAX),
        [GENERATION_endpoint] = at_most(facts->endpoint, INT32_MAX),
        [GENERATION_provider] = at_most(facts->provider, INT32_MAX),
        [GENERATION_first_byte_ms] = at_most(facts->first_byte_ms, INT32_MAX),
        [GENERATION_total_ms] = at_most(facts->total_ms, INT32_MAX),
        [GENERATION_byok_unit] = ending->byok_unit,
        [GENERATION_byok_fee_basis_points] = ending->byok_fee_basis_points,
        [GENERATION_byok_list] = ending->byok_list.nano,
        [GENERATION_byok_units] = ending->byok_units.nano,
    };
#define X(name) values[GENERATION_##name] = at_most(ending->usage.units[BILLING_##name], INT32_MAX);
    BILLING_CLASSES(X)
#undef X
    for (size_t column = 0; column < GENERATION_NUMBER_COUNT; column++)
        posting->numbers[column][row] = values[column];
}

static status fill_texts(struct posting *posting, size_t row)
{
    const struct generation_facts *facts = &posting->endings[row].facts;
    const slice texts[GENERATION_TEXT_COUNT] = {
#define X(name) [GENERATION_##name] = facts->name,
        GENERATION_TEXTS(X)
#undef X
    };
    for (size_t column = 0; column < GENERATION_TEXT_COUNT; column++) {
        slice clean = text_clean(posting->arena, texts[column]);
        if (clean.data == NULL) return FAIL(TOO_LARGE);
        posting->texts[column][row] = clean;
    }
    posting->attempts[row] = encode_attempts(posting->arena, facts);
    return posting->attempts[row].data == NULL ? FAIL(TOO_LARGE) : OK;
}

static status fill_rows(struct posting *posting)
{
    struct arena *arena = posting->arena;
    for (size_t column = 0; column < GENERATION_NUMBER_COUNT; column++) {
        posting->numbers[column] = arena_alloc_unset(arena, posting->count + 1, sizeof(int64_t));
        if (posting->numbers[column] == NULL) return FAIL(TOO_LARGE);
    }
    for (size_t column = 0; column < GENERATION_TEXT_COUNT; column++) {
        posting->texts[column] = arena_alloc_unset(arena, posting->count + 1, sizeof(slice));
        if (posting->texts[column] == NULL) return FAIL(TOO_LARGE);
    }
    posting->attempts = arena_alloc_unset(arena, posting->count + 1, sizeof(slice));
    if (posting->attempts == NULL) return FAIL(TOO_LARGE);
    for (size_t row = 0; row < posting->count; row++) {
        fill_numbers(posting, row);
        TRY(fill_texts(posting, row));
    }
    return OK;
}

/* ---- sums ----------------------------------------------------------------------------------- */

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* Lexicographic order of up to five numbers at the front of both structures. */
static int compare_numbers(const int64_t *a, const int64_t *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (a[i] != b[i]) return order(a[i], b[i]);
    }
    return 0;
}

static int compare_accounts(const void *a, const void *b)
{
    return compare_numbers(a, b, 4);
}

static int compare_leases(const void *a, const void *b)
{
    return compare_numbers(a, b, 4);
}

static int compare_periods(const void *a, const void *b)
{
    return compare_numbers(a, b, 3);
}

static int compare_transfers(const void *a, const void *b)
{
    return compare_numbers(a, b, 5);
}

static int compare_late(const void *a, const void *b)
{
    return compare_numbers(a, b, 2);
}

static status add_to(money *sum, money amount)
{
    return money_add(*sum, amount, sum);
}

static void add_account(struct posting *posting, struct account_move move)
{
    if (money_is_zero(move.debits) && money_is_zero(move.credits)) return;
    posting->accounts[posting->account_count++] = move;
}

static status add_move(struct account_move *sum, const struct account_move *move)
{
    TRY(add_to(&sum->debits, move->debits));
    return add_to(&sum->credits, move->credits);
}

/* The platform's moves are mostly of the same accounts as those of the ending before; they are
 * added up at once, which spares sorting three of four and a tenth of the poster's CPU. Of debits
 * and credits one is zero. A sum that does not fit is refused with the others. */
static void add_platform(struct posting *posting, size_t role, struct account_move move)
{
    size_t *last = &posting->last_moves[role];
    if (money_is_zero(move.debits) && money_is_zero(move.credits)) return;
    struct account_move *before = &posting->accounts[*last];
    bool same = *last < posting->account_count && compare_accounts(before, &move) == 0;
    if (same && status_ok(add_move(before, &move))) return;
    *last = posting->account_count;
    add_account(posting, move);
}

static void add_lease(struct posting *posting, struct lease_move move)
{
    if (!money_is_zero(move.settled)) posting->leases[posting->lease_count++] = move;
}

static void add_transfer(struct posting *posting, struct transfer_row row)
{
    if (!money_is_zero(row.amount)) posting->transfers[posting->transfer_count++] = row;
}

static void add_cost(struct posting *posting, struct transfer_row row)
{
    struct transfer_row *before = &posting->transfers[posting->last_cost];
    bool same =
        posting->last_cost < posting->transfer_count && compare_transfers(before, &row) == 0;
    if (same && status_ok(add_to(&before->amount, row.amount))) return;
    posting->last_cost = posting->transfer_count;
    add_transfer(posting, row);
}

/* The provider is owed for its work whether the customer pays or not. */
static void add_provider(struct posting *posting, const struct record_ending *ending)
{
    bool absorbed = ending->state != ENDING_SETTLED;
    int64_t provider = at_most(ending->facts.provider, INT32_MAX);
    int64_t expense = absorbed ? ACCOUNT_ABSORBED_EXPENSE : ACCOUNT_PROVIDER_EXPENSE;
    int64_t expense_detail = absorbed ? 0 : provider;
    money cost = ending->provider_cost;
    add_platform(
        posting, POSTING_EXPENSE,
        (struct account_move){0, expense, posting->cell, expense_detail, cost, MONEY_ZERO});
    add_platform(posting, POSTING_PAYABLE,
                 (struct account_move){0, ACCOUNT_PROVIDER_PAYABLE, posting->cell, provider,
                                       MONEY_ZERO, cost});
    add_cost(posting,
             (struct transfer_row){0, expense, expense_detail, ACCOUNT_PROVIDER_PAYABLE, provider,
                                   cost, absorbed ? SLICE("absorbed") : SLICE("provider_cost")});
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
        posting->periods[posting->period_count++] = (struct period_move){.org = ending->org,
                                                                         .meter = share.meter,
                                                                         .period = share.period,
                                                                         .leased = share.leased};
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
    posting->periods[posting->period_count++] = move;
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
    add_platform(posting, POSTING_INCOME,
                 (struct account_move){0, income, posting->cell, 0, MONEY_ZERO, leased});
    add_transfer(posting,
                 (struct transfer_row){ending->org, ACCOUNT_ESCROW, 0, income, 0, leased,
                                       income == ACCOUNT_USAGE_INCOME ? SLICE("settle")
                                                                      : SLICE("byok_fee")});
    add_lease(posting, (struct lease_move){ending->org, 0, 0, (int64_t)ending->epoch, leased});
    add_meters(posting, ending);
    add_allowance(posting, ending);
    money late = money_minus(ending->charge, leased);
    if (!money_is_zero(late))
        posting->late[posting->late_count++] = (struct late_charge){ending->org, income, late};
}

/* Every key has a meter per cadence, in the period of the hold. */
static void add_periods(struct posting *posting, const struct record_ending *ending)
{
    if (ending->state != ENDING_SETTLED) return;
    for (int cadence = 0; cadence < CADENCE_COUNT; cadence++) {
        struct period_move move = {
            .org = ending->org,
            .meter = meter_of_key(ending->key, (enum cadence)cadence),
            .period = clock_period((enum cadence)cadence, (wall_time){ending->created_ns}),
            .spent = ending->charge,
            .byok_spent = ending->byok_list,
            .requests = 1,
        };
        posting->periods[posting->period_count++] = move;
    }
}

static status merge_accounts(struct posting *posting)
{
    size_t kept = 0;
    struct account_move *moves = posting->accounts;
    qsort(moves, posting->account_count, sizeof(*moves), compare_accounts);
    for (size_t i = 0; i < posting->account_count; i++) {
        if (kept == 0 || compare_accounts(&moves[kept - 1], &moves[i]) != 0) {
            moves[kept++] = moves[i];
            continue;
        }
        TRY(add_move(&moves[kept - 1], &moves[i]));
    }
    posting->account_count = kept;
    return OK;
}

static status merge_leases(struct posting *posting)
{
    size_t kept = 0;
    struct lease_move *moves = posting->leases;
    qsort(moves, posting->lease_count, sizeof(*moves), compare_leases);
    for (size_t i = 0; i < posting->lease_count; i++) {
        if (kept == 0 || compare_leases(&moves[kept - 1], &moves[i]) != 0) {
            moves[kept++] = moves[i];
            continue;
        }
        TRY(add_to(&moves[kept - 1].settled, moves[i].settled));
    }
    posting->lease_count = kept;
    return OK;
}

static status merge_periods(struct posting *posting)
{
    size_t kept = 0;
    struct period_move *moves = posting->periods;
    qsort(moves, posting->period_count, sizeof(*moves), compare_periods);
    for (size_t i = 0; i < posting->period_count; i++) {
        if (kept == 0 || compare_periods(&moves[kept - 1], &moves[i]) != 0) {
            moves[kept++] = moves[i];
            continue;
        }
        TRY(add_to(&moves[kept - 1].spent, moves[i].spent));
        TRY(add_to(&moves[kept - 1].leased, moves[i].leased));
        TRY(add_to(&moves[kept - 1].byok_spent, moves[i].byok_spent));
        moves[kept - 1].requests += moves[i].requests;
    }
    posting->period_count = kept;
    return OK;
}

/* Settlements of one organization have one code; so do costs of one provider. */
static status merge_transfers(struct posting *posting)
{
    size_t kept = 0;
    struct transfer_row *rows = posting->transfers;
    qsort(rows, posting->transfer_count, sizeof(*rows), compare_transfers);
    for (size_t i = 0; i < posting->transfer_count; i++) {
        if (kept == 0 || compare_transfers(&rows[kept - 1], &rows[i]) != 0) {
            rows[kept++] = rows[i];
            continue;
        }
        TRY(add_to(&rows[kept - 1].amount, rows[i].amount));
    }
    posting->transfer_count = kept;
    return OK;
}

static status merge_late(struct posting *posting)
{
    size_t kept = 0;
    struct late_charge *late = posting->late;
    qsort(late, posting->late_count, sizeof(*late), compare_late);
    for (size_t i = 0; i < posting->late_count; i++) {
        if (kept == 0 || compare_late(&late[kept - 1], &late[i]) != 0) {
            late[kept++] = late[i];
            continue;
        }
        TRY(add_to(&late[kept - 1].amount, late[i].amount));
    }
    posting->late_count = kept;
    return OK;
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
    bool enough = posting->accounts != NULL && posting->leases != NULL &&
                  posting->periods != NULL && posting->transfers != NULL && posting->late != NULL;
    posting->account_count = posting->lease_count = posting->period_count = 0;
    posting->transfer_count = posting->late_count = 0;
    memset(posting->last_moves, 0, sizeof(posting->last_moves));
    posting->last_cost = 0;
    posting->charge = MONEY_ZERO;
    return enough ? OK : FAIL(TOO_LARGE);
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
    TRY(merge_accounts(posting));
    TRY(merge_leases(posting));
    TRY(merge_periods(posting));
    TRY(merge_transfers(posting));
    return merge_late(posting);
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

static size_t count_in(const struct record_ending *ending, int64_t kind, int64_t owner,
                       const struct owner_meter *meters, size_t count, struct period_move *moves)
{
    const struct owner_meter key = {.org = ending->org, .owner_kind = kind, .owner = owner};
    const struct owner_meter *meter = find_meters(meters, count, &key);
    size_t made = 0;
    if (meter == NULL) return 0;
    for (; meter < meters + count && compare_owners(meter, &key) == 0; meter++) {
        moves[made++] = (struct period_move){
            .org = ending->org,
            .meter = meter->meter,
            .period = clock_period(meter->cadence, (wall_time){ending->created_ns}),
            .spent = ending->charge,
            .byok_spent = ending->byok_list,
            .requests = 1,
        };
    }
    return made;
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
            posting->period_count += count_in(ending, owners[j][0], owners[j][1], meters, count,
                                              posting->periods + posting->period_count);
        }
    }
    return merge_periods(posting);
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
    return merge_accounts(posting);
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

/* ---- proof ---------------------------------------------------------------------------------- */

static void encode_row(const struct posting *posting, size_t at, struct buffer *out)
{
    struct generation_row row = {.cell = posting->cell, .incarnation = posting->incarnation};
    for (size_t column = 0; column < GENERATION_NUMBER_COUNT; column++)
        row.numbers[column] = posting->numbers[column][at];
    for (size_t column = 0; column < GENERATION_TEXT_COUNT; column++)
        row.texts[column] = posting->texts[column][at];
    row.attempts = posting->attempts[at];
    generation_row_encode(&row, out);
}

static status hash_rows(struct posting *posting)
{
    uint8_t *leaves = arena_alloc_unset(posting->arena, posting->count + 1, HASH_SIZE);
    char *memory = arena_alloc(posting->arena, 2 * RECORD_SIZE_MAX);
    if (leaves == NULL || memory == NULL) return FAIL(TOO_LARGE);
    struct buffer row;
    buffer_init_fixed(&row, memory, 2 * RECORD_SIZE_MAX);
    for (size_t i = 0; i < posting->count; i++) {
        buffer_clear(&row);
        encode_row(posting, i, &row);
        TRY(buffer_finish(&row));
        merkle_leaf(buffer_slice(&row), leaves + i * HASH_SIZE);
    }
    merkle_root(leaves, posting->count, posting->root);
    merkle_link(posting->previous_link, posting->lo, posting->hi, posting->root, posting->link);
    return OK;
}
