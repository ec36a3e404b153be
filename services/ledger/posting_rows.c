/* SPDX-License-Identifier: Apache-2.0 */
/* A batch's rows: the columns of generations, and the hash of each row for the batch's proof. A few
 * rows are made at a time: a column is written a cache line at once, and a row is hashed while it
 * is at hand. */
#include "services/ledger/posting_rows.h"

#include "services/ledger/text.h"
#include "shared/merkle.h"

#define ATTEMPT_SIZE 15
#define ROWS_AT_ONCE 8 /* of eight bytes */

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

static void describe_numbers(const struct record_ending *ending, uint64_t seq,
                             int64_t values[GENERATION_NUMBER_COUNT])
{
    const struct generation_facts *facts = &ending->facts;
    const int64_t fixed[GENERATION_NUMBER_COUNT] = {
        [GENERATION_org] = ending->org,
        [GENERATION_day] = clock_period(CADENCE_DAY, (wall_time){ending->created_ns}),
        [GENERATION_hold] = (int64_t)ending->hold,
        [GENERATION_part] = ending->part,
        [GENERATION_seq] = (int64_t)seq,
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
#define X(name) [GENERATION_##name] = at_most(ending->usage.units[BILLING_##name], INT32_MAX),
        BILLING_CLASSES(X)
#undef X
    };
    memcpy(values, fixed, sizeof(fixed));
}

static status describe_texts(struct arena *arena, const struct generation_facts *facts,
                             struct generation_row *row)
{
    const slice texts[GENERATION_TEXT_COUNT] = {
#define X(name) [GENERATION_##name] = facts->name,
        GENERATION_TEXTS(X)
#undef X
    };
    for (size_t column = 0; column < GENERATION_TEXT_COUNT; column++) {
        row->texts[column] = text_clean(arena, texts[column]);
        if (row->texts[column].data == NULL) return FAIL(TOO_LARGE);
    }
    row->attempts = encode_attempts(arena, facts);
    return row->attempts.data == NULL ? FAIL(TOO_LARGE) : OK;
}

static status allocate_columns(struct posting *posting)
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
    return posting->attempts == NULL ? FAIL(TOO_LARGE) : OK;
}

static void write_columns(struct posting *posting, size_t first, const struct generation_row *rows,
                          size_t count)
{
    for (size_t column = 0; column < GENERATION_NUMBER_COUNT; column++) {
        for (size_t i = 0; i < count; i++)
            posting->numbers[column][first + i] = rows[i].numbers[column];
    }
    for (size_t column = 0; column < GENERATION_TEXT_COUNT; column++) {
        for (size_t i = 0; i < count; i++)
            posting->texts[column][first + i] = rows[i].texts[column];
    }
    for (size_t i = 0; i < count; i++)
        posting->attempts[first + i] = rows[i].attempts;
}

static status hash_row(const struct generation_row *row, struct buffer *room, uint8_t *leaf)
{
    buffer_clear(room);
    generation_row_encode(row, room);
    TRY(buffer_finish(room));
    merkle_leaf(buffer_slice(room), leaf);
    return OK;
}

/* Up to ROWS_AT_ONCE rows from `first` on. */
static status fill_some(struct posting *posting, size_t first, struct buffer *room, uint8_t *leaves)
{
    struct generation_row rows[ROWS_AT_ONCE] = {0};
    size_t left = posting->count - first;
    size_t count = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;
    for (size_t i = 0; i < count; i++) {
        const struct record_ending *ending = &posting->endings[first + i];
        struct generation_row *row = &rows[i];
        row->cell = posting->cell;
        row->incarnation = posting->incarnation;
        describe_numbers(ending, posting->seqs[first + i], row->numbers);
        TRY(describe_texts(posting->arena, &ending->facts, row));
        TRY(hash_row(row, room, leaves + (first + i) * HASH_SIZE));
    }
    write_columns(posting, first, rows, count);
    return OK;
}

status posting_fill_rows(struct posting *posting)
{
    TRY(allocate_columns(posting));
    uint8_t *leaves = arena_alloc_unset(posting->arena, posting->count + 1, HASH_SIZE);
    char *memory = arena_alloc_unset(posting->arena, 2, RECORD_SIZE_MAX);
    if (leaves == NULL || memory == NULL) return FAIL(TOO_LARGE);
    struct buffer room;
    buffer_init_fixed(&room, memory, (size_t)2 * RECORD_SIZE_MAX);
    for (size_t first = 0; first < posting->count; first += ROWS_AT_ONCE)
        TRY(fill_some(posting, first, &room, leaves));
    merkle_root(leaves, posting->count, posting->root);
    merkle_link(posting->previous_link, posting->lo, posting->hi, posting->root, posting->link);
    return OK;
}
