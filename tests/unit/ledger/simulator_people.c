/* SPDX-License-Identifier: Apache-2.0 */
/* What people do in the simulator while requests run: they buy credit, change keys and limits,
 * freeze accounts, and set clocks. */
#include "tests/unit/ledger/simulator.h"

#include "services/ledger/cell_clock.h"

#define CENT ((int64_t)10000000)

static bool chance(struct simulator *sim, uint32_t per_cent)
{
    return sim_below(sim, 100) < per_cent;
}

/* Half of the keys have a limit of tokens. */
static void limit_tokens(struct simulator *sim, struct model_key *key, uint32_t lifted_per_cent)
{
    if (key->caller.key <= SIM_KEYS / 2) return;
    key->rates.tokens = chance(sim, lifted_per_cent) ? 0 : 1 + sim_below(sim, 2000);
}

void begin_key(struct simulator *sim, int64_t key)
{
    struct model_key *model = model_add_key(&sim->model, 1 + (key - 1) % SIM_ORGS, key);
    model->has_limit = key % 2 == 0;
    model->cadence = (enum cadence)(key % CADENCE_COUNT);
    model->limit = (int64_t)(1 + sim_below(sim, 500)) * CENT;
    model->caller.member = key % 3 == 0 ? 1 : 0;
    if (key % 4 == 1) model->rates.requests = 1 + sim_below(sim, 8);
    if (key % 4 >= 2) model->rates.concurrent = 1 + sim_below(sim, 4);
    limit_tokens(sim, model, 0);
    model->include_byok = key % 4 == 0;
    begin_plan(sim, model_org(&sim->model, model->caller.org));
}

/* Of the classes of models; those that cost something have none in most plans. */
void begin_rates(struct simulator *sim)
{
    sim->model.free =
        (struct rate_limits){.requests = 1 + sim_below(sim, 12), .day = 1 + sim_below(sim, 20)};
    if (chance(sim, 50)) sim->model.free.tokens = 1 + sim_below(sim, 2000);
    if (chance(sim, 30)) sim->model.paid.tokens = 1 + sim_below(sim, 6000);
}

void buy_credit(struct simulator *sim)
{
    int64_t org = 1 + sim_below(sim, SIM_ORGS);
    int64_t amount = (int64_t)(1 + sim_below(sim, 300)) * CENT;
    if (chance(sim, 30))
        model_org(&sim->model, org)->promo += amount;
    else
        model_org(&sim->model, org)->paid += amount,
            model_org(&sim->model, org)->purchased += amount;
    sim->log.bought[org] += amount;
    sim_step(sim, &(struct core_event){.type = EVENT_CREDIT_CHANGED, .org = org});
    if (chance(sim, 20))
        sim_step(sim, &(struct core_event){.type = EVENT_CREDIT_RECALLED, .org = org});
}

void change_key(struct simulator *sim)
{
    struct model_key *key = model_key(&sim->model, 1 + sim_below(sim, SIM_KEYS));
    key->caller.version++;
    key->disabled = chance(sim, 10);
    key->caller.expires_ns =
        chance(sim, 10) ? sim->now.wall.ns + (int64_t)sim_below(sim, 10) * 1000000000 : 0;
    if (key->has_limit) key->limit += (int64_t)sim_below(sim, 100) * CENT;
    if (chance(sim, 50)) limit_tokens(sim, key, 30);
    sim_step(sim, &(struct core_event){.type = EVENT_KEY_CHANGED, .stored = key->stored});
}

/* Of any owner in the organization; three of the eight there are for each. */
static struct model_limit draw_limit(struct simulator *sim)
{
    int64_t org = 1 + sim_below(sim, SIM_ORGS);
    struct model_limit limit = {.org = org,
                                .owner_kind = (enum meter_owner)(OWNER_MEMBER + sim_below(sim, 3)),
                                .cadence = chance(sim, 50) ? CADENCE_LIFE : CADENCE_DAY,
                                .limited = true,
                                .limit = (int64_t)(1 + sim_below(sim, 800)) * CENT};
    limit.owner = limit.owner_kind == OWNER_ORG ? org : 1;
    limit.include_byok = chance(sim, 30);
    return limit;
}

static const struct model_limit *limit_like(const struct simulator *sim,
                                            const struct model_limit *limit)
{
    for (size_t i = 0; i < sim->model.limit_count; i++) {
        const struct model_limit *known = &sim->model.limits[i];
        if (known->org == limit->org && model_meter(known) == model_meter(limit)) return known;
    }
    return NULL;
}

/* Set in the midst of a period, or made to count more, it may be below what is spent; from the next
 * period on it is exact, for here it is only ever raised or taken away. */
void change_limit(struct simulator *sim)
{
    struct model_limit limit = draw_limit(sim);
    const struct model_limit *known = limit_like(sim, &limit);
    limit.exact_after = clock_period(limit.cadence, sim->now.wall);
    if (known != NULL && known->limited) {
        limit.limit += known->limit;
        bool counts_more = limit.include_byok && !known->include_byok;
        if (!counts_more) limit.exact_after = known->exact_after;
    }
    limit.limited = chance(sim, 90);
    if (!limit.limited) limit.exact_after = INT32_MAX;
    model_set_limit(&sim->model, &limit, sim->now.wall);
    sim_step(sim, &(struct core_event){.type = EVENT_LIMITS_CHANGED, .org = limit.org});
}

/* Set before anything was spent, so exact from the first period on. */
void begin_limits(struct simulator *sim)
{
    for (uint32_t left = sim_below(sim, 4); left > 0; left--) {
        struct model_limit limit = draw_limit(sim);
        limit.exact_after = -1;
        if (limit_like(sim, &limit) == NULL) model_set_limit(&sim->model, &limit, sim->now.wall);
    }
}

void freeze_account(struct simulator *sim)
{
    int64_t org = 1 + sim_below(sim, SIM_ORGS);
    model_org(&sim->model, org)->frozen = sim_below(sim, 2) == 0;
    sim_step(sim, &(struct core_event){.type = EVENT_CREDIT_CHANGED, .org = org});
}

/* At the end of a day, as a ledger without a row per period would have it. */
void reset_days(struct simulator *sim)
{
    for (size_t i = 0; i < sim->model.period_count; i++) {
        struct model_period *period = &sim->model.periods[i];
        if (period->meter % CADENCE_COUNT == CADENCE_DAY) period->spent = 0;
    }
}

/* The rule of the cell's clock: time stands still for a small step back, and follows a greater
 * one. */
void sim_set_clock(struct simulator *sim, int64_t ns)
{
    sim->clock_ns = ns;
    int64_t back_ns = sim->now.wall.ns - ns;
    if (back_ns > 0 && back_ns <= CELL_CLOCK_STANDS_NS) return;
    sim->now.wall.ns = ns;
    if (sim->latest_ns < ns) sim->latest_ns = ns;
}

/* An hour forth or back, and mostly to the edge of a day or back over it; or back by so little that
 * the minute ends again soon. */
void jump_clock(struct simulator *sim)
{
    const int64_t day_ns = (int64_t)86400 * 1000000000, hour_ns = (int64_t)3600 * 1000000000;
    int64_t edge_ns = (sim->clock_ns / day_ns + 1) * day_ns;
    bool near = edge_ns - sim->clock_ns <= hour_ns;
    if (chance(sim, 30)) {
        int64_t more_ns = (int64_t)(1 + sim_below(sim, 60)) * 1000000000;
        sim_set_clock(sim, sim->clock_ns - CELL_CLOCK_STANDS_NS - more_ns);
    } else if (!near && chance(sim, 50)) {
        sim_set_clock(sim, edge_ns - 1 - (int64_t)sim_below(sim, 1000000000));
    } else {
        sim_set_clock(sim, sim->clock_ns + (chance(sim, 50) ? hour_ns : -hour_ns));
    }
    sim_step(sim, &(struct core_event){.type = EVENT_TICK});
}
