/* SPDX-License-Identifier: Apache-2.0 */
/* Questions that cannot be answered from memory: they wait, each in the list of what it waits for,
 * and are tried again from the start when that arrived. None waits longer than its deadline. */
#include "services/ledger/core/state.h"

uint32_t waiting_new(struct step *step, bool identify, const struct core_event *event)
{
    struct core *core = step->core;
    uint32_t slot = slot_list_take(&core->waiting_free, core->waiting_links);
    if (slot == SLOT_NONE) return slot;
    struct waiting *waiting = &core->waiting[slot];
    waiting->on = WAITING_NOTHING;
    waiting->identify = identify;
    waiting->prices_tried = false;
    waiting->rates_tried = false;
    waiting->stranger = false;
    waiting->owner = SLOT_NONE;
    waiting->round = 0;
    waiting->plan_version = 0;
    waiting->link = event->link;
    waiting->request = event->request;
    waiting->deadline_boot_ns = step->now.boot_ns + WAITING_DEADLINE_NS;
    waiting->stored = identify ? event->stored : event->hold.stored;
    waiting->client = identify ? event->client : event->hold.message->client;
    if (!identify) waiting->hold = *event->hold.message;
    return slot;
}

struct slot_list *waiting_list(struct core *core, const struct waiting *waiting)
{
    switch ((enum waiting_for)waiting->on) {
    case WAITING_CALLER: return &core->callers[waiting->owner].waiting;
    case WAITING_LEASE: return &core->leases[waiting->owner].waiting;
    case WAITING_PRICES: return &core->waiting_prices;
    case WAITING_NOTHING: break;
    }
    return NULL;
}

/* The last slot stays free for questions that can be answered at once, and half of them for those
 * whose keys are known. */
bool waiting_has_room(const struct core *core, bool for_stranger)
{
    if (core->waiting_free.count == 0) return false;
    return !for_stranger || core->strangers_waiting < core->settings.waiting_max / 2;
}

bool waiting_park(struct core *core, uint32_t slot, enum waiting_for on, uint32_t owner)
{
    bool stranger = on == WAITING_CALLER && caller_is_stranger(&core->callers[owner]);
    if (!waiting_has_room(core, stranger)) return false;
    struct waiting *waiting = &core->waiting[slot];
    waiting->on = (uint8_t)on;
    waiting->owner = owner;
    waiting->stranger = stranger;
    core->strangers_waiting += stranger;
    slot_list_append(waiting_list(core, waiting), core->waiting_links, slot);
    return true;
}

void waiting_end(struct core *core, uint32_t slot)
{
    core->waiting[slot].on = WAITING_NOTHING;
    slot_list_prepend(&core->waiting_free, core->waiting_links, slot);
}

static void leave(struct core *core, struct waiting *waiting)
{
    waiting->on = WAITING_NOTHING;
    core->strangers_waiting -= waiting->stranger;
    waiting->stranger = false;
}

void waiting_run(struct step *step, uint32_t slot)
{
    struct waiting *waiting = &step->core->waiting[slot];
    leave(step->core, waiting);
    bool answered = waiting->identify ? identify_try(step, slot) : hold_try(step, slot);
    if (answered) waiting_end(step->core, slot);
}

void waiting_expire(struct step *step)
{
    struct core *core = step->core;
    uint32_t in_use = core->settings.waiting_max - core->waiting_free.count;
    for (uint32_t slot = 0; in_use > 0 && slot < core->settings.waiting_max; slot++) {
        struct waiting *waiting = &core->waiting[slot];
        if (waiting->on == WAITING_NOTHING) continue;
        in_use--;
        if (waiting->deadline_boot_ns > step->now.boot_ns) continue;
        slot_list_remove(waiting_list(core, waiting), core->waiting_links, slot);
        leave(core, waiting);
        if (waiting->identify) {
            struct core_action action = {.type = ACTION_IDENTIFIED,
                                         .link = waiting->link,
                                         .request = waiting->request,
                                         .identified = {.error = ERROR_LEDGER_DOWN}};
            core_deliver(step, &action);
        } else {
            hold_refuse(step, waiting, ERROR_LEDGER_DOWN);
        }
        waiting_end(core, slot);
    }
}
