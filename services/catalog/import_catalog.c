/* SPDX-License-Identifier: Apache-2.0 */
/* From JSON to facts, top down: file, provider, model, endpoint, prices. The fields of a text kind
 * stand in tables; a fault's message names the object and the field. */
#include "services/catalog/import_catalog.h"

#include "services/catalog/market.h"
#include "shared/array.h"

#define CATALOG_FORMAT  SLICE("bourse-catalog-1")
#define PROVIDERS_MAX   1000
#define MODELS_MAX      20000
#define ENDPOINTS_MAX   64                    /* of one model */
#define CREATED_MAX     ((int64_t)4102444800) /* the year 2100 */
#define DROPPED_MAX     20000
#define DESCRIPTION_MAX 4000
#define JOINED_MAX      2000

/* Where a text goes and what it may be. */
struct text_field {
    slice name;
    size_t offset;
    size_t len_max;
    bool may_be_null; /* or absent: empty then */
};
#define TEXT_FIELD(type, member, json_name, max, null)                               \
    {                                                                                \
        {json_name, sizeof(json_name) - 1}, offsetof(struct type, member), max, null \
    }

static const struct text_field provider_fields[] = {
    TEXT_FIELD(provider_facts, slug, "id", 63, false),
    TEXT_FIELD(provider_facts, name, "name", 96, false),
    TEXT_FIELD(provider_facts, base_url, "base_url", 256, false),
    TEXT_FIELD(provider_facts, headquarters, "headquarters", 2, true),
    TEXT_FIELD(provider_facts, privacy_policy_url, "privacy_policy_url", 256, true),
    TEXT_FIELD(provider_facts, terms_of_service_url, "terms_of_service_url", 256, true),
    TEXT_FIELD(provider_facts, status_page_url, "status_page_url", 256, true),
};
static const struct text_field model_fields[] = {
    TEXT_FIELD(model_facts, slug, "id", 160, false),
    TEXT_FIELD(model_facts, name, "name", 160, false),
    TEXT_FIELD(model_facts, description, "description", DESCRIPTION_MAX, true),
    TEXT_FIELD(model_facts, tokenizer, "tokenizer", 32, false),
    TEXT_FIELD(model_facts, knowledge_cutoff, "knowledge_cutoff", 10, true),
    TEXT_FIELD(model_facts, deprecation_date, "deprecation_date", 10, true),
};
static const struct text_field endpoint_fields[] = {
    TEXT_FIELD(endpoint_facts, provider, "provider", 63, false),
    TEXT_FIELD(endpoint_facts, upstream_model, "upstream_model", 192, false),
    TEXT_FIELD(endpoint_facts, quantization, "quantization", 16, false),
};

/* What is being read, for messages. */
struct reading {
    struct arena *arena;
    struct facts *facts;
    slice what; /* "provider openai", "model openai/gpt-4o" */
    slice *message;
};

static status read_texts(struct reading *reading, struct json_value object,
                         const struct text_field *fields, size_t count, void *out);
static status read_model(struct reading *reading, struct json_value object);
static status read_endpoint(struct reading *reading, struct json_value object, uint32_t model);
static status read_tier(struct reading *reading, struct json_value object,
                        struct named_prices *tier);

/* Says what is wrong: "model openai/gpt-4o: created: must be …". */
static status fault(struct reading *reading, status failure, slice field, slice what)
{
    struct buffer text;
    char memory[512];
    buffer_init_fixed(&text, memory, sizeof(memory));
    buffer_append(&text, slice_first(reading->what, 200));
    if (reading->what.len > 0) buffer_append(&text, SLICE(": "));
    buffer_append(&text, slice_first(field, 64));
    if (field.len > 0) buffer_append(&text, SLICE(": "));
    buffer_append(&text, what);
    slice message = arena_copy(reading->arena, buffer_slice(&text));
    *reading->message = message.data == NULL ? SLICE("The file is not valid.") : message;
    return failure;
}

static void name_reading(struct reading *reading, slice kind, slice name)
{
    struct buffer text;
    char memory[256];
    buffer_init_fixed(&text, memory, sizeof(memory));
    buffer_append(&text, kind);
    buffer_append(&text, name);
    reading->what = arena_copy(reading->arena, buffer_slice(&text));
    if (reading->what.data == NULL) reading->what = kind;
}

/* ---- the file -------------------------------------------------------------------------------- */

static uint32_t count_endpoints(struct json_value models)
{
    uint32_t count = 0;
    for (struct json_iterator i = json_iterate(models); json_next(&i);)
        count += json_count(json_get(i.value, SLICE("endpoints")));
    return count;
}

static status make_room(struct reading *reading, struct json_value providers,
                        struct json_value models)
{
    struct facts *facts = reading->facts;
    struct arena *arena = reading->arena;
    if (json_count(providers) > PROVIDERS_MAX || json_count(models) > MODELS_MAX)
        return fault(reading, FAIL(TOO_LARGE), SLICE_NONE,
                     SLICE("more than 1,000 providers or 20,000 models"));
    facts->providers = arena_alloc_array(arena, json_count(providers), sizeof(facts->providers[0]));
    facts->models = arena_alloc_array(arena, json_count(models), sizeof(facts->models[0]));
    facts->endpoints =
        arena_alloc_array(arena, count_endpoints(models), sizeof(facts->endpoints[0]));
    facts->dropped = arena_alloc_array(arena, DROPPED_MAX, sizeof(facts->dropped[0]));
    facts->dropped_max = DROPPED_MAX;
    return facts->providers == NULL || facts->models == NULL || facts->endpoints == NULL ||
                   facts->dropped == NULL
               ? FAIL(TOO_LARGE)
               : OK;
}

status import_catalog_read(struct json_value root, struct arena *arena, struct facts *facts,
                           slice *message)
{
    *facts = (struct facts){.kind = FACTS_CATALOG};
    struct reading reading = {.arena = arena, .facts = facts, .message = message};
    if (!json_string_equal(json_get(root, SLICE("format")), CATALOG_FORMAT))
        return fault(&reading, FAIL(BAD_REQUEST), SLICE("format"),
                     SLICE("must be \"bourse-catalog-1\"; for a price map use catalog import"));
    if (!status_ok(json_read_string(json_get(root, SLICE("date")), arena, &facts->source_date)) ||
        !facts_date_valid(facts->source_date)) {
        return fault(&reading, FAIL(BAD_REQUEST), SLICE("date"), SLICE("must be YYYY-MM-DD"));
    }
    struct json_value providers = json_get(root, SLICE("providers"));
    struct json_value models = json_get(root, SLICE("models"));
    if (json_kind_of(providers) != JSON_ARRAY || json_kind_of(models) != JSON_ARRAY)
        return fault(&reading, FAIL(MISSING_FIELD), SLICE_NONE,
                     SLICE("the arrays providers and models are needed"));
    TRY(make_room(&reading, providers, models));
    for (struct json_iterator i = json_iterate(providers); json_next(&i);) {
        struct provider_facts *provider = &facts->providers[facts->provider_count];
        TRY(import_provider_read(i.value, arena, provider, message));
        facts->provider_count++;
    }
    for (struct json_iterator i = json_iterate(models); json_next(&i);)
        TRY(read_model(&reading, i.value));
    return OK;
}

static status read_texts(struct reading *reading, struct json_value object,
                         const struct text_field *fields, size_t count, void *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct text_field *field = &fields[i];
        struct json_value value = json_get(object, field->name);
        slice *text = (slice *)(void *)((char *)out + field->offset);
        *text = SLICE_NONE;
        if (field->may_be_null && json_kind_of(value) == JSON_NULL) continue;
        if (!status_ok(json_read_string(value, reading->arena, text)))
            return fault(reading, FAIL(WRONG_TYPE), field->name, SLICE("must be a string"));
        if (text->len == 0 && field->may_be_null) continue;
        if (!facts_text_valid(*text, field->len_max))
            return fault(reading, FAIL(OUT_OF_RANGE), field->name,
                         SLICE("is empty, too long or holds control characters"));
    }
    return OK;
}

/* ---- providers ------------------------------------------------------------------------------- */

static bool provider_slug_valid(slice slug)
{
    for (size_t i = 0; i < slug.len; i++) {
        char c = slug.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (c != '-' || i == 0)) return false;
    }
    return slug.len > 0;
}

status import_provider_read(struct json_value object, struct arena *arena,
                            struct provider_facts *provider, slice *message)
{
    struct reading reading = {.arena = arena, .message = message, .what = SLICE("provider")};
    slice dialect;
    TRY(read_texts(&reading, object, provider_fields, COUNT_OF(provider_fields), provider));
    name_reading(&reading, SLICE("provider "), provider->slug);
    if (!provider_slug_valid(provider->slug))
        return fault(&reading, FAIL(BAD_REQUEST), SLICE("id"),
                     SLICE("takes lower-case letters, digits and hyphens"));
    if (!facts_base_url_valid(provider->base_url)) {
        return fault(&reading, FAIL(BAD_REQUEST), SLICE("base_url"),
                     SLICE("must begin with https:// or http:// and name a host, perhaps a port "
                           "and a path"));
    }
    if (!status_ok(json_read_string(json_get(object, SLICE("dialect")), arena, &dialect)) ||
        !status_ok(market_dialect_of(dialect, &provider->dialect))) {
        return fault(&reading, FAIL(BAD_REQUEST), SLICE("dialect"),
                     SLICE("must be openai, anthropic, gemini, bedrock or cohere"));
    }
    return OK;
}

/* ---- models ---------------------------------------------------------------------------------- */

/* A count of tokens; null where allowed is 0. PostgreSQL's integer ends at 2^31 - 1. */
static status read_count(struct reading *reading, struct json_value object, slice name,
                         bool may_be_null, uint32_t *count)
{
    struct json_value value = json_get(object, name);
    *count = 0;
    if (may_be_null && json_kind_of(value) == JSON_NULL) return OK;
    if (!status_ok(json_read_u32(value, count)) || *count == 0 || *count > INT32_MAX)
        return fault(reading, FAIL(OUT_OF_RANGE), name, SLICE("must be a whole number above 0"));
    return OK;
}

/* ["text","image"] → "text,image". Items are names, so a comma cannot be part of one. */
static status read_joined(struct reading *reading, struct json_value object, slice name,
                          slice *joined)
{
    char memory[JOINED_MAX];
    struct buffer text;
    buffer_init_fixed(&text, memory, sizeof(memory));
    struct json_value array = json_get(object, name);
    if (json_kind_of(array) != JSON_ARRAY)
        return fault(reading, FAIL(WRONG_TYPE), name, SLICE("must be an array of names"));
    for (struct json_iterator i = json_iterate(array); json_next(&i);) {
        slice item;
        if (!status_ok(json_read_string(i.value, reading->arena, &item)) ||
            !facts_text_valid(item, 64) || memchr(item.data, ',', item.len) != NULL) {
            return fault(reading, FAIL(WRONG_TYPE), name, SLICE("must be an array of names"));
        }
        if (text.len > 0) buffer_append_char(&text, ',');
        buffer_append(&text, item);
    }
    if (!status_ok(buffer_finish(&text)))
        return fault(reading, FAIL(TOO_LARGE), name, SLICE("too many names"));
    *joined = arena_copy(reading->arena, buffer_slice(&text));
    return joined->data == NULL ? FAIL(TOO_LARGE) : OK;
}

static status read_model(struct reading *reading, struct json_value object)
{
    struct facts *facts = reading->facts;
    struct model_facts *model = &facts->models[facts->model_count];
    reading->what = SLICE("model");
    TRY(read_texts(reading, object, model_fields, COUNT_OF(model_fields), model));
    name_reading(reading, SLICE("model "), model->slug);
    if (!facts_slug_valid(model->slug))
        return fault(reading, FAIL(BAD_REQUEST), SLICE("id"),
                     SLICE("must be author/slug in lower case"));
    if (model->deprecation_date.len > 0 && !facts_date_valid(model->deprecation_date))
        return fault(reading, FAIL(BAD_REQUEST), SLICE("deprecation_date"),
                     SLICE("must be YYYY-MM-DD or null"));
    if (!status_ok(json_read_i64(json_get(object, SLICE("created")), &model->created)) ||
        model->created < 0 || model->created > CREATED_MAX) {
        return fault(reading, FAIL(OUT_OF_RANGE), SLICE("created"), SLICE("must be Unix seconds"));
    }
    TRY(read_count(reading, object, SLICE("context_length"), false, &model->context_length));
    TRY(read_count(reading, object, SLICE("max_output"), true, &model->output_max));
    TRY(read_joined(reading, object, SLICE("input_modalities"), &model->input_modalities));
    TRY(read_joined(reading, object, SLICE("output_modalities"), &model->output_modalities));
    TRY(read_joined(reading, object, SLICE("supported_parameters"), &model->supported_parameters));
    struct json_value endpoints = json_get(object, SLICE("endpoints"));
    if (json_kind_of(endpoints) != JSON_ARRAY || json_count(endpoints) > ENDPOINTS_MAX)
        return fault(reading, FAIL(WRONG_TYPE), SLICE("endpoints"),
                     SLICE("must be an array of at most 64"));
    uint32_t index = facts->model_count++;
    for (struct json_iterator i = json_iterate(endpoints); json_next(&i);)
        TRY(read_endpoint(reading, i.value, index));
    return OK;
}

static status read_endpoint(struct reading *reading, struct json_value object, uint32_t model)
{
    struct facts *facts = reading->facts;
    slice slug = facts->models[model].slug;
    struct endpoint_facts *endpoint = &facts->endpoints[facts->endpoint_count];
    *endpoint = (struct endpoint_facts){.model = model, .source_name = slug};
    TRY(read_texts(reading, object, endpoint_fields, COUNT_OF(endpoint_fields), endpoint));
    endpoint->tag = endpoint->provider;
    TRY(read_count(reading, object, SLICE("context_length"), false, &endpoint->context_length));
    TRY(read_count(reading, object, SLICE("max_output"), true, &endpoint->output_max));
    struct json_value responses_only = json_get(object, SLICE("responses_only"));
    if (json_exists(responses_only) &&
        !status_ok(json_read_bool(responses_only, &endpoint->responses_only)))
        return fault(reading, FAIL(WRONG_TYPE), SLICE("responses_only"),
                     SLICE("must be true or false"));
    status priced =
        import_prices_read(json_get(object, SLICE("prices")), json_get(object, SLICE("tiers")),
                           reading->arena, &endpoint->price, reading->message);
    if (!status_ok(priced)) return fault(reading, priced, SLICE_NONE, *reading->message);
    endpoint->has_price = true;
    if (facts_wrong_unit(&endpoint->price)) {
        endpoint->has_price = false;
        facts_drop(facts, slug, SLICE("the price is implausibly high: a wrong unit"));
    } else if (facts_no_charge(&endpoint->price) && !facts_is_free(slug, &endpoint->price)) {
        endpoint->has_price = false;
        facts_drop(facts, slug, SLICE("the price is zero, which is unknown rather than free"));
    }
    facts->endpoint_count++;
    return OK;
}

/* ---- prices ---------------------------------------------------------------------------------- */

static status price_class_of(slice name, enum billing_class *class)
{
    for (size_t i = 0; i < BILLING_CLASS_COUNT; i++) {
        if (!slice_equal(name, slice_of(billing_class_name((enum billing_class)i)))) continue;
        *class = (enum billing_class)i;
        return OK;
    }
    return FAIL(BAD_REQUEST);
}

static status read_tier(struct reading *reading, struct json_value object,
                        struct named_prices *tier)
{
    for (struct json_iterator i = json_iterate(object); json_next(&i);) {
        slice name;
        slice digits;
        enum billing_class class;
        TRY(json_read_string(i.key, reading->arena, &name));
        if (slice_equal(name, SLICE("above_prompt_tokens"))) continue;
        if (!status_ok(price_class_of(name, &class)))
            return fault(reading, FAIL(BAD_REQUEST), name, SLICE("is no class of prices"));
        if (!status_ok(json_read_string(i.value, reading->arena, &digits)))
            return fault(reading, FAIL(WRONG_TYPE), name,
                         SLICE("a price is a string of dollars per unit"));
        if (!status_ok(price_parse_dollars_per_unit(digits, &tier->prices[class])))
            return fault(reading, FAIL(OUT_OF_RANGE), name,
                         SLICE("must be a decimal with at most 15 digits behind the point"));
        tier->named[class] = true;
    }
    return OK;
}

static status read_later_tiers(struct reading *reading, struct json_value array,
                               struct named_prices tiers[BILLING_TIERS_MAX], size_t *count)
{
    for (struct json_iterator i = json_iterate(array); json_next(&i);) {
        if (*count == BILLING_TIERS_MAX)
            return fault(reading, FAIL(OUT_OF_RANGE), SLICE("tiers"),
                         SLICE("at most 3 besides the base"));
        struct named_prices *tier = &tiers[*count];
        TRY(read_count(reading, i.value, SLICE("above_prompt_tokens"), false,
                       &tier->above_prompt_tokens));
        TRY(read_tier(reading, i.value, tier));
        (*count)++;
    }
    return OK;
}

status import_prices_read(struct json_value prices, struct json_value tiers, struct arena *arena,
                          struct price_row *row, slice *message)
{
    struct reading reading = {.arena = arena, .message = message, .what = SLICE("prices")};
    struct named_prices named[BILLING_TIERS_MAX] = {0};
    size_t count = 1;
    if (json_kind_of(prices) != JSON_OBJECT)
        return fault(&reading, FAIL(MISSING_FIELD), SLICE_NONE, SLICE("must be an object"));
    TRY(read_tier(&reading, prices, &named[0]));
    if (json_exists(tiers) && json_kind_of(tiers) != JSON_ARRAY)
        return fault(&reading, FAIL(WRONG_TYPE), SLICE("tiers"), SLICE("must be an array"));
    TRY(read_later_tiers(&reading, tiers, named, &count));
    status filled = facts_fill_prices(named, count, row);
    if (filled.code == ERROR_MISSING_FIELD)
        return fault(&reading, filled, SLICE_NONE, SLICE("prompt and completion are needed"));
    if (!status_ok(filled))
        return fault(&reading, filled, SLICE("tiers"), SLICE("must ascend by above_prompt_tokens"));
    return OK;
}
