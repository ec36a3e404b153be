/* SPDX-License-Identifier: Apache-2.0 */
/* GET and PATCH /api/v1/organization: what an organization says of itself, and for an operator what
 * he decided about it. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/credit_line.h"
#include "services/ledger/api/credits.h"
#include "services/ledger/api/fields.h"

#define NAME_MAX    200
#define LINE_MAX    (INT64_MAX / 1000) /* $9.2 million: far from where the books could not count */

#define ADDRESS_MAX 500
#define TAX_ID_MAX  60

/* The texts come first: they are the parameters of update_organization, in its order. */
enum {
    FIELD_NAME,
    FIELD_BILLING_NAME,
    FIELD_ADDRESS,
    FIELD_TAX_ID,
    FIELD_CREDIT_LINE,
    FIELD_COUNT
};

static const struct field fields[FIELD_COUNT] = {
    [FIELD_NAME] = {SLICE_INIT("name"), FIELD_TEXT, 1, NAME_MAX, false, false,
                    "text of 1 to 200 bytes."},
    [FIELD_BILLING_NAME] = {SLICE_INIT("billing_name"), FIELD_TEXT, 0, NAME_MAX, false, false,
                            "text of at most 200 bytes: the buyer on receipts and invoices."},
    [FIELD_ADDRESS] = {SLICE_INIT("billing_address"), FIELD_TEXT, 0, ADDRESS_MAX, false, false,
                       "text of at most 500 bytes; lines are kept."},
    [FIELD_TAX_ID] = {SLICE_INIT("tax_id"), FIELD_TEXT, 0, TAX_ID_MAX, false, false,
                      "text of at most 60 bytes."},
    [FIELD_CREDIT_LINE] = {SLICE_INIT("credit_line"), FIELD_DOLLARS, 0, LINE_MAX, true, false,
                           "dollars with at most 9 decimals up to 9,223,372; null takes it away."},
};

/* Columns of read_organization. */
enum {
    COLUMN_NAME,
    COLUMN_BILLING_NAME,
    COLUMN_ADDRESS,
    COLUMN_TAX_ID,
    COLUMN_PLAN,
    COLUMN_FROZEN,
    COLUMN_LINE,
    COLUMN_OWED,
    COLUMN_LEFT
};

struct organization {
    struct control_request *request;
    struct control_response *response;
    int64_t org;
    struct field_value values[FIELD_COUNT];
};

static void write_money_or_null(const struct db_result *row, size_t column, slice name,
                                struct json_writer *w)
{
    if (db_is_null(row, 0, column)) {
        json_key_null(w, name);
    } else {
        json_key_money(w, name, db_money(row, 0, column));
    }
}

static status read_body(struct db *db, void *context)
{
    struct organization *o = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(db, "read_organization", (const struct db_param[]){DB_P_I64(o->org)}, 1, &row));
    if (db_row_count(row) == 0)
        return control_fail(o->response, FAIL(NOT_FOUND), SLICE("No organization has this id."));
    struct json_writer *w = &o->response->json;
    buffer_clear(&o->response->body); /* the transaction may be repeated */
    json_write_init(w, &o->response->body);
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    api_write_org(w, SLICE("id"), o->org);
    json_key_string(w, SLICE("name"), db_text(row, 0, COLUMN_NAME));
    json_key_string(w, SLICE("billing_name"), db_text(row, 0, COLUMN_BILLING_NAME));
    json_key_string(w, SLICE("billing_address"), db_text(row, 0, COLUMN_ADDRESS));
    json_key_string(w, SLICE("tax_id"), db_text(row, 0, COLUMN_TAX_ID));
    json_key_string(w, SLICE("plan"), db_text(row, 0, COLUMN_PLAN));
    json_key_bool(w, SLICE("frozen"), db_bool(row, 0, COLUMN_FROZEN));
    write_money_or_null(row, COLUMN_LINE, SLICE("credit_line"), w);
    json_key_money(w, SLICE("owed"), db_money(row, 0, COLUMN_OWED));
    write_money_or_null(row, COLUMN_LEFT, SLICE("credit_line_left"), w);
    json_object_end(w);
    json_object_end(w);
    return OK;
}

status organization_read(struct control_request *request, struct control_response *response)
{
    struct organization organization = {.request = request, .response = response};
    TRY(api_org(request, response, &organization.org));
    api_await_posted(request, response);
    return db_transaction(request->db, organization.org, read_body, &organization);
}

static status change_body(struct db *db, void *context)
{
    struct organization *o = context;
    SCOPED(db_result_free) struct db_result *changed = NULL;
    struct db_param params[1 + FIELD_CREDIT_LINE] = {DB_P_I64(o->org)};
    for (size_t i = 0; i < FIELD_CREDIT_LINE; i++)
        params[1 + i] = field_text(&o->values[i]);
    TRY(db_run(db, "update_organization", params, 1 + FIELD_CREDIT_LINE, &changed));
    if (db_affected(changed) == 0)
        return control_fail(o->response, FAIL(NOT_FOUND), SLICE("No organization has this id."));
    const struct field_value *line = &o->values[FIELD_CREDIT_LINE];
    if (line->given) TRY(credit_line_set(db, o->response, o->org, line));
    return read_body(db, o);
}

status organization_change(struct control_request *request, struct control_response *response)
{
    struct organization organization = {.request = request, .response = response};
    TRY(api_org(request, response, &organization.org));
    TRY(fields_read(request, response, fields, FIELD_COUNT, organization.values));
    bool line = organization.values[FIELD_CREDIT_LINE].given;
    if (line && request->principal.kind != PRINCIPAL_OPERATOR)
        return control_fail(response, FAIL(FORBIDDEN),
                            SLICE("Only the operator decides about a credit line."));
    if (line) TRY(credits_recall(request, response, organization.org));
    TRY(db_transaction(request->db, organization.org, change_body, &organization));
    if (!line) return OK;
    api_credit_moved(request->service, organization.org);
    api_recall_credit(request->service, organization.org);
    return OK;
}

/* ---- the operator's word ---- */

struct freezing {
    struct organization organization;
    bool frozen;
};

static status set_frozen(struct db *db, void *context)
{
    struct freezing *f = context;
    TRY(db_run(db, "set_frozen",
               (const struct db_param[]){DB_P_I64(f->organization.org), DB_P_BOOL(f->frozen)}, 2,
               NULL));
    return read_body(db, &f->organization);
}

static status freeze_or_thaw(struct control_request *request, struct control_response *response,
                             bool frozen)
{
    struct freezing freezing = {{.request = request, .response = response}, frozen};
    struct organization *o = &freezing.organization;
    TRY(api_org(request, response, &o->org));
    TRY(db_transaction(request->db, o->org, set_frozen, &freezing));
    api_credit_moved(request->service, o->org);
    if (frozen) api_recall_credit(request->service, o->org);
    return OK;
}

status organization_freeze(struct control_request *request, struct control_response *response)
{
    return freeze_or_thaw(request, response, true);
}

status organization_thaw(struct control_request *request, struct control_response *response)
{
    return freeze_or_thaw(request, response, false);
}
