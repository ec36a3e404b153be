/* SPDX-License-Identifier: Apache-2.0 */
/* The public reading routes. Everything is answered from the present market in memory, so they work
 * without PostgreSQL. Models that nobody can buy now (no price, or no provider that is live or
 * simulated) are not shown. */
#include "services/catalog/api/api.h"

#include "services/catalog/api/filter.h"
#include "services/catalog/render.h"

/* CATALOG_DOWN until the first market was read. */
static status present_market(const struct control_request *request, struct market **market)
{
    *market = catalog_market(request->service);
    return *market == NULL ? FAIL(CATALOG_DOWN) : OK;
}

/* The page of models that the query asks for; a query that is none is answered. */
static status find_models(struct control_request *request, struct control_response *response,
                          const struct market *market, struct filter *filter,
                          struct filter_page *page)
{
    slice message = SLICE_NONE;
    status read = filter_read(request, filter, &message);
    if (!status_ok(read)) return control_fail(response, read, message);
    return filter_apply(filter, market, request->arena, page);
}

status api_models_list(struct control_request *request, struct control_response *response)
{
    SCOPED(market_release) struct market *market = NULL;
    TRY(present_market(request, &market));
    if (request->query.len == 0) {
        buffer_append(&response->body, buffer_slice(&market->list));
        return OK;
    }
    struct filter filter;
    struct filter_page page;
    TRY(find_models(request, response, market, &filter, &page));
    render_list_begin(&response->json);
    for (uint32_t i = 0; i < page.count; i++)
        json_raw_value(&response->json, page.hits[i].model->json);
    struct render_page end = {.total_count = page.total_count};
    TRY(filter_next_link(request, &filter, &page, &end.next));
    render_list_end(&response->json, &end);
    return OK;
}

status api_models_count(struct control_request *request, struct control_response *response)
{
    SCOPED(market_release) struct market *market = NULL;
    TRY(present_market(request, &market));
    struct filter filter;
    struct filter_page page;
    TRY(find_models(request, response, market, &filter, &page));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    json_key_u64(w, SLICE("count"), page.total_count);
    json_object_end(w);
    json_object_end(w);
    return OK;
}

/* ---- one model ------------------------------------------------------------------------------- */

static status find_for_sale(const struct market *market, slice slug,
                            struct control_response *response, const struct market_model **model)
{
    *model = market_find_model(market, slug);
    if (*model == NULL)
        return control_fail(response, FAIL(NOT_FOUND),
                            SLICE("No model has this id. See GET /api/v1/models."));
    if ((*model)->cheapest == NULL)
        return control_fail(response, FAIL(NOT_FOUND),
                            SLICE("This model has no price or no provider now; it is not served."));
    return OK;
}

status api_model_read(struct control_request *request, struct control_response *response)
{
    SCOPED(market_release) struct market *market = NULL;
    const struct market_model *model;
    char memory[API_SLUG_MAX];
    TRY(present_market(request, &market));
    TRY(find_for_sale(market, api_join_slug(request, memory), response, &model));
    json_object_begin(&response->json);
    json_key_raw(&response->json, SLICE("data"), model->json);
    json_object_end(&response->json);
    return OK;
}

/* As the OpenAI client asks for one model: the object itself, its id percent-encoded or not. */
status api_model_read_plain(struct control_request *request, struct control_response *response)
{
    SCOPED(market_release) struct market *market = NULL;
    const struct market_model *model;
    TRY(present_market(request, &market));
    TRY(find_for_sale(market, request->params[0], response, &model));
    buffer_append(&response->body, model->json);
    return OK;
}

status api_model_endpoints(struct control_request *request, struct control_response *response)
{
    struct catalog *catalog = request->service;
    SCOPED(market_release) struct market *market = NULL;
    const struct market_model *model;
    char memory[API_SLUG_MAX];
    TRY(present_market(request, &market));
    TRY(find_for_sale(market, api_join_slug(request, memory), response, &model));
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    render_endpoints(&response->json, model, catalog->health, clock_monotonic_ms());
    json_object_end(&response->json);
    return OK;
}

status api_providers_list(struct control_request *request, struct control_response *response)
{
    SCOPED(market_release) struct market *market = NULL;
    TRY(present_market(request, &market));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (uint32_t i = 0; i < market->provider_count; i++)
        render_provider(w, &market->providers[i]);
    json_array_end(w);
    json_object_end(w);
    return OK;
}
