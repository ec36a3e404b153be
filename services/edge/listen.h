/* SPDX-License-Identifier: Apache-2.0 */
/* Client connections: the first thread accepts and gives them out, a bound on their number, TLS,
 * and the budget that ends an HTTP/2 connection which keeps resetting its streams: the library is
 * open to that attack. */
#pragma once

#include <stdatomic.h>

#include "shared/config.h"
#include "shared/h2o.h"
#include "shared/status.h"

struct connection;
struct listener;

/* Of all threads, in their order. `give` hands a descriptor, or the word that a connection ended
 * and there is room, to a listener's thread, which calls listen_take() with it. Callable on any
 * thread. */
#define LISTEN_ROOM (-1)
struct listener_group {
    size_t count;
    struct listener *(*at)(void *context, size_t i);
    void (*give)(struct listener *to, int fd);
    void *context;
};

/* A thread gets so many connections before the next one gets its first; when each has them, the one
 * with the fewest. A thread that serves little sleeps and wakes for each frame, and that is a third
 * of its time: sixteen busy connections cost an eighth less on one thread than on two. */
#define LISTEN_FILL 32

struct listener {
    int fd; /* -1: the first thread's accepts for it */
    const struct listener_group *group;
    h2o_socket_t *socket; /* NULL: closed */
    h2o_accept_ctx_t accept;
    struct connection *first;     /* of those that are open */
    _Atomic uint32_t connections; /* and those on their way here */
    uint32_t connections_max;
    _Atomic bool paused; /* all are at the maximum */
    bool stopped;
};

/* IO after a log line. With port 0 the kernel chooses and *port says which. */
status listen_open(const struct config *config, int *fd);
/* The server's TLS context of the configured files; *tls stays NULL when none are configured. */
status listen_tls(const struct config *config, SSL_CTX **tls);

void listen_start(struct listener *listener, h2o_context_t *context, SSL_CTX *tls);
void listen_stop(struct listener *listener);
/* What was given to this thread's listener: a descriptor, or LISTEN_ROOM. */
void listen_take(struct listener *listener, int fd);
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
