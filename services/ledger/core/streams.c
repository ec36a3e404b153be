/* SPDX-License-Identifier: Apache-2.0 */
/* The connections of the edge's threads: which numbered frames were seen, which answers wait for a
 * sync, and what becomes of the holds of a thread that is gone. A lost connection is not a dead
 * edge: its holds are kept for a while. */
#include "services/ledger/core/state.h"

#include "shared/log.h"
#include "shared/metrics.h"

static uint32_t stream_tag(uint64_t edge, uint16_t thread)
{
    return (uint32_t)slot_mix(edge + thread);
}

static uint32_t link_tag(uint32_t link)
{
    return (uint32_t)slot_mix(link);
}

uint32_t stream_find(const struct core *core, uint64_t edge, uint16_t thread)
{
    uint32_t tag = stream_tag(edge, thread);
    uint32_t at = slot_index_home(&core->stream_index, tag);
    uint32_t slot;
    while ((slot = slot_index_next(&core->stream_index, tag, &at)) != SLOT_NONE) {
        if (core->streams[slot].edge == edge && core->streams[slot].thread == thread) break;
    }
    return slot;
}

uint32_t stream_of_link(const struct core *core, uint32_t link)
{
    uint32_t tag = link_tag(link);
    uint32_t at = slot_index_home(&core->link_index, tag);
    uint32_t slot;
    while ((slot = slot_index_next(&core->link_index, tag, &at)) != SLOT_NONE) {
        if (core->streams[slot].link == link) break;
    }
    return slot;
}

static bool is_needed(const struct stream *stream)
{
    return stream->link != LINK_NONE || stream->holds > 0 || stream->mark_synced < stream->mark;
}

/* The stream that was used least recently, among those without connection, holds and answers to
 * come. */
static bool make_room(struct core *core)
{
    uint32_t slot = core->streams_by_age.first;
    while (slot != SLOT_NONE && is_needed(&core->streams[slot]))
        slot = core->stream_links[slot].after;
    if (slot == SLOT_NONE) return false;
    struct stream *stream = &core->streams[slot];
    slot_index_remove(&core->stream_index, stream_tag(stream->edge, stream->thread), slot);
    slot_list_remove(&core->streams_by_age, core->stream_links, slot);
    slot_list_append(&core->streams_free, core->stream_links, slot);
    return true;
}

uint32_t stream_touch(struct core *core, uint64_t edge, uint16_t thread)
{
    uint32_t slot = stream_find(core, edge, thread);
    if (slot != SLOT_NONE) {
        slot_list_remove(&core->streams_by_age, core->stream_links, slot);
        slot_list_append(&core->streams_by_age, core->stream_links, slot);
        return slot;
    }
    if (core->streams_free.count == 0 && !make_room(core)) return SLOT_NONE;
    slot = slot_list_take(&core->streams_free, core->stream_links);
    core->streams[slot] = (struct stream){.edge = edge, .thread = thread, .in_use = true};
    slot_index_add(&core->stream_index, stream_tag(edge, thread), slot);
    slot_list_append(&core->streams_by_age, core->stream_links, slot);
    return slot;
}

/* ---- connections ---------------------------------------------------------------------------- */

static void close_link(struct step *step, uint32_t link)
{
    struct core_action action = {.type = ACTION_CLOSE, .link = link};
    core_deliver(step, &action);
}

static void disconnect(struct step *step, uint32_t slot)
{
    struct core *core = step->core;
    struct stream *stream = &core->streams[slot];
    slot_index_remove(&core->link_index, link_tag(stream->link), slot);
    stream->link = LINK_NONE;
    stream->release_boot_ns = step->now.boot_ns + STREAM_LOST_NS;
    if (stream->holds > 0) core->streams_lost++;
}

/* Another process stands where this one was: those that are gone will hardly come back. */
static void hurry_replaced(struct step *step, uint64_t edge)
{
    struct core *core = step->core;
    uint64_t soon = step->now.boot_ns + STREAM_REPLACED_NS;
    for (uint32_t i = core->streams_by_age.first; i != SLOT_NONE; i = core->stream_links[i].after) {
        struct stream *stream = &core->streams[i];
        if (stream->edge == edge || stream->link != LINK_NONE) continue;
        if (stream->release_boot_ns > soon) stream->release_boot_ns = soon;
    }
}

/* Up to here nothing need be sent again. What the ring still remembers is better sent again, for
 * then it is answered with the charge that was booked; by the mark alone the edge would take its
 * own figure for it. */
static uint64_t welcome_mark(const struct core *core, uint32_t slot)
{
    const struct stream *stream = &core->streams[slot];
    uint64_t mark = core->settings.strict ? stream->mark_synced : stream->mark;
    uint64_t position = stream->ack_last;
    while (position != 0 && core->ack_next - (position - 1) <= (uint64_t)core->acks_mask + 1) {
        const struct ack *ack = &core->acks[(position - 1) & core->acks_mask];
        if (ack->stream != slot || ack->n > stream->mark) break;
        if (ack->n <= mark) mark = ack->n - 1;
        position = ack->before;
    }
    return mark;
}

void core_hello(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    const struct message_hello *hello = event->hello;
    bool repeated = stream_of_link(core, event->link) != SLOT_NONE;
    uint32_t slot = repeated || hello->incarnation == 0
                        ? SLOT_NONE
                        : stream_touch(core, hello->incarnation, hello->thread);
    if (slot == SLOT_NONE) {
        close_link(step, event->link);
        return;
    }
    struct stream *stream = &core->streams[slot];
    if (stream->link != LINK_NONE) { /* the old connection's end was not noticed yet */
        close_link(step, stream->link);
        disconnect(step, slot);
    }
    if (stream->holds > 0) core->streams_lost--;
    stream->link = event->link;
    slot_index_add(&core->link_index, link_tag(event->link), slot);
    for (uint32_t i = core->holds_open.first; i != SLOT_NONE && stream->holds > 0;
         i = core->hold_links[i].after) {
        if (core->holds[i].stream != slot) continue;
        if (!core->holds[i].undeclared) core->holds_undeclared++;
        core->holds[i].undeclared = true; /* until it is named */
        core->holds[i].undeclared_boot_ns = UINT64_MAX;
    }
    hurry_replaced(step, stream->edge);
    struct core_action action = {
        .type = ACTION_WELCOME,
        .link = event->link,
        .request = event->request,
        .welcome = {.version = MESSAGE_VERSION,
                    .cell = core->settings.cell,
                    .incarnation = core->settings.incarnation,
                    .mark = welcome_mark(core, slot)},
    };
    core_deliver(step, &action);
}

/* The edge names every hold whose ending was not acknowledged, so what is not named ended without
 * our knowing: most often the HELD was lost with the connection. The next tick releases them. */
void core_holds_open(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    uint32_t stream = stream_of_link(core, event->link);
    if (stream == SLOT_NONE) {
        close_link(step, event->link);
        return;
    }
    const struct message_holds_open *message = event->holds_open;
    for (uint8_t i = 0; i < message->holds.count; i++) {
        uint32_t slot = hold_find(core, message->holds.items[i]);
        if (slot == SLOT_NONE || core->holds[slot].state != HOLD_OPEN) continue;
        if (core->holds[slot].stream != stream || !core->holds[slot].undeclared) continue;
        core->holds[slot].undeclared = false;
        core->holds_undeclared--;
    }
    if (!message->last) return;
    for (uint32_t i = core->holds_open.first; i != SLOT_NONE; i = core->hold_links[i].after) {
        struct hold *hold = &core->holds[i];
        if (hold->stream != stream || !hold->undeclared) continue;
        hold->undeclared_boot_ns = step->now.boot_ns;
    }
}

void core_link_gone(struct step *step, const struct core_event *event)
{
    uint32_t slot = stream_of_link(step->core, event->link);
    if (slot != SLOT_NONE) disconnect(step, slot);
}

void stream_hold_added(struct core *core, uint32_t slot)
{
    core->streams[slot].holds++;
}

void stream_hold_ended(struct core *core, uint32_t slot)
{
    struct stream *stream = &core->streams[slot];
    uint32_t left = --stream->holds;
    if (left == 0 && stream->link == LINK_NONE) core->streams_lost--;
}

static bool is_abandoned(const struct core *core, const struct hold *hold, uint64_t boot_ns)
{
    const struct stream *stream = &core->streams[hold->stream];
    if (stream->link == LINK_NONE) return stream->release_boot_ns <= boot_ns;
    return hold->undeclared && hold->undeclared_boot_ns <= boot_ns;
}

void streams_tick(struct step *step)
{
    struct core *core = step->core;
    if (core->streams_lost == 0 && core->holds_undeclared == 0) return;
    uint32_t released = 0;
    uint32_t slot = core->holds_open.first;
    while (slot != SLOT_NONE && released < CORE_RELEASES_PER_STEP) {
        uint32_t next = core->hold_links[slot].after;
        if (is_abandoned(core, &core->holds[slot], step->now.boot_ns)) {
            hold_release_by_ledger(step, slot);
            released++;
        }
        slot = next;
    }
    if (released > 0) log_warning("holds_released", F(count, released));
}

/* ---- numbers and answers -------------------------------------------------------------------- */

static void deliver_settled(struct step *step, const struct ack *ack)
{
    if (ack->link == LINK_NONE || step->core->streams[ack->stream].link != ack->link) return;
    struct core_action
        action; /* not cleared: the union is many times larger than what is used of it */
    action.type = ACTION_SETTLED;
    action.link = ack->link;
    action.request = ack->request;
    action.settled = (struct message_settled){.n = ack->n, .charge = ack->charge};
    core_deliver(step, &action);
}

/* The ring's entry for a number of a stream, or NULL when it was overwritten. */
static struct ack *find_ack(struct core *core, uint32_t stream, uint64_t n)
{
    uint64_t position = core->streams[stream].ack_last;
    while (position != 0 && core->ack_next - (position - 1) <= (uint64_t)core->acks_mask + 1) {
        struct ack *ack = &core->acks[(position - 1) & core->acks_mask];
        if (ack->stream != stream) return NULL;
        if (ack->n == n) return ack;
        if (ack->n < n) return NULL;
        position = ack->before;
    }
    return NULL;
}

static void acknowledge_again(struct step *step, struct numbered numbered, money charge_if_lost)
{
    struct core *core = step->core;
    metric_add(frames_repeated_total, 1);
    struct ack lost = {.n = numbered.n, .charge = charge_if_lost, .stream = numbered.stream};
    struct ack *ack = find_ack(core, numbered.stream, numbered.n);
    if (ack == NULL) ack = &lost;
    ack->link = numbered.link;
    ack->request = numbered.request;
    bool waits = core->settings.strict && numbered.n > core->streams[numbered.stream].mark_synced;
    if (!waits) deliver_settled(step, ack);
}

enum number_kind stream_check_number(struct step *step, struct numbered numbered,
                                     money charge_if_lost)
{
    struct core *core = step->core;
    if (numbered.stream == SLOT_NONE) {
        close_link(step, numbered.link);
        return NUMBER_GAP;
    }
    const struct stream *stream = &core->streams[numbered.stream];
#ifdef BUG_ONE_NUMBER /* planted by a test: the edge's own numbers are not looked at */
    (void)acknowledge_again;
    (void)charge_if_lost;
    return NUMBER_NEW;
#endif
    if (stream->mark_known && numbered.n <= stream->mark) {
        acknowledge_again(step, numbered, charge_if_lost);
        return NUMBER_REPEAT;
    }
    if (numbered.n == 0 || (stream->mark_known && numbered.n != stream->mark + 1)) {
        log_error("frame_gap", FN(number, mark, stream->mark), FN(number, n, numbered.n));
        close_link(step, numbered.link);
        return NUMBER_GAP;
    }
    return NUMBER_NEW;
}

void stream_note_ack(struct core *core, uint32_t slot, uint64_t n, const struct ack *ack)
{
    struct stream *stream = &core->streams[slot];
    core->acks[core->ack_next & core->acks_mask] = (struct ack){.seq = ack->seq,
                                                                .n = n,
                                                                .charge = ack->charge,
                                                                .request = ack->request,
                                                                .stream = slot,
                                                                .link = ack->link,
                                                                .before = stream->ack_last};
    core->ack_next++;
    stream->ack_last = core->ack_next;
}

void stream_acknowledge(struct step *step, struct numbered numbered, uint64_t seq, money charge)
{
    struct core *core = step->core;
    struct stream *stream = &core->streams[numbered.stream];
    stream->mark = numbered.n;
    stream->mark_known = true;
    struct ack ack = {
        .seq = seq, .charge = charge, .request = numbered.request, .link = numbered.link};
    stream_note_ack(core, numbered.stream, numbered.n, &ack);
#ifndef BUG_ACK_BEFORE_SYNC /* planted by a test, to see that the simulator finds it */
    if (core->settings.strict) return;
#endif
    deliver_settled(step, &core->acks[(core->ack_next - 1) & core->acks_mask]);
}

void core_journal(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    core->journal_room = event->journal.room;
    core->seq_posted = event->journal.posted;
    if (event->journal.synced > core->seq_synced) core->seq_synced = event->journal.synced;
    for (; core->ack_sent < core->ack_next; core->ack_sent++) {
        const struct ack *ack = &core->acks[core->ack_sent & core->acks_mask];
        if (ack->seq > core->seq_synced) break;
        core->streams[ack->stream].mark_synced = ack->n;
        if (core->settings.strict) deliver_settled(step, ack);
    }
}
