/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a hold: SETTLE with a charge, RELEASE without, and the ledger's own release when an
 * edge is lost. The charge is computed here from the frozen price row; the edge's figure is
 * compared, never booked. Each hold gets exactly one ending record, and at most one correction when
 * its SETTLE comes after the ledger's own release. */
#include "services/ledger/core/state.h"

#include "shared/log.h"
#include "shared/metrics.h"

#define CHARGE_UNKNOWN ((money){-1}) /* of SETTLED */

/* What an ending says, whichever way it came. */
struct ending {
    uint8_t state; /* enum ending_state */
    uint16_t reason;
    uint32_t price_id;
    const struct usage_vector *usage;
    const struct generation_facts *facts;
    money charge;
    money provider_cost;
    money byok_list;                 /* of a request with an own key, whose charge is the fee */
    const struct numbered *numbered; /* NULL: the ledger's own */
};

/* What its record says besides: how the charge was paid. */
struct payment {
    uint8_t part; /* 1: a correction */
    money held;
    money leased;
    money byok_units; /* of the allowance */
    slice meters;     /* shares, encoded */
};

static void end_hold(struct step *step, uint32_t slot, struct ending *ending);
static void end_unknown(struct step *step, const struct numbered *numbered,
                        const struct ending *ending, uint64_t number);
static uint32_t find_own_hold(const struct step *step, uint32_t stream, uint64_t number,
                              struct generation_place place);

uint64_t hold_floor(const struct core *core)
{
    uint32_t oldest = core->holds_open.first;
    return oldest == SLOT_NONE ? core->next_hold : core->holds[oldest].number;
}

/* What the provider's work costs the customer, by the frozen row, and us, by the list price that it
 * was made from: mostly the same row, and then the same figure. Without such rows, or with absurd
 * counts, nothing can be charged; the record says so and the counter makes it visible. */
static bool compute(const struct core *core, uint32_t price_id, const struct usage_vector *usage,
                    struct ending *ending)
{
    money charge = MONEY_ZERO, cost = MONEY_ZERO;
    ending->charge = ending->provider_cost = MONEY_ZERO;
    if (price_id == 0) return true;
    const struct price_row *row = prices_find(core->prices, price_id);
    const struct price_row *list = row == NULL ? NULL : prices_list_of(core->prices, row);
    if (list == NULL || !status_ok(billing_charge(row, usage, &charge))) return false;
    if (list == row)
        cost = charge;
    else if (!status_ok(billing_charge(list, usage, &cost)))
        return false;
    ending->charge = charge;
    ending->provider_cost = cost;
    return true;
}

static bool is_candidate(const struct hold *hold, uint32_t price_id)
{
    for (uint8_t i = 0; i < hold->price_ids.count; i++) {
        if (hold->price_ids.items[i] == price_id) return true;
    }
    return false;
}

/* With an own key the edge says the list price: the fee is not known to it. */
static void compare_charge(const struct hold *hold, money edge, money ledger)
{
    if (edge.nano == ledger.nano) return;
    metric_add(charge_disagreement_total, 1);
    log_warning("charge_disagreement", FN(number, hold, hold->number), FN(amount, edge, edge),
                FN(amount, ledger, ledger));
}

void core_settle(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    const struct message_settle *message = event->settle.message;
    struct numbered numbered = {.stream = stream_of_link(core, event->link),
                                .link = event->link,
                                .n = message->n,
                                .request = event->request};
    struct ending ending = {.state = ENDING_SETTLED,
                            .price_id = message->price_id,
                            .usage = &message->usage,
                            .facts = &message->facts,
                            .numbered = &numbered};
    bool priced = compute(core, message->price_id, &message->usage, &ending);
    /* Of a repeat so late that its answer is gone. With an own key prices do not tell the fee. */
    bool byok = (message->facts.flags & FACT_BYOK) != 0;
    money charge_if_lost = byok ? CHARGE_UNKNOWN : ending.charge;
    if (stream_check_number(step, numbered, charge_if_lost) != NUMBER_NEW) return;
    metric_add(settles_total, 1);
    uint32_t slot = find_own_hold(step, numbered.stream, message->hold, event->settle.place);
    if (slot == SLOT_NONE) {
        end_unknown(step, &numbered, &ending, message->hold);
        return;
    }
    const struct hold *hold = &core->holds[slot];
    if (!priced || !is_candidate(hold, message->price_id)) {
        log_error("settle_price_unknown", FN(number, hold, hold->number),
                  FN(number, price, message->price_id));
    }
    if (!priced) ending.state = ENDING_ABSORBED;
    if (hold->state == HOLD_OPEN)
        compare_charge(hold, message->charge, hold->byok ? ending.provider_cost : ending.charge);
    end_hold(step, slot, &ending);
}

void core_release(struct step *step, const struct core_event *event)
{
    struct core *core = step->core;
    const struct message_release *message = event->release.message;
    struct numbered numbered = {.stream = stream_of_link(core, event->link),
                                .link = event->link,
                                .n = message->n,
                                .request = event->request};
    struct ending ending = {.state = message->absorbed ? ENDING_ABSORBED : ENDING_RELEASED,
                            .reason = message->reason,
                            .price_id = message->price_id,
                            .usage = &message->usage,
                            .facts = &message->facts,
                            .numbered = &numbered};
    if (message->absorbed) (void)compute(core, message->price_id, &message->usage, &ending);
    ending.charge = MONEY_ZERO;
    if (stream_check_number(step, numbered, MONEY_ZERO) != NUMBER_NEW) return;
    metric_add(releases_total, 1);
    uint32_t slot = find_own_hold(step, numbered.stream, message->hold, event->release.place);
    if (slot == SLOT_NONE || core->holds[slot].state == HOLD_GHOST) {
        end_unknown(step, &numbered, &ending, message->hold);
        return;
    }
    end_hold(step, slot, &ending);
}

/* A hold may be ended by the stream that took it only, and only in the incarnation that numbered
 * it. */
static uint32_t find_own_hold(const struct step *step, uint32_t stream, uint64_t number,
                              struct generation_place place)
{
    const struct core *core = step->core;
    bool ours = place.hold == number && place.incarnation == core->settings.incarnation &&
                place.cell == core->settings.cell;
    uint32_t slot = ours ? hold_find(core, number) : SLOT_NONE;
    if (slot == SLOT_NONE || core->holds[slot].stream != stream) return SLOT_NONE;
    return slot;
}

/* ---- records -------------------------------------------------------------------------------- */

/* What rows say of a request with the customer's own key besides: its terms, what it cost by list
 * price, and what of the allowance it took. */
RARE static void describe_byok(const struct byok_hold *byok, const struct ending *ending,
                               const struct payment *payment, struct record_ending *record)
{
    record->byok_unit = byok->unit;
    record->byok_fee_basis_points = byok->fee_basis_points;
    record->byok_list = ending->byok_list;
    record->byok_units = payment->byok_units;
}

/* The hold's slot is free by now, and nothing else was put there yet: hold_floor() must not see it.
 * Every field is named, so that what is about to be filled is not cleared first. */
static void append_ending(struct step *step, const struct hold *hold, const struct ending *ending,
                          const struct payment *payment)
{
    struct core *core = step->core;
    const struct numbered *numbered = ending->numbered;
    const struct stream *stream = numbered == NULL ? NULL : &core->streams[numbered->stream];
    struct record_ending record = {
        .hold = hold->number,
        .part = payment->part,
        .state = ending->state,
        .reason = ending->reason,
        .created_ns = hold->created_ns,
        .org = hold->caller.org,
        .workspace = hold->caller.workspace,
        .member = hold->caller.member,
        .key = hold->caller.key,
        .held = payment->held,
        .price_id = ending->price_id,
        .usage = *ending->usage,
        .charge = ending->charge,
        .charge_told = ending->charge,
        .provider_cost = ending->provider_cost,
        .epoch = core->settings.epoch,
        .leased = payment->leased,
        .hold_floor = hold_floor(core),
        .edge = stream == NULL ? 0 : stream->edge,
        .thread = stream == NULL ? 0 : stream->thread,
        .n = stream == NULL ? 0 : numbered->n,
        .facts = *ending->facts,
        .meters = {payment->meters},
        .model_class = hold->model_class,
    };
    if (hold->byok) describe_byok(&core->hold_byok[hold - core->holds], ending, payment, &record);
    struct record_place place = core_place_next(core);
    core->seq_ending_last = place.seq;
    record_append_ending(step->out->journal, place, &record);
    if (stream != NULL) stream_acknowledge(step, *numbered, place.seq, ending->charge);
}

/* The ledger released this hold when its edge was lost, and now the edge settles it after all: the
 * customer was told nothing, so the provider's cost is ours. */
static void append_correction(struct step *step, uint32_t slot, const struct ending *ending)
{
    struct core *core = step->core;
    struct ending absorbed = *ending;
    absorbed.state = ENDING_ABSORBED;
    absorbed.charge = MONEY_ZERO;
    if (core->holds[slot].byok) absorbed.provider_cost = MONEY_ZERO;
    hold_forget_ghost(core, slot);
    metric_add(late_settles_total, 1);
    append_ending(step, &core->holds[slot], &absorbed, &(struct payment){.part = 1});
}

static slice settle_meters(struct step *step, const struct hold *hold, const struct ending *ending,
                           uint8_t shares[METERS_MAX * METER_SHARE_SIZE])
{
    const uint32_t *meters = hold_meters(step->core, hold);
    const struct byok_hold *byok =
        hold->byok ? &step->core->hold_byok[hold - step->core->holds] : NULL;
    uint8_t *at = shares;
    for (uint8_t i = 0; i < hold->meter_count; i++) {
        const struct lease *lease = &step->core->leases[meters[i]];
        struct meter_share share = {.meter = lease->meter, .period = lease->period};
        money charge =
            byok == NULL ? ending->charge : byok_part(byok, i, ending->charge, ending->byok_list);
        money held = hold_part(step->core, hold, i);
        share.leased = lease_settle(step, meters[i], held, charge, hold->number);
        at = meter_share_write(at, &share);
    }
    return (slice){(const char *)shares, (size_t)(at - shares)};
}

/* The provider is the customer's own, so nobody is owed for its work; what it is worth decides the
 * fee. A request that failed costs nothing and takes nothing. */
RARE static void end_byok(struct step *step, uint32_t slot, struct ending *ending,
                          struct payment *payment)
{
    bool settled = ending->state == ENDING_SETTLED;
    /* What a provider would be owed: a margin is on the platform's work only. */
    ending->byok_list = settled ? ending->provider_cost : MONEY_ZERO;
    payment->byok_units =
        byok_end(step, slot, settled ? &ending->byok_list : NULL, &ending->charge);
    ending->provider_cost = MONEY_ZERO;
}

static void end_hold(struct step *step, uint32_t slot, struct ending *ending)
{
    struct core *core = step->core;
    struct hold *hold = &core->holds[slot];
    if (hold->state == HOLD_GHOST) {
        append_correction(step, slot, ending);
        return;
    }
    struct payment payment = {.held = hold->amount};
    if (hold->byok) end_byok(step, slot, ending, &payment);
    payment.leased =
        lease_settle(step, hold->account_lease, hold->amount, ending->charge, hold->number);
    uint8_t shares[METERS_MAX * METER_SHARE_SIZE];
    payment.meters = settle_meters(step, hold, ending, shares);
    if (money_less(hold->amount, ending->charge)) {
        metric_add(overshoot_total, 1);
        log_warning("overshoot", FN(number, hold, hold->number), FN(amount, held, hold->amount),
                    FN(amount, charge, ending->charge));
    }
    if (hold->rated) rates_end(step, slot, ending->usage);
    stream_hold_ended(core, hold->stream);
    hold_close(core, slot, ending->numbered == NULL);
    append_ending(step, hold, ending, &payment);
    metric_set(holds_open, core->holds_open.count);
}

/* Nothing of it is left to write a row with. The number is kept, so that the stream goes on. */
static void end_unknown(struct step *step, const struct numbered *numbered,
                        const struct ending *ending, uint64_t number)
{
    struct core *core = step->core;
    if (ending->state == ENDING_SETTLED) {
        metric_add(late_settles_total, 1);
        log_warning("settle_without_hold", FN(number, hold, number),
                    FN(amount, charge, ending->charge));
    }
    const struct stream *stream = &core->streams[numbered->stream];
    struct record_mark record = {.edge = stream->edge, .thread = stream->thread, .n = numbered->n};
    struct record_place place = core_place_next(core);
    core->seq_ending_last = place.seq;
    record_append_mark(step->out->journal, place, &record);
    stream_acknowledge(step, *numbered, place.seq, MONEY_ZERO);
}

void hold_release_by_ledger(struct step *step, uint32_t slot)
{
    static const struct usage_vector no_usage;
    static const struct generation_facts no_facts;
    struct ending ending = {
        .state = ENDING_ABSORBED, .reason = ERROR_CLOSED, .usage = &no_usage, .facts = &no_facts};
    metric_add(releases_total, 1);
    end_hold(step, slot, &ending);
}
