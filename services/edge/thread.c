/* SPDX-License-Identifier: Apache-2.0 */
/* A loop of its own with everything that hangs on it. Frames for the ledger and the catalog gather
 * while the loop turns and go out in one write before it sleeps. */
#include "services/edge/thread.h"

#include <stdlib.h>

#include "services/edge/callers.h"
#include "services/edge/catalog_link.h"
#include "services/edge/egress.h"
#include "services/edge/health.h"
#include "services/edge/keys.h"
#include "services/edge/ledger_link.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/random.h"

#define LOOP_WAIT_MAX_MS      1000
#define LOOP_WAIT_STOPPING_MS 20
#define CARE_MS               500
#define LAST_RECORDS_MS       5000 /* after the drain, for the ledger to acknowledge the rest */

enum inbox_kind { INBOX_MARKET, INBOX_CONNECTION, INBOX_STOP };
struct inbox_message {
    h2o_multithread_message_t message;
    enum inbox_kind kind;
    struct market *market;
    int fd;
};

static void inbox_read(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);
static void care_run(h2o_timeout_entry_t *entry);
static bool thread_drained(struct thread *thread);
static void thread_close(struct thread *thread);

static status prepare(struct thread *thread)
{
    const struct config *config = &thread->edge->config;
    thread->random_state = random_u64();
    thread->loop = h2o_evloop_create();
    h2o_context_init(&thread->http, thread->loop, &thread->edge->http);
    h2o_multithread_register_receiver(thread->http.queue, &thread->inbox, inbox_read);
    h2o_timeout_init(thread->loop, &thread->tick, TICK_MS);
    h2o_timeout_init(thread->loop, &thread->hold_limit, (uint64_t)config->hold_timeout);
    h2o_timeout_init(thread->loop, &thread->care, CARE_MS);
    thread->care_entry.cb = care_run;
    h2o_timeout_link(thread->loop, &thread->care, &thread->care_entry);
    thread->peers = peer_set_new(thread->loop);
    thread->ledger = ledger_link_new(thread);
    thread->catalog = catalog_link_new(thread);
    thread->callers = callers_new();
    thread->keys = keys_new(thread);
    TRY(upstream_client_new(thread->loop, thread->http.queue, config, &thread->upstream));
    return thread->index == 0 ? egress_open(thread, &thread->egress) : OK;
}

void *thread_run(void *argument)
{
    struct thread *thread = argument;
    struct edge *edge = thread->edge;
    (void)pthread_mutex_lock(&edge->preparing); /* they share the server's configuration */
    thread->prepared = prepare(thread);
    (void)pthread_mutex_unlock(&edge->preparing);
    (void)pthread_barrier_wait(&edge->prepared);
    (void)pthread_barrier_wait(&edge->prepared);
    if (!edge->serves) return NULL;
    listen_start(&thread->listener, &thread->http, thread->edge->tls);
    for (;;) {
        peer_set_flush(thread->peers);
        requests_write_ahead(&thread->requests);
        crowd_turn(&thread->crowd);
        thread->now_us = 0;
        int32_t wait_ms = thread->stopping ? LOOP_WAIT_STOPPING_MS : LOOP_WAIT_MAX_MS;
        /* A signal makes it return early, which is no reason to end. */
        (void)h2o_evloop_run(thread->loop, wait_ms);
        if (thread->stopping && thread_drained(thread)) break;
    }
    thread_close(thread);
    return NULL;
}

uint64_t thread_random(struct thread *thread)
{
    /* SplitMix64: a bijection of a counter, so ids do not repeat. */
    uint64_t z = (thread->random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t thread_now_us(struct thread *thread)
{
    if (thread->now_us == 0) thread->now_us = clock_monotonic_us();
    return thread->now_us;
}

uint64_t thread_now_ms(struct thread *thread)
{
    return thread_now_us(thread) / 1000;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void send_message(struct thread *thread, struct inbox_message content)
{
    struct inbox_message *message = malloc(sizeof(*message));
    if (message == NULL) abort();
    *message = content;
    h2o_multithread_send_message(&thread->inbox, &message->message);
}

void thread_give_market(struct thread *thread, struct market *market)
{
    send_message(thread,
                 (struct inbox_message){.kind = INBOX_MARKET, .market = market_retain(market)});
}

void thread_tell_stop(struct thread *thread)
{
    send_message(thread, (struct inbox_message){.kind = INBOX_STOP});
}

static struct listener *listener_at(void *context, size_t i)
{
    struct edge *edge = context;
    return &edge->threads[i].listener;
}

static void give_connection(struct listener *to, int fd)
{
    struct thread *thread = H2O_STRUCT_FROM_MEMBER(struct thread, listener, to);
    send_message(thread, (struct inbox_message){.kind = INBOX_CONNECTION, .fd = fd});
}

struct listener_group thread_listeners(struct edge *edge)
{
    return (struct listener_group){
        .count = edge->thread_count, .at = listener_at, .give = give_connection, .context = edge};
}

static void take_market(struct thread *thread, struct market *market)
{
    if (thread->market == NULL)
        atomic_fetch_add(&thread->edge->markets, 1);
    else
        market_release(&thread->market);
    thread->market = market;
}

static void begin_stop(struct thread *thread)
{
    if (thread->stopping) return;
    thread->stopping = true;
    thread->stop_at_ms = clock_monotonic_ms() + (uint64_t)thread->edge->config.drain_timeout;
    listen_stop(&thread->listener);
    egress_stop(thread->egress);
    h2o_context_request_shutdown(&thread->http);
}

static void inbox_read(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct thread *thread = H2O_STRUCT_FROM_MEMBER(struct thread, inbox, receiver);
    while (!h2o_linklist_is_empty(messages)) {
        struct inbox_message *received =
            H2O_STRUCT_FROM_MEMBER(struct inbox_message, message.link, messages->next);
        h2o_linklist_unlink(&received->message.link);
        switch (received->kind) {
        case INBOX_MARKET: take_market(thread, received->market); break;
        case INBOX_CONNECTION: listen_take(&thread->listener, received->fd); break;
        case INBOX_STOP: begin_stop(thread); break;
        }
        free(received);
    }
}

static void care_run(h2o_timeout_entry_t *entry)
{
    struct thread *thread = H2O_STRUCT_FROM_MEMBER(struct thread, care_entry, entry);
    const struct config *config = &thread->edge->config;
    /* A thread's share, but with many threads no less than one client may send. */
    int64_t share = config->body_total_max / thread->edge->thread_count;
    int64_t one_max = config->body_max + EDGE_BODY_OVER_MAX;
    int64_t uploads_max = share > one_max ? share : one_max;
    keys_sweep(thread->keys, clock_monotonic_ms());
    ledger_look(thread->ledger);
    listen_cut_uploads(&thread->listener, (size_t)uploads_max);
    h2o_timeout_link(thread->loop, &thread->care, entry);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Every request is answered or cut, and the ledger has every record. */
static bool thread_drained(struct thread *thread)
{
    uint64_t now_ms = clock_monotonic_ms();
    bool busy = thread->requests.in_flight > 0 || thread->forwards > 0;
    if (busy && now_ms >= thread->stop_at_ms) requests_cut(thread);
    bool too_late = now_ms >= thread->stop_at_ms + LAST_RECORDS_MS;
    if (too_late && ledger_unacknowledged(thread->ledger) > 0)
        log_error("records_unacknowledged", F(count, ledger_unacknowledged(thread->ledger)));
    return too_late || (!busy && ledger_unacknowledged(thread->ledger) == 0);
}

static void thread_close(struct thread *thread)
{
    peer_set_flush(thread->peers);
    log_info("thread_stopped", FN(number, thread, thread->index),
             FN(count, cut, thread->requests.in_flight));
    /* Connections that still wait for their client's next request end with the process. */
    if (thread->requests.in_flight > 0 || thread->forwards > 0) return;
    ready_cancel(thread);
    upstream_client_free(&thread->upstream);
    peer_set_free(&thread->peers);
    ledger_link_free(&thread->ledger);
    catalog_link_free(&thread->catalog);
    keys_free(&thread->keys);
    callers_free(&thread->callers);
    if (thread->market != NULL) market_release(&thread->market);
    requests_free(thread);
}
