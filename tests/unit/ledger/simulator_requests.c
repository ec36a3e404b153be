/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulator's edges ask for, and what they remember of it when the answer comes. */
#include "tests/unit/ledger/simulator.h"

#define CENT           ((int64_t)10000000)
#define TOKEN_NANO     1000

/* The number of a request carries the key, the price, and of what it can cost by list price the
 * cents and whether there are tokens. */
#define REQUEST_PRICE  32
#define REQUEST_CENTS  40
#define REQUEST_TOKENS 48
#define REQUEST_BYOK   49

static bool chance(struct simulator *sim, uint32_t per_cent)
{
    return sim_below(sim, 100) < per_cent;
}

void draw_hold(struct simulator *sim, struct sim_frame *frame)
{
    int64_t key = 1 + sim_below(sim, SIM_KEYS);
    uint32_t price_id = chance(sim, 10) ? 2 : 1;
    uint64_t cents = sim_below(sim, 20);
    *frame = (struct sim_frame){
        .type = MESSAGE_hold,
        .key = key,
        .request = (uint64_t)key | (uint64_t)price_id << REQUEST_PRICE | cents << REQUEST_CENTS,
        .hold = {.caller_version = model_key(&sim->model, key)->caller.version,
                 .fixed = {1 + (int64_t)cents * CENT},
                 .price_ids = {1, {price_id}},
                 .client = CLIENT_PREFIX_UNKNOWN}};
    struct message_hold *hold = &frame->hold;
    if (chance(sim, 30)) {
        hold->output_want = 1 + sim_below(sim, 1000);
        hold->output_price.nano_per_million = (int64_t)TOKEN_NANO * 1000000;
        hold->may_shrink = 1;
        hold->output_min = 1;
        hold->choices = sim_below(sim, 4);
        frame->request |= (uint64_t)1 << REQUEST_TOKENS;
    }
    hold->byok = chance(sim, 30);
    frame->request |= (uint64_t)hold->byok << REQUEST_BYOK;
    if (!hold->byok && chance(sim, 30)) {
        hold->model_class = MODEL_FREE;
        hold->fixed = hold->output_price.nano_per_million == 0 ? MONEY_ZERO : hold->fixed;
    }
    if (chance(sim, 3)) make_hold_strange(sim, frame);
}

struct sim_hold hold_of_answer(const struct simulator *sim, const struct core_action *action)
{
    const struct message_held *held = &action->held;
    struct sim_hold hold = {
        .place = {.cell = 1, .incarnation = sim->settings.incarnation, .hold = held->hold},
        .key = (int64_t)(uint32_t)action->request,
        .price = (uint8_t)(action->request >> REQUEST_PRICE),
        .amount = held->amount.nano,
        .list = held->amount.nano,
        .byok = (action->request >> REQUEST_BYOK & 1) != 0};
    if (!hold.byok) return hold;
    bool tokens = (action->request >> REQUEST_TOKENS & 1) != 0;
    hold.list = 1 + (int64_t)(uint8_t)(action->request >> REQUEST_CENTS) * CENT;
    hold.list += tokens ? (int64_t)held->output_max * TOKEN_NANO : 0;
    return hold;
}
