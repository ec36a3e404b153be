/* SPDX-License-Identifier: Apache-2.0 */
/* One state of the market, read from PostgreSQL and never changed afterwards: providers, models,
 * endpoints and their present prices, the frames an edge gets, and the models' JSON. Everything
 * lives in the market's own arena. Shared between threads by a reference count. */
#pragma once

#include <stdatomic.h>

#include "shared/arena.h"
#include "shared/ipc/message.h"

/* A market is sent as a whole into one peer's buffer, which takes PEER_OUT_MAX (8 MiB): half of it
 * leaves room for frames that wait already. 844 endpoints need about 0.2 MiB. */
#define MARKET_FRAMES_MAX     (4u << 20)
#define MARKET_JSON_MAX       (64u << 20)
#define MARKET_MEMORY_MAX     ((size_t)256 << 20)

/* The version that a simulated provider's key is sent with. Real keys have higher ones, so that an
 * edge sees every change between the two. */
#define KEY_VERSION_SIMULATED 1

struct market_provider {
    uint32_t id;
    slice slug, name;
    slice base_url;          /* of the real provider, as the catalog knows it */
    slice base_url_override; /* the operator's own address for it; empty: none */
    slice headquarters, privacy_policy_url, terms_of_service_url,
        status_page_url; /* empty: not known */
    enum dialect dialect;
    bool live;
    bool simulated; /* set by market_finish: not live, and the instance has a simulated provider */
    uint32_t key_version; /* of the sealed platform key; 0: none */
    slice key_sealed, key_label;
    uint32_t margin_basis_points; /* of the operator: what new endpoints begin with */
    uint32_t endpoint_count, responses_only_count;
};

struct market_endpoint {
    uint32_t id;
    const struct market_model *model;
    const struct market_provider *provider;
    const struct price_row *price; /* what customers pay; NULL: no price, never served */
    const struct price_row
        *list; /* what it was made from by the margin: the same row without one */
    uint32_t margin_basis_points; /* of the operator */
    slice price_source;           /* "catalog", "price-map", "operator"; empty without a price */
    slice tag, upstream_model, quantization;
    uint32_t context_length, output_max; /* output_max 0: not known */
    bool disabled;                       /* by the operator */
    bool responses_only; /* the provider answers it on /responses only, which is not spoken yet */
};

struct market_model {
    uint32_t id;
    slice slug, name, description, tokenizer;
    int64_t created; /* Unix seconds */
    uint32_t context_length, output_max;
    slice input_modalities, output_modalities, supported_parameters; /* joined by commas */
    slice knowledge_cutoff, deprecation_date;                        /* YYYY-MM-DD, empty: none */
    struct market_endpoint *endpoints;                               /* in the order of their ids */
    uint32_t endpoint_count;
    const struct market_endpoint *cheapest; /* of those that can be served; NULL: not for sale */
    slice json; /* as GET /api/v1/models lists it; empty when not for sale */
};

struct market {
    struct arena arena; /* holds this struct, too */
    atomic_uint references;
    uint64_t revision;
    struct market_provider *providers; /* ascending by slug */
    struct market_model *models;       /* ascending by slug */
    struct market_endpoint *endpoints; /* grouped by model */
    struct price_row *prices;          /* ascending by id; list prices behind a margin, too */
    uint32_t provider_count, model_count, endpoint_count, price_count;
    uint32_t models_for_sale;
    uint32_t endpoint_id_max;
    struct buffer frames; /* MARKET_BEGIN … MARKET_READY */
    struct buffer json;   /* what the models' slices point into */
    struct buffer list;   /* the whole answer of GET /api/v1/models without a filter */
};

/* What the rest of the configuration makes of the rows. */
struct market_settings {
    bool simulated; /* providers that are not live are answered by the simulated provider */
    uint16_t sim_port;
};

struct market_counts {
    uint32_t providers, models, endpoints, prices;
};

/* An empty market with room for that many rows, one reference. The owner fills the arrays in their
 * order. */
struct market *market_new(const struct market_counts *counts);
struct market *market_retain(struct market *market);
void market_release(struct market **market);

/* A copy in the market's arena. TOO_LARGE when the market is full. */
status market_copy(struct market *market, slice text, slice *copy);

/* Links models to their endpoints, finds the cheapest ones, renders JSON and encodes frames.
 * OVERFLOW when the frames do not fit MARKET_FRAMES_MAX: such a market is refused as a whole. */
status market_finish(struct market *market, const struct market_settings *settings);

/* NULL when unknown. */
const struct market_model *market_find_model(const struct market *market, slice slug);
const struct market_provider *market_find_provider(const struct market *market, slice slug);
const struct market_provider *market_provider_by_id(const struct market *market, uint32_t id);
const struct market_endpoint *market_find_endpoint(const struct market_model *model, slice tag);
const struct market_endpoint *market_endpoint_by_id(const struct market *market, uint32_t id);
const struct price_row *market_find_price(const struct market *market, uint32_t id);

/* Where the real provider is called. */
slice market_base_url(const struct market_provider *provider);

/* Its provider is simulated, or live and spoken to in a way that this endpoint answers. */
bool market_is_reachable(const struct market_endpoint *endpoint);
/* Not disabled, priced, and reachable. */
bool market_is_served(const struct market_endpoint *endpoint);
/* Why it is not, for the operator; empty when it is. */
slice market_reason_not_served(const struct market_endpoint *endpoint);

/* < 0, 0, > 0 by the sum of the prompt and completion prices of the first tier. */
int market_compare_prices(const struct price_row *a, const struct price_row *b);

const char *market_dialect_name(enum dialect dialect);
status market_dialect_of(slice name, enum dialect *dialect); /* OUT_OF_RANGE for another name */
/* Whether the edge has a codec for it; only such a provider can be made live. */
bool market_dialect_is_spoken(enum dialect dialect);
