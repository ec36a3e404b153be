/* SPDX-License-Identifier: Apache-2.0 */
/* API keys: made, listed, changed, deleted. The secret is shown once, at creation; the database
 * holds its hash only. Every change is in the core before the answer goes out, so a disabled key
 * stops at its next request. */
#include "services/ledger/api/api.h"
#include "services/ledger/api/fields.h"
#include "services/ledger/api/key_secrets.h"
#include "services/ledger/api/members.h"

#include "services/ledger/apply.h"
#include "shared/log.h"

#define KEY_PAGE_MAX  100
#define NAME_MAX      200
#define MEMBER_ID_MAX 32

/* ---- reading */

/* Its figures are those of everything that was answered before, after a change, too. */
static status write_one(struct control_request *request, struct control_response *response,
                        const struct key_filter *filter)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    api_await_posted(request, response);
    TRY(key_rows_read(request->db, filter, &rows));
    if (db_row_count(rows) == 0)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No key has this hash."));
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    key_rows_write(rows, 0, &response->json);
    json_object_end(&response->json);
    return OK;
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
    TRY(key_rows_read(request->db, &filter, &rows));
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
    struct key_hash hash;
    struct key_filter filter = {.disabled_too = true, .limit = 1};
    TRY(api_org(request, response, &filter.org));
    TRY(key_hash_read(request, response, &hash));
    filter.hash = (slice){(const char *)hash.bytes, sizeof(hash.bytes)};
    return write_one(request, response, &filter);
}

/* ---- the fields of a body */

/* What is asked for and not built would be a silent no, so it is refused, too. */
enum {
    KEY_NAME,
    KEY_LIMIT,
    KEY_LIMIT_RESET,
    KEY_INCLUDE_BYOK,
    KEY_DISABLED,
    KEY_EXPIRES,
    KEY_RATE_LIMIT,
    KEY_CHANGE_COUNT, /* the others are of a new key */
    KEY_MANAGEMENT = KEY_CHANGE_COUNT,
    KEY_MEMBER,
    KEY_FIELD_COUNT
};
static const struct field fields[KEY_FIELD_COUNT] = {
    [KEY_NAME] = {SLICE_INIT("name"), FIELD_TEXT, 1, NAME_MAX, false, false,
                  "a string of 1 to 200 bytes without control characters."},
    [KEY_LIMIT] = {SLICE_INIT("limit"), FIELD_DOLLARS, 0, INT64_MAX, true, false,
                   "null or a number of dollars from 0 to 9223372036.854775807, with at most 9 "
                   "decimals."},
    [KEY_LIMIT_RESET] = {SLICE_INIT("limit_reset"), FIELD_OTHER, 0, 0, true, false,
                         "null, daily, weekly or monthly."},
    [KEY_INCLUDE_BYOK] = {SLICE_INIT("include_byok_in_limit"), FIELD_FLAG, 0, 1, false, false,
                          "true or false."},
    [KEY_DISABLED] = {SLICE_INIT("disabled"), FIELD_FLAG, 0, 1, false, false, "true or false."},
    [KEY_EXPIRES] = {SLICE_INIT("expires_at"), FIELD_TIME, 0, INT64_MAX, true, false,
                     "null or a time to come, as 2027-01-31T00:00:00Z."},
    [KEY_RATE_LIMIT] = {SLICE_INIT("rate_limit"), FIELD_OTHER, 0, 0, true, false, ""},
    [KEY_MANAGEMENT] = {SLICE_INIT("management"), FIELD_FLAG, 0, 1, false, false, "true or false."},
    [KEY_MEMBER] = {SLICE_INIT("member_id"), FIELD_TEXT, 1, MEMBER_ID_MAX, true, false,
                    "null or a member's id, as mem-…"},
};

static status read_cadence(struct control_request *request, struct control_response *response,
                           struct key_change *change)
{
    struct json_value v = json_get(request->json, SLICE("limit_reset"));
    if (!json_exists(v)) return OK;
    change->cadence_given = true;
    change->cadence = CADENCE_LIFE;
    if (json_kind_of(v) == JSON_NULL) return OK;
    for (enum cadence c = CADENCE_DAY; c <= CADENCE_MONTH; c++) {
        if (!json_string_equal(v, key_rows_cadence_names[c])) continue;
        change->cadence = c;
        return OK;
    }
    return field_refuse(request, response, &fields[KEY_LIMIT_RESET]);
}

/* A limit or an end that is null is none; what is absent stays as it is. */
static status read_change(struct control_request *request, struct control_response *response,
                          const struct field_value *values, struct key_change *change)
{
    const struct field_value *limit = &values[KEY_LIMIT];
    const struct field_value *expires = &values[KEY_EXPIRES];
    *change = (struct key_change){
        .limit_given = limit->given,
        .has_limit = limit->given && !limit->is_null,
        .limit = {limit->number},
        .disabled_given = values[KEY_DISABLED].given,
        .disabled = values[KEY_DISABLED].number != 0,
        .byok_given = values[KEY_INCLUDE_BYOK].given,
        .include_byok = values[KEY_INCLUDE_BYOK].number != 0,
        .expiry_given = expires->given,
        .expires_at = {expires->number},
    };
    TRY(read_cadence(request, response, change));
    return key_rates_read(request, response, &change->rates);
}

static status read_new(struct control_request *request, struct control_response *response,
                       struct key_new *new)
{
    struct field_value values[KEY_FIELD_COUNT];
    TRY(fields_read(request, response, fields, KEY_FIELD_COUNT, values));
    TRY(read_change(request, response, values, &new->change));
    new->name = values[KEY_NAME].text;
    if (!values[KEY_NAME].given) return field_refuse(request, response, &fields[KEY_NAME]);
    const struct field_value *member = &values[KEY_MEMBER];
    bool is_of_member = member->given && !member->is_null;
    if (is_of_member && !status_ok(members_parse_id(member->text, &new->member)))
        return field_refuse(request, response, &fields[KEY_MEMBER]);
    new->kind = values[KEY_MANAGEMENT].number != 0 ? PRINCIPAL_MANAGEMENT : PRINCIPAL_KEY;
    if (new->kind == PRINCIPAL_KEY || request->principal.kind == PRINCIPAL_OPERATOR) return OK;
    return control_fail(response, FAIL(FORBIDDEN),
                        SLICE("Only an operator makes management keys."));
}

/* ---- making and changing */

status keys_create(struct control_request *request, struct control_response *response)
{
    struct api *api = request->service;
    SCOPED(key_secret_free) struct key_secret secret = {0};
    struct key_new new = {0};
    TRY(api_org(request, response, &new.org));
    TRY(read_new(request, response, &new));
    key_secret_make(api, &secret);
    new.id = api_random_id();
    new.label = secret.label;
    new.hash = key_secret_hash(&secret);
    status made = db_transaction(request->db, new.org, key_rows_insert, &new);
    if (made.code == ERROR_NOT_FOUND)
        return control_fail(response, made, SLICE("The organization has no such member."));
    if (made.code == ERROR_CONFLICT)
        return control_fail(response, made,
                            SLICE("The organization has 10,000 keys, the most it may have. Delete "
                                  "some that are not used."));
    TRY(made);
    /* Nobody has asked for it before, so it is in force. Its secret is told now or never. */
    status taken = apply_key_changed(api->ledger, new.org, secret.stored);
    if (!status_ok(taken)) log_warning("change_not_taken", F(error, taken));
    response->http_status = 201;
    const struct key_filter filter = {
        .org = new.org, .key = new.id, .disabled_too = true, .limit = 1};
    return key_secret_write(request, response, &secret, &filter);
}

status keys_change(struct control_request *request, struct control_response *response)
{
    struct key_update update = {0};
    struct field_value values[KEY_CHANGE_COUNT];
    TRY(api_org(request, response, &update.org));
    TRY(key_hash_read(request, response, &update.hash));
    TRY(fields_read(request, response, fields, KEY_CHANGE_COUNT, values));
    TRY(read_change(request, response, values, &update.change));
    update.name = values[KEY_NAME].text;
    status result = db_transaction(request->db, update.org, key_rows_update, &update);
    if (result.code == ERROR_NOT_FOUND)
        return control_fail(response, result, SLICE("No key has this hash."));
    TRY(result);
    TRY(api_taken(response, key_hashes_changed(request->service, update.org, &update.hashes)));
    const struct key_filter filter = {
        .org = update.org, .key = update.id, .disabled_too = true, .limit = 1};
    return write_one(request, response, &filter);
}

status keys_delete(struct control_request *request, struct control_response *response)
{
    struct key_update update = {.delete = true};
    TRY(api_org(request, response, &update.org));
    TRY(key_hash_read(request, response, &update.hash));
    status result = db_transaction(request->db, update.org, key_rows_update, &update);
    if (!status_ok(result) && result.code != ERROR_NOT_FOUND) return result;
    /* Also of a key that is gone: this may repeat a request that the core did not take. */
    const struct key_hashes gone = {.count = 1, .items = {update.hash}};
    bool found = status_ok(result);
    TRY(api_taken(response, key_hashes_changed(request->service, update.org,
                                               found ? &update.hashes : &gone)));
    if (result.code == ERROR_NOT_FOUND)
        return control_fail(response, result, SLICE("No key has this hash."));
    json_object_begin(&response->json);
    json_key_bool(&response->json, SLICE("deleted"), true);
    json_object_end(&response->json);
    return OK;
}
