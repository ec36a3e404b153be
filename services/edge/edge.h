/* SPDX-License-Identifier: Apache-2.0 */
/* The edge process and one of its threads. Threads share the configuration, the health board and a
 * few counters; everything else belongs to one thread and its event loop, so there are no locks. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "services/edge/listen.h"
#include "services/edge/market.h"
#include "services/edge/request.h"
#include "services/edge/upstream/upstream.h"
#include "shared/config.h"
#include "shared/h2o.h"
#include "shared/ipc/peer.h"
#include "shared/scheduling.h"

#define EDGE_THREADS_MAX   256

/* Bytes beyond body_max that are still read: who is cut while it sends never reads why. */
#define EDGE_BODY_OVER_MAX (16 * 1024 * 1024)

struct ledger_link;
struct catalog_link;
struct ready_round;
struct callers;
struct provider_keys;
struct egress;

struct edge {
    struct config config;
    uint64_t incarnation; /* random; names the streams of numbered frames of this process */
    struct health_board *health;
    h2o_globalconf_t http;
    SSL_CTX *tls; /* NULL: plain HTTP */
    struct thread *threads;
    uint16_t thread_count;
    struct listener_group listeners;
    pthread_mutex_t preparing;
    pthread_barrier_t prepared; /* all threads and the main one */
    bool serves;
    char via_text[CONFIG_TEXT_SIZE + 32];
    slice via_line; /* "via: 1.1 bourse-<instance>", which every request to others carries */
    slice via;      /* "bourse-<instance>" in it */
    _Atomic int64_t body_bytes; /* of inference requests in flight, over all threads */
    /* Threads that are connected, and that have a market: readiness is that of all, because nobody
     * chooses which one serves him. */
    _Atomic uint32_t ledger_links, catalog_links, markets;
};

struct thread {
    struct edge *edge;
    uint16_t index;
    pthread_t id;
    status prepared;
    h2o_loop_t *loop;
    h2o_context_t http;
    h2o_multithread_receiver_t inbox; /* markets, connections, and the word to stop */
    struct listener listener;
    struct peer_set *peers;
    struct ledger_link *ledger;
    struct catalog_link *catalog;
    struct upstream_client *upstream;
    struct callers *callers;
    struct provider_keys *keys;
    struct market *market; /* NULL until the catalog sent one */
    struct requests requests;
    struct ready_round *ready_round; /* under way; NULL: none */
    struct egress *egress;           /* on the first thread; NULL: on the others */
    uint32_t forwards;               /* control-plane requests and egress calls in flight */
    h2o_timeout_t tick;              /* of every request in flight */
    h2o_timeout_t hold_limit;        /* the ledger's time to answer a HOLD */
    h2o_timeout_t care;              /* of the thread itself */
    h2o_timeout_entry_t care_entry;
    struct crowd crowd;
    uint64_t now_us;       /* of this turn; 0 until somebody asks */
    uint64_t random_state; /* request ids and draws; nothing secret comes from it */
    bool stopping;
    uint64_t stop_at_ms; /* when stopping: requests still in flight are cut then */
};

static inline struct thread *thread_of(h2o_req_t *http)
{
    return H2O_STRUCT_FROM_MEMBER(struct thread, http, http->conn->ctx);
}
