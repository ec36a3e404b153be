/* SPDX-License-Identifier: Apache-2.0 */
/* Authority to spend: what PostgreSQL moved to this cell for an account, or under a limit, and what
 * of it is still free. There is at most one question in flight per account; holds that did not fit
 * wait for its answer and are refused only after it. All totals only grow, so a question whose
 * outcome is not known is simply asked again. */
#include "services/ledger/core/state.h"

#include "shared/metrics.h"

static uint32_t tag_of(struct lease_key key)
{
    return (uint32_t)slot_mix((uint64_t)key.org ^ slot_mix((uint64_t)key.meter + 1) ^
                              (uint64_t)(uint32_t)key.period << 32);
}

static struct lease_key key_of(const struct lease *lease)
{
    return (struct lease_key){lease->org, lease->meter, lease->period};
}

uint32_t lease_find(const struct core *core, struct lease_key key)
{
    uint32_t tag = tag_of(key);
    uint32_t at = slot_index_home(&core->lease_index, tag);
    uint32_t slot;
    while ((slot = slot_index_next(&core->lease_index, tag, &at)) != SLOT_NONE) {
        const struct lease *lease = &core->leases[slot];
        if (lease->org == key.org && lease->meter == key.meter && lease->period == key.period)
            break;
    }
    return slot;
}

money lease_free_room(const struct lease *lease)
{
    money gone = money_plus(money_plus(lease->returned, lease->settled), lease->held);
    return money_max(money_minus(lease->granted, gone), MONEY_ZERO);
}

static void set_unconfirmed(struct core *core, struct lease *lease, bool unconfirmed)
{
    if (lease->unconfirmed == unconfirmed) return;
    lease->unconfirmed = unconfirmed;
    core->leases_unconfirmed += unconfirmed ? 1 : UINT32_MAX; /* ± 1 */
}

/* ---- slots ---------------------------------------------------------------------------------- */

/* Nothing depends on it and PostgreSQL knows all of it, the last settlement too: when the lease is
 * needed again, the totals it begins with are PostgreSQL's. */
static bool is_idle(const struct core *core, const struct lease *lease)
{
    return lease->holds == 0 && lease->settled_seq <= core->seq_posted && !lease->asking &&
           !lease->unconfirmed && lease->waiting.count == 0 && lease->meters == 0 &&
           money_is_zero(lease_free_room(lease));
}

static void forget(struct core *core, uint32_t slot)
{
    struct lease *lease = &core->leases[slot];
    if (lease->account != slot) core->leases[lease->account].meters--;
    slot_index_remove(&core->lease_index, tag_of(key_of(lease)), slot);
    slot_chain_remove(&core->leases_by_org, org_tag(lease->org), slot);
    slot_list_remove(&core->leases_by_age, core->lease_links, slot);
    lease->in_use = false;
    slot_list_prepend(&core->leases_free, core->lease_links, slot);
}

/* The oldest idle one among the oldest few. Leases that still hold money are asked to come back,
 * for the next time. */
#define EVICTION_LOOK 16
static bool is_at_hand(const struct step *step, uint32_t slot)
{
    for (uint8_t i = 0; i < step->at_hand_count; i++) {
        if (step->at_hand[i] == slot) return true;
    }
    return false;
}

static bool make_room(struct step *step)
{
    struct core *core = step->core;
    uint32_t slot = core->leases_by_age.first;
    for (int i = 0; i < EVICTION_LOOK && slot != SLOT_NONE; i++) {
        uint32_t next = core->lease_links[slot].after;
        if (is_idle(core, &core->leases[slot]) && !is_at_hand(step, slot)) {
            forget(core, slot);
            return true;
        }
        if (step->out != NULL && core->leases[slot].holds == 0) lease_give_back(step, slot);
        slot = next;
    }
    return false;
}

static uint32_t new_lease(struct step *step, struct lease_key key)
{
    struct core *core = step->core;
    if (core->leases_free.count == 0 && !make_room(step)) return SLOT_NONE;
    uint32_t slot = slot_list_take(&core->leases_free, core->lease_links);
    core->leases[slot] = (struct lease){.org = key.org,
                                        .meter = key.meter,
                                        .period = key.period,
                                        .account = slot,
                                        .in_use = true,
                                        .fresh = true,
                                        .listed_grain = age_grain(step->now.boot_ns),
                                        .used_boot_ns = step->now.boot_ns,
                                        .must_ask = true,
                                        .waiting = SLOT_LIST_EMPTY};
    slot_index_add(&core->lease_index, tag_of(key), slot);
    slot_chain_add(&core->leases_by_org, org_tag(key.org), slot);
    slot_list_append(&core->leases_by_age, core->lease_links, slot);
    return slot;
}

/* In the list it moves only when it is due. A start has no clock, so there it moves at once. */
static void note_age(struct step *step, uint32_t slot)
{
    struct core *core = step->core;
    struct lease *lease = &core->leases[slot];
    uint32_t grain = age_grain(step->now.boot_ns);
    if (step->out != NULL && lease->listed_grain == grain) return;
    lease->listed_grain = grain;
    slot_list_remove(&core->leases_by_age, core->lease_links, slot);
    slot_list_append(&core->leases_by_age, core->lease_links, slot);
}

static bool is_it(const struct core *core, uint32_t slot, struct lease_key key)
{
    if (slot >= core->settings.leases_max) return false;
    const struct lease *lease = &core->leases[slot];
    return lease->in_use && lease->org == key.org && lease->meter == key.meter &&
           lease->period == key.period;
}

static uint32_t touch(struct step *step, struct lease_key key);

uint32_t lease_touch(struct step *step, struct lease_key key, uint32_t *hint)
{
    if (is_it(step->core, *hint, key)) {
        note_age(step, *hint);
    } else {
        *hint = touch(step, key);
    }
    if (*hint != SLOT_NONE) step->at_hand[step->at_hand_count++] = *hint;
    return *hint;
}

static uint32_t touch(struct step *step, struct lease_key key)
{
    struct core *core = step->core;
    uint32_t slot = lease_find(core, key);
    if (slot == SLOT_NONE) {
        slot = new_lease(step, key);
        if (slot == SLOT_NONE || key.meter == 0) return slot;
        uint32_t account = lease_find(core, (struct lease_key){.org = key.org});
        if (account == SLOT_NONE) account = new_lease(step, (struct lease_key){.org = key.org});
        if (account == SLOT_NONE) {
            core->leases[slot].account = slot; /* nobody counts it yet */
            forget(core, slot);
            return SLOT_NONE;
        }
        core->leases[slot].account = account;
        core->leases[account].meters++;
        return slot;
    }
    note_age(step, slot);
    return slot;
}

/* ---- spending ------------------------------------------------------------------------------- */

/* What was held in the last window or two, the measure of how much to lease. */
static void note_use(struct step *step, struct lease *lease, money amount)
{
    uint64_t window_ns = (uint64_t)step->core->settings.lease_window_ns;
    uint64_t age_ns = step->now.boot_ns - lease->window_boot_ns;
    if (age_ns >= window_ns) {
        lease->window_before = age_ns < 2 * window_ns ? lease->window : MONEY_ZERO;
        lease->window = MONEY_ZERO;
        lease->window_boot_ns = step->now.boot_ns;
    }
    money sum;
    if (status_ok(money_add(lease->window, amount, &sum))) lease->window = sum;
    lease->used_boot_ns = step->now.boot_ns;
}

void lease_take(struct step *step, uint32_t slot, money amount)
{
    struct lease *lease = &step->core->leases[slot];
    lease->held = money_plus(lease->held, amount);
    lease->holds++;
    note_use(step, lease, amount);
}

/* A hold from before the change ended. Once none is open, all that is left was lent under the limit
 * as it is. */
static void give_back_leftover(struct step *step, uint32_t slot, uint64_t number)
{
    struct lease *lease = &step->core->leases[slot];
    if (number < lease->changed_before) lease_give_back(step, slot);
    bool none = lease->holds == 0 || hold_floor(step->core) >= lease->changed_before;
    if (none) lease->limit_changed = false;
}

money lease_settle(struct step *step, uint32_t slot, money held, money charge, uint64_t hold)
{
    struct lease *lease = &step->core->leases[slot];
    money covered = money_min(charge, held);
    if (money_less(held, charge)) {
        money above = money_min(money_minus(charge, held), lease_free_room(lease));
        covered = money_plus(covered, above);
    }
    /* Never more than the lease has, even if a move at start could not keep all that was held. */
    money has = money_minus(lease->granted, money_plus(lease->returned, lease->settled));
    covered = money_min(covered, money_max(has, MONEY_ZERO));
    lease->held = money_minus(lease->held, held);
    lease->holds--;
    lease->settled = money_plus(lease->settled, covered);
    lease->settled_seq = step->core->seq_last + 1; /* the record that follows */
    lease->used_boot_ns = step->now.boot_ns;
    if (lease->limit_changed) give_back_leftover(step, slot, hold);
    return covered;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* The traffic of a window, minus what is free. */
static money wanted(const struct lease *lease)
{
    money traffic = money_max(lease->window, lease->window_before);
    money free_room = lease_free_room(lease);
    return money_less(free_room, traffic) ? money_minus(traffic, free_room) : MONEY_ZERO;
}

static struct lease_item *find_item(struct lease_request *request, const struct lease *lease)
{
    for (uint8_t i = 0; i < request->count; i++) {
        struct lease_item *item = &request->items[i];
        if (item->meter == lease->meter && item->period == lease->period) return item;
    }
    return NULL;
}

/* There is room for it. */
static struct lease_item *item_of(struct lease_request *request, const struct lease *lease)
{
    struct lease_item *found = find_item(request, lease);
    if (found != NULL) return found;
    struct lease_item *item = &request->items[request->count++];
    *item = (struct lease_item){.meter = lease->meter,
                                .period = lease->period,
                                .want = wanted(lease),
                                .returned = lease->returned};
    return item;
}

/* What a waiting hold needs of each lease. */
struct needs {
    uint8_t count; /* of leases besides the account's */
    uint32_t leases[LEASE_ITEMS_MAX - 1];
    money amounts[LEASE_ITEMS_MAX - 1];
    money account;
};

static void add_lease(struct needs *needs, uint32_t lease, money amount)
{
    if (lease == SLOT_NONE) return;
    needs->leases[needs->count] = lease;
    needs->amounts[needs->count++] = amount;
}

/* The leases were touched when the hold was tried. */
static bool find_needs(struct step *step, const struct waiting *waiting, struct needs *needs)
{
    const struct core *core = step->core;
    money list;
    if (!status_ok(hold_amount(&waiting->hold, waiting->hold.output_want, &list))) return false;
    *needs = (struct needs){.account = list};
    uint32_t slot = caller_find(core, &waiting->stored);
    if (slot == SLOT_NONE) return true;
    struct byok_need byok = {.fee = list};
    if (waiting->hold.byok) {
        byok = byok_need_of(step, slot, list);
        add_lease(needs, byok.allowance, byok.units);
        needs->account = byok.fee;
    }
    const struct caller_slot *caller = &core->callers[slot];
    const struct limit_meter *meters = caller_meters(core, caller);
    for (uint8_t i = 0; i < caller->meter_count; i++) {
        enum cadence cadence = (enum cadence)meters[i].cadence;
        struct lease_key key = {.org = caller->caller.org,
                                .meter = meters[i].meter,
                                .period = clock_period(cadence, step->now.wall)};
        bool with_list = waiting->hold.byok && meters[i].include_byok;
        add_lease(needs, lease_find(core, key), with_list ? byok.with_list : byok.fee);
    }
    return true;
}

static bool fits_into(struct core *core, struct lease_request *request, const struct needs *needs)
{
    uint8_t missing = 0;
    for (uint8_t i = 0; i < needs->count; i++)
        if (find_item(request, &core->leases[needs->leases[i]]) == NULL) missing++;
    return request->count + missing <= LEASE_ITEMS_MAX;
}

static void add_need(struct lease_item *item, money amount)
{
    money sum;
    item->need = status_ok(money_add(item->need, amount, &sum)) ? sum : MONEY_MAX;
}

/* Adds what the waiting holds need; those that did not fit into one request wait for the next. */
static void add_waiting(struct step *step, struct lease *account, struct lease_request *request)
{
    struct core *core = step->core;
    for (uint32_t i = account->waiting.first; i != SLOT_NONE; i = core->waiting_links[i].after) {
        struct waiting *waiting = &core->waiting[i];
        struct needs needs;
        if (!find_needs(step, waiting, &needs) || !fits_into(core, request, &needs)) continue;
        for (uint8_t m = 0; m < needs.count; m++)
            add_need(item_of(request, &core->leases[needs.leases[m]]), needs.amounts[m]);
        add_need(&request->items[0], needs.account);
        waiting->round = account->rounds_asked + 1;
    }
}

/* From what the holds need to what is missing. */
static void subtract_free(struct core *core, struct lease_request *request)
{
    for (uint8_t i = 0; i < request->count; i++) {
        struct lease_item *item = &request->items[i];
        uint32_t slot =
            lease_find(core, (struct lease_key){request->org, item->meter, item->period});
        money free_room = lease_free_room(&core->leases[slot]);
        item->need =
            money_less(free_room, item->need) ? money_minus(item->need, free_room) : MONEY_ZERO;
    }
}

/* Where somebody waits more will follow, though nothing is known of the traffic yet: without that
 * an account that begins would ask with each of its first holds. */
static void want_ahead(struct lease_request *request)
{
    for (uint8_t i = 0; i < request->count; i++) {
        struct lease_item *item = &request->items[i];
        money more;
        if (status_ok(money_scale(item->need, LEASE_NEEDS_AHEAD, 1, &more)))
            item->want = money_max(item->want, more);
    }
}

static void send_request(struct step *step, uint32_t account_slot, struct lease_request *request)
{
    struct core *core = step->core;
    struct lease *account = &core->leases[account_slot];
    for (uint8_t i = 0; i < request->count; i++) {
        struct lease_item *item = &request->items[i];
        uint32_t slot =
            lease_find(core, (struct lease_key){request->org, item->meter, item->period});
        set_unconfirmed(core, &core->leases[slot], true);
    }
    account->asking = true;
    account->rounds_asked++;
    core->asking++;
    struct core_action action = {.type = ACTION_LEASE, .lease = *request};
    core_deliver(step, &action);
}

/* One question stays free for prices. */
bool lease_can_ask(const struct core *core)
{
    return core->asking + 1 < core->settings.questions_max / 2;
}

static bool can_ask_ahead(const struct core *core)
{
    return core->asking < ASKING_AHEAD_MAX && lease_can_ask(core);
}

void lease_ask(struct step *step, uint32_t account_slot)
{
    struct core *core = step->core;
    struct lease *account = &core->leases[account_slot];
    if (account->asking) return;
    struct lease_request request = {.org = account->org};
    (void)item_of(&request, account);
    add_waiting(step, account, &request);
    subtract_free(core, &request);
    want_ahead(&request);
    send_request(step, account_slot, &request);
}

/* Before it is needed: less than half of a window's traffic is left. */
void lease_prefetch(struct step *step, uint32_t slot)
{
    struct core *core = step->core;
    struct lease *lease = &core->leases[slot];
    struct lease *account = &core->leases[lease->account];
    money traffic = money_max(lease->window, lease->window_before);
    if (!money_less(lease_free_room(lease), money_half(traffic))) return;
    if (account->asking || core->stopping || step->now.boot_ns < lease->prefetch_boot_ns) return;
    if (!can_ask_ahead(core)) return;
    struct lease_request request = {.org = account->org};
    (void)item_of(&request, account);
    (void)item_of(&request, lease);
    /* What PostgreSQL grants ahead is a part of what is left, so near the end this asks in vain:
     * not with every hold. */
    lease->prefetch_boot_ns = step->now.boot_ns + LEASE_PREFETCH_NS;
    send_request(step, lease->account, &request);
}

/* Says what was returned and wants nothing: what an idle lease got it would give back at once, and
 * so on for ever. */
static void send_return(struct step *step, const struct lease *lease)
{
    const struct lease *account = &step->core->leases[lease->account];
    struct lease_request request = {.org = account->org};
    item_of(&request, account)->want = MONEY_ZERO;
    item_of(&request, lease)->want = MONEY_ZERO;
    send_request(step, lease->account, &request);
}

void lease_give_back(struct step *step, uint32_t slot)
{
    struct core *core = step->core;
    struct lease *lease = &core->leases[slot];
    money free_room = lease->lacking > 0 ? MONEY_ZERO : lease_free_room(lease);
    if (money_is_zero(free_room) && !lease->unconfirmed) return;
    lease->returned = money_plus(lease->returned, free_room);
    if (money_is_positive(free_room)) lease->short_until_boot_ns = 0; /* it can be lent again */
    set_unconfirmed(core, lease, true);
    const struct lease *account = &core->leases[lease->account];
    if (account->asking || !can_ask_ahead(core)) return; /* the tick sends it later */
    send_return(step, lease);
}

void lease_limit_changed(struct step *step, uint32_t slot)
{
    struct core *core = step->core;
    struct lease *lease = &core->leases[slot];
    struct lease *account = &core->leases[lease->account];
    lease->short_until_boot_ns = 0;
    lease->limit_changed = lease->holds > 0;
    lease->changed_before = core->next_hold;
    /* An unconfirmed lease has had a question whose effect is not known yet. */
    account->changed = account->changed || account->asking || lease->unconfirmed;
    lease_give_back(step, slot);
}

static bool is_of(const struct lease *lease, int64_t org, int64_t key)
{
    if (lease->org != org || lease->meter == 0) return false;
    return key == 0 || lease->meter / CADENCE_COUNT == key;
}

void leases_limits_changed(struct step *step, int64_t org, int64_t key)
{
    const struct core *core = step->core;
    uint32_t slot = slot_chain_first(&core->leases_by_org, org_tag(org));
    for (; slot != SLOT_NONE; slot = core->leases_by_org.links[slot].after) {
        if (is_of(&core->leases[slot], org, key)) lease_limit_changed(step, slot);
    }
}

/* ---- answers -------------------------------------------------------------------------------- */

static bool is_allowance(const struct lease *lease)
{
    return lease->meter == meter_of_allowance(lease->org, BYOK_REQUESTS) ||
           lease->meter == meter_of_allowance(lease->org, BYOK_LIST_PRICE);
}

static void take_totals(struct step *step, const struct lease_answer *answer, bool changed)
{
    struct core *core = step->core;
    for (uint8_t i = 0; i < answer->count; i++) {
        const struct lease_total *total = &answer->items[i];
        uint32_t slot =
            lease_find(core, (struct lease_key){answer->org, total->meter, total->period});
        if (slot == SLOT_NONE) continue;
        struct lease *lease = &core->leases[slot];
        if (lease->fresh) {
            lease->settled = total->settled;
            lease->returned = total->returned;
            lease->fresh = false;
        }
        lease->granted = total->granted;
        lease->available = total->available;
        /* While the question was in flight a limit was changed: this may be lent under the old one,
         * and that nothing is left says nothing. */
        bool outdated = changed && lease->meter != 0;
        if (outdated && lease->lacking == 0)
            lease->returned = money_plus(lease->returned, lease_free_room(lease));
        set_unconfirmed(core, lease, total->returned.nano != lease->returned.nano);
        bool short_of_it = money_is_zero(total->available) && !outdated;
        uint64_t short_ns = is_allowance(lease) ? ALLOWANCE_SHORT_NS : LEASE_SHORT_NS;
        lease->short_until_boot_ns = short_of_it ? step->now.boot_ns + short_ns : 0;
    }
}

/* Credit or a limit changed while the question was in flight: its answer refuses nobody. */
static void ask_waiting_again(struct core *core, struct lease *account)
{
    for (uint32_t i = account->waiting.first; i != SLOT_NONE; i = core->waiting_links[i].after)
        core->waiting[i].round = 0;
    account->short_until_boot_ns = 0;
}

void core_lease_answered(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    const struct lease_answer *answer = event->lease;
    uint32_t slot = lease_find(core, (struct lease_key){.org = answer->org});
    if (slot == SLOT_NONE || !core->leases[slot].asking) return;
    struct lease *account = &core->leases[slot];
    account->asking = false;
    if (answer->failed) {
        account->retry_boot_ns = step->now.boot_ns + LEASE_RETRY_NS;
    } else {
        account->frozen = answer->frozen;
        account->must_ask = account->changed;
        take_totals(step, answer, account->changed);
    }
    if (account->changed && !answer->failed) ask_waiting_again(core, account);
    /* Of a question that failed the effect is seen with the next answer. */
    account->changed = account->changed && answer->failed;
    account->answer_failed = answer->failed;
    account->rounds_answered = account->rounds_asked;
    for (uint32_t left = account->waiting.count; left > 0; left--)
        waiting_run(step, slot_list_take(&account->waiting, core->waiting_links));
    account->answer_failed = false;
    core->asking--; /* only now, so that there is room for the next */
    /* Whoever is left came after the question was asked. */
    if (account->waiting.count > 0) lease_ask(step, slot);
}

void core_credit_changed(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    rates_note_bought(step);
    uint32_t slot = lease_find(core, (struct lease_key){.org = event->org});
    if (slot == SLOT_NONE) return;
    struct lease *account = &core->leases[slot];
    account->must_ask = true;
    account->changed = account->changed || account->asking;
    account->short_until_boot_ns = 0;
}

void core_credit_recalled(struct step *step, const struct core_event *event)
{
    uint32_t slot = lease_find(step->core, (struct lease_key){.org = event->org});
    if (slot != SLOT_NONE) lease_give_back(step, slot);
}

/* ---- time ----------------------------------------------------------------------------------- */

/* Returns that did not reach PostgreSQL, and totals it may have changed without our knowing. Rare,
 * so a walk will do. */
static void repeat_unconfirmed(struct step *step)
{
    struct core *core = step->core;
    if (core->leases_unconfirmed == 0) return;
    for (uint32_t slot = 0; slot < core->settings.leases_max; slot++) {
        struct lease *lease = &core->leases[slot];
        if (!lease->in_use || !lease->unconfirmed) continue;
        struct lease *account = &core->leases[lease->account];
        if (account->asking || step->now.boot_ns < account->retry_boot_ns) continue;
        if (!can_ask_ahead(core)) return;
        send_return(step, lease);
    }
}

/* Enough for any rate at which leases come, and a part of a turn. */
#define FORGET_MAX 256

void leases_tick(struct step *step)
{
    struct core *core = step->core;
    repeat_unconfirmed(step);
    /* Ordered by the last hold, to a grain, so the walk ends at the first that is surely young. */
    uint64_t idle_ns = core->stopping ? 0 : (uint64_t)core->settings.lease_idle_ns;
    uint32_t slot = core->leases_by_age.first;
    for (uint32_t forgotten = 0; slot != SLOT_NONE && forgotten < FORGET_MAX;) {
        uint32_t next = core->lease_links[slot].after;
        const struct lease *lease = &core->leases[slot];
        if (step->now.boot_ns - lease->listed_grain * AGE_GRAIN_NS < idle_ns) break;
        bool unused = lease->holds == 0 && step->now.boot_ns - lease->used_boot_ns >= idle_ns;
        bool busy = core->leases[lease->account].asking;
        if (unused && !busy && !money_is_zero(lease_free_room(lease))) lease_give_back(step, slot);
        /* Else each tick would meet it here: a meter of a day has another slot every day. */
        if (unused && !busy && is_idle(core, lease)) {
            forget(core, slot);
            forgotten++;
        }
        slot = next;
    }
    metric_set(leases_active, core->leases_by_age.count);
}
