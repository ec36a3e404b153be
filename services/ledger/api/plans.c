/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: everything about money that an operator may want to change, as rows. Shown, changed and
 * assigned here; whoever needs a figure reads it from the organization's row when he needs it, so
 * a change holds from the next purchase on. Only what plans say of holds is kept elsewhere, in the
 * core's memory, and so it is told of that. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/fields.h"
#include "services/ledger/apply.h"
#include "services/ledger/store.h"

#define NAME_MAX    60
#define CENTS_MAX   INT64_C(100000000) /* a million dollars at once: beyond that it is a typo */
#define OUTPUT_MAX  10000000
#define PLAN_FIELDS 11

/* In the order of the parameters of update_plan, after the name. */
static const struct field plan_fields[PLAN_FIELDS] = {
    {SLICE_INIT("purchase_fee_permille"), FIELD_INTEGER, 0, 1000, false, false,
     "a whole number from 0 to 1000: thousandths of the credit bought."},
    {SLICE_INIT("purchase_fee_min"), FIELD_CENTS, 0, CENTS_MAX, false, false,
     "dollars in whole cents, at most 1,000,000."},
    {SLICE_INIT("purchase_min"), FIELD_CENTS, 1, CENTS_MAX, false, false,
     "dollars in whole cents, from 0.01 to 1,000,000."},
    {SLICE_INIT("purchase_max"), FIELD_CENTS, 1, CENTS_MAX, false, false,
     "dollars in whole cents, from 0.01 to 1,000,000."},
    {SLICE_INIT("refund_window_hours"), FIELD_INTEGER, 0, 87600, false, false,
     "a whole number of hours, at most 87600 (ten years); 0 refunds nothing."},
    {SLICE_INIT("output_default"), FIELD_INTEGER, 1, OUTPUT_MAX, false, false,
     "a whole number of tokens from 1 to 10,000,000."},
    {SLICE_INIT("output_min"), FIELD_INTEGER, 1, OUTPUT_MAX, false, false,
     "a whole number of tokens from 1 to 10,000,000."},
    {SLICE_INIT("byok_unit"), FIELD_TEXT, 1, 16, false, false, "\"requests\" or \"list_price\"."},
    {SLICE_INIT("byok_allowance"), FIELD_DOLLARS, 0, INT64_MAX, false, false,
     "a whole number of requests, or dollars of list price, as byok_unit says."},
    {SLICE_INIT("byok_fee_basis_points"), FIELD_INTEGER, 0, 10000, false, false,
     "a whole number from 0 to 10000: hundredths of a per cent."},
    {SLICE_INIT("credit_expiry_days"), FIELD_INTEGER, 0, 36500, true, false,
     "a whole number of days, at most 36500; 0 or null: paid credit never expires."},
};
enum { FIELD_BYOK_UNIT = 7, FIELD_BYOK_ALLOWANCE = 8, FIELD_EXPIRY_DAYS = 10 };

/* Columns of list_plans, in the order in which they are shown. */
enum {
    COLUMN_NAME,
    COLUMN_FEE_PERMILLE,
    COLUMN_FEE_MIN,
    COLUMN_PURCHASE_MIN,
    COLUMN_PURCHASE_MAX,
    COLUMN_REFUND_HOURS,
    COLUMN_OUTPUT_DEFAULT,
    COLUMN_OUTPUT_MIN,
    COLUMN_BYOK_UNIT,
    COLUMN_BYOK_ALLOWANCE,
    COLUMN_BYOK_FEE,
    COLUMN_EXPIRY_DAYS
};

static money dollars_of(const struct db_result *rows, size_t row, size_t column)
{
    return (money){db_i64(rows, row, column) * NANO_PER_CENT};
}

static void write_plan(const struct db_result *rows, size_t row, struct json_writer *w)
{
    slice unit = db_text(rows, row, COLUMN_BYOK_UNIT);
    int64_t allowance = db_i64(rows, row, COLUMN_BYOK_ALLOWANCE);
    json_object_begin(w);
    json_key_string(w, SLICE("name"), db_text(rows, row, COLUMN_NAME));
    json_key_i64(w, SLICE("purchase_fee_permille"), db_i64(rows, row, COLUMN_FEE_PERMILLE));
    json_key_money(w, SLICE("purchase_fee_min"), dollars_of(rows, row, COLUMN_FEE_MIN));
    json_key_money(w, SLICE("purchase_min"), dollars_of(rows, row, COLUMN_PURCHASE_MIN));
    json_key_money(w, SLICE("purchase_max"), dollars_of(rows, row, COLUMN_PURCHASE_MAX));
    json_key_i64(w, SLICE("refund_window_hours"), db_i64(rows, row, COLUMN_REFUND_HOURS));
    json_key_i64(w, SLICE("output_default"), db_i64(rows, row, COLUMN_OUTPUT_DEFAULT));
    json_key_i64(w, SLICE("output_min"), db_i64(rows, row, COLUMN_OUTPUT_MIN));
    json_key_string(w, SLICE("byok_unit"), unit);
    if (slice_equal(unit, SLICE("requests"))) {
        json_key_i64(w, SLICE("byok_allowance"), allowance);
    } else {
        json_key_money(w, SLICE("byok_allowance"), (money){allowance});
    }
    json_key_i64(w, SLICE("byok_fee_basis_points"), db_i64(rows, row, COLUMN_BYOK_FEE));
    if (db_is_null(rows, row, COLUMN_EXPIRY_DAYS)) {
        json_key_null(w, SLICE("credit_expiry_days"));
    } else {
        json_key_i64(w, SLICE("credit_expiry_days"), db_i64(rows, row, COLUMN_EXPIRY_DAYS));
    }
    json_object_end(w);
}

static status write_one(struct db *db, struct control_response *response, slice name)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(db_run(db, "list_plans", (const struct db_param[]){DB_P_TEXT(name)}, 1, &rows));
    if (db_row_count(rows) == 0)
        return control_fail(response, FAIL(NOT_FOUND),
                            SLICE("No plan has this name. See `bourse plan list`."));
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    write_plan(rows, 0, &response->json);
    json_object_end(&response->json);
    return OK;
}

status plans_list(struct control_request *request, struct control_response *response)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(db_run(request->db, "list_plans", (const struct db_param[]){DB_P_NULL}, 1, &rows));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (size_t i = 0; i < db_row_count(rows); i++)
        write_plan(rows, i, w);
    json_array_end(w);
    json_object_end(w);
    return OK;
}

status plans_read(struct control_request *request, struct control_response *response)
{
    return write_one(request->db, response, request->params[0]);
}

/* ---- making and changing ---- */

status plans_create(struct control_request *request, struct control_response *response)
{
    static const struct field fields[] = {
        {SLICE_INIT("name"), FIELD_TEXT, 1, NAME_MAX, false, true, "text of 1 to 60 bytes."},
        {SLICE_INIT("like"), FIELD_TEXT, 1, NAME_MAX, false, true, "the name of a plan."},
    };
    struct field_value values[2];
    SCOPED(db_result_free) struct db_result *made = NULL;
    TRY(fields_read(request, response, fields, 2, values));
    status result = db_run(
        request->db, "insert_plan",
        (const struct db_param[]){DB_P_TEXT(values[0].text), DB_P_TEXT(values[1].text)}, 2, &made);
    if (result.code == ERROR_DATABASE_CONFLICT)
        return control_fail(response, FAIL(CONFLICT), SLICE("Another plan has this name."));
    TRY(result);
    if (db_affected(made) == 0)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No plan has the name in `like`."));
    response->http_status = 201;
    return write_one(request->db, response, values[0].text);
}

/* The allowance counts requests or nano-dollars; a new unit without a new figure would turn one
 * into the other. */
static status check_allowance(struct control_response *response, struct field_value *values)
{
    struct field_value *unit = &values[FIELD_BYOK_UNIT];
    struct field_value *allowance = &values[FIELD_BYOK_ALLOWANCE];
    bool requests = unit->given && slice_equal(unit->text, SLICE("requests"));
    bool known = requests || slice_equal(unit->text, SLICE("list_price"));
    if (unit->given != allowance->given || (unit->given && !known))
        return control_fail(response, FAIL(OUT_OF_RANGE),
                            SLICE("byok_unit (\"requests\" or \"list_price\") and byok_allowance "
                                  "are set together."));
    if (!requests) return OK;
    if (allowance->number % NANO_PER_DOLLAR != 0)
        return control_fail(response, FAIL(OUT_OF_RANGE),
                            SLICE("byok_allowance must be a whole number of requests."));
    allowance->number /= NANO_PER_DOLLAR;
    return OK;
}

static status tell_core(struct api *api, const struct db_result *changed)
{
    if (db_row_count(changed) == 0) return OK; /* there is no such plan */
    const struct plan_terms plan = store_plan_terms(changed, 0);
    return apply_plan_changed(api->ledger, &plan);
}

status plans_change(struct control_request *request, struct control_response *response)
{
    struct field_value values[PLAN_FIELDS];
    struct db_param params[PLAN_FIELDS + 2];
    SCOPED(db_result_free) struct db_result *changed = NULL;
    TRY(fields_read(request, response, plan_fields, PLAN_FIELDS, values));
    TRY(check_allowance(response, values));
    struct field_value *expiry = &values[FIELD_EXPIRY_DAYS];
    if (expiry->number == 0) expiry->is_null = true;
    params[0] = DB_P_TEXT(request->params[0]);
    for (size_t i = 0; i < PLAN_FIELDS; i++)
        params[i + 1] =
            plan_fields[i].kind == FIELD_TEXT ? field_text(&values[i]) : field_number(&values[i]);
    params[PLAN_FIELDS + 1] = DB_P_BOOL(expiry->given);
    status result = db_run(request->db, "update_plan", params, PLAN_FIELDS + 2, &changed);
    if (result.code == ERROR_DATABASE_CHECK)
        return control_fail(response, FAIL(OUT_OF_RANGE),
                            SLICE("The plan would contradict itself: purchase_max is at least "
                                  "purchase_min, output_default at least output_min. Nothing was "
                                  "changed."));
    TRY(result);
    TRY(api_taken(response, tell_core(request->service, changed)));
    return write_one(request->db, response, request->params[0]);
}

struct assignment {
    struct control_response *response;
    int64_t org;
    slice plan;
};

static status assign(struct db *db, void *context)
{
    const struct assignment *a = context;
    SCOPED(db_result_free) struct db_result *rows = NULL;
    SCOPED(db_result_free) struct db_result *changed = NULL;
    TRY(db_run(db, "list_plans", (const struct db_param[]){DB_P_TEXT(a->plan)}, 1, &rows));
    if (db_row_count(rows) == 0)
        return control_fail(a->response, FAIL(NOT_FOUND),
                            SLICE("No plan has this name. See `bourse plan list`."));
    TRY(db_run(db, "assign_plan", (const struct db_param[]){DB_P_I64(a->org), DB_P_TEXT(a->plan)},
               2, &changed));
    if (db_affected(changed) == 0)
        return control_fail(a->response, FAIL(NOT_FOUND), SLICE("No organization has this id."));
    return OK;
}

status plans_assign(struct control_request *request, struct control_response *response)
{
    struct api *api = request->service;
    struct assignment assignment = {.response = response, .plan = request->params[0]};
    TRY(api_org(request, response, &assignment.org));
    TRY(db_transaction(request->db, assignment.org, assign, &assignment));
    TRY(api_taken(response, apply_limits_changed(api->ledger, assignment.org)));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    api_write_org(w, SLICE("id"), assignment.org);
    json_key_string(w, SLICE("plan"), assignment.plan);
    json_object_end(w);
    json_object_end(w);
    return OK;
}
