/* SPDX-License-Identifier: Apache-2.0 */
/* Who it is for is asked of the ledger every time, never of the cache; nothing of the client's head
 * is passed on but what is listed here, so a principal that came from outside never arrives. The
 * answer is collected and passed on as a whole. */
#include "services/edge/forward.h"

#include "services/edge/identify.h"
#include "services/edge/ledger_link.h"
#include "shared/http/limits.h"
#include "shared/http/reason.h"
#include "shared/log.h"

#define ANSWER_MAX            ((size_t)64 * 1024 * 1024)
#define HEADERS_MAX           8
#define KEPT_MAX              8 /* answer headers that are passed on */
#define FORWARDS_MAX          4096u
#define FIRST_BYTE_TIMEOUT_MS 15000
#define ARENA_MAX             ((size_t)256 * 1024)
#define OWN_PREFIX            SLICE("x-bourse-")

struct service {
    slice socket;
    uint16_t down; /* error when it does not answer */
};
static const struct service services[] = {
    [SERVICE_NONE] = {{"", 0}, ERROR_INTERNAL},
    [SERVICE_LEDGER] = {{"unix:run/ledger.sock:", 21}, ERROR_LEDGER_DOWN},
    [SERVICE_CATALOG] = {{"unix:run/catalog.sock:", 22}, ERROR_CATALOG_DOWN},
    [SERVICE_USAGE] = {{"unix:run/usage.sock:", 20}, ERROR_USAGE_DOWN},
};

struct forward {
    struct thread *thread;
    h2o_req_t *http;
    const struct service *service;
    struct arena arena;
    slice request_id;
    uint64_t principal_call;
    struct upstream_call *call;
    h2o_iovec_t body;
    int http_status;
    slice names[KEPT_MAX], values[KEPT_MAX];
    size_t kept;
    struct buffer answer;
    h2o_generator_t generator;
    bool answered;
};

static void forward_disposed(void *memory);
static void forward_fail(struct forward *forward, status cause);
static void ask_principal(struct forward *forward);
static void principal_told(void *context, status result, const struct frame *frame);
static void pass_on(struct forward *forward, slice token);

void forward_start(struct thread *thread, h2o_req_t *http, const struct route *route,
                   slice request_id)
{
    status admitted = OK;
    const size_t body_max =
        route->kind == ROUTE_WEBHOOK ? CONTROL_WEBHOOK_BODY_MAX : CONTROL_FORWARDED_BODY_MAX;
    if (http->entity.len > body_max) admitted = FAIL(TOO_LARGE);
    if (thread->forwards >= FORWARDS_MAX) admitted = FAIL(OVERLOADED);
    if (thread->stopping) admitted = FAIL(STOPPING);
    if (!status_ok(admitted)) {
        answer_failure(http, &(struct failure){.cause = admitted});
        return;
    }
    struct forward *forward = h2o_mem_alloc_shared(&http->pool, sizeof(*forward), forward_disposed);
    *forward = (struct forward){
        .thread = thread,
        .http = http,
        .service = &services[route->service],
    };
    thread->forwards++;
    arena_init(&forward->arena, ARENA_MAX);
    buffer_init(&forward->answer, ANSWER_MAX);
    forward->request_id = arena_copy(&forward->arena, request_id);
    if (route->public)
        pass_on(forward, SLICE_NONE);
    else
        ask_principal(forward);
}

static void forward_disposed(void *memory)
{
    struct forward *forward = memory;
    listen_count_end(forward->http, forward->answered);
    ledger_cancel(forward->thread->ledger, forward->principal_call);
    upstream_cancel(&forward->call);
    buffer_free(&forward->answer);
    arena_free(&forward->arena);
    forward->thread->forwards--;
}

static void forward_fail(struct forward *forward, status cause)
{
    forward->answered = true;
    answer_failure(forward->http, &(struct failure){.cause = cause});
}

/* ---- for whom -------------------------------------------------------------------------------- */

static bool is_head(const h2o_req_t *http)
{
    return slice_equal((slice){http->method.base, http->method.len}, SLICE("HEAD"));
}

/* The services know no HEAD; the answer's body is left out on the way back. */
static slice method_of(const h2o_req_t *http)
{
    return is_head(http) ? SLICE("GET") : (slice){http->method.base, http->method.len};
}

static void ask_principal(struct forward *forward)
{
    const h2o_req_t *http = forward->http;
    struct message_principal message = {
        .method = method_of(http),
        .path = slice_first((slice){http->path.base, http->path.len}, http->query_at),
        .client = identify_client(http),
    };
    status known = identify_key(http, &message.key);
    if (!status_ok(known)) {
        forward_fail(forward, known);
        return;
    }
    /* The token names the path as the service decodes it; ids of these routes never need an
     * escape. */
    if (memchr(message.path.data, '%', message.path.len) != NULL || message.path.len > 1024) {
        forward_fail(forward, FAIL(NOT_FOUND));
        return;
    }
    struct buffer *out;
    const struct peer_call call = {principal_told, forward,
                                   (uint32_t)forward->thread->edge->config.hold_timeout};
    forward->principal_call = ledger_call(forward->thread->ledger, call, &out);
    if (forward->principal_call == 0) {
        forward_fail(forward, FAIL(LEDGER_DOWN));
        return;
    }
    message_encode_principal(out, forward->principal_call, &message);
}

static void principal_told(void *context, status result, const struct frame *frame)
{
    struct forward *forward = context;
    forward->principal_call = 0;
    struct message_principal_token message = {0};
    if (status_ok(result)) result = message_decode_principal_token(frame->body, &message);
    if (!status_ok(result)) {
        forward_fail(forward, FAIL(LEDGER_DOWN));
        return;
    }
    if (message.error != ERROR_NONE) {
        forward_fail(forward, (status){message.error});
        return;
    }
    pass_on(forward, message.token);
}

/* ---- the call -------------------------------------------------------------------------------- */

static void add_line(struct forward *forward, slice *lines, size_t *count, slice name, slice value)
{
    if (value.len == 0) return;
    size_t len = name.len + 2 + value.len;
    char *room = arena_alloc(&forward->arena, len);
    if (room == NULL) return;
    memcpy(room, name.data, name.len);
    memcpy(room + name.len, ": ", 2);
    memcpy(room + name.len + 2, value.data, value.len);
    lines[(*count)++] = (slice){room, len};
}

/* Clients encode the slash of a model id. Where something follows the id, the catalog wants it as
 * two segments; where nothing does, it takes both. */
static size_t append_path(char *to, slice path)
{
    slice plain = path, query;
    (void)slice_split(path, '?', &plain, &query);
    const bool decodes = slice_starts_with(plain, SLICE("/api/v1/models/")) &&
                         slice_ends_with(plain, SLICE("/endpoints"));
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        const bool slash = decodes && i + 3 <= plain.len &&
                           slice_equal_nocase((slice){path.data + i, 3}, SLICE("%2f"));
        to[len++] = slash ? '/' : path.data[i];
        if (slash) i += 2;
    }
    return len;
}

static slice url_of(struct forward *forward)
{
    const h2o_req_t *http = forward->http;
    slice socket = forward->service->socket;
    char *room = arena_alloc(&forward->arena, socket.len + http->path.len);
    if (room == NULL) return SLICE_NONE;
    memcpy(room, socket.data, socket.len);
    const slice path = {http->path.base, http->path.len};
    return (slice){room, socket.len + append_path(room + socket.len, path)};
}

static bool is_kept(slice name)
{
    if (slice_equal_nocase(name, SLICE("x-bourse-request"))) return false;
    return slice_equal_nocase(name, SLICE("content-type")) ||
           slice_equal_nocase(name, SLICE("retry-after")) ||
           slice_equal_nocase(name, SLICE("allow")) ||
           slice_equal_nocase(name, SLICE("cache-control")) ||
           slice_equal_nocase(slice_first(name, OWN_PREFIX.len), OWN_PREFIX);
}

static bool service_head(void *context, const struct upstream_head *head)
{
    struct forward *forward = context;
    forward->http_status = head->http_status;
    for (size_t i = 0; i < head->header_count && forward->kept < KEPT_MAX; i++) {
        const struct upstream_header *header = &head->headers[i];
        if (!is_kept(header->name)) continue;
        forward->names[forward->kept] = arena_copy(&forward->arena, header->name);
        forward->values[forward->kept++] = arena_copy(&forward->arena, header->value);
    }
    return true;
}

static bool service_body(void *context, slice bytes)
{
    struct forward *forward = context;
    buffer_append(&forward->answer, bytes);
    return true;
}

static void no_more(h2o_generator_t *generator, h2o_req_t *http)
{
    (void)generator, (void)http;
}

static void service_done(void *context, enum upstream_failure failure, const char *detail)
{
    struct forward *forward = context;
    forward->call = NULL;
    if (failure != UPSTREAM_OK || !status_ok(buffer_finish(&forward->answer))) {
        log_warning("service_failed", FN(name, service, forward->service->socket),
                    F(reason, slice_of(detail == NULL ? "" : detail)));
        forward_fail(forward, (status){forward->service->down});
        return;
    }
    h2o_req_t *http = forward->http;
    http->res.status = forward->http_status;
    http->res.reason = http_reason(forward->http_status);
    http->res.content_length = forward->answer.len;
    for (size_t i = 0; i < forward->kept; i++) {
        if (forward->names[i].data != NULL && forward->values[i].data != NULL)
            answer_header(http, forward->names[i], forward->values[i]);
    }
    if (forward->http_status == 401) answer_challenge(http);
    forward->answered = true;
    forward->generator = (h2o_generator_t){no_more, no_more};
    h2o_start_response(http, &forward->generator);
    h2o_iovec_t body = {forward->answer.data, forward->answer.len};
    const bool has_body = body.len > 0 && !is_head(http);
    h2o_send(http, &body, has_body ? 1 : 0, H2O_SEND_STATE_FINAL);
}

static void pass_on(struct forward *forward, slice token)
{
    static const struct upstream_callbacks callbacks = {service_head, service_body, service_done};
    const h2o_req_t *http = forward->http;
    slice lines[HEADERS_MAX];
    size_t count = 0;
    add_line(forward, lines, &count, SLICE("x-bourse-request"), forward->request_id);
    add_line(forward, lines, &count, SLICE("x-bourse-principal"), token);
    add_line(forward, lines, &count, SLICE("accept"), identify_header(http, SLICE("accept")));
    add_line(forward, lines, &count, SLICE("content-type"),
             identify_header(http, SLICE("content-type")));
    add_line(forward, lines, &count, SLICE("idempotency-key"),
             identify_header(http, SLICE("idempotency-key")));
    add_line(forward, lines, &count, SLICE("stripe-signature"),
             identify_header(http, SLICE("stripe-signature")));
    forward->body = http->entity;
    struct url url;
    const struct upstream_request request = {
        .method = method_of(http),
        .url = &url,
        .headers = lines,
        .header_count = count,
        .body = &forward->body,
        .body_count = forward->body.len > 0 ? 1 : 0,
        .first_byte_timeout_ms = FIRST_BYTE_TIMEOUT_MS,
        .idle_timeout_ms = FIRST_BYTE_TIMEOUT_MS,
        .total_timeout_ms = 2 * FIRST_BYTE_TIMEOUT_MS,
    };
    status started = url_parse(url_of(forward), &url);
    if (status_ok(started))
        started = upstream_start(forward->thread->upstream, &request, &callbacks, forward,
                                 &forward->call);
    /* What cannot be sent is the client's affair, and the service is well. */
    bool unfit = started.code == ERROR_BAD_REQUEST || started.code == ERROR_HEADERS_TOO_LARGE;
    if (!status_ok(started))
        forward_fail(forward, unfit ? started : (status){forward->service->down});
}
