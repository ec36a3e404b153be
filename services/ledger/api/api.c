/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the ledger's routes and what its handlers share. The complication: an operator names
 * the organization in the query, a customer never can. */
#include "services/ledger/api/api.h"

#include "services/ledger/api/stripe_janitor.h"
#include "services/ledger/api/stripe_purchase.h"
#include "services/ledger/apply.h"
#include "services/ledger/ledger.h"
#include "shared/http/limits.h"
#include "shared/log.h"
#include "shared/random.h"

#define POSTED_WAIT_MS 1000 /* how long a read waits for one's own writes */
#define BODY_MAX       CONTROL_FORWARDED_BODY_MAX

extern const char api_statements_sql[];

static const struct control_route routes[] = {
    {"GET", "/api/v1/key", ACCESS_ANY_KEY, 0, false, false, keys_current},
    {"GET", "/api/v1/keys", ACCESS_MANAGEMENT, 0, false, false, keys_list},
    {"POST", "/api/v1/keys", ACCESS_MANAGEMENT, BODY_MAX, true, false, keys_create},
    {"GET", "/api/v1/keys/{hash}", ACCESS_MANAGEMENT, 0, false, false, keys_read},
    {"PATCH", "/api/v1/keys/{hash}", ACCESS_MANAGEMENT, BODY_MAX, true, false, keys_change},
    {"DELETE", "/api/v1/keys/{hash}", ACCESS_MANAGEMENT, 0, false, false, keys_delete},
    {"POST", "/api/v1/keys/{hash}/rotate", ACCESS_MANAGEMENT, BODY_MAX, true, false, keys_rotate},
    {"GET", "/api/v1/organization/members", ACCESS_MANAGEMENT, 0, false, false, members_list},
    {"POST", "/api/v1/organization/members", ACCESS_MANAGEMENT, BODY_MAX, true, false,
     members_create},
    {"GET", "/api/v1/limits", ACCESS_MANAGEMENT, 0, false, false, limits_read},
    {"PATCH", "/api/v1/limits", ACCESS_MANAGEMENT, BODY_MAX, true, false, limits_change},
    {"GET", "/api/v1/credits", ACCESS_MANAGEMENT, 0, false, false, credits_read},
    {"GET", "/api/v1/credits/lots", ACCESS_MANAGEMENT, 0, false, false, lots_list},
    {"POST", "/api/v1/credits/redeem", ACCESS_MANAGEMENT, BODY_MAX, true, true, credits_redeem},
    {"GET", "/api/v1/organization", ACCESS_MANAGEMENT, 0, false, false, organization_read},
    {"PATCH", "/api/v1/organization", ACCESS_MANAGEMENT, BODY_MAX, true, false,
     organization_change},
    {"GET", "/api/v1/purchases", ACCESS_MANAGEMENT, 0, false, false, purchases_list},
    {"POST", "/api/v1/purchases", ACCESS_MANAGEMENT, BODY_MAX, true, true, purchases_create},
    {"GET", "/api/v1/purchases/{id}", ACCESS_MANAGEMENT, 0, false, false, purchases_read},
    {"GET", "/api/v1/purchases/{id}/receipt", ACCESS_MANAGEMENT, 0, false, false, receipts_read},
    {"GET", "/api/v1/invoices/{month}", ACCESS_MANAGEMENT, 0, false, false, invoices_read},
    {"POST", "/api/v1/purchases/{id}/refund", ACCESS_MANAGEMENT, BODY_MAX, true, true,
     purchases_refund},
    {"GET", "/api/v1/auto-topup", ACCESS_MANAGEMENT, 0, false, false, topups_read},
    {"PUT", "/api/v1/auto-topup", ACCESS_MANAGEMENT, BODY_MAX, true, false, topups_change},
    {"POST", "/webhooks/stripe", ACCESS_PUBLIC, CONTROL_WEBHOOK_BODY_MAX, false, false,
     stripe_event_taken},
    {"POST", "/operator/purchases/{id}/confirm", ACCESS_OPERATOR, BODY_MAX, true, false,
     purchases_confirm},
    {"POST", "/operator/purchases/{id}/cancel", ACCESS_OPERATOR, BODY_MAX, true, false,
     purchases_cancel},
    {"GET", "/operator/refunds", ACCESS_OPERATOR, 0, false, false, refunds_list},
    {"POST", "/operator/refunds/{id}/confirm", ACCESS_OPERATOR, BODY_MAX, true, false,
     refunds_confirm},
    {"POST", "/operator/refunds/{id}/void", ACCESS_OPERATOR, BODY_MAX, true, false, refunds_void},
    {"GET", "/operator/orgs", ACCESS_OPERATOR, 0, false, false, orgs_list},
    {"POST", "/operator/orgs", ACCESS_OPERATOR, BODY_MAX, true, false, orgs_create},
    {"POST", "/operator/orgs/freeze", ACCESS_OPERATOR, BODY_MAX, false, false, organization_freeze},
    {"POST", "/operator/orgs/thaw", ACCESS_OPERATOR, BODY_MAX, false, false, organization_thaw},
    {"POST", "/operator/grants", ACCESS_OPERATOR, BODY_MAX, true, true, orgs_grant},
    {"POST", "/operator/payments", ACCESS_OPERATOR, BODY_MAX, true, true, payments_create},
    {"GET", "/operator/plans", ACCESS_OPERATOR, 0, false, false, plans_list},
    {"POST", "/operator/plans", ACCESS_OPERATOR, BODY_MAX, true, false, plans_create},
    {"GET", "/operator/plans/{name}", ACCESS_OPERATOR, 0, false, false, plans_read},
    {"PATCH", "/operator/plans/{name}", ACCESS_OPERATOR, BODY_MAX, true, false, plans_change},
    {"GET", "/operator/plans/{name}/rates", ACCESS_OPERATOR, 0, false, false, plan_rates_read},
    {"PATCH", "/operator/plans/{name}/rates", ACCESS_OPERATOR, BODY_MAX, true, false,
     plan_rates_change},
    {"POST", "/operator/plans/{name}/assign", ACCESS_OPERATOR, BODY_MAX, false, false,
     plans_assign},
    {"GET", "/operator/codes", ACCESS_OPERATOR, 0, false, false, codes_list},
    {"POST", "/operator/codes", ACCESS_OPERATOR, BODY_MAX, true, false, codes_create},
    {"POST", "/operator/codes/{id}/disable", ACCESS_OPERATOR, BODY_MAX, false, false,
     codes_disable},
};

static struct api api;
static struct control *control;

status api_start(struct ledger *ledger, const struct config *config,
                 struct token_verifier *verifier)
{
    static const struct db_statements statements = {api_statements_sql};
    api = (struct api){.ledger = ledger, .config = config};
    TRY(secret_read_file("secrets/ledger/pepper", 64, false, &api.pepper));
    TRY(stripe_open(config, &api.stripe));
    TRY(stripe_janitor_start(&api, &statements, &api.janitor));
    const struct control_settings settings = {
        .service = "ledger",
        .routes = routes,
        .route_count = sizeof(routes) / sizeof(routes[0]),
        .workers = config->control_workers,
        .database = config->database,
        .database_role = "bourse_ledger_api",
        .statements = &statements,
        .verifier = verifier,
        .context = &api,
    };
    return control_start(&settings, &control);
}

void api_stop(void)
{
    control_stop(&control);
    stripe_janitor_stop(&api.janitor);
    stripe_close(&api.stripe);
    secret_free(&api.pepper);
}

void api_append_org(struct buffer *out, int64_t org)
{
    buffer_append(out, SLICE("org-"));
    buffer_append_i64(out, org);
}

void api_write_org(struct json_writer *w, slice name, int64_t org)
{
    char text[32];
    struct buffer id;
    buffer_init_fixed(&id, text, sizeof(text));
    api_append_org(&id, org);
    json_key_string(w, name, buffer_slice(&id));
}

status api_parse_org(slice text, int64_t *org)
{
    if (!slice_starts_with(text, SLICE("org-"))) return FAIL(NOT_FOUND);
    if (!status_ok(slice_to_i64(slice_from(text, 4), org)) || *org <= 0) return FAIL(NOT_FOUND);
    return OK;
}

status api_org(struct control_request *request, struct control_response *response, int64_t *org)
{
    if (request->principal.kind != PRINCIPAL_OPERATOR) {
        *org = request->principal.org;
        return OK;
    }
    slice text = control_query(request, SLICE("org"));
    if (text.len == 0) {
        return control_fail(response, FAIL(MISSING_FIELD),
                            SLICE("Name the organization: ?org=org-…"));
    }
    if (!status_ok(api_parse_org(text, org))) {
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No organization has this id."));
    }
    return OK;
}

wall_time api_now(void)
{
    return lender_wall(api.ledger->lender);
}

int64_t api_random_id(void)
{
    int64_t id = (int64_t)(random_u64() >> 11);
    return id == 0 ? 1 : id;
}

static status read_bound(struct control_request *request, slice name, int64_t low, int64_t high,
                         int64_t *value)
{
    slice text = control_query(request, name);
    if (text.len == 0) return OK;
    TRY(slice_to_i64(text, value));
    return *value < low || *value > high ? FAIL(OUT_OF_RANGE) : OK;
}

status api_page(struct control_request *request, struct control_response *response,
                int64_t limit_max, int64_t *offset, int64_t *limit)
{
    *offset = 0;
    *limit = limit_max;
    if (!status_ok(read_bound(request, SLICE("offset"), 0, INT32_MAX, offset)) ||
        !status_ok(read_bound(request, SLICE("limit"), 1, limit_max, limit))) {
        return control_fail(response, FAIL(OUT_OF_RANGE),
                            SLICE("offset and limit must be whole numbers in range."));
    }
    return OK;
}

void api_credit_moved(struct api *service, int64_t org)
{
    status result = apply_credit_changed(service->ledger, org);
    if (!status_ok(result)) log_warning("credit_change_not_taken", F(error, result));
}

void api_recall_credit(struct api *service, int64_t org)
{
    status result = apply_credit_recall(service->ledger, org, NULL);
    if (!status_ok(result)) log_warning("credit_not_recalled", F(error, result));
}

void api_converged(struct api *service, const struct convergence *convergence)
{
    if (convergence->moved) api_credit_moved(service, convergence->org);
    if (convergence->frozen) api_recall_credit(service, convergence->org);
}

status api_taken(struct control_response *response, status taken)
{
    if (status_ok(taken)) return OK;
    log_warning("change_not_taken", F(error, taken));
    return control_fail(response, FAIL(OVERLOADED),
                        SLICE("It is changed, but not in force everywhere yet. Repeat the "
                              "request."));
}

void api_await_posted(struct control_request *request, struct control_response *response)
{
    struct api *service = request->service;
    if (apply_wait_posted(service->ledger, POSTED_WAIT_MS)) return;
    struct buffer text;
    char *memory = arena_alloc(request->arena, 32);
    if (memory == NULL) return;
    buffer_init_fixed(&text, memory, 32);
    clock_append_iso(&text, (wall_time){api_now().ns - (int64_t)POSTED_WAIT_MS * 1000000});
    if (!status_ok(control_header(response, SLICE("x-bourse-as-of"), buffer_slice(&text)))) return;
}

void api_write_time(const struct db_result *rows, size_t row, slice name, size_t column,
                    struct json_writer *w)
{
    json_key(w, name);
    if (db_is_null(rows, row, column)) {
        json_null(w);
    } else {
        json_time(w, (wall_time){db_i64(rows, row, column)});
    }
}
