/* SPDX-License-Identifier: Apache-2.0 */
/* Every account folded again from its transfers, which are read in the order of their key: an
 * organization's accounts are complete when the next one begins, the platform's at the end. What a
 * batch moved is summed on the way. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/array.h"
#include "tools/bourse/verify.h"

#define PLATFORM_FIRST 100 /* kinds of account below it are a customer's */
#define KIND_ESCROW    3   /* the one kind of a customer that lies in a cell */
#define PLACE_SIZE     96

struct fold {
    int64_t kind, cell, detail;
    money debits, credits;
    bool compared;
};
struct folds {
    struct fold *items;
    size_t count, count_max;
    size_t last; /* the one found before this one: mostly the next, too */
};

static struct fold *fold_of(struct folds *folds, int64_t kind, int64_t cell, int64_t detail)
{
    for (size_t step = 0; step < folds->count; step++) {
        size_t at = (folds->last + step) % folds->count;
        struct fold *fold = &folds->items[at];
        if (fold->kind != kind || fold->cell != cell || fold->detail != detail) continue;
        folds->last = at;
        return fold;
    }
    if (folds->count == folds->count_max) {
        folds->count_max = 2 * folds->count_max + 64;
        folds->items = realloc(folds->items, folds->count_max * sizeof(*folds->items));
        if (folds->items == NULL) abort();
    }
    folds->items[folds->count] = (struct fold){.kind = kind, .cell = cell, .detail = detail};
    return &folds->items[folds->count++];
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void compare(struct verify *verify, int64_t org, const struct fold *has,
                    const struct fold *folded)
{
    if (has->debits.nano == folded->debits.nano && has->credits.nano == folded->credits.nano)
        return;
    char place[PLACE_SIZE];
    snprintf(place, sizeof(place), "account %" PRId64 "/%" PRId64 "/%" PRId64 "/%" PRId64, org,
             has->kind, has->cell, has->detail);
    verify_found(verify, place,
                 "has debits %" PRId64 " and credits %" PRId64 ", its transfers make %" PRId64
                 " and %" PRId64,
                 has->debits.nano, has->credits.nano, folded->debits.nano, folded->credits.nano);
}

static status compare_org(struct verify *verify, int64_t org, struct folds *folds)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(org)};
    TRY(db_run(verify->db, "verify_accounts", params, COUNT_OF(params), &result));
    for (size_t row = 0; row < db_row_count(result); row++) {
        struct fold has = {.kind = db_i64(result, row, 0),
                           .cell = db_i64(result, row, 1),
                           .detail = db_i64(result, row, 2),
                           .debits = db_money(result, row, 3),
                           .credits = db_money(result, row, 4)};
        struct fold *folded = fold_of(folds, has.kind, has.cell, has.detail);
        folded->compared = true;
        compare(verify, org, &has, folded);
        verify->accounts++;
    }
    for (size_t i = 0; i < folds->count; i++) {
        struct fold none = folds->items[i];
        none.debits = none.credits = MONEY_ZERO;
        if (!folds->items[i].compared) compare(verify, org, &none, &folds->items[i]);
    }
    folds->count = folds->last = 0;
    return OK;
}

/* ---- folding --------------------------------------------------------------------------------- */

struct transfer {
    int64_t org, id, debit_kind, debit_detail, credit_kind, credit_detail, cell;
    money amount;
    slice code, reference;
};

static struct transfer read_transfer(const struct db_result *result, size_t row)
{
    return (struct transfer){.org = db_i64(result, row, 0),
                             .id = db_i64(result, row, 1),
                             .debit_kind = db_i64(result, row, 2),
                             .debit_detail = db_i64(result, row, 3),
                             .credit_kind = db_i64(result, row, 4),
                             .credit_detail = db_i64(result, row, 5),
                             .cell = db_i64(result, row, 6),
                             .amount = db_money(result, row, 7),
                             .code = db_text(result, row, 8),
                             .reference = db_text(result, row, 9)};
}

/* The account of one side: the customer's under its organization, the platform's under 0. */
static struct fold *side_of(const struct transfer *transfer, int64_t kind, int64_t detail,
                            struct folds *own, struct folds *platform)
{
    bool customer = kind < PLATFORM_FIRST;
    int64_t cell = customer && kind != KIND_ESCROW ? 0 : transfer->cell;
    return fold_of(customer && transfer->org != 0 ? own : platform, kind, cell, detail);
}

/* "batch CELL/INCARNATION/LO"; false for another reference. */
static bool read_batch_reference(slice reference, int64_t numbers[3])
{
    if (!slice_starts_with(reference, SLICE("batch "))) return false;
    slice rest = slice_from(reference, 6), part;
    for (size_t i = 0; i < 3; i++) {
        slice_split(rest, '/', &part, &rest);
        if (!status_ok(slice_to_i64(part, &numbers[i]))) return false;
    }
    return true;
}

static bool add_to(money *sum, money amount)
{
    return status_ok(money_add(*sum, amount, sum));
}

static bool count_for_batch(struct verify *verify, const struct transfer *transfer,
                            const char *place)
{
    int64_t numbers[3];
    if (!read_batch_reference(transfer->reference, numbers)) return true;
    struct verify_batch *batch = verify_batch_at(verify, numbers[0], numbers[1], numbers[2]);
    if (batch == NULL) {
        verify_found(verify, place, "names a batch that does not exist");
        return true;
    }
    bool owed = slice_equal(transfer->code, SLICE("provider_cost")) ||
                slice_equal(transfer->code, SLICE("absorbed"));
    return add_to(owed ? &batch->moved_owed : &batch->moved_charge, transfer->amount);
}

static void fold_transfer(struct verify *verify, const struct transfer *transfer, struct folds *own,
                          struct folds *platform)
{
    char place[PLACE_SIZE];
    snprintf(place, sizeof(place), "transfer %" PRId64 "/%" PRId64, transfer->org, transfer->id);
    if (!money_is_positive(transfer->amount))
        verify_found(verify, place, "moves %" PRId64 " nano-dollars", transfer->amount.nano);
    struct fold *debit =
        side_of(transfer, transfer->debit_kind, transfer->debit_detail, own, platform);
    bool counted = add_to(&debit->debits, transfer->amount);
    struct fold *credit =
        side_of(transfer, transfer->credit_kind, transfer->credit_detail, own, platform);
    counted = add_to(&credit->credits, transfer->amount) && counted;
    counted = count_for_batch(verify, transfer, place) && counted;
    if (!counted) verify_found(verify, place, "with it a sum is above what money counts");
    verify->transfers++;
}

static status fold_all(struct verify *verify, struct folds *own, struct folds *platform)
{
    struct transfer last = {.org = -1};
    for (size_t rows = VERIFY_PAGE; rows == VERIFY_PAGE;) {
        SCOPED(db_result_free) struct db_result *result = NULL;
        const struct db_param params[] = {DB_P_I64(last.org), DB_P_I64(last.id),
                                          DB_P_I64(VERIFY_PAGE)};
        TRY(db_run(verify->db, "verify_transfers", params, COUNT_OF(params), &result));
        rows = db_row_count(result);
        for (size_t row = 0; row < rows; row++) {
            struct transfer transfer = read_transfer(result, row);
            if (transfer.org != last.org && last.org > 0) TRY(compare_org(verify, last.org, own));
            fold_transfer(verify, &transfer, own, platform);
            last = transfer; /* its texts are not looked at again */
        }
        verify_progress(verify, "transfers", verify->transfers);
    }
    if (last.org > 0) TRY(compare_org(verify, last.org, own));
    return compare_org(verify, 0, platform);
}

status verify_transfers(struct verify *verify)
{
    struct folds own = {0}, platform = {0};
    status done = fold_all(verify, &own, &platform);
    SCOPED(db_result_free) struct db_result *alone = NULL;
    if (status_ok(done)) done = db_run(verify->db, "verify_accounts_alone", NULL, 0, &alone);
    for (size_t row = 0; status_ok(done) && row < db_row_count(alone); row++)
        done = compare_org(verify, db_i64(alone, row, 0), &own);
    free(own.items);
    free(platform.items);
    return done;
}
