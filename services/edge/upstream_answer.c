/* SPDX-License-Identifier: Apache-2.0 */
/* What the library calls back from connecting to the end of an answer. It goes on using its own
 * state after most callbacks, so a call that ends inside one is only let go, and the result
 * tells the library to close. The complication is the guard: the library dies of an assertion on
 * some heads a server may send, and reads a head of any length, so each head is looked at first. */
#include "services/edge/upstream_call.h"
#include "shared/clock.h"
#include "shared/metrics.h"

#define RETRIES_MAX       3
#define RETRY_WINDOW_MS   2000 /* a connection that was closed while kept shows it soon */
#define RETRY_AFTER_S_MAX 86400
#define HEADERS_MAX       100 /* the library's own bound */

/* The library's parser of heads, which it exports without a header file. */
struct phr_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};
int phr_parse_response(const char *bytes, size_t len, int *minor_version, int *status,
                       const char **reason, size_t *reason_len, struct phr_header *headers,
                       size_t *header_count, size_t last_len);
enum { PHR_BROKEN = -1, PHR_UNFINISHED = -2 };

static h2o_http1client_head_cb connected(h2o_http1client_t *http, const char *error,
                                         h2o_iovec_t **pieces, size_t *piece_count,
                                         int *method_is_head);
static h2o_http1client_body_cb head_arrived(h2o_http1client_t *http, const char *error,
                                            int minor_version, int http_status, h2o_iovec_t reason,
                                            h2o_header_t *headers, size_t header_count,
                                            int head_len);
static int read_body(h2o_http1client_t *http, const char *error);
static bool give_bytes(struct upstream_call *call, const h2o_buffer_t *bytes);

/* ---- connecting ------------------------------------------------------------------------------ */

void call_open(struct upstream_call *call)
{
    /* For a kept connection the callback runs before this returns, for a new one never, unless
     * connecting fails at once. */
    call->connecting = true;
    struct upstream_pool *pool = call->pool;
    h2o_http1client_connect_with_pool(&call->http, call, &pool->http, &pool->sockets, connected);
    call->connecting = false;
    if (call->state == CALL_WAITING) call_guard(call);
}

static h2o_http1client_head_cb connected(h2o_http1client_t *http, const char *error,
                                         h2o_iovec_t **pieces, size_t *piece_count,
                                         int *method_is_head)
{
    struct upstream_call *call = http->data;
    if (error != NULL) {
        call_connect_failed(call, error);
        return NULL;
    }
    call->state = CALL_WAITING;
    call->reused = call->connecting;
    call->waiting_since_ms = clock_monotonic_ms();
    call->head_checked = 0;
    *pieces = call->pieces;
    *piece_count = call->piece_count;
    *method_is_head = call->method_is_head;
    if (!call->connecting) call_start_later(call); /* → call_guard(), before the loop reads again */
    return head_arrived;
}

/* ---- the guard ------------------------------------------------------------------------------- */

static bool is_named(const struct phr_header *header, slice name)
{
    return header->name != NULL &&
           slice_equal_nocase((slice){header->name, header->name_len}, name);
}

/* The library asserts that no answer it refuses could have kept its connection, and refuses an
 * unknown transfer encoding and a length that is no number only after it has decided to keep it:
 * a server could end this process with one line. */
static bool is_survivable(const struct phr_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        slice value = {headers[i].value, headers[i].value_len};
        if (is_named(&headers[i], SLICE("transfer-encoding"))) {
            if (!slice_equal(value, SLICE("chunked")) && !slice_equal(value, SLICE("identity")))
                return false;
        } else if (is_named(&headers[i], SLICE("content-length"))) {
            if (h2o_strtosize(value.data, value.len) == SIZE_MAX) return false;
        }
    }
    return true;
}

/* Goes over informational heads to the final one, as the library will. */
static bool is_acceptable(struct upstream_call *call, slice input)
{
    for (size_t at = 0; at < input.len;) {
        struct phr_header headers[HEADERS_MAX];
        size_t count = HEADERS_MAX;
        int minor_version, http_status;
        const char *reason;
        size_t reason_len;
        slice rest = slice_from(input, at);
        int len =
            phr_parse_response(rest.data, rest.len, &minor_version, &http_status, &reason,
                               &reason_len, headers, &count, at == 0 ? call->head_checked : 0);
        if (len == PHR_UNFINISHED) {
            call->head_checked = at == 0 ? input.len : 0;
            return rest.len <= UPSTREAM_ANSWER_HEAD_MAX;
        }
        if (len < 0 || (size_t)len > UPSTREAM_ANSWER_HEAD_MAX) return false;
        bool informational = http_status >= 100 && http_status < 200 && http_status != 101;
        if (!informational) return http_status >= 200 && is_survivable(headers, count);
        call->head_checked = 0;
        at += (size_t)len;
    }
    return true;
}

static void check_head(h2o_socket_t *socket, const char *error)
{
    h2o_http1client_t *http = socket->data;
    struct upstream_call *call = http->data;
    slice input = {socket->input->bytes, socket->input->size};
    if (error == NULL && !is_acceptable(call, input)) {
        call_end(call, UPSTREAM_BAD_ANSWER, "head not acceptable");
        return;
    }
    call->library_head(socket, error);
}

static void request_sent(h2o_socket_t *socket, const char *error)
{
    h2o_http1client_t *http = socket->data;
    struct upstream_call *call = http->data;
    call->library_sent(socket, error);
    if (error != NULL) return; /* the call may be gone */
    call->library_head = socket->_cb.read;
    socket->_cb.read = check_head;
}

void call_guard(struct upstream_call *call)
{
    h2o_socket_t *socket = call->http->sock;
    if (socket->_cb.write != NULL) {
        call->library_sent = socket->_cb.write;
        socket->_cb.write = request_sent;
    } else {
        call->library_head = socket->_cb.read;
        socket->_cb.read = check_head;
    }
}

/* ---- heads ----------------------------------------------------------------------------------- */

static slice iovec_slice(h2o_iovec_t bytes)
{
    return (slice){bytes.base, bytes.len};
}

/* -1 for anything but a number: a date is read by nobody here. */
static int64_t read_wait(slice text, int64_t unit_ms)
{
    uint64_t number;
    slice whole;
    slice fraction;
    (void)slice_split(slice_trim(text), '.', &whole, &fraction);
    if (!status_ok(slice_to_u64(whole, &number))) return -1;
    int64_t number_max = RETRY_AFTER_S_MAX * 1000LL / unit_ms;
    return (number > (uint64_t)number_max ? number_max : (int64_t)number) * unit_ms;
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
            head->retry_after_ms = read_wait(value, 1000);
        else if (slice_equal(iovec_slice(*header->name), SLICE("retry-after-ms")))
            precise_ms = read_wait(value, 1);
    }
    if (precise_ms >= 0) head->retry_after_ms = precise_ms;
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

/* The race of keep-alive: the server closed while we sent. It saw nothing if it answered nothing
 * and closed soon. */
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
    call_leave_pool(call);
    if (!retry) {
        call_end(call, failure_of(error), error);
        return;
    }
    call->retries++;
    metric_add(upstream_retries_total, 1);
    call_connect(call);
}

/* The answer is complete, as HTTP sees it, or broken. The library keeps or closes the connection
 * when we return. */
static void answer_ended(struct upstream_call *call, const char *error)
{
    bool orderly = error == h2o_http1client_error_is_eos;
    call_leave_pool(call);
    call->paused_read = NULL;
    call->failure = orderly ? UPSTREAM_OK : failure_of(error);
    call->detail = orderly ? "" : error;
    if (call->paused)
        call->state = CALL_HELD;
    else
        call_end(call, call->failure, call->detail);
}

static h2o_http1client_body_cb head_arrived(h2o_http1client_t *http, const char *error,
                                            int minor_version __attribute__((unused)),
                                            int http_status, h2o_iovec_t reason,
                                            h2o_header_t *headers, size_t header_count,
                                            int head_len __attribute__((unused)))
{
    struct upstream_call *call = http->data;
    bool bodiless = error != NULL && error == h2o_http1client_error_is_eos;
    if (error != NULL && !bodiless) {
        head_failed(call, http, error);
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
        call_let_go(call);
        return NULL;
    }
    if (!bodiless) return read_body;
    answer_ended(call, error);
    return NULL;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

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

/* Bytes that came with the head while the owner had paused: they stay where they are, or are set
 * aside when the answer is over. */
static void keep_for_later(struct upstream_call *call, h2o_http1client_t *http, const char *error)
{
    if (error == NULL) {
        call->paused_read = http->sock->_cb.read;
        h2o_socket_read_stop(http->sock);
        return;
    }
    call->held = http->sock->input;
    h2o_buffer_init(&http->sock->input, &h2o_socket_buffer_prototype);
    answer_ended(call, error);
}

/* The library gives its whole input buffer; what is not taken out comes again. Another result
 * than 0 closes the connection. */
static int read_body(h2o_http1client_t *http, const char *error)
{
    struct upstream_call *call = http->data;
    call->body_begun = true;
    call->answer_len += http->sock->input->size;
    if (call->answer_len > (uint64_t)call->config->upstream_answer_max) {
        call->http = NULL;
        call_end(call, UPSTREAM_BAD_ANSWER, "answer too large");
        return -1;
    }
    if (call->paused) {
        keep_for_later(call, http, error);
        return 0;
    }
    if (!give_bytes(call, http->sock->input)) {
        call_let_go(call);
        return -1;
    }
    h2o_buffer_consume(&http->sock->input, http->sock->input->size);
    if (error != NULL) answer_ended(call, error);
    return 0;
}

void call_give_held(struct upstream_call *call)
{
    if (call->paused) return;
    h2o_buffer_t **bytes = call->state == CALL_HELD ? &call->held : &call->http->sock->input;
    if (*bytes != NULL && !give_bytes(call, *bytes)) {
        call->over = true;
        if (call->http != NULL) h2o_http1client_cancel(TAKE(call->http));
        call_let_go(call);
        return;
    }
    if (*bytes != NULL) h2o_buffer_consume(bytes, (*bytes)->size);
    if (call->paused) return;
    if (call->state == CALL_HELD)
        call_end(call, call->failure, call->detail);
    else if (call->paused_read != NULL)
        h2o_socket_read_start(call->http->sock, TAKE(call->paused_read));
}
