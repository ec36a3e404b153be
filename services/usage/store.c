/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. A correction row adds its charge to the first row's; everything else is told by
 * the first. */
#include "services/usage/store.h"

/* Columns of the statement find_generation. */
enum {
    COLUMN_PART,
    COLUMN_CREATED,
    COLUMN_STATE,
    COLUMN_REASON,
    COLUMN_CHARGE_TOLD,
    COLUMN_CHARGE,
    COLUMN_HELD,
    COLUMN_PROVIDER_COST,
    COLUMN_FLAGS,
    COLUMN_FINISH,
    COLUMN_UNITS, /* BILLING_CLASS_COUNT of them */
    COLUMN_FIRST_BYTE = COLUMN_UNITS + BILLING_CLASS_COUNT,
    COLUMN_TOTAL,
    COLUMN_NATIVE_FINISH,
    COLUMN_UPSTREAM_ID,
    COLUMN_REFERER,
    COLUMN_TITLE,
    COLUMN_USER_AGENT,
    COLUMN_SESSION,
    COLUMN_ATTEMPTS,
    COLUMN_WORKSPACE,
    COLUMN_PRICE,
    COLUMN_MODEL,
    COLUMN_PROVIDER,
    COLUMN_BYOK,
    COLUMN_BYOK_LIST,
};

struct query {
    struct arena *arena;
    int64_t org;
    struct generation_place place;
    struct generation_row *row;
};

static status copy_text(const struct query *query, const struct db_result *result, size_t column,
                        slice *text)
{
    *text = arena_copy(query->arena, db_text(result, 0, column));
    return text->data == NULL ? FAIL(TOO_LARGE) : OK;
}

static status read_texts(const struct query *query, const struct db_result *result)
{
    struct generation_row *row = query->row;
    const struct {
        size_t column;
        slice *text;
    } texts[] = {
        {COLUMN_NATIVE_FINISH, &row->facts.native_finish},
        {COLUMN_UPSTREAM_ID, &row->facts.upstream_id},
        {COLUMN_REFERER, &row->facts.referer},
        {COLUMN_TITLE, &row->facts.title},
        {COLUMN_USER_AGENT, &row->facts.user_agent},
        {COLUMN_SESSION, &row->facts.session},
        {COLUMN_MODEL, &row->model},
        {COLUMN_PROVIDER, &row->provider},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        TRY(copy_text(query, result, texts[i].column, texts[i].text));
    }
    return OK;
}

static void read_numbers(const struct db_result *result, struct generation_row *row)
{
    row->created_ns = db_i64(result, 0, COLUMN_CREATED);
    row->state = (enum generation_state)db_i64(result, 0, COLUMN_STATE);
    row->reason = (uint16_t)db_i64(result, 0, COLUMN_REASON);
    row->workspace = db_i64(result, 0, COLUMN_WORKSPACE);
    row->price_id = db_i64(result, 0, COLUMN_PRICE);
    row->charge_told = db_money(result, 0, COLUMN_CHARGE_TOLD);
    row->held = db_money(result, 0, COLUMN_HELD);
    row->byok = db_bool(result, 0, COLUMN_BYOK);
    row->byok_list = db_money(result, 0, COLUMN_BYOK_LIST);
    row->facts.flags = (uint32_t)db_i64(result, 0, COLUMN_FLAGS);
    row->facts.finish = (uint8_t)db_i64(result, 0, COLUMN_FINISH);
    row->facts.first_byte_ms = (uint32_t)db_i64(result, 0, COLUMN_FIRST_BYTE);
    row->facts.total_ms = (uint32_t)db_i64(result, 0, COLUMN_TOTAL);
    for (size_t c = 0; c < BILLING_CLASS_COUNT; c++) {
        row->usage.units[c] = (uint32_t)db_i64(result, 0, COLUMN_UNITS + c);
    }
    for (size_t part = 0; part < db_row_count(result); part++) {
        row->charge = money_plus(row->charge, db_money(result, part, COLUMN_CHARGE));
    }
}

static status name_attempts(struct db *db, const struct query *query)
{
    struct generation_row *row = query->row;
    SCOPED(db_result_free) struct db_result *names = NULL;
    int64_t endpoints[ATTEMPTS_MAX];
    size_t count = row->facts.attempt_count;
    for (size_t i = 0; i < count; i++)
        endpoints[i] = row->facts.attempts[i].endpoint;
    if (count == 0) return OK;
    TRY(db_run(db, "list_names", (const struct db_param[]){DB_P_I64_ARRAY(endpoints, count)}, 1,
               &names));
    for (size_t i = 0; i < count * db_row_count(names); i++) {
        size_t attempt = i % count;
        size_t at = i / count;
        if (db_i64(names, at, 0) != endpoints[attempt]) continue;
        row->attempt_names[attempt].provider = arena_copy(query->arena, db_text(names, at, 1));
        row->attempt_names[attempt].model = arena_copy(query->arena, db_text(names, at, 2));
    }
    return OK;
}

static status find(struct db *db, void *context)
{
    const struct query *query = context;
    SCOPED(db_result_free) struct db_result *result = NULL;
    *query->row = (struct generation_row){0};
    TRY(db_run(db, "find_generation",
               (const struct db_param[]){
                   DB_P_I64(query->org), DB_P_I64(query->place.day), DB_P_I64(query->place.cell),
                   DB_P_I64(query->place.incarnation), DB_P_I64(query->place.hold)},
               5, &result));
    if (db_row_count(result) == 0) return FAIL(NOT_FOUND);
    read_numbers(result, query->row);
    TRY(read_texts(query, result));
    slice attempts = db_bytes(result, 0, COLUMN_ATTEMPTS);
    struct codec_reader in = {(const uint8_t *)attempts.data,
                              (const uint8_t *)attempts.data + attempts.len, false};
    codec_get_attempts(&in, &query->row->facts);
    return in.bad ? FAIL(MALFORMED) : name_attempts(db, query);
}

status store_find_generation(struct db *db, struct arena *arena, int64_t org,
                             struct generation_place place, struct generation_row *row)
{
    /* A forged id may open to anything; what does not fit the columns is nobody's. */
    if (place.hold > INT64_MAX || place.incarnation > INT32_MAX || place.cell > INT16_MAX)
        return FAIL(NOT_FOUND);
    struct query query = {.arena = arena, .org = org, .place = place, .row = row};
    return db_transaction(db, org, find, &query);
}

status store_find_stream(struct db *db, uint16_t cell, struct stream_end *end)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    if (cell > INT16_MAX) return FAIL(NOT_FOUND);
    TRY(db_run(db, "find_stream", (const struct db_param[]){DB_P_I64(cell)}, 1, &result));
    if (db_row_count(result) == 0) return FAIL(NOT_FOUND);
    end->incarnation = (uint32_t)db_i64(result, 0, 0);
    end->hold_floor = (uint64_t)db_i64(result, 0, 1);
    return OK;
}
