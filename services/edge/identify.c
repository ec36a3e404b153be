/* SPDX-License-Identifier: Apache-2.0 */
/* The first step: from the key to the caller, by the thread's cache or by asking the ledger. */
#include "services/edge/identify.h"

#include "services/edge/callers.h"
#include "services/edge/edge.h"
#include "services/edge/thread.h"
#include "shared/clock.h"

#define BEARER SLICE("bearer ")

static void identified(void *context, status result, const struct frame *frame);
static enum step_result accept_caller(struct request *request, const struct caller *caller);

static slice slice_of_iovec(h2o_iovec_t bytes)
{
    return bytes.base == NULL ? SLICE_NONE : (slice){bytes.base, bytes.len};
}

slice identify_header(const h2o_req_t *http, slice name)
{
    ssize_t at = h2o_find_header_by_str(&http->headers, name.data, name.len, -1);
    return at < 0 ? SLICE_NONE : slice_of_iovec(http->headers.entries[at].value);
}

static slice key_text(const h2o_req_t *http)
{
    ssize_t at = h2o_find_header(&http->headers, H2O_TOKEN_AUTHORIZATION, -1);
    if (at < 0) return slice_trim(identify_header(http, SLICE("x-api-key")));
    slice value = slice_of_iovec(http->headers.entries[at].value);
    if (!slice_equal_nocase(slice_first(value, BEARER.len), BEARER))
        return slice_equal_nocase(slice_trim(value), SLICE("bearer")) ? SLICE_NONE : value;
    return slice_trim(slice_from(value, BEARER.len));
}

status identify_key(const h2o_req_t *http, struct key_hash *key)
{
    slice text = key_text(http);
    if (text.len == 0) return FAIL(NO_KEY);
    if (!key_checksum_ok(text)) return FAIL(BAD_KEY);
    *key = key_hash_outer(text);
    return OK;
}

client_prefix identify_client(const h2o_req_t *http)
{
    struct sockaddr_storage address;
    socklen_t len = http->conn->callbacks->get_peername(http->conn, (struct sockaddr *)&address);
    return client_prefix_of(len == 0 ? NULL : (const struct sockaddr *)&address);
}

enum step_result step_identify(struct request *request)
{
    struct thread *thread = request->thread;
    status known = identify_key(request->http, &request->key);
    if (!status_ok(known)) return request_fail_code(request, known);
    request->client = identify_client(request->http);
    struct caller caller;
    if (callers_find(thread->callers, &request->key, thread_now_ms(thread), &caller))
        return accept_caller(request, &caller);
    struct buffer *out;
    const struct peer_call call = {
        .answer = identified,
        .context = request,
        .deadline_ms = (uint32_t)thread->edge->config.hold_timeout,
    };
    request->identify_call = ledger_call(thread->ledger, call, &out);
    if (request->identify_call == 0) return request_fail_code(request, FAIL(LEDGER_DOWN));
    const struct message_identify message = {.key = request->key};
    message_encode_identify(out, request->identify_call, &message);
    return STEP_WAIT;
}

static enum step_result accept_caller(struct request *request, const struct caller *caller)
{
    if (caller->kind != CALLER_KEY) return request_fail_code(request, FAIL(INFERENCE_KEY_NEEDED));
    if (caller->expires_ns != 0 && caller->expires_ns <= clock_wall().ns) {
        callers_drop(request->thread->callers, &request->key);
        return request_fail_code(request, FAIL(KEY_EXPIRED));
    }
    request->caller = *caller;
    return STEP_NEXT;
}

static void identified(void *context, status result, const struct frame *frame)
{
    struct request *request = context;
    request->identify_call = 0;
    struct message_identified message = {0};
    if (status_ok(result)) result = message_decode_identified(frame->body, &message);
    if (!status_ok(result)) {
        request_fail_code(request, FAIL(LEDGER_DOWN));
        return;
    }
    if (message.error != ERROR_NONE) {
        request_fail_code(request, (status){message.error});
        return;
    }
    callers_put(request->thread->callers, &request->key, &message.caller,
                thread_now_ms(request->thread));
    if (accept_caller(request, &message.caller) == STEP_NEXT) request_continue(request);
}
