/* SPDX-License-Identifier: Apache-2.0 */
/* A table of the states an event can meet. The first row of the event whose condition holds is
 * counted; a condition may therefore rely on those above it. This is the one file of the simulator
 * that looks into the core's tables; it changes nothing. */
#include "tests/unit/ledger/simulator_coverage.h"

#include <assert.h>

#include "services/ledger/core/state.h"

/* What the conditions look at, found once per event. NULL where there is no such thing. */
struct look {
    const struct core *core;
    const struct core_event *event;
    struct core_now now;
    const struct stream *stream; /* of the link; of HELLO: the one it names */
    const struct caller_slot *caller;
    const struct lease *account;
    const struct lease *allowance; /* of a hold with an own key */
    int64_t usable;                /* of it */
    const struct hold *hold;       /* that SETTLE and RELEASE name */
    uint64_t n;
    uint32_t price;
    int64_t charge;
};

struct state_row {
    const char *name;
    enum core_event_type event;
    bool (*met)(const struct look *look);
};

#define STATE(name) static bool name(const struct look *look)

STATE(in_any_state)
{
    (void)look;
    return true;
}

/* ---- connections ---- */

STATE(with_no_incarnation)
{
    return look->event->hello->incarnation == 0;
}
STATE(twice_on_a_link)
{
    return stream_of_link(look->core, look->event->link) != SLOT_NONE;
}
STATE(of_a_new_stream)
{
    return look->stream == NULL;
}
STATE(before_the_old_link_ended)
{
    return look->stream->link != LINK_NONE;
}
STATE(with_holds)
{
    return look->stream->holds > 0;
}
STATE(without_hello)
{
    return look->stream == NULL;
}
STATE(with_undeclared_holds)
{
    return look->core->holds_undeclared > 0;
}

/* ---- questions ---- */

STATE(with_one_place_left_to_wait_in)
{
    return look->core->waiting_free.count == 1; /* that one is never waited in */
}
STATE(while_stopping)
{
    return look->core->stopping;
}
STATE(while_the_journal_is_full)
{
    return look->core->journal_room <
           ((uint64_t)look->core->holds_open.count + 2) * RECORD_SIZE_MAX;
}
STATE(while_all_holds_are_open)
{
    return look->core->holds_free.count + look->core->holds_ghost.count == 0;
}
STATE(of_an_unknown_caller)
{
    return look->caller == NULL;
}
STATE(of_a_loading_caller)
{
    return look->caller->state == CALLER_LOADING;
}
STATE(of_a_refused_caller)
{
    return look->caller->error != ERROR_NONE;
}
STATE(of_an_expired_key)
{
    int64_t expires_ns = look->caller->caller.expires_ns;
    return expires_ns != 0 && look->now.wall.ns >= expires_ns;
}
STATE(of_a_management_key)
{
    return look->caller->caller.kind != CALLER_KEY;
}
STATE(of_an_older_version)
{
    return look->event->hold.message->caller_version != look->caller->caller.version;
}
STATE(with_an_unknown_price)
{
    const struct u32_list *ids = &look->event->hold.message->price_ids;
    return ids->count == 0 || prices_find(look->core->prices, ids->items[0]) == NULL;
}
STATE(above_what_money_counts)
{
    money amount;
    const struct message_hold *hold = look->event->hold.message;
    return !status_ok(hold_amount(hold, hold->output_want, &amount));
}
STATE(after_a_change_of_plan)
{
    if (!look->event->hold.message->byok || look->allowance == NULL) return false;
    return look->allowance->limit_version != caller_plan(look->core, look->caller)->version;
}
STATE(with_an_own_key_and_nothing_known_of_the_allowance)
{
    bool fresh = look->allowance == NULL || look->allowance->fresh;
    return look->event->hold.message->byok && fresh;
}
STATE(with_an_own_key_and_enough_free)
{
    return look->allowance != NULL && lease_free_room(look->allowance).nano >= look->usable;
}
STATE(with_an_own_key_and_some_free)
{
    return look->allowance != NULL && lease_free_room(look->allowance).nano > 0;
}
STATE(with_an_own_key_and_the_allowance_used_up)
{
    return look->allowance != NULL && look->now.boot_ns < look->allowance->short_until_boot_ns;
}
STATE(with_an_own_key_and_the_allowance_not_leased)
{
    return look->allowance != NULL;
}
STATE(of_an_account_without_lease)
{
    return look->account == NULL;
}
STATE(behind_others_that_wait)
{
    return look->account->waiting.count > 0;
}
STATE(of_an_account_that_must_ask)
{
    return look->account->must_ask;
}
STATE(of_a_frozen_account)
{
    return look->account->frozen;
}
STATE(of_an_account_just_found_short)
{
    return look->now.boot_ns < look->account->short_until_boot_ns;
}
STATE(within_the_lease)
{
    const struct message_hold *hold = look->event->hold.message;
    money amount;
    if (!status_ok(hold_amount(hold, hold->output_want, &amount))) return false;
    return amount.nano <= lease_free_room(look->account).nano;
}
STATE(of_a_plan_known_newer)
{
    return look->core->plans[look->event->plan->plan].version >= look->event->plan->version;
}

/* ---- endings ---- */

STATE(repeated_before_its_sync)
{
    const struct stream *stream = look->stream;
    return stream->mark_known && look->n <= stream->mark && look->n > stream->mark_synced;
}
STATE(repeated)
{
    return look->stream->mark_known && look->n <= look->stream->mark;
}
STATE(out_of_sequence)
{
    const struct stream *stream = look->stream;
    return look->n == 0 || (stream->mark_known && look->n != stream->mark + 1);
}
STATE(of_an_unknown_hold)
{
    return look->hold == NULL;
}
STATE(of_another_stream_s_hold)
{
    return &look->core->streams[look->hold->stream] != look->stream;
}
STATE(of_a_hold_the_ledger_released)
{
    return look->hold->state == HOLD_GHOST;
}
STATE(at_an_unknown_price)
{
    return look->price != 0 && prices_find(look->core->prices, look->price) == NULL;
}
static const struct byok_hold *byok_of(const struct look *look)
{
    return look->hold->byok ? &look->core->hold_byok[look->hold - look->core->holds] : NULL;
}
STATE(with_an_own_key_that_is_free)
{
    const struct byok_hold *byok = byok_of(look);
    int64_t usable = byok != NULL && byok->unit == BYOK_REQUESTS ? 1 : look->charge;
    return byok != NULL && byok->units.nano >= usable;
}
STATE(with_an_own_key_that_finds_more_free)
{
    const struct byok_hold *byok = byok_of(look);
    return byok != NULL && lease_free_room(&look->core->leases[byok->allowance]).nano > 0;
}
STATE(with_an_own_key_that_pays)
{
    return byok_of(look) != NULL;
}
STATE(with_an_own_key_that_had_too_little_free)
{
    return byok_of(look) != NULL && byok_lacks(byok_of(look));
}
STATE(with_an_own_key)
{
    return byok_of(look) != NULL;
}
STATE(above_the_hold)
{
    return look->charge > look->hold->amount.nano;
}
STATE(of_nothing)
{
    return look->charge == 0;
}
STATE(under_a_limit)
{
    return look->hold->meter_count > 0;
}
STATE(under_a_changed_limit)
{
    const uint32_t *meters = hold_meters(look->core, look->hold);
    for (uint8_t i = 0; i < look->hold->meter_count; i++) {
        if (look->core->leases[meters[i]].limit_changed) return true;
    }
    return false;
}
STATE(absorbed)
{
    return look->event->release.message->absorbed;
}

/* ---- answers of PostgreSQL ---- */

STATE(for_a_caller_forgotten)
{
    return look->caller == NULL;
}
STATE(for_a_caller_changed_since)
{
    return look->caller->changed;
}
STATE(failed_for_a_known_caller)
{
    return look->event->caller->error == ERROR_DATABASE && look->caller->state == CALLER_READY;
}
STATE(failed_for_a_caller)
{
    return look->event->caller->error == ERROR_DATABASE;
}
STATE(that_refuses_a_caller)
{
    return look->event->caller->error != ERROR_NONE;
}
STATE(for_a_refreshed_caller)
{
    return look->caller->state == CALLER_READY;
}
STATE(with_questions_that_wait)
{
    return look->caller->waiting.count > 0;
}
STATE(that_failed_with_holds_that_wait)
{
    return look->event->lease->failed && look->account->waiting.count > 0;
}
STATE(that_failed)
{
    return look->event->lease->failed;
}
STATE(of_a_frozen_account_now)
{
    return look->event->lease->frozen;
}
STATE(after_a_change)
{
    return look->account->changed;
}
STATE(that_grants_nothing_to_holds_that_wait)
{
    const struct lease_total *total = &look->event->lease->items[0];
    return look->account->waiting.count > 0 && total->granted.nano == look->account->granted.nano;
}
STATE(with_holds_that_wait)
{
    return look->account->waiting.count > 0;
}
STATE(that_failed_with_holds_waiting_for_prices)
{
    return look->event->prices == NULL && look->core->waiting_prices.count > 0;
}
STATE(with_holds_waiting_for_prices)
{
    return look->core->waiting_prices.count > 0;
}

/* ---- the journal and time ---- */

STATE(with_answers_that_waited_for_it)
{
    const struct core *core = look->core;
    return core->ack_sent < core->ack_next &&
           core->acks[core->ack_sent & core->acks_mask].seq <= look->event->journal.synced;
}
STATE(with_no_room_left)
{
    return look->event->journal.room == 0;
}
STATE(with_a_question_past_its_deadline)
{
    const struct core *core = look->core;
    if (core->waiting_free.count == core->settings.waiting_max) return false;
    for (uint32_t i = 0; i < core->settings.waiting_max; i++) {
        const struct waiting *waiting = &core->waiting[i];
        if (waiting->on != WAITING_NOTHING && waiting->deadline_boot_ns <= look->now.boot_ns)
            return true;
    }
    return false;
}
STATE(with_a_stream_lost_for_long)
{
    const struct core *core = look->core;
    for (uint32_t i = core->streams_by_age.first; core->streams_lost > 0 && i != SLOT_NONE;
         i = core->stream_links[i].after) {
        const struct stream *stream = &core->streams[i];
        if (stream->link == LINK_NONE && stream->holds > 0 &&
            stream->release_boot_ns <= look->now.boot_ns)
            return true;
    }
    return false;
}
STATE(with_holds_not_declared)
{
    return look->core->holds_undeclared > 0;
}
STATE(with_a_stream_just_lost)
{
    return look->core->streams_lost > 0;
}
STATE(with_returns_to_repeat)
{
    return look->core->leases_unconfirmed > 0;
}
STATE(with_an_idle_lease)
{
    const struct core *core = look->core;
    uint32_t slot = core->leases_by_age.first;
    if (slot == SLOT_NONE) return false;
    uint64_t idle_ns = (uint64_t)core->settings.lease_idle_ns;
    return look->now.boot_ns - core->leases[slot].used_boot_ns >= idle_ns;
}
STATE(of_a_caller_being_read)
{
    return look->caller->state == CALLER_LOADING || look->caller->refreshing;
}
STATE(of_an_organization_with_leased_limits)
{
    return look->account != NULL && look->account->meters > 0;
}
STATE(during_a_question)
{
    return look->account->asking;
}
STATE(with_open_holds)
{
    return look->core->holds_open.count > 0;
}

static const struct state_row states[] = {
    {"hello twice on a link", EVENT_HELLO, twice_on_a_link},
    {"hello with no incarnation", EVENT_HELLO, with_no_incarnation},
    {"hello of a new stream", EVENT_HELLO, of_a_new_stream},
    {"hello before the old link ended", EVENT_HELLO, before_the_old_link_ended},
    {"hello of a known stream with holds", EVENT_HELLO, with_holds},
    {"hello of a known stream", EVENT_HELLO, in_any_state},
    {"holds_open without hello", EVENT_HOLDS_OPEN, without_hello},
    {"holds_open with undeclared holds", EVENT_HOLDS_OPEN, with_undeclared_holds},
    {"holds_open with nothing undeclared", EVENT_HOLDS_OPEN, in_any_state},
    {"link gone without hello", EVENT_LINK_GONE, without_hello},
    {"link gone with holds", EVENT_LINK_GONE, with_holds},
    {"link gone without holds", EVENT_LINK_GONE, in_any_state},
    {"identify with one place left to wait in", EVENT_IDENTIFY, with_one_place_left_to_wait_in},
    {"identify of an unknown caller", EVENT_IDENTIFY, of_an_unknown_caller},
    {"identify of a loading caller", EVENT_IDENTIFY, of_a_loading_caller},
    {"identify of a refused caller", EVENT_IDENTIFY, of_a_refused_caller},
    {"identify of an expired key", EVENT_IDENTIFY, of_an_expired_key},
    {"identify of a known caller", EVENT_IDENTIFY, in_any_state},
    {"hold with one place left to wait in", EVENT_HOLD, with_one_place_left_to_wait_in},
    {"hold while stopping", EVENT_HOLD, while_stopping},
    {"hold without hello", EVENT_HOLD, without_hello},
    {"hold while the journal is full", EVENT_HOLD, while_the_journal_is_full},
    {"hold while all holds are open", EVENT_HOLD, while_all_holds_are_open},
    {"hold of an unknown caller", EVENT_HOLD, of_an_unknown_caller},
    {"hold of a loading caller", EVENT_HOLD, of_a_loading_caller},
    {"hold of a refused caller", EVENT_HOLD, of_a_refused_caller},
    {"hold of an expired key", EVENT_HOLD, of_an_expired_key},
    {"hold of a management key", EVENT_HOLD, of_a_management_key},
    {"hold of an older version", EVENT_HOLD, of_an_older_version},
    {"hold with an unknown price", EVENT_HOLD, with_an_unknown_price},
    {"hold above what money counts", EVENT_HOLD, above_what_money_counts},
    {"hold with an own key after a change of plan", EVENT_HOLD, after_a_change_of_plan},
    {"hold with an own key and nothing known of the allowance", EVENT_HOLD,
     with_an_own_key_and_nothing_known_of_the_allowance},
    {"hold with an own key and enough free", EVENT_HOLD, with_an_own_key_and_enough_free},
    {"hold with an own key and some free", EVENT_HOLD, with_an_own_key_and_some_free},
    {"hold with an own key and the allowance used up", EVENT_HOLD,
     with_an_own_key_and_the_allowance_used_up},
    {"hold with an own key and the allowance not leased", EVENT_HOLD,
     with_an_own_key_and_the_allowance_not_leased},
    {"hold of an account without lease", EVENT_HOLD, of_an_account_without_lease},
    {"hold behind others that wait", EVENT_HOLD, behind_others_that_wait},
    {"hold of an account that must ask", EVENT_HOLD, of_an_account_that_must_ask},
    {"hold of a frozen account", EVENT_HOLD, of_a_frozen_account},
    {"hold within the lease", EVENT_HOLD, within_the_lease},
    {"hold of an account just found short", EVENT_HOLD, of_an_account_just_found_short},
    {"hold above the lease", EVENT_HOLD, in_any_state},
    {"settle without hello", EVENT_SETTLE, without_hello},
    {"settle repeated before its sync", EVENT_SETTLE, repeated_before_its_sync},
    {"settle repeated", EVENT_SETTLE, repeated},
    {"settle out of sequence", EVENT_SETTLE, out_of_sequence},
    {"settle of an unknown hold", EVENT_SETTLE, of_an_unknown_hold},
    {"settle of another stream's hold", EVENT_SETTLE, of_another_stream_s_hold},
    {"settle of a hold the ledger released", EVENT_SETTLE, of_a_hold_the_ledger_released},
    {"settle at an unknown price", EVENT_SETTLE, at_an_unknown_price},
    {"settle with an own key that is free", EVENT_SETTLE, with_an_own_key_that_is_free},
    {"settle with an own key that finds more free", EVENT_SETTLE,
     with_an_own_key_that_finds_more_free},
    {"settle with an own key that pays", EVENT_SETTLE, with_an_own_key_that_pays},
    {"settle above the hold", EVENT_SETTLE, above_the_hold},
    {"settle of nothing", EVENT_SETTLE, of_nothing},
    {"settle under a changed limit", EVENT_SETTLE, under_a_changed_limit},
    {"settle under a limit", EVENT_SETTLE, under_a_limit},
    {"settle within the hold", EVENT_SETTLE, in_any_state},
    {"release without hello", EVENT_RELEASE, without_hello},
    {"release repeated before its sync", EVENT_RELEASE, repeated_before_its_sync},
    {"release repeated", EVENT_RELEASE, repeated},
    {"release out of sequence", EVENT_RELEASE, out_of_sequence},
    {"release of an unknown hold", EVENT_RELEASE, of_an_unknown_hold},
    {"release of another stream's hold", EVENT_RELEASE, of_another_stream_s_hold},
    {"release of a hold the ledger released", EVENT_RELEASE, of_a_hold_the_ledger_released},
    {"release with an own key that had too little free", EVENT_RELEASE,
     with_an_own_key_that_had_too_little_free},
    {"release with an own key", EVENT_RELEASE, with_an_own_key},
    {"release of absorbed work", EVENT_RELEASE, absorbed},
    {"release under a changed limit", EVENT_RELEASE, under_a_changed_limit},
    {"release under a limit", EVENT_RELEASE, under_a_limit},
    {"release", EVENT_RELEASE, in_any_state},
    {"answer for a caller forgotten", EVENT_CALLER, for_a_caller_forgotten},
    {"answer for a caller changed since", EVENT_CALLER, for_a_caller_changed_since},
    {"answer that failed for a known caller", EVENT_CALLER, failed_for_a_known_caller},
    {"answer that failed for a caller", EVENT_CALLER, failed_for_a_caller},
    {"answer that refuses a caller", EVENT_CALLER, that_refuses_a_caller},
    {"answer for a refreshed caller", EVENT_CALLER, for_a_refreshed_caller},
    {"answer for a caller with questions that wait", EVENT_CALLER, with_questions_that_wait},
    {"answer for a caller nobody waits for", EVENT_CALLER, in_any_state},
    {"lease that failed with holds that wait", EVENT_LEASE, that_failed_with_holds_that_wait},
    {"lease that failed", EVENT_LEASE, that_failed},
    {"lease of a frozen account", EVENT_LEASE, of_a_frozen_account_now},
    {"lease after a change", EVENT_LEASE, after_a_change},
    {"lease that grants nothing to holds that wait", EVENT_LEASE,
     that_grants_nothing_to_holds_that_wait},
    {"lease with holds that wait", EVENT_LEASE, with_holds_that_wait},
    {"lease nobody waits for", EVENT_LEASE, in_any_state},
    {"prices that failed with holds that wait", EVENT_PRICES,
     that_failed_with_holds_waiting_for_prices},
    {"prices with holds that wait", EVENT_PRICES, with_holds_waiting_for_prices},
    {"prices nobody waits for", EVENT_PRICES, in_any_state},
    {"journal with no room left", EVENT_JOURNAL, with_no_room_left},
    {"journal with answers that waited for it", EVENT_JOURNAL, with_answers_that_waited_for_it},
    {"journal with nothing new", EVENT_JOURNAL, in_any_state},
    {"tick with a question past its deadline", EVENT_TICK, with_a_question_past_its_deadline},
    {"tick with a stream lost for long", EVENT_TICK, with_a_stream_lost_for_long},
    {"tick with holds not declared", EVENT_TICK, with_holds_not_declared},
    {"tick with a stream just lost", EVENT_TICK, with_a_stream_just_lost},
    {"tick with returns to repeat", EVENT_TICK, with_returns_to_repeat},
    {"tick with an idle lease", EVENT_TICK, with_an_idle_lease},
    {"tick with nothing to do", EVENT_TICK, in_any_state},
    {"key changed of an unknown caller", EVENT_KEY_CHANGED, of_an_unknown_caller},
    {"key changed of a caller being read", EVENT_KEY_CHANGED, of_a_caller_being_read},
    {"key changed of a known caller", EVENT_KEY_CHANGED, in_any_state},
    {"limits changed of an organization with leased limits", EVENT_LIMITS_CHANGED,
     of_an_organization_with_leased_limits},
    {"limits changed", EVENT_LIMITS_CHANGED, in_any_state},
    {"plan changed that is known to be newer", EVENT_PLAN_CHANGED, of_a_plan_known_newer},
    {"plan changed with open holds", EVENT_PLAN_CHANGED, with_open_holds},
    {"plan changed with none", EVENT_PLAN_CHANGED, in_any_state},
    {"credit changed of an account without lease", EVENT_CREDIT_CHANGED,
     of_an_account_without_lease},
    {"credit changed during a question", EVENT_CREDIT_CHANGED, during_a_question},
    {"credit changed", EVENT_CREDIT_CHANGED, in_any_state},
    {"credit recalled of an account without lease", EVENT_CREDIT_RECALLED,
     of_an_account_without_lease},
    {"credit recalled during a question", EVENT_CREDIT_RECALLED, during_a_question},
    {"credit recalled", EVENT_CREDIT_RECALLED, in_any_state},
    {"stop with open holds", EVENT_STOP, with_open_holds},
    {"stop with none", EVENT_STOP, in_any_state},
};
#define STATE_COUNT (sizeof(states) / sizeof(states[0]))
_Static_assert(STATE_COUNT <= COVERAGE_STATES_MAX, "every state has a count");

/* ---- noting ---------------------------------------------------------------------------------- */

static const struct stream *stream_at(const struct core *core, uint32_t slot)
{
    return slot == SLOT_NONE ? NULL : &core->streams[slot];
}

static void look_up_caller(struct look *look, const struct key_hash *stored)
{
    uint32_t slot = caller_find(look->core, stored);
    if (slot != SLOT_NONE) look->caller = &look->core->callers[slot];
}

static void look_up_account(struct look *look, int64_t org)
{
    uint32_t slot = lease_find(look->core, (struct lease_key){.org = org});
    if (slot != SLOT_NONE) look->account = &look->core->leases[slot];
}

static void look_up_allowance(struct look *look, const struct message_hold *hold)
{
    const struct caller_slot *caller = look->caller;
    if (!hold->byok) return;
    uint8_t unit = caller_plan(look->core, caller)->byok_unit;
    struct lease_key key = {.org = caller->caller.org,
                            .meter = meter_of_allowance(caller->caller.org, (enum byok_unit)unit),
                            .period = clock_period(CADENCE_MONTH, look->now.wall)};
    uint32_t slot = lease_find(look->core, key);
    money list = MONEY_ZERO;
    if (slot != SLOT_NONE) look->allowance = &look->core->leases[slot];
    if (status_ok(hold_amount(hold, hold->output_want, &list)))
        look->usable = unit == BYOK_REQUESTS ? 1 : list.nano;
}

static void look_up_ending(struct look *look)
{
    const struct core_event *event = look->event;
    bool settle = event->type == EVENT_SETTLE;
    uint64_t hold = settle ? event->settle.message->hold : event->release.message->hold;
    struct generation_place place = settle ? event->settle.place : event->release.place;
    look->n = settle ? event->settle.message->n : event->release.message->n;
    look->price = settle ? event->settle.message->price_id : 0;
    look->charge = settle ? event->settle.message->charge.nano : 0;
    bool ours = place.incarnation == look->core->settings.incarnation;
    uint32_t slot = ours ? hold_find(look->core, hold) : SLOT_NONE;
    if (slot != SLOT_NONE) look->hold = &look->core->holds[slot];
}

static struct look look_at(const struct core *core, const struct core_event *event,
                           struct core_now now)
{
    struct look look = {.core = core, .event = event, .now = now};
    look.stream = stream_at(core, stream_of_link(core, event->link));
    switch (event->type) {
    case EVENT_HELLO:
        look.stream =
            stream_at(core, stream_find(core, event->hello->incarnation, event->hello->thread));
        break;
    case EVENT_IDENTIFY:
    case EVENT_KEY_CHANGED: look_up_caller(&look, &event->stored); break;
    case EVENT_HOLD:
        look_up_caller(&look, &event->hold.stored);
        if (look.caller == NULL) break;
        look_up_account(&look, look.caller->caller.org);
        look_up_allowance(&look, event->hold.message);
        break;
    case EVENT_SETTLE:
    case EVENT_RELEASE: look_up_ending(&look); break;
    case EVENT_CALLER: look_up_caller(&look, &event->caller->stored); break;
    case EVENT_LEASE: look_up_account(&look, event->lease->org); break;
    case EVENT_LIMITS_CHANGED:
    case EVENT_CREDIT_RECALLED:
    case EVENT_CREDIT_CHANGED: look_up_account(&look, event->org); break;
    default: break;
    }
    return look;
}

void coverage_note_event(struct coverage *coverage, const struct core *core,
                         const struct core_event *event, struct core_now now)
{
    struct look look = look_at(core, event, now);
    for (size_t i = 0; i < STATE_COUNT; i++) {
        if (states[i].event != event->type || !states[i].met(&look)) continue;
        coverage->states[i]++;
        return;
    }
    assert(!"the last row of each event is met in any state");
}

const char *coverage_state_name(size_t state)
{
    return state < STATE_COUNT ? states[state].name : NULL;
}
