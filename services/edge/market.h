/* SPDX-License-Identifier: Apache-2.0 */
/* The market as the edge sees it: one immutable snapshot built from the catalog's frames and
 * swapped as a whole, shared by all threads through a reference count. Requests in flight keep
 * the one they started with. Health lives beside it. */
#pragma once

#include "shared/arena.h"
#include "shared/http/url.h"
#include "shared/ipc/message.h"

struct market_provider {
    uint32_t id;
    slice slug, name;
    struct url base; /* of its API; without a host when its address is none */
    enum dialect dialect;
    bool simulated;
    uint32_t key_version; /* 0: no platform key */
};
struct market_endpoint {
    uint32_t id;
    uint32_t upstream_context, output_max; /* 0: not known */
    const struct market_provider *provider;
    const struct price_row *price; /* NULL: never chosen */
    slice upstream_model;
    bool disabled;
};
struct market_model {
    uint32_t id;
    slice slug, name;
    uint32_t context_length, output_max;
    uint32_t input_modalities, image_tokens_max;
    uint32_t endpoint_count;
    bool live; /* one of its endpoints is a real provider's: the simulator answers no more */
    const struct market_endpoint *endpoints; /* of this model, in the order of their ids */
};
struct market;

/* The dialect to speak to this endpoint: the simulated provider speaks openai, whomever it
 * stands for. */
enum dialect market_endpoint_dialect(const struct market_endpoint *endpoint);

/* Builder: feed the frames between MARKET_BEGIN and MARKET_READY. MALFORMED (a reference to
 * nothing, wrong row count) drops the snapshot and keeps the old. */
struct market_builder;
struct market_builder *market_builder_new(uint64_t revision);
status market_builder_add(struct market_builder *builder, const struct frame *frame);
status market_builder_finish(struct market_builder **builder,
                             const struct message_market_ready *ready, struct market **market);
void market_builder_free(struct market_builder **builder);

struct market *market_retain(struct market *market);
void market_release(struct market **market);
uint64_t market_revision(const struct market *market);
size_t market_model_count(const struct market *market);
/* By author/slug; NULL when unknown. O(1). */
const struct market_model *market_find(const struct market *market, slice slug);

/* Health by endpoint id: what the catalog said, and what this process saw itself in the last
 * seconds. Relaxed atomics. */
struct health_board;
struct health_board *health_board_new(void);
void health_board_set(struct health_board *board, uint32_t endpoint, enum endpoint_health state);
/* Own observation: a failure marks the endpoint for `now_ms` + 10 s (Retry-After if given), a
 * success clears it. */
void health_board_observe(struct health_board *board, uint32_t endpoint, enum attempt_result result,
                          uint64_t now_ms, uint32_t retry_after_ms);
enum endpoint_health health_board_read(const struct health_board *board, uint32_t endpoint,
                                       uint64_t now_ms);
