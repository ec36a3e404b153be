/* SPDX-License-Identifier: Apache-2.0 */
/* What a catalog file or a price map says, checked and in one form, before it meets the database.
 * Pure data: slices point into the arena or the text it was read from. */
#pragma once

#include "shared/arena.h"
#include "shared/billing.h"
#include "shared/ipc/codec.h"

struct provider_facts {
    slice slug, name, base_url;
    enum dialect dialect;
    slice headquarters, privacy_policy_url, terms_of_service_url,
        status_page_url; /* empty: not known */
};

struct model_facts {
    slice slug, name, description, tokenizer;
    int64_t created; /* Unix seconds */
    uint32_t context_length, output_max;
    slice input_modalities, output_modalities, supported_parameters; /* joined by commas */
    slice knowledge_cutoff, deprecation_date;                        /* empty: none */
};

struct endpoint_facts {
    slice source_name; /* what the source calls it, for lines of the report */
    slice provider, tag, upstream_model, quantization;
    uint32_t model; /* index in facts->models */
    uint32_t context_length, output_max;
    bool responses_only; /* the provider answers it on /responses, not on /chat/completions */
    bool has_price;
    struct price_row price; /* complete; its id is 0 */
    /* Of a map: why this entry may only update a known endpoint; empty: it may become one. */
    slice not_new;
};

/* What was not taken over, and why, for the report. */
struct dropped_line {
    slice model, reason;
};

/* How an import treats what the database knows already. */
enum facts_kind {
    FACTS_CATALOG, /* our catalog file: describes models and endpoints anew */
    FACTS_MAP,     /* a price map: only prices of known endpoints; adds what is missing */
};

struct facts {
    enum facts_kind kind;
    slice source_date; /* YYYY-MM-DD */
    struct provider_facts *providers;
    struct model_facts *models;
    struct endpoint_facts *endpoints;
    struct dropped_line *dropped;
    uint32_t provider_count, model_count, endpoint_count, dropped_count;
    uint32_t dropped_max; /* room; what exceeds it is only counted */
    uint32_t dropped_total;
    uint32_t skipped; /* entries of kinds or providers that do not concern us */
};

/* Adds a line. Both texts must outlive the facts. */
void facts_drop(struct facts *facts, slice model, slice reason);

/* The prices of one tier as somebody names them, before the rest is filled in. */
struct named_prices {
    uint32_t above_prompt_tokens;
    bool named[BILLING_CLASS_COUNT];
    price prices[BILLING_CLASS_COUNT];
};

/* A complete row. A class that a tier does not name is the base's where the base names it;
 * otherwise it follows: cache_read, cache_write and audio_in the prompt, cache_write_1h the
 * cache_write, reasoning and audio_out the completion, the rest 0. OUT_OF_RANGE unless there are 1
 * to BILLING_TIERS_MAX tiers, the first from 0, ascending; MISSING_FIELD without a prompt or
 * completion price in the first. */
status facts_fill_prices(const struct named_prices *tiers, size_t count, struct price_row *row);

/* A price above $500 per million units in or $1,000 out is an entry in a wrong unit, never a real
 * one: the dearest model of the market takes $150 and $600. */
bool facts_wrong_unit(const struct price_row *row);
/* The prompt or the completion costs nothing: free, local and unknown look alike, so nobody is
 * served for it. */
bool facts_no_charge(const struct price_row *row);
/* Meant to be free: the model's id ends in ":free" and all its prices are zero. Such a price is
 * served; the plan limits how often. */
bool facts_is_free(slice slug, const struct price_row *row);

/* YYYY-MM-DD and a day of the calendar. */
bool facts_date_valid(slice text);
/* author/slug in the characters the database takes. */
bool facts_slug_valid(slice text);
/* No control characters, not empty, not longer than that; whether it is UTF-8 the reader has
 * checked. */
bool facts_text_valid(slice text, size_t len_max);
/* What the edge can call (shared/http/url.h) over http:// or https://. No user, query or fragment:
 * a key in an address would end up in logs. */
bool facts_base_url_valid(slice text);
