/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limits of a plan, per class of models, for all keys of an organization together: shown
 * and changed by an operator. The ledger's core keeps to them, see core/rates.h; it notices a
 * change within a minute, as it reads callers again. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/fields.h"

#define COUNT_MUST_BE "a whole number up to 2147483647; 0 or null: no limit."
#define COUNT(name)                                                               \
    {                                                                             \
        SLICE_INIT(name), FIELD_INTEGER, 0, INT32_MAX, true, false, COUNT_MUST_BE \
    }

/* In the order of the columns of plan_rates and of the parameters of update_plan_rates. */
static const struct field fields[] = {
    COUNT("paid_requests_per_minute"),
    COUNT("paid_tokens_per_minute"),
    COUNT("paid_concurrent_requests"),
    COUNT("free_requests_per_minute"),
    COUNT("free_tokens_per_minute"),
    COUNT("free_concurrent_requests"),
    COUNT("free_requests_per_day"),
    COUNT("free_requests_per_day_bought"),
    {SLICE_INIT("free_bought"), FIELD_DOLLARS, 0, INT64_MAX, false, false,
     "dollars from 0: bought in all, they make free_requests_per_day_bought the limit."},
};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]), FIELD_BOUGHT = FIELDS - 1 };

static status write_rates(struct db *db, struct control_response *response, slice name)
{
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(db, "plan_rates", (const struct db_param[]){DB_P_TEXT(name)}, 1, &row));
    if (db_row_count(row) == 0)
        return control_fail(response, FAIL(NOT_FOUND),
                            SLICE("No plan has this name. See `bourse plan list`."));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    for (size_t i = 0; i < FIELD_BOUGHT; i++) {
        if (db_is_null(row, 0, i))
            json_key_null(w, fields[i].name);
        else
            json_key_i64(w, fields[i].name, db_i64(row, 0, i));
    }
    json_key_money(w, fields[FIELD_BOUGHT].name, db_money(row, 0, FIELD_BOUGHT));
    json_object_end(w);
    json_object_end(w);
    return OK;
}

status plan_rates_read(struct control_request *request, struct control_response *response)
{
    return write_rates(request->db, response, request->params[0]);
}

status plan_rates_change(struct control_request *request, struct control_response *response)
{
    struct field_value values[FIELDS];
    struct db_param params[1 + 2 * FIELDS] = {DB_P_TEXT(request->params[0])};
    TRY(fields_read(request, response, fields, FIELDS, values));
    for (size_t i = 0; i < FIELDS; i++) {
        if (i != FIELD_BOUGHT && values[i].number == 0) values[i].is_null = true;
        params[1 + 2 * i] = DB_P_BOOL(values[i].given);
        params[2 + 2 * i] = field_number(&values[i]);
    }
    TRY(db_run(request->db, "update_plan_rates", params, 1 + 2 * FIELDS, NULL));
    return write_rates(request->db, response, request->params[0]);
}
