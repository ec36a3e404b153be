/* SPDX-License-Identifier: Apache-2.0 */
/* What only an operator does: make and list organizations, grant promotional credit. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/credit_line.h"
#include "services/ledger/api/credits.h"
#include "services/ledger/api/fields.h"
#include "services/ledger/api/idempotency.h"

#define ORG_PAGE_MAX 1000
#define NAME_MAX     200
#define SECONDS_MAX  INT64_C(3155760000) /* a hundred years */

struct org_new {
    int64_t org;
    slice name;
};

static status insert_org(struct db *db, void *context)
{
    const struct org_new *new = context;
    const struct db_param params[] = {DB_P_I64(new->org), DB_P_TEXT(new->name)};
    TRY(db_run(db, "insert_org", params, 2, NULL));
    return db_run(db, "insert_workspace", params, 1, NULL);
}

status orgs_create(struct control_request *request, struct control_response *response)
{
    struct org_new new = {.org = api_random_id()};
    status result =
        json_read_string(json_get(request->json, SLICE("name")), request->arena, &new.name);
    if (!status_ok(result) || new.name.len == 0 || new.name.len > NAME_MAX) {
        return control_fail(response, FAIL(BAD_REQUEST),
                            SLICE("name must be a string of 1 to 200 bytes."));
    }
    TRY(db_transaction(request->db, new.org, insert_org, &new));
    response->http_status = 201;
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    json_object_begin(&response->json);
    api_write_org(&response->json, SLICE("id"), new.org);
    json_key_string(&response->json, SLICE("name"), new.name);
    json_object_end(&response->json);
    json_object_end(&response->json);
    return OK;
}

status orgs_list(struct control_request *request, struct control_response *response)
{
    int64_t after = 0;
    slice text = control_query(request, SLICE("after"));
    if (text.len > 0 && !status_ok(api_parse_org(text, &after))) {
        return control_fail(response, FAIL(OUT_OF_RANGE),
                            SLICE("after must be an organization's id."));
    }
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(db_run(request->db, "list_orgs",
               (const struct db_param[]){DB_P_I64(after), DB_P_I64(ORG_PAGE_MAX)}, 2, &rows));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (size_t i = 0; i < db_row_count(rows); i++) {
        json_object_begin(w);
        api_write_org(w, SLICE("id"), db_i64(rows, i, 0));
        json_key_string(w, SLICE("name"), db_text(rows, i, 1));
        json_key_bool(w, SLICE("frozen"), db_bool(rows, i, 2));
        json_key(w, SLICE("created_at"));
        json_time(w, (wall_time){db_i64(rows, i, 3)});
        json_key_money(w, SLICE("balance"), db_money(rows, i, 4));
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
    return OK;
}

struct grant {
    int64_t org;
    money amount;
    struct db_param expires_ns;
};

/* A mistyped amount must not become credit: a grant has the bound of a purchase. */
static status check_bound(struct control_request *request, struct control_response *response,
                          const struct grant *grant)
{
    SCOPED(db_result_free) struct db_result *plan = NULL;
    TRY(db_run(request->db, "find_org", (const struct db_param[]){DB_P_I64(grant->org)}, 1, &plan));
    if (db_row_count(plan) == 0)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No organization has this id."));
    /* Rounded up to the cent, so that nothing above the bound passes. */
    if ((grant->amount.nano - 1) / NANO_PER_CENT < db_i64(plan, 0, 5)) return OK;
    return control_fail(response, FAIL(OUT_OF_RANGE),
                        SLICE("amount is above what the plan takes at once, for a grant as for a "
                              "purchase (by default $25,000)."));
}

static status grant_effect(struct control_request *request, struct control_response *response,
                           void *context)
{
    struct api *api = request->service;
    const struct grant *grant = context;
    const struct booking booking = {
        .org = grant->org,
        .cell = api->config->cell,
        .reference = request->idempotency_key,
        .count = 1,
        .entries = {{ACCOUNT_PROMO_EXPENSE, ACCOUNT_CREDIT_PROMO, grant->amount, "promo"}},
    };
    TRY(credit_line_refuse(request->db, response, grant->org));
    TRY(check_bound(request, response, grant));
    TRY(credits_book(request->db, response, &booking));
    TRY(lots_set_expiry(request->db, grant->org, booking.reference, grant->expires_ns));
    response->http_status = 201;
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    json_object_begin(&response->json);
    api_write_org(&response->json, SLICE("id"), grant->org);
    json_key_money(&response->json, SLICE("granted"), grant->amount);
    json_object_end(&response->json);
    json_object_end(&response->json);
    return OK;
}

status orgs_grant(struct control_request *request, struct control_response *response)
{
    static const struct field fields[] = {
        {SLICE_INIT("amount"), FIELD_DOLLARS, 1, INT64_MAX, false, true,
         "a number of dollars above 0 with at most 9 decimals, within the plan's bound (by default "
         "$25,000)."},
        {SLICE_INIT("expires_at"), FIELD_TIME, 0, SECONDS_MAX, true, false,
         "a time to come, as 2027-01-31T00:00:00Z."},
    };
    struct api *api = request->service;
    struct grant grant = {0};
    struct field_value values[2];
    TRY(api_org(request, response, &grant.org));
    TRY(fields_read(request, response, fields, 2, values));
    grant.amount = (money){values[0].number};
    grant.expires_ns = field_number(&values[1]);
    TRY(idempotency_run(request, response, grant.org, SLICE("grant"), grant_effect, &grant));
    api_credit_moved(api, grant.org);
    return OK;
}
