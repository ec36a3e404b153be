/* SPDX-License-Identifier: Apache-2.0 */
/* The step table and the life of a request. Whatever happens to it, it ends in request_fail(), in
 * request_abandon() or by its last step; all three leave the hold with exactly one terminal record,
 * and nothing running. */
#include "services/edge/request.h"

#include <netinet/tcp.h>
#include <stdlib.h>

#include "services/edge/attempt.h"
#include "services/edge/edge.h"
#include "services/edge/keys.h"
#include "services/edge/listen.h"
#include "services/edge/relay.h"
#include "services/edge/settle.h"
#include "services/edge/thread.h"
#include "shared/daemon.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define FREE_MAX           1024                /* requests kept for reuse, per thread */
#define KEPT_BYTES         ((size_t)64 * 1024) /* a larger buffer is not kept */
#define KEPT_NODES         4096u
#define ARENA_SLACK        ((size_t)16 * 1024 * 1024) /* beside an answer of the largest size */
#define COPIED_BODY_MAX    ((size_t)64 * 1024)
#define HTTP_CLIENT_CLOSED 499

typedef enum step_result (*step_run)(struct request *request);
static const step_run steps[STEP_COUNT] = {
    [STEP_IDENTIFY] = step_identify, [STEP_READ] = step_read,       [STEP_CHOOSE] = step_choose,
    [STEP_HOLD] = step_hold,         [STEP_ATTEMPT] = step_attempt, [STEP_RELAY] = step_relay,
    [STEP_SETTLE] = step_settle,     [STEP_OUTCOME] = step_outcome,
};

/* What h2o disposes of together with the client's side. */
struct client {
    struct request *request;
};

static status admit(struct thread *thread, size_t body_bytes);
static void take_body(struct request *request);
static void client_gone(void *context);
static struct request *request_take(struct thread *thread);
static void request_give_back(struct request *request);
static void run_steps(struct request *request);
static void client_disposed(void *client);
static void client_proceeds(h2o_generator_t *generator, h2o_req_t *http);
static void client_stops(h2o_generator_t *generator, h2o_req_t *http);
static void request_tick(h2o_timeout_entry_t *entry);

void request_start(struct thread *thread, h2o_req_t *http, slice request_id)
{
    metric_add(requests_total, 1);
    status admitted = admit(thread, http->entity.len);
    if (!status_ok(admitted)) {
        metric_add(requests_refused_total, 1);
        answer_failure(http, &(struct failure){.cause = admitted});
        return;
    }
    struct request *request = request_take(thread);
    struct client *client = h2o_mem_alloc_shared(&http->pool, sizeof(*client), client_disposed);
    client->request = request;
    request->http = http;
    request->generator = (h2o_generator_t){client_proceeds, client_stops};
    memcpy(request->id, request_id.data,
           request_id.len < REQUEST_ID_SIZE ? request_id.len : REQUEST_ID_SIZE);
    request->started_us = thread_now_us(thread);
    request->body_bytes = http->entity.len;
    atomic_fetch_add_explicit(&thread->edge->body_bytes, (int64_t)request->body_bytes,
                              memory_order_relaxed);
    metric_add(bytes_in_flight, request->body_bytes);
    h2o_timeout_link(thread->loop, &thread->tick, &request->tick);
    take_body(request);
    run_steps(request);
}

/* A body of the usual size is copied, so that the connection can be watched; with a large one a
 * client that leaves shows at the next tick only. A head without body would have to be copied too:
 * it is refused anyhow. */
static void take_body(struct request *request)
{
    const h2o_iovec_t entity = request->http->entity;
    request->body = entity.len == 0 ? SLICE_NONE : (slice){entity.base, entity.len};
    if (entity.len == 0 || entity.len > COPIED_BODY_MAX) return;
    slice copy = arena_copy(&request->arena, request->body);
    if (copy.data == NULL) return;
    request->body = copy;
    listen_watch(request->http, client_gone, request);
}

static status admit(struct thread *thread, size_t body_bytes)
{
    const struct config *config = &thread->edge->config;
    if (thread->stopping) return FAIL(STOPPING);
    if (body_bytes > (size_t)config->body_max) return FAIL(TOO_LARGE);
    if (thread->requests.in_flight >= (uint64_t)config->requests_max) return FAIL(OVERLOADED);
    int64_t bytes = atomic_load_explicit(&thread->edge->body_bytes, memory_order_relaxed);
    if (bytes + (int64_t)body_bytes > config->body_total_max) return FAIL(OVERLOADED);
    return OK;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void run_steps(struct request *request)
{
    request->thread->crowd.went_on++;
    request_pin(request);
    while (!request->over && request->step < STEP_COUNT) {
        if (steps[request->step](request) != STEP_NEXT) break;
        request->step++;
    }
    request_unpin(request);
}

void request_continue(struct request *request)
{
    if (request->over) return;
    request->step++;
    run_steps(request);
}

void request_repeat_from(struct request *request, enum step step)
{
    if (request->over) return;
    request->step = (uint8_t)step;
    run_steps(request);
}

enum step_result request_fail_code(struct request *request, status cause)
{
    return request_fail(request, &(struct failure){.cause = cause});
}

enum step_result request_fail(struct request *request, const struct failure *failure)
{
    if (request->over) return STEP_OVER;
    request_pin(request);
    request->over = true;
    request->ended = failure->cause;
    metric_add_to(
        request->fact_count > 0 ? METRIC_requests_failed_total : METRIC_requests_refused_total, 1);
    bool absorbed = request->response_started || attempt_may_have_served(request);
    attempt_drop(request);
    settle_ending(request, &(struct ending){.reason = failure->cause, .absorbed = absorbed});
    if (request->response_started)
        relay_break(request, failure->cause, failure->message);
    else if (request->http != NULL)
        relay_refuse(request, failure);
    request_unpin(request);
    return STEP_OVER;
}

void request_abandon(struct request *request)
{
    if (request->abandoned) return;
    request_pin(request);
    request->abandoned = true;
    if (!request->over) metric_add(requests_cancelled_total, 1);
    request->over = true;
    h2o_timeout_unlink(&request->tick);
    ledger_cancel(request->thread->ledger, request->identify_call);
    request->identify_call = 0;
    if (request->held.awaits) {
        ledger_stop_waiting(request->thread->ledger, &request->held.waiter);
        request->held.awaits = false;
        if (request->held.reserved) ledger_unreserve(request->thread->ledger);
        request->held.reserved = false;
    }
    h2o_timeout_unlink(&request->hold_limit);
    keys_stop_waiting(request->thread->keys, request);
    bool absorbed = attempt_may_have_served(request);
    attempt_drop(request);
    settle_ending(request, &(struct ending){.cancelled = true, .absorbed = absorbed});
    ledger_forget(request->thread->ledger, request->settle_n);
    request_unpin(request);
}

void requests_write_ahead(struct requests *requests)
{
    while (requests->ahead != NULL) {
        struct request *request = requests->ahead;
        requests->ahead = request->ahead_next;
        fault_point("edge_after_settle"); /* it left with the turn's other messages */
        if (!request->over && request->http != NULL) relay_write_ahead(request);
        request_unpin(request);
    }
}

uint32_t request_elapsed_ms(const struct request *request)
{
    uint64_t elapsed = (thread_now_us(request->thread) - request->started_us) / 1000;
    return elapsed > UINT32_MAX ? UINT32_MAX : (uint32_t)elapsed;
}

/* ---- the client's side ----------------------------------------------------------------------- */

static void client_proceeds(h2o_generator_t *generator, h2o_req_t *http)
{
    (void)http;
    struct request *request = H2O_STRUCT_FROM_MEMBER(struct request, generator, generator);
    request_pin(request);
    request->in_flight = false;
    request->delivered = true;
    request->delivered_text = request->flight_text;
    buffer_clear(&request->flight);
    relay_pump(request);
    request_unpin(request);
}

/* The library ends the response: the client's connection or stream is gone. */
static void client_stops(h2o_generator_t *generator, h2o_req_t *http)
{
    (void)http;
    request_abandon(H2O_STRUCT_FROM_MEMBER(struct request, generator, generator));
}

/* Runs after stop, after a complete answer, and — the only call there is — when the client left
 * before its answer began. */
static void client_disposed(void *memory)
{
    struct request *request = ((struct client *)memory)->request;
    request_pin(request);
    bool finished = request->over && !request->abandoned;
    listen_watch_end(request->http);
    listen_count_end(request->http, finished);
    request_abandon(request);
    request->http = NULL;
    request_unpin(request);
}

/* HTTP/1 connections are not read, nor polled, while their request is served: a client that left
 * shows only in the connection's state. A client that merely closed its sending half counts as gone
 * too. */
static bool client_left(const struct request *request)
{
    if (request->http == NULL || request->http->version >= 0x200) return false;
    h2o_socket_t *socket = request->http->conn->callbacks->get_socket(request->http->conn);
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (getsockopt(h2o_socket_get_fd(socket), IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    return info.tcpi_state != TCP_ESTABLISHED;
}

static void close_client(struct request *request)
{
    h2o_req_t *http = request->http;
    http->http1_is_persistent = 0;
    if (!request->response_started) {
        request->response_started = true;
        h2o_send_error_generic(http, HTTP_CLIENT_CLOSED, "Client Closed Request", "", 0);
        return;
    }
    /* With a piece on its way the connection's own write error ends the response. */
    if (request->in_flight || request->final_sent) return;
    request->final_sent = true;
    h2o_send(http, NULL, 0, H2O_SEND_STATE_ERROR);
}

static void client_gone(void *context)
{
    struct request *request = context;
    request_pin(request);
    if (!request->final_sent) {
        request_abandon(request);
        close_client(request);
    }
    request_unpin(request);
}

static void request_tick(h2o_timeout_entry_t *entry)
{
    struct request *request = H2O_STRUCT_FROM_MEMBER(struct request, tick, entry);
    request_pin(request);
    if (!request->final_sent && client_left(request)) {
        client_gone(request);
    } else {
        uint64_t now_ms = thread_now_ms(request->thread);
        settle_tick(request, now_ms);
        relay_tick(request, now_ms);
        if (!request->abandoned && !h2o_timeout_is_linked(entry))
            h2o_timeout_link(request->thread->loop, &request->thread->tick, entry);
    }
    request_unpin(request);
}

void requests_cut(struct thread *thread)
{
    struct request *next;
    for (struct request *request = thread->requests.active; request != NULL; request = next) {
        request_pin(request);
        if (!request->over) request_fail_code(request, FAIL(STOPPING));
        next = request->next;
        request_unpin(request);
    }
}

/* ---- taking and giving back ------------------------------------------------------------------ */

static struct request *request_take(struct thread *thread)
{
    struct requests *requests = &thread->requests;
    struct request *request = requests->free;
    if (request != NULL) {
        requests->free = request->next;
        requests->free_count--;
    } else {
        size_t answer_max = (size_t)thread->edge->config.upstream_answer_max;
        request = calloc(1, sizeof(*request));
        if (request == NULL) abort();
        arena_init(&request->arena, 2 * answer_max + ARENA_SLACK);
        json_document_init(&request->document, JSON_VALUES_MAX);
        decode_memory_init(&request->decode_memory);
        buffer_init(&request->out, 2 * answer_max + ARENA_SLACK);
        buffer_init(&request->flight, 2 * answer_max + ARENA_SLACK);
    }
    request->thread = thread;
    request->tick.cb = request_tick;
    request->before = NULL;
    request->next = requests->active;
    if (requests->active != NULL) requests->active->before = request;
    requests->active = request;
    requests->in_flight++;
    metric_add(requests_in_flight, 1);
    return request;
}

void request_pin(struct request *request)
{
    request->pins++;
}

void request_unpin(struct request *request)
{
    if (--request->pins > 0 || request->http != NULL || request->held.call != 0) return;
    request_give_back(request);
}

static void unlink_active(struct request *request)
{
    struct requests *requests = &request->thread->requests;
    if (request->before != NULL)
        request->before->next = request->next;
    else
        requests->active = request->next;
    if (request->next != NULL) request->next->before = request->before;
    requests->in_flight--;
    metric_add(requests_in_flight, -1);
}

static void request_free(struct request *request)
{
    arena_free(&request->arena);
    json_document_free(&request->document);
    decode_memory_free(&request->decode_memory);
    buffer_free(&request->out);
    buffer_free(&request->flight);
    free(request);
}

static void request_give_back(struct request *request)
{
    struct requests *requests = &request->thread->requests;
    if (request->held.open) {
        /* Cannot be; if it is after all, the hold must not stay open. */
        log_error("request_without_record", F(request, request->held.record.generation));
        settle_ending(request, &(struct ending){.reason = FAIL(INTERNAL), .absorbed = true});
    }
    atomic_fetch_sub_explicit(&request->thread->edge->body_bytes, (int64_t)request->body_bytes,
                              memory_order_relaxed);
    metric_add(bytes_in_flight, -(int64_t)request->body_bytes);
    unlink_active(request);
    h2o_timeout_unlink(&request->tick);
    if (request->market != NULL) market_release(&request->market);
    if (request->skin != NULL) chat_skin_free(&request->skin);
    arena_reset(&request->arena);
    buffer_trim(&request->out, KEPT_BYTES);
    buffer_trim(&request->flight, KEPT_BYTES);
    if (request->document.nodes_size > KEPT_NODES) json_document_free(&request->document);
    if (requests->free_count >= FREE_MAX) {
        request_free(request);
        return;
    }
    /* Everything behind what is kept starts from zero. */
    memset((char *)request + offsetof(struct request, thread), 0,
           sizeof(*request) - offsetof(struct request, thread));
    request->next = requests->free;
    requests->free = request;
    requests->free_count++;
}

void requests_free(struct thread *thread)
{
    while (thread->requests.free != NULL) {
        struct request *request = thread->requests.free;
        thread->requests.free = request->next;
        request_free(request);
    }
}
