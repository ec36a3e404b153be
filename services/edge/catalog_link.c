/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot is built frame by frame beside the one in use; a broken one is dropped and the
 * connection closed, so that the catalog sends it anew. */
#include "services/edge/catalog_link.h"

#include <stdlib.h>

#include "services/edge/edge.h"
#include "services/edge/thread.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define CATALOG_SOCKET    "run/catalog-ipc.sock"
#define OUTCOMES_MAX      ((size_t)256 * 1024) /* in a tenth of a second; more are dropped */
#define OUTCOME_FRAME_MAX 64

struct catalog_link {
    struct thread *thread;
    struct peer *peer;
    bool welcomed;
    struct market_builder *builder; /* a snapshot under way */
    struct buffer outcomes;         /* frames that wait for the timer: nobody hurries for them */
    h2o_timeout_entry_t outcomes_entry;
};

static void opened(struct peer *peer, void *context);
static status received(struct peer *peer, const struct frame *frame, void *context);
static void closed(struct peer *peer, void *context);
static void send_outcomes(h2o_timeout_entry_t *entry);
static const struct peer_callbacks callbacks = {opened, received, closed};

struct catalog_link *catalog_link_new(struct thread *thread)
{
    struct catalog_link *link = calloc(1, sizeof(*link));
    if (link == NULL) abort();
    link->thread = thread;
    buffer_init(&link->outcomes, OUTCOMES_MAX);
    link->outcomes_entry.cb = send_outcomes;
    link->peer = peer_dial(thread->peers, CATALOG_SOCKET, &callbacks, link);
    return link;
}

void catalog_link_free(struct catalog_link **link_pointer)
{
    struct catalog_link *link = TAKE(*link_pointer);
    if (link == NULL) return;
    market_builder_free(&link->builder);
    h2o_timeout_unlink(&link->outcomes_entry);
    buffer_free(&link->outcomes);
    free(link);
}

bool catalog_ready(const struct catalog_link *link)
{
    return link->welcomed && peer_is_open(link->peer);
}

uint64_t catalog_call(struct catalog_link *link, struct peer_call call, struct buffer **out)
{
    if (!catalog_ready(link)) return 0;
    *out = peer_out(link->peer);
    return *out == NULL ? 0 : peer_call_begin(link->peer, call);
}

void catalog_outcome(struct catalog_link *link, const struct message_outcome *outcome)
{
    if (!catalog_ready(link)) return;
    /* Room for a whole frame or none: half of one would break the stream. */
    if (OUTCOMES_MAX - link->outcomes.len < OUTCOME_FRAME_MAX) return;
    message_encode_outcome(&link->outcomes, 0, outcome);
    if (!h2o_timeout_is_linked(&link->outcomes_entry))
        h2o_timeout_link(link->thread->loop, &link->thread->http.hundred_ms_timeout,
                         &link->outcomes_entry);
}

/* One write, and one waking of the catalog, for all outcomes of a tenth of a second. */
static void send_outcomes(h2o_timeout_entry_t *entry)
{
    struct catalog_link *link = H2O_STRUCT_FROM_MEMBER(struct catalog_link, outcomes_entry, entry);
    struct buffer *out = catalog_ready(link) ? peer_out(link->peer) : NULL;
    if (out != NULL) buffer_append(out, buffer_slice(&link->outcomes));
    buffer_clear(&link->outcomes);
}

static void opened(struct peer *peer, void *context)
{
    struct catalog_link *link = context;
    const struct message_hello hello = {
        .version = MESSAGE_VERSION,
        .incarnation = link->thread->edge->incarnation,
        .thread = link->thread->index,
        .threads = link->thread->edge->thread_count,
        .wants_market = link->thread->index == 0,
    };
    struct buffer *out = peer_out(peer);
    if (out != NULL) message_encode_hello(out, 0, &hello);
}

static status begin_market(struct catalog_link *link, const struct frame *frame)
{
    struct message_market_begin message;
    TRY(message_decode_market_begin(frame->body, &message));
    market_builder_free(&link->builder);
    link->builder = market_builder_new(message.revision);
    return OK;
}

static void release_market(struct market **market)
{
    if (*market != NULL) market_release(market);
}

static status finish_market(struct catalog_link *link, const struct frame *frame)
{
    struct message_market_ready message;
    TRY(message_decode_market_ready(frame->body, &message));
    if (link->builder == NULL) return FAIL(MALFORMED);
    SCOPED(release_market) struct market *market = NULL;
    status built = market_builder_finish(&link->builder, &message, &market);
    if (!status_ok(built)) {
        log_error("market_refused", FN(number, revision, message.revision), F(error, built));
        return built;
    }
    metric_set(market_revision, market_revision(market));
    metric_set(market_models, market_model_count(market));
    log_info("market_loaded", FN(number, revision, market_revision(market)),
             FN(count, models, market_model_count(market)));
    struct edge *edge = link->thread->edge;
    for (uint16_t i = 0; i < edge->thread_count; i++)
        thread_give_market(&edge->threads[i], market);
    return OK;
}

static status set_health(struct catalog_link *link, const struct frame *frame)
{
    struct message_health message;
    TRY(message_decode_health(frame->body, &message));
    if (message.state <= HEALTH_DOWN)
        health_board_set(link->thread->edge->health, message.endpoint,
                         (enum endpoint_health)message.state);
    return OK;
}

static void set_welcomed(struct catalog_link *link, bool welcomed)
{
    if (link->welcomed == welcomed) return;
    link->welcomed = welcomed;
    atomic_fetch_add(&link->thread->edge->catalog_links, welcomed ? 1 : UINT32_MAX); /* ± 1 */
}

static status received(struct peer *peer, const struct frame *frame, void *context)
{
    (void)peer;
    struct catalog_link *link = context;
    switch (frame->type) {
    case MESSAGE_welcome: set_welcomed(link, true); return OK;
    case MESSAGE_market_begin: return begin_market(link, frame);
    case MESSAGE_market_ready: return finish_market(link, frame);
    case MESSAGE_health: return set_health(link, frame);
    case MESSAGE_provider:
    case MESSAGE_model:
    case MESSAGE_market_price:
    case MESSAGE_endpoint:
        if (link->builder == NULL) return FAIL(MALFORMED);
        return market_builder_add(link->builder, frame);
    default: return OK; /* of a newer version */
    }
}

static void closed(struct peer *peer, void *context)
{
    (void)peer;
    struct catalog_link *link = context;
    set_welcomed(link, false);
    market_builder_free(&link->builder);
}
