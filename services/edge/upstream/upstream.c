/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to other servers: how they begin, connect, run out of time and end. Every way out goes
 * through call_end(), which reports at most once, or through a cancel, which reports nothing.
 * What fails while a call is being started is put off to the next turn of the loop. Requests are
 * sent and answers read in answer.c. */
#include "services/edge/upstream/upstream.h"

#include <stdlib.h>

#include "services/edge/upstream/call.h"
#include "services/edge/upstream/head.h"
#include "shared/clock.h"

#define HEAD_SIZE_MAX (64u * 1024) /* of a request */
#define CALLS_KEPT    512          /* ended calls kept for the next ones */
#define TICK_MS       50

struct upstream_client {
    h2o_loop_t *loop;
    const struct config *config;
    struct upstream_pools *pools;
    struct resolver *resolver;
    struct upstream_call *running;
    struct upstream_call *cursor; /* of a tick under way: the call it will look at next */
    struct upstream_call *kept;
    size_t kept_count;
    h2o_timeout_t at_once, tick;
    h2o_timeout_entry_t tick_entry;
};

static struct upstream_call *new_call(struct upstream_client *client);
static void free_call(struct upstream_call *call);
static status prepare(struct upstream_call *call, const struct upstream_request *request);
static void resolve_host(struct upstream_call *call);
static void run_later(h2o_timeout_entry_t *entry);
static void run_tick(h2o_timeout_entry_t *entry);

/* ---- the client ------------------------------------------------------------------------------ */

status upstream_client_new(h2o_loop_t *loop, h2o_multithread_queue_t *queue,
                           const struct config *config, struct upstream_client **client)
{
    struct upstream_pools *pools;
    TRY(upstream_pools_new(loop, config, &pools));
    struct upstream_client *c = calloc(1, sizeof(*c));
    if (c == NULL) abort();
    c->loop = loop;
    c->config = config;
    c->pools = pools;
    c->resolver = resolver_new(queue);
    h2o_timeout_init(loop, &c->at_once, 0);
    h2o_timeout_init(loop, &c->tick, TICK_MS);
    c->tick_entry.cb = run_tick;
    *client = c;
    return OK;
}

void upstream_client_free(struct upstream_client **client)
{
    struct upstream_client *c = TAKE(*client);
    if (c == NULL) return;
    while (c->running != NULL) {
        struct upstream_call *call = c->running;
        upstream_cancel(&call);
    }
    resolver_free(&c->resolver);
    upstream_pools_free(&c->pools);
    if (h2o_timeout_is_linked(&c->tick_entry)) h2o_timeout_unlink(&c->tick_entry);
    h2o_timeout_dispose(c->loop, &c->at_once);
    h2o_timeout_dispose(c->loop, &c->tick);
    while (c->kept != NULL) {
        struct upstream_call *next = c->kept->next;
        free(c->kept);
        c->kept = next;
    }
    free(c);
}

/* ---- what owners do -------------------------------------------------------------------------- */

status upstream_start(struct upstream_client *client, const struct upstream_request *request,
                      const struct upstream_callbacks *callbacks, void *context,
                      struct upstream_call **call)
{
    struct upstream_call *c = new_call(client);
    status prepared = prepare(c, request);
    if (!status_ok(prepared)) {
        free_call(c);
        return prepared;
    }
    c->callbacks = *callbacks;
    c->context = context;
    resolve_host(c);
    *call = c;
    return OK;
}

void upstream_cancel(struct upstream_call **call)
{
    struct upstream_call *c = TAKE(*call);
    if (c == NULL || c->over) return;
    c->over = true;
    if (c->in_callback) return; /* whoever called the owner goes on from here */
    call_let_go(c);
}

/* A head may still come; after it, bytes stay where they are. */
void upstream_pause(struct upstream_call *call)
{
    if (call->paused || call->over) return;
    call->paused = true;
    if (call->state == CALL_READING) h2o_socket_read_stop(call->connection->socket);
}

void upstream_resume(struct upstream_call *call)
{
    if (!call->paused || call->over) return;
    call->paused = false;
    call->heard = true;
    if (call->state == CALL_READING || call->state == CALL_ENDED) call_start_later(call);
}

/* ---- beginnings ------------------------------------------------------------------------------ */

static struct upstream_call *new_call(struct upstream_client *client)
{
    struct upstream_call *call = client->kept;
    if (call != NULL) {
        client->kept = call->next;
        client->kept_count--;
    } else {
        call = malloc(sizeof(*call));
        if (call == NULL) abort();
    }
    memset(call, 0, offsetof(struct upstream_call, host));
    call->client = client;
    call->config = client->config;
    call->later.cb = run_later;
    buffer_init(&call->head, 0);
    call->next = client->running;
    if (call->next != NULL) call->next->previous = call;
    client->running = call;
    if (!h2o_timeout_is_linked(&client->tick_entry))
        h2o_timeout_link(client->loop, &client->tick, &client->tick_entry);
    return call;
}

static void free_call(struct upstream_call *call)
{
    struct upstream_client *client = call->client;
    if (client->cursor == call) client->cursor = call->next;
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        client->running = call->next;
    if (call->next != NULL) call->next->previous = call->previous;

    /* The head holds the provider's key. */
    if (call->head.len > 0) explicit_bzero(call->head.data, call->head.len);
    buffer_free(&call->head);
    if (client->kept_count == CALLS_KEPT) {
        free(call);
        return;
    }
    call->next = client->kept;
    client->kept = call;
    client->kept_count++;
}

static status write_head(struct upstream_call *call, const struct upstream_request *request)
{
    size_t len_max = upstream_head_len_max(request);
    if (len_max > HEAD_SIZE_MAX) return FAIL(HEADERS_TOO_LARGE);
    if (len_max <= UPSTREAM_HEAD_INLINE_SIZE)
        buffer_init_fixed(&call->head, call->head_memory, UPSTREAM_HEAD_INLINE_SIZE);
    else
        buffer_init(&call->head, len_max);
    TRY(upstream_head_write(request, &call->head));

    call->pieces[0] = h2o_iovec_init(call->head.data, call->head.len);
    call->piece_count = 1;
    for (size_t i = 0; i < request->body_count; i++) {
        if (request->body[i].len == 0) continue;
        if (call->piece_count == 1 + UPSTREAM_BODY_PIECES_MAX) return FAIL(BAD_REQUEST);
        call->pieces[call->piece_count++] = request->body[i];
    }
    return OK;
}

static uint32_t or_default(uint32_t asked_ms, int64_t configured_ms)
{
    return asked_ms != 0 ? asked_ms : (uint32_t)configured_ms;
}

static status prepare(struct upstream_call *call, const struct upstream_request *request)
{
    const struct url *url = request->url;
    if (url->host.len == 0 ||
        !status_ok(slice_to_c_string(url->host, call->host, sizeof(call->host))))
        return FAIL(BAD_REQUEST);
    call->host_len = (uint8_t)url->host.len;
    call->tls = url->tls;
    call->local = url->local;
    call->port = url->port;
    call->method_is_head = slice_equal(request->method, SLICE("HEAD"));
    call->admits = request->admits;
    TRY(write_head(call, request));

    const struct config *config = call->config;
    uint64_t now_ms = clock_coarse_ms();
    call->connect_deadline_ms = now_ms + (uint64_t)config->upstream_connect_timeout;
    call->total_deadline_ms =
        now_ms + or_default(request->total_timeout_ms, config->upstream_total_timeout);
    call->first_byte_timeout_ms =
        or_default(request->first_byte_timeout_ms, config->upstream_first_byte_timeout);
    call->idle_timeout_ms = or_default(request->idle_timeout_ms, config->upstream_idle_timeout);
    return OK;
}

/* ---- resolving and connecting ---------------------------------------------------------------- */

static void fail_later(struct upstream_call *call, enum upstream_failure failure,
                       const char *detail)
{
    call->state = CALL_FAILING;
    call->failure = failure;
    call->detail = detail;
    call_start_later(call);
}

/* What is connected to afterwards is one of these addresses, whatever the name means by then. */
static void connect_to_admitted(struct upstream_call *call)
{
    struct resolved *addresses = &call->addresses;
    uint8_t count = 0;
    for (uint8_t i = 0; i < addresses->count; i++) {
        if (call->admits == NULL || call->admits(&addresses->items[i]))
            addresses->items[count++] = addresses->items[i];
    }
    addresses->count = count;
    if (count == 0)
        fail_later(call, UPSTREAM_CONNECT, "no address that may be called");
    else
        call_connect(call);
}

static void host_resolved(void *context, const struct resolved *addresses)
{
    struct upstream_call *call = context;
    if (addresses == NULL) {
        fail_later(call, UPSTREAM_CONNECT, "no such host");
        return;
    }
    call->addresses = *addresses;
    connect_to_admitted(call);
}

static void resolve_host(struct upstream_call *call)
{
    call->state = CALL_RESOLVING;
    if (call->local) {
        call->addresses.count = 1;
        call_connect(call);
        return;
    }
    call->resolving.done = host_resolved;
    call->resolving.context = call;
    status found = resolver_find(call->client->resolver, (slice){call->host, call->host_len},
                                 &call->resolving, &call->addresses);
    if (status_ok(found))
        connect_to_admitted(call);
    else if (found.code == ERROR_OVERLOADED)
        fail_later(call, UPSTREAM_BUSY, "too many names to resolve");
    else if (found.code != ERROR_END)
        fail_later(call, UPSTREAM_CONNECT, "no such host");
}

static status place_of(const struct upstream_call *call, struct upstream_place *place)
{
    *place = (struct upstream_place){.host = {call->host, call->host_len}, .tls = call->tls};
    if (call->local) {
        struct sockaddr_un *local = &place->address.local;
        local->sun_family = AF_UNIX;
        TRY(slice_to_c_string(place->host, local->sun_path, sizeof(local->sun_path)));
        place->address_len =
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + call->host_len + 1u);
        return OK;
    }
    const union resolved_address *address = &call->addresses.items[call->address_index];
    place->address.ip = *address;
    place->address_len = resolved_address_len(address);
    if (address->any.sa_family == AF_INET6)
        place->address.ip.v6.sin6_port = htons(call->port);
    else
        place->address.ip.v4.sin_port = htons(call->port);
    return OK;
}

static void connect_failed(struct upstream_call *call, const char *error)
{
    call_leave_pool(call);
    if (call->detail == NULL) call->detail = error; /* the first address's fault tells most */
    if (++call->address_index < call->addresses.count) {
        call_connect(call);
        return;
    }
    if (!call->local) resolver_forget(call->client->resolver, (slice){call->host, call->host_len});
    fail_later(call, UPSTREAM_CONNECT, call->detail);
}

static void connection_opened(struct upstream_call *call, const char *error)
{
    if (error == NULL)
        call_send(call);
    else
        connect_failed(call, error);
}

void call_connect(struct upstream_call *call)
{
    struct upstream_place place;
    status entered = place_of(call, &place);
    if (status_ok(entered))
        entered = upstream_pools_enter(call->client->pools, &place, &call->pool);
    if (!status_ok(entered)) {
        bool busy = entered.code == ERROR_OVERLOADED;
        fail_later(call, busy ? UPSTREAM_BUSY : UPSTREAM_CONNECT, "no connection to be had");
        return;
    }
    if (!call->replaced) call->connection = upstream_connection_take(call->pool, call);
    if (call->connection != NULL) {
        call_send(call);
        return;
    }
    call->state = CALL_CONNECTING;
    call->connection = upstream_connection_open(call->pool, call, connection_opened);
    if (call->connection == NULL) connect_failed(call, "connection refused");
}

void call_leave_pool(struct upstream_call *call)
{
    upstream_connection_close(&call->connection);
    if (call->pool != NULL) upstream_pool_leave(TAKE(call->pool));
}

/* ---- endings --------------------------------------------------------------------------------- */

void call_let_go(struct upstream_call *call)
{
    call_leave_pool(call);
    resolve_wait_cancel(&call->resolving);
    if (h2o_timeout_is_linked(&call->later)) h2o_timeout_unlink(&call->later);
    free_call(call);
}

void call_end(struct upstream_call *call, enum upstream_failure failure, const char *detail)
{
    call_leave_pool(call);
    call->over = true;
    call->in_callback = true;
    call->callbacks.done(call->context, failure, detail);
    call_let_go(call);
}

void call_start_later(struct upstream_call *call)
{
    if (!h2o_timeout_is_linked(&call->later))
        h2o_timeout_link(call->client->loop, &call->client->at_once, &call->later);
}

static void run_later(h2o_timeout_entry_t *entry)
{
    struct upstream_call *call = H2O_STRUCT_FROM_MEMBER(struct upstream_call, later, entry);
    if (call->state == CALL_FAILING)
        call_end(call, call->failure, call->detail);
    else if (!call->paused)
        call_read_on(call);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* Deadlines are looked at every TICK_MS instead of being timers: bytes that arrive then cost one
 * store, no list and no clock. */
static bool is_late(const struct upstream_call *call, uint64_t now_ms,
                    enum upstream_failure *failure)
{
    *failure = UPSTREAM_TOTAL_TIMEOUT;
    if (now_ms >= call->total_deadline_ms) return true;
    switch (call->state) {
    case CALL_RESOLVING:
    case CALL_CONNECTING:
        *failure = UPSTREAM_CONNECT_TIMEOUT;
        return now_ms >= call->connect_deadline_ms;
    case CALL_WAITING:
        *failure = UPSTREAM_FIRST_BYTE_TIMEOUT;
        return now_ms >= call->waiting_since_ms + call->first_byte_timeout_ms;
    case CALL_READING:
        *failure = UPSTREAM_IDLE_TIMEOUT;
        return now_ms >= call->heard_ms + call->idle_timeout_ms;
    default: return false;
    }
}

static void run_tick(h2o_timeout_entry_t *entry)
{
    struct upstream_client *client =
        H2O_STRUCT_FROM_MEMBER(struct upstream_client, tick_entry, entry);
    uint64_t now_ms = clock_monotonic_ms();
    client->cursor = client->running;
    while (client->cursor != NULL) {
        struct upstream_call *call = client->cursor;
        client->cursor = call->next;
        if (call->heard || call->paused) call->heard_ms = now_ms;
        call->heard = false;
        enum upstream_failure failure;
        if (is_late(call, now_ms, &failure)) call_end(call, failure, "timeout");
    }
    if (client->running != NULL && !h2o_timeout_is_linked(entry))
        h2o_timeout_link(client->loop, &client->tick, entry);
}
