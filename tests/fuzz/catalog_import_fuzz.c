/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file for the market. The first byte says what as: a price map, a catalog file, a
 * provider, prices, or the text of one number. What is accepted has to be fit for the database and
 * for billing: complete rows, plausible prices, valid ids. */

#include <stdio.h>
#include <stdlib.h>

#include "services/catalog/import_catalog.h"
#include "services/catalog/import_map.h"
#include "services/catalog/price_text.h"

#define VALUES_MAX 2000
#define MEMORY_MAX ((size_t)64 << 20)

static void require(bool held, const char *what)
{
    if (held) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void check_row(const struct price_row *row)
{
    require(row->tier_count >= 1 && row->tier_count <= BILLING_TIERS_MAX, "1 to 4 tiers");
    require(row->tiers[0].above_prompt_tokens == 0, "the first tier begins at 0");
    for (uint8_t i = 0; i < row->tier_count; i++) {
        require(i == 0 || row->tiers[i].above_prompt_tokens > row->tiers[i - 1].above_prompt_tokens,
                "tiers ascend");
        require(row->tiers[i].above_prompt_tokens <= INT32_MAX, "a bound fits its column");
        for (size_t j = 0; j < BILLING_CLASS_COUNT; j++)
            require(row->tiers[i].prices[j].nano_per_million >= 0, "no price is negative");
    }
}

static void check_facts(const struct facts *facts)
{
    for (uint32_t i = 0; i < facts->endpoint_count; i++) {
        const struct endpoint_facts *endpoint = &facts->endpoints[i];
        require(endpoint->model < facts->model_count, "an endpoint has a model");
        require(facts_text_valid(endpoint->upstream_model, 192), "what the host calls it");
        require(endpoint->context_length <= INT32_MAX, "a context fits its column");
        if (endpoint->has_price) {
            check_row(&endpoint->price);
            require(!facts_wrong_unit(&endpoint->price), "no price in a wrong unit");
            require(!facts_no_charge(&endpoint->price) ||
                        facts_is_free(facts->models[endpoint->model].slug, &endpoint->price),
                    "no price of zero but of what is called free");
        }
        if (endpoint->not_new.len > 0) continue;
        const struct model_facts *model = &facts->models[endpoint->model];
        require(facts_slug_valid(model->slug), "an id that the database takes");
        require(model->context_length > 0, "a context");
        require(model->deprecation_date.len == 0 || facts_date_valid(model->deprecation_date),
                "a day of the calendar");
    }
}

/* A number that was read is written and read back as the same, now without rounding. */
static void check_number(slice text)
{
    price value;
    price again;
    bool rounded;
    if (!status_ok(price_text_read(text, &value, &rounded))) return;
    char memory[64];
    struct buffer written;
    buffer_init_fixed(&written, memory, sizeof(memory));
    price_append_dollars_per_unit(&written, value);
    require(status_ok(price_text_read(buffer_slice(&written), &again, &rounded)), "read again");
    require(again.nano_per_million == value.nano_per_million && !rounded, "the same price");
}

static void read_as(uint8_t kind, struct json_value root, struct arena *arena)
{
    struct facts facts = {0};
    struct provider_facts provider;
    struct price_row row;
    slice message = SLICE_NONE;
    status read = OK;
    switch (kind % 4) {
    case 0:
        read = import_map_read(root, SLICE("2026-07-24"), arena, &facts);
        if (status_ok(read)) check_facts(&facts);
        return;
    case 1:
        read = import_catalog_read(root, arena, &facts, &message);
        if (status_ok(read)) check_facts(&facts);
        break;
    case 2: read = import_provider_read(root, arena, &provider, &message); break;
    default:
        read = import_prices_read(json_get(root, SLICE("prices")), json_get(root, SLICE("tiers")),
                                  arena, &row, &message);
        if (status_ok(read)) check_row(&row);
    }
    require(status_ok(read) || read.code == ERROR_TOO_LARGE || message.len > 0,
            "a refusal says why");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_document document;
    static struct arena arena;
    if (document.values_max == 0) {
        json_document_init(&document, VALUES_MAX);
        arena_init(&arena, MEMORY_MAX);
    }
    if (size == 0) return 0;
    slice text = {(const char *)data + 1, size - 1};
    if (data[0] == '#') {
        check_number(text);
        return 0;
    }
    arena_reset(&arena);
    if (status_ok(json_parse(&document, text))) read_as(data[0], json_root(&document), &arena);
    return 0;
}
