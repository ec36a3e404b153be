/* SPDX-License-Identifier: Apache-2.0 */
/* Requests with the customer's own provider keys: so many of a month are free, on the others there
 * is a fee. What is free is a meter whose units are leased like money. A hold takes what it can
 * use, if that is there, and holds the fee on the rest; its end takes what is free by then. What a
 * hold reserved and what its end took stand in the records, so posting decides nothing. */
#include "services/ledger/core/state.h"

#define ONE_REQUEST ((money){1})

/* ---- holds ---------------------------------------------------------------------------------- */

static struct lease_key key_of(int64_t org, uint8_t unit, wall_time at)
{
    return (struct lease_key){.org = org,
                              .meter = meter_of_allowance(org, (enum byok_unit)unit),
                              .period = clock_period(CADENCE_MONTH, at)};
}

/* What was lent before the plan changed, or was another one, goes back. One that was just made was
 * not asked for yet. */
static void follow_plan(struct step *step, uint32_t allowance, uint64_t version)
{
    struct lease *lease = &step->core->leases[allowance];
    if (lease->limit_version == version) return;
    bool is_new = lease->fresh && lease->limit_version == 0;
    lease->limit_version = version;
    if (!is_new) lease_limit_changed(step, allowance);
}

bool byok_find(struct step *step, uint32_t slot, struct byok_hold *byok)
{
    struct core *core = step->core;
    const struct plan_terms *plan = caller_plan(core, &core->callers[slot]);
    byok->unit = plan->byok_unit;
    if (byok->unit == BYOK_NONE || byok->unit > BYOK_LIST_PRICE) return false; /* of no plan */
    byok->fee_basis_points = plan->byok_fee_basis_points;
    struct lease_key key = key_of(core->callers[slot].caller.org, byok->unit, step->now.wall);
    byok->allowance = lease_touch(step, key, &core->allowance_hints[slot]);
    if (byok->allowance == SLOT_NONE) return false;
    follow_plan(step, byok->allowance, plan->version);
    const struct limit_meter *meters = caller_meters(core, &core->callers[slot]);
    for (uint8_t i = 0; i < core->callers[slot].meter_count; i++) {
        if (meters[i].include_byok) byok->list_meters |= (uint16_t)(1u << i);
    }
    return true;
}

static money usable(uint8_t unit, money list)
{
    return unit == BYOK_REQUESTS ? ONE_REQUEST : list;
}

bool byok_lacks(const struct byok_hold *byok)
{
    return money_less(byok->units, usable(byok->unit, byok->list));
}

enum byok_fill byok_fill(const struct step *step, struct byok_hold *byok)
{
    const struct lease *lease = &step->core->leases[byok->allowance];
    byok->units = money_min(lease_free_room(lease), usable(byok->unit, byok->list));
    if (!byok_lacks(byok)) return BYOK_FULL;
    bool known = !lease->fresh && !lease->unconfirmed;
    bool used_up = known && step->now.boot_ns < lease->short_until_boot_ns;
    return used_up ? BYOK_SHORT : BYOK_ASK;
}

static status fee_on(const struct byok_hold *byok, money list, money units, money *fee)
{
    return billing_byok_fee((enum byok_unit)byok->unit, list, units, byok->fee_basis_points, fee);
}

status byok_fee(const struct byok_hold *byok, money *fee)
{
    money with_list;
    TRY(fee_on(byok, byok->list, byok->units, fee));
    return money_add(*fee, byok->list, &with_list);
}

struct byok_need byok_need_of(const struct step *step, uint32_t slot, money list)
{
    const struct core *core = step->core;
    const struct plan_terms *plan = caller_plan(core, &core->callers[slot]);
    struct lease_key key = key_of(core->callers[slot].caller.org, plan->byok_unit, step->now.wall);
    struct byok_hold byok = {
        .list = list, .unit = plan->byok_unit, .fee_basis_points = plan->byok_fee_basis_points};
    struct byok_need need = {.allowance = lease_find(core, key),
                             .units = usable(plan->byok_unit, list)};
    if (!status_ok(byok_fee(&byok, &need.fee))) need.fee = MONEY_MAX;
    if (!status_ok(money_add(need.fee, list, &need.with_list))) need.with_list = MONEY_MAX;
    return need;
}

void byok_take(struct step *step, uint32_t hold, const struct byok_hold *byok)
{
    struct core *core = step->core;
    core->hold_byok[hold] = *byok;
    core->leases[byok->allowance].lacking += byok_lacks(byok) ? 1 : 0;
    lease_take(step, byok->allowance, byok->units);
}

/* One that is used up is not asked for ahead. */
void byok_prefetch(struct step *step, const struct byok_hold *byok)
{
    if (money_is_positive(byok->units)) lease_prefetch(step, byok->allowance);
}

money byok_part(const struct byok_hold *byok, uint8_t place, money fee, money list)
{
    money sum;
    if ((byok->list_meters >> place & 1) == 0) return fee;
    return status_ok(money_add(fee, list, &sum)) ? sum : MONEY_MAX;
}

/* ---- ends ----------------------------------------------------------------------------------- */

money byok_end(struct step *step, uint32_t slot, const money *list, money *fee)
{
    struct core *core = step->core;
    const struct byok_hold *byok = &core->hold_byok[slot];
    /* It lacks nothing any more, so that what it leaves over can go back. */
    core->leases[byok->allowance].lacking -= byok_lacks(byok) ? 1 : 0;
    money wanted = list == NULL ? MONEY_ZERO : usable(byok->unit, *list);
#ifdef BUG_FEE_WHILE_FREE /* planted by a test: an end takes no more than its hold had */
    wanted = money_min(wanted, byok->units);
#endif
    money taken =
        lease_settle(step, byok->allowance, byok->units, wanted, core->holds[slot].number);
    *fee = MONEY_ZERO;
    if (list == NULL) return taken;
    status done = fee_on(byok, *list, taken, fee);
    assert(status_ok(done)); /* a share of an amount that was counted */
    return taken;
}
