/* SPDX-License-Identifier: Apache-2.0 */
/* GET and PUT /api/v1/auto-topup, and the beginning of a charge. How much is bought is one function
 * in the database (topup_cents): it looks at credit and leases, the day's charges and the plan. */
#include "services/ledger/api/topups.h"

#include "services/ledger/api/api.h"
#include "services/ledger/api/credit_line.h"
#include "services/ledger/api/fields.h"
#include "shared/array.h"

#define DAY_COUNT_MAX     100
#define DAY_COUNT_INITIAL 5

struct rule {
    int64_t org;
    struct control_response *response;
    bool enabled;
    int64_t threshold_cents, target_cents, day_cents_max, day_count_max;
};

struct reading {
    int64_t org;
    struct control_response *response;
};

static void write_cents(struct json_writer *w, slice name, const struct db_result *row, size_t at)
{
    if (db_is_null(row, 0, at))
        json_key_null(w, name);
    else
        json_key_money(w, name, money_of_cents(db_i64(row, 0, at)));
}

static status write_rule(struct db *db, void *context)
{
    const struct reading *reading = context;
    struct json_writer *w = &reading->response->json;
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(db, "read_auto_topup", (const struct db_param[]){DB_P_I64(reading->org)}, 1, &row));
    if (db_row_count(row) == 0)
        return control_fail(reading->response, FAIL(NOT_FOUND),
                            SLICE("No organization has this id."));
    buffer_clear(&reading->response->body);
    json_write_init(w, &reading->response->body);
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    json_key_bool(w, SLICE("enabled"), db_bool(row, 0, 0));
    write_cents(w, SLICE("threshold"), row, 1);
    write_cents(w, SLICE("target"), row, 2);
    write_cents(w, SLICE("daily_max"), row, 3);
    json_key_i64(w, SLICE("daily_count"), db_i64(row, 0, 4));
    json_key_string_or_null(w, SLICE("off_reason"), db_text(row, 0, 5));
    json_key_bool(w, SLICE("card_saved"), db_bool(row, 0, 6));
    json_object_end(w);
    json_object_end(w);
    return OK;
}

status topups_read(struct control_request *request, struct control_response *response)
{
    struct reading reading = {.response = response};
    TRY(api_org(request, response, &reading.org));
    return db_transaction(request->db, reading.org, write_rule, &reading);
}

static status read_dollars(struct control_request *request, slice name, int64_t *cents)
{
    slice digits;
    money amount;
    TRY(json_read_number_text(json_get(request->json, name), &digits));
    TRY(money_parse_dollars(digits, false, &amount));
    *cents = amount.nano / NANO_PER_CENT;
    return amount.nano % NANO_PER_CENT == 0 && *cents > 0 ? OK : FAIL(OUT_OF_RANGE);
}

static status set_rule(struct db *db, void *context)
{
    const struct rule *rule = context;
    if (rule->enabled) TRY(credit_line_refuse(db, rule->response, rule->org));
    return db_run(
        db, "set_auto_topup",
        (const struct db_param[]){DB_P_I64(rule->org), DB_P_BOOL(rule->enabled),
                                  DB_P_I64(rule->threshold_cents), DB_P_I64(rule->target_cents),
                                  DB_P_I64(rule->day_cents_max), DB_P_I64(rule->day_count_max)},
        6, NULL);
}

status topups_change(struct control_request *request, struct control_response *response)
{
    static const struct field fields[] = {{.name = SLICE_INIT("enabled")},
                                          {.name = SLICE_INIT("threshold")},
                                          {.name = SLICE_INIT("target")},
                                          {.name = SLICE_INIT("daily_max")},
                                          {.name = SLICE_INIT("daily_count")}};
    struct rule rule = {.response = response, .day_count_max = DAY_COUNT_INITIAL};
    struct json_value count = json_get(request->json, SLICE("daily_count"));
    TRY(api_org(request, response, &rule.org));
    TRY(fields_check_names(request, response, fields, COUNT_OF(fields)));
    status read = json_read_bool(json_get(request->json, SLICE("enabled")), &rule.enabled);
    if (status_ok(read)) read = read_dollars(request, SLICE("threshold"), &rule.threshold_cents);
    if (status_ok(read)) read = read_dollars(request, SLICE("target"), &rule.target_cents);
    if (status_ok(read)) read = read_dollars(request, SLICE("daily_max"), &rule.day_cents_max);
    if (status_ok(read) && json_exists(count)) read = json_read_i64(count, &rule.day_count_max);
    bool fits = rule.target_cents > rule.threshold_cents && rule.day_count_max >= 1 &&
                rule.day_count_max <= DAY_COUNT_MAX;
    if (!status_ok(read) || !fits) {
        return control_fail(
            response, status_ok(read) ? FAIL(OUT_OF_RANGE) : read,
            SLICE("Send enabled, and threshold, target and daily_max in dollars with "
                  "threshold below target; daily_count is 1 to 100."));
    }
    TRY(db_transaction(request->db, rule.org, set_rule, &rule));
    struct reading reading = {rule.org, response};
    return db_transaction(request->db, rule.org, write_rule, &reading);
}

status topups_turn_off(struct db *db, int64_t org, slice reason)
{
    return db_run(db, "turn_topup_off", (const struct db_param[]){DB_P_I64(org), DB_P_TEXT(reason)},
                  2, NULL);
}

/* ---- beginning ------------------------------------------------------------------------------- */

struct beginning {
    int64_t org;
    slice id;
    bool begun;
};

static status begin(struct db *db, void *context)
{
    struct beginning *b = context;
    SCOPED(db_result_free) struct db_result *size = NULL;
    const struct db_param org[] = {DB_P_I64(b->org)};
    int64_t fee_cents;
    TRY(db_run(db, "hold_org", org, 1, NULL));
    TRY(db_run(db, "lock_auto_topup", org, 1, NULL));
    TRY(db_run(db, "size_topup", org, 1, &size));
    int64_t cents = db_i64(size, 0, 0);
    b->begun = cents > 0;
    if (!b->begun) return OK;
    TRY(money_purchase_fee_cents(cents, db_i64(size, 0, 1), db_i64(size, 0, 2), &fee_cents));
    return db_run(db, "insert_topup",
                  (const struct db_param[]){org[0], DB_P_TEXT(b->id), DB_P_I64(cents),
                                            DB_P_I64(fee_cents), DB_P_I64(cents + fee_cents)},
                  5, NULL);
}

status topups_begin(struct db *db, struct arena *arena, int64_t org, slice *purchase)
{
    char text[40];
    struct buffer id;
    buffer_init_fixed(&id, text, sizeof(text));
    id_append_random(&id, SLICE("pur-"));
    struct beginning b = {.org = org, .id = arena_copy(arena, buffer_slice(&id))};
    if (b.id.data == NULL) return FAIL(TOO_LARGE);
    TRY(db_transaction(db, org, begin, &b));
    *purchase = b.begun ? b.id : SLICE_NONE;
    return OK;
}
