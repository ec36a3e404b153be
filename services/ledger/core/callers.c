/* SPDX-License-Identifier: Apache-2.0 */
/* Who has which key, as PostgreSQL last said. A change that went through the control plane reaches
 * the core before it is answered there, so the copy is never older than the caller's own knowledge;
 * the refresh in the background is for changes made elsewhere. While PostgreSQL is down the last
 * known state answers. */
#include "services/ledger/core/state.h"

#define MINUTE_NS ((int64_t)60 * 1000000000)

static uint32_t tag_of(const struct key_hash *stored)
{
    uint32_t tag;
    memcpy(&tag, stored->bytes, sizeof(tag)); /* a keyed hash is spread enough */
    return tag;
}

uint32_t caller_find(const struct core *core, const struct key_hash *stored)
{
    uint32_t tag = tag_of(stored);
    uint32_t at = slot_index_home(&core->caller_index, tag);
    uint32_t slot;
    while ((slot = slot_index_next(&core->caller_index, tag, &at)) != SLOT_NONE) {
        if (memcmp(core->callers[slot].stored.bytes, stored->bytes, sizeof(stored->bytes)) == 0)
            break;
    }
    return slot;
}

void caller_prefetch_place(const struct core *core, const struct key_hash *stored)
{
    uint32_t home = slot_index_home(&core->caller_index, tag_of(stored));
    __builtin_prefetch(&core->caller_index.cells[home]);
}

static void prefetch_two_lines(const void *slot)
{
    __builtin_prefetch(slot);
    __builtin_prefetch((const char *)slot + CACHE_LINE);
}

void caller_prefetch(const struct core *core, const struct key_hash *stored)
{
    uint32_t tag = tag_of(stored);
    uint32_t at = slot_index_home(&core->caller_index, tag);
    uint32_t slot = slot_index_next(&core->caller_index, tag, &at);
    if (slot == SLOT_NONE) return;
    prefetch_two_lines(&core->callers[slot]);
    uint32_t lease = core->account_hints[slot];
    if (lease < core->settings.leases_max) prefetch_two_lines(&core->leases[lease]);
}

/* Anybody can make keys that look like ours, and each has to be asked for. So strangers get a
 * quarter of the questions, and none where nobody could wait for its answer. A quarter is left for
 * those who are read again; the other half is the leases'. */
static bool can_ask(const struct core *core, bool for_stranger)
{
    return core->callers_asked < core->settings.questions_max / (for_stranger ? 4 : 2);
}

static bool can_wait_for(const struct core *core, const struct caller_slot *caller)
{
    bool stranger = caller == NULL || caller_is_stranger(caller);
    return can_ask(core, stranger) && waiting_has_room(core, stranger);
}

static void ask_for(struct step *step, uint32_t slot)
{
    step->core->callers_asked++;
    const struct caller_slot *caller = &step->core->callers[slot];
    struct core_action action = {.type = ACTION_LOAD_CALLER,
                                 .stranger = caller_is_stranger(caller),
                                 .stored = caller->stored};
    rates_note_asked(step, slot);
    core_deliver(step, &action);
}

static void chain(struct core *core, uint32_t slot)
{
    struct caller_slot *caller = &core->callers[slot];
    if (!caller->chained) slot_chain_add(&core->callers_by_org, org_tag(caller->caller.org), slot);
    caller->chained = true;
}

static void unchain(struct core *core, uint32_t slot)
{
    struct caller_slot *caller = &core->callers[slot];
    if (caller->chained)
        slot_chain_remove(&core->callers_by_org, org_tag(caller->caller.org), slot);
    caller->chained = false;
}

static void forget(struct core *core, uint32_t slot)
{
    unchain(core, slot);
    slot_index_remove(&core->caller_index, tag_of(&core->callers[slot].stored), slot);
    slot_list_remove(&core->callers_by_age, core->caller_links, slot);
    if (core->callers[slot].refreshing) core->refreshing--; /* its answer will find no slot */
    core->callers[slot].state = CALLER_EMPTY;
    core->callers[slot].refreshing = false;
    slot_list_prepend(&core->callers_free, core->caller_links, slot);
}

/* The oldest slot that is not being read. Keys that nobody has stand before all others, unless they
 * are being read: then they stand last, so that the first of the list will do. */
static bool make_room(struct core *core)
{
    uint32_t slot = core->callers_by_age.first;
    while (slot != SLOT_NONE && core->callers[slot].state == CALLER_LOADING)
        slot = core->caller_links[slot].after;
    if (slot == SLOT_NONE) return false;
    forget(core, slot);
    return true;
}

static void list_last(struct core *core, uint32_t slot)
{
    slot_list_remove(&core->callers_by_age, core->caller_links, slot);
    slot_list_append(&core->callers_by_age, core->caller_links, slot);
}

/* The next that needs a slot takes this one. */
static void offer(struct core *core, uint32_t slot)
{
    slot_list_remove(&core->callers_by_age, core->caller_links, slot);
    slot_list_prepend(&core->callers_by_age, core->caller_links, slot);
}

static bool is_outdated(const struct caller_slot *caller, uint64_t boot_ns)
{
    uint64_t age_ns = boot_ns - caller->loaded_boot_ns;
    return caller->changed || (caller->error == ERROR_BAD_KEY && age_ns > CALLER_BAD_NS);
}

static void begin_loading(struct step *step, uint32_t slot)
{
    step->core->callers[slot].state = CALLER_LOADING;
    step->core->callers[slot].changed = false;
    chain(step->core, slot);
    ask_for(step, slot);
}

static void note_age(struct step *step, uint32_t slot)
{
    struct core *core = step->core;
    struct caller_slot *caller = &core->callers[slot];
    uint32_t grain = age_grain(step->now.boot_ns);
    if (caller->listed_grain == grain || caller_is_stranger(caller)) return;
    caller->listed_grain = grain;
    list_last(core, slot);
}

uint32_t caller_touch(struct step *step, const struct key_hash *stored)
{
    struct core *core = step->core;
    uint32_t slot = caller_find(core, stored);
    if (slot != SLOT_NONE) {
        struct caller_slot *caller = &core->callers[slot];
        note_age(step, slot);
        if (caller->state == CALLER_LOADING) return slot;
        bool old = step->now.boot_ns - caller->loaded_boot_ns > CALLER_REFRESH_NS;
        if (is_outdated(caller, step->now.boot_ns)) {
            if (!can_wait_for(core, caller)) return SLOT_NONE;
            if (caller_is_stranger(caller)) list_last(core, slot); /* see make_room() */
            begin_loading(step, slot);
        } else if (old && !caller->refreshing && core->refreshing < ASKING_AHEAD_MAX &&
                   can_ask(core, false)) {
            caller->refreshing = true;
            core->refreshing++;
            ask_for(step, slot);
        }
        return slot;
    }
    if (!can_wait_for(core, NULL)) return SLOT_NONE;
    if (core->callers_free.count == 0 && !make_room(core)) return SLOT_NONE;
    slot = slot_list_take(&core->callers_free, core->caller_links);
    core->callers[slot] = (struct caller_slot){
        .stored = *stored,
        .state = CALLER_LOADING,
        .listed_grain = age_grain(step->now.boot_ns),
        .waiting = SLOT_LIST_EMPTY,
    };
    core->account_hints[slot] = SLOT_NONE;
    slot_index_add(&core->caller_index, tag_of(stored), slot);
    slot_list_append(&core->callers_by_age, core->caller_links, slot);
    begin_loading(step, slot);
    return slot;
}

bool caller_reload(struct step *step, uint32_t slot)
{
    struct caller_slot *caller = &step->core->callers[slot];
    if (!can_wait_for(step->core, caller)) return false;
    /* A question that is under way may have been asked before the change. */
    if (caller->refreshing)
        caller->changed = true;
    else
        ask_for(step, slot);
    caller->state = CALLER_LOADING;
    return true;
}

/* Beside a hold's it takes no room of its own: both fit what is kept for one record. */
void caller_note_use(struct step *step, uint32_t slot, client_prefix client)
{
    struct core *core = step->core;
    struct caller_slot *caller = &core->callers[slot];
    uint32_t minute = (uint32_t)(step->now.wall.ns / MINUTE_NS);
    if (client == CLIENT_PREFIX_NONE || caller->used_minute == minute) return;
    uint64_t endings = (uint64_t)core->holds_open.count + 1;
    if (core->journal_room < (endings + 1) * RECORD_SIZE_MAX) return;
    caller->used_minute = minute;
    struct record_use record = {.org = caller->caller.org,
                                .key = caller->caller.key,
                                .at_ns = step->now.wall.ns,
                                .client = client};
    struct record_place place = core_place_next(core);
    core->seq_use_last = place.seq;
    record_append_use(step->out->journal, place, &record);
}

void caller_post_uses(struct core *core)
{
    if (core->seq_use_last > core->seq_ending_last) core->seq_ending_last = core->seq_use_last;
}

static void answer_identify(struct step *step, const struct waiting *waiting, uint16_t error,
                            const struct caller *caller)
{
    struct core_action action = {.type = ACTION_IDENTIFIED,
                                 .link = waiting->link,
                                 .request = waiting->request,
                                 .identified = {.error = error}};
    if (caller != NULL) action.identified.caller = *caller;
    core_deliver(step, &action);
}

bool identify_try(struct step *step, uint32_t waiting_slot)
{
    struct core *core = step->core;
    struct waiting *waiting = &core->waiting[waiting_slot];
    uint32_t slot = caller_touch(step, &waiting->stored);
    if (slot == SLOT_NONE) {
        answer_identify(step, waiting, ERROR_LEDGER_FULL, NULL);
        return true;
    }
    const struct caller_slot *caller = &core->callers[slot];
    if (caller->state == CALLER_LOADING) {
        if (waiting_park(core, waiting_slot, WAITING_CALLER, slot)) return false;
        answer_identify(step, waiting, ERROR_LEDGER_FULL, NULL);
        return true;
    }
    uint16_t error = caller->error;
    bool expired = caller->caller.expires_ns != 0 && step->now.wall.ns >= caller->caller.expires_ns;
    if (error == ERROR_NONE && expired) error = ERROR_KEY_EXPIRED;
    if (error == ERROR_NONE && waiting->client != CLIENT_PREFIX_NONE) {
        caller_note_use(step, slot, waiting->client);
        caller_post_uses(core);
    }
    answer_identify(step, waiting, error, &caller->caller);
    return true;
}

void core_identify(struct step *step, const struct core_event *event)
{
    uint32_t slot = waiting_new(step, true, event);
    if (slot == SLOT_NONE) {
        struct waiting full = {.link = event->link, .request = event->request};
        answer_identify(step, &full, ERROR_LEDGER_FULL, NULL);
        return;
    }
    if (identify_try(step, slot)) waiting_end(step->core, slot);
}

struct limit_meter *caller_meters(const struct core *core, const struct caller_slot *caller)
{
    return &core->caller_meters[(size_t)(caller - core->callers) * METERS_MAX];
}

/* The next hold is to be measured against the key's limits as they are now. */
static void key_limits_changed(struct step *step, const struct caller *caller)
{
    for (int cadence = 0; caller->key != 0 && cadence < CADENCE_COUNT; cadence++) {
        struct lease_key key = {
            .org = caller->org,
            .meter = meter_of_key(caller->key, (enum cadence)cadence),
            .period = clock_period((enum cadence)cadence, step->now.wall),
        };
        uint32_t lease = lease_find(step->core, key);
        if (lease != SLOT_NONE) lease_limit_changed(step, lease);
    }
}

/* Another key may have brought it before. */
static void limit_read(struct step *step, int64_t org, const struct caller_meter *meter)
{
    struct lease_key key = {.org = org,
                            .meter = meter->meter,
                            .period = clock_period((enum cadence)meter->cadence, step->now.wall)};
    uint32_t slot = lease_find(step->core, key);
    if (slot == SLOT_NONE) return;
    struct lease *lease = &step->core->leases[slot];
    if (lease->limit_version == meter->version) return;
    lease->limit_version = meter->version;
    lease_limit_changed(step, slot);
}

/* And against those of its member, workspace and organization, as they were just read. */
static void limits_changed(struct step *step, const struct caller_answer *answer)
{
    key_limits_changed(step, &answer->caller);
    for (uint8_t i = 0; i < answer->meter_count; i++) {
        const struct caller_meter *meter = &answer->meters[i];
        if (meter->owner != OWNER_KEY) limit_read(step, answer->caller.org, meter);
    }
}

static void take_meters(struct core *core, struct caller_slot *caller,
                        const struct caller_answer *answer)
{
    struct limit_meter *meters = caller_meters(core, caller);
    caller->meter_count = answer->meter_count;
    for (uint8_t i = 0; i < answer->meter_count; i++) {
        meters[i] = (struct limit_meter){.meter = answer->meters[i].meter,
                                         .version = answer->meters[i].version,
                                         .hint = SLOT_NONE,
                                         .owner = answer->meters[i].owner,
                                         .cadence = answer->meters[i].cadence,
                                         .include_byok = answer->meters[i].include_byok};
    }
}

/* One row for all callers of a plan, so its change is one write and holds for the next request of
 * each. What was read before a change may arrive after it. */
static void learn_plan(struct core *core, const struct plan_terms *plan)
{
    if (plan->plan >= PLANS_MAX) return;
    struct plan_terms *known = &core->plans[plan->plan];
    if (plan->version > known->version) *known = *plan;
}

void core_plan_changed(struct step *step, const struct core_event *event)
{
    learn_plan(step->core, event->plan);
}

void core_caller_answered(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    const struct caller_answer *answer = event->caller;
    if (core->callers_asked > 0) core->callers_asked--;
    uint32_t slot = caller_find(core, &answer->stored);
    if (slot == SLOT_NONE) return;
    struct caller_slot *caller = &core->callers[slot];
    if (caller->refreshing) core->refreshing--;
    caller->refreshing = false;
    if (caller->changed) {
        /* It changed after the answer may have been read: once more, and whoever waits goes on
         * waiting. */
        begin_loading(step, slot);
        return;
    }
    bool unknown_now = answer->error == ERROR_DATABASE;
    if (!unknown_now) {
        /* A change that came while the key had no slot, or from elsewhere, was not noticed. */
        bool new = caller->state == CALLER_LOADING;
        if (new || answer->caller.version != caller->caller.version) limits_changed(step, answer);
        caller->error = answer->error;
        unchain(core, slot);
        caller->caller = answer->caller;
        if (caller->caller.org != 0)
            chain(core, slot); /* of keys that are none there may be many */
        take_meters(core, caller, answer);
        caller->plan = answer->plan.plan;
        learn_plan(core, &answer->plan);
        caller->loaded_boot_ns = step->now.boot_ns;
        rates_learn(step, slot, &answer->rates);
        if (caller_is_stranger(caller)) offer(core, slot);
    } else {
        /* Not again with every question, but a little later. */
        caller->loaded_boot_ns = step->now.boot_ns - CALLER_REFRESH_NS + CALLER_RETRY_NS;
    }
    if (caller->state != CALLER_LOADING) return;
    caller->state = CALLER_READY;
    if (unknown_now) caller->error = ERROR_LEDGER_DOWN;
    for (uint32_t left = caller->waiting.count; left > 0; left--)
        waiting_run(step, slot_list_take(&caller->waiting, core->waiting_links));
    /* A state that is not known must not be used again. */
    caller->changed = unknown_now;
    if (unknown_now && caller_is_stranger(caller)) forget(core, slot);
}

/* What is in flight was perhaps read before the change. Otherwise it is read before its next use,
 * and its slot stays: whoever had a key does not become a stranger by a change of it. */
static void load_again(struct core *core, uint32_t slot)
{
    struct caller_slot *caller = &core->callers[slot];
    caller->changed = true;
    if (caller->refreshing) caller->state = CALLER_LOADING;
}

void core_key_changed(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    uint32_t slot = caller_find(core, &event->stored);
    if (slot == SLOT_NONE) return;
    const struct caller *caller = &core->callers[slot].caller;
    if (caller->key != 0) leases_limits_changed(step, caller->org, caller->key);
    load_again(core, slot);
}

static void load_chain_again(struct core *core, int64_t chain_org, int64_t org)
{
    uint32_t slot = slot_chain_first(&core->callers_by_org, org_tag(chain_org));
    while (slot != SLOT_NONE) {
        int64_t its_org = core->callers[slot].caller.org;
        if (its_org == org || its_org == 0) load_again(core, slot);
        slot = core->callers_by_org.links[slot].after;
    }
}

/* Who belongs to an organization is known of the loaded ones only, so the others are read twice. */
void core_limits_changed(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    leases_limits_changed(step, event->org, 0);
    load_chain_again(core, event->org, event->org);
    load_chain_again(core, 0, event->org);
}
