/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Usage figures are rows of meter_period, one per cadence; the limit stands on one
 * of the four meters. */
#include "services/ledger/api/key_rows.h"

#include "services/ledger/api/api.h"
#include "services/ledger/api/members.h"

/* Columns of the statement list_keys. */
enum {
    COLUMN_ID,
    COLUMN_HASH,
    COLUMN_LABEL,
    COLUMN_NAME,
    COLUMN_KIND,
    COLUMN_DISABLED,
    COLUMN_CREATED,
    COLUMN_UPDATED,
    COLUMN_EXPIRES,
    COLUMN_LIMIT,
    COLUMN_CADENCE,
    COLUMN_INCLUDE_BYOK,
    COLUMN_WORKSPACE,
    COLUMN_SPENT, /* life, day, week, month */
    COLUMN_BYOK_SPENT = COLUMN_SPENT + CADENCE_COUNT,
    COLUMN_MEMBER = COLUMN_BYOK_SPENT + CADENCE_COUNT,
    COLUMN_RATES = COLUMN_MEMBER + 1, /* KEY_RATE_COUNT of them */
    COLUMN_OLD_SECRET_ENDS = COLUMN_RATES + KEY_RATE_COUNT,
    COLUMN_LAST_USED,
    COLUMN_LAST_PREFIX,
};

static const slice cadence_suffixes[CADENCE_COUNT] = {
    SLICE_INIT(""), SLICE_INIT("_daily"), SLICE_INIT("_weekly"), SLICE_INIT("_monthly")};
const slice key_rows_cadence_names[CADENCE_COUNT] = {SLICE_INIT(""), SLICE_INIT("daily"),
                                                     SLICE_INIT("weekly"), SLICE_INIT("monthly")};

/* ---- transactions */

status key_rows_query(struct db *db, void *context)
{
    struct key_query *query = context;
    const struct key_filter *f = query->filter;
    wall_time now = api_now();
    const struct db_param params[] = {
        DB_P_I64(f->org),
        DB_P_I64(clock_period(CADENCE_DAY, now)),
        DB_P_I64(clock_period(CADENCE_WEEK, now)),
        DB_P_I64(clock_period(CADENCE_MONTH, now)),
        f->key == 0 ? DB_P_NULL : DB_P_I64(f->key),
        f->hash.len == 0 ? DB_P_NULL : DB_P_BYTES(f->hash),
        DB_P_BOOL(f->disabled_too),
        DB_P_I64(f->offset),
        DB_P_I64(f->limit),
    };
    db_result_free(query->rows);
    TRY(db_run(db, "list_keys", params, 9, query->rows));
    if (!query->wants_purchases) return OK;
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(db, "has_purchases", params, 1, &result));
    query->has_purchases = db_bool(result, 0, 0);
    SCOPED(db_result_free) struct db_result *counted = NULL;
    TRY(db_run(db, "free_requests", params, 2, &counted));
    query->free_limit = db_is_null(counted, 0, 0) ? -1 : db_i64(counted, 0, 0);
    query->free_posted = db_i64(counted, 0, 1);
    return OK;
}

static struct db_param expiry_param(const struct key_change *change)
{
    return change->expires_at.ns == 0 ? DB_P_NULL : DB_P_I64(change->expires_at.ns);
}

status key_rows_read(struct db *db, const struct key_filter *filter, struct db_result **rows)
{
    struct key_query query = {.db = db, .filter = filter, .rows = rows};
    return db_transaction(db, filter->org, key_rows_query, &query);
}

static status find_member(struct db *db, const struct key_new *new)
{
    SCOPED(db_result_free) struct db_result *row = NULL;
    const struct db_param params[] = {DB_P_I64(new->org), DB_P_I64(new->member)};
    TRY(db_run(db, "find_member", params, 2, &row));
    return db_row_count(row) == 1 ? OK : FAIL(NOT_FOUND);
}

/* What touches all keys of an organization, as a limit of its does, must stay small. */
static status check_count(struct db *db, int64_t org)
{
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(db, "count_keys", (const struct db_param[]){DB_P_I64(org)}, 1, &row));
    return db_i64(row, 0, 0) < KEYS_MAX ? OK : FAIL(CONFLICT);
}

status key_rows_insert(struct db *db, void *context)
{
    const struct key_new *new = context;
    const struct key_change *c = &new->change;
    struct db_param limit = c->has_limit ? DB_P_MONEY(c->limit) : DB_P_NULL;
    struct db_param member = new->member == 0 ? DB_P_NULL : DB_P_I64(new->member);
    if (new->member != 0) TRY(find_member(db, new));
    TRY(check_count(db, new->org));
    TRY(db_run(db, "insert_key",
               (const struct db_param[]){DB_P_I64(new->org), DB_P_I64(new->id),
                                         DB_P_BYTES(new->hash), DB_P_TEXT(new->label),
                                         DB_P_TEXT(new->name), DB_P_I64(new->kind), expiry_param(c),
                                         limit, DB_P_I64(c->cadence), DB_P_BOOL(c->include_byok),
                                         DB_P_BOOL(c->disabled), member},
               12, NULL));
    TRY(db_run(db, "insert_key_place",
               (const struct db_param[]){DB_P_BYTES(new->hash), DB_P_I64(new->org),
                                         DB_P_I64(new->id), DB_P_TEXT(SLICE_NONE)},
               4, NULL));
    TRY(key_rates_store(db, new->org, new->id, &c->rates));
    return db_run(db, "insert_key_meters",
                  (const struct db_param[]){DB_P_I64(new->org), DB_P_I64(new->id),
                                            DB_P_I64(c->cadence), limit,
                                            DB_P_BOOL(c->include_byok)},
                  5, NULL);
}

/* The key's own limit moves from one cadence to another; those set beside it stay. */
static status update_limit(struct db *db, const struct key_update *update, struct db_param limit,
                           enum cadence cadence, enum cadence before)
{
    const struct key_change *c = &update->change;
    wall_time now = api_now();
    struct db_param byok = c->byok_given ? DB_P_BOOL(c->include_byok) : DB_P_NULL;
    TRY(db_run(db, "update_key_meters",
               (const struct db_param[]){DB_P_I64(update->org), DB_P_I64(update->id),
                                         DB_P_I64(cadence), limit, byok, DB_P_I64(before)},
               6, NULL));
    return db_run(db, "update_key_periods",
                  (const struct db_param[]){DB_P_I64(update->org), DB_P_I64(update->id),
                                            DB_P_I64(clock_period(CADENCE_DAY, now)),
                                            DB_P_I64(clock_period(CADENCE_WEEK, now)),
                                            DB_P_I64(clock_period(CADENCE_MONTH, now))},
                  5, NULL);
}

status key_rows_hashes(struct db *db, int64_t org, int64_t key, struct key_hashes *hashes)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    const struct db_param params[] = {DB_P_I64(org), DB_P_I64(key)};
    TRY(db_run(db, "list_key_places", params, 2, &rows));
    hashes->count = 0;
    for (size_t row = 0; row < db_row_count(rows) && row < KEY_HASHES_MAX; row++) {
        slice hash = db_bytes(rows, row, 0);
        if (hash.len != sizeof(hashes->items[0].bytes)) return FAIL(INTERNAL);
        memcpy(hashes->items[hashes->count++].bytes, hash.data, hash.len);
    }
    return OK;
}

status key_rows_update(struct db *db, void *context)
{
    struct key_update *update = context;
    const struct key_change *c = &update->change;
    SCOPED(db_result_free) struct db_result *row = NULL;
    slice hash = {(const char *)update->hash.bytes, sizeof(update->hash.bytes)};
    TRY(db_run(db, "lock_key", (const struct db_param[]){DB_P_I64(update->org), DB_P_BYTES(hash)},
               2, &row));
    if (db_row_count(row) == 0) return FAIL(NOT_FOUND);
    update->id = db_i64(row, 0, KEY_LOCKED_ID);
    TRY(key_rows_hashes(db, update->org, update->id, &update->hashes));
    const struct db_param place[] = {DB_P_I64(update->org), DB_P_I64(update->id)};
    if (update->delete) return db_run(db, "delete_key", place, 2, NULL);

    bool has_limit = c->limit_given ? c->has_limit : !db_is_null(row, 0, KEY_LOCKED_LIMIT);
    money amount = c->limit_given ? c->limit : db_money(row, 0, KEY_LOCKED_LIMIT);
    enum cadence before = (enum cadence)db_i64(row, 0, KEY_LOCKED_CADENCE);
    enum cadence cadence = c->cadence_given ? c->cadence : before;
    struct db_param limit = has_limit ? DB_P_MONEY(amount) : DB_P_NULL;
    TRY(db_run(db, "update_key",
               (const struct db_param[]){
                   place[0], place[1], update->name.len == 0 ? DB_P_NULL : DB_P_TEXT(update->name),
                   c->disabled_given ? DB_P_BOOL(c->disabled) : DB_P_NULL, limit, DB_P_I64(cadence),
                   c->byok_given ? DB_P_BOOL(c->include_byok) : DB_P_NULL,
                   DB_P_BOOL(c->expiry_given), expiry_param(c)},
               9, NULL));
    TRY(key_rates_store(db, update->org, update->id, &c->rates));
    if (!c->limit_given && !c->cadence_given && !c->byok_given) return OK;
    return update_limit(db, update, limit, cadence, before);
}

/* ---- JSON */

static void write_spent(const struct db_result *rows, size_t row, slice name, size_t column,
                        struct json_writer *w)
{
    for (size_t c = 0; c < CADENCE_COUNT; c++) {
        char text[32];
        struct buffer key;
        buffer_init_fixed(&key, text, sizeof(text));
        buffer_append(&key, name);
        buffer_append(&key, cadence_suffixes[c]);
        json_key_money(w, buffer_slice(&key), db_money(rows, row, column + c));
    }
}

static void write_limit(const struct db_result *rows, size_t row, struct json_writer *w)
{
    enum cadence cadence = (enum cadence)db_i64(rows, row, COLUMN_CADENCE);
    json_key_string_or_null(w, SLICE("limit_reset"), key_rows_cadence_names[cadence]);
    json_key_bool(w, SLICE("include_byok_in_limit"), db_bool(rows, row, COLUMN_INCLUDE_BYOK));
    json_key(w, SLICE("limit_resets_at"));
    if (cadence == CADENCE_LIFE || db_is_null(rows, row, COLUMN_LIMIT))
        json_null(w);
    else
        json_time(w, clock_period_end(cadence, api_now()));
    if (db_is_null(rows, row, COLUMN_LIMIT)) {
        json_key_null(w, SLICE("limit"));
        json_key_null(w, SLICE("limit_remaining"));
        return;
    }
    money limit = db_money(rows, row, COLUMN_LIMIT);
    money spent = db_money(rows, row, COLUMN_SPENT + (size_t)cadence);
    if (db_bool(rows, row, COLUMN_INCLUDE_BYOK))
        spent = money_plus(spent, db_money(rows, row, COLUMN_BYOK_SPENT + (size_t)cadence));
    json_key_money(w, SLICE("limit"), limit);
    json_key_money(w, SLICE("limit_remaining"),
                   money_less(spent, limit) ? money_minus(limit, spent) : MONEY_ZERO);
}

static void write_workspace(const struct db_result *rows, size_t row, struct json_writer *w)
{
    char text[24];
    struct buffer id;
    buffer_init_fixed(&id, text, sizeof(text));
    buffer_append_i64(&id, db_i64(rows, row, COLUMN_WORKSPACE));
    json_key_string(w, SLICE("workspace_id"), buffer_slice(&id));
}

static void write_facts(const struct db_result *rows, size_t row, struct json_writer *w)
{
    json_key_string(w, SLICE("label"), db_text(rows, row, COLUMN_LABEL));
    json_key_null(w, SLICE("creator_user_id"));
    write_workspace(rows, row, w);
    if (db_is_null(rows, row, COLUMN_MEMBER))
        json_key_null(w, SLICE("member_id"));
    else
        members_write_id(w, SLICE("member_id"), db_i64(rows, row, COLUMN_MEMBER));
    write_limit(rows, row, w);
    write_spent(rows, row, SLICE("usage"), COLUMN_SPENT, w);
    write_spent(rows, row, SLICE("byok_usage"), COLUMN_BYOK_SPENT, w);
    api_write_time(rows, row, SLICE("expires_at"), COLUMN_EXPIRES, w);
    api_write_time(rows, row, SLICE("old_secret_expires_at"), COLUMN_OLD_SECRET_ENDS, w);
    api_write_time(rows, row, SLICE("last_used_at"), COLUMN_LAST_USED, w);
    json_key_string_or_null(w, SLICE("last_used_prefix"), db_text(rows, row, COLUMN_LAST_PREFIX));
}

void key_rows_write(const struct db_result *rows, size_t row, struct json_writer *w)
{
    char hex[65];
    struct buffer hash;
    slice bytes = db_bytes(rows, row, COLUMN_HASH);
    buffer_init_fixed(&hash, hex, sizeof(hex));
    buffer_append_hex(&hash, (const uint8_t *)bytes.data, bytes.len);
    json_object_begin(w);
    json_key_string(w, SLICE("hash"), buffer_slice(&hash));
    json_key_string(w, SLICE("name"), db_text(rows, row, COLUMN_NAME));
    json_key_bool(w, SLICE("disabled"), db_bool(rows, row, COLUMN_DISABLED));
    json_key_bool(w, SLICE("is_management_key"),
                  db_i64(rows, row, COLUMN_KIND) == PRINCIPAL_MANAGEMENT);
    json_key_null(w, SLICE("external_user"));
    api_write_time(rows, row, SLICE("created_at"), COLUMN_CREATED, w);
    api_write_time(rows, row, SLICE("updated_at"), COLUMN_UPDATED, w);
    write_facts(rows, row, w);
    key_rates_write(rows, row, COLUMN_RATES, w);
    json_object_end(w);
}

static void write_count(struct json_writer *w, slice name, int64_t count)
{
    if (count < 0)
        json_key_null(w, name);
    else
        json_key_i64(w, name, count);
}

static void write_free_model_requests(const struct key_current *current, struct json_writer *w)
{
    int64_t limit = current->free_limit;
    int64_t left = limit < current->free_used ? 0 : limit - current->free_used;
    json_key(w, SLICE("free_model_daily_requests"));
    json_object_begin(w);
    json_key_i64(w, SLICE("used"), current->free_used);
    write_count(w, SLICE("limit"), limit);
    write_count(w, SLICE("remaining"), limit < 0 ? -1 : left);
    json_object_end(w);
}

void key_rows_write_current(const struct db_result *rows, const struct key_current *current,
                            struct json_writer *w)
{
    bool management = db_i64(rows, 0, COLUMN_KIND) == PRINCIPAL_MANAGEMENT;
    char text[32];
    struct buffer id;
    buffer_init_fixed(&id, text, sizeof(text));
    api_append_org(&id, current->org);
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    write_facts(rows, 0, w);
    json_key_bool(w, SLICE("is_free_tier"), current->free_tier);
    json_key_bool(w, SLICE("is_management_key"), management);
    json_key_bool(w, SLICE("is_provisioning_key"), management);
    json_key_string(w, SLICE("organization_id"), buffer_slice(&id));
    json_key(w, SLICE("allowed_data_regions"));
    json_array_begin(w);
    json_string(w, SLICE("global"));
    json_array_end(w);
    write_free_model_requests(current, w);
    key_rates_write_current(rows, COLUMN_RATES, w);
    json_object_end(w);
    json_object_end(w);
}
