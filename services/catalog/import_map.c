/* SPDX-License-Identifier: Apache-2.0 */
/* Which entries of a price map concern us, under which names, and what they say about the model. An
 * entry becomes one model_facts and one endpoint_facts; whether they are known already is the
 * database's matter. The complication is that a map may name one endpoint twice, with and without a
 * prefix: the form that is usual for the provider wins, whatever their order. */
#include "services/catalog/import_map.h"

#include "shared/array.h"
#include "shared/clock.h"

#define ENTRIES_MAX 100000
#define DROPPED_MAX 20000
#define SLUG_MAX    160

/* Names of providers in the map. */
struct map_provider {
    const char *name;   /* in the map */
    const char *prefix; /* of its entries' ids */
    const char *slug;   /* ours */
    const char *author; /* of models whose id names none; NULL: the provider's slug */
    bool usually_bare;  /* ids without the prefix are the usual form */
};
static const struct map_provider map_providers[] = {
    {"ai21", "ai21/", "ai21", NULL, true},
    {"anthropic", "anthropic/", "anthropic", NULL, true},
    {"azure", "azure/", "azure", NULL, false},
    {"azure_ai", "azure_ai/", "azure", NULL, true}, /* azure's own entry wins over this one's */
    {"baseten", "baseten/", "baseten", NULL, false},
    {"bedrock", "bedrock/", "amazon-bedrock", NULL, true},
    {"bedrock_converse", "bedrock/", "amazon-bedrock", NULL, true},
    {"bedrock_mantle", "bedrock_mantle/", "amazon-bedrock-mantle", NULL, false},
    {"cerebras", "cerebras/", "cerebras", NULL, false},
    {"cloudflare", "cloudflare/", "cloudflare", NULL, false},
    {"cohere", "cohere/", "cohere", NULL, true},
    {"cohere_chat", "cohere_chat/", "cohere", NULL, true},
    {"crusoe", "crusoe/", "crusoe", NULL, false},
    {"dashscope", "dashscope/", "alibaba", "qwen", false},
    {"deepinfra", "deepinfra/", "deepinfra", NULL, false},
    {"deepseek", "deepseek/", "deepseek", NULL, false},
    {"fireworks_ai", "fireworks_ai/", "fireworks", NULL, false},
    {"gemini", "gemini/", "google-ai-studio", "google", false},
    {"gmi", "gmi/", "gmicloud", NULL, false},
    {"groq", "groq/", "groq", NULL, false},
    {"hyperbolic", "hyperbolic/", "hyperbolic", NULL, false},
    {"inception", "inception/", "inception", NULL, false},
    {"minimax", "minimax/", "minimax", NULL, false},
    {"mistral", "mistral/", "mistral", "mistralai", false},
    {"moonshot", "moonshot/", "moonshotai", NULL, false},
    {"morph", "morph/", "morph", NULL, false},
    {"nebius", "nebius/", "nebius", NULL, false},
    {"novita", "novita/", "novita", NULL, false},
    {"nscale", "nscale/", "nscale", NULL, false},
    {"openai", "openai/", "openai", NULL, true},
    {"ovhcloud", "ovhcloud/", "ovhcloud", NULL, false},
    {"perplexity", "perplexity/", "perplexity", NULL, false},
    {"sambanova", "sambanova/", "sambanova", NULL, false},
    {"scaleway", "scaleway/", "scaleway", NULL, false},
    {"together_ai", "together_ai/", "together", NULL, false},
    {"vertex_ai-language-models", "vertex_ai/", "google-vertex", "google", true},
    {"wandb", "wandb/", "wandb", NULL, false},
    {"xai", "xai/", "xai", "x-ai", false},
    {"zai", "zai/", "z-ai", NULL, false},
};

/* Names that authors go by at hosts. */
static const struct {
    const char *name, *slug;
} authors[] = {
    {"deepseek-ai", "deepseek"}, {"meta", "meta-llama"}, {"zai-org", "z-ai"},
    {"thudm", "z-ai"},           {"zai", "z-ai"},        {"minimaxai", "minimax"},
    {"mistral", "mistralai"},    {"xai", "x-ai"},        {"moonshot", "moonshotai"},
};

/* Of ids of one region or one contract, which are other prices for the same model. */
static const slice regional_prefixes[] = {
    {"us.", 3}, {"eu.", 3},     {"apac.", 5}, {"global.", 7}, {"jp.", 3},     {"au.", 3},
    {"ca.", 3}, {"us-gov.", 7}, {"us/", 3},   {"eu/", 3},     {"global/", 7},
};

struct entry {
    slice id; /* as the map writes it */
    struct json_value object;
    const struct map_provider *provider;
    slice upstream_model;
    bool is_usual_form;
};

static status list_entries(struct json_value root, struct arena *arena, struct facts *facts,
                           struct entry *entries, uint32_t *count);
static void drop_repeated(const struct entry *entries, uint32_t count, bool *repeated);
static status read_entry(const struct entry *entry, struct arena *arena, struct facts *facts);
static status read_model(const struct entry *entry, struct arena *arena, slice source_date,
                         struct model_facts *model);
static slice reason_not_new(const struct entry *entry, const struct model_facts *model,
                            slice source_date);

status import_map_read(struct json_value root, slice source_date, struct arena *arena,
                       struct facts *facts)
{
    *facts = (struct facts){.kind = FACTS_MAP, .source_date = source_date};
    if (json_kind_of(root) != JSON_OBJECT) return FAIL(WRONG_TYPE);
    uint32_t room = json_count(root);
    if (room > ENTRIES_MAX) return FAIL(TOO_LARGE);
    struct entry *entries = arena_alloc_array(arena, room, sizeof(entries[0]));
    bool *repeated = arena_alloc_array(arena, room, sizeof(repeated[0]));
    facts->models = arena_alloc_array(arena, room, sizeof(facts->models[0]));
    facts->endpoints = arena_alloc_array(arena, room, sizeof(facts->endpoints[0]));
    facts->dropped = arena_alloc_array(arena, DROPPED_MAX, sizeof(facts->dropped[0]));
    facts->dropped_max = DROPPED_MAX;
    if (entries == NULL || repeated == NULL || facts->models == NULL || facts->endpoints == NULL ||
        facts->dropped == NULL) {
        return FAIL(TOO_LARGE);
    }
    uint32_t count = 0;
    TRY(list_entries(root, arena, facts, entries, &count));
    drop_repeated(entries, count, repeated);
    for (uint32_t i = 0; i < count; i++) {
        if (repeated[i]) {
            facts_drop(facts, entries[i].id, SLICE("the map names this endpoint twice"));
        } else {
            TRY(read_entry(&entries[i], arena, facts));
        }
    }
    return OK;
}

/* ---- which entries --------------------------------------------------------------------------- */

static bool is_special(slice id)
{
    return slice_equal(id, SLICE("sample_spec")) ||
           slice_equal(id, SLICE("fallback_generalizations")) ||
           slice_equal(id, SLICE("last_updated"));
}

static const struct map_provider *provider_of(struct json_value object)
{
    struct json_value name = json_get(object, SLICE("litellm_provider"));
    for (size_t i = 0; i < COUNT_OF(map_providers); i++) {
        if (json_string_equal(name, slice_of(map_providers[i].name))) return &map_providers[i];
    }
    return NULL;
}

static status list_entries(struct json_value root, struct arena *arena, struct facts *facts,
                           struct entry *entries, uint32_t *count)
{
    for (struct json_iterator i = json_iterate(root); json_next(&i);) {
        struct entry *entry = &entries[*count];
        *entry = (struct entry){.object = i.value, .provider = provider_of(i.value)};
        TRY(json_read_string(i.key, arena, &entry->id));
        struct json_value mode = json_get(i.value, SLICE("mode"));
        if (is_special(entry->id)) continue;
        if (entry->provider == NULL || !facts_text_valid(entry->id, 192) ||
            (!json_string_equal(mode, SLICE("chat")) &&
             !json_string_equal(mode, SLICE("responses")))) {
            facts->skipped++;
            continue;
        }
        slice prefix = slice_of(entry->provider->prefix);
        bool prefixed = slice_starts_with(entry->id, prefix);
        entry->upstream_model = prefixed ? slice_from(entry->id, prefix.len) : entry->id;
        entry->is_usual_form = prefixed != entry->provider->usually_bare;
        if (entry->upstream_model.len == 0) {
            facts->skipped++;
            continue;
        }
        (*count)++;
    }
    return OK;
}

static void drop_repeated(const struct entry *entries, uint32_t count, bool *repeated)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i && !repeated[i]; j++) {
            if (repeated[j] || !slice_equal(entries[i].upstream_model, entries[j].upstream_model) ||
                strcmp(entries[i].provider->slug, entries[j].provider->slug) != 0) {
                continue;
            }
            bool later_wins = entries[i].is_usual_form && !entries[j].is_usual_form;
            repeated[later_wins ? j : i] = true;
        }
    }
}

/* ---- one entry ------------------------------------------------------------------------------- */

/* These search in every request, once; deep research does so as often as it likes, and is billed
 * per search. */
static bool always_searches(const struct entry *entry)
{
    if (strcmp(entry->provider->name, "perplexity") == 0)
        return !slice_ends_with(entry->upstream_model, SLICE("deep-research"));
    return slice_ends_with(entry->upstream_model, SLICE("-search-preview"));
}

/* Where the map lists paths, they decide: some of the mode "responses" answer on both. */
static bool answers_responses_only(struct json_value object)
{
    struct json_value paths = json_get(object, SLICE("supported_endpoints"));
    for (struct json_iterator i = json_iterate(paths); json_next(&i);) {
        if (json_string_equal(i.value, SLICE("/v1/chat/completions"))) return false;
    }
    return json_string_equal(json_get(object, SLICE("mode")), SLICE("responses"));
}

static status read_entry(const struct entry *entry, struct arena *arena, struct facts *facts)
{
    struct model_facts *model = &facts->models[facts->model_count];
    struct endpoint_facts *endpoint = &facts->endpoints[facts->endpoint_count];
    TRY(read_model(entry, arena, facts->source_date, model));
    slice provider = slice_of(entry->provider->slug);
    *endpoint = (struct endpoint_facts){
        .source_name = entry->id,
        .provider = provider,
        .tag = provider,
        .upstream_model = entry->upstream_model,
        .quantization = SLICE("unknown"),
        .model = facts->model_count,
        .context_length = model->context_length,
        .output_max = model->output_max,
        .responses_only = answers_responses_only(entry->object),
        .not_new = reason_not_new(entry, model, facts->source_date),
    };
    bool is_perplexity = strcmp(entry->provider->name, "perplexity") == 0;
    struct import_map_entry prices = {
        .object = entry->object,
        .model = entry->id,
        .always_searches = always_searches(entry),
        .search_size =
            is_perplexity ? SLICE("search_context_size_low") : SLICE("search_context_size_medium"),
    };
    slice reason = SLICE_NONE;
    endpoint->has_price =
        status_ok(import_map_prices(&prices, arena, facts, &endpoint->price, &reason));
    if (!endpoint->has_price) facts_drop(facts, entry->id, reason);
    facts->model_count++;
    facts->endpoint_count++;
    return OK;
}

static bool is_regional(const struct entry *entry)
{
    for (size_t i = 0; i < COUNT_OF(regional_prefixes); i++) {
        if (slice_starts_with(entry->upstream_model, regional_prefixes[i])) return true;
    }
    /* bedrock/us-east-1/…, azure/eu/…: these two name models without slashes. */
    bool plain = strcmp(entry->provider->slug, "amazon-bedrock") == 0 ||
                 strcmp(entry->provider->name, "azure") == 0;
    return plain && memchr(entry->upstream_model.data, '/', entry->upstream_model.len) != NULL;
}

static slice reason_not_new(const struct entry *entry, const struct model_facts *model,
                            slice source_date)
{
    if (is_regional(entry)) return SLICE("a regional variant, which is not added by itself");
    if (model->context_length == 0) return SLICE("its context length is not known");
    if (!facts_slug_valid(model->slug)) return SLICE("no id can be made of its name");
    /* ISO days compare as texts. */
    if (model->deprecation_date.len > 0 &&
        memcmp(model->deprecation_date.data, source_date.data, 10) <= 0)
        return SLICE("its provider retired it");
    return SLICE_NONE;
}

/* ---- what it says about the model ------------------------------------------------------------ */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static void append_slug_part(struct buffer *out, slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = lower(text.data[i]);
        bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
        buffer_append_char(out, allowed ? c : '-');
    }
}

static slice author_of(const struct map_provider *provider, slice named)
{
    static const slice no_authors[] = {{"models", 6}, {"routers", 7}};
    bool is_author = named.len > 0 && named.data[0] != '@';
    for (size_t i = 0; i < COUNT_OF(no_authors); i++)
        is_author = is_author && !slice_equal(named, no_authors[i]);
    if (!is_author) return slice_of(provider->author == NULL ? provider->slug : provider->author);
    for (size_t i = 0; i < COUNT_OF(authors); i++) {
        if (slice_equal_nocase(named, slice_of(authors[i].name))) return slice_of(authors[i].slug);
    }
    return named;
}

/* "accounts/fireworks/models/yi-34b" → "fireworks/yi-34b", "deepseek-ai/DeepSeek-R1" →
 * "deepseek/deepseek-r1". */
static status make_slug(const struct entry *entry, struct arena *arena, slice *slug, slice *name)
{
    slice author = SLICE_NONE;
    slice rest = entry->upstream_model;
    *name = SLICE_NONE;
    for (bool more = true; more;) {
        author = *name;
        more = slice_split(rest, '/', name, &rest);
    }
    char memory[2 * SLUG_MAX + 64];
    struct buffer text;
    buffer_init_fixed(&text, memory, sizeof(memory));
    append_slug_part(&text, author_of(entry->provider, author));
    buffer_append_char(&text, '/');
    append_slug_part(&text, *name);
    *slug = arena_copy(arena, buffer_slice(&text));
    return slug->data == NULL ? FAIL(TOO_LARGE) : OK;
}

static bool flag(struct json_value object, slice name)
{
    bool value = false;
    return status_ok(json_read_bool(json_get(object, name), &value)) && value;
}

/* 0 when it is absent, a text, or beyond what the database holds. */
static uint32_t count_of(struct json_value object, slice name)
{
    uint32_t value = 0;
    if (!status_ok(json_read_u32(json_get(object, name), &value)) || value > INT32_MAX) return 0;
    return value;
}

/* What a flag of the map adds to a list of names. */
struct flag_names {
    const char *flag;
    const char *names; /* with a comma before each */
};
static const struct flag_names input_flags[] = {
    {"supports_vision", ",image"},
    {"supports_pdf_input", ",file"},
    {"supports_audio_input", ",audio"},
    {"supports_video_input", ",video"},
};
static const struct flag_names output_flags[] = {{"supports_audio_output", ",audio"}};
static const struct flag_names parameter_flags[] = {
    {"supports_function_calling", ",tools"},
    {"supports_tool_choice", ",tool_choice"},
    {"supports_parallel_function_calling", ",parallel_tool_calls"},
    {"supports_response_schema", ",response_format,structured_outputs"},
    {"supports_reasoning", ",reasoning,include_reasoning"},
    {"supports_web_search", ",web_search_options"},
};

static status join_flags(struct json_value object, struct arena *arena, slice always,
                         const struct flag_names *flags, size_t count, slice *joined)
{
    char memory[512];
    struct buffer text;
    buffer_init_fixed(&text, memory, sizeof(memory));
    buffer_append(&text, always);
    for (size_t i = 0; i < count; i++) {
        if (flag(object, slice_of(flags[i].flag))) buffer_append(&text, slice_of(flags[i].names));
    }
    *joined = arena_copy(arena, buffer_slice(&text));
    return joined->data == NULL ? FAIL(TOO_LARGE) : OK;
}

static status midnight_of(slice date, int64_t *unix_s)
{
    char memory[24];
    struct buffer iso;
    wall_time at;
    buffer_init_fixed(&iso, memory, sizeof(memory));
    buffer_append(&iso, date);
    buffer_append(&iso, SLICE("T00:00:00Z"));
    TRY(clock_parse_iso(buffer_slice(&iso), &at));
    *unix_s = at.ns / 1000000000;
    return OK;
}

static status read_model(const struct entry *entry, struct arena *arena, slice source_date,
                         struct model_facts *model)
{
    struct json_value object = entry->object;
    *model = (struct model_facts){.tokenizer = SLICE("Other"), .description = SLICE_NONE};
    TRY(make_slug(entry, arena, &model->slug, &model->name));
    TRY(midnight_of(source_date, &model->created));
    model->context_length = count_of(object, SLICE("max_input_tokens"));
    model->output_max = count_of(object, SLICE("max_output_tokens"));
    /* The older field: the output's, and where nothing else is said the whole. */
    uint32_t tokens_max = count_of(object, SLICE("max_tokens"));
    if (model->output_max == 0) model->output_max = tokens_max;
    if (model->context_length == 0) model->context_length = tokens_max;
    TRY(join_flags(object, arena, SLICE("text"), input_flags, COUNT_OF(input_flags),
                   &model->input_modalities));
    TRY(join_flags(object, arena, SLICE("text"), output_flags, COUNT_OF(output_flags),
                   &model->output_modalities));
    TRY(join_flags(object, arena, SLICE("max_tokens,temperature,top_p,stop"), parameter_flags,
                   COUNT_OF(parameter_flags), &model->supported_parameters));
    slice date;
    if (status_ok(json_read_string(json_get(object, SLICE("deprecation_date")), arena, &date)) &&
        facts_date_valid(date)) {
        model->deprecation_date = date;
    }
    return OK;
}
