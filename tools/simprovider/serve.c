/* SPDX-License-Identifier: Apache-2.0 */
/* One simulated completion: planned, perhaps spoiled by a fault, sent chunk by chunk. The
 * complication: h2o does not watch the client of an HTTP/1 request that is being served, so a
 * silent call looks every SIM_POLL_MS whether it is still there. */
#include "tools/simprovider/sim.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include "shared/clock.h"
#include "tools/simprovider/answer.h"

#define ENDLESS_TOKENS_MAX 100000000u

struct call {
    h2o_generator_t super;
    h2o_req_t *req;
    struct sim *sim;
    struct plan plan;
    struct fault fault;
    char provider[FAULT_PROVIDER_SIZE];
    uint64_t record;
    uint64_t wait_until_ms; /* 0: no end */
    uint32_t chunk;         /* next to send */
    uint32_t tokens_in_flight;
    bool started;
    bool released; /* the fault did its work: go on normally */
    bool ended;
    struct buffer out;
    h2o_timeout_entry_t pace; /* between chunks */
    h2o_timeout_entry_t poll; /* while silent */
};

static void begin(struct call *call);
static void send_next(struct call *call);

static struct record *record_of(struct call *call)
{
    static struct record forgotten;
    struct record *record = record_at(&call->sim->log, call->record);
    return record == NULL ? &forgotten : record;
}

static void call_end(struct call *call, enum record_end end)
{
    if (call->ended) return;
    call->ended = true;
    record_of(call)->end = (uint8_t)end;
    if (h2o_timeout_is_linked(&call->pace)) h2o_timeout_unlink(&call->pace);
    if (h2o_timeout_is_linked(&call->poll)) h2o_timeout_unlink(&call->poll);
}

static void call_dispose(void *memory)
{
    struct call *call = memory;
    call_end(call, RECORD_BY_CLIENT);
    buffer_free(&call->out);
}

static void on_stop(h2o_generator_t *generator, h2o_req_t *req)
{
    (void)req;
    call_end((struct call *)(void *)generator, RECORD_BY_CLIENT);
}

/* ---- sending */

static void start_response(struct call *call, int http_status, slice content_type)
{
    call->started = true;
    call->req->res.status = http_status;
    call->req->res.reason = "simulated";
    h2o_add_header(&call->req->pool, &call->req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   content_type.data, content_type.len);
    if (call->fault.kind == FAULT_STATUS && call->fault.retry_after_s >= 0) {
        struct buffer text;
        char *memory = h2o_mem_alloc_pool(&call->req->pool, 24);
        buffer_init_fixed(&text, memory, 24);
        buffer_append_i64(&text, call->fault.retry_after_s);
        h2o_add_header(&call->req->pool, &call->req->res.headers, H2O_TOKEN_RETRY_AFTER, NULL,
                       memory, text.len);
    }
    record_of(call)->http_status = (uint16_t)http_status;
    h2o_start_response(call->req, &call->super);
}

static void send_out(struct call *call, h2o_send_state_t state)
{
    h2o_iovec_t piece = h2o_iovec_init(call->out.data, call->out.len);
    h2o_send(call->req, &piece, call->out.len > 0, state);
}

/* A reset as the kernel does it: disconnecting a TCP socket answers the peer with RST. */
static void reset_connection(struct call *call)
{
    h2o_socket_t *sock = call->req->conn->callbacks->get_socket(call->req->conn);
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    if (connect(h2o_socket_get_fd(sock), &nowhere, sizeof(nowhere)) != 0) return;
}

static void end_broken(struct call *call)
{
    call_end(call, RECORD_BY_FAULT);
    call->req->http1_is_persistent = 0;
    if (!call->started) start_response(call, 200, SLICE("application/json"));
    h2o_send(call->req, NULL, 0, H2O_SEND_STATE_ERROR);
}

static void send_whole(struct call *call, int http_status, slice content_type,
                       size_t content_length)
{
    call->req->res.content_length = content_length;
    call->chunk = UINT32_MAX; /* the next proceed ends the answer */
    start_response(call, http_status, content_type);
    send_out(call, H2O_SEND_STATE_IN_PROGRESS);
}

static void send_error_status(struct call *call)
{
    answer_write_error(call->fault.http_status, &call->out);
    send_whole(call, (int)call->fault.http_status, SLICE("application/json"), call->out.len);
}

static void send_html(struct call *call)
{
    buffer_append(&call->out,
                  SLICE("<html><head><title>502</title></head><body>Bad Gateway</body></html>"));
    send_whole(call, 200, SLICE("text/html"), call->out.len);
}

static void send_body(struct call *call)
{
    answer_write_body(&call->plan, call->fault.usage, &call->out);
    size_t whole = call->out.len;
    bool spoiled = call->fault.kind == FAULT_HALF || call->fault.kind == FAULT_TRUNCATE;
    if (spoiled || call->fault.kind == FAULT_CUT) call->out.len = whole / 2;
    if (!spoiled) call->tokens_in_flight = answer_token_count(&call->plan);
    record_of(call)->tokens_generated = answer_token_count(&call->plan);
    send_whole(call, 200, SLICE("application/json"),
               call->fault.kind == FAULT_TRUNCATE ? whole : call->out.len);
}

/* ---- faults inside a stream: true when one took over */

static void stall(struct call *call)
{
    if (call->fault.delay_ms >= 0) {
        call->wait_until_ms = clock_monotonic_ms() + (uint64_t)call->fault.delay_ms;
    }
    h2o_timeout_link(call->sim->loop, sim_timer(call->sim, SIM_POLL_MS), &call->poll);
}

static bool spoil_stream(struct call *call)
{
    if (call->released || call->chunk != (uint32_t)call->fault.after_chunks) return false;
    switch (call->fault.kind) {
    case FAULT_RESET:
        reset_connection(call);
        end_broken(call);
        return true;
    case FAULT_TRUNCATE: end_broken(call); return true;
    case FAULT_CUT:
        call_end(call, RECORD_BY_FAULT);
        h2o_send(call->req, NULL, 0, H2O_SEND_STATE_FINAL);
        return true;
    case FAULT_STALL: stall(call); return true;
    case FAULT_GARBAGE:
        buffer_append(&call->out, SLICE("data: {\"id\":\"chatcmpl-sim\",\"choices\":[{\"ind\n\n"));
        return false;
    case FAULT_ERROR:
        buffer_append(&call->out, SLICE("data: "));
        answer_write_error(502, &call->out);
        buffer_append(&call->out, SLICE("\n\n"));
        return false;
    default: return false;
    }
}

static void send_next(struct call *call)
{
    if (call->ended) return;
    buffer_clear(&call->out);
    if (spoil_stream(call)) return;
    if (call->fault.kind == FAULT_ENDLESS && call->chunk < ENDLESS_TOKENS_MAX) {
        answer_write_token(&call->plan, call->chunk++, &call->out);
        call->tokens_in_flight = 1;
        record_of(call)->tokens_generated++;
        send_out(call, H2O_SEND_STATE_IN_PROGRESS);
        return;
    }
    call->tokens_in_flight =
        answer_write_chunk(&call->plan, call->fault.usage, call->chunk++, &call->out);
    record_of(call)->tokens_generated += call->tokens_in_flight;
    if (call->chunk < answer_chunk_count(&call->plan, call->fault.usage)) {
        send_out(call, H2O_SEND_STATE_IN_PROGRESS);
        return;
    }
    call_end(call, RECORD_BY_SERVER);
    send_out(call, H2O_SEND_STATE_FINAL);
}

static void on_pace(h2o_timeout_entry_t *entry)
{
    send_next(H2O_STRUCT_FROM_MEMBER(struct call, pace, entry));
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct call *call = (struct call *)(void *)generator;
    (void)req;
    record_of(call)->tokens_delivered += call->tokens_in_flight;
    call->tokens_in_flight = 0;
    if (call->chunk != UINT32_MAX) {
        if (call->plan.chunk_ms == 0) {
            send_next(call);
        } else {
            h2o_timeout_link(call->sim->loop, sim_timer(call->sim, call->plan.chunk_ms),
                             &call->pace);
        }
        return;
    }
    bool broken = call->fault.kind == FAULT_TRUNCATE;
    call_end(call, broken ? RECORD_BY_FAULT : RECORD_BY_SERVER);
    if (broken) call->req->http1_is_persistent = 0;
    h2o_send(call->req, NULL, 0, broken ? H2O_SEND_STATE_ERROR : H2O_SEND_STATE_FINAL);
}

/* ---- silence */

static bool client_left(struct call *call)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    h2o_socket_t *sock = call->req->conn->callbacks->get_socket(call->req->conn);
    if (getsockopt(h2o_socket_get_fd(sock), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
    return info.tcpi_state != TCP_ESTABLISHED;
}

static bool wait_is_over(struct call *call)
{
    if (call->wait_until_ms != 0) return clock_monotonic_ms() >= call->wait_until_ms;
    return !fault_is_armed(&call->sim->faults, slice_of(call->provider), call->fault.kind);
}

static void on_poll(h2o_timeout_entry_t *entry)
{
    struct call *call = H2O_STRUCT_FROM_MEMBER(struct call, poll, entry);
    if (client_left(call)) {
        call_end(call, RECORD_BY_CLIENT);
        call->req->http1_is_persistent = 0;
        if (!call->started) start_response(call, 200, SLICE("application/json"));
        h2o_send(call->req, NULL, 0, H2O_SEND_STATE_ERROR);
        return;
    }
    if (!wait_is_over(call)) {
        h2o_timeout_link(call->sim->loop, sim_timer(call->sim, SIM_POLL_MS), &call->poll);
        return;
    }
    call->released = true;
    if (call->started) {
        send_next(call);
    } else {
        begin(call);
    }
}

/* ---- beginning */

static void begin_stream(struct call *call)
{
    start_response(call, 200, SLICE("text/event-stream"));
    send_next(call);
}

static void begin(struct call *call)
{
    bool at_once = call->fault.after_chunks == 0 && !call->released;
    buffer_clear(&call->out);
    if (call->fault.kind == FAULT_HOLD && !call->released) {
        stall(call);
    } else if (call->fault.kind == FAULT_STATUS) {
        send_error_status(call);
    } else if (call->fault.kind == FAULT_RESET && at_once) {
        reset_connection(call);
        end_broken(call);
    } else if (call->fault.kind == FAULT_STALL && at_once) {
        stall(call);
    } else if (call->fault.kind == FAULT_GARBAGE && at_once) {
        send_html(call);
    } else if (call->plan.stream) {
        begin_stream(call);
    } else {
        send_body(call);
    }
}

static void on_first(h2o_timeout_entry_t *entry)
{
    struct call *call = H2O_STRUCT_FROM_MEMBER(struct call, pace, entry);
    call->pace.cb = on_pace;
    begin(call);
}

static void refuse(h2o_req_t *req, int http_status, slice problem)
{
    struct buffer body;
    struct json_writer w;
    buffer_init(&body, 4096);
    json_write_init(&w, &body);
    json_object_begin(&w);
    json_key(&w, SLICE("error"));
    json_object_begin(&w);
    json_key_string(&w, SLICE("message"), problem);
    json_key_string(&w, SLICE("type"), SLICE("invalid_request_error"));
    json_object_end(&w);
    json_object_end(&w);
    sim_send_json(req, http_status, &body);
    buffer_free(&body);
}

static void copy_cut(char *out, size_t size, slice text)
{
    slice cut = slice_first(text, size - 1);
    memcpy(out, cut.data, cut.len);
    out[cut.len] = '\0';
}

static void record_start(struct call *call, slice provider)
{
    call->record = record_new(&call->sim->log);
    struct record *record = record_of(call);
    copy_cut(record->provider, sizeof(record->provider), provider);
    copy_cut(record->model, sizeof(record->model), slice_of(call->plan.model));
    ssize_t at = h2o_find_header_by_str(&call->req->headers, H2O_STRLIT("x-request-id"), -1);
    if (at >= 0) {
        h2o_iovec_t value = call->req->headers.entries[at].value;
        copy_cut(record->request, sizeof(record->request), (slice){value.base, value.len});
    }
    record->stream = call->plan.stream;
    record->prompt_tokens = call->plan.prompt_tokens;
    record->cached_tokens = call->plan.cached_tokens;
    record->reasoning_tokens = call->plan.choices * call->plan.reasoning_tokens;
}

void serve_chat(struct sim *sim, h2o_req_t *req, slice provider)
{
    struct plan plan = {.created_s = clock_wall().ns / 1000000000, .number = ++sim->served};
    slice problem = SLICE("the body must be JSON");
    if (h2o_find_header(&req->headers, H2O_TOKEN_AUTHORIZATION, -1) < 0) {
        refuse(req, 401, SLICE("an API key is required"));
        return;
    }
    status result = json_parse(&sim->document, (slice){req->entity.base, req->entity.len});
    if (status_ok(result)) result = answer_plan(json_root(&sim->document), &plan, &problem);
    if (!status_ok(result)) {
        refuse(req, 400, problem);
        return;
    }
    struct call *call = h2o_mem_alloc_shared(&req->pool, sizeof(*call), call_dispose);
    *call =
        (struct call){.super = {.proceed = on_proceed, .stop = on_stop}, .req = req, .sim = sim};
    call->plan = plan;
    call->fault = fault_take(&sim->faults, provider);
    call->poll.cb = on_poll;
    call->pace.cb = plan.first_ms > 0 ? on_first : on_pace;
    buffer_init(&call->out, 256u << 20);
    copy_cut(call->provider, sizeof(call->provider), provider);
    record_start(call, provider);
    if (plan.first_ms > 0) {
        h2o_timeout_link(sim->loop, sim_timer(sim, plan.first_ms), &call->pace);
    } else {
        begin(call);
    }
}
