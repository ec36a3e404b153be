/* SPDX-License-Identifier: Apache-2.0 */
/* The simulation: one random act after the other, each small. The ledger's threads are here what
 * they promise to be: records are written before answers leave, the poster reads synced records in
 * order, a start replays, posts and moves leases. */
#include "tests/unit/ledger/simulator.h"

#include <assert.h>
#include <stdlib.h>

#include "shared/log.h"
#include "tests/unit/test.h"

#define START_NS   ((int64_t)1795176000000000000) /* 2026-11-20T12:00:00Z */
#define DISK_MAX   ((size_t)64 << 20)
#define AUDIT_EACH 64
#define STEPS      3000 /* of a seed, before it heals */

/* ---- randomness ------------------------------------------------------------------------------ */

static uint64_t draw(struct simulator *sim)
{
    sim->random += 0x9e3779b97f4a7c15;
    uint64_t value = sim->random;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

uint32_t sim_below(struct simulator *sim, uint32_t bound)
{
    return (uint32_t)(draw(sim) % bound);
}

static bool chance(struct simulator *sim, uint32_t per_cent)
{
    return sim_below(sim, 100) < per_cent;
}

/* ---- the ledger's surroundings --------------------------------------------------------------- */

static struct sim_stream *stream_of(struct simulator *sim, uint32_t link)
{
    for (size_t i = 0; i < SIM_STREAMS; i++) {
        if (sim->streams[i].link == link) return &sim->streams[i];
    }
    return NULL;
}

static void take_records(struct simulator *sim)
{
    sim_rates_see(sim);
    sim->rates.seen_len = 0;
    buffer_append(&sim->disk, buffer_slice(&sim->records));
    buffer_clear(&sim->records);
}

/* Records first; the answers stand in queues until they are delivered, so this order is the
 * ledger's. */
void sim_step(struct simulator *sim, const struct core_event *event)
{
    sim_rates_follow_clock(sim);
    coverage_note_event(&sim->run->coverage, sim->core, event, sim->now);
    core_step(sim->core, event, sim->now, &sim->out);
    take_records(sim);
    sim->run->events++;
}

static void cut(struct simulator *sim, struct sim_stream *stream)
{
    if (stream->link == 0) return;
    struct core_event event = {.type = EVENT_LINK_GONE, .link = stream->link};
    stream->link = 0;
    stream->welcomed = false;
    stream->asked = 0;
    stream->up.count = stream->down.count = 0;
    sim_step(sim, &event);
}

static void deliver(void *context, const struct core_action *action)
{
    struct simulator *sim = context;
    coverage_note_action(&sim->run->coverage, action);
    if (action->type == ACTION_LOAD_CALLER || action->type == ACTION_LOAD_PRICES ||
        action->type == ACTION_LEASE) {
        assert(sim->question_count < sim->settings.questions_max);
        struct sim_question *question = &sim->questions[sim->question_count++];
        question->type = action->type;
        question->stranger = action->type == ACTION_LOAD_CALLER && action->stranger;
        if (action->type == ACTION_LEASE)
            question->lease = action->lease;
        else
            question->stored = action->stored;
        return;
    }
    if (action->type == ACTION_HELD)
        sim_rates_answered(sim, &sim->requests[action->request], &action->held);
    struct sim_stream *stream = stream_of(sim, action->link);
    if (stream == NULL || stream->down.count == SIM_QUEUE) return;
    stream->down.items[(stream->down.first + stream->down.count++) % SIM_QUEUE] = *action;
}

static void sync_disk(struct simulator *sim)
{
    sim->synced_len = sim->disk.len;
    sim->synced_seq = core_view(sim->core).seq_last;
    bool full = sim->disk_fills && chance(sim, 5);
    struct core_event event = {.type = EVENT_JOURNAL,
                               .journal = {.synced = sim->synced_seq,
                                           .posted = sim->model.cursor,
                                           .room = full ? 0 : UINT64_MAX}};
    sim_step(sim, &event);
}

static void post_some(struct simulator *sim, uint32_t records)
{
    size_t end = sim->bug == SIM_POST_UNSYNCED ? sim->disk.len : sim->synced_len;
    while (records-- > 0 && sim->posted_len < end) {
        struct record record;
        size_t taken;
        status done =
            record_next(slice_from(buffer_slice(&sim->disk), sim->posted_len), &record, &taken);
        assert(status_ok(done));
        model_post(&sim->model, &record);
        sim->posted_len += taken;
    }
}

/* Strangers stand in a line of their own; in each line it goes in order. */
static struct sim_question take_question(struct simulator *sim)
{
    bool stranger = chance(sim, 50);
    size_t at = 0;
    while (at < sim->question_count && sim->questions[at].stranger != stranger)
        at++;
    if (at == sim->question_count) at = 0;
    struct sim_question question = sim->questions[at];
    memmove(&sim->questions[at], &sim->questions[at + 1],
            (--sim->question_count - at) * sizeof(question));
    return question;
}

static void answer_one(struct simulator *sim)
{
    if (sim->question_count == 0) return;
    struct sim_question question = take_question(sim);
    bool fails = chance(sim, sim->database_fails);
    bool applied =
        !fails || chance(sim, 50); /* a failure that was none: the commit's answer got lost */
    struct caller_answer caller;
    struct lease_answer lease;
    struct core_event event = {.type = EVENT_PRICES, .prices = fails ? NULL : sim->prices};
    if (question.type == ACTION_LOAD_CALLER) {
        model_answer_caller(&sim->model, &question.stored, &caller);
        if (fails) caller.error = ERROR_DATABASE;
        event = (struct core_event){.type = EVENT_CALLER, .caller = &caller};
    } else if (question.type == ACTION_LEASE) {
        if (applied) model_answer_lease(&sim->model, sim->settings.epoch, &question.lease, &lease);
        if (fails) lease = (struct lease_answer){.org = question.lease.org, .failed = true};
        sim_byok_granted(sim, &lease);
        event = (struct core_event){.type = EVENT_LEASE, .lease = &lease};
    }
    sim_step(sim, &event);
}

/* ---- the edges ------------------------------------------------------------------------------- */

static void send(struct sim_stream *stream, const struct sim_frame *frame)
{
    if (stream->link == 0 || stream->up.count == SIM_QUEUE) return;
    stream->up.items[(stream->up.first + stream->up.count++) % SIM_QUEUE] = *frame;
}

static void log_entry(struct sim_entry *entries, size_t *count, struct generation_place place,
                      int64_t amount)
{
    assert(*count < SIM_LOG_MAX);
    entries[(*count)++] = (struct sim_entry){place.incarnation, place.hold, amount};
}

static void connect_stream(struct simulator *sim, struct sim_stream *stream)
{
    stream->link = ++sim->next_link;
    stream->welcomed = false;
    stream->asked = 0;
    stream->up.count = stream->down.count = 0;
    struct sim_frame frame = {
        .type = MESSAGE_hello,
        .hello = {.version = 1, .incarnation = stream->edge, .thread = stream->thread}};
    send(stream, &frame);
}

static void ask_hold(struct simulator *sim, struct sim_stream *stream)
{
    if (!stream->welcomed || stream->open_count + stream->asked >= SIM_OPEN ||
        stream->unacknowledged_count + SIM_OPEN * 2 > SIM_OPEN * 8)
        return;
    struct sim_frame frame;
    draw_hold(sim, &frame);
    stream->asked++;
    send(stream, &frame);
}

static void end_hold(struct simulator *sim, struct sim_stream *stream)
{
    if (stream->open_count == 0) return;
    size_t at = sim_below(sim, (uint32_t)stream->open_count);
    struct sim_hold hold = stream->open[at];
    stream->open[at] = stream->open[--stream->open_count];
    struct sim_unacknowledged *kept = &stream->unacknowledged[stream->unacknowledged_count++];
    draw_ending(sim, &hold, ++stream->n, kept);
    if (kept->frame.type == MESSAGE_settle)
        log_entry(sim->log.sent, &sim->log.sent_count, hold.place, kept->charge);
    if (stream->welcomed) send(stream, &kept->frame);
}

static uint64_t number_of(const struct sim_frame *frame)
{
    return frame->type == MESSAGE_settle ? frame->settle.n : frame->release.n;
}

/* What the client sees: a settled request's cost. `booked` is NULL when only the mark told that it
 * was. */
static void acknowledged(struct simulator *sim, struct sim_stream *stream, uint64_t n,
                         const int64_t *booked)
{
    for (size_t i = 0; i < stream->unacknowledged_count; i++) {
        struct sim_unacknowledged *kept = &stream->unacknowledged[i];
        if (number_of(&kept->frame) != n) continue;
        int64_t charge = booked != NULL ? *booked : kept->charge;
        /* The fee on an own key nobody can compute who does not know what was free. */
        bool byok = (kept->frame.settle.facts.flags & FACT_BYOK) != 0;
        bool known = !byok || (booked != NULL && *booked >= 0);
        /* A hold the ledger had released is told as nothing; its row says so, too. */
        if (kept->frame.type == MESSAGE_settle && known) {
            log_entry(sim->log.told, &sim->log.told_count, kept->frame.place, charge);
        }
        stream->unacknowledged_count--;
        memmove(kept, kept + 1, (stream->unacknowledged_count - i) * sizeof(*kept));
        return;
    }
}

static void welcome(struct simulator *sim, struct sim_stream *stream,
                    const struct message_welcome *message)
{
    stream->welcomed = true;
    while (stream->unacknowledged_count > 0 &&
           number_of(&stream->unacknowledged[0].frame) <= message->mark)
        acknowledged(sim, stream, number_of(&stream->unacknowledged[0].frame), NULL);
    struct sim_frame frame = {.type = MESSAGE_holds_open};
    frame.holds_open.last = 1;
    for (size_t i = 0; i < stream->open_count; i++)
        frame.holds_open.holds.items[frame.holds_open.holds.count++] = stream->open[i].place.hold;
    for (size_t i = 0; i < stream->unacknowledged_count; i++)
        frame.holds_open.holds.items[frame.holds_open.holds.count++] =
            stream->unacknowledged[i].frame.place.hold;
    send(stream, &frame);
    for (size_t i = 0; i < stream->unacknowledged_count; i++)
        send(stream, &stream->unacknowledged[i].frame);
}

static void deliver_down(struct simulator *sim, struct sim_stream *stream)
{
    if (stream->down.count == 0) return;
    struct core_action action = stream->down.items[stream->down.first++ % SIM_QUEUE];
    stream->down.count--;
    if (action.type == ACTION_WELCOME) welcome(sim, stream, &action.welcome);
    if (action.type == ACTION_SETTLED)
        acknowledged(sim, stream, action.settled.n, &action.settled.charge.nano);
    if (action.type == ACTION_CLOSE) {
        sim->violation = "the ledger refused an honest edge";
        cut(sim, stream);
    }
    if (action.type != ACTION_HELD) return;
    if (stream->asked > 0) stream->asked--;
    if (action.held.error != ERROR_NONE) return;
    struct sim_hold *hold = &stream->open[stream->open_count++];
    *hold = hold_of_answer(sim, &action);
    log_entry(sim->log.held, &sim->log.held_count, hold->place, hold->amount);
}

static void deliver_up(struct simulator *sim, struct sim_stream *stream)
{
    if (stream->up.count == 0) return;
    struct sim_frame frame = stream->up.items[stream->up.first++ % SIM_QUEUE];
    stream->up.count--;
    struct core_event event = {.link = stream->link, .request = frame.request};
    switch (frame.type) {
    case MESSAGE_hello: event.type = EVENT_HELLO, event.hello = &frame.hello; break;
    case MESSAGE_holds_open:
        event.type = EVENT_HOLDS_OPEN, event.holds_open = &frame.holds_open;
        break;
    case MESSAGE_hold:
        event.type = EVENT_HOLD;
        event.hold.stored = model_hash(frame.key);
        event.hold.message = &frame.hold;
        sim_tokens_asked(sim, frame.request);
        break;
    case MESSAGE_settle:
        event.type = EVENT_SETTLE;
        event.settle.message = &frame.settle;
        event.settle.place = frame.place;
        break;
    default:
        event.type = EVENT_RELEASE;
        event.release.message = &frame.release;
        event.release.place = frame.place;
        break;
    }
    sim_step(sim, &event);
}

/* The new connection says hello before the end of the old one was seen. */
static void overtake(struct simulator *sim, struct sim_stream *stream)
{
    connect_stream(sim, stream);
    deliver_up(sim, stream);
}

/* The process is gone and starts anew: nobody knows of its holds any more. */
static void kill_edge(struct simulator *sim, size_t edge)
{
    uint64_t incarnation = ++sim->next_edge;
    for (size_t i = 0; i < SIM_THREADS; i++) {
        struct sim_stream *stream = &sim->streams[edge * SIM_THREADS + i];
        cut(sim, stream);
        stream->edge = incarnation;
        stream->n = 0;
        stream->open_count = stream->unacknowledged_count = 0;
    }
}

/* ---- the ledger's deaths --------------------------------------------------------------------- */

static void load_prices(struct simulator *sim)
{
    sim_step(sim, &(struct core_event){.type = EVENT_PRICES, .prices = sim->prices});
}

static void replay(struct simulator *sim)
{
    slice bytes = buffer_slice(&sim->disk);
    while (bytes.len > 0) {
        struct record record;
        size_t taken;
        if (!status_ok(record_next(bytes, &record, &taken))) break;
        if (!status_ok(core_replay_record(sim->core, &record)))
            sim->violation = "the journal contradicts itself";
        bytes = slice_from(bytes, taken);
    }
    sim->disk.len -= bytes.len;
    sim->synced_len = sim->disk.len;
    if (!status_ok(core_replay_end(sim->core, sim->now))) sim->violation = "records are missing";
    if (core_view(sim->core).seq_last < sim->model.cursor)
        sim->violation = "the database is ahead of the journal";
}

/* Hold records are not waited for: the power took some with it, and the edges that had been given
 * those holds. */
static void forget_lost_holds(struct simulator *sim)
{
    struct segment_head head;
    struct buffer marks;
    buffer_init(&marks, 4096);
    core_describe(sim->core, &head, &marks);
    buffer_free(&marks);
    size_t kept = 0;
    for (size_t i = 0; i < sim->log.held_count; i++) {
        struct sim_entry entry = sim->log.held[i];
        bool lost = entry.incarnation == sim->settings.incarnation && entry.hold >= head.next_hold;
        if (!lost) sim->log.held[kept++] = entry;
    }
    sim->log.held_count = kept;
}

/* No edge survived: all holds end in the old incarnation, and a new one begins. */
static void begin_incarnation(struct simulator *sim)
{
    forget_lost_holds(sim);
    while (core_release_all(sim->core, sim->now, &sim->out) > 0)
        take_records(sim);
    sim->synced_len = sim->disk.len;
    post_some(sim, UINT32_MAX);
    buffer_clear(&sim->disk);
    sim->synced_len = sim->posted_len = 0;
    sim->model.cursor = 0;
    sim->model.incarnation = ++sim->settings.incarnation;
    core_free(&sim->core);
    sim->core = core_new(&sim->settings);
}

static void load_free_requests(struct simulator *sim)
{
    int64_t day = clock_period(CADENCE_DAY, sim->now.wall);
    for (size_t i = 0; i < sim->model.free_count; i++) {
        const struct model_free *counted = &sim->model.free_days[i];
        if (counted->day != day) continue;
        status done = core_add_free_requests(sim->core, sim->now, counted->org, counted->requests);
        if (!status_ok(done)) sim->violation = "the requests of a day found no room";
    }
}

static void start_ledger(struct simulator *sim, bool power)
{
    buffer_clear(&sim->records);
    for (size_t i = 0; i < SIM_STREAMS; i++) {
        struct sim_stream *stream = &sim->streams[i];
        stream->link = 0;
        stream->welcomed = false;
        stream->asked = stream->up.count = stream->down.count = 0;
    }
    sim->question_count = 0;
    sim->stopping = false;
    /* It starts on the latest day there was, of which all is known; see check_hold(). */
    sim_set_clock(sim, sim->latest_ns);
    core_free(&sim->core);
    sim->settings.epoch = ++sim->model.epoch;
    sim->core = core_new(&sim->settings);
    replay(sim);
    sim_rates_restart(sim);
    if (sim->violation != NULL) return;
    post_some(sim, UINT32_MAX);
    if (power) begin_incarnation(sim);
    model_move(&sim->model, sim->core);
    load_free_requests(sim);
    load_prices(sim);
    sync_disk(sim);
}

/* The edges ran on the same machine. */
static void cut_power(struct simulator *sim)
{
    sim_tear_disk(sim);
    for (size_t i = 0; i < SIM_STREAMS; i++)
        sim->streams[i].link = 0;
    for (size_t i = 0; i < SIM_EDGES; i++)
        kill_edge(sim, i);
    start_ledger(sim, true);
}

static void advance(struct simulator *sim, uint64_t ns)
{
    int64_t day = clock_period(CADENCE_DAY, sim->now.wall);
    sim->now.boot_ns += ns;
    sim_set_clock(sim, sim->clock_ns + (int64_t)ns);
    bool over = clock_period(CADENCE_DAY, sim->now.wall) != day;
    if (over && sim->bug == SIM_RESET_JOB) reset_days(sim);
    sim_step(sim, &(struct core_event){.type = EVENT_TICK});
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void act(struct simulator *sim, enum sim_act what)
{
    struct sim_stream *stream = &sim->streams[sim_below(sim, SIM_STREAMS)];
    if (sim->stopping && chance(sim, 3)) start_ledger(sim, false);
    switch (what) {
    case ACT_HOLD: ask_hold(sim, stream); break;
    case ACT_END: end_hold(sim, stream); break;
    case ACT_UP: deliver_up(sim, stream); break;
    case ACT_DOWN: deliver_down(sim, stream); break;
    case ACT_ANSWER: answer_one(sim); break;
    case ACT_SYNC: sync_disk(sim); break;
    case ACT_POST: post_some(sim, 1 + sim_below(sim, 20)); break;
    case ACT_TICK: advance(sim, 1000000 * (uint64_t)(1 + sim_below(sim, 200))); break;
    case ACT_CUT: cut(sim, stream); break;
    case ACT_CONNECT:
        if (stream->link == 0) connect_stream(sim, stream);
        break;
    case ACT_CLOCK: jump_clock(sim); break;
    case ACT_OVERTAKE: overtake(sim, stream); break;
    case ACT_KILL_LEDGER: start_ledger(sim, false); break;
    case ACT_POWER: cut_power(sim); break;
    case ACT_KILL_EDGE: kill_edge(sim, sim_below(sim, SIM_EDGES)); break;
    case ACT_CREDIT: buy_credit(sim); break;
    case ACT_KEY: change_key(sim); break;
    case ACT_JUMP: advance(sim, 1000000000 * (uint64_t)(1 + sim_below(sim, 90000))); break;
    case ACT_IDENTIFY: strange_question(sim); break;
    case ACT_STRANGER: strange_frame(sim); break;
    case ACT_FREEZE: freeze_account(sim); break;
    case ACT_LIMIT: change_limit(sim); break;
    case ACT_PLAN: change_plan(sim); break;
    case ACT_STOP: stop_ledger(sim); break;
    case ACT_COUNT: break;
    }
}

static void draw_weights(struct simulator *sim)
{
    static const uint32_t usual[ACT_COUNT] = {
        [ACT_HOLD] = 200,    [ACT_END] = 200,    [ACT_UP] = 600,        [ACT_DOWN] = 600,
        [ACT_ANSWER] = 300,  [ACT_SYNC] = 60,    [ACT_POST] = 60,       [ACT_TICK] = 60,
        [ACT_CUT] = 6,       [ACT_CONNECT] = 60, [ACT_KILL_LEDGER] = 4, [ACT_POWER] = 3,
        [ACT_KILL_EDGE] = 2, [ACT_CREDIT] = 10,  [ACT_KEY] = 4,         [ACT_JUMP] = 2,
        [ACT_CLOCK] = 1,     [ACT_OVERTAKE] = 2, [ACT_IDENTIFY] = 6,    [ACT_STRANGER] = 4,
        [ACT_FREEZE] = 1,    [ACT_STOP] = 1,     [ACT_LIMIT] = 2,       [ACT_PLAN] = 2,
    };
    for (size_t i = 0; i < ACT_COUNT; i++) {
        sim->weights[i] = usual[i];
        if (i >= ACT_CUT && i != ACT_CONNECT) sim->weights[i] = usual[i] * sim_below(sim, 4);
    }
    sim->database_fails = chance(sim, 50) ? sim_below(sim, 20) : 0;
    sim->log.overshoots = chance(sim, 20);
    sim->disk_fills = chance(sim, 30);
}

static enum sim_act draw_act(struct simulator *sim)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < ACT_COUNT; i++)
        sum += sim->weights[i];
    uint32_t at = sim_below(sim, sum);
    for (size_t i = 0; i < ACT_COUNT; i++) {
        if (at < sim->weights[i]) return (enum sim_act)i;
        at -= sim->weights[i];
    }
    return ACT_TICK;
}

/* Both cost the same. So do a search and a token of the prompt: a cost does not say how many tokens
 * there were. */
static struct prices *new_prices(uint32_t count)
{
    struct price_row *rows = calloc(count, sizeof(*rows));
    assert(rows != NULL);
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = (struct price_row){.id = i + 1, .tier_count = 1};
        rows[i].tiers[0].prices[BILLING_prompt].nano_per_million = 1000000;
        rows[i].tiers[0].prices[BILLING_web_search].nano_per_million = 1000000;
        rows[i].tiers[0].prices[BILLING_completion].nano_per_million = 1000000000000;
    }
    return prices_new(rows, count);
}

static void begin(struct simulator *sim)
{
    sim->now = (struct core_now){.wall = {START_NS}, .boot_ns = 1000000000};
    sim->clock_ns = sim->latest_ns = START_NS;
    sim->settings = (struct core_settings){.leases_max = 8 + sim_below(sim, 20),
                                           .callers_max = 4 + sim_below(sim, 8),
                                           .rates_max = 64,
                                           .holds_max = 8 + sim_below(sim, 40),
                                           .waiting_max = 6 + sim_below(sim, 26),
                                           .questions_max = 8 + sim_below(sim, 24),
                                           .streams_max = 48,
                                           .cell = 1,
                                           .incarnation = 1,
                                           .epoch = 1,
                                           .strict = !chance(sim, 25),
                                           .lease_window_ns = 5000000000,
                                           .lease_idle_ns = 60000000000};
    model_init(&sim->model);
    sim->model.incarnation = 1;
    begin_rates(sim);
    buffer_init(&sim->records, DISK_MAX);
    buffer_init(&sim->disk, DISK_MAX);
    sim->out = (struct core_actions){.deliver = deliver, .context = sim, .journal = &sim->records};
    struct sim_entry *entries = calloc(3 * SIM_LOG_MAX, sizeof(*entries));
    assert(entries != NULL);
    sim->log.told = entries;
    sim->log.sent = entries + SIM_LOG_MAX;
    sim->log.held = entries + 2 * (size_t)SIM_LOG_MAX;
    sim->prices = new_prices(2);
    sim->prices_older = new_prices(1);
    sim->core = core_new(&sim->settings);
    sim_step(sim, &(struct core_event){.type = EVENT_PRICES, .prices = sim->prices_older});
    for (int64_t key = 1; key <= SIM_KEYS; key++)
        begin_key(sim, key);
    sim_tokens_restart(sim);
    begin_limits(sim);
    model_add_key(&sim->model, 1, SIM_KEYS + 1)->caller.kind = CALLER_MANAGEMENT;
    for (size_t i = 0; i < SIM_STREAMS; i++) {
        sim->streams[i].edge = 1 + i / SIM_THREADS;
        sim->streams[i].thread = (uint16_t)(i % SIM_THREADS);
    }
    sim->next_edge = SIM_EDGES;
}

/* No more faults: everything that was begun comes to its end. */
static void heal(struct simulator *sim)
{
    sim->database_fails = 0;
    for (int round = 0; round < 400 && sim->violation == NULL; round++) {
        for (size_t i = 0; i < SIM_STREAMS; i++) {
            struct sim_stream *stream = &sim->streams[i];
            if (stream->link == 0) connect_stream(sim, stream);
            while (stream->up.count > 0)
                deliver_up(sim, stream);
            while (stream->down.count > 0)
                deliver_down(sim, stream);
            if (stream->welcomed) end_hold(sim, stream);
        }
        while (sim->question_count > 0)
            answer_one(sim);
        sync_disk(sim);
        post_some(sim, UINT32_MAX);
        advance(sim, 250000000);
    }
}

static void check_liveness(struct simulator *sim)
{
    struct core_view view = core_view(sim->core);
    if (view.holds_open != 0) sim->violation = "a hold stays open for ever";
    for (size_t i = 0; i < SIM_STREAMS; i++) {
        if (sim->streams[i].unacknowledged_count > 0)
            sim->violation = "a frame is never acknowledged";
    }
}

static void end(struct simulator *sim)
{
    core_free(&sim->core);
    prices_free(&sim->prices);
    prices_free(&sim->prices_older);
    model_free(&sim->model);
    buffer_free(&sim->records);
    buffer_free(&sim->disk);
    free(sim->log.told);
    free(sim);
}

const char *simulate(uint64_t seed, uint32_t steps, enum sim_bug bug, struct sim_run *run)
{
    struct simulator *sim = calloc(1, sizeof(*sim));
    assert(sim != NULL);
    sim->random = seed;
    sim->run = run;
    sim->bug = bug;
    draw_weights(sim);
    begin(sim);
    for (uint32_t i = 0; i < steps && sim->violation == NULL; i++) {
        act(sim, draw_act(sim));
        if (i % AUDIT_EACH == 0 && sim->violation == NULL)
            sim->violation = audit_now(&sim->model, &sim->log);
        if (i % AUDIT_EACH == 0 && sim->violation == NULL)
            sim->violation = audit_byok(&sim->model, &sim->log);
    }
    if (sim->violation == NULL) heal(sim);
    if (sim->violation == NULL) check_liveness(sim);
    if (sim->violation == NULL) sim->violation = audit_end(&sim->model, &sim->log);
    if (sim->violation == NULL) sim->violation = audit_byok(&sim->model, &sim->log);
    const char *violation = sim->violation;
    end(sim);
    return violation;
}

uint64_t simulate_many(uint64_t first, uint32_t time_ms, enum sim_bug bug, struct sim_run *run)
{
    uint64_t began_ms = clock_monotonic_ms();
    log_init("simulator", LOG_LEVEL_NONE);
    for (uint64_t seed = first;; seed++) {
        const char *violation = simulate(seed, STEPS, bug, run);
        run->seeds++;
        run->elapsed_ms = clock_monotonic_ms() - began_ms;
        if (violation != NULL) {
            print_message("seed %llu: %s\n", (unsigned long long)seed, violation);
            return seed;
        }
        if (run->elapsed_ms >= time_ms) return 0;
    }
}
