/* SPDX-License-Identifier: Apache-2.0 */
/* Every hold's one terminal record. A complete answer is settled with what the provider reported,
 * or with the estimate when that is missing or above what was held; a client that left pays for
 * what it got; everything else is released. */
#include "services/edge/settle.h"

#include "services/edge/attempt.h"
#include "services/edge/bound.h"
#include "services/edge/edge.h"
#include "services/edge/identify.h"
#include "services/edge/relay.h"
#include "services/edge/thread.h"
#include "shared/daemon.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define REFERER_MAX 192
#define TITLE_MAX   64
#define AGENT_MAX   128
#define SESSION_MAX 128

static void acknowledged(void *context, money charge);

/* ---- usage ----------------------------------------------------------------------------------- */

static bool within_hold(const struct request *request, const struct usage_vector *usage,
                        money *charge)
{
    return billing_input_tokens(usage) <= request->input_tokens_max &&
           billing_output_tokens(usage) <= request->held.output_max &&
           status_ok(billing_charge(request->attempt.endpoint->price, usage, charge)) &&
           !money_less(request->held.amount, *charge);
}

static uint32_t at_most(uint64_t value, uint64_t bound)
{
    if (value > bound) value = bound;
    return value > BILLING_UNITS_MAX ? BILLING_UNITS_MAX : (uint32_t)value;
}

/* Counted by us and not by providers. */
static void add_units(const struct request *request, struct usage_vector *usage)
{
    usage->units[BILLING_request] = 1;
    usage->units[BILLING_image_in] = request->wish.images;
}

static void estimate(struct request *request, uint64_t delivered, struct usage_vector *usage)
{
    usage_estimate(request->wish.text_bytes, delivered, usage);
    uint64_t images = (uint64_t)request->wish.images * request->model->image_tokens_max;
    usage->units[BILLING_prompt] =
        at_most(usage->units[BILLING_prompt] + images, request->input_tokens_max);
    usage->units[BILLING_completion] =
        at_most(usage->units[BILLING_completion], request->held.output_max);
    add_units(request, usage);
    request->flags |= FACT_ESTIMATED;
}

/* Fills request->usage; answers the charge by our own computation. */
static money decide_usage(struct request *request, uint64_t delivered)
{
    const struct attempt *attempt = &request->attempt;
    money charge = MONEY_ZERO;
    request->usage = attempt->usage;
    add_units(request, &request->usage);
    if (attempt->usage_seen && attempt->usage_valid &&
        within_hold(request, &request->usage, &charge))
        return charge;
    estimate(request, delivered, &request->usage);
    if (!status_ok(billing_charge(attempt->endpoint->price, &request->usage, &charge)))
        charge = request->held.amount;
    return charge;
}

/* ---- facts ----------------------------------------------------------------------------------- */

static void fill_client_facts(const struct request *request, struct generation_facts *facts)
{
    if (request->http == NULL) return;
    const h2o_req_t *http = request->http;
    facts->referer = slice_first(identify_header(http, SLICE("referer")), REFERER_MAX);
    if (facts->referer.len == 0)
        facts->referer = slice_first(identify_header(http, SLICE("http-referer")), REFERER_MAX);
    facts->title = slice_first(identify_header(http, SLICE("x-title")), TITLE_MAX);
    if (facts->title.len == 0)
        facts->title = slice_first(identify_header(http, SLICE("x-openrouter-title")), TITLE_MAX);
    facts->user_agent = slice_first(identify_header(http, SLICE("user-agent")), AGENT_MAX);
    slice session = request->wish.session;
    if (session.len == 0) session = identify_header(http, SLICE("x-session-id"));
    facts->session = slice_first(session, SESSION_MAX);
}

static void fill_facts(const struct request *request, struct generation_facts *facts)
{
    const struct market_endpoint *endpoint = request->attempt.endpoint;
    *facts = (struct generation_facts){
        .model = request->model->id,
        .endpoint = endpoint == NULL ? 0 : endpoint->id,
        .provider = endpoint == NULL ? 0 : endpoint->provider->id,
        .flags = request->flags,
        .finish = request->finish,
        .first_byte_ms = request->first_byte_ms,
        .total_ms = request_elapsed_ms(request),
        .native_finish = request->native_finish,
        .upstream_id = request->upstream_id,
        .attempt_count = request->fact_count,
    };
    memcpy(facts->attempts, request->facts, sizeof(facts->attempts));
    fill_client_facts(request, facts);
}

static void set_flags(struct request *request)
{
    const struct market_endpoint *endpoint = request->attempt.endpoint;
    if (request->wish.stream) request->flags |= FACT_STREAMED;
    if (endpoint != NULL && endpoint->provider->simulated) request->flags |= FACT_SIMULATED;
}

/* ---- the two records ------------------------------------------------------------------------- */

static void close_hold(struct request *request)
{
    request->held.open = false;
    metric_add(holds_open, -1);
}

static void settle(struct request *request, uint64_t delivered, enum attempt_result result)
{
    set_flags(request);
    struct message_settle message = {.price_id = request->attempt.endpoint->price->id};
    message.charge = decide_usage(request, delivered);
    message.usage = request->usage;
    attempt_close(request, result);
    fill_facts(request, &message.facts);
    /* A client that left waits for nothing. */
    struct acknowledgement acknowledgement = {0};
    if (result == ATTEMPT_OK) acknowledgement = (struct acknowledgement){acknowledged, request};
    close_hold(request);
    request->charge = message.charge;
    request->settle_n =
        ledger_settle(request->thread->ledger, &request->held.record, &message, acknowledgement);
}

void settle_note_absorbed(struct request *request)
{
    const struct market_endpoint *endpoint = request->attempt.endpoint;
    if (endpoint == NULL) return;
    const struct usage_vector billed = request->usage;
    const uint64_t delivered = request->skin == NULL ? 0 : chat_skin_delivered_bytes(request->skin);
    (void)decide_usage(request, delivered);
    request->absorbed_price = endpoint->price;
    request->absorbed_usage = request->usage;
    request->usage = billed;
}

static void release(struct request *request, const struct ending *ending)
{
    set_flags(request);
    if (ending->absorbed) settle_note_absorbed(request);
    struct message_release message = {.reason = ending->reason.code};
    if (request->absorbed_price != NULL) {
        message.absorbed = true;
        message.price_id = request->absorbed_price->id;
        message.usage = request->absorbed_usage;
    }
    if (ending->cancelled && ending->absorbed) attempt_close(request, ATTEMPT_CLIENT_GONE);
    fill_facts(request, &message.facts);
    close_hold(request);
    request->settle_n = ledger_release(request->thread->ledger, &request->held.record, &message);
}

void settle_ending(struct request *request, const struct ending *ending)
{
    if (!request->held.open) return;
    if (ending->cancelled) request->flags |= FACT_CANCELLED;
    bool got_part = ending->cancelled && request->delivered && request->wish.stream;
    if (got_part && request->attempt.endpoint != NULL) {
        settle(request, request->delivered_text, ATTEMPT_CLIENT_GONE);
        return;
    }
    release(request, ending);
}

/* ---- the step -------------------------------------------------------------------------------- */

static void write_ahead(struct request *request)
{
    struct requests *requests = &request->thread->requests;
    request_pin(request); /* until requests_write_ahead() */
    request->ahead_next = requests->ahead;
    requests->ahead = request;
}

enum step_result step_settle(struct request *request)
{
    request->settle_since_ms = thread_now_ms(request->thread);
    request->asked_us = thread_now_us(request->thread);
    settle(request, chat_skin_delivered_bytes(request->skin), ATTEMPT_OK);
    if (!request->wish.stream) write_ahead(request);
    return STEP_WAIT;
}

static void acknowledged(void *context, money charge)
{
    struct request *request = context;
    if (charge.nano != request->charge.nano)
        log_warning("charge_differs", F(request, request->held.record.generation),
                    FN(amount, edge, request->charge), FN(amount, ledger, charge));
    metric_time(settle_wait, thread_now_us(request->thread) - request->asked_us);
    request->charge = charge;
    request->settle_since_ms = 0;
    fault_point("edge_after_ack");
    request_continue(request);
}

void settle_tick(struct request *request, uint64_t now_ms)
{
    if (request->over || request->settle_since_ms == 0) return;
    uint64_t limit_ms = (uint64_t)request->thread->edge->config.settle_timeout;
    if (now_ms - request->settle_since_ms < limit_ms) return;
    request->over = true;
    ledger_forget(request->thread->ledger, request->settle_n);
    relay_give_up_settle(request);
}
