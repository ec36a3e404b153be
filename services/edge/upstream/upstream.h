/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to other servers from one event loop: HTTP/1.1 over the loop's sockets. Host names are
 * checked under every TLS version (one TLS context per host name), connections are kept and
 * bounded, a kept one that closed unseen is replaced once by a new one, and there are timers for
 * connect, first byte, silence and total, a resolver off the loop with a cache, and backpressure.
 * Also reaches Unix sockets (the control plane). Single-threaded: an upstream_client belongs to
 * its loop. */
#pragma once

#include "services/edge/resolve.h"
#include "shared/config.h"
#include "shared/h2o.h"
#include "shared/http/url.h"
#include "shared/slice.h"

struct upstream_client;
struct upstream_call;

status upstream_client_new(h2o_loop_t *loop, h2o_multithread_queue_t *queue,
                           const struct config *config, struct upstream_client **client);
void upstream_client_free(struct upstream_client **client); /* cancels what runs */

enum upstream_failure {
    UPSTREAM_OK = 0,
    UPSTREAM_CONNECT, /* refused, unreachable, no such host, TLS */
    UPSTREAM_CONNECT_TIMEOUT,
    UPSTREAM_FIRST_BYTE_TIMEOUT,
    UPSTREAM_IDLE_TIMEOUT,
    UPSTREAM_TOTAL_TIMEOUT,
    UPSTREAM_RESET,      /* the connection ended or broke before the answer was whole */
    UPSTREAM_BAD_ANSWER, /* not HTTP, or broken framing, or above a bound */
    UPSTREAM_BUSY,       /* the bound on connections to this host is reached */
};

struct upstream_header {
    slice name, value; /* the name in lower case */
};
/* All slices are views until the callback returns. */
struct upstream_head {
    int http_status;
    slice content_type;
    int64_t retry_after_ms; /* from Retry-After (seconds) or retry-after-ms; -1: none */
    const struct upstream_header *headers;
    size_t header_count;
};

struct upstream_callbacks {
    /* The head arrived. Answering false cancels the call (no further callback). */
    bool (*head)(void *context, const struct upstream_head *head);
    /* Body bytes, in order, not kept by the client afterwards. Answering false cancels. While
     * paused (see below) no body callback runs. */
    bool (*body)(void *context, slice bytes);
    /* Exactly once, unless cancelled. UPSTREAM_OK: the body is whole *as HTTP sees it*: as long as
     * its Content-Length said, or with its last chunk. A body that says neither ends with the
     * connection, whoever ended that, so whoever bills must look for the protocol's own end
     * mark. */
    void (*done)(void *context, enum upstream_failure failure, const char *detail);
};

struct upstream_request {
    slice method;
    const struct url *url; /* as url_parse() made it, so it cannot end a line early */
    slice path;            /* goes behind the URL's target, if it is not empty */
    /* Whole lines "name: value" without CRLF; host, content-length and connection are ours. */
    const slice *headers;
    size_t header_count;
    const h2o_iovec_t *body; /* pieces; their bytes stay until done or cancel */
    size_t body_count;
    uint32_t first_byte_timeout_ms, idle_timeout_ms, total_timeout_ms; /* 0: the configuration's */
    /* NULL: every address that the name has may be connected to; else only those it says yes to. */
    bool (*admits)(const union resolved_address *address);
};

/* Starts; the callbacks run later, never inside this call. BAD_REQUEST: a URL or a header line
 * that cannot be sent; HEADERS_TOO_LARGE. All of the request is copied but the bytes of its body.
 * When `done` runs, or head or body answered false, the call is over and its pointer is dead.
 * NULL-proof cancel: */
status upstream_start(struct upstream_client *client, const struct upstream_request *request,
                      const struct upstream_callbacks *callbacks, void *context,
                      struct upstream_call **call);
/* Closes the connection; no callback runs afterwards. */
void upstream_cancel(struct upstream_call **call);
/* Backpressure: stop and go on reading; the silence timer stands still while paused. */
void upstream_pause(struct upstream_call *call);
void upstream_resume(struct upstream_call *call);
