/* SPDX-License-Identifier: Apache-2.0 */
/* What one generation used, what it costs at a frozen price row, and how much it can cost at most.
 * Edge and ledger both call billing_charge(), each with its own copy of the price row; the audit
 * recomputes the same figure in SQL. */
#pragma once

#include "shared/money.h"

/* The classes of units, in the order of the price_tier columns and of every array below.
 * prompt excludes cached reads and writes and audio; completion excludes reasoning and audio. */
#define BILLING_CLASSES(X) \
    X(prompt)              \
    X(cache_read)          \
    X(cache_write)         \
    X(cache_write_1h)      \
    X(audio_in)            \
    X(image_in)            \
    X(completion)          \
    X(reasoning)           \
    X(audio_out)           \
    X(image_out)           \
    X(request)             \
    X(web_search)

enum billing_class {
#define X(name) BILLING_##name,
    BILLING_CLASSES(X)
#undef X
        BILLING_CLASS_COUNT
};
const char *billing_class_name(enum billing_class class);

/* Counts of units of one generation, each in [0, 2^31). */
struct usage_vector {
    uint32_t units[BILLING_CLASS_COUNT];
};

#define BILLING_TIERS_MAX 4
#define BILLING_UNITS_MAX 0x7fffffffu

/* One row of the price table with its tiers. Prices that a provider does not name are filled in
 * when the row is made: cache and audio classes fall back to prompt, reasoning and audio_out to
 * completion, the rest to 0, so that every row is complete and an auditor needs no rules. */
struct price_tier {
    /* Applies when all input tokens > this; the first tier has 0 and always applies. */
    uint32_t above_prompt_tokens;
    price prices[BILLING_CLASS_COUNT];
};
struct price_row {
    uint32_t id;
    uint8_t tier_count; /* >= 1, ascending by above_prompt_tokens */
    /* The row it was made from by a margin, which says what its provider is owed; 0: it is a list
     * price itself. Edges are not told. */
    uint32_t list;
    struct price_tier tiers[BILLING_TIERS_MAX];
};
#define MARGIN_BASIS_POINTS_MAX 10000

/* What customers pay where an operator has set a margin: every class of the list price with it,
 * each rounded half up once, here. The new row has no id yet. OVERFLOW: above what is counted. */
status billing_with_margin(const struct price_row *list, uint32_t basis_points,
                           struct price_row *marked);
/* The same tiers and prices; ids do not count. */
bool billing_same_prices(const struct price_row *a, const struct price_row *b);

/* Input tokens that select the tier: prompt + cache_read + cache_write + cache_write_1h +
 * audio_in. */
uint64_t billing_input_tokens(const struct usage_vector *usage);
/* completion + reasoning + audio_out: what clients are told as completion_tokens. */
uint64_t billing_output_tokens(const struct usage_vector *usage);
const struct price_tier *billing_tier(const struct price_row *row, uint64_t input_tokens);

/* The charge: one rounding. OVERFLOW only on hostile numbers. */
status billing_charge(const struct price_row *row, const struct usage_vector *usage, money *charge);

/* ---- requests with the customer's own provider key ---- */

/* What a plan's allowance counts, as in the column plan.byok_unit; the numbers stand in records and
 * rows. NONE: the request was made with the platform's key. */
enum byok_unit { BYOK_NONE, BYOK_REQUESTS, BYOK_LIST_PRICE };

/* The fee on that part of a request's list price which is not free: all of it is where the request
 * has a unit of an allowance that counts requests; of one that counts list price, as many
 * nano-dollars as it has units. The list price is a charge, rounded already: the one place with
 * two roundings. OVERFLOW only on hostile numbers. */
status billing_byok_fee(enum byok_unit unit, money list, money units, int64_t basis_points,
                        money *fee);

/* Split of a charge for display: input classes and output classes, each rounded by itself
 * (their sum may differ from the charge by one nano-dollar; the charge rules). */
status billing_charge_split(const struct price_row *row, const struct usage_vector *usage,
                            money *input, money *output);

/* The part of a hold that does not depend on the answer's length: input_tokens_max at the dearest
 * input class of the dearest tier reachable, plus images, requests and searches; rounded up. With
 * the output price times the output units, rounded up too (money_sum_round_up), it is never below
 * the charge of a usage within these limits. */
struct billing_bound {
    /* Raw text bytes + template overhead: a byte-level token is >= 1 byte. */
    uint64_t input_tokens_max;
    uint32_t images;
    uint32_t requests;
    uint32_t web_searches;
};
status billing_bound_fixed(const struct price_row *row, const struct billing_bound *bound,
                           money *fixed);
/* The dearest of completion, reasoning and audio_out over the tiers reachable with that many input
 * tokens. image_out is in no bound: max_tokens does not limit it, so a model that makes images at a
 * price needs a limit of its own before it is served. */
price billing_bound_output_price(const struct price_row *row, uint64_t input_tokens_max);

/* The one estimate: input = ceil(text bytes / 4), output = ceil(delivered text bytes / 4), as
 * prompt and completion units. Used when the client left or the provider's figure is missing or
 * unusable. */
void usage_estimate(uint64_t prompt_text_bytes, uint64_t delivered_text_bytes,
                    struct usage_vector *usage);
