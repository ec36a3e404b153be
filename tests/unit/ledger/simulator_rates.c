/* SPDX-License-Identifier: Apache-2.0 */
/* The auditor of rates: sees the records of holds and of their ends as they are made, and counts by
 * walking over all of them. A hold beyond a limit is a violation, and so is a refusal below one.
 * Tokens are counted by another file. */
#include "tests/unit/ledger/simulator.h"

#include <assert.h>

#define MINUTE_NS ((int64_t)60 * 1000000000)
#define DAY_NS    (1440 * MINUTE_NS)

struct sim_count {
    uint32_t open;                  /* of the key */
    uint32_t minute;                /* of the key, in the minute that runs */
    uint32_t free_minute, free_day; /* of its organization */
};

static struct sim_count count(const struct sim_rates *rates, int64_t org, int64_t key, int64_t ns)
{
    struct sim_count sum = {0};
    for (size_t i = 0; i < rates->count; i++) {
        const struct sim_rated *seen = &rates->items[i];
        bool minute = i >= rates->minute_first;
        sum.open += seen->key == key && !seen->ended;
        sum.minute += seen->key == key && minute;
        if (seen->org != org || seen->model_class != MODEL_FREE) continue;
        sum.free_minute += minute;
        sum.free_day += seen->created_ns / DAY_NS == ns / DAY_NS;
    }
    return sum;
}

/* What is counted as one minute ends when the clock goes on into another one. A clock that steps
 * back ends nothing: the minute it comes to goes on with what was counted in the one it left. */
void sim_rates_follow_clock(struct simulator *sim)
{
    int64_t minute = sim->now.wall.ns / MINUTE_NS;
    if (minute > sim->rates.minute) sim->rates.minute_first = sim->rates.count;
    sim->rates.minute = minute;
}

static uint32_t day_limit(struct simulator *sim, int64_t org)
{
    bool bought = model_org(&sim->model, org)->purchased >= MODEL_FREE_BOUGHT;
    return bought ? sim->model.free_day_bought : sim->model.free.day;
}

static bool beyond(uint32_t limit, uint32_t used)
{
    return limit != 0 && used > limit;
}

static void check_hold(struct simulator *sim, const struct sim_rated *made)
{
    struct sim_count sum = count(&sim->rates, made->org, made->key, made->created_ns);
    const struct rate_limits *limits = &model_key(&sim->model, made->key)->rates;
    /* Of the days before the one on which it was started the ledger has read nothing. */
    bool day = made->created_ns / DAY_NS >= sim->rates.day_of_start;
    if (beyond(limits->concurrent, sum.open)) sim->violation = "a key has too many at once";
    if (beyond(limits->requests, sum.minute)) sim->violation = "a key has too many in a minute";
    if (made->model_class != MODEL_FREE) return;
    if (beyond(sim->model.free.requests, sum.free_minute))
        sim->violation = "too many free requests in a minute";
    if (day && beyond(day_limit(sim, made->org), sum.free_day))
        sim->violation = "too many free requests in a day";
}

static void see_hold(struct simulator *sim, const struct record_hold *hold, bool check)
{
    struct sim_rates *rates = &sim->rates;
    assert(rates->count < SIM_RATED_MAX);
    struct sim_rated *made = &rates->items[rates->count++];
    *made = (struct sim_rated){.incarnation = sim->settings.incarnation,
                               .hold = hold->hold,
                               .org = hold->org,
                               .key = hold->key,
                               .created_ns = hold->created_ns,
                               .model_class = hold->model_class};
    if (check) check_hold(sim, made);
}

static void see_ending(struct simulator *sim, const struct record_ending *ending, bool check)
{
    struct sim_rates *rates = &sim->rates;
    for (size_t i = 0; ending->part == 0 && i < rates->count; i++) {
        struct sim_rated *seen = &rates->items[i];
        if (seen->incarnation != sim->settings.incarnation || seen->hold != ending->hold) continue;
        seen->ended = true;
        sim_tokens_ended(sim, seen, &ending->usage, check);
    }
}

static void see(struct simulator *sim, slice bytes, bool check)
{
    struct record record;
    size_t taken;
    for (; bytes.len > 0 && status_ok(record_next(bytes, &record, &taken));
         bytes = slice_from(bytes, taken)) {
        struct record_hold hold;
        struct record_ending ending;
        if (record.type == RECORD_hold && status_ok(record_decode_hold(record.payload, &hold))) {
            see_hold(sim, &hold, check);
            sim_byok_see_hold(sim, &hold, check);
        }
        if (record.type == RECORD_ending &&
            status_ok(record_decode_ending(record.payload, &ending))) {
            see_ending(sim, &ending, check);
            sim_byok_see_ending(sim, &ending, check);
        }
    }
}

void sim_rates_see(struct simulator *sim)
{
    see(sim, slice_from(buffer_slice(&sim->records), sim->rates.seen_len), true);
    sim->rates.seen_len = sim->records.len;
}

/* What was refused was full to its last place. */
static void check_refused(struct simulator *sim, int64_t key, const struct message_held *held)
{
    const struct model_key *model = model_key(&sim->model, key);
    struct sim_count sum = count(&sim->rates, model->caller.org, key, sim->now.wall.ns);
    bool of_key = held->rate_owner == RATE_KEY;
    uint32_t used = held->rate_limit, limit = held->rate_limit;
    if (held->error == ERROR_RATE_CONCURRENT) used = sum.open, limit = model->rates.concurrent;
    if (held->error == ERROR_RATE_REQUESTS) {
        used = of_key ? sum.minute : sum.free_minute;
        limit = of_key ? model->rates.requests : sim->model.free.requests;
    }
    if (held->error == ERROR_RATE_DAY)
        used = sum.free_day, limit = day_limit(sim, model->caller.org);
    bool unread =
        held->error == ERROR_RATE_DAY && sim->now.wall.ns / DAY_NS < sim->rates.day_of_start;
    if (!unread && used != limit) sim->violation = "a request was refused below its limit";
}

void sim_rates_answered(struct simulator *sim, const struct sim_request *request,
                        const struct message_held *held)
{
    sim_rates_see(sim);
    if (held->error == ERROR_NONE)
        sim_tokens_held(sim, request, held);
    else if (held->error == ERROR_RATE_TOKENS)
        sim_tokens_refused(sim, request, held);
    else if (held->rate_limit != 0)
        check_refused(sim, request->key, held);
}

/* Only what is on the disk was: the rest of this incarnation was made up by nobody. */
void sim_rates_restart(struct simulator *sim)
{
    struct sim_rates *rates = &sim->rates;
    size_t kept = 0;
    for (size_t i = 0; i < rates->count; i++) {
        if (rates->items[i].incarnation != sim->settings.incarnation)
            rates->items[kept++] = rates->items[i];
    }
    rates->count = kept;
    rates->day_of_start = sim->now.wall.ns / DAY_NS;
    rates->seen_len = 0;
    sim_byok_restart(sim);
    sim_tokens_restart(sim);
    see(sim, buffer_slice(&sim->disk), false);
    rates->minute_first = rates->count; /* a restart may give a second minute */
}
