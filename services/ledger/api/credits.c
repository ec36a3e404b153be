/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/credits: what was credited and what was used; their difference is the balance at
 * every read. Whatever is booked here leaves both readable: counters are of 64 bits. */
#include "services/ledger/api/credits.h"

#include "services/ledger/api/api.h"
#include "services/ledger/apply.h"

#define NUMERIC_VALUE_OUT_OF_RANGE "22003" /* SQLSTATE: a counter or a sum left its column */

static status of_numbers(const struct db *db, status result)
{
    bool overflow = strcmp(db_last_sqlstate(db), NUMERIC_VALUE_OUT_OF_RANGE) == 0;
    return overflow ? FAIL(OVERFLOW) : result;
}

status credits_query(struct db *db, void *context)
{
    struct credits *credits = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(of_numbers(db, db_run(db, "read_credits", (const struct db_param[]){DB_P_I64(credits->org)},
                              1, &row)));
    credits->usage = db_money(row, 0, 1);
    TRY(money_subtract(db_money(row, 0, 0), db_money(row, 0, 2), &credits->balance));
    return money_add(credits->balance, credits->usage, &credits->total);
}

status credits_book(struct db *db, struct control_response *response, const struct booking *booking)
{
    struct credits after = {.org = booking->org};
    status result = of_numbers(db, postings_make(db, booking));
    if (status_ok(result)) result = credits_query(db, &after);
    if (result.code != ERROR_OVERFLOW) return result;
    return control_fail(response, FAIL(CONFLICT),
                        SLICE("An account would hold more than the books can count (about $9.2 "
                              "billion). Nothing was changed."));
}

status credits_read(struct control_request *request, struct control_response *response)
{
    struct api *api = request->service;
    struct credits credits = {0};
    money held = MONEY_ZERO;
    TRY(api_org(request, response, &credits.org));
    api_await_posted(request, response);
    TRY(db_transaction(request->db, credits.org, credits_query, &credits));
    bool told = status_ok(apply_read_held(api->ledger, credits.org, &held));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    json_key_money(w, SLICE("total_credits"), credits.total);
    json_key_money(w, SLICE("total_usage"), credits.usage);
    json_key_money(w, SLICE("balance"), credits.balance);
    if (told)
        json_key_money(w, SLICE("held"), held);
    else
        json_key_null(w, SLICE("held"));
    json_object_end(w);
    json_object_end(w);
    return OK;
}
