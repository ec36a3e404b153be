/* SPDX-License-Identifier: Apache-2.0 */
/* People of an organization, so that keys can be theirs and one limit can bind all keys of a
 * person. Who may sign in is another matter and not decided here. */
#include "services/ledger/api/members.h"

#include "services/ledger/api/api.h"
#include "services/ledger/api/fields.h"

#define MEMBER_PAGE_MAX 100
#define NAME_MAX        200
#define EMAIL_MAX       254 /* RFC 5321, 4.5.3.1.3, without its brackets */
#define MEMBER_PREFIX   SLICE("mem-")

/* Columns of list_members. */
enum { COLUMN_ID, COLUMN_NAME, COLUMN_EMAIL, COLUMN_CREATED };

struct member_new {
    int64_t org, id;
    slice name, email;
};

void members_write_id(struct json_writer *w, slice name, int64_t member)
{
    char text[32];
    struct buffer id;
    buffer_init_fixed(&id, text, sizeof(text));
    buffer_append(&id, MEMBER_PREFIX);
    buffer_append_i64(&id, member);
    json_key_string(w, name, buffer_slice(&id));
}

status members_parse_id(slice text, int64_t *member)
{
    if (!slice_starts_with(text, MEMBER_PREFIX)) return FAIL(NOT_FOUND);
    slice digits = slice_from(text, MEMBER_PREFIX.len);
    if (!status_ok(slice_to_i64(digits, member)) || *member <= 0) return FAIL(NOT_FOUND);
    return OK;
}

/* The protocol splits a name in two; a name as a person writes it stays whole. */
static void write_member(struct json_writer *w, const struct db_result *rows, size_t row)
{
    json_object_begin(w);
    members_write_id(w, SLICE("id"), db_i64(rows, row, COLUMN_ID));
    json_key_string(w, SLICE("email"), db_text(rows, row, COLUMN_EMAIL));
    json_key_string(w, SLICE("name"), db_text(rows, row, COLUMN_NAME));
    json_key_string(w, SLICE("first_name"), db_text(rows, row, COLUMN_NAME));
    json_key_null(w, SLICE("last_name"));
    json_key_string(w, SLICE("role"), SLICE("org:member"));
    api_write_time(rows, row, SLICE("created_at"), COLUMN_CREATED, w);
    json_object_end(w);
}

struct member_query {
    int64_t org, id; /* id 0: all */
    int64_t offset, limit;
    struct db_result **rows;
    int64_t total;
};

static status query_members(struct db *db, void *context)
{
    struct member_query *query = context;
    const struct db_param params[] = {DB_P_I64(query->org),
                                      query->id == 0 ? DB_P_NULL : DB_P_I64(query->id),
                                      DB_P_I64(query->offset), DB_P_I64(query->limit)};
    SCOPED(db_result_free) struct db_result *count = NULL;
    db_result_free(query->rows);
    TRY(db_run(db, "list_members", params, 4, query->rows));
    TRY(db_run(db, "count_members", params, 1, &count));
    query->total = db_i64(count, 0, 0);
    return OK;
}

status members_list(struct control_request *request, struct control_response *response)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    struct member_query query = {.rows = &rows};
    TRY(api_org(request, response, &query.org));
    TRY(api_page(request, response, MEMBER_PAGE_MAX, &query.offset, &query.limit));
    TRY(db_transaction(request->db, query.org, query_members, &query));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (size_t i = 0; i < db_row_count(rows); i++)
        write_member(w, rows, i);
    json_array_end(w);
    json_key_i64(w, SLICE("total_count"), query.total);
    json_object_end(w);
    return OK;
}

enum { FIELD_NAME, FIELD_EMAIL, FIELD_COUNT };
static const struct field fields[FIELD_COUNT] = {
    {SLICE_INIT("name"), FIELD_TEXT, 1, NAME_MAX, false, true, "a string of 1 to 200 bytes."},
    {SLICE_INIT("email"), FIELD_TEXT, 0, EMAIL_MAX, false, false, "a string of at most 254 bytes."},
};

static status insert_member(struct db *db, void *context)
{
    const struct member_new *new = context;
    return db_run(db, "insert_member",
                  (const struct db_param[]){DB_P_I64(new->org), DB_P_I64(new->id),
                                            DB_P_TEXT(new->name), DB_P_TEXT(new->email)},
                  4, NULL);
}

status members_create(struct control_request *request, struct control_response *response)
{
    struct member_new new = {.id = api_random_id()};
    struct field_value values[FIELD_COUNT];
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(api_org(request, response, &new.org));
    TRY(fields_read(request, response, fields, FIELD_COUNT, values));
    new.name = values[FIELD_NAME].text;
    new.email = values[FIELD_EMAIL].text;
    TRY(db_transaction(request->db, new.org, insert_member, &new));
    struct member_query query = {.org = new.org, .id = new.id, .limit = 1, .rows = &rows};
    TRY(db_transaction(request->db, new.org, query_members, &query));
    response->http_status = 201;
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    write_member(&response->json, rows, 0);
    json_object_end(&response->json);
    return OK;
}
