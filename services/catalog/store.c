/* SPDX-License-Identifier: Apache-2.0 */
/* Statements and rows. Rows of the database are data like any other: what does not fit the market's
 * bounds fails the read, nothing asserts. */
#include "services/catalog/store.h"

#include "shared/log.h"

extern const char catalog_statements_sql[];
const struct db_statements store_statements = {catalog_statements_sql};

/* All the rows that make a market. */
struct market_rows {
    struct db_result *revision, *providers, *models, *prices, *endpoints;
};

static status read_rows(struct db *db, const char *lock, struct market_rows *rows);
static void free_rows(struct market_rows *rows);
static status build_market(const struct market_rows *rows, struct market *market);
static status take_providers(const struct db_result *rows, struct market *market);
static status take_models(const struct db_result *rows, struct market *market);
static status take_prices(const struct db_result *rows, struct price_row *prices, uint32_t *count);
static status take_endpoints(const struct db_result *rows, struct market *market);

#define RUN(db, statement, result, ...)                               \
    db_run((db), (statement), (const struct db_param[]){__VA_ARGS__}, \
           sizeof((const struct db_param[]){__VA_ARGS__}) / sizeof(struct db_param), (result))

status store_listen(struct db *db)
{
    return db_run(db, "listen_market", NULL, 0, NULL);
}

status store_read_revision(struct db *db, uint64_t *revision)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(db, "market_revision", NULL, 0, &result));
    if (db_row_count(result) != 1) return FAIL(MALFORMED);
    *revision = (uint64_t)db_i64(result, 0, 0);
    return OK;
}

/* ---- reading the market ---------------------------------------------------------------------- */

struct market_read {
    const struct market_settings *settings;
    const char *lock;
    struct market *market;
};

static status read_market(struct db *db, void *context)
{
    struct market_read *read = context;
    SCOPED(free_rows) struct market_rows rows = {0};
    TRY(read_rows(db, read->lock, &rows));
    market_release(&read->market); /* of an attempt that is repeated */
    struct market_counts counts = {
        .providers = (uint32_t)db_row_count(rows.providers),
        .models = (uint32_t)db_row_count(rows.models),
        .endpoints = (uint32_t)db_row_count(rows.endpoints),
        .prices = (uint32_t)db_row_count(rows.prices),
    };
    SCOPED(market_release) struct market *market = market_new(&counts);
    if (market == NULL) return FAIL(TOO_LARGE);
    TRY(build_market(&rows, market));
    TRY(market_finish(market, read->settings));
    read->market = TAKE(market);
    return OK;
}

status store_read_market(struct db *db, const struct market_settings *settings,
                         struct market **market)
{
    struct market_read read = {.settings = settings, .lock = "market_lock_shared"};
    status done = db_transaction(db, 0, read_market, &read);
    if (!status_ok(done)) market_release(&read.market);
    *market = read.market;
    return done;
}

status store_lock_market(struct db *db, const struct market_settings *settings,
                         struct market **market)
{
    struct market_read read = {.settings = settings, .lock = "market_lock"};
    TRY(read_market(db, &read));
    *market = read.market;
    return OK;
}

static status read_rows(struct db *db, const char *lock, struct market_rows *rows)
{
    TRY(db_run(db, lock, NULL, 0, &rows->revision));
    TRY(db_run(db, "providers_all", NULL, 0, &rows->providers));
    TRY(db_run(db, "models_all", NULL, 0, &rows->models));
    TRY(db_run(db, "prices_current", NULL, 0, &rows->prices));
    return db_run(db, "endpoints_all", NULL, 0, &rows->endpoints);
}

static void free_rows(struct market_rows *rows)
{
    struct db_result **all[] = {&rows->revision, &rows->providers, &rows->models, &rows->prices,
                                &rows->endpoints};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        db_result_free(all[i]);
    }
}

static status build_market(const struct market_rows *rows, struct market *market)
{
    if (db_row_count(rows->revision) != 1) return FAIL(MALFORMED);
    market->revision = (uint64_t)db_i64(rows->revision, 0, 0);
    TRY(take_providers(rows->providers, market));
    TRY(take_models(rows->models, market));
    TRY(take_prices(rows->prices, market->prices, &market->price_count));
    return take_endpoints(rows->endpoints, market);
}

static uint32_t number_at(const struct db_result *rows, size_t row, size_t column)
{
    return (uint32_t)db_i64(rows, row, column);
}

/* Which column goes where; the end is a row without a text. */
struct text_column {
    size_t column;
    slice *text;
};

static status take_texts(struct market *market, const struct db_result *rows, size_t row,
                         const struct text_column *columns)
{
    for (; columns->text != NULL; columns++)
        TRY(market_copy(market, db_text(rows, row, columns->column), columns->text));
    return OK;
}

static status take_providers(const struct db_result *rows, struct market *market)
{
    for (size_t row = 0; row < db_row_count(rows); row++) {
        struct market_provider *provider = &market->providers[market->provider_count++];
        provider->id = number_at(rows, row, 0);
        TRY(market_dialect_of(db_text(rows, row, 3), &provider->dialect));
        provider->live = db_bool(rows, row, 5);
        provider->key_version = number_at(rows, row, 10);
        provider->margin_basis_points = number_at(rows, row, 14);
        TRY(market_copy(market, db_bytes(rows, row, 11), &provider->key_sealed));
        const struct text_column columns[] = {
            {1, &provider->slug},
            {2, &provider->name},
            {4, &provider->base_url},
            {6, &provider->headquarters},
            {7, &provider->privacy_policy_url},
            {8, &provider->terms_of_service_url},
            {9, &provider->status_page_url},
            {12, &provider->key_label},
            {13, &provider->base_url_override},
            {0, NULL},
        };
        TRY(take_texts(market, rows, row, columns));
    }
    return OK;
}

static status take_models(const struct db_result *rows, struct market *market)
{
    for (size_t row = 0; row < db_row_count(rows); row++) {
        struct market_model *model = &market->models[market->model_count++];
        model->id = number_at(rows, row, 0);
        model->created = db_i64(rows, row, 4);
        model->context_length = number_at(rows, row, 5);
        model->output_max = number_at(rows, row, 6);
        const struct text_column columns[] = {
            {1, &model->slug},
            {2, &model->name},
            {3, &model->description},
            {7, &model->input_modalities},
            {8, &model->output_modalities},
            {9, &model->tokenizer},
            {10, &model->supported_parameters},
            {11, &model->knowledge_cutoff},
            {12, &model->deprecation_date},
            {0, NULL},
        };
        TRY(take_texts(market, rows, row, columns));
    }
    return OK;
}

/* One row per tier; a new price begins where the id changes. The classes stand in the order of the
 * columns. */
static status take_prices(const struct db_result *rows, struct price_row *prices, uint32_t *count)
{
    struct price_row *found = NULL;
    for (size_t row = 0; row < db_row_count(rows); row++) {
        uint32_t id = number_at(rows, row, 0);
        if (found == NULL || found->id != id) {
            found = &prices[(*count)++];
            found->id = id;
            found->list = number_at(rows, row, 2 + BILLING_CLASS_COUNT);
        }
        if (found->tier_count == BILLING_TIERS_MAX) {
            log_error("price_has_too_many_tiers", FN(number, price, id));
            return FAIL(MALFORMED);
        }
        struct price_tier *tier = &found->tiers[found->tier_count++];
        tier->above_prompt_tokens = number_at(rows, row, 1);
        for (size_t i = 0; i < BILLING_CLASS_COUNT; i++)
            tier->prices[i] = (price){db_i64(rows, row, 2 + i)};
    }
    return OK;
}

static status take_endpoint(const struct db_result *rows, size_t row, struct market *market,
                            const struct market_model *model)
{
    struct market_endpoint *endpoint = &market->endpoints[market->endpoint_count++];
    endpoint->id = number_at(rows, row, 0);
    endpoint->model = model;
    endpoint->provider = market_provider_by_id(market, number_at(rows, row, 2));
    endpoint->price = market_find_price(market, number_at(rows, row, 3));
    endpoint->margin_basis_points = number_at(rows, row, 12);
    endpoint->context_length = number_at(rows, row, 8);
    endpoint->output_max = number_at(rows, row, 9);
    endpoint->disabled = db_bool(rows, row, 10);
    endpoint->responses_only = db_bool(rows, row, 11);
    if (endpoint->provider == NULL) return FAIL(MALFORMED);
    const struct text_column columns[] = {
        {4, &endpoint->price_source}, {5, &endpoint->tag}, {6, &endpoint->upstream_model},
        {7, &endpoint->quantization}, {0, NULL},
    };
    return take_texts(market, rows, row, columns);
}

/* Rows and models come in the same order, so one look at each is enough. */
static status take_endpoints(const struct db_result *rows, struct market *market)
{
    uint32_t model = 0;
    for (size_t row = 0; row < db_row_count(rows); row++) {
        while (model < market->model_count && market->models[model].id != number_at(rows, row, 1))
            model++;
        if (model == market->model_count) return FAIL(MALFORMED);
        TRY(take_endpoint(rows, row, market, &market->models[model]));
    }
    return OK;
}

/* ---- changes --------------------------------------------------------------------------------- */

static status take_id(struct db_result *result, uint32_t *id)
{
    if (db_row_count(result) != 1) return FAIL(NOT_FOUND);
    *id = (uint32_t)db_i64(result, 0, 0);
    return OK;
}

static status run_provider(struct db *db, const char *statement,
                           const struct provider_facts *provider, uint32_t *id)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, statement, &result, DB_P_TEXT(provider->slug), DB_P_TEXT(provider->name),
            DB_P_TEXT(slice_of(market_dialect_name(provider->dialect))),
            DB_P_TEXT(provider->base_url), DB_P_TEXT(provider->headquarters),
            DB_P_TEXT(provider->privacy_policy_url), DB_P_TEXT(provider->terms_of_service_url),
            DB_P_TEXT(provider->status_page_url)));
    return take_id(result, id);
}

status store_insert_provider(struct db *db, const struct provider_facts *provider, uint32_t *id)
{
    return run_provider(db, "provider_insert", provider, id);
}

status store_update_provider(struct db *db, const struct provider_facts *provider)
{
    uint32_t id;
    return run_provider(db, "provider_update", provider, &id);
}

static status run_model(struct db *db, const char *statement, const struct model_facts *model,
                        slice source_date, uint32_t *id)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, statement, &result, DB_P_TEXT(model->slug), DB_P_TEXT(model->name),
            DB_P_TEXT(model->description), DB_P_I64(model->created),
            DB_P_I64(model->context_length), DB_P_I64(model->output_max),
            DB_P_TEXT(model->input_modalities), DB_P_TEXT(model->output_modalities),
            DB_P_TEXT(model->tokenizer), DB_P_TEXT(model->supported_parameters),
            DB_P_TEXT(model->knowledge_cutoff), DB_P_TEXT(model->deprecation_date),
            DB_P_TEXT(source_date)));
    return take_id(result, id);
}

status store_insert_model(struct db *db, const struct model_facts *model, slice source_date,
                          uint32_t *id)
{
    return run_model(db, "model_insert", model, source_date, id);
}

status store_update_model(struct db *db, const struct model_facts *model, slice source_date)
{
    uint32_t id;
    return run_model(db, "model_update", model, source_date, &id);
}

status store_read_price(struct db *db, uint32_t id, struct price_row *row)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    uint32_t count = 0;
    *row = (struct price_row){0};
    TRY(RUN(db, "price_read", &result, DB_P_I64(id)));
    TRY(take_prices(result, row, &count));
    return count == 1 ? OK : FAIL(NOT_FOUND);
}

static status insert_tier(struct db *db, uint32_t price_id, const struct price_tier *tier)
{
    struct db_param params[2 + BILLING_CLASS_COUNT] = {DB_P_I64(price_id),
                                                       DB_P_I64(tier->above_prompt_tokens)};
    for (size_t i = 0; i < BILLING_CLASS_COUNT; i++)
        params[2 + i] = DB_P_I64(tier->prices[i].nano_per_million);
    return db_run(db, "price_tier_insert", params, 2 + BILLING_CLASS_COUNT, NULL);
}

static status insert_tiers(struct db *db, uint32_t price_id, const struct price_row *row)
{
    for (uint8_t i = 0; i < row->tier_count; i++)
        TRY(insert_tier(db, price_id, &row->tiers[i]));
    return OK;
}

status store_insert_price(struct db *db, const struct store_price *new_price, uint32_t *id)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, "price_insert", &result, DB_P_I64(new_price->model), DB_P_I64(new_price->provider),
            DB_P_TEXT(slice_of(new_price->source)), DB_P_TEXT(new_price->source_date)));
    TRY(take_id(result, id));
    return insert_tiers(db, *id, new_price->row);
}

status store_add_margin(struct db *db, const struct price_row *list, uint32_t basis_points,
                        uint32_t *id)
{
    struct price_row marked;
    *id = list->id;
    if (basis_points == 0) return OK;
    TRY(billing_with_margin(list, basis_points, &marked));
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, "price_insert_marked", &result, DB_P_I64(list->id), DB_P_I64(basis_points)));
    TRY(take_id(result, id));
    return insert_tiers(db, *id, &marked);
}

status store_insert_endpoint(struct db *db, const struct endpoint_facts *endpoint,
                             const struct store_endpoint *place, uint32_t *id)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, "endpoint_insert", &result, DB_P_I64(place->model), DB_P_I64(place->provider),
            DB_P_TEXT(endpoint->tag), DB_P_TEXT(endpoint->upstream_model),
            DB_P_I64(endpoint->context_length), DB_P_I64(endpoint->output_max),
            DB_P_TEXT(endpoint->quantization), DB_P_I64(place->price),
            DB_P_BOOL(endpoint->responses_only), DB_P_I64(place->margin_basis_points)));
    return take_id(result, id);
}

status store_update_endpoint(struct db *db, const struct endpoint_facts *endpoint, uint32_t id)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, "endpoint_update", &result, DB_P_I64(id), DB_P_TEXT(endpoint->upstream_model),
            DB_P_I64(endpoint->context_length), DB_P_I64(endpoint->output_max),
            DB_P_TEXT(endpoint->quantization), DB_P_BOOL(endpoint->responses_only)));
    return take_id(result, &id);
}

status store_set_price(struct db *db, uint32_t endpoint, uint32_t price_id)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, "endpoint_set_price", &result, DB_P_I64(endpoint), DB_P_I64(price_id)));
    return take_id(result, &endpoint);
}

status store_set_margin(struct db *db, uint32_t endpoint, uint32_t basis_points)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, "endpoint_set_margin", &result, DB_P_I64(endpoint), DB_P_I64(basis_points)));
    return take_id(result, &endpoint);
}

status store_set_provider_margin(struct db *db, uint32_t provider, uint32_t basis_points)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, "provider_set_margin", &result, DB_P_I64(provider), DB_P_I64(basis_points)));
    return take_id(result, &provider);
}

status store_find_list_price(struct db *db, uint32_t model, uint32_t provider, uint32_t *id)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, "price_find_list", &result, DB_P_I64(model), DB_P_I64(provider)));
    return take_id(result, id);
}

status store_set_disabled(struct db *db, uint32_t endpoint, bool disabled, bool *changed)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, "endpoint_set_disabled", &result, DB_P_I64(endpoint), DB_P_BOOL(disabled)));
    *changed = db_row_count(result) == 1;
    return OK;
}

status store_set_live(struct db *db, slice provider, bool live, slice base_url_override)
{
    uint32_t id;
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(RUN(db, "provider_set_live", &result, DB_P_TEXT(provider), DB_P_BOOL(live),
            DB_P_TEXT(base_url_override)));
    return take_id(result, &id);
}

status store_put_key(struct db *db, uint32_t provider, uint32_t version, slice sealed, slice label)
{
    return RUN(db, "provider_key_put", NULL, DB_P_I64(provider), DB_P_I64(version),
               DB_P_BYTES(sealed), DB_P_TEXT(label));
}

static status notify(struct db *db, slice channel, uint64_t number)
{
    char memory[24];
    struct buffer text;
    buffer_init_fixed(&text, memory, sizeof(memory));
    buffer_append_u64(&text, number);
    return RUN(db, "notify", NULL, DB_P_TEXT(channel), DB_P_TEXT(buffer_slice(&text)));
}

status store_raise_revision(struct db *db, bool prices_changed, uint64_t *revision)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(db, "market_raise", NULL, 0, &result));
    if (db_row_count(result) != 1) return FAIL(MALFORMED);
    *revision = (uint64_t)db_i64(result, 0, 0);
    if (prices_changed) TRY(notify(db, SLICE("price"), *revision));
    return notify(db, SLICE("market"), *revision);
}
