/* SPDX-License-Identifier: Apache-2.0 */
/* Client connections: one listener per thread on the same port (the kernel spreads connections), a
 * bound on their number, TLS, and the budget that ends an HTTP/2 connection which keeps resetting
 * its streams: the library is open to that attack. */
#pragma once

#include "shared/config.h"
#include "shared/h2o.h"
#include "shared/status.h"

struct connection;

struct listener {
    int fd;
    h2o_socket_t *socket; /* NULL: closed */
    h2o_accept_ctx_t accept;
    struct connection *first; /* of those that are open */
    uint32_t connections;
    uint32_t connections_max;
    bool paused; /* at the maximum */
};

/* IO after a log line. With port 0 the kernel chooses and *port says which. */
status listen_open(const struct config *config, int *fd);
/* The server's TLS context of the configured files; *tls stays NULL when none are configured. */
status listen_tls(const struct config *config, SSL_CTX **tls);

void listen_start(struct listener *listener, h2o_context_t *context, SSL_CTX *tls);
void listen_stop(struct listener *listener);
/* The library collects a whole body before it hands the request over; when those on their way hold
 * more than bytes_max, the largest ones are cut. */
void listen_cut_uploads(struct listener *listener, size_t bytes_max);

/* A copy that stays for as long as the connection does; the next one takes its place. */
slice listen_keep(h2o_socket_t *socket, slice bytes);

/* Goes on reading an HTTP/1 connection while its request is served: the client's end is seen at
 * once, and stopping and starting cost no system calls. `gone` runs at most once, when the client
 * closed. Bytes of a next request may move the buffer that the head and the body of this one lie
 * in, so the caller must hold copies of what it needs; they end the watch. */
void listen_watch(h2o_req_t *http, void (*gone)(void *context), void *context);
void listen_watch_end(h2o_req_t *http);

/* A request of this connection was disposed of. Unfinished ones (the client reset them) eat up the
 * connection's budget. */
void listen_count_end(h2o_req_t *http, bool finished);
