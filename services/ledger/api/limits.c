/* SPDX-License-Identifier: Apache-2.0 */
/* Limits in dollars of whoever can have one: the organization, its workspaces, members and keys,
 * each for life, by day, week and month, any of them at once, and whether they count the list price
 * of requests with own provider keys. A change is in the core before the answer goes out. The
 * complication: a first limit of an owner other than a key begins with what its keys have spent in
 * the period, so no batch is posted while that is added up; only then, for it is everybody's
 * posting that waits. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/fields.h"
#include "services/ledger/api/key_secrets.h"
#include "services/ledger/api/members.h"
#include "services/ledger/apply.h"
#include "services/ledger/core/core.h"

/* Columns of owner_limits. */
enum { COLUMN_CADENCE, COLUMN_LIMIT, COLUMN_SPENT, COLUMN_INCLUDE_BYOK };

struct limit_owner {
    int64_t org;
    enum meter_owner kind;
    int64_t id;
    slice text;             /* as the request names it */
    struct key_hash stored; /* of a key, as named */
    struct key_hashes hashes;
};

/* ---- whose ---------------------------------------------------------------------------------- */

static status parse_member(slice text, struct limit_owner *owner)
{
    return members_parse_id(text, &owner->id);
}

static status parse_workspace(slice text, struct limit_owner *owner)
{
    return status_ok(slice_to_i64(text, &owner->id)) ? OK : FAIL(NOT_FOUND);
}

static status parse_key(slice text, struct limit_owner *owner)
{
    return slice_from_hex(text, owner->stored.bytes, sizeof(owner->stored.bytes));
}

static status parse_organization(slice text, struct limit_owner *owner)
{
    owner->id = owner->org;
    return text.len == 0 ? OK : FAIL(NOT_FOUND);
}

static const struct {
    slice name;
    enum meter_owner kind;
    status (*parse)(slice text, struct limit_owner *owner);
} owners[] = {
    {SLICE_INIT("organization"), OWNER_ORG, parse_organization},
    {SLICE_INIT("workspace"), OWNER_WORKSPACE, parse_workspace},
    {SLICE_INIT("member"), OWNER_MEMBER, parse_member},
    {SLICE_INIT("key"), OWNER_KEY, parse_key},
};

static status read_owner(struct control_request *request, struct control_response *response,
                         struct limit_owner *owner)
{
    TRY(api_org(request, response, &owner->org));
    owner->text = control_query(request, SLICE("owner"));
    slice name, rest = SLICE_NONE;
    (void)slice_split(owner->text, ':', &name, &rest);
    for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
        if (!slice_equal(name, owners[i].name)) continue;
        owner->kind = owners[i].kind;
        if (status_ok(owners[i].parse(rest, owner))) return OK;
    }
    return control_fail(response, FAIL(BAD_REQUEST),
                        SLICE("Name the owner: ?owner=organization, workspace:ID, member:mem-… or "
                              "key:HASH."));
}

/* NOT_FOUND when there is no such owner in the organization; the number of a key. */
static status find_owner(struct db *db, struct limit_owner *owner)
{
    static const char *const statements[] = {[OWNER_KEY] = "lock_key",
                                             [OWNER_MEMBER] = "find_member",
                                             [OWNER_WORKSPACE] = "find_workspace",
                                             [OWNER_ORG] = "find_org_row"};
    SCOPED(db_result_free) struct db_result *row = NULL;
    slice hash = {(const char *)owner->stored.bytes, sizeof(owner->stored.bytes)};
    const struct db_param params[] = {
        DB_P_I64(owner->org), owner->kind == OWNER_KEY ? DB_P_BYTES(hash) : DB_P_I64(owner->id)};
    TRY(db_run(db, statements[owner->kind], params, 2, &row));
    if (db_row_count(row) == 0) return FAIL(NOT_FOUND);
    owner->id = db_i64(row, 0, 0);
    return owner->kind == OWNER_KEY ? key_rows_hashes(db, owner->org, owner->id, &owner->hashes)
                                    : OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct limit_query {
    struct limit_owner *owner;
    struct db_result **rows;
};

static status query_limits(struct db *db, void *context)
{
    struct limit_query *query = context;
    struct limit_owner *owner = query->owner;
    wall_time now = api_now();
    TRY(find_owner(db, owner));
    db_result_free(query->rows);
    return db_run(db, "owner_limits",
                  (const struct db_param[]){DB_P_I64(owner->org), DB_P_I64(owner->kind),
                                            DB_P_I64(owner->id),
                                            DB_P_I64(clock_period(CADENCE_DAY, now)),
                                            DB_P_I64(clock_period(CADENCE_WEEK, now)),
                                            DB_P_I64(clock_period(CADENCE_MONTH, now))},
                  6, query->rows);
}

static void write_limit(struct json_writer *w, const struct db_result *rows, size_t row)
{
    enum cadence cadence = (enum cadence)db_i64(rows, row, COLUMN_CADENCE);
    money spent = db_money(rows, row, COLUMN_SPENT);
    json_object_begin(w);
    json_key_string_or_null(w, SLICE("limit_reset"), key_rows_cadence_names[cadence]);
    json_key(w, SLICE("limit"));
    if (db_is_null(rows, row, COLUMN_LIMIT)) {
        json_null(w);
        json_key_null(w, SLICE("limit_remaining"));
    } else {
        money limit = db_money(rows, row, COLUMN_LIMIT);
        json_money(w, limit);
        json_key_money(w, SLICE("limit_remaining"),
                       money_less(spent, limit) ? money_minus(limit, spent) : MONEY_ZERO);
    }
    json_key_money(w, SLICE("usage"), spent);
    json_key_bool(w, SLICE("include_byok_in_limit"), db_bool(rows, row, COLUMN_INCLUDE_BYOK));
    json_key(w, SLICE("limit_resets_at"));
    if (cadence == CADENCE_LIFE)
        json_null(w);
    else
        json_time(w, clock_period_end(cadence, api_now()));
    json_object_end(w);
}

static status write_limits(struct control_request *request, struct control_response *response,
                           struct limit_owner *owner)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    struct limit_query query = {owner, &rows};
    api_await_posted(request, response);
    status done = db_transaction(request->db, owner->org, query_limits, &query);
    if (done.code == ERROR_NOT_FOUND)
        return control_fail(response, done, SLICE("The organization has no such owner."));
    TRY(done);
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key_string(w, SLICE("owner"), owner->text);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (size_t i = 0; i < db_row_count(rows); i++)
        write_limit(w, rows, i);
    json_array_end(w);
    json_object_end(w);
    return OK;
}

status limits_read(struct control_request *request, struct control_response *response)
{
    struct limit_owner owner = {0};
    TRY(read_owner(request, response, &owner));
    return write_limits(request, response, &owner);
}

/* ---- changing ------------------------------------------------------------------------------- */

#define LIMIT_MUST_BE \
    "null or a number of dollars from 0 to 9223372036.854775807, with at most 9 decimals."
/* A limit of each cadence, then what is one for all of them. */
enum { LIMIT_INCLUDE_BYOK = CADENCE_COUNT, LIMIT_FIELD_COUNT };
static const struct field fields[LIMIT_FIELD_COUNT] = {
    {SLICE_INIT("lifetime"), FIELD_DOLLARS, 0, INT64_MAX, true, false, LIMIT_MUST_BE},
    {SLICE_INIT("daily"), FIELD_DOLLARS, 0, INT64_MAX, true, false, LIMIT_MUST_BE},
    {SLICE_INIT("weekly"), FIELD_DOLLARS, 0, INT64_MAX, true, false, LIMIT_MUST_BE},
    {SLICE_INIT("monthly"), FIELD_DOLLARS, 0, INT64_MAX, true, false, LIMIT_MUST_BE},
    [LIMIT_INCLUDE_BYOK] = {SLICE_INIT("include_byok_in_limit"), FIELD_FLAG, 0, 1, false, false,
                            "true or false."},
};

static status read_changes(struct control_request *request, struct control_response *response,
                           struct field_value changes[LIMIT_FIELD_COUNT])
{
    bool any = false;
    TRY(fields_read(request, response, fields, LIMIT_FIELD_COUNT, changes));
    for (size_t i = 0; i < LIMIT_FIELD_COUNT; i++)
        any |= changes[i].given;
    if (any) return OK;
    return control_fail(response, FAIL(MISSING_FIELD),
                        SLICE("Send any of lifetime, daily, weekly, monthly and "
                              "include_byok_in_limit."));
}

struct limit_work {
    struct limit_owner *owner;
    const struct field_value *changes;
};

static bool is_changed(const struct limit_work *work, int cadence)
{
    return work->changes[cadence].given || work->changes[LIMIT_INCLUDE_BYOK].given;
}

/* What counts list prices has the meters of all cadences, so that none begins later without. */
static bool needs_meter(const struct limit_work *work, int cadence)
{
    const struct field_value *limit = &work->changes[cadence];
    const struct field_value *byok = &work->changes[LIMIT_INCLUDE_BYOK];
    return (limit->given && !limit->is_null) || (byok->given && byok->number != 0);
}

/* Keys have all their meters from the start; others begin one when it is first needed. */
static status find_whether_begins(struct db *db, const struct limit_work *work, bool *begins)
{
    const struct limit_owner *owner = work->owner;
    SCOPED(db_result_free) struct db_result *row = NULL;
    int64_t cadences[CADENCE_COUNT];
    size_t count = 0;
    for (int cadence = 0; cadence < CADENCE_COUNT; cadence++) {
        if (needs_meter(work, cadence)) cadences[count++] = cadence;
    }
    *begins = false;
    if (owner->kind == OWNER_KEY || count == 0) return OK;
    TRY(db_run(db, "meter_begins",
               (const struct db_param[]){DB_P_I64(owner->org), DB_P_I64(owner->kind),
                                         DB_P_I64(owner->id), DB_P_I64_ARRAY(cadences, count)},
               4, &row));
    *begins = db_bool(row, 0, 0);
    return OK;
}

static status change_one(struct db *db, const struct limit_work *work, enum cadence cadence,
                         bool begins)
{
    const struct limit_owner *owner = work->owner;
    const struct field_value *limit = &work->changes[cadence];
    const struct field_value *byok = &work->changes[LIMIT_INCLUDE_BYOK];
    const struct db_param period[] = {DB_P_I64(owner->org), DB_P_I64(owner->kind),
                                      DB_P_I64(owner->id), DB_P_I64(cadence),
                                      DB_P_I64(clock_period(cadence, api_now()))};
    if (begins && needs_meter(work, cadence)) {
        TRY(db_run(db, "begin_meter", period, 5, NULL));
        TRY(db_run(db, "begin_meter_period", period, 5, NULL));
    }
    TRY(db_run(db, "set_limit",
               (const struct db_param[]){period[0], period[1], period[2], period[3],
                                         DB_P_BOOL(limit->given), field_number(limit),
                                         byok->given ? DB_P_BOOL(byok->number != 0) : DB_P_NULL},
               7, NULL));
    return db_run(db, "set_period_limit", period, 5, NULL);
}

static status raise_versions(struct db *db, const struct limit_owner *owner)
{
    return db_run(
        db, "raise_versions",
        (const struct db_param[]){DB_P_I64(owner->org), DB_P_I64(owner->kind), DB_P_I64(owner->id)},
        3, NULL);
}

static status change_limits(struct db *db, void *context)
{
    const struct limit_work *work = context;
    struct limit_owner *owner = work->owner;
    bool begins;
    TRY(find_owner(db, owner));
    TRY(find_whether_begins(db, work, &begins));
    /* Of an owner with many keys this takes its time, and nobody's posting should wait for it. */
    if (owner->kind != OWNER_KEY) TRY(raise_versions(db, owner));
    if (begins) TRY(db_run(db, "pause_posting", NULL, 0, NULL));
    for (int cadence = 0; cadence < CADENCE_COUNT; cadence++) {
        if (is_changed(work, cadence)) TRY(change_one(db, work, (enum cadence)cadence, begins));
    }
    /* A key's row repeats what stands only now. */
    return owner->kind == OWNER_KEY ? raise_versions(db, owner) : OK;
}

status limits_change(struct control_request *request, struct control_response *response)
{
    struct api *api = request->service;
    struct limit_owner owner = {0};
    struct field_value changes[LIMIT_FIELD_COUNT];
    TRY(read_owner(request, response, &owner));
    TRY(read_changes(request, response, changes));
    struct limit_work work = {&owner, changes};
    status done = db_transaction(request->db, owner.org, change_limits, &work);
    if (done.code == ERROR_NOT_FOUND)
        return control_fail(response, done, SLICE("The organization has no such owner."));
    TRY(done);
    TRY(api_taken(response, owner.kind == OWNER_KEY
                                ? key_hashes_changed(api, owner.org, &owner.hashes)
                                : apply_limits_changed(api->ledger, owner.org)));
    return write_limits(request, response, &owner);
}
