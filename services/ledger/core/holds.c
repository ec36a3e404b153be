/* SPDX-License-Identifier: Apache-2.0 */
/* Admission: a hold passes when its caller is valid and current, its prices are known, and every
 * lease it spends from has room for all it can cost. What memory cannot answer is asked, and the
 * hold is tried again from the start. */
#include "services/ledger/core/state.h"

#include "shared/metrics.h"

enum admission { ADMISSION_PASS, ADMISSION_ANSWERED, ADMISSION_WAITS };

/* One hold on its way through the steps. */
struct attempt {
    struct step *step;
    uint32_t slot; /* of waiting */
    struct waiting *waiting;
    uint32_t stream;
    struct caller_slot *caller;
    uint32_t account;
    uint8_t meter_count;
    uint32_t meters[METERS_MAX]; /* slots of leases, in the order of the caller's meters */
    money amount;
    uint32_t output_max;
    struct rate_check rates;
    struct byok_hold *byok; /* core->byok_at_hand; NULL: not with an own key */
};

typedef enum admission (*admission_step)(struct attempt *attempt);
static enum admission check_capacity(struct attempt *attempt);
static enum admission check_caller(struct attempt *attempt);
static enum admission apply_plan(struct attempt *attempt);
static enum admission check_rates(struct attempt *attempt);
static enum admission check_prices(struct attempt *attempt);
static enum admission check_amount(struct attempt *attempt);
static enum admission find_leases(struct attempt *attempt);
static enum admission check_allowance(struct attempt *attempt);
static enum admission check_room(struct attempt *attempt);
static const admission_step admission_steps[] = {
    check_capacity, check_caller, apply_plan,      check_rates, check_prices,
    check_amount,   find_leases,  check_allowance, check_room,
};
static void admit(struct attempt *attempt);

void core_hold(struct step *step, const struct core_event *event)
{
    caller_prefetch_place(step->core, &event->hold.stored);
    uint32_t slot = waiting_new(step, false, event);
    if (slot == SLOT_NONE) {
        struct waiting full = {.link = event->link, .request = event->request};
        hold_refuse(step, &full, ERROR_LEDGER_FULL);
        return;
    }
    caller_prefetch(step->core, &event->hold.stored);
    if (hold_try(step, slot)) waiting_end(step->core, slot);
}

bool hold_try(struct step *step, uint32_t slot)
{
    struct attempt attempt = {.step = step, .slot = slot, .waiting = &step->core->waiting[slot]};
    step->at_hand_count = 0;
    for (size_t i = 0; i < sizeof(admission_steps) / sizeof(admission_steps[0]); i++) {
        enum admission admission = admission_steps[i](&attempt);
        if (admission == ADMISSION_WAITS) return false;
        if (admission == ADMISSION_ANSWERED) {
            caller_post_uses(step->core);
            return true;
        }
    }
    admit(&attempt);
    return true;
}

/* ---- answers -------------------------------------------------------------------------------- */

/* The answer to a hold, empty. Made where it is delivered from, and no more of it is cleared than
 * what HELD has: the union is many times larger. */
static void begin_held(struct core_action *action, const struct waiting *waiting)
{
    action->type = ACTION_HELD;
    action->link = waiting->link;
    action->request = waiting->request;
    action->held = (struct message_held){0};
}

void hold_refuse(struct step *step, const struct waiting *waiting, uint16_t error)
{
    metric_add(holds_refused_total, 1);
    struct core_action action;
    begin_held(&action, waiting);
    action.held.error = error;
    core_deliver(step, &action);
}

static enum admission refuse(struct attempt *attempt, uint16_t error)
{
    hold_refuse(attempt->step, attempt->waiting, error);
    return ADMISSION_ANSWERED;
}

static enum admission wait_for(struct attempt *attempt, enum waiting_for on, uint32_t owner)
{
    if (waiting_park(attempt->step->core, attempt->slot, on, owner)) return ADMISSION_WAITS;
    return refuse(attempt, ERROR_LEDGER_FULL);
}

static enum admission wait_for_reload(struct attempt *attempt, uint32_t caller)
{
    if (!caller_reload(attempt->step, caller)) return refuse(attempt, ERROR_LEDGER_FULL);
    return wait_for(attempt, WAITING_CALLER, caller);
}

/* ---- steps ---------------------------------------------------------------------------------- */

/* Every open hold has room for its ending in the journal and in the ring of answers, so an ending
 * is never refused. */
static enum admission check_capacity(struct attempt *attempt)
{
    const struct core *core = attempt->step->core;
    if (core->stopping) return refuse(attempt, ERROR_STOPPING);
    uint64_t endings = (uint64_t)core->holds_open.count + 1;
    bool journal_full = core->journal_room < (endings + 1) * RECORD_SIZE_MAX;
    bool acks_full = core->ack_next - core->ack_sent + endings > core->acks_mask;
    bool holds_full = core->holds_free.count == 0 && core->holds_ghost.count == 0;
    bool full = journal_full || acks_full || holds_full;
    attempt->stream = stream_of_link(core, attempt->waiting->link);
    if (attempt->stream == SLOT_NONE) {
        return refuse(attempt,
                      ERROR_CLOSED); /* it left while its hold waited: nobody would end it */
    }
    return full ? refuse(attempt, ERROR_LEDGER_FULL) : ADMISSION_PASS;
}

static enum admission check_caller(struct attempt *attempt)
{
    struct core *core = attempt->step->core;
    const struct waiting *waiting = attempt->waiting;
    uint32_t slot = caller_touch(attempt->step, &waiting->stored);
    if (slot == SLOT_NONE) return refuse(attempt, ERROR_LEDGER_FULL);
    attempt->caller = &core->callers[slot];
    const struct caller *caller = &attempt->caller->caller;
    if (attempt->caller->state == CALLER_LOADING) return wait_for(attempt, WAITING_CALLER, slot);
    if (attempt->caller->error != ERROR_NONE) return refuse(attempt, attempt->caller->error);
    bool expired = caller->expires_ns != 0 && attempt->step->now.wall.ns >= caller->expires_ns;
    if (expired) return refuse(attempt, ERROR_KEY_EXPIRED);
    if (caller->kind != CALLER_KEY) return refuse(attempt, ERROR_INFERENCE_KEY_NEEDED);
    if (caller->version != waiting->hold.caller_version) {
        struct core_action stale;
        begin_held(&stale, waiting);
        stale.held.error = ERROR_STALE;
        stale.held.caller = *caller;
        core_deliver(attempt->step, &stale);
        return ADMISSION_ANSWERED;
    }
    caller_note_use(attempt->step, slot, waiting->client);
    return ADMISSION_PASS;
}

static uint32_t tokens_of_choices(uint32_t tokens, const struct message_hold *hold)
{
    uint64_t all = (uint64_t)tokens * (hold->choices > 0 ? hold->choices : 1);
    return all > UINT32_MAX ? UINT32_MAX : (uint32_t)all;
}

/* Where the request named no max_tokens its plan does, before anybody counts the hold's tokens.
 * Tried again after a wait the bounds only get narrower, so this may run twice. */
static enum admission apply_plan(struct attempt *attempt)
{
    struct message_hold *hold = &attempt->waiting->hold;
    if (!hold->may_shrink) return ADMISSION_PASS;
    const struct plan_terms *plan = caller_plan(attempt->step->core, attempt->caller);
    uint32_t most = tokens_of_choices(plan->output_default, hold);
    uint32_t least = tokens_of_choices(plan->output_min, hold);
    if (hold->output_want > most) hold->output_want = most;
    if (hold->output_min < least) hold->output_min = least;
    if (hold->output_min > hold->output_want) hold->output_min = hold->output_want;
    return ADMISSION_PASS;
}

/* Nothing is taken before admit(), so whatever refuses or waits after this has nothing to undo. */
static enum admission check_rates(struct attempt *attempt)
{
    uint8_t rated = rates_of_hold(attempt->caller->rated, &attempt->waiting->hold);
    if (rated == 0) return ADMISSION_PASS;
    struct core *core = attempt->step->core;
    uint32_t caller = (uint32_t)(attempt->caller - core->callers);
    attempt->rates = (struct rate_check){.rated = rated, .caller = caller};
    struct core_action action;
    begin_held(&action, attempt->waiting);
    enum rate_verdict verdict =
        rates_check(attempt->step, &attempt->rates, attempt->waiting, &action.held);
    if (verdict == RATES_PASS) return ADMISSION_PASS;
    if (verdict == RATES_OUTDATED) {
        return wait_for_reload(attempt, caller);
    }
    metric_add(holds_refused_total, 1);
    core_deliver(attempt->step, &action);
    return ADMISSION_ANSWERED;
}

static enum admission check_prices(struct attempt *attempt)
{
    struct core *core = attempt->step->core;
    const struct u32_list *ids = &attempt->waiting->hold.price_ids;
    bool known = ids->count > 0;
    for (uint8_t i = 0; i < ids->count; i++)
        known = known && prices_find(core->prices, ids->items[i]) != NULL;
    if (known) return ADMISSION_PASS;
    if (attempt->waiting->prices_tried || ids->count == 0)
        return refuse(attempt, ERROR_UNKNOWN_PRICE);
    attempt->waiting->prices_tried = true;
    enum admission admission = wait_for(attempt, WAITING_PRICES, SLOT_NONE);
    if (admission == ADMISSION_WAITS && !core->prices_loading) {
        core->prices_loading = true;
        struct core_action action = {.type = ACTION_LOAD_PRICES};
        core_deliver(attempt->step, &action);
    }
    return admission;
}

status hold_amount(const struct message_hold *hold, uint32_t output_tokens, money *amount)
{
    if (hold->fixed.nano < 0) return FAIL(OUT_OF_RANGE);
    struct money_sum sum = {0};
    money output;
    TRY(money_sum_add(&sum, output_tokens, hold->output_price));
    TRY(money_sum_round_up(&sum, &output));
    return money_add(hold->fixed, output, amount);
}

static enum admission check_amount(struct attempt *attempt)
{
    const struct message_hold *hold = &attempt->waiting->hold;
    attempt->output_max = hold->output_want;
    status done = hold_amount(hold, hold->output_want, &attempt->amount);
    /* Above what money can count: nobody has that much. */
    if (!status_ok(done)) return refuse(attempt, ERROR_NO_CREDIT);
    return ADMISSION_PASS;
}

static enum admission find_leases(struct attempt *attempt)
{
    const struct caller *caller = &attempt->caller->caller;
    struct step *step = attempt->step;
    uint32_t *hint = &step->core->account_hints[attempt->caller - step->core->callers];
    attempt->account = lease_touch(step, (struct lease_key){.org = caller->org}, hint);
    if (attempt->account == SLOT_NONE) return refuse(attempt, ERROR_LEDGER_FULL);
    struct limit_meter *meters = caller_meters(step->core, attempt->caller);
    for (uint8_t i = 0; i < attempt->caller->meter_count; i++) {
        enum cadence cadence = (enum cadence)meters[i].cadence;
        struct lease_key key = {.org = caller->org,
                                .meter = meters[i].meter,
                                .period = clock_period(cadence, step->now.wall)};
        uint32_t lease = lease_touch(step, key, &meters[i].hint);
        if (lease == SLOT_NONE) return refuse(attempt, ERROR_LEDGER_FULL);
        if (step->core->leases[lease].fresh)
            step->core->leases[lease].limit_version = meters[i].version;
        attempt->meters[attempt->meter_count++] = lease;
    }
    return ADMISSION_PASS;
}

/* ---- own keys ------------------------------------------------------------------------------- */

static enum admission wait_for_lease(struct attempt *attempt)
{
    const struct core *core = attempt->step->core;
    bool asked = core->leases[attempt->account].asking;
    if (!asked && !lease_can_ask(core)) return refuse(attempt, ERROR_LEDGER_FULL);
    enum admission admission = wait_for(attempt, WAITING_LEASE, attempt->account);
    if (admission == ADMISSION_WAITS) lease_ask(attempt->step, attempt->account);
    return admission;
}

static bool was_asked(const struct attempt *attempt)
{
    const struct lease *account = &attempt->step->core->leases[attempt->account];
    uint32_t round = attempt->waiting->round;
    return round != 0 && round <= account->rounds_answered;
}

/* What is held of money is the fee from here on. false: above what money can count. */
static bool hold_fee(struct attempt *attempt)
{
    return status_ok(byok_fee(attempt->byok, &attempt->amount));
}

/* A hold that finds enough of the allowance free takes it at once. One that does not pays only when
 * PostgreSQL has none, either. */
RARE static enum admission use_allowance(struct attempt *attempt)
{
    struct core *core = attempt->step->core;
    uint32_t caller = (uint32_t)(attempt->caller - core->callers);
    uint64_t version = caller_plan(core, attempt->caller)->version;
    if (attempt->waiting->plan_version != version) {
        attempt->waiting->round = 0; /* it asked for another allowance and fee, perhaps */
        attempt->waiting->plan_version = version;
    }
    core->byok_at_hand = (struct byok_hold){.list = attempt->amount};
    attempt->byok = &core->byok_at_hand;
    if (!byok_find(attempt->step, caller, attempt->byok)) return refuse(attempt, ERROR_LEDGER_FULL);
    enum byok_fill fill = byok_fill(attempt->step, attempt->byok);
    if (!hold_fee(attempt)) return refuse(attempt, ERROR_NO_CREDIT);
    const struct lease *account = &core->leases[attempt->account];
    if (fill != BYOK_ASK) return ADMISSION_PASS;
    if (!was_asked(attempt)) return wait_for_lease(attempt);
    if (account->answer_failed) return refuse(attempt, ERROR_LEDGER_DOWN);
    /* A frozen account is lent nothing, whatever there is. */
    return account->frozen ? refuse(attempt, ERROR_ACCOUNT_FROZEN) : wait_for_lease(attempt);
}

static enum admission check_allowance(struct attempt *attempt)
{
    return attempt->waiting->hold.byok ? use_allowance(attempt) : ADMISSION_PASS;
}

/* ---- room ----------------------------------------------------------------------------------- */

/* What the caller's meter at this place has to cover. */
static money part_of(const struct attempt *attempt, uint8_t place)
{
    if (attempt->byok == NULL) return attempt->amount;
    return byok_part(attempt->byok, place, attempt->amount, attempt->byok->list);
}

static inline bool covers(const struct lease *lease, money part, bool by_half)
{
    money room = lease_free_room(lease);
    return !money_less(by_half ? money_half(room) : room, part);
}

/* Whether all that is free covers it, or the half of that. */
static inline bool fits(const struct attempt *attempt, bool by_half)
{
    const struct lease *leases = attempt->step->core->leases;
    if (!covers(&leases[attempt->account], attempt->amount, by_half)) return false;
    for (uint8_t i = 0; i < attempt->meter_count; i++) {
        if (!covers(&leases[attempt->meters[i]], part_of(attempt, i), by_half)) return false;
    }
    return true;
}

static money free_room_of(const struct attempt *attempt)
{
    const struct lease *leases = attempt->step->core->leases;
    money room = lease_free_room(&leases[attempt->account]);
    for (uint8_t i = 0; i < attempt->meter_count; i++)
        room = money_min(room, lease_free_room(&leases[attempt->meters[i]]));
    return room;
}

/* The lease that has the least left beside what it has to cover, and so the one to name in a
 * refusal: the account's, or that of the meter whose place among the caller's is answered, too. */
#define NO_METER METERS_MAX
static const struct lease *narrowest_of(const struct attempt *attempt, uint8_t *meter)
{
    const struct lease *leases = attempt->step->core->leases;
    const struct lease *narrowest = &leases[attempt->account];
    money least = money_minus(lease_free_room(narrowest), attempt->amount);
    *meter = NO_METER;
    for (uint8_t i = 0; i < attempt->meter_count; i++) {
        const struct lease *lease = &leases[attempt->meters[i]];
        money left = money_minus(lease_free_room(lease), part_of(attempt, i));
        if (!money_less(left, least)) continue;
        narrowest = lease;
        least = left;
        *meter = i;
    }
    return narrowest;
}

/* Whether PostgreSQL has nothing more to give, as far as we know: its answer to this very hold, or
 * one just before. */
static bool is_final(const struct attempt *attempt)
{
    const struct lease *leases = attempt->step->core->leases;
    const struct lease *account = &leases[attempt->account];
    /* A meter that has a limit since the question was asked was not part of it. */
    for (uint8_t i = 0; i < attempt->meter_count; i++) {
        if (leases[attempt->meters[i]].fresh) return false;
    }
    if (was_asked(attempt)) return true;
    if (account->must_ask) return false;
    uint8_t meter;
    const struct lease *narrowest = narrowest_of(attempt, &meter);
    return attempt->step->now.boot_ns < narrowest->short_until_boot_ns;
}

/* By who owns the meter: money answers 402, a workspace's budget is policy and answers 403. */
static const struct {
    uint8_t source; /* enum limit_source */
    uint16_t error;
} refusals[] = {
    [OWNER_KEY] = {LIMIT_KEY, ERROR_KEY_LIMIT},
    [OWNER_MEMBER] = {LIMIT_MEMBER, ERROR_MEMBER_LIMIT},
    [OWNER_WORKSPACE] = {LIMIT_WORKSPACE, ERROR_WORKSPACE_BUDGET},
    [OWNER_ORG] = {LIMIT_ORG, ERROR_ORG_LIMIT},
};

static void name_the_limit(const struct attempt *attempt, struct message_held *held)
{
    uint8_t place;
    (void)narrowest_of(attempt, &place);
    held->limit_source = LIMIT_CREDITS;
    held->error = ERROR_NO_CREDIT;
    if (place == NO_METER) return;
    const struct limit_meter *meter = &caller_meters(attempt->step->core, attempt->caller)[place];
    held->limit_source = refusals[meter->owner].source;
    held->error = refusals[meter->owner].error;
    enum cadence cadence = (enum cadence)meter->cadence;
    if (cadence == CADENCE_LIFE) return;
    held->resets_ns = clock_period_end(cadence, attempt->step->now.wall).ns;
}

/* With an own key, what is free and what is not makes steps, so the tokens are searched; the cost
 * never falls with their number. */
static bool fits_with(struct attempt *attempt, uint32_t tokens, bool by_half)
{
    if (!status_ok(hold_amount(&attempt->waiting->hold, tokens, &attempt->byok->list)))
        return false;
    (void)byok_fill(attempt->step, attempt->byok);
    return hold_fee(attempt) && fits(attempt, by_half);
}

/* 0 where not even the prompt fits. */
static uint32_t most_tokens(struct attempt *attempt, bool by_half)
{
    uint32_t fitting = 0, too_many = attempt->waiting->hold.output_want;
    if (fits_with(attempt, too_many, by_half)) return too_many;
    while (too_many - fitting > 1) {
        uint32_t middle = fitting + (too_many - fitting) / 2;
        if (fits_with(attempt, middle, by_half))
            fitting = middle;
        else
            too_many = middle;
    }
    return fitting;
}

static void say_what_is_left(struct attempt *attempt, struct message_held *held)
{
    const struct message_hold *hold = &attempt->waiting->hold;
    uint8_t place;
    if (hold->byok) {
        held->output_affordable = most_tokens(attempt, false);
        (void)fits_with(attempt, hold->output_want, false); /* what was asked for is refused */
        held->available = lease_free_room(narrowest_of(attempt, &place));
        name_the_limit(attempt, held);
        return;
    }
    money room = free_room_of(attempt);
    held->available = room;
    if (money_less(hold->fixed, room) || money_compare(hold->fixed, room) == 0) {
        uint64_t tokens =
            money_units_affordable(money_minus(room, hold->fixed), hold->output_price);
        held->output_affordable = tokens < hold->output_want ? (uint32_t)tokens : hold->output_want;
    }
    name_the_limit(attempt, held);
}

static enum admission refuse_for_money(struct attempt *attempt)
{
    metric_add(holds_refused_total, 1);
    struct core_action action;
    begin_held(&action, attempt->waiting);
    say_what_is_left(attempt, &action.held);
    core_deliver(attempt->step, &action);
    return ADMISSION_ANSWERED;
}

/* Makes the hold smaller, at most to half of what is available, unless that is below output_min
 * tokens. */
static bool shrink_byok(struct attempt *attempt)
{
    const struct message_hold *hold = &attempt->waiting->hold;
    if (!fits_with(attempt, hold->output_min, false)) return false;
    uint32_t tokens = most_tokens(attempt, true);
    attempt->output_max = tokens < hold->output_min ? hold->output_min : tokens;
    return fits_with(attempt, attempt->output_max, false);
}

static bool shrink(struct attempt *attempt)
{
    const struct message_hold *hold = &attempt->waiting->hold;
    money room = free_room_of(attempt);
    money least;
    if (!status_ok(hold_amount(hold, hold->output_min, &least)) || money_less(room, least))
        return false;
    money budget = money_max(money_half(room), least);
    uint64_t tokens = money_units_affordable(money_minus(budget, hold->fixed), hold->output_price);
    attempt->output_max = tokens < hold->output_want ? (uint32_t)tokens : hold->output_want;
    return status_ok(hold_amount(hold, attempt->output_max, &attempt->amount));
}

static enum admission shrink_or_refuse(struct attempt *attempt)
{
    const struct message_hold *hold = &attempt->waiting->hold;
    bool may = hold->may_shrink && hold->output_min <= hold->output_want;
    bool shrunk = may && (hold->byok ? shrink_byok(attempt) : shrink(attempt));
    return shrunk ? ADMISSION_PASS : refuse_for_money(attempt);
}

/* Some limits count what is free, too. */
static bool is_counted(const struct attempt *attempt)
{
    return attempt->byok != NULL && attempt->byok->list_meters != 0;
}

static enum admission check_room(struct attempt *attempt)
{
    struct core *core = attempt->step->core;
    struct lease *account = &core->leases[attempt->account];
    if (money_is_zero(attempt->amount) && !is_counted(attempt)) return ADMISSION_PASS;
    bool is_asked = attempt->waiting->round != 0;
    bool queued = !is_asked && account->waiting.count > 0; /* others came first */
    bool enough = fits(attempt, false);
    if (!queued && !account->must_ask && !account->frozen && enough) return ADMISSION_PASS;
    if (is_asked && account->answer_failed) return refuse(attempt, ERROR_LEDGER_DOWN);
    if (!queued && is_final(attempt)) {
        if (account->frozen) return refuse(attempt, ERROR_ACCOUNT_FROZEN);
        return enough ? ADMISSION_PASS : shrink_or_refuse(attempt);
    }
    return wait_for_lease(attempt);
}

/* ---- the hold itself ------------------------------------------------------------------------ */

static uint32_t tag_of(uint64_t number)
{
    /* Dense numbers, so neighbours stand near each other. Every second cell stays empty: in a
     * closed row of all open holds each removal would walk to the row's end. */
    return (uint32_t)number << 1;
}

uint32_t hold_find(const struct core *core, uint64_t number)
{
    uint32_t tag = tag_of(number);
    uint32_t at = slot_index_home(&core->hold_index, tag);
    uint32_t slot;
    while ((slot = slot_index_next(&core->hold_index, tag, &at)) != SLOT_NONE) {
        if (core->holds[slot].number == number) break;
    }
    return slot;
}

void hold_index_add(struct core *core, uint32_t slot)
{
    slot_index_add(&core->hold_index, tag_of(core->holds[slot].number), slot);
}

void hold_forget_ghost(struct core *core, uint32_t slot)
{
    slot_index_remove(&core->hold_index, tag_of(core->holds[slot].number), slot);
    slot_list_remove(&core->holds_ghost, core->hold_links, slot);
    core->holds[slot].state = HOLD_FREE;
    slot_list_prepend(&core->holds_free, core->hold_links, slot);
}

uint32_t hold_reuse_ghost(struct core *core)
{
    if (core->holds_ghost.count == 0) return SLOT_NONE;
    hold_forget_ghost(core, core->holds_ghost.first);
    return slot_list_take(&core->holds_free, core->hold_links);
}

/* The slot leaves the open holds; as a ghost it can still be found. */
void hold_close(struct core *core, uint32_t slot, bool ghost)
{
    struct hold *hold = &core->holds[slot];
    slot_list_remove(&core->holds_open, core->hold_links, slot);
    if (hold->undeclared) core->holds_undeclared--;
    hold->undeclared = false;
    if (ghost) {
        hold->state = HOLD_GHOST;
        slot_list_append(&core->holds_ghost, core->hold_links, slot);
        return;
    }
    hold->state = HOLD_FREE;
    slot_index_remove(&core->hold_index, tag_of(hold->number), slot);
    slot_list_prepend(&core->holds_free, core->hold_links, slot);
}

uint32_t *hold_meters(const struct core *core, const struct hold *hold)
{
    return &core->hold_meters[(size_t)(hold - core->holds) * METERS_MAX];
}

static slice encode_meters(const struct core *core, const struct hold *hold,
                           uint8_t shares[METERS_MAX * METER_SHARE_SIZE])
{
    uint8_t *at = shares;
    for (uint8_t i = 0; i < hold->meter_count; i++) {
        const struct lease *lease = &core->leases[hold_meters(core, hold)[i]];
        at = meter_share_write(at, &(struct meter_share){lease->meter, lease->period, MONEY_ZERO});
    }
    return (slice){(const char *)shares, (size_t)(at - shares)};
}

RARE static void describe_byok(const struct byok_hold *byok, struct record_hold *record)
{
    record->byok_unit = byok->unit;
    record->byok_fee_basis_points = byok->fee_basis_points;
    record->byok_list = byok->list;
    record->byok_units = byok->units;
    record->byok_meters = byok->list_meters;
}

static void append_hold_record(struct step *step, struct hold *hold)
{
    struct core *core = step->core;
    const struct stream *stream = &core->streams[hold->stream];
    uint8_t shares[METERS_MAX * METER_SHARE_SIZE];
    struct record_hold record = {
        .hold = hold->number,
        .created_ns = hold->created_ns,
        .org = hold->caller.org,
        .workspace = hold->caller.workspace,
        .member = hold->caller.member,
        .key = hold->caller.key,
        .amount = hold->amount,
        .edge = stream->edge,
        .thread = stream->thread,
        .price_ids = hold->price_ids,
        .meters = {encode_meters(core, hold, shares)},
        .model_class = hold->model_class,
    };
    if (hold->byok) describe_byok(&core->hold_byok[hold - core->holds], &record);
    struct record_place place = core_place_next(core);
    hold->seq = place.seq;
    record_append_hold(step->out->journal, place, &record);
}

static void take_leases(struct attempt *attempt, struct hold *hold)
{
    struct step *step = attempt->step;
    if (hold->byok) byok_take(step, (uint32_t)(hold - step->core->holds), attempt->byok);
    lease_take(step, attempt->account, attempt->amount);
    hold->account_lease = attempt->account;
    hold->meter_count = attempt->meter_count;
    for (uint8_t i = 0; i < attempt->meter_count; i++) {
        lease_take(step, attempt->meters[i], part_of(attempt, i));
        hold_meters(step->core, hold)[i] = attempt->meters[i];
    }
}

static void answer_held(const struct attempt *attempt, const struct hold *hold)
{
    struct core_action action;
    begin_held(&action, attempt->waiting);
    action.held.hold = hold->number;
    action.held.output_max = attempt->output_max;
    action.held.amount = hold->amount;
    action.held.created_ns = hold->created_ns;
    if (hold->rated) rates_describe(attempt->step, &attempt->rates, &action.held);
    core_deliver(attempt->step, &action);
}

static void admit(struct attempt *attempt)
{
    struct step *step = attempt->step;
    struct core *core = step->core;
    const struct waiting *waiting = attempt->waiting;
    uint32_t slot = slot_list_take(&core->holds_free, core->hold_links);
    if (slot == SLOT_NONE) slot = hold_reuse_ghost(core);
    struct hold *hold = &core->holds[slot];
    *hold = (struct hold){
        .state = HOLD_OPEN,
        .number = core->next_hold++,
        .created_ns = step->now.wall.ns,
        .caller = attempt->caller->caller,
        .amount = attempt->amount,
        .stream = attempt->stream,
        .price_ids = waiting->hold.price_ids,
        .model_class = (uint8_t)rates_class_of_hold(&waiting->hold),
        .rated = attempt->rates.rated != 0,
        .byok = attempt->byok != NULL,
    };
    if (hold->rated)
        rates_take(step, &attempt->rates, slot,
                   waiting->hold.input_tokens + (uint64_t)attempt->output_max);
    take_leases(attempt, hold);
    hold_index_add(core, slot);
    slot_list_append(&core->holds_open, core->hold_links, slot);
    stream_hold_added(core, hold->stream);
    append_hold_record(step, hold);
    metric_add(holds_total, 1);
    metric_set(holds_open, core->holds_open.count);
    answer_held(attempt, hold);
    lease_prefetch(step, attempt->account);
    for (uint8_t i = 0; i < attempt->meter_count; i++)
        lease_prefetch(step, attempt->meters[i]);
    if (hold->byok) byok_prefetch(step, attempt->byok);
}
