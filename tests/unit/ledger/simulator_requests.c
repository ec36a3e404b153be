/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulator's edges ask for, what they remember of it when the answer comes, and how it
 * ends. */
#include "tests/unit/ledger/simulator.h"

#include <assert.h>

#define CENT            ((int64_t)10000000)
#define TOKEN_NANO      1000
#define PROMPT_NANO     ((int64_t)1) /* and a search */
#define COMPLETION_NANO ((int64_t)1000000)
#define PRICE_UNKNOWN   77

static bool chance(struct simulator *sim, uint32_t per_cent)
{
    return sim_below(sim, 100) < per_cent;
}

static uint64_t note_request(struct simulator *sim, const struct sim_frame *frame)
{
    const struct message_hold *hold = &frame->hold;
    const struct model_key *key = model_key(&sim->model, frame->key);
    bool costs = hold->fixed.nano != 0 || hold->output_price.nano_per_million != 0 || hold->byok;
    assert(sim->request_last + 1 < SIM_REQUESTS_MAX);
    sim->requests[++sim->request_last] =
        (struct sim_request){.org = key == NULL ? 0 : key->caller.org,
                             .key = frame->key,
                             .price = hold->price_ids.items[0],
                             .fixed = hold->fixed.nano,
                             .token_nano = hold->output_price.nano_per_million / 1000000,
                             .input = hold->input_tokens,
                             .output = hold->output_want,
                             .choices = hold->choices,
                             .model_class = costs ? MODEL_PAID : hold->model_class,
                             .byok = hold->byok != 0,
                             .may_shrink = hold->may_shrink != 0};
    return sim->request_last;
}

void draw_hold(struct simulator *sim, struct sim_frame *frame)
{
    int64_t key = 1 + sim_below(sim, SIM_KEYS);
    uint32_t price_id = chance(sim, 10) ? 2 : 1;
    *frame =
        (struct sim_frame){.type = MESSAGE_hold,
                           .key = key,
                           .hold = {.caller_version = model_key(&sim->model, key)->caller.version,
                                    .fixed = {1 + (int64_t)sim_below(sim, 20) * CENT},
                                    .price_ids = {1, {price_id}},
                                    .client = CLIENT_PREFIX_UNKNOWN}};
    struct message_hold *hold = &frame->hold;
    hold->input_tokens = sim_below(sim, 300);
    if (chance(sim, 30)) {
        hold->output_want = 1 + sim_below(sim, 1000);
        hold->output_price.nano_per_million = (int64_t)TOKEN_NANO * 1000000;
        hold->may_shrink = chance(sim, 70);
        hold->output_min = 1;
        hold->choices = sim_below(sim, 4);
    }
    hold->byok = chance(sim, 30);
    if (!hold->byok && chance(sim, 30)) {
        hold->model_class = MODEL_FREE;
        hold->fixed = hold->output_price.nano_per_million == 0 ? MONEY_ZERO : hold->fixed;
    }
    if (chance(sim, 3)) make_hold_strange(sim, frame);
    frame->request = note_request(sim, frame);
}

struct sim_hold hold_of_answer(const struct simulator *sim, const struct core_action *action)
{
    const struct message_held *held = &action->held;
    const struct sim_request *request = &sim->requests[action->request];
    struct sim_hold hold = {
        .place = {.cell = 1, .incarnation = sim->settings.incarnation, .hold = held->hold},
        .key = request->key,
        .price = request->price,
        .tokens = (uint64_t)request->input + held->output_max,
        .amount = held->amount.nano,
        .list = held->amount.nano,
        .byok = request->byok};
    if (hold.byok) hold.list = request->fixed + (int64_t)held->output_max * request->token_nano;
    return hold;
}

static uint32_t part_of(struct simulator *sim, uint32_t tokens, int64_t nano, int64_t token_nano)
{
    int64_t payable = nano / token_nano;
    return sim_below(sim, (payable < tokens ? (uint32_t)payable : tokens) + 1);
}

/* A usage that costs this. Mostly it has no more tokens than were counted. Those that the cost
 * leaves no room for were thought, at no price, and searches cost what tokens do not. */
static struct usage_vector draw_usage(struct simulator *sim, const struct sim_hold *hold,
                                      int64_t nano)
{
    struct usage_vector usage = {{0}};
    uint32_t counted = (uint32_t)hold->tokens;
    uint32_t left = sim_below(sim, (chance(sim, 10) ? 2 * counted + 100 : counted) + 1);
    uint32_t completion = part_of(sim, left, nano, COMPLETION_NANO);
    nano -= completion * COMPLETION_NANO;
    left -= completion;
    uint32_t prompt = part_of(sim, left, nano, PROMPT_NANO);
    usage.units[BILLING_completion] = completion;
    usage.units[BILLING_prompt] = prompt;
    usage.units[BILLING_reasoning] = left - prompt;
    usage.units[BILLING_web_search] = (uint32_t)(nano - prompt * PROMPT_NANO);
    return usage;
}

/* By list price. */
static int64_t draw_cost(struct simulator *sim, const struct sim_hold *hold)
{
    int64_t most = sim->log.overshoots && chance(sim, 20) ? 2 * hold->list : hold->list;
    return sim_below(sim, (uint32_t)most + 1);
}

static struct message_release draw_release(struct simulator *sim, const struct sim_hold *hold)
{
    struct message_release release = {
        .hold = hold->place.hold, .absorbed = chance(sim, 20), .price_id = hold->price};
    if (release.absorbed) release.usage = draw_usage(sim, hold, draw_cost(sim, hold));
    return release;
}

void draw_ending(struct simulator *sim, const struct sim_hold *hold, uint64_t n,
                 struct sim_unacknowledged *ending)
{
    *ending = (struct sim_unacknowledged){.frame = {.place = hold->place}};
    struct sim_frame *frame = &ending->frame;
    if (chance(sim, 20)) {
        frame->type = MESSAGE_release;
        frame->release = draw_release(sim, hold);
        frame->release.n = n;
        return;
    }
    int64_t cost = draw_cost(sim, hold);
    /* A price the ledger does not have: nothing can be charged, and both sides know that. */
    bool priced = !chance(sim, 1);
    ending->charge = priced ? cost : 0;
    frame->type = MESSAGE_settle;
    frame->settle = (struct message_settle){.n = n,
                                            .hold = hold->place.hold,
                                            .price_id = priced ? hold->price : PRICE_UNKNOWN,
                                            .usage = draw_usage(sim, hold, cost),
                                            .charge = {ending->charge},
                                            .facts.flags = hold->byok ? FACT_BYOK : 0};
}
