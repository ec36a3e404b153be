/* SPDX-License-Identifier: Apache-2.0 */
/* A market by hand, without a database. */
#include "tests/unit/catalog/support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOLLAR ((int64_t)1000000000) /* per million tokens */

static void fill_price(struct price_row *row, uint32_t id, int64_t prompt, int64_t completion)
{
    struct named_prices base = {0};
    base.named[BILLING_prompt] = base.named[BILLING_completion] = true;
    base.prices[BILLING_prompt] = (price){prompt};
    base.prices[BILLING_completion] = (price){completion};
    if (!status_ok(facts_fill_prices(&base, 1, row))) abort();
    row->id = id;
}

static void add_providers(struct market *market)
{
    static const struct market_provider providers[] = {
        {.id = 1,
         .slug = {"acme", 4},
         .name = {"Acme", 4},
         .base_url = {"https://api.acme.example/v1", 27},
         .headquarters = {"US", 2},
         .dialect = DIALECT_OPENAI,
         .live = true,
         .key_version = 2,
         .key_label = {"label", 5}},
        {.id = 2,
         .slug = {"beta", 4},
         .name = {"Beta Labs", 9},
         .base_url = {"https://beta.example/v1", 23},
         .dialect = DIALECT_ANTHROPIC},
        {.id = 3,
         .slug = {"gone", 4},
         .name = {"Gone", 4},
         .base_url = {"https://gone.example/v1", 23},
         .dialect = DIALECT_OPENAI},
    };
    memcpy(market->providers, providers, sizeof(providers));
    market->provider_count = 3;
}

static void add_models(struct market *market)
{
    static const struct market_model models[] = {
        {.id = 1,
         .slug = {"acme/large", 10},
         .name = {"Acme: Large", 11},
         .description = {"Large.", 6},
         .tokenizer = {"Other", 5},
         .created = 2000,
         .context_length = 400000,
         .output_max = 8192,
         .input_modalities = {"text,image", 10},
         .output_modalities = {"text", 4},
         .supported_parameters = {"max_tokens,tools,tool_choice", 28}},
        {.id = 2,
         .slug = {"acme/small", 10},
         .name = {"Acme: Small", 11},
         .tokenizer = {"GPT", 3},
         .created = 3000,
         .context_length = 128000,
         .input_modalities = {"text", 4},
         .output_modalities = {"text", 4},
         .supported_parameters = {"max_tokens", 10}},
        {.id = 3,
         .slug = {"beta/thinker", 12},
         .name = {"Beta: Thinker", 13},
         .tokenizer = {"Other", 5},
         .created = 1000,
         .context_length = 200000,
         .input_modalities = {"text", 4},
         .output_modalities = {"text,audio", 10},
         .supported_parameters = {"max_tokens,reasoning", 20},
         .knowledge_cutoff = {"2025-12-01", 10},
         .deprecation_date = {"2027-01-01", 10}},
        {.id = 4,
         .slug = {"beta/unpriced", 13},
         .name = {"Beta: Unpriced", 14},
         .tokenizer = {"Other", 5},
         .created = 1000,
         .context_length = 1000,
         .input_modalities = {"text", 4},
         .output_modalities = {"text", 4}},
    };
    memcpy(market->models, models, sizeof(models));
    market->model_count = 4;
}

static void add_prices(struct market *market)
{
    fill_price(&market->prices[0], 101, 3 * DOLLAR, 15 * DOLLAR);
    market->prices[0].tiers[1] = market->prices[0].tiers[0];
    market->prices[0].tiers[1].above_prompt_tokens = 200000;
    market->prices[0].tiers[1].prices[BILLING_prompt] = (price){6 * DOLLAR};
    market->prices[0].tiers[1].prices[BILLING_completion] = (price){22 * DOLLAR + DOLLAR / 2};
    market->prices[0].tier_count = 2;
    fill_price(&market->prices[1], 102, 2 * DOLLAR, 10 * DOLLAR);
    fill_price(&market->prices[2], 103, DOLLAR * 15 / 100, DOLLAR * 60 / 100);
    market->prices[2].tiers[0].prices[BILLING_cache_read] = (price){DOLLAR * 75 / 1000};
    fill_price(&market->prices[3], 104, 5 * DOLLAR, 25 * DOLLAR);
    market->prices[3].tiers[0].prices[BILLING_reasoning] = (price){30 * DOLLAR};
    market->price_count = 4;
}

static void add_endpoint(struct market *market, uint32_t id, uint32_t model, uint32_t provider,
                         uint32_t price_id)
{
    const struct market_provider *at = market_provider_by_id(market, provider);
    market->endpoints[market->endpoint_count++] = (struct market_endpoint){
        .id = id,
        .model = &market->models[model - 1],
        .provider = at,
        .price = market_find_price(market, price_id),
        .price_source = {"catalog", price_id == 0 ? 0 : 7},
        .tag = at->slug,
        .upstream_model = {"upstream", 8},
        .quantization = {"unknown", 7},
        .context_length = 100000,
        .output_max = 4096,
    };
}

struct market *sample_market(uint64_t revision, bool simulated)
{
    struct market_counts counts = {.providers = 3, .models = 4, .endpoints = 5, .prices = 4};
    struct market *market = market_new(&counts);
    if (market == NULL) abort();
    market->revision = revision;
    add_providers(market);
    add_models(market);
    add_prices(market);
    add_endpoint(market, 11, 1, 1, 101);
    add_endpoint(market, 12, 1, 2, 102);
    add_endpoint(market, 13, 2, 1, 103);
    add_endpoint(market, 14, 3, 2, 104);
    add_endpoint(market, 15, 4, 2, 0);
    struct market_settings settings = {.simulated = simulated, .sim_port = 9001};
    if (!status_ok(market_finish(market, &settings))) abort();
    return market;
}

slice sample_text(struct arena *arena, const char *text)
{
    slice copy = arena_copy(arena, slice_of(text));
    if (copy.data == NULL) abort();
    for (char *c = (char *)(uintptr_t)copy.data; *c != '\0'; c++) {
        if (*c == '\'') *c = '"';
    }
    return copy;
}

struct json_value sample_json(const char *text)
{
    static struct json_document document;
    static struct arena arena;
    if (document.values_max == 0) {
        json_document_init(&document, 100000);
        arena_init(&arena, (size_t)1 << 20);
    }
    arena_reset(&arena);
    if (!status_ok(json_parse(&document, sample_text(&arena, text)))) abort();
    return json_root(&document);
}

/* ---- a catalog in a directory of its own ----------------------------------------------------- */

static void demand(bool right)
{
    if (!right) abort();
}

void sample_catalog_open(struct scratch *scratch, struct catalog *catalog)
{
    static const char master[] = "0123456789abcdef0123456789abcdef";
    scratch_make(scratch);
    demand(chdir(scratch->path) == 0 && mkdir("run", 0755) == 0 && mkdir("secrets", 0755) == 0 &&
           mkdir("secrets/catalog", 0755) == 0);
    int fd = open("secrets/catalog/master.key", O_WRONLY | O_CREAT, 0600);
    demand(fd >= 0 && write(fd, master, 32) == 32 && close(fd) == 0);
    *catalog = (struct catalog){0};
    config_defaults(&catalog->config);
    demand(status_ok(catalog_open(catalog)));
}

void sample_catalog_close(struct scratch *scratch, struct catalog *catalog)
{
    catalog_close(catalog);
    demand(chdir("/") == 0);
    scratch_remove(scratch);
}
