/* SPDX-License-Identifier: Apache-2.0 */
/* One candidate after the other, for as long as nothing has gone to the client; then the answer
 * stands or breaks. A call is dropped inside of its own callback by answering false, elsewhere by
 * cancelling it. */
#include "services/edge/attempt.h"

#include "services/edge/bound.h"
#include "services/edge/edge.h"
#include "services/edge/keys.h"
#include "services/edge/outcome.h"
#include "services/edge/relay.h"
#include "services/edge/settle.h"
#include "services/edge/thread.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define ERROR_BODY_MAX ((size_t)64 * 1024)
#define HEADERS_MAX    6

/* What a result means for the client when nothing better can be told. */
static const uint16_t cause_codes[] = {
    [ATTEMPT_OK] = ERROR_PROVIDER_DOWN,
    [ATTEMPT_BAD_REQUEST] = ERROR_PROVIDER_REFUSED,
    [ATTEMPT_AUTH] = ERROR_PROVIDER_AUTH,
    [ATTEMPT_RATE_LIMITED] = ERROR_RATE_LIMITED,
    [ATTEMPT_OVERLOADED] = ERROR_PROVIDER_OVERLOADED,
    [ATTEMPT_SERVER] = ERROR_PROVIDER_DOWN,
    [ATTEMPT_TIMEOUT] = ERROR_PROVIDER_TIMEOUT,
    [ATTEMPT_NOT_FOUND] = ERROR_PROVIDER_DOWN,
    [ATTEMPT_BROKEN_STREAM] = ERROR_PROVIDER_DOWN,
    [ATTEMPT_CLIENT_GONE] = ERROR_PROVIDER_DOWN,
};
static const enum attempt_result failure_results[] = {
    [UPSTREAM_OK] = ATTEMPT_SERVER,
    [UPSTREAM_CONNECT] = ATTEMPT_SERVER,
    [UPSTREAM_CONNECT_TIMEOUT] = ATTEMPT_TIMEOUT,
    [UPSTREAM_FIRST_BYTE_TIMEOUT] = ATTEMPT_TIMEOUT,
    [UPSTREAM_IDLE_TIMEOUT] = ATTEMPT_TIMEOUT,
    [UPSTREAM_TOTAL_TIMEOUT] = ATTEMPT_TIMEOUT,
    [UPSTREAM_RESET] = ATTEMPT_SERVER,
    [UPSTREAM_BAD_ANSWER] = ATTEMPT_SERVER,
    [UPSTREAM_BUSY] = ATTEMPT_OVERLOADED,
};

static enum step_result try_next(struct request *request);
static void try_failed(struct request *request, enum attempt_result result, slice message);
static bool on_head(void *context, const struct upstream_head *head);
static bool on_body(void *context, slice bytes);
static void on_done(void *context, enum upstream_failure failure, const char *detail);
static const struct upstream_callbacks callbacks = {on_head, on_body, on_done};

enum step_result step_attempt(struct request *request)
{
    return try_next(request);
}

/* ---- starting -------------------------------------------------------------------------------- */

static slice line(struct arena *arena, slice name, slice value)
{
    size_t size = name.len + value.len;
    char *room = arena_alloc_unset(arena, size, 1);
    if (room == NULL) return (slice){NULL, 0};
    memcpy(room, name.data, name.len);
    memcpy(room + name.len, value.data, value.len);
    return (slice){room, size};
}

static status start_call(struct request *request, const struct encoded_request *encoded, slice key)
{
    struct attempt *attempt = &request->attempt;
    const struct market_provider *provider = attempt->endpoint->provider;
    attempt->authorization = line(&request->arena, SLICE("authorization: Bearer "), key);
    const slice generation = {request->generation_text, sizeof(request->generation_text)};
    const slice headers[HEADERS_MAX] = {
        SLICE("content-type: application/json"),
        request->wish.stream ? SLICE("accept: text/event-stream")
                             : SLICE("accept: application/json"),
        SLICE("user-agent: bourse"),
        line(&request->arena, SLICE("x-request-id: "), generation),
        request->thread->edge->via_line,
        attempt->authorization,
    };
    for (size_t i = 0; i < HEADERS_MAX; i++) {
        if (headers[i].data == NULL) return FAIL(TOO_LARGE);
    }
    const struct upstream_request call = {
        .method = SLICE("POST"),
        .url = &provider->base,
        .path = encoded->path,
        .headers = headers,
        .header_count = HEADERS_MAX,
        .body = encoded->pieces,
        .body_count = encoded->piece_count,
    };
    metric_add(upstream_attempts_total, 1);
    return upstream_start(request->thread->upstream, &call, &callbacks, request, &attempt->call);
}

static status start(struct request *request, slice key)
{
    struct attempt *attempt = &request->attempt;
    attempt->dialect = dialect_of(attempt->endpoint->provider->dialect);
    if (attempt->dialect == NULL) return FAIL(NO_ENDPOINT);
    const struct encode_request encode = {
        .body = &request->document,
        .endpoint = attempt->endpoint,
        .stream = request->wish.stream,
        .output_max = bound_output(&request->wish, request->model, attempt->endpoint,
                                   request->held.output_max),
        .arena = &request->arena,
    };
    struct encoded_request encoded;
    TRY(attempt->dialect->encode(&encode, &encoded));
    TRY(relay_prepare(request));
    attempt->started_us = thread_now_us(request->thread);
    return start_call(request, &encoded, key);
}

static status begin_attempt(struct request *request)
{
    struct attempt *attempt = &request->attempt;
    const uint8_t candidate = attempt->next;
    *attempt = (struct attempt){
        .next = (uint8_t)(candidate + 1),
        .endpoint = request->choice.candidates[candidate],
        .retry_after_ms = -1,
    };
    slice key;
    TRY(keys_get(request->thread->keys, attempt->endpoint->provider, request, &key));
    return start(request, key);
}

/* An endpoint that was not even asked. */
static void not_started(struct request *request, status cause)
{
    struct attempt *attempt = &request->attempt;
    log_warning("attempt_not_started", F(request, request->held.record.generation),
                FN(name, provider, attempt->endpoint->provider->slug), F(error, cause));
    if (request->error_count < ATTEMPTS_MAX) {
        request->errors[request->error_count++] = (struct previous_error){
            attempt->endpoint->provider->slug, error_row_of(cause.code)->http};
    }
    request->cause = cause;
    attempt_drop(request);
    attempt->endpoint = NULL;
}

static enum step_result all_failed(struct request *request)
{
    struct failure failure = {
        .cause = status_ok(request->cause) ? FAIL(NO_ENDPOINT) : request->cause,
        .previous = request->errors,
        .previous_count = request->error_count,
    };
    const uint16_t http = error_row_of(failure.cause.code)->http;
    if (http == 429 || http == 503) failure.retry_after_s = request->retry_after_s;
    return request_fail(request, &failure);
}

static enum step_result try_next(struct request *request)
{
    while (!request->over && request->attempt.next < request->choice.count) {
        status begun = begin_attempt(request);
        if (status_ok(begun) || begun.code == ERROR_END) return STEP_WAIT;
        not_started(request, begun);
    }
    return all_failed(request);
}

void attempt_key_ready(struct request *request, status result, slice key)
{
    request_pin(request);
    if (!request->over) {
        if (status_ok(result)) result = start(request, key);
        if (!status_ok(result)) {
            not_started(request, result);
            (void)try_next(request);
        }
    }
    request_unpin(request);
}

/* ---- ending ---------------------------------------------------------------------------------- */

bool attempt_may_have_served(const struct request *request)
{
    const struct attempt *attempt = &request->attempt;
    return attempt->call != NULL && !attempt->collecting;
}

static void free_decoder(struct request *request)
{
    struct attempt *attempt = &request->attempt;
    if (attempt->decoder == NULL) return;
    attempt->dialect->decoder_free(&attempt->decoder);
    decode_memory_trim(&request->decode_memory);
}

void attempt_drop(struct request *request)
{
    struct attempt *attempt = &request->attempt;
    if (attempt->call != NULL && attempt->in_callback)
        attempt->call = NULL;
    else
        upstream_cancel(&attempt->call);
    attempt->in_callback = false;
    free_decoder(request);
    if (attempt->authorization.len > 0)
        explicit_bzero((char *)(uintptr_t)attempt->authorization.data, attempt->authorization.len);
    attempt->authorization = SLICE_NONE;
}

void attempt_close(struct request *request, enum attempt_result result)
{
    struct attempt *attempt = &request->attempt;
    if (attempt->endpoint == NULL) return;
    uint64_t elapsed_ms = (thread_now_us(request->thread) - attempt->started_us) / 1000;
    if (request->fact_count < ATTEMPTS_MAX) {
        request->facts[request->fact_count++] = (struct attempt_fact){
            .endpoint = attempt->endpoint->id,
            .provider = attempt->endpoint->provider->id,
            .http_status = (uint16_t)attempt->http_status,
            .result = (uint8_t)result,
            .latency_ms = (uint32_t)elapsed_ms,
        };
    }
    outcome_report(request, result, (uint32_t)elapsed_ms);
    if (result != ATTEMPT_OK && result != ATTEMPT_CLIENT_GONE && attempt->decoder != NULL)
        settle_note_absorbed(request);
    /* A good answer's connection is left to end by itself, so that it can be used again. */
    if (result != ATTEMPT_OK) attempt_drop(request);
}

static uint32_t retry_after_s(const struct attempt *attempt)
{
    if (attempt->retry_after_ms < 0) return 0;
    int64_t seconds = (attempt->retry_after_ms + 999) / 1000;
    return seconds > 86400 ? 86400 : (uint32_t)seconds;
}

/* The latest cause counts, but a rate limit only while nothing else was seen. */
static void note_cause(struct request *request, enum attempt_result result)
{
    const status cause = {cause_codes[result]};
    if (result != ATTEMPT_RATE_LIMITED || status_ok(request->cause)) request->cause = cause;
    uint32_t named = retry_after_s(&request->attempt);
    if (named > 0 && (request->retry_after_s == 0 || named < request->retry_after_s))
        request->retry_after_s = named;
    if (request->error_count < ATTEMPTS_MAX) {
        request->errors[request->error_count++] = (struct previous_error){
            request->attempt.endpoint->provider->slug, error_row_of(cause.code)->http};
    }
}

/* Nothing went to the client yet: the next candidate gets its turn, unless the request itself was
 * refused. */
static void try_failed(struct request *request, enum attempt_result result, slice message)
{
    const slice provider = request->attempt.endpoint->provider->name;
    attempt_close(request, result);
    if (result == ATTEMPT_BAD_REQUEST) {
        request_fail(request, &(struct failure){
                                  .cause = FAIL(PROVIDER_REFUSED),
                                  .message = message,
                                  .provider = provider,
                              });
        return;
    }
    note_cause(request, result);
    (void)try_next(request);
}

/* The answer ended badly: before the first byte the next candidate may do better. What was decoded
 * in the same read as the fault goes out first: how bytes are cut into reads is chance. */
static void answer_broke(struct request *request, enum attempt_result result, slice message)
{
    if (!request->response_started && request->wish.stream && request->attempt.content)
        relay_start(request);
    if (!request->response_started) {
        try_failed(request, result == ATTEMPT_BROKEN_STREAM ? ATTEMPT_SERVER : result, message);
        return;
    }
    attempt_close(request, result);
    request_fail(request, &(struct failure){.cause = FAIL(PROVIDER_ABORTED), .message = message});
}

/* The protocol's own end was seen. */
static void answer_complete(struct request *request)
{
    if (!request->attempt.content && request->finish == FINISH_NONE) {
        answer_broke(request, ATTEMPT_SERVER, SLICE_NONE);
        return;
    }
    /* Nothing is decoded any more, and the rest may take long. */
    free_decoder(request);
    request_continue(request);
}

/* ---- the call -------------------------------------------------------------------------------- */

static bool starts_with_nocase(slice text, slice prefix)
{
    return slice_equal_nocase(slice_first(text, prefix.len), prefix);
}

static bool content_fits(const struct request *request, slice type)
{
    if (request->wish.stream) return starts_with_nocase(type, SLICE("text/event-stream"));
    return type.len == 0 || starts_with_nocase(type, SLICE("application/json"));
}

static bool on_head(void *context, const struct upstream_head *head)
{
    struct request *request = context;
    struct attempt *attempt = &request->attempt;
    attempt->http_status = head->http_status;
    attempt->retry_after_ms = head->retry_after_ms;
    attempt->collecting = head->http_status < 200 || head->http_status > 299 ||
                          !content_fits(request, head->content_type);
    if (attempt->collecting) {
        buffer_clear(&request->flight);
        return true;
    }
    const struct decode_request decode = {
        .arena = &request->arena,
        .memory = &request->decode_memory,
        .stream = request->wish.stream,
        .sink = relay_event,
        .context = request,
    };
    status made = attempt->dialect->decoder_new(&decode, &attempt->decoder);
    if (!status_ok(made)) attempt->collecting = true;
    return true;
}

static void after_feed(struct request *request, status fed)
{
    struct attempt *attempt = &request->attempt;
    if (!status_ok(fed)) {
        answer_broke(request, attempt->error != ATTEMPT_OK ? attempt->error : ATTEMPT_BROKEN_STREAM,
                     attempt->error_message);
    } else if (attempt->complete) {
        answer_complete(request);
    } else if (request->response_started) {
        relay_pump(request);
    } else if (request->wish.stream && attempt->content) {
        request_continue(request);
    }
}

static bool on_body(void *context, slice bytes)
{
    struct request *request = context;
    struct attempt *attempt = &request->attempt;
    request->thread->crowd.went_on++;
    /* What comes after the end is nobody's; reading it leaves the connection usable. */
    if (request->over || attempt->complete) return true;
    if (attempt->first_byte_ms == 0)
        attempt->first_byte_ms =
            (uint32_t)((thread_now_us(request->thread) - attempt->started_us) / 1000);
    if (attempt->collecting) {
        size_t room = ERROR_BODY_MAX - request->flight.len;
        buffer_append(&request->flight, slice_first(bytes, room));
        return true;
    }
    request_pin(request);
    const struct upstream_call *own = attempt->call;
    attempt->in_callback = true;
    after_feed(request, attempt->dialect->decoder_feed(attempt->decoder, bytes));
    /* Dropped, or replaced by the next candidate's call. */
    bool keep = request->attempt.call == own;
    if (keep) attempt->in_callback = false;
    request_unpin(request);
    return keep;
}

/* A body that was not an answer: an error, or a success of the wrong kind. */
static void judge_collected(struct request *request)
{
    struct attempt *attempt = &request->attempt;
    slice message = SLICE_NONE;
    enum attempt_result result = attempt->dialect->classify(
        attempt->http_status, buffer_slice(&request->flight), &request->arena, &message);
    buffer_clear(&request->flight);
    try_failed(request, result == ATTEMPT_OK ? ATTEMPT_SERVER : result, message);
}

static void on_done(void *context, enum upstream_failure failure, const char *detail)
{
    struct request *request = context;
    struct attempt *attempt = &request->attempt;
    attempt->call = NULL;
    if (request->over || attempt->complete) return;
    request_pin(request);
    if (failure != UPSTREAM_OK)
        log_info("upstream_failed", F(request, request->held.record.generation),
                 FN(name, provider, attempt->endpoint->provider->slug),
                 F(reason, slice_of(detail == NULL ? "" : detail)));
    if (attempt->collecting) {
        judge_collected(request);
    } else if (failure != UPSTREAM_OK || attempt->decoder == NULL) {
        answer_broke(request,
                     request->response_started ? ATTEMPT_BROKEN_STREAM : failure_results[failure],
                     SLICE_NONE);
    } else {
        status finished = attempt->dialect->decoder_finish(attempt->decoder);
        /* The end of the connection is not the end of the answer. */
        if (status_ok(finished) && !attempt->complete) finished = FAIL(MALFORMED);
        after_feed(request, finished);
    }
    request_unpin(request);
}
