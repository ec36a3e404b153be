/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulator's edges ask for, what they remember of it when the answer comes, and how it
 * ends. */
#include "tests/unit/ledger/simulator.h"

#include <assert.h>

#define CENT          ((int64_t)10000000)
#define TOKEN_NANO    1000
#define PRICE_UNKNOWN 77

static bool chance(struct simulator *sim, uint32_t per_cent)
{
    return sim_below(sim, 100) < per_cent;
}

static uint64_t note_request(struct simulator *sim, const struct sim_frame *frame)
{
    const struct message_hold *hold = &frame->hold;
    assert(sim->request_last + 1 < SIM_REQUESTS_MAX);
    sim->requests[++sim->request_last] =
        (struct sim_request){.key = frame->key,
                             .price = hold->price_ids.items[0],
                             .fixed = hold->fixed.nano,
                             .token_nano = hold->output_price.nano_per_million / 1000000,
                             .byok = hold->byok != 0};
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
    if (chance(sim, 30)) {
        hold->output_want = 1 + sim_below(sim, 1000);
        hold->output_price.nano_per_million = (int64_t)TOKEN_NANO * 1000000;
        hold->may_shrink = 1;
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
        .amount = held->amount.nano,
        .list = held->amount.nano,
        .byok = request->byok};
    if (hold.byok) hold.list = request->fixed + (int64_t)held->output_max * request->token_nano;
    return hold;
}

static struct usage_vector usage_of(int64_t nano)
{
    struct usage_vector usage = {{0}};
    usage.units[BILLING_completion] = (uint32_t)(nano / 1000000);
    usage.units[BILLING_prompt] = (uint32_t)(nano % 1000000);
    return usage;
}

void draw_ending(struct simulator *sim, const struct sim_hold *hold, uint64_t n,
                 struct sim_unacknowledged *ending)
{
    *ending = (struct sim_unacknowledged){.frame = {.place = hold->place}};
    struct sim_frame *frame = &ending->frame;
    if (chance(sim, 20)) {
        frame->type = MESSAGE_release;
        frame->release = (struct message_release){
            .n = n, .hold = hold->place.hold, .absorbed = chance(sim, 20), .price_id = hold->price};
        return;
    }
    int64_t most = sim->log.overshoots && chance(sim, 20) ? 2 * hold->list : hold->list;
    /* A price the ledger does not have: nothing can be charged, and both sides know that. */
    bool priced = !chance(sim, 1);
    ending->charge = priced ? (int64_t)sim_below(sim, (uint32_t)most + 1) : 0;
    frame->type = MESSAGE_settle;
    frame->settle = (struct message_settle){.n = n,
                                            .hold = hold->place.hold,
                                            .price_id = priced ? hold->price : PRICE_UNKNOWN,
                                            .usage = usage_of(ending->charge),
                                            .charge = {ending->charge},
                                            .facts.flags = hold->byok ? FACT_BYOK : 0};
}
