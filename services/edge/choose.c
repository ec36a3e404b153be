/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which endpoints are tried. First every endpoint is excluded for a reason or kept
 * with its cost for this request; then those the request names come in its order, and the others
 * by health and, among equals, by a draw with weight 1/price². All in integers: a price counts
 * as its ratio to the cheapest, in 2^-24. */
#include "services/edge/choose.h"

#include "services/edge/dialects/dialect.h"

#define CONSIDERED_MAX \
    128 /* endpoints of one model that are looked at; the rest count as surplus */
#define EXCLUDED_MAX 32

/* Prices differ by kind of token. They are compared at this request's prompt and an answer of
 * usual length, or less where the client asks for less. */
#define OUTPUT_USUAL 500

/* A weight is the square of a ratio: 128 weights of at most 2^48 fit a sum of 64 bits. */
#define RATIO_ONE    ((money){1 << 24})

struct option {
    const struct market_endpoint *endpoint;
    money cost;
    enum endpoint_health health;
    uint64_t weight;
};

struct option_list {
    struct option items[CONSIDERED_MAX];
    size_t count;
};

static enum exclusion exclusion_of(const struct choose_wish *wish,
                                   const struct market_endpoint *endpoint);
static status refusal(const struct choose_wish *wish, struct choose_result *result);
static money cost_of(const struct choose_wish *wish, const struct market_endpoint *endpoint);
static void take_named(const struct choose_wish *wish, struct option_list *options,
                       struct choose_result *result);
static void take_by_price(struct option_list *options, struct choose_result *result);
static void take_by_draw(struct option_list *options, uint64_t random,
                         struct choose_result *result);
static void exclude_surplus(const struct market_model *model, struct choose_result *result);

status choose_endpoints(const struct choose_wish *wish, const struct health_board *health,
                        uint64_t now_ms, uint64_t random, struct choose_result *result)
{
    const struct market_model *model = wish->model;
    *result = (struct choose_result){0};
    struct option_list options;
    options.count = 0;
    for (uint32_t i = 0; i < model->endpoint_count; i++) {
        const struct market_endpoint *endpoint = &model->endpoints[i];
        enum exclusion why = exclusion_of(wish, endpoint);
        if (i < EXCLUDED_MAX) result->excluded[i] = (uint8_t)why;
        if (why != EXCLUDED_NOT || options.count == CONSIDERED_MAX) continue;
        options.items[options.count++] = (struct option){
            .endpoint = endpoint,
            .cost = cost_of(wish, endpoint),
            .health = health_board_read(health, endpoint->id, now_ms),
        };
    }
    if (options.count == 0) return refusal(wish, result);

    take_named(wish, &options, result);
    bool named_only = wish->no_fallbacks && wish->order.count > 0;
    if (!named_only && wish->sort == CHOOSE_BY_PRICE)
        take_by_price(&options, result);
    else if (!named_only)
        take_by_draw(&options, random, result);
    if (wish->no_fallbacks && wish->order.count == 0 && result->count > 1) result->count = 1;
    exclude_surplus(model, result);
    return result->count > 0 ? OK : FAIL(NO_ENDPOINT);
}

/* ---- exclusion ------------------------------------------------------------------------------- */

/* A name without a variant means every variant of that provider: "google-vertex" is also
 * "google-vertex/us-east5". */
static bool names_provider(slice wanted, slice slug)
{
    if (slug.len < wanted.len || !slice_equal_nocase(slice_first(slug, wanted.len), wanted))
        return false;
    return slug.len == wanted.len || slug.data[wanted.len] == '/';
}

static bool is_named(struct choose_names names, const struct market_endpoint *endpoint)
{
    for (uint8_t i = 0; i < names.count; i++) {
        if (names_provider(names.items[i], endpoint->provider->slug)) return true;
    }
    return false;
}

/* 0: not known. */
static uint64_t context_of(const struct choose_wish *wish, const struct market_endpoint *endpoint)
{
    return endpoint->upstream_context != 0 ? endpoint->upstream_context
                                           : wish->model->context_length;
}

static uint32_t output_max_of(const struct choose_wish *wish,
                              const struct market_endpoint *endpoint)
{
    return endpoint->output_max != 0 ? endpoint->output_max : wish->model->output_max;
}

/* The prompt is taken at its estimate: its upper bound, one token per byte, would refuse what
 * fits four times. */
static bool context_fits(const struct choose_wish *wish, const struct market_endpoint *endpoint)
{
    uint64_t context = context_of(wish, endpoint);
    return context == 0 || wish->input_tokens_estimate + wish->output_want <= context;
}

static enum exclusion exclusion_of(const struct choose_wish *wish,
                                   const struct market_endpoint *endpoint)
{
    if (endpoint->disabled) return EXCLUDED_DISABLED;
    if (endpoint->provider->simulated && wish->model->live) return EXCLUDED_SIMULATED;
    if (endpoint->price == NULL) return EXCLUDED_UNPRICED;
    if (dialect_of(market_endpoint_dialect(endpoint)) == NULL) return EXCLUDED_DIALECT;
    if (wish->only.count > 0 && !is_named(wish->only, endpoint)) return EXCLUDED_ONLY;
    if (is_named(wish->ignore, endpoint)) return EXCLUDED_IGNORED;
    uint32_t output_max = output_max_of(wish, endpoint);
    if (output_max != 0 && wish->output_want > output_max) return EXCLUDED_OUTPUT;
    return context_fits(wish, endpoint) ? EXCLUDED_NOT : EXCLUDED_CONTEXT;
}

/* The largest answer this endpoint could be asked for beside this prompt. */
static uint32_t output_possible(const struct choose_wish *wish,
                                const struct market_endpoint *endpoint)
{
    const uint64_t context = context_of(wish, endpoint);
    const uint32_t output_max = output_max_of(wish, endpoint);
    if (context == 0) return output_max;
    if (context <= wish->input_tokens_estimate) return 0;
    const uint64_t room = context - wish->input_tokens_estimate;
    return room < output_max ? (uint32_t)room : output_max;
}

static status refusal(const struct choose_wish *wish, struct choose_result *result)
{
    const struct market_model *model = wish->model;
    uint32_t unpriced = 0;
    uint32_t too_long = 0;
    for (uint32_t i = 0; i < model->endpoint_count; i++) {
        const struct market_endpoint *endpoint = &model->endpoints[i];
        enum exclusion why = exclusion_of(wish, endpoint);
        if (endpoint->price == NULL) unpriced++;
        if (why == EXCLUDED_CONTEXT) too_long++;
        if (why != EXCLUDED_OUTPUT) continue;
        const uint32_t possible = output_possible(wish, endpoint);
        if (possible == 0) too_long++;
        if (possible > result->output_largest) result->output_largest = possible;
    }
    if (model->endpoint_count > 0 && unpriced == model->endpoint_count) return FAIL(UNPRICED_MODEL);
    if (result->output_largest > 0 && too_long == 0) return FAIL(OUT_OF_RANGE);
    /* One endpoint that the context alone rules out is enough: a shorter prompt would be served. */
    return too_long > 0 ? FAIL(CONTEXT_TOO_LONG) : FAIL(NO_ENDPOINT);
}

/* ---- cost ------------------------------------------------------------------------------------ */

/* At least one nano-dollar, so that a free endpoint has a ratio. A sum that overflows is dearer
 * than everything. */
static money cost_of(const struct choose_wish *wish, const struct market_endpoint *endpoint)
{
    uint64_t input = wish->input_tokens_estimate;
    uint64_t output = wish->output_want != 0 && wish->output_want < OUTPUT_USUAL ? wish->output_want
                                                                                 : OUTPUT_USUAL;
    const struct price_tier *tier = billing_tier(endpoint->price, input);
    struct money_sum sum = {0};
    money cost;
    status added = money_sum_add(&sum, input, tier->prices[BILLING_prompt]);
    if (status_ok(added)) added = money_sum_add(&sum, output, tier->prices[BILLING_completion]);
    if (status_ok(added)) added = money_sum_add(&sum, 1, tier->prices[BILLING_request]);
    if (!status_ok(added) || !status_ok(money_sum_round(&sum, &cost))) return MONEY_MAX;
    return money_max(cost, (money){1});
}

/* ---- order ----------------------------------------------------------------------------------- */

static void take(struct option_list *options, size_t index, struct choose_result *result)
{
    result->candidates[result->count++] = options->items[index].endpoint;
    options->items[index] = options->items[--options->count];
}

/* Those of one name come by health and price, as a name may mean several variants. */
static bool is_better(const struct option *a, const struct option *b)
{
    if (a->health != b->health) return a->health < b->health;
    int order = money_compare(a->cost, b->cost);
    return order != 0 ? order < 0 : a->endpoint->id < b->endpoint->id;
}

static bool find_best(const struct option_list *options, const slice *name, size_t *best)
{
    bool found = false;
    for (size_t i = 0; i < options->count; i++) {
        const struct option *option = &options->items[i];
        if (name != NULL && !names_provider(*name, option->endpoint->provider->slug)) continue;
        if (found && !is_better(option, &options->items[*best])) continue;
        *best = i;
        found = true;
    }
    return found;
}

static void take_named(const struct choose_wish *wish, struct option_list *options,
                       struct choose_result *result)
{
    size_t best = 0;
    for (uint8_t i = 0; i < wish->order.count; i++) {
        while (result->count < CANDIDATES_MAX && find_best(options, &wish->order.items[i], &best)) {
            take(options, best, result);
        }
    }
}

static void take_by_price(struct option_list *options, struct choose_result *result)
{
    size_t best = 0;
    while (result->count < CANDIDATES_MAX && find_best(options, NULL, &best)) {
        take(options, best, result);
    }
}

/* SplitMix64: one random number of the caller becomes as many as are drawn. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Against the cheapest that is left, so that dear ones keep their ratio to each other when the
 * cheap ones are gone. Answers the sum. */
static uint64_t weigh(struct option_list *options, enum endpoint_health health)
{
    money cheapest = MONEY_MAX;
    for (size_t i = 0; i < options->count; i++) {
        if (options->items[i].health == health)
            cheapest = money_min(cheapest, options->items[i].cost);
    }
    uint64_t total = 0;
    for (size_t i = 0; i < options->count; i++) {
        struct option *option = &options->items[i];
        if (option->health != health) continue;
        money ratio;
        if (!status_ok(money_scale(RATIO_ONE, cheapest.nano, option->cost.nano, &ratio)))
            ratio = MONEY_ZERO;
        uint64_t factor = ratio.nano > 0 ? (uint64_t)ratio.nano : 1; /* never quite to zero */
        option->weight = factor * factor;
        total += option->weight;
    }
    return total;
}

/* One draw among the options of this health; false when there are none. */
static bool draw(struct option_list *options, enum endpoint_health health, uint64_t *random,
                 size_t *drawn)
{
    uint64_t total = weigh(options, health);
    if (total == 0) return false;
    /* The bias of the remainder is below 2^-9, and only where 128 endpoints cost the same. */
    uint64_t point = next_random(random) % total;
    for (size_t i = 0; i < options->count; i++) {
        if (options->items[i].health != health) continue;
        *drawn = i;
        if (point < options->items[i].weight) return true;
        point -= options->items[i].weight;
    }
    return true;
}

static void take_by_draw(struct option_list *options, uint64_t random, struct choose_result *result)
{
    for (enum endpoint_health health = HEALTH_STABLE; health <= HEALTH_DOWN; health++) {
        size_t drawn = 0;
        while (result->count < CANDIDATES_MAX && draw(options, health, &random, &drawn)) {
            take(options, drawn, result);
        }
    }
}

static void exclude_surplus(const struct market_model *model, struct choose_result *result)
{
    for (uint32_t i = 0; i < model->endpoint_count && i < EXCLUDED_MAX; i++) {
        if (result->excluded[i] != EXCLUDED_NOT) continue;
        bool chosen = false;
        for (uint8_t c = 0; c < result->count; c++) {
            chosen = chosen || result->candidates[c] == &model->endpoints[i];
        }
        if (!chosen) result->excluded[i] = EXCLUDED_SURPLUS;
    }
}
