/* SPDX-License-Identifier: Apache-2.0 */
/* The routes, and what several of their handlers need. */
#include "services/catalog/api/api.h"

#include "services/catalog/store.h"

#define FILE_BODY_MAX  (16u << 20) /* a catalog file or a price map */
#define SMALL_BODY_MAX 65536u

static const struct control_route routes[] = {
    {"GET", "/api/v1/models", ACCESS_PUBLIC, 0, false, false, api_models_list},
    {"GET", "/api/v1/models/count", ACCESS_PUBLIC, 0, false, false, api_models_count},
    {"GET", "/api/v1/model/{author}/{slug}", ACCESS_PUBLIC, 0, false, false, api_model_read},
    {"GET", "/api/v1/models/{author}/{slug}/endpoints", ACCESS_PUBLIC, 0, false, false,
     api_model_endpoints},
    {"GET", "/api/v1/models/{id+}", ACCESS_PUBLIC, 0, false, false, api_model_read_plain},
    {"GET", "/api/v1/providers", ACCESS_PUBLIC, 0, false, false, api_providers_list},

    {"POST", "/operator/catalog/load", ACCESS_OPERATOR, FILE_BODY_MAX, true, false,
     api_catalog_load},
    {"POST", "/operator/catalog/import", ACCESS_OPERATOR, FILE_BODY_MAX, true, false,
     api_catalog_import},
    {"GET", "/operator/providers", ACCESS_OPERATOR, 0, false, false, api_operator_providers},
    {"POST", "/operator/providers", ACCESS_OPERATOR, SMALL_BODY_MAX, true, false,
     api_operator_provider_put},
    {"POST", "/operator/providers/{slug}/live", ACCESS_OPERATOR, SMALL_BODY_MAX, true, false,
     api_operator_provider_live},
    {"POST", "/operator/providers/{slug}/simulated", ACCESS_OPERATOR, SMALL_BODY_MAX, false, false,
     api_operator_provider_simulated},
    {"GET", "/operator/models/{author}/{slug}/endpoints", ACCESS_OPERATOR, 0, false, false,
     api_operator_endpoints},
    {"GET", "/operator/endpoints", ACCESS_OPERATOR, 0, false, false, api_operator_endpoints},
    {"POST", "/operator/endpoints/{id}/margin", ACCESS_OPERATOR, SMALL_BODY_MAX, true, false,
     api_operator_endpoint_margin},
    {"POST", "/operator/providers/{slug}/margin", ACCESS_OPERATOR, SMALL_BODY_MAX, true, false,
     api_operator_provider_margin},
    {"PATCH", "/operator/endpoints/{id}", ACCESS_OPERATOR, SMALL_BODY_MAX, true, false,
     api_operator_endpoint_change},
    {"POST", "/operator/models/{author}/{slug}/endpoints/{tag}/price", ACCESS_OPERATOR,
     SMALL_BODY_MAX, true, false, api_operator_price_set},
    {"DELETE", "/operator/models/{author}/{slug}/endpoints/{tag}/price", ACCESS_OPERATOR, 0, false,
     false, api_operator_price_reset},
    {"GET", "/operator/market", ACCESS_OPERATOR, 0, false, false, api_operator_market},
};

status catalog_api_start(struct catalog *catalog, struct token_verifier *verifier,
                         struct control **control)
{
    struct control_settings settings = {
        .service = "catalog",
        .routes = routes,
        .route_count = sizeof(routes) / sizeof(routes[0]),
        .workers = catalog->config.control_workers,
        .database = catalog->config.database,
        .database_role = "bourse_catalog_api",
        .statements = &store_statements,
        .verifier = verifier,
        .context = catalog,
    };
    return control_start(&settings, control);
}

slice api_join_slug(const struct control_request *request, char memory[API_SLUG_MAX])
{
    struct buffer slug;
    buffer_init_fixed(&slug, memory, API_SLUG_MAX);
    buffer_append(&slug, request->params[0]);
    buffer_append_char(&slug, '/');
    buffer_append(&slug, request->params[1]);
    return status_ok(buffer_finish(&slug)) ? buffer_slice(&slug) : SLICE_NONE;
}

status api_endpoint_id(struct control_request *request, struct control_response *response,
                       uint32_t *id)
{
    uint64_t number;
    if (!status_ok(slice_to_u64(request->params[0], &number)) || number > INT32_MAX)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No endpoint has this id."));
    *id = (uint32_t)number;
    return OK;
}

status api_today(struct arena *arena, slice *date)
{
    char memory[32];
    struct buffer now;
    buffer_init_fixed(&now, memory, sizeof(memory));
    clock_append_iso(&now, clock_wall());
    *date = arena_copy(arena, slice_first(buffer_slice(&now), 10));
    return date->data == NULL ? FAIL(TOO_LARGE) : OK;
}
