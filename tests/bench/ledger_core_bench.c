/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's pure core against the least that any ledger must do. Rounds of bare look-ups in a
 * hash table alternate with rounds of hold + settle pairs in the core: the same number of keys,
 * asked for at random. A pair is everything core_step does for it: records made,
 * answers delivered, syncs reported; only disk, sockets and PostgreSQL are left out, whose answers
 * come at once. Prints picoseconds of CPU of each per round, as JSON; a hold or a settle that does
 * not go as it must makes it fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "services/ledger/core/core.h"
#include "shared/json/write.h"

#define KEYS_MAX       10000000 /* what ledger_callers allows */
#define HOLDS          65536    /* the ledger's default */
#define ROUNDS         15       /* short ones: a disturbance then spoils few */
#define LOOKUPS        250000
#define PAIRS          50000
#define PAIRS_OPEN     64    /* holds open at a time, as with so many requests in flight */
#define PAIRS_PER_SYNC 32    /* endings that one sync acknowledges under load */
#define PAIRS_PER_TICK 256   /* ticks are much rarer in truth; none may be free of charge */
#define PAIR_NS        20000 /* how far the core's clock goes on: 50,000 pairs a second */
#define LINK           1
#define CACHE_LINE     64
#define LARGE_PAGE     (2u * 1024 * 1024)
#define QUESTIONS_MAX  16
#define PRICE_ID       1
/* 250 prompt tokens at $0.15 and 150 completion tokens at $0.60 a million */
#define CHARGE_NANO    127500

struct question { /* to PostgreSQL */
    enum core_action_type type;
    struct key_hash stored;
    struct lease_request lease;
};

struct bench {
    struct core *core;
    struct core_now now;
    struct core_actions actions;
    struct buffer journal;
    const struct prices *prices;
    uint32_t keys;  /* as many accounts, each with one key */
    uint64_t drawn; /* keys asked for so far */
    struct question questions[QUESTIONS_MAX];
    uint32_t question_count;
    uint64_t held; /* the last HELD */
    uint64_t settled_count;
    uint64_t n;
    uint64_t records_bytes;
};

static uint64_t mix(uint64_t value) /* splitmix64 */
{
    value = (value + 1) * 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

/* A key is made of its number, so that having it costs no look into memory: in truth it arrives
 * with its frame. The number stands in its last bytes, for answer_caller(). */
static struct key_hash key_of(uint32_t number)
{
    struct key_hash key;
    for (uint64_t at = 0; at < sizeof(key.bytes) / sizeof(uint64_t); at++) {
        uint64_t random = mix((uint64_t)number << 2 | at);
        memcpy(key.bytes + at * sizeof(random), &random, sizeof(random));
    }
    memcpy(key.bytes + sizeof(key.bytes) - sizeof(number), &number, sizeof(number));
    return key;
}

/* In large pages like the core's tables, so that both sides find their memory equally fast. */
static void *new_array(size_t count, size_t size)
{
    void *array = NULL;
    bool large = count * size >= LARGE_PAGE;
    if (posix_memalign(&array, large ? LARGE_PAGE : CACHE_LINE, count * size) != 0) abort();
    if (large) (void)madvise(array, count * size, MADV_HUGEPAGE);
    memset(array, 0, count * size);
    return array;
}

/* The next number of a key, at random and never in the same order again: nothing is in the caches
 * only because the bench goes in circles. */
static uint32_t draw(struct bench *bench)
{
    return (uint32_t)((mix(bench->drawn++ << 32) >> 32) * bench->keys >> 32);
}

/* ---- bare look-ups -------------------------------------------------------------------------- */

/* Key and value side by side, at most half full, one probe after the other: nothing simpler finds a
 * key by its hash. */
struct cell {
    struct key_hash key;
    uint64_t number_plus; /* 0: empty */
};
struct table {
    struct cell *cells;
    uint64_t mask;
};

static uint64_t home_of(const struct key_hash *key)
{
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof(hash));
    return hash;
}

static struct cell *table_find(const struct table *table, const struct key_hash *key)
{
    for (uint64_t at = home_of(key);; at++) {
        struct cell *cell = &table->cells[at & table->mask];
        if (cell->number_plus == 0) return cell;
        if (memcmp(cell->key.bytes, key->bytes, sizeof(key->bytes)) == 0) return cell;
    }
}

static struct table table_of(const struct bench *bench)
{
    uint64_t size = 16;
    while (size < 2 * (uint64_t)bench->keys)
        size *= 2;
    struct table table = {new_array(size, sizeof(struct cell)), size - 1};
    for (uint32_t i = 0; i < bench->keys; i++) {
        struct key_hash key = key_of(i);
        *table_find(&table, &key) = (struct cell){key, i + 1};
    }
    return table;
}

/* One event after the other: which key is asked for next is not known before the last answer is, as
 * in a ledger, where what one request may do depends on what the one before it left. The sum keeps
 * the compiler from leaving anything out, and is checked. */
static bool look_up_in_turn(struct bench *bench, const struct table *table)
{
    uint64_t found = 0;
    uint64_t expected = 0;
    uint64_t last = 0;
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        uint32_t nothing = (uint32_t)(last >> 32); /* always 0, which only the answer tells */
        uint32_t number = draw(bench);
        struct key_hash key = key_of(number + nothing);
        expected += number + 1;
        last = table_find(table, &key)->number_plus;
        found += last;
    }
    return found == expected;
}

/* Many at once: the processor looks for several keys at the same time. Not the bound's measure, but
 * reported beside it. */
static bool look_up_at_once(struct bench *bench, const struct table *table)
{
    uint64_t found = 0;
    uint64_t expected = 0;
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        uint32_t number = draw(bench);
        struct key_hash key = key_of(number);
        expected += number + 1;
        found += table_find(table, &key)->number_plus;
    }
    return found == expected;
}

/* ---- the core ------------------------------------------------------------------------------- */

static void refuse(const char *what)
{
    fprintf(stderr, "ledger_core_bench: %s is not as it must be\n", what);
    exit(1);
}

static void deliver(void *context, const struct core_action *action)
{
    struct bench *bench = context;
    switch (action->type) {
    case ACTION_HELD:
        if (action->held.error != ERROR_NONE) refuse("a hold");
        bench->held = action->held.hold;
        return;
    case ACTION_SETTLED:
        if (action->settled.charge.nano != CHARGE_NANO) refuse("the charge of a settle");
        bench->settled_count++;
        return;
    case ACTION_LOAD_CALLER:
    case ACTION_LOAD_PRICES:
    case ACTION_LEASE:
        if (bench->question_count == QUESTIONS_MAX) abort();
        bench->questions[bench->question_count++] =
            (struct question){.type = action->type, .stored = action->stored};
        if (action->type == ACTION_LEASE)
            bench->questions[bench->question_count - 1].lease = action->lease;
        return;
    default: return;
    }
}

static void step_core(struct bench *bench, const struct core_event *event)
{
    core_step(bench->core, event, bench->now, &bench->actions);
}

static void answer_caller(struct bench *bench, const struct key_hash *stored)
{
    uint32_t number;
    memcpy(&number, stored->bytes + sizeof(stored->bytes) - sizeof(number), sizeof(number));
    struct caller_answer answer = {
        .stored = *stored,
        .caller = {.org = number + 1,
                   .workspace = 1,
                   .key = number + 1,
                   .version = 1,
                   .kind = CALLER_KEY},
        .plan = {.plan = 1, .version = 1, .output_default = 16384, .output_min = 256}};
    step_core(bench, &(struct core_event){.type = EVENT_CALLER, .caller = &answer});
}

/* All that is wanted, ten times over, as for an account with much credit and steady traffic. */
static void answer_lease(struct bench *bench, const struct lease_request *request)
{
    struct lease_answer answer = {.org = request->org, .count = request->count};
    for (uint8_t i = 0; i < request->count; i++) {
        answer.items[i] = (struct lease_total){.meter = request->items[i].meter,
                                               .period = request->items[i].period,
                                               .granted = {1000 * (int64_t)NANO_PER_DOLLAR},
                                               .returned = request->items[i].returned,
                                               .available = {1000 * (int64_t)NANO_PER_DOLLAR}};
    }
    step_core(bench, &(struct core_event){.type = EVENT_LEASE, .lease = &answer});
}

static void answer_questions(struct bench *bench)
{
    while (bench->question_count > 0) {
        struct question question = bench->questions[--bench->question_count];
        switch (question.type) {
        case ACTION_LOAD_CALLER: answer_caller(bench, &question.stored); break;
        case ACTION_LEASE: answer_lease(bench, &question.lease); break;
        default:
            step_core(bench, &(struct core_event){.type = EVENT_PRICES, .prices = bench->prices});
        }
    }
}

static uint64_t hold(struct bench *bench, uint32_t number)
{
    struct key_hash key = key_of(number);
    struct message_hold message = {.key = key,
                                   .caller_version = 1,
                                   .fixed = {165000},
                                   .output_price = {600000000},
                                   .output_want = 16384,
                                   .output_min = 256,
                                   .may_shrink = true,
                                   .price_ids = {1, {PRICE_ID}},
                                   .client = CLIENT_PREFIX_UNKNOWN};
    struct core_event event = {.type = EVENT_HOLD,
                               .link = LINK,
                               .request = bench->n,
                               .hold = {.stored = key, .message = &message}};
    step_core(bench, &event);
    if (bench->question_count > 0) answer_questions(bench);
    return bench->held;
}

static void settle(struct bench *bench, uint64_t hold_number)
{
    struct message_settle message = {
        .n = ++bench->n,
        .hold = hold_number,
        .price_id = PRICE_ID,
        .usage = {.units = {[BILLING_prompt] = 250, [BILLING_completion] = 150}},
        .charge = {CHARGE_NANO},
        .facts = {.model = 17,
                  .endpoint = 23,
                  .provider = 3,
                  .finish = FINISH_STOP,
                  .first_byte_ms = 212,
                  .total_ms = 1340,
                  .native_finish = SLICE("stop"),
                  .upstream_id = SLICE("chatcmpl-9xQvA1mT0rFb3kZ7yLwPd2cE"),
                  .referer = SLICE("https://example.com/"),
                  .title = SLICE("Example"),
                  .user_agent = SLICE("OpenAI/JS 4.73.0"),
                  .attempt_count = 1,
                  .attempts = {{23, 3, 200, ATTEMPT_OK, 212}}}};
    uint16_t day = (uint16_t)(bench->now.wall.ns / 86400 / 1000000000);
    struct core_event event = {.type = EVENT_SETTLE,
                               .link = LINK,
                               .request = bench->n,
                               .settle = {.message = &message, .place = {day, 1, 1, hold_number}}};
    step_core(bench, &event);
}

/* The records are on disk and posted at once, which frees their buffer and sends the answers. */
static void sync_journal(struct bench *bench)
{
    bench->records_bytes += bench->journal.len;
    buffer_clear(&bench->journal);
    uint64_t seq = core_view(bench->core).seq_last;
    struct core_event event = {.type = EVENT_JOURNAL,
                               .journal = {.synced = seq, .posted = seq, .room = UINT64_MAX}};
    step_core(bench, &event);
}

static void run_pairs(struct bench *bench, uint32_t count)
{
    uint64_t open[PAIRS_OPEN] = {0};
    for (uint32_t i = 0; i < count + PAIRS_OPEN; i++) {
        uint64_t *slot = &open[i % PAIRS_OPEN];
        if (*slot != 0) settle(bench, *slot);
        *slot = i < count ? hold(bench, draw(bench)) : 0;
        bench->now.boot_ns += PAIR_NS;
        bench->now.wall.ns += PAIR_NS;
        if (i % PAIRS_PER_SYNC == 0) sync_journal(bench);
        if (i % PAIRS_PER_TICK == 0) step_core(bench, &(struct core_event){.type = EVENT_TICK});
        if (bench->question_count > 0) answer_questions(bench);
    }
    sync_journal(bench);
}

/* ---- set-up and rounds ---------------------------------------------------------------------- */

/* gpt-4o-mini's, as the catalog has it. */
static const struct prices *make_prices(void)
{
    struct price_row *row = new_array(1, sizeof(*row));
    *row = (struct price_row){.id = PRICE_ID, .tier_count = 1};
    for (int class = 0; class < BILLING_CLASS_COUNT; class ++) {
        bool is_output = class == BILLING_completion || class == BILLING_reasoning;
        row->tiers[0].prices[class].nano_per_million = is_output ? 600000000 : 150000000;
    }
    row->tiers[0].prices[BILLING_request].nano_per_million = 0;
    row->tiers[0].prices[BILLING_web_search].nano_per_million = 0;
    return prices_new(row, 1);
}

static void start_core(struct bench *bench)
{
    struct core_settings settings = {.leases_max = bench->keys,
                                     .callers_max = bench->keys,
                                     .rates_max = 64,
                                     .holds_max = HOLDS,
                                     .waiting_max = 64,
                                     .questions_max = 1024,
                                     .streams_max = 64,
                                     .cell = 1,
                                     .incarnation = 1,
                                     .epoch = 1,
                                     .strict = true,
                                     .lease_window_ns = 5000000000,
                                     .lease_idle_ns = 60000000000};
    bench->now = (struct core_now){.wall = clock_wall(), .boot_ns = clock_boot_ns()};
    buffer_init(&bench->journal, 2 * CORE_STEP_BYTES_MAX(&settings));
    bench->actions =
        (struct core_actions){.deliver = deliver, .context = bench, .journal = &bench->journal};
    bench->core = core_new(&settings);
    bench->prices = make_prices();
    step_core(bench, &(struct core_event){.type = EVENT_PRICES, .prices = bench->prices});
    struct message_hello hello = {.version = 1, .incarnation = 77, .threads = 1};
    step_core(bench, &(struct core_event){.type = EVENT_HELLO, .link = LINK, .hello = &hello});
    for (uint32_t i = 0; i < bench->keys; i++) {
        settle(bench, hold(bench, i)); /* callers and leases are known from here on */
        if (i % PAIRS_PER_SYNC == 0) sync_journal(bench);
    }
    sync_journal(bench);
}

/* Of this thread, so that another program's turn on the processor does not count. */
static uint64_t cpu_time_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static uint64_t picoseconds_each(uint64_t began_ns, uint64_t count)
{
    return (cpu_time_ns() - began_ns) * 1000 / count;
}

static bool run_round(struct bench *bench, const struct table *table, struct json_writer *w)
{
    uint64_t began_ns = cpu_time_ns();
    bool good = look_up_in_turn(bench, table);
    uint64_t lookup_ps = picoseconds_each(began_ns, LOOKUPS);
    began_ns = cpu_time_ns();
    good = look_up_at_once(bench, table) && good;
    uint64_t at_once_ps = picoseconds_each(began_ns, LOOKUPS);
    began_ns = cpu_time_ns();
    run_pairs(bench, PAIRS);
    uint64_t pair_ps = picoseconds_each(began_ns, PAIRS);
    if (w == NULL) return good;
    json_object_begin(w);
    json_key_u64(w, SLICE("lookup_ps"), lookup_ps);
    json_key_u64(w, SLICE("lookup_at_once_ps"), at_once_ps);
    json_key_u64(w, SLICE("pair_ps"), pair_ps);
    json_object_end(w);
    return good;
}

static bool run_rounds(struct bench *bench, struct json_writer *w)
{
    struct table table = table_of(bench);
    bool good = run_round(bench, &table, NULL); /* warms up */
    json_key(w, SLICE("rounds"));
    json_array_begin(w);
    for (int round = 0; round < ROUNDS; round++)
        good = run_round(bench, &table, w) && good;
    json_array_end(w);
    free(table.cells);
    return good && bench->settled_count == bench->n && core_view(bench->core).holds_open == 0;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    int64_t keys = 0;
    bool good = argc == 2 && status_ok(slice_to_i64(slice_of(argv[1]), &keys));
    if (!good || keys < 1 || keys > KEYS_MAX) {
        fprintf(stderr, "usage: ledger_core_bench KEYS (at most %d)\n", KEYS_MAX);
        return 2;
    }
    bench.keys = (uint32_t)keys;
    start_core(&bench);
    struct buffer out;
    struct json_writer w;
    buffer_init(&out, 65536);
    json_write_init(&w, &out);
    json_object_begin(&w);
    good = run_rounds(&bench, &w);
    json_key_u64(&w, SLICE("record_bytes_per_pair"), bench.records_bytes / bench.n);
    json_object_end(&w);
    fwrite(out.data, 1, out.len, stdout);
    putchar('\n');
    if (!good) refuse("the number of settles, of open holds, or a look-up");
    return 0;
}
