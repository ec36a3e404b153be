/* SPDX-License-Identifier: Apache-2.0 */
/* Usage times price, and the most that a request can cost. The arithmetic itself is money.c's; here
 * is only which unit meets which price. A bound has to hold for every usage within its limits, so
 * it takes the dearest price of every tier that the input can reach and is rounded up. */
#include "shared/billing.h"

#include "shared/array.h"

/* Classes that an input token can be counted in, and those an output token can. */
static const enum billing_class input_token_classes[] = {
    BILLING_prompt,         BILLING_cache_read, BILLING_cache_write,
    BILLING_cache_write_1h, BILLING_audio_in,
};
static const enum billing_class output_token_classes[] = {
    BILLING_completion,
    BILLING_reasoning,
    BILLING_audio_out,
};
/* For display: what the answer consists of. Everything else belongs to the request. */
static const bool is_output_class[BILLING_CLASS_COUNT] = {
    [BILLING_completion] = true,
    [BILLING_reasoning] = true,
    [BILLING_audio_out] = true,
    [BILLING_image_out] = true,
};

const char *billing_class_name(enum billing_class class)
{
    static const char *const names[BILLING_CLASS_COUNT] = {
#define X(name) [BILLING_##name] = #name,
        BILLING_CLASSES(X)
#undef X
    };
    return names[class];
}

static uint64_t sum_of(const struct usage_vector *usage, const enum billing_class *classes,
                       size_t count)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < count; i++) {
        tokens += usage->units[classes[i]];
    }
    return tokens;
}

uint64_t billing_input_tokens(const struct usage_vector *usage)
{
    return sum_of(usage, input_token_classes, COUNT_OF(input_token_classes));
}

uint64_t billing_output_tokens(const struct usage_vector *usage)
{
    return sum_of(usage, output_token_classes, COUNT_OF(output_token_classes));
}

/* Whether a tier can apply to some input of at most that many tokens. */
static bool is_reachable(const struct price_row *row, size_t tier, uint64_t input_tokens_max)
{
    return tier == 0 || row->tiers[tier].above_prompt_tokens < input_tokens_max;
}

const struct price_tier *billing_tier(const struct price_row *row, uint64_t input_tokens)
{
    size_t found = 0;
    for (size_t i = 1; i < row->tier_count && i < BILLING_TIERS_MAX; i++) {
        if (is_reachable(row, i, input_tokens)) found = i;
    }
    return &row->tiers[found];
}

/* ---- rows ------------------------------------------------------------------------------------ */

status billing_with_margin(const struct price_row *list, uint32_t basis_points,
                           struct price_row *marked)
{
    *marked = *list;
    marked->id = 0;
    marked->list = list->id;
    for (size_t i = 0; i < list->tier_count && i < BILLING_TIERS_MAX; i++) {
        price *prices = marked->tiers[i].prices;
        for (size_t class = 0; class < BILLING_CLASS_COUNT; class ++)
            TRY(price_with_margin(prices[class], basis_points, &prices[class]));
    }
    return OK;
}

static bool same_tier(const struct price_tier *a, const struct price_tier *b)
{
    if (a->above_prompt_tokens != b->above_prompt_tokens) return false;
    for (size_t class = 0; class < BILLING_CLASS_COUNT; class ++) {
        if (a->prices[class].nano_per_million != b->prices[class].nano_per_million) return false;
    }
    return true;
}

bool billing_same_prices(const struct price_row *a, const struct price_row *b)
{
    if (a->tier_count != b->tier_count) return false;
    for (size_t i = 0; i < a->tier_count && i < BILLING_TIERS_MAX; i++) {
        if (!same_tier(&a->tiers[i], &b->tiers[i])) return false;
    }
    return true;
}

/* ---- charge ---------------------------------------------------------------------------------- */

/* Both sums may be the same one. */
static status add_classes(const struct price_row *row, const struct usage_vector *usage,
                          struct money_sum *input, struct money_sum *output)
{
    const struct price_tier *tier = billing_tier(row, billing_input_tokens(usage));
    for (size_t class = 0; class < BILLING_CLASS_COUNT; class ++) {
        if (usage->units[class] > BILLING_UNITS_MAX) return FAIL(OVERFLOW);
        struct money_sum *sum = is_output_class[class] ? output : input;
        TRY(money_sum_add(sum, usage->units[class], tier->prices[class]));
    }
    return OK;
}

status billing_charge(const struct price_row *row, const struct usage_vector *usage, money *charge)
{
    struct money_sum sum = {0};
    TRY(add_classes(row, usage, &sum, &sum));
    return money_sum_round(&sum, charge);
}

status billing_byok_fee(enum byok_unit unit, money list, money units, int64_t basis_points,
                        money *fee)
{
    money covered = money_min(units, list);
    if (unit == BYOK_REQUESTS) covered = money_is_positive(units) ? list : MONEY_ZERO;
    money due;
    TRY(money_subtract(list, covered, &due));
    return money_fee_basis_points(due, basis_points, fee);
}

status billing_charge_split(const struct price_row *row, const struct usage_vector *usage,
                            money *input, money *output)
{
    struct money_sum input_sum = {0};
    struct money_sum output_sum = {0};
    TRY(add_classes(row, usage, &input_sum, &output_sum));
    TRY(money_sum_round(&input_sum, input));
    return money_sum_round(&output_sum, output);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* The dearest of some classes over the reachable tiers. */
static price dearest(const struct price_row *row, uint64_t input_tokens_max,
                     const enum billing_class *classes, size_t class_count)
{
    price highest = {0};
    for (size_t i = 0; i < row->tier_count && i < BILLING_TIERS_MAX; i++) {
        if (!is_reachable(row, i, input_tokens_max)) continue;
        for (size_t j = 0; j < class_count; j++) {
            highest = price_max(highest, row->tiers[i].prices[classes[j]]);
        }
    }
    return highest;
}

static status add_dearest(const struct price_row *row, const struct billing_bound *bound,
                          enum billing_class class, uint32_t units, struct money_sum *sum)
{
    return money_sum_add(sum, units, dearest(row, bound->input_tokens_max, &class, 1));
}

status billing_bound_fixed(const struct price_row *row, const struct billing_bound *bound,
                           money *fixed)
{
    struct money_sum sum = {0};
    price input =
        dearest(row, bound->input_tokens_max, input_token_classes, COUNT_OF(input_token_classes));
    TRY(money_sum_add(&sum, bound->input_tokens_max, input));
    TRY(add_dearest(row, bound, BILLING_image_in, bound->images, &sum));
    TRY(add_dearest(row, bound, BILLING_request, bound->requests, &sum));
    TRY(add_dearest(row, bound, BILLING_web_search, bound->web_searches, &sum));
    /* Up, not half up: a charge adds the output before its one rounding, so an input part that was
     * rounded down here could leave the hold one nano-dollar short. */
    return money_sum_round_up(&sum, fixed);
}

price billing_bound_output_price(const struct price_row *row, uint64_t input_tokens_max)
{
    return dearest(row, input_tokens_max, output_token_classes, COUNT_OF(output_token_classes));
}

/* ---- estimate -------------------------------------------------------------------------------- */

/* Four bytes of text to a token, rounded up, within the range of a unit count. */
static uint32_t tokens_of_bytes(uint64_t bytes)
{
    uint64_t tokens = bytes / 4 + (bytes % 4 > 0 ? 1 : 0);
    return tokens < BILLING_UNITS_MAX ? (uint32_t)tokens : BILLING_UNITS_MAX;
}

void usage_estimate(uint64_t prompt_text_bytes, uint64_t delivered_text_bytes,
                    struct usage_vector *usage)
{
    *usage = (struct usage_vector){
        .units[BILLING_prompt] = tokens_of_bytes(prompt_text_bytes),
        .units[BILLING_completion] = tokens_of_bytes(delivered_text_bytes),
    };
}
