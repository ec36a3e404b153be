/* SPDX-License-Identifier: Apache-2.0 */
/* One poster against the least that it must do: batches of records gathered and posted by the
 * ledger's own code, alternating with a bare `insert … select from unnest` of the very same rows
 * into a table with the same indexes, one commit each. Once the traffic is spread over all
 * accounts, once it is one account's. What the database needs beforehand, and the bare table, are
 * its caller's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "services/ledger/store.h"

#define CELL           2 /* the instance's own is 1 */
#define INCARNATION    1
#define EPOCH          1
#define BATCH          4000 /* requests: a hold and an ending each, so post_batch records */
#define BATCHES        4    /* a round of each kind */
#define ROUNDS         7
#define ARENA_MAX      ((size_t)256 << 20)
/* As the poster has them for a hold and an ending. */
#define ROW_MEMORY     4096
#define ROW_PARAMETERS 1024
#define HELD_NANO      10000000

struct bench {
    struct db *db, *bare_db;
    struct prices *prices;
    struct arena arena;
    struct posting posting;
    struct buffer records;
    struct store_stream stream;
    int64_t org_first;
    uint32_t orgs, price_id;
    uint64_t hold; /* made so far */
    money charge;
};

static const struct usage_vector usage = {
    .units = {[BILLING_prompt] = 250, [BILLING_completion] = 150}};
static const struct generation_facts facts = {.model = 17,
                                              .endpoint = 23,
                                              .provider = 3,
                                              .finish = FINISH_STOP,
                                              .first_byte_ms = 212,
                                              .total_ms = 1340,
                                              .native_finish = SLICE("stop"),
                                              .upstream_id =
                                                  SLICE("chatcmpl-9xQvA1mT0rFb3kZ7yLwPd2cE"),
                                              .referer = SLICE("https://example.com/"),
                                              .title = SLICE("Example"),
                                              .user_agent = SLICE("OpenAI/JS 4.73.0"),
                                              .attempt_count = 1,
                                              .attempts = {{23, 3, 200, ATTEMPT_OK, 212}}};

static void must(status done, const char *what)
{
    if (status_ok(done)) return;
    fprintf(stderr, "ledger_post_bench: %s: %s\n", what, error_row_of(done.code)->name);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* The journal's bytes of one batch: holds and endings as a busy minute leaves them. */
static void make_records(struct bench *bench, bool hot)
{
    buffer_clear(&bench->records);
    for (uint32_t i = 0; i < BATCH; i++) {
        uint64_t hold = ++bench->hold;
        int64_t org = bench->org_first + (hot ? 0 : (int64_t)(hold * 7919 % bench->orgs));
        int64_t created_ns = clock_wall().ns;
        struct record_hold held = {.hold = hold,
                                   .created_ns = created_ns,
                                   .org = org,
                                   .workspace = 1,
                                   .key = org,
                                   .amount = {HELD_NANO},
                                   .edge = 7,
                                   .price_ids = {1, {bench->price_id}}};
        record_append_hold(&bench->records, (struct record_place){.seq = 2 * hold - 1}, &held);
        struct record_ending ending = {.hold = hold,
                                       .state = ENDING_SETTLED,
                                       .created_ns = created_ns,
                                       .org = org,
                                       .workspace = 1,
                                       .key = org,
                                       .held = {HELD_NANO},
                                       .price_id = bench->price_id,
                                       .usage = usage,
                                       .charge = bench->charge,
                                       .charge_told = bench->charge,
                                       .provider_cost = bench->charge,
                                       .epoch = EPOCH,
                                       .leased = bench->charge,
                                       .hold_floor = hold + 1,
                                       .edge = 7,
                                       .n = hold,
                                       .facts = facts};
        record_append_ending(&bench->records, (struct record_place){.seq = 2 * hold}, &ending);
    }
    must(buffer_finish(&bench->records), "records");
}

/* What the poster does with them, up to the commit. */
static void gather(struct bench *bench)
{
    struct posting *posting = &bench->posting;
    posting_begin(posting, &bench->arena, BATCH);
    posting->lo = posting->hi = bench->stream.last_seq;
    posting->hold_first = posting->hold_floor = bench->stream.hold_floor;
    memcpy(posting->previous_link, bench->stream.link, HASH_SIZE);
    slice bytes = buffer_slice(&bench->records);
    while (bytes.len > 0) {
        struct record record;
        size_t taken;
        must(record_next(bytes, &record, &taken), "a record");
        must(posting_add(posting, &record), "a record");
        bytes = slice_from(bytes, taken);
    }
}

static void note_posted(struct bench *bench)
{
    bench->stream.last_seq = bench->posting.hi;
    bench->stream.hold_floor = bench->posting.hold_floor;
    memcpy(bench->stream.link, bench->posting.link, HASH_SIZE);
}

/* The same statement with the same parameters, but for the table. */
static void insert_bare(struct bench *bench)
{
    struct db_param params[STORE_ROW_PARAMS];
    store_row_params(&bench->posting, params);
    must(db_run(bench->bare_db, "generations_add", params, STORE_ROW_PARAMS, NULL),
         "the bare insert");
}

struct times {
    uint64_t post_ns, bare_ns;
};

static struct times run_batches(struct bench *bench, bool hot)
{
    struct times times = {0};
    for (uint32_t i = 0; i < BATCHES; i++) {
        make_records(bench, hot);
        uint64_t began_ns = now_ns();
        gather(bench);
        must(store_post(bench->db, &bench->posting), "posting");
        uint64_t posted_ns = now_ns();
        insert_bare(bench);
        times.bare_ns += now_ns() - posted_ns;
        times.post_ns += posted_ns - began_ns;
        note_posted(bench);
    }
    return times;
}

static uint64_t per_s(uint64_t ns)
{
    return (uint64_t)BATCHES * BATCH * 1000000000u / ns;
}

static void run_rounds(struct bench *bench)
{
    (void)run_batches(bench, false); /* accounts, periods and plans are made once */
    (void)run_batches(bench, true);
    printf("{\"rounds\":[");
    for (int round = 0; round < ROUNDS; round++) {
        struct times spread = run_batches(bench, false);
        struct times hot = run_batches(bench, true);
        printf("%s{\"post_per_s\":%" PRIu64 ",\"bare_per_s\":%" PRIu64
               ",\"hot_post_per_s\":%" PRIu64 "}",
               round == 0 ? "" : ",", per_s(spread.post_ns),
               per_s(spread.bare_ns + hot.bare_ns) * 2, per_s(hot.post_ns));
    }
    printf("]}\n");
}

/* The ledger's statements with the bare table in the place of the real one. */
static const char *bare_statements(void)
{
    extern const char ledger_statements_sql[];
    static const char real[] = "insert into generation (", bare[] = "insert into bench_bare (";
    size_t len = strlen(ledger_statements_sql);
    char *text = calloc(1, len + sizeof(bare));
    const char *at = strstr(ledger_statements_sql, real);
    if (text == NULL || at == NULL) abort();
    size_t before = (size_t)(at - ledger_statements_sql);
    memcpy(text, ledger_statements_sql, before);
    memcpy(text + before, bare, sizeof(bare) - 1);
    memcpy(text + before + sizeof(bare) - 1, at + sizeof(real) - 1,
           len - before - sizeof(real) + 1);
    return text;
}

static int64_t number_of(const char *text)
{
    int64_t value = 0;
    must(slice_to_i64(slice_of(text), &value), "a number");
    return value;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    if (argc != 6) {
        fprintf(stderr, "usage: ledger_post_bench CONNECTION ROLE ORG_FIRST ORGS PRICE_ID\n");
        return 2;
    }
    bench.org_first = number_of(argv[3]);
    bench.orgs = (uint32_t)number_of(argv[4]);
    bench.price_id = (uint32_t)number_of(argv[5]);
    struct db_statements statements = {bare_statements()};
    must(db_open(argv[1], argv[2], &store_statements, &bench.db), "the database");
    must(db_open(argv[1], argv[2], &statements, &bench.bare_db), "the database");
    db_serve_batches(bench.db, (size_t)BATCH * ROW_PARAMETERS);
    db_serve_batches(bench.bare_db, (size_t)BATCH * ROW_PARAMETERS);
    must(store_load_prices(bench.db, &bench.prices), "prices");
    const struct price_row *row = prices_find(bench.prices, bench.price_id);
    if (row == NULL) must(FAIL(UNKNOWN_PRICE), "the price");
    must(billing_charge(row, &usage, &bench.charge), "the charge");
    must(store_read_stream(bench.db, CELL, INCARNATION, &bench.stream), "the stream");
    bench.hold = bench.stream.last_seq / 2;
    bench.posting.cell = CELL;
    bench.posting.incarnation = INCARNATION;
    arena_init(&bench.arena, ARENA_MAX);
    arena_reserve(&bench.arena, (size_t)BATCH * ROW_MEMORY);
    buffer_init(&bench.records, (size_t)BATCH * 2 * RECORD_SIZE_MAX);
    run_rounds(&bench);
    return 0;
}
