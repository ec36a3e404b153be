/* SPDX-License-Identifier: Apache-2.0 */
/* One writer for each shape. A model's JSON is written once per revision and spliced into every
 * list that shows it. */
#include "services/catalog/render.h"

#define DETAILS_PATH SLICE("/api/v1/models/")

static void render_model(struct json_writer *w, const struct market_model *model);
static void render_architecture(struct json_writer *w, const struct market_model *model);
static void render_endpoint(struct json_writer *w, const struct market_endpoint *endpoint,
                            struct health *health, uint64_t now_ms);
static void render_joined(struct json_writer *w, slice name, slice joined);

/* ---- the whole market ------------------------------------------------------------------------ */

status render_market(struct market *market)
{
    for (uint32_t i = 0; i < market->model_count; i++) {
        struct market_model *model = &market->models[i];
        if (model->cheapest == NULL) continue;
        struct json_writer w;
        json_write_init(&w, &market->json);
        size_t start = market->json.len;
        render_model(&w, model);
        model->json.len = market->json.len - start;
    }
    TRY(buffer_finish(&market->json));
    /* Only now does the buffer stay where it is. */
    size_t offset = 0;
    struct json_writer w;
    json_write_init(&w, &market->list);
    render_list_begin(&w);
    for (uint32_t i = 0; i < market->model_count; i++) {
        struct market_model *model = &market->models[i];
        if (model->cheapest == NULL) continue;
        model->json.data = market->json.data + offset;
        offset += model->json.len;
        json_raw_value(&w, model->json);
    }
    render_list_end(
        &w, &(struct render_page){.total_count = market->models_for_sale, .next = SLICE_NONE});
    return buffer_finish(&market->list);
}

void render_list_begin(struct json_writer *w)
{
    json_object_begin(w);
    json_key_string(w, SLICE("object"), SLICE("list"));
    json_key(w, SLICE("data"));
    json_array_begin(w);
}

void render_list_end(struct json_writer *w, const struct render_page *page)
{
    json_array_end(w);
    json_key_u64(w, SLICE("total_count"), page->total_count);
    json_key(w, SLICE("links"));
    json_object_begin(w);
    json_key_string_or_null(w, SLICE("next"), page->next);
    json_object_end(w);
    json_object_end(w);
}

/* ---- one model ------------------------------------------------------------------------------- */

/* 0 stands for "not known". */
static void render_count_or_null(struct json_writer *w, slice name, uint32_t value)
{
    if (value == 0) {
        json_key_null(w, name);
    } else {
        json_key_u64(w, name, value);
    }
}

static void render_model(struct json_writer *w, const struct market_model *model)
{
    slice author;
    slice rest;
    (void)slice_split(model->slug, '/', &author, &rest);
    json_object_begin(w);
    json_key_string(w, SLICE("id"), model->slug);
    json_key_string(w, SLICE("canonical_slug"), model->slug);
    json_key_string(w, SLICE("object"), SLICE("model"));
    json_key_string(w, SLICE("owned_by"), author);
    json_key_string(w, SLICE("name"), model->name);
    json_key_i64(w, SLICE("created"), model->created);
    json_key_string(w, SLICE("description"), model->description);
    json_key_u64(w, SLICE("context_length"), model->context_length);
    render_architecture(w, model);
    json_key(w, SLICE("pricing"));
    render_pricing(w, model->cheapest->price);
    json_key(w, SLICE("top_provider"));
    json_object_begin(w);
    json_key_u64(w, SLICE("context_length"), model->cheapest->context_length);
    render_count_or_null(w, SLICE("max_completion_tokens"), model->cheapest->output_max);
    json_key_bool(w, SLICE("is_moderated"), false);
    json_object_end(w);
    json_key_null(w, SLICE("per_request_limits"));
    render_joined(w, SLICE("supported_parameters"), model->supported_parameters);
    json_key_null(w, SLICE("default_parameters"));
    json_key_null(w, SLICE("supported_voices"));
    json_key_string_or_null(w, SLICE("knowledge_cutoff"), model->knowledge_cutoff);
    json_key_string_or_null(w, SLICE("expiration_date"), model->deprecation_date);
    json_key_null(w, SLICE("hugging_face_id"));
    json_key(w, SLICE("links"));
    json_object_begin(w);
    char path[256]; /* a slug is at most 160 bytes */
    struct buffer details;
    buffer_init_fixed(&details, path, sizeof(path));
    buffer_append(&details, DETAILS_PATH);
    buffer_append(&details, model->slug);
    buffer_append(&details, SLICE("/endpoints"));
    json_key_string(w, SLICE("details"), buffer_slice(&details));
    json_object_end(w);
    json_object_end(w);
}

static void append_plus_joined(struct buffer *out, slice joined)
{
    while (joined.len > 0) {
        slice name;
        bool more = slice_split(joined, ',', &name, &joined);
        buffer_append(out, name);
        if (more) buffer_append_char(out, '+');
    }
}

/* modality: "text+image->text". */
static void render_architecture(struct json_writer *w, const struct market_model *model)
{
    char memory[256];
    struct buffer modality;
    buffer_init_fixed(&modality, memory, sizeof(memory));
    append_plus_joined(&modality, model->input_modalities);
    buffer_append(&modality, SLICE("->"));
    append_plus_joined(&modality, model->output_modalities);
    json_key(w, SLICE("architecture"));
    json_object_begin(w);
    json_key_string(w, SLICE("modality"), buffer_slice(&modality));
    render_joined(w, SLICE("input_modalities"), model->input_modalities);
    render_joined(w, SLICE("output_modalities"), model->output_modalities);
    json_key_string(w, SLICE("tokenizer"), model->tokenizer);
    json_key_null(w, SLICE("instruct_type"));
    json_object_end(w);
}

static void render_joined(struct json_writer *w, slice name, slice joined)
{
    json_key(w, name);
    json_array_begin(w);
    while (joined.len > 0) {
        slice item;
        (void)slice_split(joined, ',', &item, &joined);
        json_string(w, item);
    }
    json_array_end(w);
}

/* ---- prices ---------------------------------------------------------------------------------- */

/* Public names of the classes. A class is shown when its price is not that of `follows`, or,
 * following nothing, not 0. */
static const struct {
    const char *name;
    enum billing_class class;
    enum billing_class follows; /* itself: nothing */
} price_names[] = {
    {"request", BILLING_request, BILLING_request},
    {"image", BILLING_image_in, BILLING_image_in},
    {"image_output", BILLING_image_out, BILLING_image_out},
    {"web_search", BILLING_web_search, BILLING_web_search},
    {"internal_reasoning", BILLING_reasoning, BILLING_completion},
    {"input_cache_read", BILLING_cache_read, BILLING_prompt},
    {"input_cache_write", BILLING_cache_write, BILLING_prompt},
    {"input_cache_write_1h", BILLING_cache_write_1h, BILLING_cache_write},
    {"audio", BILLING_audio_in, BILLING_prompt},
    {"audio_output", BILLING_audio_out, BILLING_completion},
};
#define PRICE_NAME_COUNT (sizeof(price_names) / sizeof(price_names[0]))

static void render_price(struct json_writer *w, const char *name, price value)
{
    json_key(w, slice_of(name));
    json_price_string(w, value);
}

static bool same_price(price a, price b)
{
    return a.nano_per_million == b.nano_per_million;
}

static void render_override(struct json_writer *w, const struct price_tier *base,
                            const struct price_tier *tier)
{
    json_object_begin(w);
    json_key_u64(w, SLICE("min_prompt_tokens"), tier->above_prompt_tokens);
    render_price(w, "prompt", tier->prices[BILLING_prompt]);
    render_price(w, "completion", tier->prices[BILLING_completion]);
    /* Absent keys inherit the base's price, so what differs from it is named. */
    for (size_t i = 0; i < PRICE_NAME_COUNT; i++) {
        enum billing_class class = price_names[i].class;
        if (same_price(tier->prices[class], base->prices[class])) continue;
        render_price(w, price_names[i].name, tier->prices[class]);
    }
    json_object_end(w);
}

void render_pricing(struct json_writer *w, const struct price_row *row)
{
    if (row == NULL) {
        json_null(w);
        return;
    }
    const struct price_tier *base = &row->tiers[0];
    json_object_begin(w);
    render_price(w, "prompt", base->prices[BILLING_prompt]);
    render_price(w, "completion", base->prices[BILLING_completion]);
    for (size_t i = 0; i < PRICE_NAME_COUNT; i++) {
        price value = base->prices[price_names[i].class];
        bool follows = price_names[i].follows != price_names[i].class;
        price usual = follows ? base->prices[price_names[i].follows] : (price){0};
        if (!same_price(value, usual)) render_price(w, price_names[i].name, value);
    }
    if (row->tier_count > 1) {
        json_key(w, SLICE("overrides"));
        json_array_begin(w);
        for (uint8_t i = 1; i < row->tier_count; i++)
            render_override(w, base, &row->tiers[i]);
        json_array_end(w);
    }
    json_object_end(w);
}

/* ---- endpoints and providers ----------------------------------------------------------------- */

void render_endpoints(struct json_writer *w, const struct market_model *model,
                      struct health *health, uint64_t now_ms)
{
    json_object_begin(w);
    json_key_string(w, SLICE("id"), model->slug);
    json_key_string(w, SLICE("name"), model->name);
    json_key_i64(w, SLICE("created"), model->created);
    json_key_string(w, SLICE("description"), model->description);
    render_architecture(w, model);
    json_key(w, SLICE("endpoints"));
    json_array_begin(w);
    for (uint32_t i = 0; i < model->endpoint_count; i++) {
        if (market_is_served(&model->endpoints[i]))
            render_endpoint(w, &model->endpoints[i], health, now_ms);
    }
    json_array_end(w);
    json_object_end(w);
}

/* Hundredths of a percent as a JSON number: 9995 → 99.95. */
static void render_percent_or_null(struct json_writer *w, slice name, int32_t hundredths)
{
    char memory[16];
    struct buffer number;
    if (hundredths < 0) {
        json_key_null(w, name);
        return;
    }
    buffer_init_fixed(&number, memory, sizeof(memory));
    buffer_append_i64(&number, hundredths / 100);
    if (hundredths % 100 != 0) {
        buffer_append_char(&number, '.');
        buffer_append_char(&number, (char)('0' + hundredths % 100 / 10));
        buffer_append_char(&number, (char)('0' + hundredths % 10));
    }
    json_key_raw(w, name, buffer_slice(&number));
}

static void render_percentiles_or_null(struct json_writer *w, slice name,
                                       const struct health_percentiles *percentiles)
{
    if (!percentiles->known) {
        json_key_null(w, name);
        return;
    }
    json_key(w, name);
    json_object_begin(w);
    json_key_u64(w, SLICE("p50"), percentiles->p50);
    json_key_u64(w, SLICE("p75"), percentiles->p75);
    json_key_u64(w, SLICE("p90"), percentiles->p90);
    json_key_u64(w, SLICE("p99"), percentiles->p99);
    json_object_end(w);
}

static bool joined_contains(slice joined, slice item)
{
    while (joined.len > 0) {
        slice name;
        (void)slice_split(joined, ',', &name, &joined);
        if (slice_equal(name, item)) return true;
    }
    return false;
}

static void render_tool_choice(struct json_writer *w, bool supported)
{
    json_key(w, SLICE("supports_tool_choice"));
    json_object_begin(w);
    json_key_bool(w, SLICE("auto"), supported);
    json_key_bool(w, SLICE("function"), supported);
    json_key_bool(w, SLICE("none"), supported);
    json_key_bool(w, SLICE("required"), supported);
    json_object_end(w);
}

/* "Provider | author/slug", as people know it from OpenRouter. */
static void render_endpoint_name(struct json_writer *w, const struct market_endpoint *endpoint)
{
    char memory[320]; /* 96 + 3 + 160 at most */
    struct buffer name;
    buffer_init_fixed(&name, memory, sizeof(memory));
    buffer_append(&name, endpoint->provider->name);
    buffer_append(&name, SLICE(" | "));
    buffer_append(&name, endpoint->model->slug);
    json_key_string(w, SLICE("name"), buffer_slice(&name));
}

static void render_health(struct json_writer *w, const struct health_view *view)
{
    static const int8_t public_status[] = {
        [HEALTH_STABLE] = 0, [HEALTH_DEGRADED] = -1, [HEALTH_DOWN] = -2};
    json_key_i64(w, SLICE("status"), public_status[view->state]);
    render_percent_or_null(w, SLICE("uptime_last_5m"), view->uptime_5m);
    render_percent_or_null(w, SLICE("uptime_last_30m"), view->uptime_30m);
    render_percent_or_null(w, SLICE("uptime_last_1d"), view->uptime_1d);
    render_percentiles_or_null(w, SLICE("latency_last_30m"), &view->latency_ms);
    render_percentiles_or_null(w, SLICE("throughput_last_30m"), &view->tokens_per_s);
}

static void render_endpoint(struct json_writer *w, const struct market_endpoint *endpoint,
                            struct health *health, uint64_t now_ms)
{
    const struct market_model *model = endpoint->model;
    const struct price_tier *base = &endpoint->price->tiers[0];
    struct health_view view;
    health_read(health, endpoint->id, now_ms, &view);
    json_object_begin(w);
    render_endpoint_name(w, endpoint);
    json_key_string(w, SLICE("tag"), endpoint->tag);
    json_key_string(w, SLICE("provider_name"), endpoint->provider->name);
    json_key_string(w, SLICE("model_id"), model->slug);
    json_key_string(w, SLICE("model_name"), model->name);
    json_key_u64(w, SLICE("context_length"), endpoint->context_length);
    render_count_or_null(w, SLICE("max_completion_tokens"), endpoint->output_max);
    json_key_null(w, SLICE("max_prompt_tokens"));
    json_key(w, SLICE("pricing"));
    render_pricing(w, endpoint->price);
    json_key_string(w, SLICE("quantization"), endpoint->quantization);
    render_joined(w, SLICE("supported_parameters"), model->supported_parameters);
    /* Cheaper reads without a price for writing: the provider caches by itself. */
    json_key_bool(w, SLICE("supports_implicit_caching"),
                  !same_price(base->prices[BILLING_cache_read], base->prices[BILLING_prompt]) &&
                      same_price(base->prices[BILLING_cache_write], base->prices[BILLING_prompt]));
    json_key_bool(w, SLICE("supports_voice_cloning"), false);
    render_tool_choice(w, joined_contains(model->supported_parameters, SLICE("tool_choice")));
    render_health(w, &view);
    json_object_end(w);
}

void render_provider(struct json_writer *w, const struct market_provider *provider)
{
    json_object_begin(w);
    json_key_string(w, SLICE("slug"), provider->slug);
    json_key_string(w, SLICE("name"), provider->name);
    json_key_string_or_null(w, SLICE("privacy_policy_url"), provider->privacy_policy_url);
    json_key_string_or_null(w, SLICE("terms_of_service_url"), provider->terms_of_service_url);
    json_key_string_or_null(w, SLICE("status_page_url"), provider->status_page_url);
    json_key_string_or_null(w, SLICE("headquarters"), provider->headquarters);
    json_key_null(w, SLICE("datacenters"));
    json_object_end(w);
}
