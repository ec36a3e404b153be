/* SPDX-License-Identifier: Apache-2.0 */
/* Every request comes through here, before anything is known about it. */
#include "services/edge/serve.h"

#include "services/edge/edge.h"
#include "services/edge/forward.h"
#include "services/edge/framing.h"
#include "services/edge/health.h"
#include "services/edge/identify.h"
#include "services/edge/page.h"
#include "services/edge/routes.h"
#include "services/edge/thread.h"

static status check_head(const h2o_req_t *http)
{
    if (http->version >= 0x200) return OK;
    h2o_socket_t *socket = http->conn->callbacks->get_socket(http->conn);
    /* The head is still what the connection's buffer begins with: the library drops it after the
     * answer. */
    const slice bytes = {socket->input->bytes, socket->input->size};
    return framing_check(bytes, http->version >= 0x101);
}

/* Whether a request passed through this instance before. */
static bool came_from_us(const h2o_req_t *http, slice name)
{
    slice rest = identify_header(http, SLICE("via"));
    while (rest.len > 0) {
        slice hop, protocol, by;
        (void)slice_split(rest, ',', &hop, &rest);
        (void)slice_split(slice_trim(hop), ' ', &protocol, &by);
        slice host = slice_trim(by), comment;
        (void)slice_split(host, ' ', &host, &comment);
        if (slice_equal(host, name)) return true;
    }
    return false;
}

/* What two readers of one request could take for different things. */
static status check_fields(const h2o_req_t *http, slice *message)
{
    const ssize_t key = h2o_find_header(&http->headers, H2O_TOKEN_AUTHORIZATION, -1);
    if (key >= 0 && h2o_find_header(&http->headers, H2O_TOKEN_AUTHORIZATION, key) >= 0) {
        *message = SLICE("Send one Authorization header.");
        return FAIL(BAD_REQUEST);
    }
    const ssize_t coding = h2o_find_header(&http->headers, H2O_TOKEN_CONTENT_ENCODING, -1);
    if (coding < 0) return OK;
    const h2o_iovec_t value = http->headers.entries[coding].value;
    const bool plain = slice_equal_nocase((slice){value.base, value.len}, SLICE("identity"));
    return plain ? OK : FAIL(ENCODED_BODY);
}

static slice path_of(const h2o_req_t *http)
{
    size_t len = http->query_at == SIZE_MAX ? http->path.len : http->query_at;
    return slice_first((slice){http->path.base, http->path.len}, len);
}

static void run_route(struct thread *thread, h2o_req_t *http, const struct route *route, slice id)
{
    switch (route->kind) {
    case ROUTE_CHAT: request_start(thread, http, id); break;
    case ROUTE_WEBHOOK:
    case ROUTE_FORWARD: forward_start(thread, http, route, id); break;
    case ROUTE_HEALTH: health_answer(http); break;
    case ROUTE_READY: ready_answer(thread, http); break;
    case ROUTE_METRICS: metrics_answer(http); break;
    case ROUTE_PAGE: page_answer(http, path_of(http)); break;
    }
}

void serve_request_id(struct thread *thread, struct buffer *out)
{
    const uint64_t number = thread_random(thread);
    buffer_append(out, SLICE("req-"));
    buffer_append_hex(out, (const uint8_t *)&number, sizeof(number));
}

int serve(h2o_handler_t *handler, h2o_req_t *http)
{
    (void)handler;
    struct thread *thread = thread_of(http);
    char text[REQUEST_ID_SIZE];
    struct buffer id;
    buffer_init_fixed(&id, text, sizeof(text));
    serve_request_id(thread, &id);
    answer_identify(http, buffer_slice(&id));

    const slice method = {http->method.base, http->method.len};
    const slice path = path_of(http);
    const bool shared = slice_starts_with(path, SLICE("/api/"));
    /* What a cache may keep it may give to a page, too; nobody else reads these headers. */
    const bool for_pages =
        !slice_equal(method, SLICE("POST")) || identify_header(http, SLICE("origin")).len > 0;
    if (shared && for_pages) answer_share(http);
    struct routes_match match = {0};
    slice message = SLICE_NONE;
    status admitted = check_head(http);
    /* Where the head is ambiguous nobody knows where the next request begins. */
    if (!status_ok(admitted)) http->http1_is_persistent = 0;
    if (status_ok(admitted)) admitted = check_fields(http, &message);
    if (status_ok(admitted) && came_from_us(http, thread->edge->via)) admitted = FAIL(LOOP);
    if (status_ok(admitted)) admitted = routes_find(method, path, &match);
    const bool other_method = match.allow.len > 0 && match.route == NULL;
    if (other_method) answer_header_copied(http, SLICE("allow"), match.allow);
    if (status_ok(admitted))
        run_route(thread, http, match.route, buffer_slice(&id));
    else if (other_method && shared && slice_equal(method, SLICE("OPTIONS")))
        answer_preflight(http, match.allow);
    else
        answer_failure(http, &(struct failure){.cause = admitted, .message = message});
    return 0;
}
