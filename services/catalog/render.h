/* SPDX-License-Identifier: Apache-2.0 */
/* The market as people and client libraries get it: OpenRouter's shapes, of which the OpenAI client
 * needs object, created and owned_by besides. Prices are strings in dollars per unit. */
#pragma once

#include "services/catalog/health.h"
#include "services/catalog/market.h"
#include "shared/json/write.h"

/* Fills models[].json and market->list. */
status render_market(struct market *market);

/* {object, data, total_count, links} around items that the callback writes. `next` empty: null. */
struct render_page {
    uint32_t total_count;
    slice next;
};
void render_list_begin(struct json_writer *w);
void render_list_end(struct json_writer *w, const struct render_page *page);

/* {id, name, …, endpoints: […]} of a model, with what health knows about each endpoint now. */
void render_endpoints(struct json_writer *w, const struct market_model *model,
                      struct health *health, uint64_t now_ms);
void render_provider(struct json_writer *w, const struct market_provider *provider);

/* {prompt, completion, …, overrides}: classes that follow from another one are left out. null for
 * no price. */
void render_pricing(struct json_writer *w, const struct price_row *row);
