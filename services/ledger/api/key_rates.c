/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. A field that is not known is refused: a limit that nobody keeps to would be
 * believed. */
#include "services/ledger/api/key_rates.h"

static const slice names[KEY_RATE_COUNT] = {
    [KEY_RATE_REQUESTS] = SLICE_INIT("requests_per_minute"),
    [KEY_RATE_TOKENS] = SLICE_INIT("tokens_per_minute"),
    [KEY_RATE_CONCURRENT] = SLICE_INIT("concurrent_requests"),
};

static status refuse(struct control_response *response, status cause)
{
    return control_fail(
        response, cause,
        SLICE("rate_limit must be null or an object of requests_per_minute, tokens_per_minute and "
              "concurrent_requests, each null or a whole number from 1 to 2147483647."));
}

static status read_limit(struct control_response *response, struct json_iterator field,
                         struct key_rates *rates)
{
    for (size_t i = 0; i < KEY_RATE_COUNT; i++) {
        if (!json_string_equal(field.key, names[i])) continue;
        if (rates->limits[i].given) return refuse(response, FAIL(BAD_REQUEST)); /* twice */
        rates->limits[i].given = true;
        if (json_kind_of(field.value) == JSON_NULL) return OK;
        int64_t value = 0;
        status result = json_read_i64(field.value, &value);
        if (!status_ok(result)) return refuse(response, result);
        if (value < 1 || value > INT32_MAX) return refuse(response, FAIL(OUT_OF_RANGE));
        rates->limits[i].value = value;
        return OK;
    }
    return refuse(response, FAIL(BAD_REQUEST));
}

status key_rates_read(struct control_request *request, struct control_response *response,
                      struct key_rates *rates)
{
    struct json_value object = json_get(request->json, SLICE("rate_limit"));
    if (!json_exists(object)) return OK;
    rates->given = true;
    if (json_kind_of(object) == JSON_NULL) {
        for (size_t i = 0; i < KEY_RATE_COUNT; i++)
            rates->limits[i].given = true;
        return OK;
    }
    if (json_kind_of(object) != JSON_OBJECT) return refuse(response, FAIL(WRONG_TYPE));
    for (struct json_iterator i = json_iterate(object); json_next(&i);)
        TRY(read_limit(response, i, rates));
    return OK;
}

status key_rates_store(struct db *db, int64_t org, int64_t key, const struct key_rates *rates)
{
    if (!rates->given) return OK;
    struct db_param params[2 + 2 * KEY_RATE_COUNT] = {DB_P_I64(org), DB_P_I64(key)};
    for (size_t i = 0; i < KEY_RATE_COUNT; i++) {
        int64_t value = rates->limits[i].value;
        params[2 + 2 * i] = DB_P_BOOL(rates->limits[i].given);
        params[3 + 2 * i] = value == 0 ? DB_P_NULL : DB_P_I64(value);
    }
    return db_run(db, "set_key_rates", params, sizeof(params) / sizeof(params[0]), NULL);
}

static void write_limits(const struct db_result *rows, size_t row, size_t column,
                         struct json_writer *w)
{
    for (size_t i = 0; i < KEY_RATE_COUNT; i++) {
        if (db_is_null(rows, row, column + i))
            json_key_null(w, names[i]);
        else
            json_key_i64(w, names[i], db_i64(rows, row, column + i));
    }
}

void key_rates_write(const struct db_result *rows, size_t row, size_t column, struct json_writer *w)
{
    bool any = false;
    for (size_t i = 0; i < KEY_RATE_COUNT; i++)
        any = any || !db_is_null(rows, row, column + i);
    if (!any) {
        json_key_null(w, SLICE("rate_limit"));
        return;
    }
    json_key(w, SLICE("rate_limit"));
    json_object_begin(w);
    write_limits(rows, row, column, w);
    json_object_end(w);
}

void key_rates_write_current(const struct db_result *rows, size_t column, struct json_writer *w)
{
    bool limited = !db_is_null(rows, 0, column + KEY_RATE_REQUESTS);
    json_key(w, SLICE("rate_limit"));
    json_object_begin(w);
    json_key_i64(w, SLICE("requests"), limited ? db_i64(rows, 0, column + KEY_RATE_REQUESTS) : -1);
    json_key_string(w, SLICE("interval"), SLICE("1m"));
    json_key_string(w, SLICE("note"),
                    limited ? SLICE("Requests of this key in a UTC minute.")
                            : SLICE("This key has no limit of requests; -1 says so."));
    write_limits(rows, 0, column, w);
    json_object_end(w);
}
