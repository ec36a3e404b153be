/* SPDX-License-Identifier: Apache-2.0 */
/* A request goes out, and its answer comes in. Reading begins with writing, because a server may
 * answer or hang up before it has read everything. Bytes reach the owner out of the socket's own
 * buffer. The complication is the owner, who may pause or cancel in each callback: after one
 * nothing is touched before it was asked whether the call is over. */
#include "services/edge/upstream/call.h"
#include "shared/clock.h"
#include "shared/metrics.h"

#define RETRY_WINDOW_MS   2000 /* a connection that was closed while kept shows it soon */
#define INFORMATIONAL_MAX 16   /* heads before the answer's own */

static void request_sent(h2o_socket_t *socket, const char *error);
static void bytes_arrived(h2o_socket_t *socket, const char *error);
static void go_on(struct upstream_call *call);
static bool read_heads(struct upstream_call *call);
static bool read_body(struct upstream_call *call);
static void answer_ended(struct upstream_call *call);
static void connection_broke(struct upstream_call *call);

/* ---- the socket ------------------------------------------------------------------------------ */

void call_send(struct upstream_call *call)
{
    h2o_socket_t *socket = call->connection->socket;
    call->state = CALL_WAITING;
    call->sent = call->answered = false;
    call->head_seen = 0;
    call->informational = 0;
    call->waiting_since_ms = clock_coarse_ms();
    h2o_socket_write(socket, call->pieces, call->piece_count, request_sent);
    h2o_socket_read_start(socket, bytes_arrived);
}

static struct upstream_call *call_of(const h2o_socket_t *socket)
{
    return ((const struct upstream_connection *)socket->data)->call;
}

/* A server that takes no more may have said why, so a failure is left to the reader, who finds the
 * answer or the end. */
static void request_sent(h2o_socket_t *socket, const char *error)
{
    call_of(socket)->sent = error == NULL;
}

/* Under TLS this comes without a byte of content, too. */
static void bytes_arrived(h2o_socket_t *socket, const char *error)
{
    struct upstream_call *call = call_of(socket);
    call->heard = true;
    call->answered |= socket->input->size > 0;
    call->broken = error;
    go_on(call);
}

void call_read_on(struct upstream_call *call)
{
    h2o_socket_read_start(call->connection->socket, bytes_arrived);
    go_on(call);
}

static void go_on(struct upstream_call *call)
{
    if (!read_heads(call) || !read_body(call)) return; /* it is over */
    if (call->paused && call->state != CALL_WAITING)
        h2o_socket_read_stop(call->connection->socket);
    else if (call->state == CALL_ENDED)
        answer_ended(call);
    else if (call->broken != NULL)
        connection_broke(call);
}

/* ---- heads and bodies: false when the call is over ------------------------------------------- */

static h2o_iovec_t input_of(const struct upstream_call *call)
{
    const h2o_buffer_t *input = call->connection->socket->input;
    return (h2o_iovec_t){input->bytes, input->size};
}

static bool refuse(struct upstream_call *call, const char *detail)
{
    call_end(call, UPSTREAM_BAD_ANSWER, detail);
    return false;
}

/* What the owner answered to a callback. */
static bool goes_on(struct upstream_call *call, bool wanted)
{
    call->in_callback = false;
    if (wanted && !call->over) return true;
    call->over = true;
    call_let_go(call);
    return false;
}

static bool give_head(struct upstream_call *call, const struct upstream_answer *answer)
{
    call->state = CALL_READING;
    call->body = answer->body;
    call->in_callback = true;
    return goes_on(call, call->callbacks.head(call->context, &answer->head));
}

static bool give_body(struct upstream_call *call, slice content)
{
    if (content.len == 0) return true;
    call->in_callback = true;
    return goes_on(call, call->callbacks.body(call->context, content));
}

static bool read_heads(struct upstream_call *call)
{
    while (call->state == CALL_WAITING) {
        h2o_iovec_t input = input_of(call);
        if (input.len == 0) return true;
        struct upstream_answer answer;
        status read = upstream_answer_read(input, call->head_seen, call->method_is_head, &answer);
        call->head_seen = input.len;
        if (read.code == ERROR_END) return true;
        if (!status_ok(read)) return refuse(call, "head not acceptable");
        call->head_seen = 0;
        bool informational = answer.head.http_status < 200;
        if (informational && ++call->informational > INFORMATIONAL_MAX)
            return refuse(call, "too many informational heads");
        if (!informational && !give_head(call, &answer)) return false;
        h2o_buffer_consume(&call->connection->socket->input, answer.len);
    }
    return true;
}

static bool read_body(struct upstream_call *call)
{
    if (call->state != CALL_READING || call->paused) return true;
    h2o_iovec_t input = input_of(call);
    call->answer_len += input.len;
    if (call->answer_len > (uint64_t)call->config->upstream_answer_max)
        return refuse(call, "answer too large");
    slice content;
    status taken = upstream_body_take(&call->body, input, &content);
    if (!give_body(call, content)) return false;
    if (!status_ok(taken)) return refuse(call, "broken chunks");
    h2o_buffer_consume(&call->connection->socket->input, input.len);
    if (call->body.ended) call->state = CALL_ENDED;
    return true;
}

/* ---- ends ------------------------------------------------------------------------------------ */

/* The connection is kept before the owner hears of the end, because its next call may want it. A
 * loop that finds a socket ready for both reads first, so whether the request has been sent is
 * known at the end of the turn only. */
static void answer_ended(struct upstream_call *call)
{
    if (!call->sent && !call->sending_awaited) {
        call->sending_awaited = true;
        call_start_later(call);
        return;
    }
    if (call->sent && call->body.reusable && call->broken == NULL && input_of(call).len == 0)
        upstream_connection_keep(TAKE(call->connection));
    call_end(call, UPSTREAM_OK, "");
}

/* The race of keep-alive: the server closed while we sent. It saw nothing if it answered nothing
 * and closed soon. */
static bool may_replace(const struct upstream_call *call, uint64_t now_ms)
{
    return call->state == CALL_WAITING && call->connection->served && !call->answered &&
           now_ms - call->waiting_since_ms < RETRY_WINDOW_MS;
}

/* Another kept connection may have closed as well, so it is a new one. */
static void replace_connection(struct upstream_call *call, uint64_t now_ms)
{
    metric_add(upstream_retries_total, 1);
    call_leave_pool(call);
    call->replaced = true;
    call->broken = NULL;
    call->connect_deadline_ms = now_ms + (uint64_t)call->config->upstream_connect_timeout;
    call_connect(call);
}

static void connection_broke(struct upstream_call *call)
{
    uint64_t now_ms = clock_monotonic_ms();
    if (may_replace(call, now_ms)) {
        replace_connection(call, now_ms);
    } else if (call->state == CALL_READING && call->body.framing == FRAMING_UNTIL_CLOSE &&
               call->broken == h2o_socket_error_closed) {
        answer_ended(call);
    } else {
        call_end(call, UPSTREAM_RESET, call->broken);
    }
}
