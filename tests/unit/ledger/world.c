/* SPDX-License-Identifier: Apache-2.0 */
/* Events in, answers caught, questions answered from the model, records kept as bytes. */
#include "tests/unit/ledger/world.h"

#include <assert.h>
#include <stdlib.h>

#define START_NS        ((int64_t)1795176000000000000) /* 2026-11-20T12:00:00Z */
#define DISK_MAX        ((size_t)256 << 20)
#define TICK_NS         ((uint64_t)50000000)
#define COMPLETION_NANO 1000000

static void deliver(void *context, const struct core_action *action)
{
    struct world *world = context;
    switch (action->type) {
    case ACTION_LOAD_CALLER:
    case ACTION_LOAD_PRICES:
    case ACTION_LEASE:
        assert(world->question_count < WORLD_QUESTIONS_MAX);
        world->questions[world->question_count] =
            (struct world_question){.type = action->type, .stranger = action->stranger};
        if (action->type == ACTION_LEASE)
            world->questions[world->question_count].lease = action->lease;
        else
            world->questions[world->question_count].stored = action->stored;
        world->question_count++;
        return;
    case ACTION_CLOSE: world->closed = true; return;
    default: break;
    }
    if (action->type == ACTION_SETTLED) world->settled_count++;
    world->last = *action;
    world->answered = true;
}

static struct price_row price_of(uint32_t id, int64_t prompt, int64_t completion)
{
    struct price_row row = {.id = id, .tier_count = 1};
    row.tiers[0].prices[BILLING_prompt].nano_per_million = prompt;
    row.tiers[0].prices[BILLING_completion].nano_per_million = completion;
    return row;
}

static struct prices *new_prices(void)
{
    struct price_row *rows = calloc(3, sizeof(*rows));
    assert(rows != NULL);
    rows[0] = price_of(WORLD_PRICE, 1000000, (int64_t)COMPLETION_NANO * 1000000);
    rows[1] = price_of(WORLD_LIST, 1000000000, 2000000000);
    rows[2] = price_of(WORLD_MARKED, 1100000000, 2200000000);
    rows[2].list = WORLD_LIST;
    return prices_new(rows, 3);
}

static void load_prices(struct world *world)
{
    struct core_event event = {.type = EVENT_PRICES, .prices = world->prices};
    world_step_only(world, &event);
}

void world_init(struct world *world)
{
    world_init_with(world, &model_book, NULL);
}

void world_init_with(struct world *world, const struct book *book, void *context)
{
    *world = (struct world){.now = {.wall = {START_NS}, .boot_ns = (uint64_t)1000000000},
                            .book = book,
                            .book_context = context};
    world->settings = (struct core_settings){
        .leases_max = 256,
        .callers_max = 128,
        .rates_max = 128,
        .holds_max = 256,
        .waiting_max = 64,
        .questions_max = WORLD_QUESTIONS_MAX,
        .streams_max = 16,
        .cell = 1,
        .incarnation = 1,
        .strict = true,
        .lease_window_ns = 5000000000,
        .lease_idle_ns = 60000000000,
    };
    model_init(&world->model);
    world->settings.epoch = book->begin_epoch(world);
    buffer_init(&world->records, DISK_MAX);
    buffer_init(&world->disk, DISK_MAX);
    world->out =
        (struct core_actions){.deliver = deliver, .context = world, .journal = &world->records};
    world->core = core_new(&world->settings);
    world->prices = new_prices();
    load_prices(world);
    world_connect(world, NULL, 0);
}

void world_free(struct world *world)
{
    core_free(&world->core);
    prices_free(&world->prices);
    model_free(&world->model);
    buffer_free(&world->records);
    buffer_free(&world->disk);
}

/* ---- steps ----------------------------------------------------------------------------------- */

void world_step_only(struct world *world, const struct core_event *event)
{
    core_step(world->core, event, world->now, &world->out);
}

void world_write(struct world *world)
{
    buffer_append(&world->disk, buffer_slice(&world->records));
    buffer_clear(&world->records);
}

void world_sync(struct world *world)
{
    world_write(world);
    world->synced_len = world->disk.len;
    world->synced_seq = core_view(world->core).seq_last;
    struct core_event event = {.type = EVENT_JOURNAL,
                               .journal = {.synced = world->synced_seq,
                                           .posted = world->book->cursor(world),
                                           .room = UINT64_MAX}};
    world_step_only(world, &event);
}

static void answer(struct world *world, const struct world_question *question)
{
    struct caller_answer caller;
    struct lease_answer lease;
    struct core_event event = {0};
    switch (question->type) {
    case ACTION_LOAD_CALLER:
        world->book->answer_caller(world, &question->stored, &caller);
        if (world->database_down) caller.error = ERROR_DATABASE;
        event = (struct core_event){.type = EVENT_CALLER, .caller = &caller};
        break;
    case ACTION_LEASE:
        lease = (struct lease_answer){.org = question->lease.org, .failed = true};
        if (!world->database_down) world->book->answer_lease(world, &question->lease, &lease);
        event = (struct core_event){.type = EVENT_LEASE, .lease = &lease};
        break;
    default: event = (struct core_event){.type = EVENT_PRICES}; break;
    }
    world_step_only(world, &event);
}

void world_pump(struct world *world)
{
    while (world->question_count > 0) {
        struct world_question question = world->questions[0];
        world->question_count--;
        memmove(world->questions, world->questions + 1, world->question_count * sizeof(question));
        answer(world, &question);
    }
}

void world_step(struct world *world, const struct core_event *event)
{
    world->answered = false;
    world_step_only(world, event);
    world_pump(world);
    world_sync(world);
    world_pump(world);
}

void world_wait(struct world *world, uint64_t ns)
{
    /* Long waits in larger steps: a tick looks at deadlines only. */
    uint64_t tick_ns = ns > (uint64_t)20000000000 ? (uint64_t)1000000000 : TICK_NS;
    for (uint64_t done_ns = 0; done_ns < ns; done_ns += tick_ns) {
        world->now.boot_ns += tick_ns;
        world->now.wall.ns += (int64_t)tick_ns;
        world_step(world, &(struct core_event){.type = EVENT_TICK});
    }
}

void world_post(struct world *world)
{
    slice bytes = slice_first(buffer_slice(&world->disk), world->synced_len);
    while (bytes.len > 0) {
        struct record record;
        size_t taken;
        status done = record_next(bytes, &record, &taken);
        assert(status_ok(done));
        if (record.seq > world->book->cursor(world)) world->book->post(world, &record);
        bytes = slice_from(bytes, taken);
    }
    world->book->posted(world);
}

/* ---- the edge -------------------------------------------------------------------------------- */

struct message_held world_hold(struct world *world, int64_t key, const struct message_hold *message)
{
    struct core_event event = {.type = EVENT_HOLD,
                               .link = world->link,
                               .request = 1,
                               .hold = {.stored = model_hash(key), .message = message}};
    world_step(world, &event);
    assert(world->answered && world->last.type == ACTION_HELD);
    return world->last.held;
}

struct generation_place world_place(const struct world *world, uint64_t hold)
{
    return (struct generation_place){
        .cell = world->settings.cell, .incarnation = world->settings.incarnation, .hold = hold};
}

struct usage_vector world_usage(int64_t nano)
{
    struct usage_vector usage = {{0}};
    usage.units[BILLING_completion] = (uint32_t)(nano / COMPLETION_NANO);
    usage.units[BILLING_prompt] = (uint32_t)(nano % COMPLETION_NANO);
    return usage;
}

static int64_t told(const struct world *world)
{
    if (!world->answered || world->last.type != ACTION_SETTLED) return -1;
    return world->last.settled.charge.nano;
}

int64_t world_settle(struct world *world, uint64_t n, uint64_t hold, int64_t nano)
{
    struct message_settle message = {.n = n == 0 ? ++world->n : n,
                                     .hold = hold,
                                     .price_id = WORLD_PRICE,
                                     .usage = world_usage(nano),
                                     .charge = {nano}};
    struct core_event event = {.type = EVENT_SETTLE,
                               .link = world->link,
                               .settle = {.message = &message, .place = world_place(world, hold)}};
    world_step(world, &event);
    return told(world);
}

int64_t world_release(struct world *world, uint64_t n, uint64_t hold)
{
    struct message_release message = {.n = n == 0 ? ++world->n : n, .hold = hold};
    struct core_event event = {.type = EVENT_RELEASE,
                               .link = world->link,
                               .release = {.message = &message, .place = world_place(world, hold)}};
    world_step(world, &event);
    return told(world);
}

int64_t world_settle_marked(struct world *world, uint64_t hold, const struct usage_vector *usage)
{
    struct message_settle message = {
        .n = ++world->n, .hold = hold, .price_id = WORLD_MARKED, .usage = *usage};
    status done = billing_charge(prices_find(world->prices, WORLD_MARKED), usage, &message.charge);
    assert(status_ok(done));
    world_step(world, &(struct core_event){.type = EVENT_SETTLE,
                                           .link = world->link,
                                           .settle = {&message, world_place(world, hold)}});
    return told(world);
}

int64_t world_absorb_marked(struct world *world, uint64_t hold, const struct usage_vector *usage)
{
    struct message_release message = {
        .n = ++world->n, .hold = hold, .absorbed = 1, .price_id = WORLD_MARKED, .usage = *usage};
    world_step(world, &(struct core_event){.type = EVENT_RELEASE,
                                           .link = world->link,
                                           .release = {&message, world_place(world, hold)}});
    return told(world);
}

void world_connect(struct world *world, const uint64_t *holds, size_t count)
{
    struct message_hello hello = {.version = MESSAGE_VERSION, .incarnation = WORLD_EDGE};
    world->link++;
    world->closed = false;
    world_step(world,
               &(struct core_event){.type = EVENT_HELLO, .link = world->link, .hello = &hello});
    struct message_holds_open open = {.last = 1};
    assert(count <= CODEC_LIST_MAX);
    for (size_t i = 0; i < count; i++)
        open.holds.items[open.holds.count++] = holds[i];
    world_step(world, &(struct core_event){
                          .type = EVENT_HOLDS_OPEN, .link = world->link, .holds_open = &open});
}

/* ---- crashes --------------------------------------------------------------------------------- */

static void replay(struct world *world)
{
    slice bytes = buffer_slice(&world->disk);
    while (bytes.len > 0) {
        struct record record;
        size_t taken;
        if (!status_ok(record_next(bytes, &record, &taken))) break;
        status done = core_replay_record(world->core, &record);
        assert(status_ok(done));
        bytes = slice_from(bytes, taken);
    }
    world->disk.len -= bytes.len;
    status done = core_replay_end(world->core, world->now);
    assert(status_ok(done));
}

void world_add_free(struct world *world, int64_t org, uint32_t requests)
{
    status done = core_add_free_requests(world->core, world->now, org, requests);
    assert(status_ok(done));
}

void world_crash(struct world *world, size_t keep)
{
    buffer_clear(&world->records);
    assert(keep >= world->synced_len);
    if (keep < world->disk.len) world->disk.len = keep;
    world->question_count = 0;
    core_free(&world->core);
    world->settings.epoch = world->book->begin_epoch(world);
    world->core = core_new(&world->settings);
    replay(world);
    world->synced_len = world->disk.len;
    world_post(world);
    world->book->move(world);
    world->book->load_free(world, clock_period(CADENCE_DAY, world->now.wall));
    load_prices(world);
    world_sync(world);
}

/* ---- one key of one organization ---- */

void world_with_credit(struct world *world, int64_t nano)
{
    world_init(world);
    model_org(&world->model, 1)->paid = nano;
    (void)model_add_key(&world->model, 1, 1);
}

struct message_hold world_hold_of(int64_t nano)
{
    return (struct message_hold){
        .caller_version = 1, .fixed = {nano}, .price_ids = {1, {WORLD_PRICE}}};
}

struct message_held world_take(struct world *world, int64_t nano)
{
    struct message_hold message = world_hold_of(nano);
    return world_hold(world, 1, &message);
}
