/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's control plane: what everybody may ask, and what the operator may change. */
#pragma once

#include "services/catalog/catalog.h"
#include "shared/http/control.h"

/* Every handler's request->service is the struct catalog. */
status catalog_api_start(struct catalog *catalog, struct token_verifier *verifier,
                         struct control **control);

/* author/slug of the first two parameters of a path; empty when it is longer than any. */
#define API_SLUG_MAX 256
slice api_join_slug(const struct control_request *request, char memory[API_SLUG_MAX]);

/* Of the first parameter of a path; NOT_FOUND: no number that an endpoint can have. */
status api_endpoint_id(struct control_request *request, struct control_response *response,
                       uint32_t *id);

/* YYYY-MM-DD, in UTC. */
status api_today(struct arena *arena, slice *date);

/* models.c: public */
status api_models_list(struct control_request *request, struct control_response *response);
status api_models_count(struct control_request *request, struct control_response *response);
status api_model_read(struct control_request *request, struct control_response *response);
status api_model_read_plain(struct control_request *request, struct control_response *response);
status api_model_endpoints(struct control_request *request, struct control_response *response);
status api_providers_list(struct control_request *request, struct control_response *response);

/* load.c: files into the market */
status api_catalog_load(struct control_request *request, struct control_response *response);
status api_catalog_import(struct control_request *request, struct control_response *response);

/* operator.c: single changes */
status api_operator_providers(struct control_request *request, struct control_response *response);
status api_operator_provider_put(struct control_request *request,
                                 struct control_response *response);
status api_operator_provider_live(struct control_request *request,
                                  struct control_response *response);
status api_operator_provider_simulated(struct control_request *request,
                                       struct control_response *response);
status api_operator_endpoints(struct control_request *request, struct control_response *response);
status api_operator_endpoint_change(struct control_request *request,
                                    struct control_response *response);
status api_operator_price_set(struct control_request *request, struct control_response *response);
status api_operator_price_reset(struct control_request *request, struct control_response *response);
status api_operator_market(struct control_request *request, struct control_response *response);

/* margins.c: what the operator takes on top of list prices */
status api_operator_endpoint_margin(struct control_request *request,
                                    struct control_response *response);
status api_operator_provider_margin(struct control_request *request,
                                    struct control_response *response);
/* "pricing" as customers see it, "margin_basis_points" and "list_pricing". */
void api_write_prices(struct json_writer *w, const struct market_endpoint *endpoint);
