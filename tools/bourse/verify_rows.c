/* SPDX-License-Identifier: Apache-2.0 */
/* Every generation's row: its charge from the frozen price, by the code that charged it, and its
 * bytes as a leaf of its batch's tree. Rows are read in the order of the journal, batch by batch,
 * so that memory holds a page of them at most. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/array.h"
#include "shared/generation_row.h"
#include "tools/bourse/verify.h"

#define COLUMN_BATCH    (GENERATION_NUMBER_COUNT + GENERATION_TEXT_COUNT + 1)
#define ROW_ENCODED_MAX ((size_t)1 << 20) /* seven texts of 64 KiB would fit */
#define PLACE_SIZE      96
#define STATE_SETTLED   1
#define STATE_RELEASED  2
#define STATE_ABSORBED  3
#define PRICE_COLUMN    2 /* of the first class in verify_prices */
#define LIST_COLUMN     (PRICE_COLUMN + BILLING_CLASS_COUNT)

/* ---- what is kept in memory ------------------------------------------------------------------ */

static void *new_array(size_t count, size_t size)
{
    void *array = calloc(count + 1, size);
    if (array == NULL) abort();
    return array;
}

static int compare_price(const void *id, const void *row)
{
    uint32_t a = *(const uint32_t *)id, b = ((const struct verify_price *)row)->row.id;
    return (a > b) - (a < b);
}

static const struct price_row *find_price(const struct verify *verify, int64_t id)
{
    uint32_t key = (uint32_t)id;
    const struct verify_price *found =
        bsearch(&key, verify->prices, verify->price_count, sizeof(*verify->prices), compare_price);
    return found == NULL ? NULL : &found->row;
}

/* A price with a margin is that of its list price, made again. */
static void check_margins(struct verify *verify)
{
    for (size_t i = 0; i < verify->price_count; i++) {
        const struct verify_price *marked = &verify->prices[i];
        if (marked->row.list == 0) continue;
        const struct price_row *list = find_price(verify, marked->row.list);
        struct price_row again;
        bool right = list != NULL && list->list == 0 &&
                     status_ok(billing_with_margin(list, marked->margin_basis_points, &again)) &&
                     billing_same_prices(&marked->row, &again);
        if (right) continue;
        char place[PLACE_SIZE];
        snprintf(place, sizeof(place), "price %" PRIu32, marked->row.id);
        verify_found(verify, place,
                     "is not list price %" PRIu32 " with a margin of %" PRIu32 " basis points",
                     marked->row.list, marked->margin_basis_points);
    }
}

status verify_read_prices(struct verify *verify)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(verify->db, "verify_prices", NULL, 0, &result));
    verify->prices = new_array(db_row_count(result), sizeof(*verify->prices));
    for (size_t i = 0; i < db_row_count(result); i++) {
        uint32_t id = (uint32_t)db_i64(result, i, 0);
        size_t count = verify->price_count;
        if (count == 0 || verify->prices[count - 1].row.id != id)
            verify->prices[verify->price_count++] = (struct verify_price){
                .row = {.id = id, .list = (uint32_t)db_i64(result, i, LIST_COLUMN)},
                .margin_basis_points = (uint32_t)db_i64(result, i, LIST_COLUMN + 1),
            };
        struct price_row *row = &verify->prices[verify->price_count - 1].row;
        if (row->tier_count == BILLING_TIERS_MAX) continue; /* no ledger could charge by it */
        struct price_tier *tier = &row->tiers[row->tier_count++];
        tier->above_prompt_tokens = (uint32_t)db_i64(result, i, 1);
        for (size_t class = 0; class < BILLING_CLASS_COUNT; class ++)
            tier->prices[class].nano_per_million = db_i64(result, i, PRICE_COLUMN + class);
    }
    check_margins(verify);
    return OK;
}

static bool copy_hash(uint8_t hash[MERKLE_HASH_SIZE], slice bytes)
{
    if (bytes.len != MERKLE_HASH_SIZE) return false;
    memcpy(hash, bytes.data, MERKLE_HASH_SIZE);
    return true;
}

static void keep_batch(struct verify *verify, const struct db_result *result, size_t row)
{
    struct verify_batch *batch = &verify->batches[verify->batch_count++];
    *batch = (struct verify_batch){.cell = db_i64(result, row, 0),
                                   .incarnation = db_i64(result, row, 1),
                                   .lo = db_i64(result, row, 2),
                                   .hi = db_i64(result, row, 3),
                                   .rows = db_i64(result, row, 4),
                                   .charge = db_money(result, row, 5)};
    bool whole = copy_hash(batch->root, db_bytes(result, row, 6)) &&
                 copy_hash(batch->link, db_bytes(result, row, 7));
    if (whole) return;
    char place[PLACE_SIZE];
    snprintf(place, sizeof(place), "batch %" PRId64 "/%" PRId64 "/%" PRId64, batch->cell,
             batch->incarnation, batch->lo);
    verify_found(verify, place, "its root or link is no hash");
}

status verify_read_batches(struct verify *verify)
{
    SCOPED(db_result_free) struct db_result *counted = NULL;
    TRY(db_run(verify->db, "verify_batch_count", NULL, 0, &counted));
    size_t count = (size_t)db_i64(counted, 0, 0);
    verify->batches = new_array(count, sizeof(*verify->batches));
    struct verify_batch last = {.cell = -1};
    while (verify->batch_count < count) {
        SCOPED(db_result_free) struct db_result *result = NULL;
        const struct db_param params[] = {DB_P_I64(last.cell), DB_P_I64(last.incarnation),
                                          DB_P_I64(last.lo), DB_P_I64(VERIFY_PAGE)};
        TRY(db_run(verify->db, "verify_batches", params, COUNT_OF(params), &result));
        if (db_row_count(result) == 0) break;
        for (size_t row = 0; row < db_row_count(result) && verify->batch_count < count; row++)
            keep_batch(verify, result, row);
        last = verify->batches[verify->batch_count - 1];
    }
    return OK;
}

static int compare_batches(const void *a, const void *b)
{
    const struct verify_batch *x = a, *y = b;
    if (x->cell != y->cell) return x->cell < y->cell ? -1 : 1;
    if (x->incarnation != y->incarnation) return x->incarnation < y->incarnation ? -1 : 1;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

struct verify_batch *verify_batch_at(const struct verify *verify, int64_t cell, int64_t incarnation,
                                     int64_t lo)
{
    struct verify_batch key = {.cell = cell, .incarnation = incarnation, .lo = lo};
    return bsearch(&key, verify->batches, verify->batch_count, sizeof(key), compare_batches);
}

/* ---- one row --------------------------------------------------------------------------------- */

static void read_row(const struct db_result *result, size_t at, const struct verify_batch *batch,
                     struct generation_row *row)
{
    row->cell = (uint16_t)batch->cell;
    row->incarnation = (uint32_t)batch->incarnation;
    size_t column = 0;
    for (size_t i = 0; i < GENERATION_NUMBER_COUNT; i++)
        row->numbers[i] = db_i64(result, at, column++);
    for (size_t i = 0; i < GENERATION_TEXT_COUNT; i++)
        row->texts[i] = db_text(result, at, column++);
    row->attempts = db_bytes(result, at, column);
}

/* What the provider's work costs by a price; nothing without one. */
static bool compute_cost(const struct generation_row *row, const struct price_row *price_row,
                         money *cost)
{
    struct usage_vector usage;
#define X(name) usage.units[BILLING_##name] = (uint32_t)row->numbers[GENERATION_##name];
    BILLING_CLASSES(X)
#undef X
    *cost = MONEY_ZERO;
    return price_row != NULL && status_ok(billing_charge(price_row, &usage, cost));
}

/* By the frozen price what the customer is charged, by its list price what the provider is owed. */
struct dues {
    money charge, cost;
};

static bool compute_dues(const struct verify *verify, const struct generation_row *row,
                         struct dues *dues)
{
    const struct price_row *price_row = find_price(verify, row->numbers[GENERATION_price]);
    const struct price_row *list = price_row;
    if (price_row != NULL && price_row->list != 0) list = find_price(verify, price_row->list);
    bool priced = compute_cost(row, price_row, &dues->charge);
    return compute_cost(row, list, &dues->cost) && priced;
}

/* With the customer's own key: what it says it cost by list price, and took of its allowance; the
 * charge is the fee on the rest, and no provider is owed. */
static void check_byok(struct verify *verify, const struct generation_row *row, const char *place,
                       money cost)
{
    const int64_t *numbers = row->numbers;
    int64_t unit = numbers[GENERATION_byok_unit], charge = numbers[GENERATION_charge];
    money list = {numbers[GENERATION_byok_list]}, units = {numbers[GENERATION_byok_units]};
    int64_t due = numbers[GENERATION_state] == STATE_SETTLED ? cost.nano : 0;
    if (list.nano != due)
        verify_found(verify, place,
                     "has a list price of %" PRId64
                     " nano-dollars, its usage and price make %" PRId64,
                     list.nano, due);
    bool settled = numbers[GENERATION_state] == STATE_SETTLED;
    int64_t units_max = !settled ? 0 : unit == BYOK_REQUESTS ? 1 : list.nano;
    bool known = unit == BYOK_REQUESTS || unit == BYOK_LIST_PRICE;
    if (!known || units.nano < 0 || units.nano > units_max)
        verify_found(verify, place, "took %" PRId64 " units of an allowance of kind %" PRId64,
                     units.nano, unit);
    money fee = MONEY_ZERO;
    status made = billing_byok_fee((enum byok_unit)unit, list, units,
                                   numbers[GENERATION_byok_fee_basis_points], &fee);
    if (!status_ok(made) || charge != fee.nano)
        verify_found(verify, place,
                     "charges %" PRId64 " nano-dollars, the fee on its list price is %" PRId64,
                     charge, fee.nano);
    if (numbers[GENERATION_provider_cost] != 0)
        verify_found(verify, place,
                     "owes the provider %" PRId64 " nano-dollars for the customer's own key",
                     numbers[GENERATION_provider_cost]);
}

/* With the platform's: the charge is what the price makes, the provider is owed what the list price
 * makes. */
static void check_platform(struct verify *verify, const struct generation_row *row,
                           const char *place, const struct dues *dues)
{
    const int64_t *numbers = row->numbers;
    int64_t charge = numbers[GENERATION_charge], owed = numbers[GENERATION_provider_cost];
    int64_t state = numbers[GENERATION_state];
    int64_t cost = dues->cost.nano;
    int64_t charge_due = state == STATE_SETTLED ? dues->charge.nano : 0;
    if (charge != charge_due)
        verify_found(verify, place,
                     "charges %" PRId64 " nano-dollars, its usage and price make %" PRId64, charge,
                     charge_due);
    bool owed_right = state == STATE_SETTLED    ? owed == cost
                      : state == STATE_RELEASED ? owed == 0
                                                : owed == 0 || owed == cost;
    if (!owed_right)
        verify_found(verify, place,
                     "owes the provider %" PRId64
                     " nano-dollars, its usage and price make %" PRId64,
                     owed, cost);
}

static void check_charge(struct verify *verify, const struct generation_row *row, const char *place)
{
    const int64_t *numbers = row->numbers;
    int64_t charge = numbers[GENERATION_charge];
    struct dues dues;
    bool priced = compute_dues(verify, row, &dues);
    bool has_figures = charge != 0 || numbers[GENERATION_provider_cost] != 0;
    if (!priced && numbers[GENERATION_price] != 0 && has_figures)
        verify_found(verify, place, "there is no price %" PRId64, numbers[GENERATION_price]);
    if (generation_row_is_byok(row))
        check_byok(verify, row, place, dues.cost);
    else
        check_platform(verify, row, place, &dues);
    if (numbers[GENERATION_charge_told] != charge)
        verify_found(verify, place,
                     "the client was told %" PRId64 " nano-dollars, it charges %" PRId64,
                     numbers[GENERATION_charge_told], charge);
}

/* ---- a batch --------------------------------------------------------------------------------- */

struct leaves {
    uint8_t *hashes;
    size_t count, count_max;
    struct buffer encoded;
};

static void add_leaf(struct leaves *leaves, const struct generation_row *row)
{
    if (leaves->count == leaves->count_max) {
        leaves->count_max = 2 * leaves->count_max + 1024;
        leaves->hashes = realloc(leaves->hashes, leaves->count_max * MERKLE_HASH_SIZE);
        if (leaves->hashes == NULL) abort();
    }
    buffer_clear(&leaves->encoded);
    generation_row_encode(row, &leaves->encoded);
    merkle_leaf(buffer_slice(&leaves->encoded), leaves->hashes + leaves->count * MERKLE_HASH_SIZE);
    leaves->count++;
}

static void check_row(struct verify *verify, struct verify_batch *batch,
                      const struct generation_row *row, int64_t batch_lo)
{
    char place[PLACE_SIZE];
    snprintf(place, sizeof(place), "hold %u/%" PRIu32 "/%" PRId64 " part %" PRId64, row->cell,
             row->incarnation, row->numbers[GENERATION_hold], row->numbers[GENERATION_part]);
    check_charge(verify, row, place);
    if (batch_lo != batch->lo)
        verify_found(verify, place, "names batch %" PRId64 ", its record is in batch %" PRId64,
                     batch_lo, batch->lo);
    money charge = {row->numbers[GENERATION_charge]};
    money owed = {row->numbers[GENERATION_provider_cost]};
    bool counted = status_ok(money_add(batch->rows_charge, charge, &batch->rows_charge)) &&
                   status_ok(money_add(batch->rows_owed, owed, &batch->rows_owed));
    if (!counted) verify_found(verify, place, "with it the batch is above what money counts");
}

static void check_root(struct verify *verify, const struct verify_batch *batch,
                       struct leaves *leaves)
{
    char place[PLACE_SIZE];
    uint8_t root[MERKLE_HASH_SIZE];
    size_t rows = leaves->count;
    snprintf(place, sizeof(place), "batch %" PRId64 "/%" PRId64 "/%" PRId64, batch->cell,
             batch->incarnation, batch->lo);
    merkle_root(leaves->hashes, leaves->count, root);
    if (memcmp(root, batch->root, sizeof(root)) != 0)
        verify_found(verify, place,
                     "its rows are not those that were posted: they make another root");
    if ((int64_t)rows != batch->rows || batch->rows_charge.nano != batch->charge.nano)
        verify_found(verify, place,
                     "says %" PRId64 " rows of %" PRId64 " nano-dollars, has %zu of %" PRId64,
                     batch->rows, batch->charge.nano, rows, batch->rows_charge.nano);
}

/* The batches from `first` that are read with one question: of one stream, and of few records. */
static size_t page_end(const struct verify *verify, size_t first)
{
    const struct verify_batch *begin = &verify->batches[first];
    size_t end = first + 1;
    for (; end < verify->batch_count; end++) {
        const struct verify_batch *next = &verify->batches[end];
        bool same = next->cell == begin->cell && next->incarnation == begin->incarnation;
        if (!same || next->hi - begin->lo > VERIFY_PAGE) break;
    }
    return end;
}

static status verify_page(struct verify *verify, size_t first, size_t end, struct leaves *leaves)
{
    const struct verify_batch *begin = &verify->batches[first];
    const struct db_param params[] = {DB_P_I64(begin->cell), DB_P_I64(begin->incarnation),
                                      DB_P_I64(begin->lo), DB_P_I64(verify->batches[end - 1].hi)};
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(verify->db, "verify_generations", params, COUNT_OF(params), &result));
    size_t at = 0;
    for (size_t i = first; i < end; i++) {
        struct verify_batch *batch = &verify->batches[i];
        leaves->count = 0;
        for (; at < db_row_count(result); at++) {
            struct generation_row row;
            read_row(result, at, batch, &row);
            if (row.numbers[GENERATION_seq] > batch->hi) break;
            check_row(verify, batch, &row, db_i64(result, at, COLUMN_BATCH));
            add_leaf(leaves, &row);
            verify->generations++;
        }
        check_root(verify, batch, leaves);
    }
    verify_progress(verify, "generations", verify->generations);
    return OK;
}

status verify_rows(struct verify *verify)
{
    struct leaves leaves = {0};
    buffer_init(&leaves.encoded, ROW_ENCODED_MAX);
    status done = OK;
    for (size_t first = 0; status_ok(done) && first < verify->batch_count;) {
        size_t end = page_end(verify, first);
        done = verify_page(verify, first, end, &leaves);
        first = end;
    }
    buffer_free(&leaves.encoded);
    free(leaves.hashes);
    TRY(done);
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(verify->db, "verify_generation_count", NULL, 0, &result));
    int64_t outside = db_i64(result, 0, 0) - (int64_t)verify->generations;
    if (outside != 0)
        verify_found(verify, "generation", "%" PRId64 " rows lie outside of every batch", outside);
    return OK;
}
