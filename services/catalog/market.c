/* SPDX-License-Identifier: Apache-2.0 */
/* Builds a market from rows: links, look-ups, what is for sale. What an edge gets of it is written
 * in frames.c, what people get in render.c. Rows come from the database, so nothing about them is
 * asserted. */
#include "services/catalog/market.h"

#include <stdlib.h>

#include "services/catalog/frames.h"
#include "services/catalog/render.h"

static status link_endpoints(struct market *market);
static void find_cheapest(struct market_model *model);
static int compare_slugs(slice a, slice b);

/* ---- life ------------------------------------------------------------------------------------ */

struct market *market_new(const struct market_counts *counts)
{
    struct arena arena;
    arena_init(&arena, MARKET_MEMORY_MAX);
    struct market *market = ARENA_NEW(&arena, struct market);
    if (market == NULL) abort();
    market->providers = arena_alloc_array(&arena, counts->providers, sizeof(market->providers[0]));
    market->models = arena_alloc_array(&arena, counts->models, sizeof(market->models[0]));
    market->endpoints = arena_alloc_array(&arena, counts->endpoints, sizeof(market->endpoints[0]));
    market->prices = arena_alloc_array(&arena, counts->prices, sizeof(market->prices[0]));
    if (market->providers == NULL || market->models == NULL || market->endpoints == NULL ||
        market->prices == NULL) {
        arena_free(&arena);
        return NULL;
    }
    market->arena = arena;
    atomic_init(&market->references, 1);
    buffer_init(&market->frames, MARKET_FRAMES_MAX);
    buffer_init(&market->json, MARKET_JSON_MAX);
    buffer_init(&market->list, MARKET_JSON_MAX);
    return market;
}

struct market *market_retain(struct market *market)
{
    atomic_fetch_add_explicit(&market->references, 1, memory_order_relaxed);
    return market;
}

void market_release(struct market **pointer)
{
    struct market *market = TAKE(*pointer);
    if (market == NULL ||
        atomic_fetch_sub_explicit(&market->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    buffer_free(&market->frames);
    buffer_free(&market->json);
    buffer_free(&market->list);
    struct arena arena = market->arena; /* the market lies in it */
    arena_free(&arena);
}

status market_copy(struct market *market, slice text, slice *copy)
{
    *copy = arena_copy(&market->arena, text);
    return copy->data == NULL ? FAIL(TOO_LARGE) : OK;
}

/* ---- finishing ------------------------------------------------------------------------------- */

status market_finish(struct market *market, const struct market_settings *settings)
{
    for (uint32_t i = 0; i < market->provider_count; i++) {
        market->providers[i].simulated = settings->simulated && !market->providers[i].live;
    }
    TRY(link_endpoints(market));
    for (uint32_t i = 0; i < market->model_count; i++) {
        find_cheapest(&market->models[i]);
        market->models_for_sale += market->models[i].cheapest != NULL;
    }
    TRY(render_market(market));
    return frames_encode(market, settings->sim_port);
}

static status link_list_price(const struct market *market, struct market_endpoint *endpoint)
{
    endpoint->list = endpoint->price;
    if (endpoint->price == NULL || endpoint->price->list == 0) return OK;
    endpoint->list = market_find_price(market, endpoint->price->list);
    return endpoint->list == NULL ? FAIL(MALFORMED) : OK;
}

/* The endpoints stand grouped by model, in the order of the models. */
static status link_endpoints(struct market *market)
{
    for (uint32_t i = 0; i < market->endpoint_count; i++) {
        struct market_endpoint *endpoint = &market->endpoints[i];
        struct market_model *model = &market->models[endpoint->model - market->models];
        if (model->endpoint_count == 0) model->endpoints = endpoint;
        if (model->endpoints + model->endpoint_count != endpoint) return FAIL(MALFORMED);
        model->endpoint_count++;
        TRY(link_list_price(market, endpoint));
        struct market_provider *provider =
            &market->providers[endpoint->provider - market->providers];
        provider->endpoint_count++;
        provider->responses_only_count += endpoint->responses_only;
        if (endpoint->id > market->endpoint_id_max) market->endpoint_id_max = endpoint->id;
    }
    return OK;
}

static void find_cheapest(struct market_model *model)
{
    for (uint32_t i = 0; i < model->endpoint_count; i++) {
        const struct market_endpoint *endpoint = &model->endpoints[i];
        if (!market_is_served(endpoint)) continue;
        if (model->cheapest == NULL ||
            market_compare_prices(endpoint->price, model->cheapest->price) < 0) {
            model->cheapest = endpoint;
        }
    }
}

slice market_base_url(const struct market_provider *provider)
{
    return provider->base_url_override.len > 0 ? provider->base_url_override : provider->base_url;
}

bool market_is_reachable(const struct market_endpoint *endpoint)
{
    const struct market_provider *provider = endpoint->provider;
    return provider->simulated || (provider->live && !endpoint->responses_only);
}

bool market_is_served(const struct market_endpoint *endpoint)
{
    return endpoint->price != NULL && !endpoint->disabled && market_is_reachable(endpoint);
}

slice market_reason_not_served(const struct market_endpoint *endpoint)
{
    if (market_is_served(endpoint)) return SLICE_NONE;
    if (endpoint->disabled) return SLICE("it is switched off");
    if (endpoint->price == NULL) return SLICE("it has no price");
    if (!endpoint->provider->live) return SLICE("its provider is not live");
    return SLICE("its provider answers it on /responses only, which is not spoken yet");
}

static __int128 one_of_each(const struct price_row *row)
{
    struct money_sum sum = {0};
    bool fits = status_ok(money_sum_add(&sum, 1, row->tiers[0].prices[BILLING_prompt])) &&
                status_ok(money_sum_add(&sum, 1, row->tiers[0].prices[BILLING_completion]));
    return fits ? sum.nano_millionths : INT64_MAX;
}

int market_compare_prices(const struct price_row *a, const struct price_row *b)
{
    __int128 left = one_of_each(a);
    __int128 right = one_of_each(b);
    return (left > right) - (left < right);
}

/* ---- look-ups -------------------------------------------------------------------------------- */

/* As PostgreSQL orders by collation "C": bytes, the shorter first. */
static int compare_slugs(slice a, slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

const struct market_model *market_find_model(const struct market *market, slice slug)
{
    uint32_t low = 0;
    uint32_t high = market->model_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_slugs(market->models[middle].slug, slug);
        if (order == 0) return &market->models[middle];
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const struct market_provider *market_find_provider(const struct market *market, slice slug)
{
    for (uint32_t i = 0; i < market->provider_count; i++) {
        if (slice_equal(market->providers[i].slug, slug)) return &market->providers[i];
    }
    return NULL;
}

const struct market_provider *market_provider_by_id(const struct market *market, uint32_t id)
{
    for (uint32_t i = 0; i < market->provider_count; i++) {
        if (market->providers[i].id == id) return &market->providers[i];
    }
    return NULL;
}

const struct market_endpoint *market_find_endpoint(const struct market_model *model, slice tag)
{
    for (uint32_t i = 0; i < model->endpoint_count; i++) {
        if (slice_equal(model->endpoints[i].tag, tag)) return &model->endpoints[i];
    }
    return NULL;
}

const struct market_endpoint *market_endpoint_by_id(const struct market *market, uint32_t id)
{
    for (uint32_t i = 0; i < market->endpoint_count; i++) {
        if (market->endpoints[i].id == id) return &market->endpoints[i];
    }
    return NULL;
}

static int compare_price_ids(const void *key, const void *row)
{
    uint32_t wanted = *(const uint32_t *)key;
    uint32_t found = ((const struct price_row *)row)->id;
    return (wanted > found) - (wanted < found);
}

const struct price_row *market_find_price(const struct market *market, uint32_t id)
{
    return bsearch(&id, market->prices, market->price_count, sizeof(market->prices[0]),
                   compare_price_ids);
}

/* ---- dialects -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool is_spoken;
} dialects[] = {
    [DIALECT_OPENAI] = {"openai", true},  [DIALECT_ANTHROPIC] = {"anthropic", false},
    [DIALECT_GEMINI] = {"gemini", false}, [DIALECT_BEDROCK] = {"bedrock", false},
    [DIALECT_COHERE] = {"cohere", false},
};

const char *market_dialect_name(enum dialect dialect)
{
    return dialects[dialect].name;
}

status market_dialect_of(slice name, enum dialect *dialect)
{
    for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
        if (!slice_equal(name, slice_of(dialects[i].name))) continue;
        *dialect = (enum dialect)i;
        return OK;
    }
    return FAIL(OUT_OF_RANGE);
}

bool market_dialect_is_spoken(enum dialect dialect)
{
    return dialects[dialect].is_spoken;
}
