/* SPDX-License-Identifier: Apache-2.0 */
/* The query of GET /api/v1/models: which models, in which order, which page. */
#pragma once

#include "services/catalog/market.h"
#include "shared/http/control.h"

#define FILTER_LIMIT_MAX     1000
#define FILTER_LIMIT_DEFAULT 500

enum filter_order {
    /* Also for orders whose figures do not exist yet: popularity, throughput, benchmarks. */
    ORDER_BY_ID,
    ORDER_CHEAPEST,
    ORDER_DEAREST,
    ORDER_LONGEST_CONTEXT,
    ORDER_NEWEST,
};

struct filter {
    slice text; /* q */
    /* Comma-separated; empty: any. All parameters and input modalities asked for must be there; of
     * the others one. */
    slice supported_parameters, input_modalities, output_modalities, model_authors, providers,
        tokenizers;
    int64_t context_min;
    /* Dollars per million tokens, which is also what a price counts; -1: no bound. */
    int64_t prompt_min, prompt_max, completion_min, completion_max;
    int64_t created_min, created_max; /* Unix seconds */
    enum filter_order order;
    uint32_t offset, limit;
    bool paged; /* offset or limit was given: otherwise everything is one page */
};

struct filter_hit {
    const struct market_model *model;
};
struct filter_page {
    struct filter_hit *hits;
    uint32_t count;       /* on this page */
    uint32_t total_count; /* that match */
};

/* OUT_OF_RANGE, BAD_REQUEST with a message that names the parameter. */
status filter_read(struct control_request *request, struct filter *filter, slice *message);
status filter_apply(const struct filter *filter, const struct market *market, struct arena *arena,
                    struct filter_page *page);
bool filter_matches(const struct filter *filter, const struct market_model *model);

/* The same query with the next offset, as a path; empty on the last page. */
status filter_next_link(struct control_request *request, const struct filter *filter,
                        const struct filter_page *page, slice *link);
