/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/credits: what was credited and what was used; their difference is the balance at
 * every read. */
#include "services/ledger/api/api.h"

#include "services/ledger/apply.h"

struct credits_query {
    int64_t org;
    money balance;
    money usage;
    money debt;
};

static status query_credits(struct db *db, void *context)
{
    struct credits_query *query = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(db, "read_credits", (const struct db_param[]){DB_P_I64(query->org)}, 1, &row));
    query->balance = db_money(row, 0, 0);
    query->usage = db_money(row, 0, 1);
    query->debt = db_money(row, 0, 2);
    return OK;
}

status credits_read(struct control_request *request, struct control_response *response)
{
    struct api *api = request->service;
    struct credits_query query = {0};
    money held = MONEY_ZERO;
    money total;
    TRY(api_org(request, response, &query.org));
    api_await_posted(request, response);
    TRY(db_transaction(request->db, query.org, query_credits, &query));
    TRY(apply_read_held(api->ledger, query.org, &held));
    TRY(money_subtract(query.balance, query.debt, &query.balance));
    TRY(money_add(query.balance, query.usage, &total));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    json_key_money(w, SLICE("total_credits"), total);
    json_key_money(w, SLICE("total_usage"), query.usage);
    json_key_money(w, SLICE("balance"), query.balance);
    json_key_money(w, SLICE("held"), held);
    json_object_end(w);
    json_object_end(w);
    return OK;
}
