/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets, TLS, and the record that hangs on each client connection. */
#include "services/edge/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/metrics.h"

#define LISTEN_BACKLOG    1024
#define ACCEPT_TURN       16 /* then the other sockets of the loop get their turn */
/* A client that takes nothing for this long is cut by the kernel: the library has no limit for
 * writing. */
#define CLIENT_SILENCE_MS 120000
/* The budget of an HTTP/2 connection: each stream that is reset costs 2, each that is answered
 * earns 1 back. */
#define RESET_COST        2
#define RESET_BUDGET      200

struct connection {
    struct listener *listener;
    struct connection *next, *before;
    h2o_socket_t *socket;
    void (*gone)(void *context); /* of the request being served; NULL: nobody watches */
    void *gone_context;
    unsigned resets;
    bool cut;
    char *last_words; /* of listen_keep() */
};

static void accept_connections(h2o_socket_t *socket, const char *error);

/* ---- opening --------------------------------------------------------------------------------- */

static bool parse_address(const struct config *config, struct sockaddr_storage *address,
                          socklen_t *len)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, config->edge_address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)config->edge_port);
        *len = sizeof(*v4);
        return true;
    }
    if (inet_pton(AF_INET6, config->edge_address, &v6->sin6_addr) != 1) return false;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)config->edge_port);
    *len = sizeof(*v6);
    return true;
}

status listen_open(const struct config *config, int *fd)
{
    struct sockaddr_storage address;
    socklen_t len;
    if (!parse_address(config, &address, &len)) {
        log_error("edge_address_unusable", F(reason, SLICE("write an IPv4 or IPv6 address")));
        return FAIL(CONFIGURATION);
    }
    const int on = 1;
    int made = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0 || setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(made, (const struct sockaddr *)&address, len) != 0 ||
        listen(made, LISTEN_BACKLOG) != 0) {
        log_error("listen_failed", FN(number, port, config->edge_port), F(errno, errno));
        if (made >= 0) (void)close(made);
        return FAIL(IO);
    }
    *fd = made;
    return OK;
}

static h2o_iovec_t protocols_http1[] = {{H2O_STRLIT("http/1.1")}, {NULL, 0}};
static h2o_iovec_t protocols_http2[] = {{H2O_STRLIT("h2")}, {H2O_STRLIT("http/1.1")}, {NULL, 0}};

static void tls_free(SSL_CTX **tls)
{
    if (*tls != NULL) SSL_CTX_free(*tls);
    *tls = NULL;
}

status listen_tls(const struct config *config, SSL_CTX **tls)
{
    if (config->edge_tls_certificate[0] == '\0') return OK;
    SCOPED(tls_free) SSL_CTX *made = SSL_CTX_new(TLS_server_method());
    if (made == NULL) return FAIL(CRYPTO);
    SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
    SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (SSL_CTX_use_certificate_chain_file(made, config->edge_tls_certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(made, config->edge_tls_key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(made) != 1) {
        log_error("tls_files_unusable",
                  F(reason, SLICE("edge_tls_certificate and edge_tls_key must name PEM files that "
                                  "belong together")));
        return FAIL(CONFIGURATION);
    }
    h2o_ssl_register_alpn_protocols(made, config->edge_http2 ? protocols_http2 : protocols_http1);
    *tls = TAKE(made);
    return OK;
}

void listen_start(struct listener *listener, h2o_context_t *context, SSL_CTX *tls)
{
    listener->accept = (h2o_accept_ctx_t){
        .ctx = context,
        .hosts = context->globalconf->hosts,
        .ssl_ctx = tls,
    };
    if (listener->fd < 0) return;
    listener->socket =
        h2o_evloop_socket_create(context->loop, listener->fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->socket->data = listener;
    h2o_socket_read_start(listener->socket, accept_connections);
}

void listen_stop(struct listener *listener)
{
    listener->stopped = true;
    if (listener->socket == NULL) return;
    h2o_socket_read_stop(listener->socket);
    h2o_socket_close(listener->socket);
    listener->socket = NULL;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void connection_closed(void *data)
{
    struct connection *connection = data;
    struct listener *listener = connection->listener;
    const struct listener_group *group = listener->group;
    if (connection->before != NULL)
        connection->before->next = connection->next;
    else
        listener->first = connection->next;
    if (connection->next != NULL) connection->next->before = connection->before;
    metric_add(connections, -1);
    free(connection->last_words);
    free(connection);
    atomic_fetch_sub(&listener->connections, 1);
    struct listener *accepting = group->at(group->context, 0);
    if (atomic_load(&accepting->paused)) group->give(accepting, LISTEN_ROOM);
}

static void serve_connection(struct listener *listener, int fd)
{
    const int on = 1;
    const unsigned silence_ms = CLIENT_SILENCE_MS;
    h2o_socket_t *socket = h2o_evloop_socket_create(listener->accept.ctx->loop, fd,
                                                    H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof(silence_ms));
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) abort();
    connection->listener = listener;
    connection->socket = socket;
    connection->next = listener->first;
    if (listener->first != NULL) listener->first->before = connection;
    listener->first = connection;
    socket->on_close.cb = connection_closed;
    socket->on_close.data = connection;
    metric_add(connections, 1);
    h2o_accept(&listener->accept, socket);
}

void listen_take(struct listener *listener, int fd)
{
    if (fd == LISTEN_ROOM) {
        if (atomic_exchange(&listener->paused, false) && listener->socket != NULL)
            h2o_socket_read_start(listener->socket, accept_connections);
    } else if (listener->stopped) {
        (void)close(fd);
        atomic_fetch_sub(&listener->connections, 1);
    } else {
        serve_connection(listener, fd);
    }
}

/* NULL: all are at their maximum. */
static struct listener *choose(const struct listener_group *group)
{
    struct listener *fewest = NULL;
    for (size_t i = 0; i < group->count; i++) {
        struct listener *listener = group->at(group->context, i);
        uint32_t connections = atomic_load(&listener->connections);
        if (connections >= listener->connections_max) continue;
        if (connections < LISTEN_FILL) return listener;
        if (fewest == NULL || connections < atomic_load(&fewest->connections)) fewest = listener;
    }
    return fewest;
}

/* The kernel's queue holds the rest until a connection ends. One that ended before its thread could
 * see the pause is seen here. */
static bool pause_accepting(struct listener *listener)
{
    atomic_store(&listener->paused, true);
    if (choose(listener->group) != NULL) {
        atomic_store(&listener->paused, false);
        return false;
    }
    h2o_socket_read_stop(listener->socket);
    return true;
}

static void accept_connections(h2o_socket_t *socket, const char *error)
{
    struct listener *listener = socket->data;
    if (error != NULL) return;
    for (int turn = 0; turn < ACCEPT_TURN; turn++) {
        struct listener *to = choose(listener->group);
        if (to == NULL && pause_accepting(listener)) return;
        if (to == NULL) continue;
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        atomic_fetch_add(&to->connections, 1);
        if (to == listener)
            serve_connection(listener, fd);
        else
            listener->group->give(to, fd);
    }
}

/* While a request is served its connection is not read, so what such a one holds is counted
 * elsewhere. */
static size_t upload_bytes(const struct connection *connection)
{
    h2o_socket_t *socket = connection->socket;
    return !connection->cut && h2o_socket_is_reading(socket) ? socket->input->size : 0;
}

void listen_cut_uploads(struct listener *listener, size_t bytes_max)
{
    for (;;) {
        size_t total = 0;
        struct connection *largest = NULL;
        for (struct connection *c = listener->first; c != NULL; c = c->next) {
            total += upload_bytes(c);
            if (largest == NULL || upload_bytes(c) > upload_bytes(largest)) largest = c;
        }
        if (total <= bytes_max || largest == NULL) return;
        log_warning("upload_cut", FN(count, bytes, total));
        largest->cut = true;
        (void)shutdown(h2o_socket_get_fd(largest->socket), SHUT_RDWR);
    }
}

static struct connection *connection_of(h2o_req_t *http)
{
    h2o_socket_t *socket = http->conn->callbacks->get_socket(http->conn);
    return socket == NULL ? NULL : socket->on_close.data;
}

slice listen_keep(h2o_socket_t *socket, slice bytes)
{
    struct connection *connection = socket->on_close.data;
    char *copy = malloc(bytes.len);
    if (copy == NULL) abort();
    memcpy(copy, bytes.data, bytes.len);
    free(connection->last_words);
    connection->last_words = copy;
    return (slice){copy, bytes.len};
}

/* The library starts reading again by itself when the answer is out, and finds what has come
 * meanwhile. */
static void watched(h2o_socket_t *socket, const char *error)
{
    struct connection *connection = socket->on_close.data;
    h2o_socket_read_stop(socket);
    void (*gone)(void *context) = TAKE(connection->gone);
    if (error != NULL && gone != NULL) gone(connection->gone_context);
}

void listen_watch(h2o_req_t *http, void (*gone)(void *context), void *context)
{
    struct connection *connection = http->version >= 0x200 ? NULL : connection_of(http);
    if (connection == NULL) return;
    connection->gone = gone;
    connection->gone_context = context;
    h2o_socket_read_start(connection->socket, watched);
}

void listen_watch_end(h2o_req_t *http)
{
    struct connection *connection = http->version >= 0x200 ? NULL : connection_of(http);
    if (connection != NULL) connection->gone = NULL;
}

void listen_count_end(h2o_req_t *http, bool finished)
{
    if (http->version < 0x200) return;
    struct connection *connection = connection_of(http);
    if (connection == NULL) return;
    if (!finished)
        connection->resets += RESET_COST;
    else if (connection->resets > 0)
        connection->resets--;
    if (connection->resets <= RESET_BUDGET || connection->cut) return;
    connection->cut = true;
    metric_add(rapid_resets_total, 1);
    (void)shutdown(h2o_socket_get_fd(connection->socket), SHUT_RDWR);
}
