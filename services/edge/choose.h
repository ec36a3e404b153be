/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoints to try, in which order: a pure function of the wish, the market, health, time
 * and a random number. Stable endpoints first, drawn with weight 1/price² among the stable;
 * degraded ones after them; the rest last. */
#pragma once

#include "services/edge/market.h"

#define CHOOSE_NAMES_MAX 16

/* Slugs of providers, in the order in which a request names them. */
struct choose_names {
    const slice *items;
    uint8_t count; /* at most CHOOSE_NAMES_MAX */
};

struct choose_wish {
    const struct market_model *model;
    uint64_t input_tokens_max;               /* upper bound of the prompt */
    uint64_t input_tokens_estimate;          /* a quarter of the text's bytes */
    uint32_t output_want;                    /* 0: not named */
    struct choose_names order, only, ignore; /* of the request's `provider` object */
    bool no_fallbacks;                       /* allow_fallbacks: false */
    enum { CHOOSE_BALANCED, CHOOSE_BY_PRICE } sort;
};

enum exclusion {
    EXCLUDED_NOT,
    EXCLUDED_DISABLED,
    EXCLUDED_UNPRICED,
    EXCLUDED_CONTEXT,
    EXCLUDED_OUTPUT,
    EXCLUDED_ONLY,
    EXCLUDED_IGNORED,
    EXCLUDED_SURPLUS,
    EXCLUDED_DIALECT,
    EXCLUDED_SIMULATED /* beside a real provider, even one that is down or disabled */
};

struct choose_result {
    const struct market_endpoint *candidates[CANDIDATES_MAX];
    uint8_t count;
    /* why each of the first 32 endpoints of the model is not among them */
    uint8_t excluded[32];    /* enum exclusion by index in model->endpoints */
    uint32_t output_largest; /* with OUT_OF_RANGE: the output_want that would have been served */
};
/* UNPRICED_MODEL when every endpoint lacks a price, CONTEXT_TOO_LONG when only the context
 * excludes, OUT_OF_RANGE when only output_want does, else NO_ENDPOINT when nothing is left. */
status choose_endpoints(const struct choose_wish *wish, const struct health_board *health,
                        uint64_t now_ms, uint64_t random, struct choose_result *result);
