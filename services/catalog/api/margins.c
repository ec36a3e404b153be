/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator takes on top of list prices, in basis points, on one endpoint or on all of a
 * provider. A margin makes a new price, as every change of a price does; the list price stays what
 * imports compare with and what the provider is owed. */
#include "services/catalog/api/change.h"

#include "services/catalog/render.h"
#include "shared/log.h"

void api_write_prices(struct json_writer *w, const struct market_endpoint *endpoint)
{
    json_key(w, SLICE("pricing"));
    render_pricing(w, endpoint->price);
    json_key_u64(w, SLICE("margin_basis_points"), endpoint->margin_basis_points);
    json_key(w, SLICE("list_pricing"));
    render_pricing(w, endpoint->list);
}

/* ---- changing -------------------------------------------------------------------------------- */

/* One without a price keeps the wish for its first one. */
static status set_margin(struct db *db, struct change *change,
                         const struct market_endpoint *endpoint, uint32_t basis_points)
{
    if (endpoint->margin_basis_points == basis_points) return OK;
    change->changed = true;
    TRY(store_set_margin(db, endpoint->id, basis_points));
    if (endpoint->list == NULL) return OK;
    return change_put_price(db, change, endpoint, endpoint->list, basis_points);
}

static status read_basis_points(struct control_request *request, struct control_response *response,
                                uint32_t *basis_points)
{
    int64_t value = -1;
    status read = json_read_i64(json_get(request->json, SLICE("basis_points")), &value);
    if (!status_ok(read) || value < 0 || value > MARGIN_BASIS_POINTS_MAX)
        return control_fail(response, FAIL(OUT_OF_RANGE),
                            SLICE("basis_points: must be a whole number from 0 to 10000; 1000 is "
                                  "10 %"));
    *basis_points = (uint32_t)value;
    return OK;
}

/* ---- one endpoint ---------------------------------------------------------------------------- */

struct margin_wish {
    uint32_t endpoint;
    uint32_t basis_points;
};

static status change_endpoint(struct db *db, struct change *change)
{
    const struct margin_wish *wish = change->wish;
    const struct market_endpoint *endpoint = market_endpoint_by_id(change->market, wish->endpoint);
    if (endpoint == NULL)
        return control_fail(change->response, FAIL(NOT_FOUND),
                            SLICE("No endpoint has this id. See bourse endpoint list."));
    return set_margin(db, change, endpoint, wish->basis_points);
}

status api_operator_endpoint_margin(struct control_request *request,
                                    struct control_response *response)
{
    struct margin_wish wish;
    struct change change;
    TRY(api_endpoint_id(request, response, &wish.endpoint));
    TRY(read_basis_points(request, response, &wish.basis_points));
    TRY(change_run(request, response, change_endpoint, &wish, &change));
    log_info("endpoint_margin", FN(number, endpoint, wish.endpoint),
             FN(number, basis_points, wish.basis_points));
    SCOPED(market_release) struct market *market = catalog_market(change.catalog);
    const struct market_endpoint *endpoint =
        market == NULL ? NULL : market_endpoint_by_id(market, wish.endpoint);
    if (endpoint == NULL) return FAIL(CATALOG_DOWN);
    struct json_writer *w = &response->json;
    change_write_begin(&change);
    json_object_begin(w);
    json_key_u64(w, SLICE("endpoint"), endpoint->id);
    json_key_string(w, SLICE("model"), endpoint->model->slug);
    json_key_string(w, SLICE("provider"), endpoint->provider->slug);
    api_write_prices(w, endpoint);
    json_object_end(w);
    json_object_end(w);
    return OK;
}

/* ---- all endpoints of a provider ------------------------------------------------------------- */

static status change_provider(struct db *db, struct change *change)
{
    uint32_t basis_points = *(const uint32_t *)change->wish;
    const struct market_provider *provider =
        market_find_provider(change->market, change->request->params[0]);
    if (provider == NULL)
        return control_fail(change->response, FAIL(NOT_FOUND),
                            SLICE("No provider has this slug. See bourse provider list."));
    if (provider->margin_basis_points != basis_points) {
        change->changed = true;
        TRY(store_set_provider_margin(db, provider->id, basis_points));
    }
    for (uint32_t i = 0; i < change->market->endpoint_count; i++) {
        const struct market_endpoint *endpoint = &change->market->endpoints[i];
        if (endpoint->provider == provider) TRY(set_margin(db, change, endpoint, basis_points));
    }
    return OK;
}

status api_operator_provider_margin(struct control_request *request,
                                    struct control_response *response)
{
    uint32_t basis_points;
    struct change change;
    TRY(read_basis_points(request, response, &basis_points));
    TRY(change_run(request, response, change_provider, &basis_points, &change));
    log_info("provider_margin", FN(name, provider, request->params[0]),
             FN(number, basis_points, basis_points));
    SCOPED(market_release) struct market *market = catalog_market(change.catalog);
    const struct market_provider *provider =
        market == NULL ? NULL : market_find_provider(market, request->params[0]);
    if (provider == NULL) return FAIL(CATALOG_DOWN);
    struct json_writer *w = &response->json;
    change_write_begin(&change);
    json_object_begin(w);
    json_key_string(w, SLICE("provider"), provider->slug);
    json_key_u64(w, SLICE("margin_basis_points"), provider->margin_basis_points);
    json_key_u64(w, SLICE("endpoints"), provider->endpoint_count);
    json_object_end(w);
    json_object_end(w);
    return OK;
}
