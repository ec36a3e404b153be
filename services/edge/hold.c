/* SPDX-License-Identifier: Apache-2.0 */
/* Read, choose, hold: from the body to the money that is set aside for it. A HOLD that the ledger
 * answers too late is released when its answer comes, so its call outlives the client's patience:
 * the time limit is a timer of ours, not the call's deadline. */
#include "services/edge/bound.h"
#include "services/edge/callers.h"
#include "services/edge/edge.h"
#include "services/edge/rates.h"
#include "services/edge/settle.h"
#include "services/edge/thread.h"
#include "shared/daemon.h"
#include "shared/metrics.h"

#define HOLD_CALL_MAX_MS 3600000u

static void ask_again(void *context);
static void answered(void *context, status result, const struct frame *frame);
static void hold_too_slow(h2o_timeout_entry_t *entry);

/* ---- read and choose ------------------------------------------------------------------------- */

enum step_result step_read(struct request *request)
{
    struct fault fault;
    status read =
        read_chat(request->body, &request->document, &request->arena, &request->wish, &fault);
    if (status_ok(read)) return STEP_NEXT;
    return request_fail(request, &(struct failure){
                                     .cause = read,
                                     .field = fault.field,
                                     .message = fault.message,
                                 });
}

static status choose(struct request *request)
{
    const struct wish *wish = &request->wish;
    request->model = market_find(request->market, wish->model);
    if (request->model == NULL) return FAIL(UNKNOWN_MODEL);
    const struct choose_wish choose = {
        .model = request->model,
        .input_tokens_max = bound_input_tokens(wish, request->model),
        .input_tokens_estimate = (wish->text_bytes + 3) / 4,
        .output_want = wish->output_want,
        .order = wish->order,
        .only = wish->only,
        .ignore = wish->ignore,
        .no_fallbacks = wish->no_fallbacks,
        .sort = wish->by_price ? CHOOSE_BY_PRICE : CHOOSE_BALANCED,
    };
    TRY(choose_endpoints(&choose, request->thread->edge->health, thread_now_ms(request->thread),
                         thread_random(request->thread), &request->choice));
    if (request->choice.count == 0) return FAIL(NO_ENDPOINT);
    request->input_tokens_max = choose.input_tokens_max;
    return bound_check_content(wish, request->model, &request->choice);
}

/* "max_tokens must be at most 16384: …" */
static slice output_sentence(struct request *request)
{
    const slice field = request->wish.output_field;
    const size_t size = field.len + 128;
    char *room = arena_alloc(&request->arena, size);
    if (room == NULL) return SLICE_NONE;
    struct buffer text;
    buffer_init_fixed(&text, room, size);
    buffer_append(&text, field);
    buffer_append(&text, SLICE(" must be at most "));
    buffer_append_u64(&text, request->choice.output_largest);
    buffer_append(&text, SLICE(": no provider that may serve this request answers with more."));
    return buffer_slice(&text);
}

enum step_result step_choose(struct request *request)
{
    if (request->market == NULL) {
        if (request->thread->market == NULL) return request_fail_code(request, FAIL(CATALOG_DOWN));
        request->market = market_retain(request->thread->market);
    }
    struct failure failure = {.cause = choose(request)};
    if (status_ok(failure.cause)) return STEP_NEXT;
    if (failure.cause.code == ERROR_OUT_OF_RANGE) {
        failure.field = request->wish.output_field;
        failure.message = output_sentence(request);
    }
    return request_fail(request, &failure);
}

/* ---- hold ------------------------------------------------------------------------------------ */

static status ask(struct request *request)
{
    struct message_hold message = {
        .key = request->key,
        .caller_version = request->caller.version,
        .client = request->client,
    };
    TRY(bound_hold(&request->wish, request->model, &request->choice, &message));
    struct buffer *out;
    const struct peer_call call = {answered, request, HOLD_CALL_MAX_MS};
    request->held.call = ledger_call(request->thread->ledger, call, &out);
    if (request->held.call == 0) return FAIL(LEDGER_DOWN);
    message_encode_hold(out, request->held.call, &message);
    request->asked_us = thread_now_us(request->thread);
    return OK;
}

static void drop_reservation(struct request *request)
{
    if (request->held.reserved) ledger_unreserve(request->thread->ledger);
    request->held.reserved = false;
}

enum step_result step_hold(struct request *request)
{
    struct thread *thread = request->thread;
    if (!ledger_ready(thread->ledger)) return request_fail_code(request, FAIL(LEDGER_DOWN));
    if (!request->held.reserved) request->held.reserved = ledger_reserve(thread->ledger);
    if (!request->held.reserved) return request_fail_code(request, FAIL(LEDGER_FULL));
    status asked = ask(request);
    if (!status_ok(asked)) {
        drop_reservation(request);
        return request_fail_code(request, asked);
    }
    request->hold_limit.cb = hold_too_slow;
    if (!h2o_timeout_is_linked(&request->hold_limit))
        h2o_timeout_link(thread->loop, &thread->hold_limit, &request->hold_limit);
    return STEP_WAIT;
}

static void hold_too_slow(h2o_timeout_entry_t *entry)
{
    struct request *request = H2O_STRUCT_FROM_MEMBER(struct request, hold_limit, entry);
    request_pin(request);
    if (request->held.awaits) {
        ledger_stop_waiting(request->thread->ledger, &request->held.waiter);
        request->held.awaits = false;
        drop_reservation(request);
    }
    request_fail_code(request, FAIL(LEDGER_DOWN));
    request_unpin(request);
}

/* The ledger was lost with the question: once it is back and told which holds are open — this one
 * is not among them, so the first HOLD is released if it was journalled — the question is asked a
 * second time. */
static void await_ledger(struct request *request)
{
    if (request->over || request->held.retried) {
        drop_reservation(request);
        request_fail_code(request, FAIL(LEDGER_DOWN));
        return;
    }
    request->held.retried = true;
    request->held.awaits = true;
    request->held.waiter = (struct welcome_waiter){.run = ask_again, .context = request};
    ledger_await_welcome(request->thread->ledger, &request->held.waiter);
}

static void ask_again(void *context)
{
    struct request *request = context;
    request_pin(request);
    request->held.awaits = false;
    status asked = ask(request);
    if (!status_ok(asked)) {
        drop_reservation(request);
        request_fail_code(request, asked);
    }
    request_unpin(request);
}

/* "…, but can only afford 1234." is the sentence that clients of this protocol look for. */
static slice refusal_sentence(struct request *request, const struct message_held *held)
{
    const struct error_row *row = error_row_of(held->error);
    size_t size = strlen(row->sentence) + 96;
    char *room = arena_alloc(&request->arena, size);
    if (room == NULL) return SLICE_NONE;
    struct buffer text;
    buffer_init_fixed(&text, room, size);
    buffer_append(&text, slice_of(row->sentence));
    if (held->error == ERROR_ACCOUNT_FROZEN) return buffer_slice(&text);
    if (request->wish.output_want != 0) {
        buffer_append(&text, SLICE(" You requested up to "));
        buffer_append_u64(&text, request->wish.output_want);
        buffer_append(&text, SLICE(" tokens, but can only afford "));
    } else {
        buffer_append(&text, SLICE(" You can only afford "));
    }
    buffer_append_u64(&text, held->output_affordable);
    buffer_append_char(&text, '.');
    return buffer_slice(&text);
}

/* What the caller may do was changed since the edge heard of him: all that was decided by it is
 * decided again, as often as that happens within one hold's time. */
static void restart(struct request *request, const struct message_held *held)
{
    request->caller = held->caller;
    callers_put(request->thread->callers, &request->key, &held->caller,
                thread_now_ms(request->thread));
    if (held->caller.kind != CALLER_KEY)
        request_fail_code(request, FAIL(INFERENCE_KEY_NEEDED));
    else
        request_repeat_from(request, STEP_CHOOSE);
}

static void refused(struct request *request, const struct message_held *held)
{
    metric_add(holds_refused_total, 1);
    drop_reservation(request);
    if (held->error == ERROR_STALE) {
        restart(request, held);
        return;
    }
    const struct error_row *row = error_row_of(held->error);
    struct failure failure = {.cause = {held->error}};
    if (row->http == 401) callers_drop(request->thread->callers, &request->key);
    if (held->limit_source != LIMIT_NONE || row->http == 402) {
        failure.refusal = held;
        failure.message = refusal_sentence(request, held);
    }
    if (rates_refused(held)) {
        failure.refusal = held;
        failure.retry_after_s = rates_retry_after_s(held);
    }
    request_fail(request, &failure);
}

static void granted(struct request *request, const struct message_held *held)
{
    request->held.record.hold = held->hold;
    request->held.record.generation = held->generation;
    request->held.output_max = held->output_max;
    request->held.amount = held->amount;
    request->held.created_ns = held->created_ns;
    request->held.rate = rates_shown(held);
    request->held.open = true;
    request->held.reserved = false; /* the place is the hold's now */
    ledger_hold_opened(request->thread->ledger, &request->held.record);
    struct buffer text;
    buffer_init_fixed(&text, request->generation_text, sizeof(request->generation_text));
    generation_id_append(&text, held->generation);
    metric_add(holds_total, 1);
    metric_add(holds_open, 1);
    if (request->over) {
        /* Nobody waits for it any more. */
        settle_ending(request, &(struct ending){.reason = request->ended,
                                                .cancelled = status_ok(request->ended)});
        return;
    }
    fault_point("edge_after_hold");
    request_continue(request);
}

static void answered(void *context, status result, const struct frame *frame)
{
    struct request *request = context;
    request_pin(request);
    request->held.call = 0;
    struct message_held held = {0};
    bool lost = !status_ok(result);
    if (!lost && !status_ok(message_decode_held(frame->body, &held)))
        held.error = ERROR_LEDGER_DOWN;
    if (!lost) {
        if (held.error != ERROR_STALE) h2o_timeout_unlink(&request->hold_limit);
        metric_time(hold_wait, thread_now_us(request->thread) - request->asked_us);
    }
    if (lost)
        await_ledger(request);
    else if (held.error != ERROR_NONE)
        refused(request, &held);
    else
        granted(request, &held);
    if (request->over) h2o_timeout_unlink(&request->hold_limit);
    request_unpin(request);
}
