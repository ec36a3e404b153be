/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Of the caller's headers only those listed here are passed on, redirects are
 * answers like any other, and an answer is collected before it is passed back, so that half of one
 * is never taken for the whole. The caller may leave at any time; its call is cut then. */
#include "services/edge/egress.h"

#include <stdlib.h>

#include "services/edge/answer.h"
#include "services/edge/edge.h"
#include "services/edge/egress_policy.h"
#include "services/edge/identify.h"
#include "shared/daemon.h"
#include "shared/http/reason.h"
#include "shared/ipc/peer.h"
#include "shared/log.h"

#define LEDGER_USER      "bourse-ledger" /* where each program has a user of its own */
#define SOCKET_PATH      "run/egress.sock"
#define CALLS_MAX        64u
#define REQUEST_BODY_MAX ((size_t)256 * 1024)
#define ANSWER_MAX       ((size_t)4 * 1024 * 1024)
#define CALL_TIMEOUT_MS  8000
#define TEXT_MAX         512 /* of a header that is passed back */

struct egress {
    struct thread *thread;
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    h2o_socket_t *socket; /* NULL: closed */
    uint32_t calls;
    uid_t uid;
    struct peer_rules rules;
};

struct egress_handler {
    h2o_handler_t super;
    struct egress *egress;
};

struct egress_call {
    struct egress *egress;
    h2o_req_t *http;
    struct upstream_call *call;
    h2o_iovec_t body;
    int http_status;
    char content_type[TEXT_MAX];
    size_t content_type_len;
    struct buffer answer;
    h2o_generator_t generator;
};

static int request_received(h2o_handler_t *handler, h2o_req_t *http);
static void accept_connections(h2o_socket_t *listener, const char *error);

status egress_open(struct thread *thread, struct egress **out)
{
    int fd = -1;
    status listening = daemon_listen_unix(SOCKET_PATH, 0660, &fd);
    if (listening.code == ERROR_CONFLICT) return OK; /* another edge of this cell serves it */
    TRY(listening);
    struct egress *egress = calloc(1, sizeof(*egress));
    if (egress == NULL) abort();
    egress->thread = thread;
    egress->rules = peer_rules_for_user(LEDGER_USER, &egress->uid);
    h2o_config_init(&egress->config);
    egress->config.http1.upgrade_to_http2 = 0;
    egress->config.max_request_entity_size = REQUEST_BODY_MAX;
    h2o_hostconf_t *host =
        h2o_config_register_host(&egress->config, h2o_iovec_init(H2O_STRLIT("egress")), 65535);
    h2o_pathconf_t *everything = h2o_config_register_path(host, "/", 0);
    struct egress_handler *handler = (void *)h2o_create_handler(everything, sizeof(*handler));
    handler->super.on_req = request_received;
    handler->egress = egress;
    h2o_context_init(&egress->context, thread->loop, &egress->config);
    egress->accept = (h2o_accept_ctx_t){.ctx = &egress->context, .hosts = egress->config.hosts};
    egress->socket = h2o_evloop_socket_create(thread->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    egress->socket->data = egress;
    h2o_socket_read_start(egress->socket, accept_connections);
    *out = egress;
    return OK;
}

void egress_stop(struct egress *egress)
{
    if (egress == NULL || egress->socket == NULL) return;
    h2o_socket_read_stop(egress->socket);
    h2o_socket_close(egress->socket);
    egress->socket = NULL;
}

static void accept_connections(h2o_socket_t *listener, const char *error)
{
    struct egress *egress = listener->data;
    if (error != NULL) return;
    h2o_socket_t *socket = h2o_evloop_socket_accept(listener);
    if (socket == NULL) return;
    if (peer_uid_allowed(h2o_socket_get_fd(socket), &egress->rules))
        h2o_accept(&egress->accept, socket);
    else
        h2o_socket_close(socket);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void no_more(h2o_generator_t *generator, h2o_req_t *http)
{
    (void)generator, (void)http;
}

static void answer_outcome(h2o_req_t *http, int http_status, slice outcome, const char *why)
{
    answer_header(http, SLICE("x-bourse-egress"), outcome);
    answer_body(http, http_status, SLICE("text/plain"), slice_of(why));
}

static void call_disposed(void *memory)
{
    struct egress_call *call = memory;
    upstream_cancel(&call->call);
    buffer_free(&call->answer);
    call->egress->calls--;
    call->egress->thread->forwards--;
}

static bool target_head(void *context, const struct upstream_head *head)
{
    struct egress_call *call = context;
    slice type = slice_first(head->content_type, TEXT_MAX);
    call->http_status = head->http_status;
    memcpy(call->content_type, type.data, type.len);
    call->content_type_len = type.len;
    return true;
}

static bool target_body(void *context, slice bytes)
{
    struct egress_call *call = context;
    buffer_append(&call->answer, bytes);
    return true;
}

static void target_done(void *context, enum upstream_failure failure, const char *detail)
{
    struct egress_call *call = context;
    h2o_req_t *http = call->http;
    call->call = NULL;
    if (failure == UPSTREAM_OK && !status_ok(buffer_finish(&call->answer))) {
        failure = UPSTREAM_BAD_ANSWER;
        detail = "the answer is too large";
    }
    if (failure != UPSTREAM_OK) {
        const char *why = detail == NULL ? "no answer" : detail;
        bool late = failure == UPSTREAM_FIRST_BYTE_TIMEOUT || failure == UPSTREAM_TOTAL_TIMEOUT;
        log_warning("egress_failed", F(reason, slice_of(why)));
        answer_outcome(http, late ? 504 : 502, SLICE("failed"), why);
        return;
    }
    http->res.status = call->http_status;
    http->res.reason = http_reason(call->http_status);
    http->res.content_length = call->answer.len;
    answer_header(http, SLICE("x-bourse-egress"), SLICE("answered"));
    answer_header(http, SLICE("content-type"), (slice){call->content_type, call->content_type_len});
    call->generator = (h2o_generator_t){no_more, no_more};
    h2o_start_response(http, &call->generator);
    h2o_iovec_t body = {call->answer.data, call->answer.len};
    h2o_send(http, &body, body.len > 0 ? 1 : 0, H2O_SEND_STATE_FINAL);
}

/* ---- requests -------------------------------------------------------------------------------- */

static slice line_of(h2o_req_t *http, slice name, slice value)
{
    const slice colon = SLICE(": ");
    size_t len = name.len + colon.len + value.len;
    char *room = h2o_mem_alloc_pool(&http->pool, len);
    memcpy(room, name.data, name.len);
    memcpy(room + name.len, colon.data, colon.len);
    memcpy(room + name.len + colon.len, value.data, value.len);
    return (slice){room, len};
}

static status start(struct egress *egress, h2o_req_t *http, const struct url *target,
                    bool simulated)
{
    static const struct upstream_callbacks callbacks = {target_head, target_body, target_done};
    static const slice passed[] = {SLICE_INIT("authorization"), SLICE_INIT("content-type"),
                                   SLICE_INIT("idempotency-key"), SLICE_INIT("stripe-version"),
                                   SLICE_INIT("accept")};
    enum { PASSED = sizeof(passed) / sizeof(passed[0]) };
    slice lines[PASSED + 1];
    size_t count = 0;
    for (size_t i = 0; i < PASSED; i++) {
        slice value = identify_header(http, passed[i]);
        if (value.len > 0) lines[count++] = line_of(http, passed[i], value);
    }
    lines[count++] = egress->thread->edge->via_line;
    struct egress_call *call = h2o_mem_alloc_shared(&http->pool, sizeof(*call), call_disposed);
    *call = (struct egress_call){.egress = egress, .http = http, .body = http->entity};
    buffer_init(&call->answer, ANSWER_MAX);
    egress->calls++;
    egress->thread->forwards++;
    const struct upstream_request request = {
        .method = {http->method.base, http->method.len},
        .url = target,
        .headers = lines,
        .header_count = count,
        .body = &call->body,
        .body_count = call->body.len > 0 ? 1 : 0,
        .first_byte_timeout_ms = CALL_TIMEOUT_MS,
        .idle_timeout_ms = CALL_TIMEOUT_MS,
        .total_timeout_ms = CALL_TIMEOUT_MS,
        .admits = simulated ? NULL : egress_address_is_public,
    };
    return upstream_start(egress->thread->upstream, &request, &callbacks, call, &call->call);
}

static int request_received(h2o_handler_t *handler, h2o_req_t *http)
{
    struct egress *egress = ((struct egress_handler *)(void *)handler)->egress;
    const slice target = identify_header(http, SLICE("x-bourse-target"));
    const slice purpose = identify_header(http, SLICE("x-bourse-purpose"));
    struct url url;
    bool simulated = false;
    status admitted = url_parse(target, &url);
    if (status_ok(admitted))
        admitted = egress_policy_check(&egress->thread->edge->config, purpose, &url, &simulated);
    if (!status_ok(admitted)) {
        log_warning("egress_refused", F(error, admitted));
        answer_outcome(http, 403, SLICE("refused"),
                       "egress_allow does not list this address for this purpose");
        return 0;
    }
    if (egress->calls >= CALLS_MAX || egress->thread->stopping) {
        answer_outcome(http, 503, SLICE("refused"), "too many calls at once, or stopping");
        return 0;
    }
    admitted = start(egress, http, &url, simulated);
    if (!status_ok(admitted))
        answer_outcome(http, 400, SLICE("refused"), "this request cannot be sent");
    return 0;
}
