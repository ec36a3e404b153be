/* SPDX-License-Identifier: Apache-2.0 */
/* The auditor of own keys. From the records of holds and of their ends, and from what PostgreSQL's
 * answers brought, it knows how much of an allowance the core has free as long as a hold is open
 * that has too little of it, for then nothing goes back. Whoever pays while that is more than
 * nothing is a violation, and so is a hold that was to pay although PostgreSQL had more. Where the
 * auditor is not sure it counts too little, never too much. */
#include "tests/unit/ledger/simulator.h"

#include <assert.h>

#define CENT ((int64_t)10000000)

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct sim_allowance *allowance_of(struct simulator *sim, int64_t org, uint8_t unit,
                                          int32_t period)
{
    struct sim_byok *byok = &sim->byok;
    for (size_t i = 0; i < byok->allowance_count; i++) {
        struct sim_allowance *found = &byok->allowances[i];
        if (found->org == org && found->unit == unit && found->period == period) return found;
    }
    assert(byok->allowance_count < SIM_ALLOWANCES_MAX);
    struct sim_allowance *made = &byok->allowances[byok->allowance_count++];
    *made = (struct sim_allowance){.org = org, .unit = unit, .period = period};
    return made;
}

static struct sim_allowance *allowance_at(struct simulator *sim, int64_t org, uint8_t unit,
                                          int64_t created_ns)
{
    return allowance_of(sim, org, unit, clock_period(CADENCE_MONTH, (wall_time){created_ns}));
}

static int64_t usable(uint8_t unit, int64_t list)
{
    return unit == BYOK_REQUESTS ? 1 : list;
}

static bool lacks(const struct sim_byok_hold *hold)
{
    return hold->units < usable(hold->unit, hold->list);
}

/* What PostgreSQL could still lend of it. */
static int64_t available(struct simulator *sim, const struct sim_allowance *allowance)
{
    const struct model_plan *plan = &model_org(&sim->model, allowance->org)->plan;
    if (plan->terms.byok_unit != allowance->unit) return 0;
    int64_t meter = model_allowance_meter(allowance->org, plan->terms.byok_unit);
    const struct model_period *period =
        model_period(&sim->model, allowance->org, meter, allowance->period);
    return plan->allowance - period->spent - period->leased;
}

void sim_byok_see_hold(struct simulator *sim, const struct record_hold *record, bool check)
{
    struct sim_byok *byok = &sim->byok;
    if (record->byok_unit == BYOK_NONE) return;
    assert(byok->hold_count < SIM_RATED_MAX);
    struct sim_byok_hold *hold = &byok->holds[byok->hold_count++];
    *hold = (struct sim_byok_hold){.incarnation = sim->settings.incarnation,
                                   .hold = record->hold,
                                   .unit = record->byok_unit,
                                   .list = record->byok_list.nano,
                                   .units = record->byok_units.nano};
    struct sim_allowance *allowance =
        allowance_at(sim, record->org, record->byok_unit, record->created_ns);
    if (lacks(hold)) {
        allowance->lacking++;
        allowance->free = 0; /* it took all there was */
        if (check && available(sim, allowance) > 0)
            sim->violation = "a fee is held although the allowance has more";
    } else {
        allowance->free -= smaller(allowance->free, hold->units);
    }
}

static const char *check_end(const struct record_ending *ending, const struct sim_byok_hold *hold,
                             int64_t free)
{
    int64_t list = ending->byok_list.nano, taken = ending->byok_units.nano;
    if (ending->state != ENDING_SETTLED)
        return taken != 0 || list != 0 || ending->charge.nano != 0 ? "a failed request took or paid"
                                                                   : NULL;
    int64_t wanted = usable(hold->unit, list);
    if (taken > wanted) return "a request took more of the allowance than it could use";
    if (taken < smaller(wanted, hold->units + free)) return "a fee is due though units are free";
    return NULL;
}

void sim_byok_see_ending(struct simulator *sim, const struct record_ending *ending, bool check)
{
    struct sim_byok *byok = &sim->byok;
    for (size_t i = 0; ending->byok_unit != BYOK_NONE && ending->part == 0 && i < byok->hold_count;
         i++) {
        struct sim_byok_hold *hold = &byok->holds[i];
        if (hold->incarnation != sim->settings.incarnation || hold->hold != ending->hold) continue;
        struct sim_allowance *allowance =
            allowance_at(sim, ending->org, ending->byok_unit, ending->created_ns);
        int64_t free = allowance->lacking > 0 ? allowance->free : 0;
        const char *violation = check_end(ending, hold, free);
        if (check && violation != NULL) sim->violation = violation;
        int64_t left = allowance->free + hold->units - ending->byok_units.nano;
        allowance->free = left < 0 ? 0 : left;
        if (lacks(hold)) allowance->lacking--;
        if (allowance->lacking == 0) allowance->free = 0; /* from here on some may go back */
        *hold = byok->holds[--byok->hold_count];
        return;
    }
}

/* Before the core gets the answer. What was granted before the first one of a ledger's life is not
 * known, and counts as taken. */
void sim_byok_granted(struct simulator *sim, const struct lease_answer *answer)
{
    for (uint8_t i = 0; !answer->failed && i < answer->count; i++) {
        const struct lease_total *total = &answer->items[i];
        for (uint8_t unit = BYOK_REQUESTS; unit <= BYOK_LIST_PRICE; unit++) {
            if (total->meter != model_allowance_meter(answer->org, (enum byok_unit)unit)) continue;
            struct sim_allowance *allowance = allowance_of(sim, answer->org, unit, total->period);
            if (allowance->known && allowance->lacking > 0)
                allowance->free += total->granted.nano - allowance->granted;
            allowance->granted = total->granted.nano;
            allowance->known = true;
        }
    }
}

/* Forgets what this incarnation was thought to have made; its journal will be seen again. */
void sim_byok_restart(struct simulator *sim)
{
    struct sim_byok *byok = &sim->byok;
    size_t kept = 0;
    for (size_t i = 0; i < byok->hold_count; i++) {
        if (byok->holds[i].incarnation != sim->settings.incarnation)
            byok->holds[kept++] = byok->holds[i];
    }
    byok->hold_count = kept;
    for (size_t i = 0; i < byok->allowance_count; i++)
        byok->allowances[i].lacking = 0, byok->allowances[i].known = false;
}

/* ---- what people do -------------------------------------------------------------------------- */

void begin_plan(struct simulator *sim, struct model_org *org)
{
    struct model_plan *plan = &org->plan;
    plan->terms.byok_unit = sim_below(sim, 2) == 0 ? BYOK_REQUESTS : BYOK_LIST_PRICE;
    bool requests = plan->terms.byok_unit == BYOK_REQUESTS;
    plan->allowance = requests ? (int64_t)sim_below(sim, 8) : (int64_t)sim_below(sim, 60) * CENT;
    sim->log.allowance_max[org->org][plan->terms.byok_unit] = plan->allowance;
}

/* Raised, or of the other unit; never lower than it ever was, so that the most there ever was is a
 * bound on what may be free. */
static void change_allowance(struct simulator *sim, int64_t org, struct model_plan *plan)
{
    struct plan_terms *terms = &plan->terms;
    if (sim_below(sim, 4) == 0)
        terms->byok_unit = terms->byok_unit == BYOK_REQUESTS ? BYOK_LIST_PRICE : BYOK_REQUESTS;
    int64_t *most = &sim->log.allowance_max[org][terms->byok_unit];
    bool requests = terms->byok_unit == BYOK_REQUESTS;
    *most += requests ? (int64_t)sim_below(sim, 4) : (int64_t)sim_below(sim, 30) * CENT;
    plan->allowance = *most;
    terms->byok_fee_basis_points = (uint16_t)(sim_below(sim, 3) * 400);
}

/* The core is told, and sometimes of an older change after that. Bounds that another host changed
 * come with the next reading. */
void change_plan(struct simulator *sim)
{
    int64_t org = 1 + sim_below(sim, SIM_ORGS);
    struct model_plan plan = model_org(&sim->model, org)->plan;
    struct plan_terms before = plan.terms;
    bool told = sim_below(sim, 5) > 0;
    if (told) change_allowance(sim, org, &plan);
    plan.terms.output_default = 1 + sim_below(sim, 1000);
    plan.terms.output_min = 1 + sim_below(sim, plan.terms.output_default);
    struct plan_terms now = model_set_plan(&sim->model, org, &plan);
    sim_tokens_plan_changed(sim, org, told);
    if (!told) return;
    sim_step(sim, &(struct core_event){.type = EVENT_PLAN_CHANGED, .plan = &now});
    if (sim_below(sim, 10) > 0) return;
    sim_step(sim, &(struct core_event){.type = EVENT_PLAN_CHANGED, .plan = &before});
}

/* ---- at the end ------------------------------------------------------------------------------ */

static int64_t fee_of(const struct model_row *row)
{
    int64_t rest = row->byok_list - row->byok_units;
    if (row->byok_unit == BYOK_REQUESTS) rest = row->byok_units == 0 ? row->byok_list : 0;
    return (rest * row->byok_fee_basis_points + 5000) / 10000;
}

static int64_t units_in(const struct model_database *model, const struct model_period *period,
                        enum byok_unit unit)
{
    int64_t units = 0;
    for (size_t i = 0; i < model->row_count; i++) {
        const struct model_row *row = &model->rows[i];
        bool here = row->org == period->org && row->byok_unit == unit;
        here = here && clock_period(CADENCE_MONTH, (wall_time){row->created_ns}) == period->period;
        units += here ? row->byok_units : 0;
    }
    return units;
}

/* Never more than the allowance is free, and a meter of it has spent what its rows took. */
static const char *audit_allowance(const struct model_database *model, const struct sim_log *log,
                                   const struct model_period *period, enum byok_unit unit)
{
    int64_t most = log->allowance_max[period->org][unit];
    if (period->spent + period->leased > most) return "more than the allowance is free";
    if (period->spent != units_in(model, period, unit))
        return "what an allowance gave is not what was taken of it";
    return NULL;
}

const char *audit_byok(const struct model_database *model, const struct sim_log *log)
{
    for (size_t i = 0; i < model->row_count; i++) {
        const struct model_row *row = &model->rows[i];
        if (row->byok_unit != BYOK_NONE && row->part == 0 && row->charge != fee_of(row))
            return "a charge is not the fee on what was not free";
    }
    for (size_t i = 0; i < model->period_count; i++) {
        const struct model_period *period = &model->periods[i];
        for (int unit = BYOK_REQUESTS; unit <= BYOK_LIST_PRICE; unit++) {
            int64_t meter = model_allowance_meter(period->org, (enum byok_unit)unit);
            if (period->meter != meter) continue;
            const char *violation = audit_allowance(model, log, period, (enum byok_unit)unit);
            if (violation != NULL) return violation;
        }
    }
    return NULL;
}
