/* SPDX-License-Identifier: Apache-2.0 */
/* The body runs again when PostgreSQL asks for it, so it starts from nothing each time. It compares
 * with a market read under the lock that every change takes; the complication is that rows may
 * refer to rows added a moment before. */
#include "services/catalog/apply.h"

struct applying {
    struct facts *facts;
    struct arena *arena;
    const struct apply_settings *settings;
    struct apply_report *report;
    struct db *db;
    struct market *before;
    uint32_t *provider_ids; /* of facts->providers */
    uint32_t *model_ids;    /* of facts->models; 0: not in the database (yet) */
    bool *seen;             /* of before->endpoints: the file named it */
    bool prices_changed;
    struct facts marks; /* as the reader left them: what an attempt adds, the next adds again */
};

static status apply_body(struct db *db, void *context);
static status apply_rows(struct applying *applying);
static status apply_provider(struct applying *applying, uint32_t index);
static status apply_model(struct applying *applying, uint32_t index);
static status apply_catalog_endpoint(struct applying *applying,
                                     const struct endpoint_facts *endpoint);
static status apply_map_endpoint(struct applying *applying, const struct endpoint_facts *endpoint);
static status apply_price(struct applying *applying, const struct endpoint_facts *endpoint,
                          const struct market_endpoint *known);

status apply_facts(struct db *db, struct facts *facts, struct arena *arena,
                   const struct apply_settings *settings, struct apply_report *report)
{
    struct applying applying = {
        .facts = facts, .arena = arena, .settings = settings, .report = report};
    applying.marks = *facts;
    *report = (struct apply_report){0};
    applying.provider_ids = arena_alloc_array(arena, facts->provider_count, sizeof(uint32_t));
    applying.model_ids = arena_alloc_array(arena, facts->model_count, sizeof(uint32_t));
    if (applying.provider_ids == NULL || applying.model_ids == NULL) return FAIL(TOO_LARGE);
    status done = db_transaction(db, 0, apply_body, &applying);
    market_release(&applying.before);
    /* A dry run ends its transaction by failing; nothing else answers END. */
    return settings->dry_run && done.code == ERROR_END ? OK : done;
}

static status apply_body(struct db *db, void *context)
{
    struct applying *applying = context;
    struct facts *facts = applying->facts;
    facts->dropped_count = applying->marks.dropped_count;
    facts->dropped_total = applying->marks.dropped_total;
    facts->skipped = applying->marks.skipped;
    *applying->report = (struct apply_report){0};
    applying->db = db;
    applying->prices_changed = false;
    memset(applying->model_ids, 0, facts->model_count * sizeof(uint32_t));
    market_release(&applying->before);
    TRY(store_lock_market(db, &applying->settings->market, &applying->before));
    applying->seen =
        arena_alloc_array(applying->arena, applying->before->endpoint_count, sizeof(bool));
    if (applying->seen == NULL) return FAIL(TOO_LARGE);
    TRY(apply_rows(applying));
    applying->report->revision = applying->before->revision;
    if (applying->settings->dry_run) return FAIL(END);
    if (!applying->report->changed) return OK;
    return store_raise_revision(db, applying->prices_changed, &applying->report->revision);
}

static status apply_rows(struct applying *applying)
{
    const struct facts *facts = applying->facts;
    bool is_catalog = facts->kind == FACTS_CATALOG;
    for (uint32_t i = 0; i < facts->provider_count; i++)
        TRY(apply_provider(applying, i));
    /* A map only adds the models that an endpoint needs. */
    for (uint32_t i = 0; is_catalog && i < facts->model_count; i++)
        TRY(apply_model(applying, i));
    for (uint32_t i = 0; i < facts->endpoint_count; i++) {
        TRY(is_catalog ? apply_catalog_endpoint(applying, &facts->endpoints[i])
                       : apply_map_endpoint(applying, &facts->endpoints[i]));
    }
    applying->report->providers = facts->provider_count;
    applying->report->models = facts->model_count;
    applying->report->endpoints = facts->endpoint_count;
    return OK;
}

/* ---- providers ------------------------------------------------------------------------------- */

static bool provider_differs(const struct market_provider *known,
                             const struct provider_facts *facts)
{
    return !slice_equal(known->name, facts->name) || known->dialect != facts->dialect ||
           !slice_equal(known->base_url, facts->base_url) ||
           !slice_equal(known->headquarters, facts->headquarters) ||
           !slice_equal(known->privacy_policy_url, facts->privacy_policy_url) ||
           !slice_equal(known->terms_of_service_url, facts->terms_of_service_url) ||
           !slice_equal(known->status_page_url, facts->status_page_url);
}

static status insert_provider(struct applying *applying, uint32_t index)
{
    applying->report->providers_new++;
    applying->report->changed = true;
    return store_insert_provider(applying->db, &applying->facts->providers[index],
                                 &applying->provider_ids[index]);
}

static status apply_provider(struct applying *applying, uint32_t index)
{
    const struct provider_facts *provider = &applying->facts->providers[index];
    const struct market_provider *known = market_find_provider(applying->before, provider->slug);
    if (known == NULL) return insert_provider(applying, index);
    applying->provider_ids[index] = known->id;
    if (!provider_differs(known, provider)) return OK;
    applying->report->changed = true;
    return store_update_provider(applying->db, provider);
}

/* 0: neither the market nor the file knows it. */
static uint32_t provider_id_of(const struct applying *applying, slice slug)
{
    const struct market_provider *known = market_find_provider(applying->before, slug);
    if (known != NULL) return known->id;
    for (uint32_t i = 0; i < applying->facts->provider_count; i++) {
        if (slice_equal(applying->facts->providers[i].slug, slug)) return applying->provider_ids[i];
    }
    return 0;
}

/* ---- models ---------------------------------------------------------------------------------- */

static bool model_differs(const struct market_model *known, const struct model_facts *facts)
{
    return !slice_equal(known->name, facts->name) ||
           !slice_equal(known->description, facts->description) ||
           !slice_equal(known->tokenizer, facts->tokenizer) || known->created != facts->created ||
           known->context_length != facts->context_length ||
           known->output_max != facts->output_max ||
           !slice_equal(known->input_modalities, facts->input_modalities) ||
           !slice_equal(known->output_modalities, facts->output_modalities) ||
           !slice_equal(known->supported_parameters, facts->supported_parameters) ||
           !slice_equal(known->knowledge_cutoff, facts->knowledge_cutoff) ||
           !slice_equal(known->deprecation_date, facts->deprecation_date);
}

static status insert_model(struct applying *applying, uint32_t index)
{
    applying->report->models_new++;
    applying->report->changed = true;
    return store_insert_model(applying->db, &applying->facts->models[index],
                              applying->facts->source_date, &applying->model_ids[index]);
}

static status apply_model(struct applying *applying, uint32_t index)
{
    const struct model_facts *model = &applying->facts->models[index];
    const struct market_model *known = market_find_model(applying->before, model->slug);
    if (known == NULL) return insert_model(applying, index);
    applying->model_ids[index] = known->id;
    if (!model_differs(known, model)) return OK;
    applying->report->changed = true;
    return store_update_model(applying->db, model, applying->facts->source_date);
}

/* ---- endpoints ------------------------------------------------------------------------------- */

/* A new list price, and what customers pay by it where there is a margin: imports keep margins. */
static status insert_price(struct applying *applying, const struct endpoint_facts *endpoint,
                           struct store_endpoint *place)
{
    struct price_row list = endpoint->price;
    struct store_price new_price = {
        .model = place->model,
        .provider = place->provider,
        .source = applying->facts->kind == FACTS_CATALOG ? "catalog" : "price-map",
        .source_date = applying->facts->source_date,
        .row = &list,
    };
    TRY(store_insert_price(applying->db, &new_price, &list.id));
    applying->report->prices_new++;
    applying->prices_changed = true;
    return store_add_margin(applying->db, &list, place->margin_basis_points, &place->price);
}

static status add_endpoint(struct applying *applying, const struct endpoint_facts *endpoint)
{
    struct store_endpoint place = {
        .model = applying->model_ids[endpoint->model],
        .provider = provider_id_of(applying, endpoint->provider),
    };
    const struct market_provider *known =
        market_find_provider(applying->before, endpoint->provider);
    if (known != NULL) place.margin_basis_points = known->margin_basis_points;
    if (endpoint->has_price) TRY(insert_price(applying, endpoint, &place));
    uint32_t id;
    applying->report->endpoints_new++;
    applying->report->changed = true;
    return store_insert_endpoint(applying->db, endpoint, &place, &id);
}

static bool endpoint_differs(const struct market_endpoint *known,
                             const struct endpoint_facts *facts)
{
    return !slice_equal(known->upstream_model, facts->upstream_model) ||
           !slice_equal(known->quantization, facts->quantization) ||
           known->context_length != facts->context_length ||
           known->output_max != facts->output_max || known->responses_only != facts->responses_only;
}

static status apply_catalog_endpoint(struct applying *applying,
                                     const struct endpoint_facts *endpoint)
{
    slice slug = applying->facts->models[endpoint->model].slug;
    if (provider_id_of(applying, endpoint->provider) == 0) {
        facts_drop(applying->facts, endpoint->source_name,
                   SLICE("its provider is in neither file nor market"));
        return OK;
    }
    const struct market_model *model = market_find_model(applying->before, slug);
    const struct market_endpoint *known =
        model == NULL ? NULL : market_find_endpoint(model, endpoint->tag);
    if (known == NULL) return add_endpoint(applying, endpoint);
    if (endpoint_differs(known, endpoint)) {
        applying->report->changed = true;
        TRY(store_update_endpoint(applying->db, endpoint, known->id));
    }
    return apply_price(applying, endpoint, known);
}

/* A price map names endpoints by what the provider calls the model. */
static const struct market_endpoint *find_upstream(const struct market *market,
                                                   const struct endpoint_facts *facts)
{
    for (uint32_t i = 0; i < market->endpoint_count; i++) {
        const struct market_endpoint *endpoint = &market->endpoints[i];
        if (slice_equal(endpoint->upstream_model, facts->upstream_model) &&
            slice_equal(endpoint->provider->slug, facts->provider)) {
            return endpoint;
        }
    }
    return NULL;
}

/* Why an entry of a map that names no known endpoint does not become one; empty: it does. Finds or
 * inserts its model. */
static status place_map_entry(struct applying *applying, const struct endpoint_facts *endpoint,
                              slice *reason)
{
    const struct facts *facts = applying->facts;
    slice slug = facts->models[endpoint->model].slug;
    const struct market_model *known = market_find_model(applying->before, slug);
    *reason = endpoint->not_new;
    if (reason->len > 0) return OK;
    if (known != NULL && market_find_endpoint(known, endpoint->tag) != NULL) {
        *reason = SLICE("the provider serves this model already, under another name");
        return OK;
    }
    for (uint32_t i = 0; i < facts->endpoint_count; i++) {
        const struct endpoint_facts *other = &facts->endpoints[i];
        if (other == endpoint) break;
        if (applying->model_ids[other->model] == 0 ||
            !slice_equal(facts->models[other->model].slug, slug)) {
            continue;
        }
        applying->model_ids[endpoint->model] = applying->model_ids[other->model];
        if (slice_equal(other->tag, endpoint->tag)) {
            *reason = SLICE("the map names this model of the provider twice");
            return OK;
        }
    }
    if (known != NULL) applying->model_ids[endpoint->model] = known->id;
    if (applying->model_ids[endpoint->model] != 0) return OK;
    return insert_model(applying, endpoint->model);
}

static status apply_map_endpoint(struct applying *applying, const struct endpoint_facts *endpoint)
{
    if (market_find_provider(applying->before, endpoint->provider) == NULL) {
        applying->facts->skipped++;
        return OK;
    }
    const struct market_endpoint *known = find_upstream(applying->before, endpoint);
    if (known == NULL) {
        slice reason;
        TRY(place_map_entry(applying, endpoint, &reason));
        if (reason.len == 0) return add_endpoint(applying, endpoint);
        facts_drop(applying->facts, endpoint->source_name, reason);
        return OK;
    }
    bool *seen = &applying->seen[known - applying->before->endpoints];
    if (*seen) {
        facts_drop(applying->facts, endpoint->source_name,
                   SLICE("the map names this endpoint twice"));
        return OK;
    }
    *seen = true;
    return apply_price(applying, endpoint, known);
}

/* ---- prices ---------------------------------------------------------------------------------- */

static status apply_price(struct applying *applying, const struct endpoint_facts *endpoint,
                          const struct market_endpoint *known)
{
    if (endpoint->has_price && known->list != NULL &&
        billing_same_prices(known->list, &endpoint->price)) {
        applying->report->prices_unchanged++;
        return OK;
    }
    if (!endpoint->has_price || slice_equal(known->price_source, SLICE("operator"))) {
        applying->report->prices_kept += known->price != NULL;
        return OK;
    }
    struct store_endpoint place = {
        .model = known->model->id,
        .provider = known->provider->id,
        .margin_basis_points = known->margin_basis_points,
    };
    TRY(insert_price(applying, endpoint, &place));
    applying->report->changed = true;
    return store_set_price(applying->db, known->id, place.price);
}
