/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of a pool: opened with TCP or a Unix socket and TLS, and kept between two requests.
 * One that is kept stays registered for reading, so it costs no system call to keep it or to take
 * it again, and a server's end is seen when it comes. Inside of the upstream client only. */
#pragma once

#include "services/edge/upstream/pool.h"

struct upstream_call;
struct upstream_connection;

/* error: NULL, or why there is no connection; it is the callee's to close then, too. */
typedef void (*upstream_opened)(struct upstream_call *call, const char *error);

struct upstream_connection {
    struct upstream_pool *pool;
    h2o_socket_t *socket;       /* its data is this connection */
    struct upstream_call *call; /* NULL: kept */
    upstream_opened opened;
    bool served;                /* a request before this one */
    h2o_linklist_t kept;        /* in the pool's, while it is kept */
    h2o_timeout_entry_t expiry; /* then, too */
};

/* NULL: refused at once. `opened` runs later. */
struct upstream_connection *upstream_connection_open(struct upstream_pool *pool,
                                                     struct upstream_call *call,
                                                     upstream_opened opened);
void upstream_connection_close(struct upstream_connection **connection);

/* The whole answer was read, and the whole request was sent. */
void upstream_connection_keep(struct upstream_connection *connection);
/* The one that was kept last; NULL: none. The caller starts reading at once. */
struct upstream_connection *upstream_connection_take(struct upstream_pool *pool,
                                                     struct upstream_call *call);
