/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets below calls. The loop asks the kernel for a change only when what is wanted of a socket
 * differs at its next turn, so a kept connection just gets another reader. The complication is
 * that closing a TLS connection goes on after the close: nothing of ours is in its way then. */
#include "services/edge/upstream/connection.h"

#include <stdlib.h>

static void connected(h2o_socket_t *socket, const char *error);
static void opened(h2o_socket_t *socket, const char *error);
static void kept_readable(h2o_socket_t *socket, const char *error);
static void kept_too_long(h2o_timeout_entry_t *entry);

/* ---- opening and closing --------------------------------------------------------------------- */

struct upstream_connection *upstream_connection_open(struct upstream_pool *pool,
                                                     struct upstream_call *call,
                                                     upstream_opened opened_call)
{
    h2o_socket_t *socket =
        h2o_socket_connect(pool->loop, &pool->address.any, pool->address_len, connected);
    if (socket == NULL) return NULL;
    struct upstream_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) abort();
    connection->pool = pool;
    connection->socket = socket;
    connection->call = call;
    connection->opened = opened_call;
    connection->expiry.cb = kept_too_long;
    socket->data = connection;
    return connection;
}

static void connected(h2o_socket_t *socket, const char *error)
{
    const struct upstream_pool *pool = ((struct upstream_connection *)socket->data)->pool;
    if (error == NULL && pool->tls != NULL)
        h2o_socket_ssl_handshake(socket, pool->tls, pool->host, opened);
    else
        opened(socket, error);
}

static void opened(h2o_socket_t *socket, const char *error)
{
    const struct upstream_connection *connection = socket->data;
    connection->opened(connection->call, error);
}

static void leave_kept(struct upstream_connection *connection)
{
    if (!h2o_linklist_is_linked(&connection->kept)) return;
    h2o_linklist_unlink(&connection->kept);
    h2o_timeout_unlink(&connection->expiry);
}

void upstream_connection_close(struct upstream_connection **connection)
{
    struct upstream_connection *c = TAKE(*connection);
    if (c == NULL) return;
    leave_kept(c);
    h2o_socket_close(c->socket);
    free(c);
}

/* ---- keeping --------------------------------------------------------------------------------- */

void upstream_connection_keep(struct upstream_connection *connection)
{
    struct upstream_pool *pool = connection->pool;
    connection->call = NULL;
    connection->served = true;
    h2o_linklist_insert(pool->kept.next, &connection->kept); /* in front of the first */
    h2o_timeout_link(pool->loop, pool->kept_timeout, &connection->expiry);
    h2o_socket_read_start(connection->socket, kept_readable);
}

struct upstream_connection *upstream_connection_take(struct upstream_pool *pool,
                                                     struct upstream_call *call)
{
    if (h2o_linklist_is_empty(&pool->kept)) return NULL;
    struct upstream_connection *connection =
        H2O_STRUCT_FROM_MEMBER(struct upstream_connection, kept, pool->kept.next);
    leave_kept(connection);
    connection->call = call;
    return connection;
}

/* The server closed, or said something nobody had asked for. A ticket for another TLS session
 * wakes us without a byte of content. */
static void kept_readable(h2o_socket_t *socket, const char *error)
{
    struct upstream_connection *connection = socket->data;
    if (error != NULL || socket->input->size > 0) upstream_connection_close(&connection);
}

static void kept_too_long(h2o_timeout_entry_t *entry)
{
    struct upstream_connection *connection =
        H2O_STRUCT_FROM_MEMBER(struct upstream_connection, expiry, entry);
    upstream_connection_close(&connection);
}
