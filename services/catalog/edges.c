/* SPDX-License-Identifier: Apache-2.0 */
/* Every connection gets the present market at WELCOME and each new one as a whole; a connection
 * whose buffer is full gets the newest one at a later tick. Nothing here waits: opening a key is
 * microseconds of libsodium on rows that the refresher read before. */
#include "services/catalog/edges.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/daemon.h"
#include "shared/ipc/peer.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define EDGES_MAX   1024 /* connections: 256 threads of an edge, of a draining one, and room */
#define TICK_MS     250
#define SOCKET_MODE 0660
#define SOCKET_PATH "run/catalog-ipc.sock"
#define EDGE_USER   "bourse-edge" /* where each program has a user of its own */

struct edge_connection {
    struct peer *peer; /* NULL: a free row */
    bool greeted;
    bool wants_market;
    uint64_t revision; /* that it was sent; 0: none */
};

struct edges {
    struct catalog *catalog;
    h2o_loop_t *loop;
    struct peer_set *peers;
    struct market *market; /* the one that is being sent */
    bool has_pushed;       /* to somebody, in this turn */
    h2o_socket_t *wake;
    h2o_timeout_t tick;
    h2o_timeout_entry_t tick_entry;
    struct edge_connection connections[EDGES_MAX];
};

static void edge_opened(struct peer *peer, void *context);
static status edge_received(struct peer *peer, const struct frame *frame, void *context);
static void edge_closed(struct peer *peer, void *context);
static status receive_hello(struct edges *edges, struct edge_connection *connection,
                            const struct frame *frame);
static status receive_outcome(struct edges *edges, struct edge_connection *connection,
                              const struct frame *frame);
static status receive_key_open(struct edges *edges, struct edge_connection *connection,
                               const struct frame *frame);
static void send_market(struct edges *edges, struct edge_connection *connection);
static void send_health(void *context, uint32_t endpoint, enum endpoint_health state);
static void market_swapped(h2o_socket_t *socket, const char *error);
static void tick_run(h2o_timeout_entry_t *entry);

static const struct peer_callbacks callbacks = {
    .opened = edge_opened, .received = edge_received, .closed = edge_closed};

/* Who may say what: the edge's half of the list of messages. */
static const struct {
    uint16_t type;
    bool before_hello;
    status (*receive)(struct edges *edges, struct edge_connection *connection,
                      const struct frame *frame);
} receivers[] = {
    {MESSAGE_hello, true, receive_hello},
    {MESSAGE_outcome, false, receive_outcome},
    {MESSAGE_key_open, false, receive_key_open},
};

status edges_start(struct catalog *catalog, h2o_loop_t *loop, struct edges **out)
{
    int fd;
    TRY(daemon_listen_unix(SOCKET_PATH, SOCKET_MODE, &fd));
    struct edges *edges = calloc(1, sizeof(*edges));
    if (edges == NULL) abort();
    edges->catalog = catalog;
    edges->loop = loop;
    edges->peers = peer_set_new(loop);
    uid_t uid;
    struct peer_rules rules = peer_rules_for_user(EDGE_USER, &uid);
    peer_accept(edges->peers, fd, &rules, &callbacks, edges);
    /* The loop closes what it was given; the catalog's descriptor stays the catalog's. */
    int wake_fd = fcntl(catalog->wake_fd, F_DUPFD_CLOEXEC, 0);
    if (wake_fd < 0) abort();
    edges->wake = h2o_evloop_socket_create(loop, wake_fd, H2O_SOCKET_FLAG_DONT_READ);
    edges->wake->data = edges;
    h2o_socket_read_start(edges->wake, market_swapped);
    h2o_timeout_init(loop, &edges->tick, TICK_MS);
    edges->tick_entry.cb = tick_run;
    h2o_timeout_link(loop, &edges->tick, &edges->tick_entry);
    *out = edges;
    return OK;
}

void edges_flush(struct edges *edges)
{
    peer_set_flush(edges->peers);
    if (edges->has_pushed) fault_point("catalog_after_push");
    edges->has_pushed = false;
}

void edges_stop(struct edges **pointer)
{
    struct edges *edges = TAKE(*pointer);
    if (edges == NULL) return;
    peer_set_free(&edges->peers);
    h2o_timeout_unlink(&edges->tick_entry);
    h2o_timeout_dispose(edges->loop, &edges->tick);
    h2o_socket_close(edges->wake);
    market_release(&edges->market);
    (void)unlink(SOCKET_PATH);
    free(edges);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void edge_opened(struct peer *peer, void *context)
{
    struct edges *edges = context;
    for (size_t i = 0; i < EDGES_MAX; i++) {
        struct edge_connection *connection = &edges->connections[i];
        if (connection->peer != NULL) continue;
        *connection = (struct edge_connection){.peer = peer};
        peer_set_user(peer, connection);
        return;
    }
    log_error("too_many_edges", FN(number, connections_max, EDGES_MAX));
    peer_set_user(peer, NULL); /* its first frame closes it */
}

static void edge_closed(struct peer *peer, void *context)
{
    (void)context;
    struct edge_connection *connection = peer_user(peer);
    if (connection != NULL) *connection = (struct edge_connection){0};
}

static status edge_received(struct peer *peer, const struct frame *frame, void *context)
{
    struct edges *edges = context;
    struct edge_connection *connection = peer_user(peer);
    if (connection == NULL) return FAIL(OVERLOADED);
    for (size_t i = 0; i < sizeof(receivers) / sizeof(receivers[0]); i++) {
        if (receivers[i].type != frame->type) continue;
        if (receivers[i].before_hello == connection->greeted) return FAIL(MALFORMED);
        return receivers[i].receive(edges, connection, frame);
    }
    return FAIL(MALFORMED);
}

static status receive_hello(struct edges *edges, struct edge_connection *connection,
                            const struct frame *frame)
{
    struct message_hello hello;
    TRY(message_decode_hello(frame->body, &hello));
    /* This version and the one before: an edge that drains may be older than we are. */
    if (hello.version > MESSAGE_VERSION || hello.version + 1 < MESSAGE_VERSION)
        return FAIL(MALFORMED);
    struct buffer *out = peer_out(connection->peer);
    if (out == NULL) return FAIL(OVERLOADED);
    struct message_welcome welcome = {
        .version = MESSAGE_VERSION,
        .cell = (uint16_t)edges->catalog->config.cell,
    };
    message_encode_welcome(out, frame->request, &welcome);
    connection->greeted = true;
    connection->wants_market = hello.wants_market != 0;
    send_market(edges, connection);
    return OK;
}

/* ---- outcomes and health --------------------------------------------------------------------- */

static status receive_outcome(struct edges *edges, struct edge_connection *connection,
                              const struct frame *frame)
{
    (void)connection;
    struct message_outcome outcome;
    TRY(message_decode_outcome(frame->body, &outcome));
    metric_add(outcomes_total, 1);
    health_record(edges->catalog->health, &outcome, clock_monotonic_ms(),
                  (struct health_listener){send_health, edges});
    return OK;
}

static void append_health(struct edge_connection *connection, uint32_t endpoint,
                          enum endpoint_health state)
{
    struct buffer *out = peer_out(connection->peer);
    if (out == NULL) {
        connection->revision = 0; /* the whole market follows, and all health with it */
        return;
    }
    struct message_health health = {.endpoint = endpoint, .state = (uint8_t)state};
    message_encode_health(out, 0, &health);
}

static void send_health(void *context, uint32_t endpoint, enum endpoint_health state)
{
    static const char *const names[] = {
        [HEALTH_STABLE] = "stable", [HEALTH_DEGRADED] = "degraded", [HEALTH_DOWN] = "down"};
    struct edges *edges = context;
    log_info("health_changed", FN(number, endpoint, endpoint),
             FN(name, state, slice_of(names[state])));
    for (size_t i = 0; i < EDGES_MAX; i++) {
        struct edge_connection *connection = &edges->connections[i];
        if (connection->wants_market && connection->revision != 0)
            append_health(connection, endpoint, state);
    }
}

static void send_health_to_one(void *context, uint32_t endpoint, enum endpoint_health state)
{
    append_health(context, endpoint, state);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static status receive_key_open(struct edges *edges, struct edge_connection *connection,
                               const struct frame *frame)
{
    struct message_key_open question;
    TRY(message_decode_key_open(frame->body, &question));
    struct buffer *out = peer_out(connection->peer);
    if (out == NULL) return FAIL(OVERLOADED);
    struct message_key_opened answer = {0};
    SCOPED(secret_free) struct secret key = {0};
    status opened = FAIL(CATALOG_DOWN);
    if (edges->market != NULL)
        opened = catalog_open_key(edges->catalog, edges->market, question.provider, &key,
                                  &answer.key_version);
    answer.error = opened.code;
    answer.key = secret_slice(&key);
    message_encode_key_opened(out, frame->request, &answer);
    if (status_ok(opened)) {
        metric_add(keys_opened_total, 1);
        fault_point("catalog_key_opened");
    }
    return OK;
}

/* ---- markets --------------------------------------------------------------------------------- */

static void send_market(struct edges *edges, struct edge_connection *connection)
{
    if (!connection->wants_market || edges->market == NULL ||
        connection->revision == edges->market->revision) {
        return;
    }
    struct buffer *out = peer_out(connection->peer);
    if (out == NULL) return; /* at a later tick */
    buffer_append(out, buffer_slice(&edges->market->frames));
    connection->revision = edges->market->revision;
    edges->has_pushed = true;
    health_each_unstable(edges->catalog->health,
                         (struct health_listener){send_health_to_one, connection});
}

static void send_market_to_all(struct edges *edges)
{
    for (size_t i = 0; i < EDGES_MAX; i++) {
        if (edges->connections[i].peer != NULL) send_market(edges, &edges->connections[i]);
    }
}

static void market_swapped(h2o_socket_t *socket, const char *error)
{
    (void)error;
    struct edges *edges = socket->data;
    uint64_t count;
    (void)!read(edges->catalog->wake_fd, &count, sizeof(count));
    struct market *market = catalog_market(edges->catalog);
    market_release(&edges->market);
    edges->market = market;
    send_market_to_all(edges);
}

static void tick_run(h2o_timeout_entry_t *entry)
{
    struct edges *edges = H2O_STRUCT_FROM_MEMBER(struct edges, tick_entry, entry);
    h2o_timeout_link(edges->loop, &edges->tick, &edges->tick_entry);
    health_tick(edges->catalog->health, clock_monotonic_ms(),
                (struct health_listener){send_health, edges});
    send_market_to_all(edges);
}
