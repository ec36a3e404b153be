/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters in, models out. A parameter that promises something about privacy or place and cannot
 * be kept (zdr, region) is refused rather than ignored; one that only asks for figures nobody has
 * yet is ignored. */
#include "services/catalog/api/filter.h"

#include <stdlib.h>

#define NO_BOUND      (-1)
#define SECONDS_A_DAY 86400
#define AGE_DAYS_MAX  100000
#define LINK_MAX      8192

static const struct {
    slice name;
    enum filter_order order;
} orders[] = {
    {{"pricing-low-to-high", 19}, ORDER_CHEAPEST},
    {{"pricing-high-to-low", 19}, ORDER_DEAREST},
    {{"context-high-to-low", 19}, ORDER_LONGEST_CONTEXT},
    {{"newest", 6}, ORDER_NEWEST},
    {{"most-popular", 12}, ORDER_BY_ID},
    {{"top-weekly", 10}, ORDER_BY_ID},
    {{"throughput-high-to-low", 22}, ORDER_BY_ID},
    {{"latency-low-to-high", 19}, ORDER_BY_ID},
    {{"intelligence-high-to-low", 24}, ORDER_BY_ID},
    {{"coding-high-to-low", 18}, ORDER_BY_ID},
    {{"agentic-high-to-low", 19}, ORDER_BY_ID},
    {{"design-arena-elo-high-to-low", 28}, ORDER_BY_ID},
};

static status read_texts(struct control_request *request, struct filter *filter, slice *message);
static status read_numbers(struct control_request *request, struct filter *filter, slice *message);
static status read_ages(struct control_request *request, struct filter *filter, slice *message);
static void sort_models(struct filter_page *page, enum filter_order order);

/* ---- reading --------------------------------------------------------------------------------- */

status filter_read(struct control_request *request, struct filter *filter, slice *message)
{
    *filter = (struct filter){
        .limit = FILTER_LIMIT_DEFAULT,
        .created_min = INT64_MIN,
        .created_max = INT64_MAX,
    };
    TRY(read_texts(request, filter, message));
    TRY(read_numbers(request, filter, message));
    return read_ages(request, filter, message);
}

static status read_order(struct control_request *request, struct filter *filter, slice *message)
{
    slice sort = control_query(request, SLICE("sort"));
    if (sort.len == 0) return OK;
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        if (!slice_equal(sort, orders[i].name)) continue;
        filter->order = orders[i].order;
        return OK;
    }
    *message =
        SLICE("sort: use pricing-low-to-high, pricing-high-to-low, context-high-to-low or newest");
    return FAIL(OUT_OF_RANGE);
}

static status read_texts(struct control_request *request, struct filter *filter, slice *message)
{
    if (control_query(request, SLICE("zdr")).len > 0 ||
        control_query(request, SLICE("region")).len > 0) {
        *message = SLICE("zdr and region cannot be filtered by: nothing is known about either");
        return FAIL(BAD_REQUEST);
    }
    filter->text = control_query(request, SLICE("q"));
    filter->supported_parameters = control_query(request, SLICE("supported_parameters"));
    filter->input_modalities = control_query(request, SLICE("input_modalities"));
    filter->output_modalities = control_query(request, SLICE("output_modalities"));
    filter->model_authors = control_query(request, SLICE("model_authors"));
    filter->providers = control_query(request, SLICE("providers"));
    filter->tokenizers = control_query(request, SLICE("arch"));
    if (filter->output_modalities.len == 0) filter->output_modalities = SLICE("text");
    if (slice_equal(filter->output_modalities, SLICE("all")))
        filter->output_modalities = SLICE_NONE;
    return read_order(request, filter, message);
}

/* A whole number from low to high; *value stays when the parameter is absent. */
static status read_integer(struct control_request *request, slice name, int64_t low, int64_t high,
                           int64_t *value)
{
    slice text = control_query(request, name);
    if (text.len == 0) return OK;
    int64_t number;
    TRY(slice_to_i64(text, &number));
    if (number < low || number > high) return FAIL(OUT_OF_RANGE);
    *value = number;
    return OK;
}

/* $X per million tokens is X · 10^9 nano-dollars per million: what money_parse_dollars answers. */
static status read_price(struct control_request *request, slice name, int64_t *bound)
{
    money amount;
    slice text = control_query(request, name);
    *bound = NO_BOUND;
    if (text.len == 0) return OK;
    TRY(money_parse_dollars(text, false, &amount));
    *bound = amount.nano;
    return OK;
}

static status read_numbers(struct control_request *request, struct filter *filter, slice *message)
{
    int64_t offset = 0;
    int64_t limit = FILTER_LIMIT_DEFAULT;
    filter->paged = control_query(request, SLICE("offset")).len > 0 ||
                    control_query(request, SLICE("limit")).len > 0;
    *message = SLICE("offset: a whole number from 0");
    TRY(read_integer(request, SLICE("offset"), 0, INT32_MAX, &offset));
    *message = SLICE("limit: a whole number from 1 to 1000");
    TRY(read_integer(request, SLICE("limit"), 1, FILTER_LIMIT_MAX, &limit));
    *message = SLICE("context: a whole number from 0");
    TRY(read_integer(request, SLICE("context"), 0, INT32_MAX, &filter->context_min));
    *message = SLICE("prices: dollars per million tokens, from 0");
    TRY(read_price(request, SLICE("min_price"), &filter->prompt_min));
    TRY(read_price(request, SLICE("max_price"), &filter->prompt_max));
    TRY(read_price(request, SLICE("min_output_price"), &filter->completion_min));
    TRY(read_price(request, SLICE("max_output_price"), &filter->completion_max));
    *message = SLICE_NONE;
    filter->offset = (uint32_t)offset;
    filter->limit = (uint32_t)limit;
    return OK;
}

static status read_ages(struct control_request *request, struct filter *filter, slice *message)
{
    int64_t now_s = clock_wall().ns / 1000000000;
    int64_t youngest = NO_BOUND;
    int64_t oldest = NO_BOUND;
    *message = SLICE("ages: whole days from 0");
    TRY(read_integer(request, SLICE("min_age_days"), 0, AGE_DAYS_MAX, &youngest));
    TRY(read_integer(request, SLICE("max_age_days"), 0, AGE_DAYS_MAX, &oldest));
    *message = SLICE_NONE;
    if (youngest != NO_BOUND) filter->created_max = now_s - youngest * SECONDS_A_DAY;
    if (oldest != NO_BOUND) filter->created_min = now_s - oldest * SECONDS_A_DAY;
    return OK;
}

/* ---- matching -------------------------------------------------------------------------------- */

static bool joined_contains(slice joined, slice item)
{
    while (joined.len > 0) {
        slice name;
        (void)slice_split(joined, ',', &name, &joined);
        if (slice_equal_nocase(slice_trim(name), item)) return true;
    }
    return false;
}

static bool contains_all(slice joined, slice wanted)
{
    while (wanted.len > 0) {
        slice name;
        (void)slice_split(wanted, ',', &name, &wanted);
        if (!joined_contains(joined, slice_trim(name))) return false;
    }
    return true;
}

static bool contains_any(slice joined, slice wanted)
{
    if (wanted.len == 0) return true;
    while (wanted.len > 0) {
        slice name;
        (void)slice_split(wanted, ',', &name, &wanted);
        if (joined_contains(joined, slice_trim(name))) return true;
    }
    return false;
}

/* ASCII letters of both cases are the same. */
static bool holds_text(slice text, slice part)
{
    for (size_t i = 0; i + part.len <= text.len; i++) {
        if (slice_equal_nocase((slice){text.data + i, part.len}, part)) return true;
    }
    return false;
}

static bool served_by_any(const struct market_model *model, slice wanted)
{
    if (wanted.len == 0) return true;
    for (uint32_t i = 0; i < model->endpoint_count; i++) {
        const struct market_endpoint *endpoint = &model->endpoints[i];
        if (market_is_served(endpoint) && (joined_contains(wanted, endpoint->provider->slug) ||
                                           joined_contains(wanted, endpoint->provider->name))) {
            return true;
        }
    }
    return false;
}

static bool within(price value, int64_t low, int64_t high)
{
    return (low == NO_BOUND || value.nano_per_million >= low) &&
           (high == NO_BOUND || value.nano_per_million <= high);
}

bool filter_matches(const struct filter *filter, const struct market_model *model)
{
    if (model->cheapest == NULL) return false;
    slice author;
    slice rest;
    (void)slice_split(model->slug, '/', &author, &rest);
    const price *prices = model->cheapest->price->tiers[0].prices;
    return (holds_text(model->slug, filter->text) || holds_text(model->name, filter->text)) &&
           contains_all(model->supported_parameters, filter->supported_parameters) &&
           contains_all(model->input_modalities, filter->input_modalities) &&
           contains_any(model->output_modalities, filter->output_modalities) &&
           contains_any(author, filter->model_authors) &&
           contains_any(model->tokenizer, filter->tokenizers) &&
           served_by_any(model, filter->providers) &&
           (int64_t)model->context_length >= filter->context_min &&
           within(prices[BILLING_prompt], filter->prompt_min, filter->prompt_max) &&
           within(prices[BILLING_completion], filter->completion_min, filter->completion_max) &&
           model->created >= filter->created_min && model->created <= filter->created_max;
}

status filter_apply(const struct filter *filter, const struct market *market, struct arena *arena,
                    struct filter_page *page)
{
    *page = (struct filter_page){0};
    page->hits = arena_alloc_array(arena, market->model_count, sizeof(page->hits[0]));
    if (page->hits == NULL) return FAIL(TOO_LARGE);
    for (uint32_t i = 0; i < market->model_count; i++) {
        if (filter_matches(filter, &market->models[i]))
            page->hits[page->total_count++].model = &market->models[i];
    }
    sort_models(page, filter->order);
    uint32_t offset = filter->offset < page->total_count ? filter->offset : page->total_count;
    uint32_t left = page->total_count - offset;
    page->hits += offset;
    page->count = filter->paged && left > filter->limit ? filter->limit : left;
    return OK;
}

/* ---- order ----------------------------------------------------------------------------------- */

/* Models lie in one array ascending by id, so their addresses break ties and make every order
 * total. */
static int by_id(const struct market_model *a, const struct market_model *b)
{
    return (a > b) - (a < b);
}

static int compare_cheapest(const void *left, const void *right)
{
    const struct market_model *a = ((const struct filter_hit *)left)->model;
    const struct market_model *b = ((const struct filter_hit *)right)->model;
    int order = market_compare_prices(a->cheapest->price, b->cheapest->price);
    return order != 0 ? order : by_id(a, b);
}

static int compare_dearest(const void *left, const void *right)
{
    const struct market_model *a = ((const struct filter_hit *)left)->model;
    const struct market_model *b = ((const struct filter_hit *)right)->model;
    int order = market_compare_prices(b->cheapest->price, a->cheapest->price);
    return order != 0 ? order : by_id(a, b);
}

static int compare_longest_context(const void *left, const void *right)
{
    const struct market_model *a = ((const struct filter_hit *)left)->model;
    const struct market_model *b = ((const struct filter_hit *)right)->model;
    int order = (a->context_length < b->context_length) - (a->context_length > b->context_length);
    return order != 0 ? order : by_id(a, b);
}

static int compare_newest(const void *left, const void *right)
{
    const struct market_model *a = ((const struct filter_hit *)left)->model;
    const struct market_model *b = ((const struct filter_hit *)right)->model;
    int order = (a->created < b->created) - (a->created > b->created);
    return order != 0 ? order : by_id(a, b);
}

static void sort_models(struct filter_page *page, enum filter_order order)
{
    static int (*const comparisons[])(const void *, const void *) = {
        [ORDER_BY_ID] = NULL,
        [ORDER_CHEAPEST] = compare_cheapest,
        [ORDER_DEAREST] = compare_dearest,
        [ORDER_LONGEST_CONTEXT] = compare_longest_context,
        [ORDER_NEWEST] = compare_newest,
    };
    if (comparisons[order] == NULL) return;
    qsort(page->hits, page->total_count, sizeof(page->hits[0]), comparisons[order]);
}

/* ---- the next page --------------------------------------------------------------------------- */

status filter_next_link(struct control_request *request, const struct filter *filter,
                        const struct filter_page *page, slice *link)
{
    *link = SLICE_NONE;
    uint64_t next = (uint64_t)filter->offset + page->count;
    if (page->count == 0 || next >= page->total_count) return OK;
    char *memory = arena_alloc(request->arena, LINK_MAX);
    if (memory == NULL) return FAIL(TOO_LARGE);
    struct buffer text;
    buffer_init_fixed(&text, memory, LINK_MAX);
    buffer_append(&text, request->path);
    buffer_append(&text, SLICE("?offset="));
    buffer_append_u64(&text, next);
    slice rest = request->query;
    while (rest.len > 0) {
        slice pair;
        (void)slice_split(rest, '&', &pair, &rest);
        if (slice_starts_with(pair, SLICE("offset=")) || pair.len == 0) continue;
        buffer_append_char(&text, '&');
        buffer_append(&text, pair);
    }
    TRY(buffer_finish(&text));
    *link = buffer_slice(&text);
    return OK;
}
