/* SPDX-License-Identifier: Apache-2.0 */
/* What honest edges and quiet days do not do: peers that break the protocol, holds as they should
 * not be, accounts that are frozen, a ledger that is told to stop. None of it may move money. */
#include "tests/unit/ledger/simulator.h"

#define STRANGER_FIRST ((uint64_t)1 << 40) /* above the numbers of honest edges */
#define HOLD_NONE      ((uint64_t)1 << 50)

static struct generation_place place_of(const struct simulator *sim, uint64_t hold)
{
    return (struct generation_place){
        .cell = 1, .incarnation = sim->settings.incarnation, .hold = hold};
}

/* One that exists, of an edge that has nothing to do with the stranger; mostly. */
static uint64_t any_hold(struct simulator *sim)
{
    const struct sim_stream *stream = &sim->streams[sim_below(sim, SIM_STREAMS)];
    return stream->open_count > 0 ? stream->open[0].place.hold : HOLD_NONE;
}

static void say_hello(struct simulator *sim, uint64_t edge, uint32_t link)
{
    struct message_hello hello = {.version = MESSAGE_VERSION, .incarnation = edge};
    sim_step(sim, &(struct core_event){.type = EVENT_HELLO, .link = link, .hello = &hello});
}

static void say_settle(struct simulator *sim, uint32_t link, uint64_t n, uint64_t hold)
{
    struct message_settle settle = {.n = n, .hold = hold, .price_id = 1, .charge = {5}};
    settle.usage.units[BILLING_prompt] = 5;
    struct core_event event = {.type = EVENT_SETTLE,
                               .link = link,
                               .settle = {.message = &settle, .place = place_of(sim, hold)}};
    sim_step(sim, &event);
}

static void say_release(struct simulator *sim, uint32_t link, uint64_t n, uint64_t hold)
{
    struct message_release release = {.n = n, .hold = hold};
    struct core_event event = {.type = EVENT_RELEASE,
                               .link = link,
                               .release = {.message = &release, .place = place_of(sim, hold)}};
    sim_step(sim, &event);
}

static void say_holds_open(struct simulator *sim, uint32_t link)
{
    struct message_holds_open open = {.last = 1, .holds = {1, {any_hold(sim)}}};
    sim_step(sim,
             &(struct core_event){.type = EVENT_HOLDS_OPEN, .link = link, .holds_open = &open});
}

static void say_hold(struct simulator *sim, uint32_t link)
{
    struct message_hold hold = {.caller_version = 1, .fixed = {1}, .price_ids = {1, {1}}};
    struct core_event event = {
        .type = EVENT_HOLD, .link = link, .hold = {.stored = model_hash(1), .message = &hold}};
    sim_step(sim, &event);
}

void strange_frame(struct simulator *sim)
{
    uint32_t link = ++sim->next_link;
    uint64_t edge = STRANGER_FIRST + ++sim->strangers;
    bool knows_the_rules = sim_below(sim, 2) == 0;
    if (knows_the_rules) say_hello(sim, edge, link);
    switch (sim_below(sim, 8)) {
    case 0: say_hello(sim, 0, link); break;
    case 1: say_hello(sim, edge, link); break;
    case 2: say_settle(sim, link, 1, any_hold(sim)); break;
    case 3: say_settle(sim, link, 0, any_hold(sim)); break;
    case 4: say_release(sim, link, 1, any_hold(sim)); break;
    case 5: say_release(sim, link, 0, any_hold(sim)); break;
    case 6: say_holds_open(sim, link); break;
    default: say_hold(sim, knows_the_rules ? ++sim->next_link : link); break;
    }
    sim_step(sim, &(struct core_event){.type = EVENT_LINK_GONE, .link = link});
}

void strange_question(struct simulator *sim)
{
    const struct sim_stream *stream = &sim->streams[sim_below(sim, SIM_STREAMS)];
    bool known = sim_below(sim, 4) > 0;
    int64_t key = known ? 1 + sim_below(sim, SIM_KEYS + 1) : SIM_KEY_NONE + sim_below(sim, 40);
    sim_step(sim, &(struct core_event){.type = EVENT_IDENTIFY,
                                       .link = stream->link,
                                       .client = known ? CLIENT_PREFIX_UNKNOWN : CLIENT_PREFIX_NONE,
                                       .stored = model_hash(key)});
}

void stop_ledger(struct simulator *sim)
{
    sim->stopping = true;
    sim_step(sim, &(struct core_event){.type = EVENT_STOP});
}

void make_hold_strange(struct simulator *sim, struct sim_frame *frame)
{
    switch (sim_below(sim, 5)) {
    case 0: frame->key = SIM_KEY_NONE; break;
    case 1:
        frame->key = SIM_KEYS + 1;
        frame->hold.caller_version = 1;
        break;
    case 2: frame->hold.caller_version--; break;
    case 3: frame->hold.price_ids.items[0] = 3; break;
    default:
        frame->hold.fixed.nano = INT64_MAX;
        frame->hold.output_want = 1 + sim_below(sim, 1000);
        frame->hold.output_price.nano_per_million = 1000000000;
        break;
    }
}
