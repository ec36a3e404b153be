/* SPDX-License-Identifier: Apache-2.0 */
/* One posting transaction: the cursor first, which makes a repeat harmless, then what is only
 * added, then sums under locks in the one order, held as briefly as can be. */
#include "services/ledger/store.h"

#include <assert.h>

#include "shared/array.h"
#include "shared/client_prefix.h"
#include "shared/daemon.h"

#define REFERENCE_SIZE 80
#define LATE_ACCOUNTS  4 /* paid, promotional, receivable; the platform's income */
#define ACCOUNT_KEY    4 /* columns that name a row */

/* Rows of numbers turned into the arrays of a statement. */
struct columns {
    struct arena *arena;
    size_t count;
    int64_t *numbers[8];
};

static status post_body(struct db *db, void *context);
static status suspend_body(struct db *db, void *context);

struct suspension {
    struct posting *posting;
    slice sqlstate;
};

status store_post(struct db *db, struct posting *posting)
{
    return db_transaction(db, 0, post_body, posting);
}

status store_suspend(struct db *db, struct posting *posting, const char *sqlstate)
{
    struct suspension suspension = {posting, slice_of(sqlstate)};
    return db_transaction(db, 0, suspend_body, &suspension);
}

static status columns_new(struct columns *columns, struct arena *arena, size_t count, size_t width)
{
    columns->arena = arena;
    columns->count = count;
    for (size_t i = 0; i < width; i++) {
        columns->numbers[i] = arena_alloc_unset(arena, count + 1, sizeof(int64_t));
        if (columns->numbers[i] == NULL) return FAIL(TOO_LARGE);
    }
    return OK;
}

static struct db_param column(const struct columns *columns, size_t i)
{
    return DB_P_I64_ARRAY(columns->numbers[i], columns->count);
}

/* ---- cursor, rows, batch -------------------------------------------------------------------- */

static slice bytes_of(const uint8_t *bytes)
{
    return (slice){(const char *)bytes, HASH_SIZE};
}

static status advance(struct db *db, const struct posting *posting)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(posting->cell), DB_P_I64(posting->incarnation),
                                      DB_P_I64(posting->lo), DB_P_I64(posting->hi),
                                      DB_P_BYTES(bytes_of(posting->link))};
    TRY(db_run(db, "stream_advance", params, COUNT_OF(params), &result));
    return db_affected(result) == 1 ? OK : FAIL(CONFLICT);
}

static struct db_param number_column(const int64_t *numbers, size_t count)
{
    size_t zeros = 0;
    while (zeros < count && numbers[zeros] == 0)
        zeros++;
    return DB_P_I64_ARRAY(numbers, zeros == count ? 0 : count);
}

static struct db_param text_column(const slice *texts, size_t count)
{
    size_t empty = 0;
    while (empty < count && texts[empty].len == 0)
        empty++;
    return DB_P_TEXT_ARRAY(texts, empty == count ? 0 : count);
}

void store_row_params(const struct posting *posting, struct db_param params[STORE_ROW_PARAMS])
{
    size_t count = posting->count, at = 0;
    params[at++] = DB_P_I64(posting->cell);
    params[at++] = DB_P_I64(posting->incarnation);
    params[at++] = DB_P_I64(posting->lo);
    for (size_t i = 0; i < GENERATION_NUMBER_COUNT; i++)
        params[at++] = number_column(posting->numbers[i], count);
    for (size_t i = 0; i < GENERATION_TEXT_COUNT; i++)
        params[at++] = text_column(posting->texts[i], count);
    params[at++] = DB_P_BYTES_ARRAY(posting->attempts, count);
    assert(at == STORE_ROW_PARAMS);
}

static status insert_rows(struct db *db, const struct posting *posting)
{
    struct db_param params[STORE_ROW_PARAMS];
    store_row_params(posting, params);
    return db_run(db, "generations_add", params, COUNT_OF(params), NULL);
}

static status insert_batch(struct db *db, const struct posting *posting, size_t rows, money charge)
{
    const struct db_param params[] = {DB_P_I64(posting->cell),
                                      DB_P_I64(posting->incarnation),
                                      DB_P_I64(posting->lo),
                                      DB_P_I64(posting->hi),
                                      DB_P_I64(rows),
                                      DB_P_MONEY(charge),
                                      DB_P_I64(posting->hold_first),
                                      DB_P_I64(posting->hold_floor),
                                      DB_P_BYTES(bytes_of(posting->root)),
                                      DB_P_BYTES(bytes_of(posting->link))};
    return db_run(db, "batch_add", params, COUNT_OF(params), NULL);
}

/* ---- sums ----------------------------------------------------------------------------------- */

static void add_late_keys(const struct posting *posting, size_t i, struct columns *keys)
{
    const struct late_charge *late = &posting->late[i];
    const int64_t all[LATE_ACCOUNTS][ACCOUNT_KEY] = {{late->org, ACCOUNT_CREDIT_PAID, 0, 0},
                                                     {late->org, ACCOUNT_CREDIT_PROMO, 0, 0},
                                                     {late->org, ACCOUNT_RECEIVABLE, 0, 0},
                                                     {0, late->income, posting->cell, 0}};
    size_t at = posting->account_count + i * LATE_ACCOUNTS;
    for (size_t j = 0; j < LATE_ACCOUNTS; j++) {
        for (size_t k = 0; k < COUNT_OF(all[j]); k++)
            keys->numbers[k][at + j] = all[j][k];
    }
}

/* Rows come ordered by kind. All that an account with a line uses is owed; what credit that is left
 * pays of it is the janitor's to say. */
static void read_balance(const struct db_result *locked, struct late_balance *balance)
{
    for (size_t row = 0; row < db_row_count(locked); row++) {
        if (db_i64(locked, row, 0) != balance->org) continue;
        int64_t kind = db_i64(locked, row, 1);
        if (kind == ACCOUNT_CREDIT_PAID) balance->paid = db_money(locked, row, 4);
        if (kind == ACCOUNT_CREDIT_PROMO) balance->promo = db_money(locked, row, 4);
        if (kind == ACCOUNT_RECEIVABLE && !db_is_null(locked, row, 5))
            balance->paid = balance->promo = MONEY_ZERO;
    }
}

/* Late charges are paid from accounts whose balance has to be known first: they are made and locked
 * with the rest. */
static status lock_accounts(struct db *db, struct posting *posting)
{
    struct columns keys;
    size_t count = posting->account_count + LATE_ACCOUNTS * posting->late_count;
    TRY(columns_new(&keys, posting->arena, count, ACCOUNT_KEY + 1));
    for (size_t i = 0; i < posting->account_count; i++) {
        const struct account_move *move = &posting->accounts[i];
        const int64_t key[ACCOUNT_KEY] = {move->org, move->kind, move->cell, move->detail};
        for (size_t j = 0; j < COUNT_OF(key); j++)
            keys.numbers[j][i] = key[j];
    }
    for (size_t i = 0; i < posting->late_count; i++)
        add_late_keys(posting, i, &keys);
    memset(keys.numbers[ACCOUNT_KEY], 0, count * sizeof(int64_t)); /* sums that rows begin with */
    const struct db_param params[] = {column(&keys, 0),           column(&keys, 1),
                                      column(&keys, 2),           column(&keys, 3),
                                      column(&keys, ACCOUNT_KEY), column(&keys, ACCOUNT_KEY)};
    TRY(db_run(db, "accounts_make", params, COUNT_OF(params), NULL));
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(db, "accounts_lock", params, ACCOUNT_KEY, &result));
    struct late_balance *balances =
        arena_alloc_array(posting->arena, posting->late_count, sizeof(*balances));
    if (balances == NULL) return FAIL(TOO_LARGE);
    for (size_t i = 0; i < posting->late_count; i++) {
        balances[i].org = posting->late[i].org;
        read_balance(result, &balances[i]);
    }
    return posting_pay_late(posting, balances, posting->late_count);
}

/* Two statements with the same parameters: one adds to rows, the other makes those that are not
 * there. */
struct addition {
    const char *add, *make;
    const struct db_param *params;
    size_t param_count, rows;
};

/* A row that somebody else made in between is met by doing it all again. */
static status add_to_rows(struct db *db, const struct addition *addition)
{
    SCOPED(db_result_free) struct db_result *added = NULL;
    TRY(db_run(db, addition->add, addition->params, addition->param_count, &added));
    int64_t missing = (int64_t)addition->rows - db_affected(added);
    if (missing == 0) return OK;
    SCOPED(db_result_free) struct db_result *made = NULL;
    TRY(db_run(db, addition->make, addition->params, addition->param_count, &made));
    return db_affected(made) == missing ? OK : FAIL(DATABASE);
}

static status move_accounts(struct db *db, struct posting *posting)
{
    struct columns moves;
    TRY(columns_new(&moves, posting->arena, posting->account_count, 6));
    for (size_t i = 0; i < posting->account_count; i++) {
        const struct account_move *move = &posting->accounts[i];
        const int64_t values[6] = {move->org,    move->kind,        move->cell,
                                   move->detail, move->debits.nano, move->credits.nano};
        for (size_t j = 0; j < COUNT_OF(values); j++)
            moves.numbers[j][i] = values[j];
    }
    const struct db_param params[] = {column(&moves, 0), column(&moves, 1), column(&moves, 2),
                                      column(&moves, 3), column(&moves, 4), column(&moves, 5)};
    const struct addition addition = {"accounts_add", "accounts_make", params, COUNT_OF(params),
                                      posting->account_count};
    return add_to_rows(db, &addition);
}

static status settle_leases(struct db *db, struct posting *posting)
{
    if (posting->lease_count == 0) return OK;
    struct columns moves;
    TRY(columns_new(&moves, posting->arena, posting->lease_count, 5));
    for (size_t i = 0; i < posting->lease_count; i++) {
        const struct lease_move *move = &posting->leases[i];
        const int64_t values[5] = {move->org, move->meter, move->period, move->epoch,
                                   move->settled.nano};
        for (size_t j = 0; j < COUNT_OF(values); j++)
            moves.numbers[j][i] = values[j];
    }
    const struct db_param params[] = {column(&moves, 0), column(&moves, 1),
                                      column(&moves, 2), column(&moves, 3),
                                      column(&moves, 4), DB_P_I64(posting->cell)};
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(db, "leases_settle", params, COUNT_OF(params), &result));
    /* A lease that is not there cannot be settled from; the escrow would not fit the leases any
     * more. */
    return db_affected(result) == (int64_t)posting->lease_count ? OK : FAIL(DATABASE_CHECK);
}

/* Whoever sets a first limit holds the cursors meanwhile (schema/0007), so a meter that is not seen
 * here is begun with what this batch counts elsewhere. */
static status count_owner_meters(struct db *db, struct posting *posting)
{
    struct columns owners;
    TRY(columns_new(&owners, posting->arena, 3 * posting->count, 3));
    owners.count = posting_owners(posting, owners.numbers[0], owners.numbers[1], owners.numbers[2]);
    if (owners.count == 0) return OK;
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {column(&owners, 0), column(&owners, 1), column(&owners, 2)};
    TRY(db_run(db, "owner_meters", params, COUNT_OF(params), &result));
    size_t count = db_row_count(result);
    struct owner_meter *meters = arena_alloc_array(posting->arena, count + 1, sizeof(*meters));
    if (meters == NULL) return FAIL(TOO_LARGE);
    for (size_t row = 0; row < count; row++) {
        meters[row] = (struct owner_meter){.org = db_i64(result, row, 0),
                                           .owner_kind = db_i64(result, row, 1),
                                           .owner = db_i64(result, row, 2),
                                           .meter = db_i64(result, row, 3),
                                           .cadence = (enum cadence)db_i64(result, row, 4)};
    }
    return posting_count_meters(posting, meters, count);
}

static status settle_periods(struct db *db, struct posting *posting)
{
    if (posting->period_count == 0) return OK;
    struct columns moves;
    TRY(columns_new(&moves, posting->arena, posting->period_count, 7));
    for (size_t i = 0; i < posting->period_count; i++) {
        const struct period_move *move = &posting->periods[i];
        const int64_t values[7] = {
            move->org,         move->meter,    move->period,         move->spent.nano,
            move->leased.nano, move->requests, move->byok_spent.nano};
        for (size_t j = 0; j < COUNT_OF(values); j++)
            moves.numbers[j][i] = values[j];
    }
    const struct db_param params[] = {column(&moves, 0), column(&moves, 1), column(&moves, 2),
                                      column(&moves, 3), column(&moves, 4), column(&moves, 5),
                                      column(&moves, 6)};
    const struct addition addition = {"periods_settle", "periods_make", params, COUNT_OF(params),
                                      posting->period_count};
    return add_to_rows(db, &addition);
}

static slice append_reference(struct buffer *out, const struct posting *posting)
{
    buffer_append(out, SLICE("batch "));
    buffer_append_u64(out, posting->cell);
    buffer_append_char(out, '/');
    buffer_append_u64(out, posting->incarnation);
    buffer_append_char(out, '/');
    buffer_append_u64(out, posting->lo);
    return buffer_slice(out);
}

static status insert_transfers(struct db *db, struct posting *posting)
{
    if (posting->transfer_count == 0) return OK;
    struct columns rows;
    TRY(columns_new(&rows, posting->arena, posting->transfer_count, 6));
    slice *codes = arena_alloc_unset(posting->arena, posting->transfer_count, sizeof(*codes));
    if (codes == NULL) return FAIL(TOO_LARGE);
    for (size_t i = 0; i < posting->transfer_count; i++) {
        const struct transfer_row *row = &posting->transfers[i];
        const int64_t values[6] = {row->org,         row->debit_kind,    row->debit_detail,
                                   row->credit_kind, row->credit_detail, row->amount.nano};
        for (size_t j = 0; j < COUNT_OF(values); j++)
            rows.numbers[j][i] = values[j];
        codes[i] = row->code;
    }
    char memory[REFERENCE_SIZE];
    struct buffer reference;
    buffer_init_fixed(&reference, memory, sizeof(memory));
    const struct db_param params[] = {column(&rows, 0),
                                      column(&rows, 1),
                                      column(&rows, 2),
                                      column(&rows, 3),
                                      column(&rows, 4),
                                      column(&rows, 5),
                                      DB_P_TEXT_ARRAY(codes, posting->transfer_count),
                                      DB_P_I64(posting->cell),
                                      DB_P_TEXT(append_reference(&reference, posting))};
    return db_run(db, "transfers_add", params, COUNT_OF(params), NULL);
}

static slice prefix_text(struct arena *arena, client_prefix prefix)
{
    char *memory = arena_alloc(arena, CLIENT_PREFIX_TEXT_MAX);
    if (memory == NULL) return SLICE_NONE;
    struct buffer text;
    buffer_init_fixed(&text, memory, CLIENT_PREFIX_TEXT_MAX);
    client_prefix_append(&text, prefix);
    return buffer_slice(&text);
}

static status note_uses(struct db *db, struct posting *posting)
{
    if (posting->use_count == 0) return OK;
    struct columns rows;
    TRY(columns_new(&rows, posting->arena, posting->use_count, 3));
    slice *prefixes = arena_alloc_unset(posting->arena, posting->use_count, sizeof(*prefixes));
    if (prefixes == NULL) return FAIL(TOO_LARGE);
    for (size_t i = 0; i < posting->use_count; i++) {
        const struct record_use *use = &posting->uses[i];
        rows.numbers[0][i] = use->org;
        rows.numbers[1][i] = use->key;
        rows.numbers[2][i] = use->at_ns;
        prefixes[i] = prefix_text(posting->arena, use->client);
    }
    const struct db_param params[] = {column(&rows, 0), column(&rows, 1), column(&rows, 2),
                                      DB_P_TEXT_ARRAY(prefixes, posting->use_count)};
    return db_run(db, "key_uses_note", params, COUNT_OF(params), NULL);
}

static status post_body(struct db *db, void *context)
{
    struct posting *posting = context;
    TRY(posting_finish(posting)); /* again at a repetition: late charges depend on balances */
    TRY(advance(db, posting));
    if (posting->count > 0) TRY(insert_rows(db, posting));
    TRY(count_owner_meters(db, posting));
    TRY(insert_batch(db, posting, posting->count, posting->charge));
    bool late = posting->late_count > 0;
    if (!late) TRY(insert_transfers(db, posting));
    /* From here on a lease of one of these accounts waits for the commit. */
    if (late) TRY(lock_accounts(db, posting));
    if (posting->account_count > 0) TRY(move_accounts(db, posting));
    TRY(settle_leases(db, posting));
    TRY(settle_periods(db, posting));
    TRY(store_count_free_requests(db, posting));
    TRY(note_uses(db, posting));
    if (late) TRY(insert_transfers(db, posting));
    fault_point("before_commit");
    return OK;
}

static status suspend_body(struct db *db, void *context)
{
    const struct suspension *suspension = context;
    struct posting *posting = suspension->posting;
    size_t count = posting->count;
    slice payload = count > 0 ? posting->payloads[0] : SLICE_NONE;
    uint64_t seq = count > 0 ? posting->seqs[0] : posting->hi;
    posting->count = 0; /* no rows: the root is that of an empty batch */
    status done = posting_finish(posting);
    posting->count = count;
    TRY(done);
    TRY(advance(db, posting));
    const struct db_param params[] = {DB_P_I64(posting->cell), DB_P_I64(posting->incarnation),
                                      DB_P_I64(seq), DB_P_TEXT(suspension->sqlstate),
                                      DB_P_BYTES(payload)};
    TRY(db_run(db, "suspense_add", params, COUNT_OF(params), NULL));
    return insert_batch(db, posting, 0, MONEY_ZERO);
}
