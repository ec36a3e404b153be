/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's single changes, on his own socket only: providers live or simulated, endpoints on
 * or off, prices of his own. A provider key is in clear here for as long as its request lasts. */
#include "services/catalog/api/change.h"

#include <sodium.h>

#include "services/catalog/import_catalog.h"
#include "services/catalog/render.h"
#include "shared/log.h"

#define BASE_URL_MAX 256

/* ---- providers: reading ---------------------------------------------------------------------- */

static void write_provider(struct json_writer *w, const struct market_provider *provider)
{
    json_object_begin(w);
    json_key_string(w, SLICE("slug"), provider->slug);
    json_key_string(w, SLICE("name"), provider->name);
    json_key_string(w, SLICE("dialect"), slice_of(market_dialect_name(provider->dialect)));
    json_key_string(w, SLICE("base_url"), market_base_url(provider));
    json_key_string_or_null(w, SLICE("base_url_override"), provider->base_url_override);
    json_key_bool(w, SLICE("live"), provider->live);
    json_key_bool(w, SLICE("simulated"), provider->simulated);
    json_key_u64(w, SLICE("endpoints"), provider->endpoint_count);
    json_key_u64(w, SLICE("responses_only"), provider->responses_only_count);
    json_key_u64(w, SLICE("margin_basis_points"), provider->margin_basis_points);
    json_key(w, SLICE("key"));
    if (provider->key_version == 0) {
        json_null(w);
    } else {
        json_object_begin(w);
        json_key_u64(w, SLICE("version"), provider->key_version);
        json_key_string(w, SLICE("label"), provider->key_label);
        json_object_end(w);
    }
    json_object_end(w);
}

status api_operator_providers(struct control_request *request, struct control_response *response)
{
    SCOPED(market_release) struct market *market = catalog_market(request->service);
    if (market == NULL) return FAIL(CATALOG_DOWN);
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (uint32_t i = 0; i < market->provider_count; i++)
        write_provider(w, &market->providers[i]);
    json_array_end(w);
    json_object_end(w);
    return OK;
}

/* What cannot be called is said when it is asked for, not when a customer finds out. */
static void write_note(struct json_writer *w, uint32_t responses_only_count)
{
    char memory[160];
    struct buffer note;
    buffer_init_fixed(&note, memory, sizeof(memory));
    buffer_append_u64(&note, responses_only_count);
    buffer_append(&note, SLICE(" of its endpoints answer on /responses only, which is not spoken "
                               "yet: they are not offered while it is live"));
    json_key_string(w, SLICE("note"), buffer_slice(&note));
}

static status answer_provider(struct change *change, slice slug)
{
    SCOPED(market_release) struct market *market = catalog_market(change->catalog);
    const struct market_provider *provider =
        market == NULL ? NULL : market_find_provider(market, slug);
    struct json_writer *w = &change->response->json;
    change_write_begin(change);
    if (provider == NULL) {
        json_null(w); /* committed; this process has not read it back within the wait */
    } else {
        write_provider(w, provider);
    }
    if (provider != NULL && provider->live && provider->responses_only_count > 0)
        write_note(w, provider->responses_only_count);
    json_object_end(w);
    return OK;
}

/* ---- providers: changing --------------------------------------------------------------------- */

static status put_provider(struct db *db, struct change *change)
{
    const struct provider_facts *facts = change->wish;
    uint32_t id;
    change->changed = true;
    if (market_find_provider(change->market, facts->slug) == NULL)
        return store_insert_provider(db, facts, &id);
    return store_update_provider(db, facts);
}

status api_operator_provider_put(struct control_request *request, struct control_response *response)
{
    struct provider_facts facts;
    struct change change;
    slice message = SLICE_NONE;
    status read = import_provider_read(request->json, request->arena, &facts, &message);
    if (!status_ok(read)) return control_fail(response, read, message);
    TRY(change_run(request, response, put_provider, &facts, &change));
    return answer_provider(&change, facts.slug);
}

struct live_wish {
    slice key;      /* empty: the one that is sealed already */
    slice base_url; /* empty: the catalog's */
};

static status seal_key(struct db *db, struct change *change, const struct market_provider *provider,
                       slice key)
{
    char sealed_memory[VAULT_SEALED_MAX];
    char label_memory[32];
    struct buffer sealed;
    struct buffer label;
    buffer_init_fixed(&sealed, sealed_memory, sizeof(sealed_memory));
    buffer_init_fixed(&label, label_memory, sizeof(label_memory));
    struct vault_place place = {
        .org = 0,
        .provider = provider->slug,
        .version = (provider->key_version == 0 ? KEY_VERSION_SIMULATED : provider->key_version) + 1,
    };
    TRY(vault_seal(change->catalog->vault, place, key, &sealed));
    vault_append_label(&label, key);
    return store_put_key(db, provider->id, place.version, buffer_slice(&sealed),
                         buffer_slice(&label));
}

static status set_live(struct db *db, struct change *change)
{
    const struct live_wish *wish = change->wish;
    const struct market_provider *provider =
        market_find_provider(change->market, change->request->params[0]);
    if (provider == NULL)
        return control_fail(change->response, FAIL(NOT_FOUND),
                            SLICE("No provider has this slug. See bourse provider list."));
    if (!market_dialect_is_spoken(provider->dialect))
        return control_fail(
            change->response, FAIL(CONFLICT),
            SLICE("This provider's dialect is not spoken yet; only providers of the "
                  "openai dialect can be made live."));
    if (wish->key.len == 0 && provider->key_version == 0)
        return control_fail(change->response, FAIL(MISSING_FIELD),
                            SLICE("key: this provider has no key yet, so one is needed"));
    if (wish->key.len > 0) TRY(seal_key(db, change, provider, wish->key));
    change->changed = true;
    return store_set_live(db, provider->slug, true, wish->base_url);
}

/* A key goes into a header: visible ASCII only. */
static bool key_is_usable(slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] < 0x21 || key.data[i] > 0x7e) return false;
    }
    return key.len <= VAULT_KEY_MAX;
}

static status read_live_wish(struct control_request *request, struct control_response *response,
                             struct live_wish *wish)
{
    struct json_value key = json_get(request->json, SLICE("key"));
    struct json_value url = json_get(request->json, SLICE("base_url"));
    *wish = (struct live_wish){SLICE_NONE, SLICE_NONE};
    if (json_exists(key) && (!status_ok(json_read_string(key, request->arena, &wish->key)) ||
                             wish->key.len == 0 || !key_is_usable(wish->key))) {
        return control_fail(response, FAIL(WRONG_TYPE),
                            SLICE("key: must be a text of visible ASCII characters, at most 4096"));
    }
    if (json_kind_of(url) == JSON_NULL) return OK;
    if (!status_ok(json_read_string(url, request->arena, &wish->base_url)) ||
        wish->base_url.len > BASE_URL_MAX || !facts_base_url_valid(wish->base_url)) {
        return control_fail(response, FAIL(BAD_REQUEST),
                            SLICE("base_url: must begin with https:// or http:// and name a host, "
                                  "perhaps a port and a path, without user, query or fragment"));
    }
    return OK;
}

/* The body's memory is the control plane's, which frees it without wiping. */
static void wipe(slice text)
{
    if (text.len > 0) sodium_memzero((void *)(uintptr_t)text.data, text.len);
}

status api_operator_provider_live(struct control_request *request,
                                  struct control_response *response)
{
    struct live_wish wish;
    struct change change;
    status done = read_live_wish(request, response, &wish);
    if (status_ok(done)) done = change_run(request, response, set_live, &wish, &change);
    wipe(wish.key);
    wipe(request->body);
    TRY(done);
    log_info("provider_live", FN(name, provider, request->params[0]));
    return answer_provider(&change, request->params[0]);
}

/* The sealed key stays: making it live again needs none. */
static status set_simulated(struct db *db, struct change *change)
{
    const struct market_provider *provider =
        market_find_provider(change->market, change->request->params[0]);
    if (provider == NULL)
        return control_fail(change->response, FAIL(NOT_FOUND),
                            SLICE("No provider has this slug. See bourse provider list."));
    change->changed = provider->live;
    if (!provider->live) return OK;
    return store_set_live(db, provider->slug, false, SLICE_NONE);
}

status api_operator_provider_simulated(struct control_request *request,
                                       struct control_response *response)
{
    struct change change;
    TRY(change_run(request, response, set_simulated, NULL, &change));
    log_info("provider_not_live", FN(name, provider, request->params[0]));
    return answer_provider(&change, request->params[0]);
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static void write_endpoint(struct json_writer *w, const struct market_endpoint *endpoint,
                           struct health *health)
{
    static const char *const states[] = {
        [HEALTH_STABLE] = "stable", [HEALTH_DEGRADED] = "degraded", [HEALTH_DOWN] = "down"};
    struct health_view view;
    health_read(health, endpoint->id, clock_monotonic_ms(), &view);
    json_object_begin(w);
    json_key_u64(w, SLICE("id"), endpoint->id);
    json_key_string(w, SLICE("tag"), endpoint->tag);
    json_key_string(w, SLICE("provider"), endpoint->provider->slug);
    json_key_string(w, SLICE("upstream_model"), endpoint->upstream_model);
    json_key_bool(w, SLICE("disabled"), endpoint->disabled);
    json_key_bool(w, SLICE("served"), market_is_served(endpoint));
    json_key_string_or_null(w, SLICE("reason_not_served"), market_reason_not_served(endpoint));
    json_key_string(w, SLICE("health"), slice_of(states[view.state]));
    json_key_string_or_null(w, SLICE("price_source"), endpoint->price_source);
    api_write_prices(w, endpoint);
    json_object_end(w);
}

/* All endpoints of a model, those without a price and those that are off among them. The model is
 * in the path, or in the query for who has its id in one piece. */
status api_operator_endpoints(struct control_request *request, struct control_response *response)
{
    struct catalog *catalog = request->service;
    SCOPED(market_release) struct market *market = catalog_market(catalog);
    if (market == NULL) return FAIL(CATALOG_DOWN);
    char memory[API_SLUG_MAX];
    slice named = control_query(request, SLICE("model"));
    slice slug = named.len > 0 ? named : api_join_slug(request, memory);
    const struct market_model *model = market_find_model(market, slug);
    if (model == NULL)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No model has this id."));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (uint32_t i = 0; i < model->endpoint_count; i++)
        write_endpoint(w, &model->endpoints[i], catalog->health);
    json_array_end(w);
    json_object_end(w);
    return OK;
}

struct endpoint_wish {
    uint32_t id;
    bool disabled;
};

static status set_disabled(struct db *db, struct change *change)
{
    const struct endpoint_wish *wish = change->wish;
    if (market_endpoint_by_id(change->market, wish->id) == NULL)
        return control_fail(change->response, FAIL(NOT_FOUND), SLICE("No endpoint has this id."));
    return store_set_disabled(db, wish->id, wish->disabled, &change->changed);
}

status api_operator_endpoint_change(struct control_request *request,
                                    struct control_response *response)
{
    struct endpoint_wish wish;
    struct change change;
    TRY(api_endpoint_id(request, response, &wish.id));
    if (!status_ok(json_read_bool(json_get(request->json, SLICE("disabled")), &wish.disabled)))
        return control_fail(response, FAIL(WRONG_TYPE), SLICE("disabled: must be true or false"));
    TRY(change_run(request, response, set_disabled, &wish, &change));
    struct json_writer *w = &response->json;
    change_write_begin(&change);
    json_object_begin(w);
    json_key_u64(w, SLICE("id"), wish.id);
    json_key_bool(w, SLICE("disabled"), wish.disabled);
    json_object_end(w);
    json_object_end(w);
    return OK;
}

/* ---- prices ---------------------------------------------------------------------------------- */

static status find_endpoint(struct change *change, const struct market_endpoint **endpoint)
{
    char memory[API_SLUG_MAX];
    const struct market_model *model =
        market_find_model(change->market, api_join_slug(change->request, memory));
    *endpoint = model == NULL ? NULL : market_find_endpoint(model, change->request->params[2]);
    if (*endpoint != NULL) return OK;
    return control_fail(change->response, FAIL(NOT_FOUND),
                        SLICE("No endpoint of this model has this tag."));
}

static status set_price(struct db *db, struct change *change)
{
    const struct market_endpoint *endpoint;
    TRY(find_endpoint(change, &endpoint));
    struct price_row row = *(const struct price_row *)change->wish;
    struct store_price new_price = {
        .model = endpoint->model->id,
        .provider = endpoint->provider->id,
        .source = "operator",
        .row = &row,
    };
    TRY(api_today(change->request->arena, &new_price.source_date));
    TRY(store_insert_price(db, &new_price, &row.id));
    return change_put_price(db, change, endpoint, &row, endpoint->margin_basis_points);
}

static status answer_price(struct change *change)
{
    SCOPED(market_release) struct market *market = catalog_market(change->catalog);
    if (market == NULL) return FAIL(CATALOG_DOWN);
    change->market = market;
    const struct market_endpoint *endpoint;
    status found = find_endpoint(change, &endpoint);
    change->market = NULL;
    TRY(found);
    struct json_writer *w = &change->response->json;
    change_write_begin(change);
    json_object_begin(w);
    json_key_u64(w, SLICE("endpoint"), endpoint->id);
    json_key_string_or_null(w, SLICE("source"), endpoint->price_source);
    api_write_prices(w, endpoint);
    json_object_end(w);
    json_object_end(w);
    return OK;
}

/* A price of the operator's own, which takes the place of the list price: {prices: {prompt,
 * completion, …}, tiers?: […]}, as in the catalog file. Zero is his to decide; a wrong unit is
 * refused here, too. */
status api_operator_price_set(struct control_request *request, struct control_response *response)
{
    struct price_row row;
    struct change change;
    slice message = SLICE_NONE;
    status read =
        import_prices_read(json_get(request->json, SLICE("prices")),
                           json_get(request->json, SLICE("tiers")), request->arena, &row, &message);
    if (!status_ok(read)) return control_fail(response, read, message);
    if (facts_wrong_unit(&row))
        return control_fail(response, FAIL(OUT_OF_RANGE),
                            SLICE("above $500 in or $1,000 out per million tokens; prices are "
                                  "dollars per single token"));
    TRY(change_run(request, response, set_price, &row, &change));
    return answer_price(&change);
}

static status reset_price(struct db *db, struct change *change)
{
    const struct market_endpoint *endpoint;
    TRY(find_endpoint(change, &endpoint));
    if (!slice_equal(endpoint->price_source, SLICE("operator")))
        return control_fail(change->response, FAIL(CONFLICT),
                            SLICE("This endpoint has no price of your own."));
    uint32_t id;
    status found = store_find_list_price(db, endpoint->model->id, endpoint->provider->id, &id);
    if (found.code == ERROR_NOT_FOUND)
        return control_fail(change->response, FAIL(CONFLICT),
                            SLICE("There is no list price to go back to."));
    TRY(found);
    struct price_row list;
    TRY(store_read_price(db, id, &list));
    return change_put_price(db, change, endpoint, &list, endpoint->margin_basis_points);
}

/* Back to the newest price that is not the operator's own. */
status api_operator_price_reset(struct control_request *request, struct control_response *response)
{
    struct change change;
    TRY(change_run(request, response, reset_price, NULL, &change));
    return answer_price(&change);
}

/* ---- the market ------------------------------------------------------------------------------ */

status api_operator_market(struct control_request *request, struct control_response *response)
{
    struct catalog *catalog = request->service;
    SCOPED(market_release) struct market *market = catalog_market(catalog);
    if (market == NULL) return FAIL(CATALOG_DOWN);
    uint32_t states[3];
    uint32_t served = 0;
    uint32_t unpriced = 0;
    uint32_t unspoken = 0;
    for (uint32_t i = 0; i < market->endpoint_count; i++) {
        served += market_is_served(&market->endpoints[i]);
        unpriced += market->endpoints[i].price == NULL;
        unspoken += market->endpoints[i].provider->live && market->endpoints[i].responses_only;
    }
    health_count(catalog->health, states);
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    json_key_u64(w, SLICE("revision"), market->revision);
    json_key_u64(w, SLICE("providers"), market->provider_count);
    json_key_u64(w, SLICE("models"), market->model_count);
    json_key_u64(w, SLICE("models_for_sale"), market->models_for_sale);
    json_key_u64(w, SLICE("endpoints"), market->endpoint_count);
    json_key_u64(w, SLICE("endpoints_served"), served);
    json_key_u64(w, SLICE("endpoints_unpriced"), unpriced);
    json_key_u64(w, SLICE("endpoints_unspoken"), unspoken); /* live, on /responses only */
    json_key_u64(w, SLICE("prices"), market->price_count);
    json_key_u64(w, SLICE("snapshot_bytes"), market->frames.len);
    json_key(w, SLICE("health"));
    json_object_begin(w);
    json_key_u64(w, SLICE("degraded"), states[HEALTH_DEGRADED]);
    json_key_u64(w, SLICE("down"), states[HEALTH_DOWN]);
    json_object_end(w);
    json_object_end(w);
    json_object_end(w);
    return OK;
}
