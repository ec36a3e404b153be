/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to other servers over the library's HTTP/1 client. A call resolves its host, enters a pool, connects, sends, and is read
 * until its end; every way out goes through end_call(), which runs `done` at most once. Two complications. The library calls back
 * while it still needs its own state, so a call that ends inside such a callback is only let go there and the library told by the
 * callback's result. And nothing is reported inside upstream_start(): what fails at once is put off to the next turn of the loop. */
#include "services/edge/upstream.h"

#include <stdlib.h>

#include "services/edge/upstream_pool.h"
#include "services/edge/upstream_url.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define HEAD_INLINE_SIZE  2048         /* an ordinary request head; larger ones are allocated */
#define HEAD_SIZE_MAX     (64u * 1024) /* of a request */
#define ANSWER_HEAD_MAX   (64u * 1024) /* the library bounds the number of headers, not their size */
#define BODY_PIECES_MAX   80           /* a dialect makes 64 at most */
#define CALLS_KEPT        512          /* ended calls kept for the next ones */
#define RETRIES_MAX       3
#define RETRY_WINDOW_MS   2000 /* a kept-alive connection that was closed shows it at once; later it is the answer that failed */
#define TICK_MS           50
#define RETRY_AFTER_S_MAX 86400

enum call_state {
    CALL_RESOLVING,
    CALL_CONNECTING,
    CALL_WAITING, /* sent; no head yet */
    CALL_READING, /* the head is there */
    CALL_HELD,    /* the answer is complete, but the owner has paused */
    CALL_FAILING, /* to be reported in the next turn */
};

struct upstream_call {
    struct upstream_call *next, *previous; /* of the client's running calls; next also links free ones */
    struct upstream_client *client;
    struct upstream_callbacks callbacks;
    void *context;
    enum call_state state;
    bool in_callback; /* the owner is being called: memory stays until it returns */
    bool over;        /* cancelled or reported */
    bool paused;
    bool reused;      /* the connection had served before */
    bool connecting;  /* inside of the library's connect function */
    bool method_is_head;
    uint8_t retries;
    uint8_t address_index;
    h2o_http1client_t *http;
    struct upstream_pool *pool;
    h2o_socket_cb paused_read;  /* the library's reader, while paused */
    h2o_buffer_t *held;         /* the end of the answer, when it came while paused */
    h2o_timeout_entry_t later;  /* linked: run_later() in the next turn */
    struct resolve_wait resolving;
    enum upstream_failure failure; /* of CALL_HELD and CALL_FAILING */
    const char *detail;
    uint64_t connect_deadline_ms, total_deadline_ms;
    uint64_t waiting_since_ms, heard_ms;
    uint32_t first_byte_timeout_ms, idle_timeout_ms;
    uint64_t answer_len;
    bool tls;
    bool local;
    uint16_t port;
    uint8_t host_len;
    char host[HOST_LEN_MAX + 1];
    struct resolved addresses;
    struct buffer head;
    size_t piece_count;
    h2o_iovec_t pieces[1 + BODY_PIECES_MAX];
    char head_memory[HEAD_INLINE_SIZE];
};

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
static void connect_call(struct upstream_call *call);
static void fail_later(struct upstream_call *call, enum upstream_failure failure,
                       const char *detail);
static void end_call(struct upstream_call *call, enum upstream_failure failure, const char *detail);
static void let_go(struct upstream_call *call);
static void run_later(h2o_timeout_entry_t *entry);
static void run_tick(h2o_timeout_entry_t *entry);

/* ---- the client ------------------------------------------------------------------------------- */

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
    if (h2o_timeout_is_linked(&c->tick_entry))
        h2o_timeout_unlink(&c->tick_entry);
    h2o_timeout_dispose(c->loop, &c->at_once);
    h2o_timeout_dispose(c->loop, &c->tick);
    while (c->kept != NULL) {
        struct upstream_call *next = c->kept->next;
        free(c->kept);
        c->kept = next;
    }
    free(c);
}

/* ---- calls: what owners do -------------------------------------------------------------------- */

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
    if (c->http != NULL)
        h2o_http1client_cancel(TAKE(c->http));
    let_go(c);
}

void upstream_pause(struct upstream_call *call)
{
    if (call->paused || call->over) return;
    call->paused = true;
    /* Before the first piece of the body the library has yet to set its reader; read_body() sees to it then. */
    h2o_socket_t *socket = call->http == NULL ? NULL : call->http->sock;
    if (call->state != CALL_READING || socket == NULL || socket->_cb.read == NULL) return;
    call->paused_read = socket->_cb.read;
    h2o_socket_read_stop(socket);
}

static void start_later(struct upstream_call *call)
{
    if (!h2o_timeout_is_linked(&call->later))
        h2o_timeout_link(call->client->loop, &call->client->at_once, &call->later);
}

void upstream_resume(struct upstream_call *call)
{
    if (!call->paused || call->over) return;
    call->paused = false;
    call->heard_ms = clock_monotonic_ms();
    bool unread = call->paused_read != NULL && call->http->sock->input->size > 0;
    if (call->state == CALL_HELD || unread)
        start_later(call);
    else if (call->paused_read != NULL)
        h2o_socket_read_start(call->http->sock, TAKE(call->paused_read));
}

/* ---- beginnings ------------------------------------------------------------------------------- */

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
    /* What follows the addresses is written before it is read. */
    memset(call, 0, offsetof(struct upstream_call, host));
    call->client = client;
    call->later.cb = run_later;
    buffer_init(&call->head, 0);
    call->next = client->running;
    if (call->next != NULL)
        call->next->previous = call;
    client->running = call;
    if (!h2o_timeout_is_linked(&client->tick_entry))
        h2o_timeout_link(client->loop, &client->tick, &client->tick_entry);
    return call;
}

static void free_call(struct upstream_call *call)
{
    struct upstream_client *client = call->client;
    if (client->cursor == call)
        client->cursor = call->next;
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        client->running = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;

    /* The head holds the provider's key. */
    if (call->head.len > 0)
        explicit_bzero(call->head.data, call->head.len);
    buffer_free(&call->head);
    if (client->kept_count == CALLS_KEPT) {
        free(call);
        return;
    }
    call->next = client->kept;
    client->kept = call;
    client->kept_count++;
}

static status write_head(struct upstream_call *call, const struct upstream_request *request,
                         const struct upstream_url *url)
{
    size_t len_max = upstream_head_len_max(request);
    if (len_max > HEAD_SIZE_MAX) return FAIL(HEADERS_TOO_LARGE);
    if (len_max <= HEAD_INLINE_SIZE)
        buffer_init_fixed(&call->head, call->head_memory, HEAD_INLINE_SIZE);
    else
        buffer_init(&call->head, len_max);
    TRY(upstream_head_write(request, url, &call->head));

    call->pieces[0] = h2o_iovec_init(call->head.data, call->head.len);
    call->piece_count = 1;
    for (size_t i = 0; i < request->body_count; i++) {
        if (request->body[i].len == 0) continue;
        if (call->piece_count == 1 + BODY_PIECES_MAX) return FAIL(BAD_REQUEST);
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
    struct upstream_url url;
    TRY(upstream_url_parse(request->url, &url));
    TRY(slice_to_c_string(url.host, call->host, sizeof(call->host)));
    call->host_len = (uint8_t)url.host.len;
    call->tls = url.tls;
    call->local = url.local;
    call->port = url.port;
    call->method_is_head = slice_equal(request->method, SLICE("HEAD"));
    TRY(write_head(call, request, &url));

    const struct config *config = call->client->config;
    uint64_t now_ms = clock_monotonic_ms();
    call->connect_deadline_ms = now_ms + (uint64_t)config->upstream_connect_timeout;
    call->total_deadline_ms =
        now_ms + or_default(request->total_timeout_ms, config->upstream_total_timeout);
    call->first_byte_timeout_ms =
        or_default(request->first_byte_timeout_ms, config->upstream_first_byte_timeout);
    call->idle_timeout_ms = or_default(request->idle_timeout_ms, config->upstream_idle_timeout);
    return OK;
}

/* ---- resolving and connecting ----------------------------------------------------------------- */

static void host_resolved(void *context, const struct resolved *addresses)
{
    struct upstream_call *call = context;
    if (addresses == NULL) {
        fail_later(call, UPSTREAM_CONNECT, "no such host");
        return;
    }
    call->addresses = *addresses;
    connect_call(call);
}

static void resolve_host(struct upstream_call *call)
{
    call->state = CALL_RESOLVING;
    if (call->local) {
        call->addresses.count = 1;
        connect_call(call);
        return;
    }
    call->resolving.done = host_resolved;
    call->resolving.context = call;
    status found = resolver_find(call->client->resolver, (slice){call->host, call->host_len},
                                 &call->resolving, &call->addresses);
    if (status_ok(found))
        connect_call(call);
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
        place->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + call->host_len + 1u);
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

static h2o_http1client_head_cb connected(h2o_http1client_t *http, const char *error,
                                         h2o_iovec_t **pieces, size_t *piece_count,
                                         int *method_is_head);

static void connect_call(struct upstream_call *call)
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
    call->state = CALL_CONNECTING;
    /* For a kept connection the callback runs before this returns, for a new one never, unless connecting fails at once. */
    call->connecting = true;
    h2o_http1client_connect_with_pool(&call->http, call, &call->pool->http, &call->pool->sockets,
                                      connected);
    call->connecting = false;
}

static void leave_pool(struct upstream_call *call)
{
    call->http = NULL;
    if (call->pool != NULL)
        upstream_pool_leave(TAKE(call->pool));
}

static void connect_failed(struct upstream_call *call, const char *error)
{
    leave_pool(call);
    if (call->detail == NULL)
        call->detail = error; /* the first address's fault tells most */
    if (++call->address_index < call->addresses.count) {
        connect_call(call);
        return;
    }
    if (!call->local)
        resolver_forget(call->client->resolver, (slice){call->host, call->host_len});
    fail_later(call, UPSTREAM_CONNECT, call->detail);
}

static h2o_http1client_body_cb head_arrived(h2o_http1client_t *http, const char *error,
                                            int minor_version, int http_status, h2o_iovec_t reason,
                                            h2o_header_t *headers, size_t header_count,
                                            int head_len);

static h2o_http1client_head_cb connected(h2o_http1client_t *http, const char *error,
                                         h2o_iovec_t **pieces, size_t *piece_count,
                                         int *method_is_head)
{
    struct upstream_call *call = http->data;
    if (error != NULL) {
        connect_failed(call, error);
        return NULL;
    }
    call->state = CALL_WAITING;
    call->reused = call->connecting;
    call->waiting_since_ms = clock_monotonic_ms();
    *pieces = call->pieces;
    *piece_count = call->piece_count;
    *method_is_head = call->method_is_head;
    return head_arrived;
}

/* ---- endings ---------------------------------------------------------------------------------- */

/* The call's memory goes; the library's part is gone already or ends when the callback returns. */
static void let_go(struct upstream_call *call)
{
    leave_pool(call);
    resolve_wait_cancel(&call->resolving);
    if (h2o_timeout_is_linked(&call->later))
        h2o_timeout_unlink(&call->later);
    if (call->held != NULL)
        h2o_buffer_dispose(&call->held);
    free_call(call);
}

/* Reports the end. Not to be used inside of the library's callbacks while they still own call->http. */
static void end_call(struct upstream_call *call, enum upstream_failure failure, const char *detail)
{
    if (call->http != NULL)
        h2o_http1client_cancel(TAKE(call->http));
    call->over = true;
    call->in_callback = true;
    call->callbacks.done(call->context, failure, detail);
    let_go(call);
}

static void fail_later(struct upstream_call *call, enum upstream_failure failure,
                       const char *detail)
{
    call->state = CALL_FAILING;
    call->failure = failure;
    call->detail = detail;
    start_later(call);
}

/* Hands bytes to the owner. False: the call is over, and the caller has to let go of it. */
static bool give_bytes(struct upstream_call *call, const h2o_buffer_t *bytes)
{
    if (bytes->size == 0) return true;
    call->heard_ms = clock_monotonic_ms();
    call->in_callback = true;
    bool wanted = call->callbacks.body(call->context, (slice){bytes->bytes, bytes->size});
    call->in_callback = false;
    return wanted && !call->over;
}

/* What an owner who had paused is still owed. */
static void run_later(h2o_timeout_entry_t *entry)
{
    struct upstream_call *call = H2O_STRUCT_FROM_MEMBER(struct upstream_call, later, entry);
    if (call->state == CALL_FAILING) {
        end_call(call, call->failure, call->detail);
        return;
    }
    if (call->paused) return;
    h2o_buffer_t **bytes = call->state == CALL_HELD ? &call->held : &call->http->sock->input;
    if (*bytes != NULL && !give_bytes(call, *bytes)) {
        call->over = true;
        if (call->http != NULL)
            h2o_http1client_cancel(TAKE(call->http));
        let_go(call);
        return;
    }
    if (*bytes != NULL)
        h2o_buffer_consume(bytes, (*bytes)->size);
    if (call->paused) return;
    if (call->state == CALL_HELD)
        end_call(call, call->failure, call->detail);
    else if (call->paused_read != NULL)
        h2o_socket_read_start(call->http->sock, TAKE(call->paused_read));
}

/* ---- the answer's head ------------------------------------------------------------------------ */

static int64_t milliseconds_of(slice text, int64_t scale)
{
    uint64_t number;
    slice whole;
    slice fraction;
    (void)slice_split(slice_trim(text), '.', &whole, &fraction);
    if (!status_ok(slice_to_u64(whole, &number))) return -1; /* a date: nobody sends one here */
    if (number > RETRY_AFTER_S_MAX * 1000u / (uint64_t)scale)
        number = RETRY_AFTER_S_MAX * 1000u / (uint64_t)scale;
    return (int64_t)number * scale;
}

static slice iovec_slice(h2o_iovec_t bytes)
{
    return (slice){bytes.base, bytes.len};
}

static void read_headers(struct upstream_head *head)
{
    int64_t precise_ms = -1;
    for (size_t i = 0; i < head->header_count; i++) {
        const h2o_header_t *header = &head->headers[i];
        slice value = iovec_slice(header->value);
        if (header->name == &H2O_TOKEN_CONTENT_TYPE->buf)
            head->content_type = value;
        else if (header->name == &H2O_TOKEN_RETRY_AFTER->buf)
            head->retry_after_ms = milliseconds_of(value, 1000);
        else if (slice_equal(iovec_slice(*header->name), SLICE("retry-after-ms")))
            precise_ms = milliseconds_of(value, 1);
    }
    if (precise_ms >= 0)
        head->retry_after_ms = precise_ms;
}

/* False: the owner wants no more. */
static bool give_head(struct upstream_call *call, struct upstream_head *head)
{
    read_headers(head);
    call->state = CALL_READING;
    call->heard_ms = clock_monotonic_ms();
    call->in_callback = true;
    bool wanted = call->callbacks.head(call->context, head);
    call->in_callback = false;
    return wanted && !call->over;
}

/* The race of keep-alive: the server closed while we sent. It saw nothing if it answered nothing and closed soon. */
static bool may_retry(const struct upstream_call *call, const h2o_http1client_t *http)
{
    return call->reused && call->retries < RETRIES_MAX && http->sock->input->size == 0 &&
           clock_monotonic_ms() - call->waiting_since_ms < RETRY_WINDOW_MS;
}

static enum upstream_failure failure_of(const char *error)
{
    return strncmp(error, "I/O", 3) == 0 ? UPSTREAM_RESET : UPSTREAM_BAD_ANSWER;
}

static void head_failed(struct upstream_call *call, h2o_http1client_t *http, const char *error)
{
    bool retry = failure_of(error) == UPSTREAM_RESET && may_retry(call, http);
    leave_pool(call);
    if (!retry) {
        end_call(call, failure_of(error), error);
        return;
    }
    call->retries++;
    metric_add(upstream_retries_total, 1);
    connect_call(call);
}

/* The answer is complete, as HTTP sees it. The library has kept or closed the connection, or will when we return. */
static void answer_ended(struct upstream_call *call, enum upstream_failure failure,
                         const char *detail)
{
    leave_pool(call);
    call->paused_read = NULL;
    if (!call->paused) {
        end_call(call, failure, detail);
        return;
    }
    call->state = CALL_HELD;
    call->failure = failure;
    call->detail = detail;
}

static int read_body(h2o_http1client_t *http, const char *error);

static h2o_http1client_body_cb head_arrived(h2o_http1client_t *http, const char *error,
                                            int minor_version __attribute__((unused)),
                                            int http_status, h2o_iovec_t reason,
                                            h2o_header_t *headers, size_t header_count,
                                            int head_len)
{
    struct upstream_call *call = http->data;
    bool bodiless = error == h2o_http1client_error_is_eos;
    if (error != NULL && !bodiless) {
        head_failed(call, http, error);
        return NULL;
    }
    if (head_len > (int)ANSWER_HEAD_MAX || http_status < 200) {
        call->http = NULL;
        end_call(call, UPSTREAM_BAD_ANSWER, "head not acceptable");
        return NULL;
    }
    struct upstream_head head = {
        .http_status = http_status,
        .content_type = SLICE_NONE,
        .retry_after_ms = -1,
        .headers = headers,
        .header_count = header_count,
        .reason = iovec_slice(reason),
    };
    if (!give_head(call, &head)) {
        let_go(call);
        return NULL;
    }
    if (!bodiless) return read_body;
    answer_ended(call, UPSTREAM_OK, "");
    return NULL;
}

/* ---- the answer's body ------------------------------------------------------------------------ */

/* Bytes that came with the head while the owner had paused: they stay where they are, or are set aside when the answer is over. */
static int keep_for_later(struct upstream_call *call, h2o_http1client_t *http, const char *error)
{
    if (error == NULL) {
        call->paused_read = http->sock->_cb.read;
        h2o_socket_read_stop(http->sock);
        return 0;
    }
    call->held = http->sock->input;
    h2o_buffer_init(&http->sock->input, &h2o_socket_buffer_prototype);
    bool orderly = error == h2o_http1client_error_is_eos;
    answer_ended(call, orderly ? UPSTREAM_OK : failure_of(error), orderly ? "" : error);
    return 0;
}

/* The library gives its whole input buffer; what is not taken out comes again. The result other than 0 closes the connection. */
static int read_body(h2o_http1client_t *http, const char *error)
{
    struct upstream_call *call = http->data;
    call->answer_len += http->sock->input->size;
    if (call->answer_len > (uint64_t)call->client->config->upstream_answer_max) {
        call->http = NULL;
        end_call(call, UPSTREAM_BAD_ANSWER, "answer too large");
        return -1;
    }
    if (call->paused) return keep_for_later(call, http, error);

    if (!give_bytes(call, http->sock->input)) {
        let_go(call);
        return -1;
    }
    h2o_buffer_consume(&http->sock->input, http->sock->input->size);
    if (error == NULL) return 0;
    bool orderly = error == h2o_http1client_error_is_eos;
    answer_ended(call, orderly ? UPSTREAM_OK : failure_of(error), orderly ? "" : error);
    return 0;
}

/* ---- time ------------------------------------------------------------------------------------- */

/* Deadlines are looked at every TICK_MS instead of being timers: a byte that arrives then costs one store and no list. */
static bool is_late(struct upstream_call *call, uint64_t now_ms, enum upstream_failure *failure)
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
        return !call->paused && now_ms >= call->heard_ms + call->idle_timeout_ms;
    default: return false;
    }
}

static void check_call(struct upstream_call *call, uint64_t now_ms)
{
    enum upstream_failure failure;
    if (is_late(call, now_ms, &failure))
        end_call(call, failure, "timeout");
    else if (call->state == CALL_WAITING && call->http->sock->input->size > ANSWER_HEAD_MAX)
        end_call(call, UPSTREAM_BAD_ANSWER, "head too large");
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
        check_call(call, now_ms);
    }
    if (client->running != NULL && !h2o_timeout_is_linked(entry))
        h2o_timeout_link(client->loop, &client->tick, entry);
}
