/* SPDX-License-Identifier: Apache-2.0 */
/* Granting and returning authority to spend: one transaction for an account and some of its meters,
 * and at start the move of all leases to a new epoch. The lease's totals are what is answered, so a
 * question may be repeated when its outcome is not known. */
#include "services/ledger/store.h"

#include <assert.h>

#include "shared/array.h"
#include "shared/log.h"

#define ACCOUNTS       4 /* paid, promotional, escrow, receivable */
#define MOVED          3 /* paid or receivable, promotional, escrow */
#define REFERENCE_SIZE 48

/* What rows begin with; an account's detail. */
static const int64_t zeros[LEASE_ITEMS_MAX];

struct leased {
    money granted, granted_promo, settled, returned;
    money period_leased; /* meters: of the period's row, all cells together */
    money available;     /* what could be granted more */
};

struct lease_work {
    const struct store_cell *cell;
    const struct lease_request *request;
    struct lease_answer *answer;
    int64_t orgs[LEASE_ITEMS_MAX]; /* the same in each */
    int64_t meters[LEASE_ITEMS_MAX], periods[LEASE_ITEMS_MAX], epochs[LEASE_ITEMS_MAX];
    int64_t account_cells[ACCOUNTS]; /* escrow is the cell's own */
    struct leased leased[LEASE_ITEMS_MAX];
    /* Where leases come from besides promotional credit: paid credit, or the receivable of an
     * account that has a credit line instead of credit. */
    enum account_kind source;
    money paid, promo;                            /* balances; what is left of the line */
    money paid_in, paid_out, promo_in, promo_out; /* moves */
};

static status lease_body(struct db *db, void *context);

status store_lease(struct db *db, const struct store_cell *cell,
                   const struct lease_request *request, struct lease_answer *answer)
{
    struct lease_work work = {
        .cell = cell, .request = request, .answer = answer, .account_cells = {0, 0, cell->cell, 0}};
    assert(request->count >= 1 && request->items[0].meter == 0);
    static_assert(ACCOUNTS <= LEASE_ITEMS_MAX, "what both have has room");
    for (size_t i = 0; i < LEASE_ITEMS_MAX; i++)
        work.orgs[i] = request->org;
    for (uint8_t i = 0; i < request->count; i++) {
        work.meters[i] = request->items[i].meter;
        work.periods[i] = request->items[i].period;
        work.epochs[i] = (int64_t)cell->epoch;
    }
    *answer = (struct lease_answer){.org = request->org, .count = request->count};
    return db_transaction(db, 0, lease_body, &work);
}

/* ---- reading under locks -------------------------------------------------------------------- */

/* Rows to be locked: by which statement, and by which those are made that are missing. */
struct rows {
    const char *lock, *make;
    struct db_param lock_params[5], make_params[7];
    size_t lock_count, make_count;
    size_t count;
    struct db_result *locked;
};

static void rows_free(struct rows *rows)
{
    db_result_free(&rows->locked);
}

static struct rows accounts_of(const struct lease_work *work)
{
    static const int64_t kinds[ACCOUNTS] = {ACCOUNT_CREDIT_PAID, ACCOUNT_CREDIT_PROMO,
                                            ACCOUNT_ESCROW, ACCOUNT_RECEIVABLE};
    const struct db_param org = DB_P_I64_ARRAY(work->orgs, ACCOUNTS);
    const struct db_param kind = DB_P_I64_ARRAY(kinds, ACCOUNTS);
    const struct db_param cell = DB_P_I64_ARRAY(work->account_cells, ACCOUNTS);
    const struct db_param zero = DB_P_I64_ARRAY(zeros, ACCOUNTS);
    return (struct rows){.lock = "accounts_lock",
                         .lock_params = {org, kind, cell, zero},
                         .lock_count = 4,
                         .make = "accounts_make",
                         .make_params = {org, kind, cell, zero, zero, zero},
                         .make_count = 6,
                         .count = ACCOUNTS};
}

static struct rows leases_of(const struct lease_work *work)
{
    const size_t count = work->request->count;
    const struct db_param org = DB_P_I64_ARRAY(work->orgs, count);
    const struct db_param meter = DB_P_I64_ARRAY(work->meters, count);
    const struct db_param period = DB_P_I64_ARRAY(work->periods, count);
    const struct db_param epoch = DB_P_I64_ARRAY(work->epochs, count);
    const struct db_param cell = DB_P_I64(work->cell->cell);
    return (struct rows){.lock = "leases_lock",
                         .lock_params = {org, meter, period, epoch, cell},
                         .lock_count = 5,
                         .make = "leases_make",
                         .make_params = {org, meter, period, cell, DB_P_I64(work->cell->epoch)},
                         .make_count = 5,
                         .count = count};
}

/* Item 0 is the account; meters are the rest. */
static struct rows periods_of(const struct lease_work *work)
{
    const size_t count = (size_t)work->request->count - 1;
    const struct db_param org = DB_P_I64_ARRAY(work->orgs + 1, count);
    const struct db_param meter = DB_P_I64_ARRAY(work->meters + 1, count);
    const struct db_param period = DB_P_I64_ARRAY(work->periods + 1, count);
    const struct db_param zero = DB_P_I64_ARRAY(zeros, count);
    return (struct rows){.lock = "periods_lock",
                         .lock_params = {org, meter, period},
                         .lock_count = 3,
                         .make = "periods_make",
                         .make_params = {org, meter, period, zero, zero, zero, zero},
                         .make_count = 7,
                         .count = count};
}

static status send_lock(struct db *db, struct rows *rows)
{
    if (rows->count == 0) return OK;
    return db_send(db, rows->lock, rows->lock_params, rows->lock_count, &rows->locked);
}

/* Mostly all rows are there. Those that are missing are made, and then all are locked anew. */
static status make_missing(struct db *db, struct rows *rows)
{
    if (rows->count == 0 || db_row_count(rows->locked) == rows->count) return OK;
    db_result_free(&rows->locked);
    TRY(db_run(db, rows->make, rows->make_params, rows->make_count, NULL));
    return db_run(db, rows->lock, rows->lock_params, rows->lock_count, &rows->locked);
}

/* What is owed counts what all cells have leased. What is left is below zero where a late charge or
 * a lowered line took it over: what comes back then is not lent again. */
static void lend_on_line(struct lease_work *work, money line, money balance)
{
    work->source = ACCOUNT_RECEIVABLE;
    work->promo = MONEY_ZERO;
    work->paid = money_plus(line, balance); /* what is owed is a negative balance */
}

static void read_accounts(struct lease_work *work, const struct db_result *rows)
{
    work->source = ACCOUNT_CREDIT_PAID;
    for (size_t i = 0; i < db_row_count(rows); i++) { /* ordered by kind */
        int64_t kind = db_i64(rows, i, 1);
        if (kind == ACCOUNT_CREDIT_PAID) work->paid = db_money(rows, i, 4);
        if (kind == ACCOUNT_CREDIT_PROMO) work->promo = db_money(rows, i, 4);
        if (kind == ACCOUNT_RECEIVABLE && !db_is_null(rows, i, 5))
            lend_on_line(work, db_money(rows, i, 5), db_money(rows, i, 4));
    }
}

static size_t item_of(const struct lease_work *work, int64_t meter, int64_t period)
{
    for (size_t i = 0; i < work->request->count; i++) {
        if (work->meters[i] == meter && work->periods[i] == period) return i;
    }
    return SIZE_MAX;
}

static void read_leases(struct lease_work *work, const struct db_result *rows)
{
    for (size_t row = 0; row < db_row_count(rows); row++) {
        size_t i = item_of(work, db_i64(rows, row, 1), db_i64(rows, row, 2));
        if (i == SIZE_MAX) continue;
        work->leased[i] = (struct leased){.granted = db_money(rows, row, 3),
                                          .granted_promo = db_money(rows, row, 4),
                                          .settled = db_money(rows, row, 5),
                                          .returned = db_money(rows, row, 6)};
    }
}

static money left_under(bool unlimited, money limit, money spent, money leased)
{
    if (unlimited) return MONEY_MAX;
    money used = money_plus(spent, leased);
    return money_less(used, limit) ? money_minus(limit, used) : MONEY_ZERO;
}

static void read_periods(struct lease_work *work, const struct db_result *rows)
{
    for (size_t row = 0; row < db_row_count(rows); row++) {
        size_t i = item_of(work, db_i64(rows, row, 1), db_i64(rows, row, 2));
        if (i == SIZE_MAX) continue;
        work->leased[i].period_leased = db_money(rows, row, 5);
        work->leased[i].available = left_under(db_is_null(rows, row, 3), db_money(rows, row, 3),
                                               db_money(rows, row, 4), db_money(rows, row, 5));
    }
}

/* Whose epoch it is and whether the account is frozen. */
static status read_beginning(struct lease_work *work, const struct db_result *row)
{
    bool ours = db_row_count(row) == 1 && (uint64_t)db_i64(row, 0, 0) == work->cell->epoch;
    if (!ours) return FAIL(CONFLICT);
    work->answer->frozen = db_bool(row, 0, 1);
    return OK;
}

/* All locks are asked for at once. */
static status lock_all(struct db *db, struct lease_work *work)
{
    SCOPED(db_result_free) struct db_result *beginning = NULL;
    SCOPED(rows_free) struct rows accounts = accounts_of(work);
    SCOPED(rows_free) struct rows leases = leases_of(work);
    SCOPED(rows_free) struct rows periods = periods_of(work);
    const struct db_param begin[] = {DB_P_I64(work->cell->cell), DB_P_I64(work->request->org)};
    TRY(db_send(db, "lease_begin", begin, COUNT_OF(begin), &beginning));
    TRY(send_lock(db, &accounts));
    TRY(send_lock(db, &leases));
    TRY(send_lock(db, &periods));
    TRY(db_receive(db));
    TRY(read_beginning(work, beginning));
    TRY(make_missing(db, &accounts));
    TRY(make_missing(db, &leases));
    TRY(make_missing(db, &periods));
    read_accounts(work, accounts.locked);
    read_leases(work, leases.locked);
    if (periods.count > 0) read_periods(work, periods.locked);
    return OK;
}

/* ---- deciding ------------------------------------------------------------------------------- */

/* Raises the total given back to what the core says. Promotional money was spent first and goes
 * back last. */
static void give_back(struct lease_work *work, size_t i)
{
    struct leased *leased = &work->leased[i];
    money rest = money_minus(leased->granted, money_plus(leased->settled, leased->returned));
    money asked = money_minus(work->request->items[i].returned, leased->returned);
    money back = money_min(money_max(asked, MONEY_ZERO), money_max(rest, MONEY_ZERO));
    leased->returned = money_plus(leased->returned, back);
    if (i > 0) {
        leased->period_leased = money_minus(leased->period_leased, back);
        if (leased->available.nano != INT64_MAX)
            leased->available = money_plus(leased->available, back);
        return;
    }
    money promo_rest = money_max(money_minus(leased->granted_promo, leased->settled), MONEY_ZERO);
    money paid_back = money_min(back, money_minus(rest, promo_rest));
    money promo_back = money_minus(back, paid_back);
    leased->granted_promo = money_minus(leased->granted_promo, promo_back);
    work->paid_in = paid_back;
    work->promo_in = promo_back;
    work->paid = money_plus(work->paid, paid_back);
    work->promo = money_plus(work->promo, promo_back);
}

/* min(available, max(need, min(want, available / 2))) */
static money chunk_of(const struct lease_item *item, money available)
{
    money ahead = money_min(item->want, money_half(available));
    return money_min(available, money_max(item->need, ahead));
}

static void grant(struct lease_work *work, size_t i)
{
    struct leased *leased = &work->leased[i];
    if (i == 0) leased->available = money_max(money_plus(work->paid, work->promo), MONEY_ZERO);
    money chunk =
        work->answer->frozen ? MONEY_ZERO : chunk_of(&work->request->items[i], leased->available);
    leased->granted = money_plus(leased->granted, chunk);
    if (leased->available.nano != INT64_MAX)
        leased->available = money_minus(leased->available, chunk);
    if (i > 0) {
        leased->period_leased = money_plus(leased->period_leased, chunk);
        return;
    }
    work->promo_out = money_min(chunk, work->promo);
    work->paid_out = money_minus(chunk, work->promo_out);
    if (money_is_zero(work->promo_out)) return;
    /* What was settled already was not spent from what comes now. */
    money before = money_max(leased->granted_promo, leased->settled);
    leased->granted_promo = money_plus(before, work->promo_out);
}

/* ---- writing: goes out with the COMMIT ------------------------------------------------------- */

static slice append_reference(struct buffer *out, const struct store_cell *cell)
{
    buffer_append(out, SLICE("lease "));
    buffer_append_u64(out, cell->cell);
    buffer_append_char(out, '/');
    buffer_append_u64(out, cell->epoch);
    return buffer_slice(out);
}

static status write_transfers(struct db *db, const struct lease_work *work)
{
    const struct {
        int64_t debit, credit;
        money amount;
        slice code;
    } all[] = {
        {ACCOUNT_ESCROW, work->source, work->paid_in, SLICE("lease_return")},
        {ACCOUNT_ESCROW, ACCOUNT_CREDIT_PROMO, work->promo_in, SLICE("lease_return")},
        {work->source, ACCOUNT_ESCROW, work->paid_out, SLICE("lease")},
        {ACCOUNT_CREDIT_PROMO, ACCOUNT_ESCROW, work->promo_out, SLICE("lease")},
    };
    int64_t orgs[4], debits[4], credits[4], amounts[4];
    slice codes[4];
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (money_is_zero(all[i].amount)) continue;
        orgs[count] = work->request->org;
        debits[count] = all[i].debit;
        credits[count] = all[i].credit;
        amounts[count] = all[i].amount.nano;
        codes[count++] = all[i].code;
    }
    if (count == 0) return OK;
    char memory[REFERENCE_SIZE];
    struct buffer reference;
    buffer_init_fixed(&reference, memory, sizeof(memory));
    const struct db_param params[] = {DB_P_I64_ARRAY(orgs, count),
                                      DB_P_I64_ARRAY(debits, count),
                                      DB_P_I64_ARRAY(zeros, count),
                                      DB_P_I64_ARRAY(credits, count),
                                      DB_P_I64_ARRAY(zeros, count),
                                      DB_P_I64_ARRAY(amounts, count),
                                      DB_P_TEXT_ARRAY(codes, count),
                                      DB_P_I64(work->cell->cell),
                                      DB_P_TEXT(append_reference(&reference, work->cell))};
    return db_send(db, "transfers_add", params, COUNT_OF(params), NULL);
}

static status write_accounts(struct db *db, const struct lease_work *work)
{
    int64_t org = work->request->org;
    const int64_t orgs[MOVED] = {org, org, org};
    const int64_t kinds[MOVED] = {work->source, ACCOUNT_CREDIT_PROMO, ACCOUNT_ESCROW};
    const int64_t cells[MOVED] = {0, 0, work->cell->cell};
    const int64_t details[MOVED] = {0};
    money in = money_plus(work->paid_in, work->promo_in);
    money out = money_plus(work->paid_out, work->promo_out);
    const int64_t debits[MOVED] = {work->paid_out.nano, work->promo_out.nano, in.nano};
    const int64_t credits[MOVED] = {work->paid_in.nano, work->promo_in.nano, out.nano};
    if (money_is_zero(in) && money_is_zero(out)) return OK;
    const struct db_param params[] = {
        DB_P_I64_ARRAY(orgs, MOVED),   DB_P_I64_ARRAY(kinds, MOVED),
        DB_P_I64_ARRAY(cells, MOVED),  DB_P_I64_ARRAY(details, MOVED),
        DB_P_I64_ARRAY(debits, MOVED), DB_P_I64_ARRAY(credits, MOVED)};
    return db_send(db, "accounts_lease", params, COUNT_OF(params), NULL);
}

static status write_leases(struct db *db, const struct lease_work *work)
{
    int64_t granted[LEASE_ITEMS_MAX], promo[LEASE_ITEMS_MAX], returned[LEASE_ITEMS_MAX],
        leased[LEASE_ITEMS_MAX];
    size_t count = work->request->count;
    for (size_t i = 0; i < count; i++) {
        granted[i] = work->leased[i].granted.nano;
        promo[i] = work->leased[i].granted_promo.nano;
        returned[i] = work->leased[i].returned.nano;
        leased[i] = work->leased[i].period_leased.nano;
    }
    const struct db_param set[] = {
        DB_P_I64_ARRAY(work->orgs, count),    DB_P_I64_ARRAY(work->meters, count),
        DB_P_I64_ARRAY(work->periods, count), DB_P_I64_ARRAY(granted, count),
        DB_P_I64_ARRAY(promo, count),         DB_P_I64_ARRAY(returned, count),
        DB_P_I64(work->cell->cell),           DB_P_I64(work->cell->epoch)};
    TRY(db_send(db, "leases_set", set, COUNT_OF(set), NULL));
    if (count == 1) return OK;
    const struct db_param lease[] = {
        DB_P_I64_ARRAY(work->orgs + 1, count - 1), DB_P_I64_ARRAY(work->meters + 1, count - 1),
        DB_P_I64_ARRAY(work->periods + 1, count - 1), DB_P_I64_ARRAY(leased + 1, count - 1)};
    return db_send(db, "periods_lease", lease, COUNT_OF(lease), NULL);
}

static status lease_body(struct db *db, void *context)
{
    struct lease_work *work = context;
    work->paid_in = work->paid_out = work->promo_in = work->promo_out =
        MONEY_ZERO; /* a repetition begins anew */
    TRY(lock_all(db, work));
    for (uint8_t i = 0; i < work->request->count; i++) {
        give_back(work, i);
        grant(work, i);
        work->answer->items[i] = (struct lease_total){.meter = work->request->items[i].meter,
                                                      .period = work->request->items[i].period,
                                                      .granted = work->leased[i].granted,
                                                      .settled = work->leased[i].settled,
                                                      .returned = work->leased[i].returned,
                                                      .available = work->leased[i].available};
    }
    TRY(write_transfers(db, work));
    TRY(write_accounts(db, work));
    return write_leases(db, work);
}

/* ---- the move to a new epoch ---------------------------------------------------------------- */

/* Also a fence: a ledger that was taken over meanwhile moves nothing. */
static status begin_move(struct db *db, const struct store_move *move)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(move->cell), DB_P_I64(move->epoch)};
    TRY(db_run(db, "move_begin", params, COUNT_OF(params), &result));
    if (db_affected(result) != 1) return FAIL(CONFLICT);
    return db_run(db, "move_lock", params, COUNT_OF(params), NULL);
}

static void note_moved(const struct store_move *move, const struct db_result *result, size_t row)
{
    struct lease_held lease = {.org = db_i64(result, row, 0),
                               .meter = db_i64(result, row, 1),
                               .period = (int32_t)db_i64(result, row, 2)};
    money keep = db_money(result, row, 3), stays = db_money(result, row, 4);
    if (money_is_positive(keep)) move->kept(move->context, &lease, keep);
    if (!money_is_positive(stays)) return;
    log_error("lease_does_not_fit_back", FN(number, org, lease.org), FN(number, nano, stays.nano),
              F(reason, SLICE("the organization's receivable is less than what was lent on its "
                              "line; see bourse audit")));
}

static status move_body(struct db *db, void *context)
{
    const struct store_move *move = context;
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, SIZE_MAX);
    size_t count = move->count;
    int64_t *columns[4];
    for (size_t i = 0; i < COUNT_OF(columns); i++) {
        columns[i] = arena_alloc_array(&arena, count + 1, sizeof(int64_t));
        if (columns[i] == NULL) return FAIL(NO_MEMORY);
    }
    for (size_t i = 0; i < count; i++) {
        columns[0][i] = move->held[i].org;
        columns[1][i] = move->held[i].meter;
        columns[2][i] = move->held[i].period;
        columns[3][i] = move->held[i].held.nano;
    }
    TRY(begin_move(db, move));
    const struct db_param params[] = {DB_P_I64(move->cell),
                                      DB_P_I64(move->epoch),
                                      DB_P_I64_ARRAY(columns[0], count),
                                      DB_P_I64_ARRAY(columns[1], count),
                                      DB_P_I64_ARRAY(columns[2], count),
                                      DB_P_I64_ARRAY(columns[3], count)};
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(db, "move_leases", params, COUNT_OF(params), &result));
    for (size_t row = 0; row < db_row_count(result); row++)
        note_moved(move, result, row);
    return OK;
}

status store_move_leases(struct db *db, const struct store_move *move)
{
    struct store_move copy = *move;
    return db_transaction(db, 0, move_body, &copy);
}
