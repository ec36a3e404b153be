/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to other servers from one event loop, over h2o's HTTP/1 client with its traps worked
 * around: host names checked under every TLS version (one TLS context per host name), a
 * kept-alive connection that closed is retried once unseen, own timers for connect, first byte,
 * silence and total, own resolver off the loop with a cache, bounded connections, backpressure.
 * h2o's types stay behind this file. Also reaches Unix sockets (the control plane).
 * Single-threaded: an upstream_client belongs to its loop. */
#pragma once

#include "shared/config.h"
#include "shared/h2o.h"
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
    UPSTREAM_RESET,      /* the connection broke, before the head or in the body */
    UPSTREAM_BAD_ANSWER, /* not HTTP, or broken framing */
    UPSTREAM_BUSY,       /* the bound on connections to this host is reached */
};

struct upstream_head {
    int http_status;
    slice content_type;     /* views until the callback returns */
    int64_t retry_after_ms; /* from Retry-After (seconds) or retry-after-ms; -1: none */
    const h2o_header_t *headers;
    size_t header_count;
    slice reason;
};

struct upstream_callbacks {
    /* The head arrived. Answering false cancels the call (no further callback). */
    bool (*head)(void *context, const struct upstream_head *head);
    /* Body bytes, in order, not kept by the client afterwards. Answering false cancels. While
     * paused (see below) no body callback runs. */
    bool (*body)(void *context, slice bytes);
    /* Exactly once, unless cancelled: failure UPSTREAM_OK: the server ended the body in an
     * orderly way *as HTTP sees it* — h2o cannot tell a truncated chunked body from a whole one,
     * so whoever bills must look for the protocol's own end mark. */
    void (*done)(void *context, enum upstream_failure failure, const char *detail);
};

struct upstream_request {
    slice method;
    slice url; /* http:// or https:// … or unix:run/ledger.sock:/api/v1/key */
    /* Whole lines "name: value" without CRLF; host, content-length and connection are ours. */
    const slice *headers;
    size_t header_count;
    const h2o_iovec_t *body; /* pieces, valid until done or cancel */
    size_t body_count;
    uint32_t first_byte_timeout_ms, idle_timeout_ms, total_timeout_ms; /* 0: the configuration's */
};

/* Starts; the callbacks run later, never inside this call. BAD_REQUEST: a URL or a header line
 * that cannot be sent; HEADERS_TOO_LARGE. The texts of the request are copied, the body's pieces
 * are not. When `done` runs, or head or body answered false, the call is over and its pointer is
 * dead. NULL-proof cancel: */
status upstream_start(struct upstream_client *client, const struct upstream_request *request,
                      const struct upstream_callbacks *callbacks, void *context,
                      struct upstream_call **call);
/* Closes the connection; no callback runs afterwards. */
void upstream_cancel(struct upstream_call **call);
/* Backpressure: stop and go on reading; the silence timer stands still while paused. */
void upstream_pause(struct upstream_call *call);
void upstream_resume(struct upstream_call *call);
