/* SPDX-License-Identifier: Apache-2.0 */
/* The core as a whole: its tables, the dispatch of events, the clock tick, replay at start. What
 * each event means stands in callers.c, leases.c, holds.c, byok.c, endings.c and
 * streams.c. */
#include "services/ledger/core/state.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "shared/log.h"
#include "shared/metrics.h"

#define LARGE_PAGE ((size_t)2 << 20)

/* Zeroed. It begins at a line of the processor's cache, for the slots that are whole numbers of
 * lines. A table is looked into at random, so a large one had better stand in large pages, or most
 * looks wait for the page's address, too; whether there are any is the machine's business. */
static void *new_array(size_t count, size_t size)
{
    void *array = NULL;
    bool large = count * size >= LARGE_PAGE;
    if (posix_memalign(&array, large ? LARGE_PAGE : CACHE_LINE, count * size) != 0) abort();
    if (large) (void)madvise(array, count * size, MADV_HUGEPAGE);
    memset(array, 0, count * size);
    return array;
}

/* Zeroed, too, but what is never used of it takes no memory. */
static void *new_rare_array(size_t count, size_t size)
{
    void *array = calloc(count, size);
    if (array == NULL) abort();
    return array;
}

/* All slots of a new table are free, lowest first. */
static void fill_free_list(struct slot_list *list, struct slot_link *links, uint32_t count)
{
    *list = SLOT_LIST_EMPTY;
    for (uint32_t i = 0; i < count; i++)
        slot_list_append(list, links, i);
}

static void new_callers_and_leases(struct core *core)
{
    const struct core_settings *settings = &core->settings;
    core->callers = new_array(settings->callers_max, sizeof(*core->callers));
    core->account_hints = new_array(settings->callers_max, sizeof(*core->account_hints));
    core->caller_meters =
        new_rare_array((size_t)settings->callers_max * METERS_MAX, sizeof(*core->caller_meters));
    core->allowance_hints = new_rare_array(settings->callers_max, sizeof(*core->allowance_hints));
    core->caller_links = new_array(settings->callers_max, sizeof(struct slot_link));
    core->plans = new_rare_array(PLANS_MAX, sizeof(*core->plans));
    slot_index_init(&core->caller_index, settings->callers_max);
    slot_chains_init(&core->callers_by_org, settings->callers_max);
    core->callers_by_age = SLOT_LIST_EMPTY;
    fill_free_list(&core->callers_free, core->caller_links, settings->callers_max);

    core->leases = new_array(settings->leases_max, sizeof(*core->leases));
    core->lease_links = new_array(settings->leases_max, sizeof(struct slot_link));
    slot_index_init(&core->lease_index, settings->leases_max);
    slot_chains_init(&core->leases_by_org, settings->leases_max);
    core->leases_by_age = SLOT_LIST_EMPTY;
    fill_free_list(&core->leases_free, core->lease_links, settings->leases_max);
}

static void new_holds_and_streams(struct core *core)
{
    const struct core_settings *settings = &core->settings;
    core->holds = new_array(settings->holds_max, sizeof(*core->holds));
    core->hold_meters =
        new_rare_array((size_t)settings->holds_max * METERS_MAX, sizeof(*core->hold_meters));
    core->hold_byok = new_rare_array(settings->holds_max, sizeof(*core->hold_byok));
    core->hold_links = new_array(settings->holds_max, sizeof(struct slot_link));
    slot_index_init(&core->hold_index, settings->holds_max);
    core->holds_open = SLOT_LIST_EMPTY;
    core->holds_ghost = SLOT_LIST_EMPTY;
    fill_free_list(&core->holds_free, core->hold_links, settings->holds_max);

    core->streams = new_array(settings->streams_max, sizeof(*core->streams));
    core->stream_links = new_array(settings->streams_max, sizeof(struct slot_link));
    slot_index_init(&core->stream_index, settings->streams_max);
    slot_index_init(&core->link_index, settings->streams_max);
    core->streams_by_age = SLOT_LIST_EMPTY;
    fill_free_list(&core->streams_free, core->stream_links, settings->streams_max);

    core->waiting = new_array(settings->waiting_max, sizeof(*core->waiting));
    core->waiting_links = new_array(settings->waiting_max, sizeof(struct slot_link));
    core->waiting_prices = SLOT_LIST_EMPTY;
    fill_free_list(&core->waiting_free, core->waiting_links, settings->waiting_max);
}

struct core *core_new(const struct core_settings *settings)
{
    struct core *core = new_array(1, sizeof(*core));
    core->settings = *settings;
    core->next_hold = 1;
    core->journal_room = UINT64_MAX;
    new_callers_and_leases(core);
    new_holds_and_streams(core);
    core->rates = rates_new(settings);
    /* Twice the holds: those that wait for a sync while as many new ones run. */
    uint32_t acks = 64;
    while (acks < 2 * settings->holds_max)
        acks *= 2;
    core->acks = new_array(acks, sizeof(*core->acks));
    core->acks_mask = acks - 1;
    return core;
}

void core_free(struct core **pointer)
{
    struct core *core = *pointer;
    if (core == NULL) return;
    void *const memory[] = {
        core->callers,
        core->account_hints,
        core->caller_meters,
        core->plans,
        core->allowance_hints,
        core->caller_links,
        core->leases,
        core->lease_links,
        core->caller_index.cells,
        core->holds,
        core->hold_meters,
        core->lease_index.cells,
        core->hold_links,
        core->hold_byok,
        core->hold_index.cells,
        core->stream_links,
        core->streams,
        core->stream_index.cells,
        core->waiting,
        core->waiting_links,
        core->link_index.cells,
        core->acks,
        core->callers_by_org.heads,
        core->callers_by_org.links,
        core->leases_by_org.heads,
        core->leases_by_org.links,
    };
    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
        free(memory[i]);
    rates_free(&core->rates);
    free(core);
    *pointer = NULL;
}

/* ---- events --------------------------------------------------------------------------------- */

static void core_prices(struct step *step, const struct core_event *event);
static void core_tick(struct step *step, const struct core_event *event);
static void core_stop(struct step *step, const struct core_event *event);

typedef void (*event_handler)(struct step *step, const struct core_event *event);
static const event_handler handlers[EVENT_COUNT] = {
    [EVENT_HELLO] = core_hello,
    [EVENT_HOLDS_OPEN] = core_holds_open,
    [EVENT_LINK_GONE] = core_link_gone,
    [EVENT_IDENTIFY] = core_identify,
    [EVENT_HOLD] = core_hold,
    [EVENT_SETTLE] = core_settle,
    [EVENT_RELEASE] = core_release,
    [EVENT_CALLER] = core_caller_answered,
    [EVENT_LEASE] = core_lease_answered,
    [EVENT_PRICES] = core_prices,
    [EVENT_JOURNAL] = core_journal,
    [EVENT_TICK] = core_tick,
    [EVENT_KEY_CHANGED] = core_key_changed,
    [EVENT_LIMITS_CHANGED] = core_limits_changed,
    [EVENT_PLAN_CHANGED] = core_plan_changed,
    [EVENT_CREDIT_CHANGED] = core_credit_changed,
    [EVENT_CREDIT_RECALLED] = core_credit_recalled,
    [EVENT_STOP] = core_stop,
};

void core_step(struct core *core, const struct core_event *event, struct core_now now,
               struct core_actions *out)
{
    struct step step = {.core = core, .now = now, .out = out};
    assert(event->type < EVENT_COUNT);
    rates_follow_clock(core, now.wall);
    handlers[event->type](&step, event);
}

void core_deliver(struct step *step, const struct core_action *action)
{
    step->out->deliver(step->out->context, action);
}

struct record_place core_place_next(struct core *core)
{
    core->seq_last++;
    return (struct record_place){.seq = core->seq_last, .synced = core->seq_synced};
}

static void core_prices(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    core->prices_loading = false;
    if (event->prices != NULL) core->prices = event->prices;
    /* Only those that wait now: a retry waits no second time. */
    for (uint32_t left = core->waiting_prices.count; left > 0; left--)
        waiting_run(step, slot_list_take(&core->waiting_prices, core->waiting_links));
}

static void core_tick(struct step *step, const struct core_event *event)
{
    (void)event;
    waiting_expire(step);
    streams_tick(step);
    leases_tick(step);
}

/* From now on no hold is admitted; those that are open may end. Idle leases go back at once. */
static void core_stop(struct step *step, const struct core_event *event)
{
    (void)event;
    step->core->stopping = true;
    leases_tick(step);
}

/* ---- views ---------------------------------------------------------------------------------- */

struct core_view core_view(const struct core *core)
{
    uint32_t oldest = core->holds_open.first;
    return (struct core_view){
        .seq_last = core->seq_last,
        .seq_ending_last = core->seq_ending_last,
        .seq_oldest_open = oldest == SLOT_NONE ? UINT64_MAX : core->holds[oldest].seq,
        .holds_open = core->holds_open.count,
        .asking = core->asking,
    };
}

money core_held(const struct core *core, int64_t org)
{
    uint32_t slot = lease_find(core, (struct lease_key){.org = org});
    return slot == SLOT_NONE ? MONEY_ZERO : core->leases[slot].held;
}

void core_describe(const struct core *core, struct segment_head *head, struct buffer *marks)
{
    head->cell = core->settings.cell;
    head->incarnation = core->settings.incarnation;
    head->marks_seq = core->seq_last;
    head->next_hold = core->next_hold;
    head->mark_count = 0;
    for (uint32_t i = core->streams_by_age.first; i != SLOT_NONE; i = core->stream_links[i].after) {
        const struct stream *stream = &core->streams[i];
        if (!stream->mark_known) continue;
        stream_mark_append(marks, (struct stream_mark){stream->edge, stream->thread, stream->mark});
        head->mark_count++;
    }
    head->marks = buffer_slice(marks);
}
