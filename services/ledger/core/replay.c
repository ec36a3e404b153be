/* SPDX-License-Identifier: Apache-2.0 */
/* Building the core's state again from the journal: holds that are open, numbers that were seen,
 * holds the ledger had released by itself. Leases are not replayed: PostgreSQL has them, and the
 * move to the new epoch says what they are. */
#include "services/ledger/core/state.h"

#include "shared/log.h"

static status replay_hold(struct core *core, const struct record *record);
static status replay_ending(struct core *core, const struct record *record);
static status replay_mark(struct core *core, const struct record *record);
static status replay_use(struct core *core, const struct record *record);
static status note_number(struct core *core, struct stream_mark mark, const struct ack *ack);

status core_replay_head(struct core *core, const struct segment_head *head)
{
    core->seq_last = head->first_seq - 1;
    core->seq_ending_last = core->seq_last;
    core->replay_marks_seq = head->marks_seq;
    core->next_hold = head->next_hold;
    slice marks = head->marks;
    struct stream_mark mark;
    while (status_ok(stream_mark_next(&marks, &mark)))
        TRY(note_number(core, mark, NULL));
    return OK;
}

status core_replay_record(struct core *core, const struct record *record)
{
    if (record->seq != core->seq_last + 1) return FAIL(MALFORMED);
    core->seq_last = record->seq;
    switch (record->type) {
    case RECORD_hold: return replay_hold(core, record);
    case RECORD_ending: return replay_ending(core, record);
    case RECORD_mark: return replay_mark(core, record);
    case RECORD_use: return replay_use(core, record);
    default: return FAIL(MALFORMED);
    }
}

status core_replay_end(struct core *core, struct core_now now)
{
    /* The head of the oldest segment speaks of records that have to be there. */
    if (core->seq_last < core->replay_marks_seq) return FAIL(MALFORMED);
    for (uint32_t i = core->streams_by_age.first; i != SLOT_NONE; i = core->stream_links[i].after) {
        core->streams[i].mark_synced = core->streams[i].mark;
        if (core->streams[i].holds > 0) core->streams_lost++;
    }
    core_await_edges(core, now);
    core->seq_synced = core->seq_last;
    core->ack_sent = core->ack_next;
    for (uint32_t i = core->leases_by_age.first; i != SLOT_NONE; i = core->lease_links[i].after)
        core->leases[i].used_boot_ns = now.boot_ns;
    rates_replayed(core, now);
    return OK;
}

void core_await_edges(struct core *core, struct core_now now)
{
    for (uint32_t i = core->streams_by_age.first; i != SLOT_NONE; i = core->stream_links[i].after)
        core->streams[i].release_boot_ns = now.boot_ns + STREAM_LOST_NS;
}

/* The lease a replayed hold uses, empty so far. */
static status replay_lease(struct core *core, struct lease_key key, money amount, uint32_t *slot)
{
    struct step step = {.core = core};
    *slot = SLOT_NONE;
    *slot = lease_touch(&step, key, slot);
    if (*slot == SLOT_NONE) return FAIL(LEDGER_FULL);
    struct lease *lease = &core->leases[*slot];
    lease->held = money_plus(lease->held, amount);
    lease->holds++;
    return OK;
}

static status replay_meters(struct core *core, struct hold *hold, const struct record_hold *held)
{
    uint8_t room[METER_SHARE_SIZE];
    slice shares = record_hold_meters(held, room);
    struct meter_share share;
    while (meter_share_next(&shares, &share)) {
        uint8_t place = hold->meter_count++;
        TRY(replay_lease(core, (struct lease_key){held->org, share.meter, share.period},
                         hold_part(core, hold, place), &hold_meters(core, hold)[place]));
    }
    return OK;
}

static status replay_byok(struct core *core, struct hold *hold, const struct record_hold *held)
{
    if (held->byok_unit == BYOK_NONE) return OK;
    if (held->byok_unit > BYOK_LIST_PRICE) return FAIL(MALFORMED);
    struct byok_hold *byok = &core->hold_byok[hold - core->holds];
    *byok = (struct byok_hold){.list = held->byok_list,
                               .units = held->byok_units,
                               .list_meters = held->byok_meters,
                               .fee_basis_points = held->byok_fee_basis_points,
                               .unit = held->byok_unit};
    hold->byok = true;
    struct lease_key key = {
        .org = held->org,
        .meter = meter_of_allowance(held->org, (enum byok_unit)held->byok_unit),
        .period = clock_period(CADENCE_MONTH, (wall_time){held->created_ns}),
    };
    TRY(replay_lease(core, key, byok->units, &byok->allowance));
    core->leases[byok->allowance].lacking += byok_lacks(byok) ? 1 : 0;
    return OK;
}

static status replay_hold(struct core *core, const struct record *record)
{
    struct record_hold held;
    TRY(record_decode_hold(record->payload, &held));
    bool in_head = record->seq <= core->replay_marks_seq;
    if ((held.hold != core->next_hold && !in_head) || held.amount.nano < 0) return FAIL(MALFORMED);
    if (!in_head) core->next_hold++;
    uint32_t slot = slot_list_take(&core->holds_free, core->hold_links);
    if (slot == SLOT_NONE) slot = hold_reuse_ghost(core);
    if (slot == SLOT_NONE) return FAIL(LEDGER_FULL);
    struct hold *hold = &core->holds[slot];
    *hold = (struct hold){
        .state = HOLD_OPEN,
        .number = held.hold,
        .seq = record->seq,
        .created_ns = held.created_ns,
        .caller = {.org = held.org,
                   .workspace = held.workspace,
                   .member = held.member,
                   .key = held.key},
        .amount = held.amount,
        .price_ids = held.price_ids,
        .model_class = held.model_class,
    };
    TRY(replay_lease(core, (struct lease_key){.org = held.org}, held.amount, &hold->account_lease));
    TRY(replay_byok(core, hold, &held));
    TRY(replay_meters(core, hold, &held));
    hold->stream = stream_touch(core, held.edge, held.thread);
    if (hold->stream == SLOT_NONE) return FAIL(LEDGER_FULL);
    core->streams[hold->stream].holds++;
    hold_index_add(core, slot);
    slot_list_append(&core->holds_open, core->hold_links, slot);
    return OK;
}

static void replay_end_use(struct core *core, uint32_t slot, money amount)
{
    struct lease *lease = &core->leases[slot];
    lease->held = money_minus(lease->held, amount);
    lease->holds--;
}

/* Leases are told of the end by replay alone: held goes, and nothing is settled, since the move to
 * the new epoch comes after every record was posted. */
static void replay_close(struct core *core, uint32_t slot, bool ghost)
{
    struct hold *hold = &core->holds[slot];
    replay_end_use(core, hold->account_lease, hold->amount);
    for (uint8_t i = 0; i < hold->meter_count; i++)
        replay_end_use(core, hold_meters(core, hold)[i], hold_part(core, hold, i));
    if (hold->byok) {
        const struct byok_hold *byok = &core->hold_byok[slot];
        core->leases[byok->allowance].lacking -= byok_lacks(byok) ? 1 : 0;
        replay_end_use(core, byok->allowance, byok->units);
    }
    core->streams[hold->stream].holds--;
    hold_close(core, slot, ghost);
}

static status replay_ending(struct core *core, const struct record *record)
{
    struct record_ending ending;
    TRY(record_decode_ending(record->payload, &ending));
    core->seq_ending_last = record->seq;
    uint32_t slot = hold_find(core, ending.hold);
    if (ending.part == 0 && slot != SLOT_NONE) {
        if (core->holds[slot].state != HOLD_OPEN) return FAIL(MALFORMED);
        replay_close(core, slot, ending.edge == 0);
    } else if (slot != SLOT_NONE && core->holds[slot].state == HOLD_GHOST) {
        hold_forget_ghost(core, slot);
    }
    if (ending.edge == 0) return OK;
    struct ack ack = {.seq = record->seq, .charge = ending.charge_told};
    return note_number(core, (struct stream_mark){ending.edge, ending.thread, ending.n}, &ack);
}

static status replay_mark(struct core *core, const struct record *record)
{
    struct record_mark mark;
    TRY(record_decode_mark(record->payload, &mark));
    core->seq_ending_last = record->seq;
    struct ack ack = {.seq = record->seq};
    return note_number(core, (struct stream_mark){mark.edge, mark.thread, mark.n}, &ack);
}

/* The core has no need of it, the poster reads it. */
static status replay_use(struct core *core, const struct record *record)
{
    struct record_use use;
    TRY(record_decode_use(record->payload, &use));
    core->seq_ending_last = record->seq;
    return OK;
}

static status note_number(struct core *core, struct stream_mark mark, const struct ack *ack)
{
    uint32_t slot = stream_touch(core, mark.edge, mark.thread);
    if (slot == SLOT_NONE) return FAIL(LEDGER_FULL);
    struct stream *stream = &core->streams[slot];
    bool in_head = core->seq_last <= core->replay_marks_seq;
    if (stream->mark_known && mark.n <= stream->mark && !in_head) return FAIL(MALFORMED);
    stream->mark_known = true;
    if (mark.n > stream->mark) stream->mark = mark.n;
    if (ack != NULL) stream_note_ack(core, slot, mark.n, ack);
    return OK;
}

/* ---- leases of the new epoch ---------------------------------------------------------------- */

uint32_t core_list_held(const struct core *core, struct lease_held *items, uint32_t items_max)
{
    uint32_t count = 0;
    for (uint32_t i = core->leases_by_age.first; i != SLOT_NONE; i = core->lease_links[i].after) {
        const struct lease *lease = &core->leases[i];
        /* What is free of an allowance is kept, too, for those that could use it. */
        money held = lease->lacking > 0 ? MONEY_MAX : lease->held;
        if (money_is_zero(held)) continue;
        if (count < items_max) {
            items[count] = (struct lease_held){
                .org = lease->org, .meter = lease->meter, .period = lease->period, .held = held};
        }
        count++;
    }
    return count;
}

void core_set_granted(struct core *core, const struct lease_held *held, money granted)
{
    uint32_t slot = lease_find(core, (struct lease_key){held->org, held->meter, held->period});
    if (slot == SLOT_NONE) return;
    core->leases[slot].granted = granted;
    core->leases[slot].fresh = false; /* a lease of this epoch, and all of it */
    /* Its limit may have been changed since it was lent. */
    core->leases[slot].limit_changed = held->meter != 0;
    core->leases[slot].changed_before = core->next_hold;
}

uint32_t core_release_all(struct core *core, struct core_now now, struct core_actions *out)
{
    struct step step = {.core = core, .now = now, .out = out};
    uint32_t released = 0;
    while (core->holds_open.first != SLOT_NONE && released < CORE_RELEASES_PER_STEP) {
        hold_release_by_ledger(&step, core->holds_open.first);
        released++;
    }
    return released;
}
