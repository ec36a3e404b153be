/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that every source of prices has to pass. */
#include "services/catalog/facts.h"

#include "shared/clock.h"
#include "shared/http/url.h"

/* $500 and $1,000 per million units, in nano-dollars per million units. */
#define INPUT_PRICE_MAX  ((int64_t)500 * NANO_PER_DOLLAR)
#define OUTPUT_PRICE_MAX ((int64_t)1000 * NANO_PER_DOLLAR)

static const struct {
    bool follows;
    enum billing_class class; /* whose price it takes when it has none */
} fallbacks[BILLING_CLASS_COUNT] = {
    [BILLING_cache_read] = {true, BILLING_prompt},
    [BILLING_cache_write] = {true, BILLING_prompt},
    [BILLING_cache_write_1h] = {true, BILLING_cache_write},
    [BILLING_audio_in] = {true, BILLING_prompt},
    [BILLING_reasoning] = {true, BILLING_completion},
    [BILLING_audio_out] = {true, BILLING_completion},
};
/* Each class after the one it follows. */
static const enum billing_class fill_order[BILLING_CLASS_COUNT] = {
    BILLING_prompt,         BILLING_completion, BILLING_cache_read, BILLING_cache_write,
    BILLING_cache_write_1h, BILLING_audio_in,   BILLING_reasoning,  BILLING_audio_out,
    BILLING_image_in,       BILLING_image_out,  BILLING_request,    BILLING_web_search,
};

void facts_drop(struct facts *facts, slice model, slice reason)
{
    facts->dropped_total++;
    if (facts->dropped_count >= facts->dropped_max) return;
    facts->dropped[facts->dropped_count++] = (struct dropped_line){model, reason};
}

static void fill_tier(const struct named_prices *base, const struct named_prices *tier,
                      struct price_tier *out)
{
    out->above_prompt_tokens = tier->above_prompt_tokens;
    for (size_t i = 0; i < BILLING_CLASS_COUNT; i++) {
        enum billing_class class = fill_order[i];
        if (tier->named[class]) {
            out->prices[class] = tier->prices[class];
        } else if (base->named[class]) {
            out->prices[class] = base->prices[class];
        } else if (fallbacks[class].follows) {
            out->prices[class] = out->prices[fallbacks[class].class];
        }
    }
}

status facts_fill_prices(const struct named_prices *tiers, size_t count, struct price_row *row)
{
    *row = (struct price_row){0};
    if (count == 0 || count > BILLING_TIERS_MAX || tiers[0].above_prompt_tokens != 0)
        return FAIL(OUT_OF_RANGE);
    if (!tiers[0].named[BILLING_prompt] || !tiers[0].named[BILLING_completion])
        return FAIL(MISSING_FIELD);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && tiers[i].above_prompt_tokens <= tiers[i - 1].above_prompt_tokens)
            return FAIL(OUT_OF_RANGE);
        fill_tier(&tiers[0], &tiers[i], &row->tiers[i]);
    }
    row->tier_count = (uint8_t)count;
    return OK;
}

/* ---- plausibility ---------------------------------------------------------------------------- */

bool facts_wrong_unit(const struct price_row *row)
{
    static const enum billing_class inputs[] = {BILLING_prompt, BILLING_cache_read,
                                                BILLING_cache_write, BILLING_cache_write_1h,
                                                BILLING_audio_in};
    static const enum billing_class outputs[] = {BILLING_completion, BILLING_reasoning,
                                                 BILLING_audio_out};
    for (uint8_t i = 0; i < row->tier_count; i++) {
        const price *prices = row->tiers[i].prices;
        for (size_t j = 0; j < sizeof(inputs) / sizeof(inputs[0]); j++) {
            if (prices[inputs[j]].nano_per_million > INPUT_PRICE_MAX) return true;
        }
        for (size_t j = 0; j < sizeof(outputs) / sizeof(outputs[0]); j++) {
            if (prices[outputs[j]].nano_per_million > OUTPUT_PRICE_MAX) return true;
        }
    }
    return false;
}

bool facts_no_charge(const struct price_row *row)
{
    for (uint8_t i = 0; i < row->tier_count; i++) {
        if (row->tiers[i].prices[BILLING_prompt].nano_per_million == 0 ||
            row->tiers[i].prices[BILLING_completion].nano_per_million == 0) {
            return true;
        }
    }
    return false;
}

bool facts_is_free(slice slug, const struct price_row *row)
{
    for (uint8_t i = 0; i < row->tier_count; i++) {
        for (size_t class = 0; class < BILLING_CLASS_COUNT; class ++) {
            if (row->tiers[i].prices[class].nano_per_million != 0) return false;
        }
    }
    return slice_ends_with(slug, SLICE(":free"));
}

/* ---- texts ----------------------------------------------------------------------------------- */

bool facts_date_valid(slice text)
{
    char memory[24];
    struct buffer iso;
    wall_time at;
    if (text.len != 10) return false;
    buffer_init_fixed(&iso, memory, sizeof(memory));
    buffer_append(&iso, text);
    buffer_append(&iso, SLICE("T00:00:00Z"));
    return status_ok(clock_parse_iso(buffer_slice(&iso), &at));
}

static bool holds_only(slice text, const char *allowed)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\0' || strchr(allowed, text.data[i]) == NULL) return false;
    }
    return text.len > 0;
}

bool facts_slug_valid(slice text)
{
    slice author;
    slice name;
    return text.len <= 160 && slice_split(text, '/', &author, &name) &&
           holds_only(author, "abcdefghijklmnopqrstuvwxyz0123456789._-") &&
           holds_only(name, "abcdefghijklmnopqrstuvwxyz0123456789._:-");
}

bool facts_text_valid(slice text, size_t len_max)
{
    if (text.len == 0 || text.len > len_max) return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == 0x7f) return false;
    }
    return true;
}

bool facts_base_url_valid(slice text)
{
    struct url url;
    if (!status_ok(url_parse(text, &url)) || url.local) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (strchr("?\\\"<>", text.data[i]) != NULL) return false;
    }
    return true;
}
