/* SPDX-License-Identifier: Apache-2.0 */
/* Two buffers: the skin fills one while h2o sends the other. Never more than one piece is on its
 * way, and above a mark the provider waits until the client has read. */
#include "services/edge/relay.h"

#include "services/edge/attempt.h"
#include "services/edge/bound.h"
#include "services/edge/edge.h"
#include "services/edge/thread.h"
#include "shared/daemon.h"
#include "shared/http/reason.h"
#include "shared/metrics.h"

#define NATIVE_FINISH_MAX 32
#define UPSTREAM_ID_MAX   96
#define DONE_MARK         SLICE("data: [DONE]\n\n")

static void answer_head(struct request *request);
static void answer_generation(struct request *request);

status relay_prepare(struct request *request)
{
    const struct market_endpoint *endpoint = request->attempt.endpoint;
    if (request->skin != NULL) chat_skin_free(&request->skin);
    buffer_clear(&request->out);
    const struct skin_head head = {
        .generation = {request->generation_text, sizeof(request->generation_text)},
        .created_s = request->held.created_ns / 1000000000,
        .model = request->model->slug,
        .provider = endpoint->provider->name,
        .stream = request->wish.stream,
    };
    request->finish = FINISH_NONE;
    request->native_finish = request->upstream_id = SLICE_NONE;
    request->skin = chat_skin_new(&request->arena, &head, &request->out);
    return request->skin == NULL ? FAIL(TOO_LARGE) : OK;
}

/* ---- events ---------------------------------------------------------------------------------- */

static slice keep(struct request *request, slice text, size_t len_max)
{
    slice kept = arena_copy(&request->arena, slice_first(text, len_max));
    return kept.data == NULL ? SLICE_NONE : kept;
}

static void note_usage(struct attempt *attempt, const struct event *event)
{
    attempt->usage_seen = true;
    attempt->usage_valid = event->usage_valid;
    attempt->usage = event->usage;
}

static void note_content(struct request *request)
{
    metric_add(stream_chunks_total, 1);
    if (request->attempt.content) return;
    request->attempt.content = true;
    request->first_byte_ms = request_elapsed_ms(request);
    fault_point("edge_first_byte"); /* of the provider's; the client has nothing yet */
}

static status note_error(struct request *request, const struct event *event)
{
    request->attempt.error = event->result == ATTEMPT_OK ? ATTEMPT_SERVER : event->result;
    request->attempt.error_message = keep(request, event->text, 1024);
    return FAIL(PROVIDER_ABORTED);
}

/* A provider that ignores the bound it was given would stream for as long as it is read, and
 * nothing beyond the hold can be charged. A whole answer has an end of its own. */
static status check_length(struct request *request)
{
    if (!request->wish.stream) return OK;
    const uint64_t delivered = chat_skin_delivered_bytes(request->skin);
    if (delivered <= bound_text_bytes(request->held.output_max)) return OK;
    request->attempt.error = ATTEMPT_BROKEN_STREAM;
    request->attempt.error_message =
        SLICE("The provider went on far beyond the tokens it was allowed, so it was stopped.");
    return FAIL(PROVIDER_ABORTED);
}

status relay_event(void *context, const struct event *event)
{
    struct request *request = context;
    struct attempt *attempt = &request->attempt;
    switch (event->kind) {
    case EVENT_ERROR: return note_error(request, event);
    case EVENT_DONE: attempt->complete = true; return OK;
    case EVENT_USAGE: note_usage(attempt, event); break;
    case EVENT_START: request->upstream_id = keep(request, event->text, UPSTREAM_ID_MAX); break;
    case EVENT_FINISH:
        request->finish = (uint8_t)event->finish;
        request->native_finish = keep(request, event->name, NATIVE_FINISH_MAX);
        break;
    case EVENT_TEXT:
    case EVENT_REASONING:
    case EVENT_REFUSAL:
    case EVENT_TOOL_START:
    case EVENT_TOOL_ARGS:
    case EVENT_EXTRA:
    case EVENT_LOGPROBS: note_content(request); break;
    }
    TRY(chat_skin_event(request->skin, event));
    return check_length(request);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

void relay_start(struct request *request)
{
    answer_head(request);
    h2o_start_response(request->http, &request->generator);
}

enum step_result step_relay(struct request *request)
{
    if (request->wish.stream) {
        relay_start(request);
        relay_pump(request);
    }
    if (request->over) return STEP_OVER;
    return request->attempt.complete ? STEP_NEXT : STEP_WAIT;
}

static void answer_generation(struct request *request)
{
    answer_header(request->http, SLICE("x-generation-id"),
                  (slice){request->generation_text, sizeof(request->generation_text)});
}

static void answer_head(struct request *request)
{
    h2o_req_t *http = request->http;
    http->res.status = 200;
    http->res.reason = http_reason(200);
    answer_generation(request);
    if (request->attempt.endpoint->provider->simulated)
        answer_header(http, SLICE("x-bourse-simulated"), SLICE("true"));
    rates_answer_headers(http, &request->held.rate);
    if (request->wish.stream) {
        answer_header(http, SLICE("content-type"), SLICE("text/event-stream"));
        answer_header(http, SLICE("cache-control"), SLICE("no-cache"));
        answer_header(http, SLICE("x-accel-buffering"), SLICE("no"));
    } else {
        answer_header(http, SLICE("content-type"), SLICE("application/json"));
    }
    request->response_started = true;
    request->last_sent_ms = thread_now_ms(request->thread);
}

static void control_flow(struct request *request)
{
    struct upstream_call *call = request->attempt.call;
    if (call == NULL || request->attempt.complete) return;
    if (!request->paused && request->out.len > OUT_HIGH) {
        request->paused = true;
        metric_add(upstream_pauses_total, 1);
        upstream_pause(call);
    } else if (request->paused && request->out.len < OUT_LOW) {
        request->paused = false;
        upstream_resume(call);
    }
}

static void send_out(struct request *request)
{
    const struct buffer swapped = request->out;
    request->out = request->flight;
    request->flight = swapped;
    request->flight_text = request->skin == NULL ? 0 : chat_skin_delivered_bytes(request->skin);
    request->in_flight = true;
    request->last_sent_ms = thread_now_ms(request->thread);
    h2o_iovec_t piece = {request->flight.data, request->flight.len};
    size_t count = piece.len > 0 ? 1 : 0;
    if (request->final_pending) request->final_sent = true;
    h2o_send(request->http, &piece, count,
             request->final_pending ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

void relay_pump(struct request *request)
{
    if (!request->response_started || request->http == NULL || request->final_sent) return;
    if (!request->in_flight) {
        if (request->abandoned) {
            request->final_sent = true;
            h2o_send(request->http, NULL, 0, H2O_SEND_STATE_ERROR);
            return;
        }
        if (request->out.len > 0 || request->final_pending) send_out(request);
    }
    control_flow(request);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void send_body(struct request *request)
{
    request->http->res.content_length = request->out.len;
    relay_start(request);
    request->final_pending = true;
    relay_pump(request);
}

static status write_end(struct request *request)
{
    struct skin_bill bill = {.usage = request->usage, .cost = request->charge};
    const struct price_row *row = request->attempt.endpoint->price;
    /* Shown beside the charge only; hostile numbers were refused with the charge. */
    if (!status_ok(billing_charge_split(row, &request->usage, &bill.input_cost, &bill.output_cost)))
        bill.input_cost = bill.output_cost = MONEY_ZERO;
    return chat_skin_finish(request->skin, &bill);
}

void relay_write_ahead(struct request *request)
{
    request->written = status_ok(write_end(request));
    request->written_charge = request->charge;
}

/* The ledger's figure counts: with another one than ours the answer is put together again. */
static status have_end(struct request *request)
{
    if (request->written && request->written_charge.nano == request->charge.nano) return OK;
    if (!request->wish.stream) buffer_clear(&request->out);
    return write_end(request);
}

void relay_finish(struct request *request)
{
    if (request->http == NULL) return;
    status finished = have_end(request);
    if (!status_ok(finished)) {
        relay_break(request, FAIL(INTERNAL), SLICE_NONE);
        return;
    }
    if (!request->wish.stream) {
        send_body(request);
        return;
    }
    request->final_pending = true;
    relay_pump(request);
}

/* The answer's start is with the client: what is left is an error chunk. */
static void break_answer(struct request *request, status cause, slice message, bool done_mark)
{
    if (message.len == 0) message = slice_of(error_row_of(cause.code)->sentence);
    /* Without room for the error the connection's abrupt end says it. */
    if (!status_ok(chat_skin_error(request->skin, cause, message))) request->abandoned = true;
    if (!done_mark && slice_ends_with(buffer_slice(&request->out), DONE_MARK))
        request->out.len -= DONE_MARK.len;
    request->final_pending = true;
    relay_pump(request);
}

void relay_refuse(struct request *request, const struct failure *failure)
{
    /* Once there was a hold there is a row, which tells what was tried. */
    if (request->generation_text[0] != '\0') answer_generation(request);
    answer_failure(request->http, failure);
}

void relay_break(struct request *request, status cause, slice message)
{
    if (request->http == NULL) return;
    if (request->response_started)
        break_answer(request, cause, message, true);
    else
        relay_refuse(request, &(struct failure){.cause = cause, .message = message});
}

void relay_give_up_settle(struct request *request)
{
    const slice generation = {request->generation_text, sizeof(request->generation_text)};
    if (request->http == NULL) return;
    if (!request->response_started) {
        relay_refuse(request,
                     &(struct failure){.cause = FAIL(LEDGER_DOWN), .generation = generation});
        return;
    }
    char sentence[160];
    struct buffer text;
    buffer_init_fixed(&text, sentence, sizeof(sentence));
    buffer_append(&text, SLICE("The answer is complete, but its bill is not confirmed yet. See "
                               "GET /api/v1/generation?id="));
    buffer_append(&text, generation);
    break_answer(request, FAIL(LEDGER_DOWN), buffer_slice(&text), false);
}

void relay_tick(struct request *request, uint64_t now_ms)
{
    if (!request->response_started || !request->wish.stream || request->final_pending) return;
    if (request->in_flight || request->over) return;
    /* Text that came in one piece with the answer's end waits for the SETTLE with it, but not when
     * that hangs. */
    if (request->out.len > 0) {
        relay_pump(request);
        return;
    }
    uint64_t limit_ms = request->settle_since_ms != 0 ? COMMENT_SETTLE_MS : COMMENT_SILENCE_MS;
    if (now_ms - request->last_sent_ms < limit_ms) return;
    chat_skin_comment(request->skin);
    relay_pump(request);
}
