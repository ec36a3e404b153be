/* SPDX-License-Identifier: Apache-2.0 */
/* API keys: made, listed, changed, deleted. The secret is shown once, at creation; the database
 * holds its hash only. Every change is in the core before the answer goes out, so a disabled key
 * stops at its next request. */
#include "services/ledger/api/api.h"
#include "services/ledger/api/key_rows.h"
#include "services/ledger/api/members.h"

#include "services/ledger/apply.h"
#include "shared/log.h"

#define KEY_PAGE_MAX    100
#define NAME_MAX        200
#define REFUSAL_MAX     256
#define FIELD_SHOWN_MAX 64

/* ---- reading */

static status read_rows(struct control_request *request, const struct key_filter *filter,
                        struct db_result **rows)
{
    struct key_query query = {.db = request->db, .filter = filter, .rows = rows};
    return db_transaction(request->db, filter->org, key_rows_query, &query);
}

static status write_one(struct control_request *request, struct control_response *response,
                        const struct key_filter *filter)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(read_rows(request, filter, &rows));
    if (db_row_count(rows) == 0)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No key has this hash."));
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    key_rows_write(rows, 0, &response->json);
    json_object_end(&response->json);
    return OK;
}

static status read_hash(struct control_request *request, struct control_response *response,
                        uint8_t hash[32])
{
    if (status_ok(slice_from_hex(request->params[0], hash, 32))) return OK;
    return control_fail(response, FAIL(NOT_FOUND), SLICE("A key's hash is 64 hexadecimal digits."));
}

status keys_current(struct control_request *request, struct control_response *response)
{
    const struct key_filter filter = {.org = request->principal.org,
                                      .key = request->principal.key,
                                      .disabled_too = true,
                                      .limit = 1};
    SCOPED(db_result_free) struct db_result *rows = NULL;
    struct key_query query = {
        .db = request->db, .filter = &filter, .rows = &rows, .wants_purchases = true};
    api_await_posted(request, response);
    TRY(db_transaction(request->db, filter.org, key_rows_query, &query));
    if (db_row_count(rows) == 0) return FAIL(BAD_KEY);
    struct key_current current = {.org = filter.org,
                                  .free_tier = !query.has_purchases,
                                  .free_used = query.free_posted,
                                  .free_limit = query.free_limit};
    /* The core counts what runs, too; one that is late leaves what is posted. */
    struct api *api = request->service;
    status counted = apply_read_free_requests(api->ledger, filter.org, &current.free_used);
    if (!status_ok(counted)) log_warning("free_requests_not_read", F(error, counted));
    key_rows_write_current(rows, &current, &response->json);
    return OK;
}

status keys_list(struct control_request *request, struct control_response *response)
{
    struct key_filter filter = {.limit = KEY_PAGE_MAX};
    TRY(api_org(request, response, &filter.org));
    TRY(api_page(request, response, KEY_PAGE_MAX, &filter.offset, &filter.limit));
    filter.disabled_too =
        slice_equal(control_query(request, SLICE("include_disabled")), SLICE("true"));
    SCOPED(db_result_free) struct db_result *rows = NULL;
    api_await_posted(request, response);
    TRY(read_rows(request, &filter, &rows));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (size_t i = 0; i < db_row_count(rows); i++)
        key_rows_write(rows, i, w);
    json_array_end(w);
    json_object_end(w);
    return OK;
}

status keys_read(struct control_request *request, struct control_response *response)
{
    uint8_t hash[32];
    struct key_filter filter = {.disabled_too = true, .limit = 1};
    TRY(api_org(request, response, &filter.org));
    TRY(read_hash(request, response, hash));
    filter.hash = (slice){(const char *)hash, sizeof(hash)};
    api_await_posted(request, response);
    return write_one(request, response, &filter);
}

/* ---- the fields of a body */

static status refuse_field(struct control_request *request, struct control_response *response,
                           struct json_value name)
{
    struct buffer text;
    char *memory = arena_alloc(request->arena, REFUSAL_MAX);
    if (memory == NULL) return FAIL(TOO_LARGE);
    buffer_init_fixed(&text, memory, REFUSAL_MAX);
    buffer_append(&text, SLICE("A key has no such field here: "));
    buffer_append(&text, slice_first(json_raw(name), FIELD_SHOWN_MAX));
    buffer_append(&text, SLICE(". It takes name, limit, limit_reset, include_byok_in_limit, "
                               "disabled, expires_at and rate_limit; a new one member_id, too."));
    return control_fail(response, FAIL(BAD_REQUEST), buffer_slice(&text));
}

/* What is asked for and not built would be a silent no, so it is refused. */
static status check_fields(struct control_request *request, struct control_response *response,
                           bool creation)
{
    static const struct {
        slice name;
        bool at_creation_only;
    } fields[] = {
        {SLICE_INIT("name"), false},        {SLICE_INIT("limit"), false},
        {SLICE_INIT("limit_reset"), false}, {SLICE_INIT("include_byok_in_limit"), false},
        {SLICE_INIT("disabled"), false},    {SLICE_INIT("expires_at"), false},
        {SLICE_INIT("management"), true},   {SLICE_INIT("member_id"), true},
        {SLICE_INIT("rate_limit"), false},
    };
    for (struct json_iterator i = json_iterate(request->json); json_next(&i);) {
        bool known = false;
        for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
            if (fields[f].at_creation_only && !creation) continue;
            known |= json_string_equal(i.key, fields[f].name);
        }
        if (!known) return refuse_field(request, response, i.key);
    }
    return OK;
}

static status read_name(struct control_request *request, struct control_response *response,
                        bool needed, slice *name)
{
    struct json_value v = json_get(request->json, SLICE("name"));
    *name = SLICE_NONE;
    if (!json_exists(v) && !needed) return OK;
    status result = json_read_string(v, request->arena, name);
    if (status_ok(result) && name->len > 0 && name->len <= NAME_MAX) return OK;
    return control_fail(response, status_ok(result) ? FAIL(OUT_OF_RANGE) : result,
                        SLICE("name must be a string of 1 to 200 bytes."));
}

/* null means no limit; absent leaves what is. */
static status read_limit(struct control_request *request, struct control_response *response,
                         struct key_change *change)
{
    struct json_value v = json_get(request->json, SLICE("limit"));
    slice digits;
    if (!json_exists(v)) return OK;
    change->limit_given = true;
    change->has_limit = json_kind_of(v) != JSON_NULL;
    if (!change->has_limit) return OK;
    status result = json_read_number_text(v, &digits);
    if (status_ok(result)) result = money_parse_dollars(digits, false, &change->limit);
    if (status_ok(result)) return OK;
    return control_fail(
        response, result,
        SLICE("limit must be null or a number of dollars from 0, with at most 9 decimals."));
}

static status read_cadence(struct control_request *request, struct control_response *response,
                           struct key_change *change)
{
    struct json_value v = json_get(request->json, SLICE("limit_reset"));
    if (!json_exists(v)) return OK;
    change->cadence_given = true;
    change->cadence = CADENCE_LIFE;
    if (json_kind_of(v) == JSON_NULL) return OK;
    for (enum cadence c = CADENCE_DAY; c <= CADENCE_MONTH; c++) {
        if (!json_string_equal(v, key_rows_cadence_name(c))) continue;
        change->cadence = c;
        return OK;
    }
    return control_fail(response, FAIL(OUT_OF_RANGE),
                        SLICE("limit_reset must be null, daily, weekly or monthly."));
}

static status read_flag(struct control_request *request, struct control_response *response,
                        slice name, bool *given, bool *value)
{
    struct json_value v = json_get(request->json, name);
    if (!json_exists(v)) return OK;
    *given = true;
    if (status_ok(json_read_bool(v, value))) return OK;
    return control_fail(
        response, FAIL(WRONG_TYPE),
        SLICE("disabled, include_byok_in_limit and management must be true or false."));
}

static status read_expiry(struct control_request *request, struct control_response *response,
                          struct key_change *change)
{
    struct json_value v = json_get(request->json, SLICE("expires_at"));
    slice text;
    if (!json_exists(v)) return OK;
    change->expiry_given = true;
    if (json_kind_of(v) == JSON_NULL) return OK;
    status result = json_read_string(v, request->arena, &text);
    if (status_ok(result)) result = clock_parse_iso(text, &change->expires_at);
    if (status_ok(result) && change->expires_at.ns > api_now().ns) return OK;
    return control_fail(
        response, FAIL(OUT_OF_RANGE),
        SLICE("expires_at must be null or a time to come, as 2027-01-31T00:00:00Z."));
}

static status read_change(struct control_request *request, struct control_response *response,
                          struct key_change *change)
{
    TRY(read_limit(request, response, change));
    TRY(read_cadence(request, response, change));
    TRY(read_expiry(request, response, change));
    TRY(key_rates_read(request, response, &change->rates));
    TRY(read_flag(request, response, SLICE("disabled"), &change->disabled_given,
                  &change->disabled));
    return read_flag(request, response, SLICE("include_byok_in_limit"), &change->byok_given,
                     &change->include_byok);
}

static status read_member(struct control_request *request, struct control_response *response,
                          int64_t *member)
{
    struct json_value v = json_get(request->json, SLICE("member_id"));
    slice text;
    if (!json_exists(v) || json_kind_of(v) == JSON_NULL) return OK;
    status result = json_read_string(v, request->arena, &text);
    if (status_ok(result)) result = members_parse_id(text, member);
    if (status_ok(result)) return OK;
    return control_fail(response, FAIL(BAD_REQUEST),
                        SLICE("member_id must be null or a member's id, as mem-…"));
}

/* ---- making and changing */

status keys_create(struct control_request *request, struct control_response *response)
{
    struct api *api = request->service;
    SCOPED(secret_free) struct secret text = {0};
    struct key_new new = {.kind = PRINCIPAL_KEY};
    bool given = false;
    bool management = false;
    TRY(api_org(request, response, &new.org));
    TRY(check_fields(request, response, true));
    TRY(read_name(request, response, true, &new.name));
    TRY(read_change(request, response, &new.change));
    TRY(read_member(request, response, &new.member));
    TRY(read_flag(request, response, SLICE("management"), &given, &management));
    if (management && request->principal.kind != PRINCIPAL_OPERATOR) {
        return control_fail(response, FAIL(FORBIDDEN),
                            SLICE("Only an operator makes management keys."));
    }
    if (management) new.kind = PRINCIPAL_MANAGEMENT;
    key_generate(&text);
    struct key_hash stored = key_hash_stored(&api->pepper, key_hash_outer(secret_slice(&text)));
    char label[64];
    struct buffer label_out;
    buffer_init_fixed(&label_out, label, sizeof(label));
    key_append_label(&label_out, secret_slice(&text));
    new.id = api_random_id();
    new.label = buffer_slice(&label_out);
    new.hash = (slice){(const char *)stored.bytes, sizeof(stored.bytes)};
    status made = db_transaction(request->db, new.org, key_rows_insert, &new);
    if (made.code == ERROR_NOT_FOUND)
        return control_fail(response, made, SLICE("The organization has no such member."));
    TRY(made);
    TRY(apply_key_changed(api->ledger, new.org, new.id, stored));
    response->http_status = 201;

    const struct key_filter filter = {
        .org = new.org, .key = new.id, .disabled_too = true, .limit = 1};
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(read_rows(request, &filter, &rows));
    json_object_begin(&response->json);
    json_key_string(&response->json, SLICE("key"), secret_slice(&text));
    json_key(&response->json, SLICE("data"));
    key_rows_write(rows, 0, &response->json);
    json_object_end(&response->json);
    return OK;
}

status keys_change(struct control_request *request, struct control_response *response)
{
    struct api *api = request->service;
    struct key_hash stored;
    struct key_update update = {0};
    TRY(api_org(request, response, &update.org));
    TRY(read_hash(request, response, stored.bytes));
    TRY(check_fields(request, response, false));
    TRY(read_name(request, response, false, &update.name));
    TRY(read_change(request, response, &update.change));
    update.hash = (slice){(const char *)stored.bytes, sizeof(stored.bytes)};
    status result = db_transaction(request->db, update.org, key_rows_update, &update);
    if (result.code == ERROR_NOT_FOUND)
        return control_fail(response, result, SLICE("No key has this hash."));
    TRY(result);
    TRY(apply_key_changed(api->ledger, update.org, update.id, stored));
    const struct key_filter filter = {
        .org = update.org, .key = update.id, .disabled_too = true, .limit = 1};
    return write_one(request, response, &filter);
}

status keys_delete(struct control_request *request, struct control_response *response)
{
    struct api *api = request->service;
    struct key_hash stored;
    struct key_update update = {.delete = true};
    TRY(api_org(request, response, &update.org));
    TRY(read_hash(request, response, stored.bytes));
    update.hash = (slice){(const char *)stored.bytes, sizeof(stored.bytes)};
    status result = db_transaction(request->db, update.org, key_rows_update, &update);
    if (result.code == ERROR_NOT_FOUND)
        return control_fail(response, result, SLICE("No key has this hash."));
    TRY(result);
    TRY(apply_key_changed(api->ledger, update.org, update.id, stored));
    json_object_begin(&response->json);
    json_key_bool(&response->json, SLICE("deleted"), true);
    json_object_end(&response->json);
    return OK;
}
