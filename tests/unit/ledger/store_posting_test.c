/* SPDX-License-Identifier: Apache-2.0 */
/* One posting transaction against a real PostgreSQL: repeats, somebody else at the same rows, uses
 * of keys, and the proof that anybody can compute. */
#include "tests/unit/test.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "services/ledger/store.h"
#include "tests/unit/ledger/store_scene.h"

#define ANOTHER ((client_prefix)0x0400c63364000000)

static void gather(struct world *world, struct posting *posting, struct arena *arena)
{
    *posting = (struct posting){.cell = 1,
                                .incarnation = sql_book_incarnation(scene_sql),
                                .hold_first = 1,
                                .hold_floor = 1};
    posting_begin(posting, arena, 16);
    slice bytes = buffer_slice(&world->disk);
    while (bytes.len > 0) {
        struct record record;
        size_t taken;
        assert_ok(record_next(bytes, &record, &taken));
        assert_ok(posting_add(posting, &record));
        bytes = slice_from(bytes, taken);
    }
}

TEST(a_batch_that_is_posted_twice_is_booked_once)
{
    struct world world;
    struct posting posting;
    struct arena arena;
    arena_init(&arena, (size_t)16 << 20);
    scene_begin(&world, 10 * DOLLAR);
    scene_settle_three(&world);
    gather(&world, &posting, &arena);
    assert_ok(store_post(sql_book_db(scene_sql), &posting));
    gather(&world, &posting, &arena);
    assert_fails(store_post(sql_book_db(scene_sql), &posting), CONFLICT);
    assert_int_equal(sql_book_number(scene_sql, "select sum(charge) from generation"), 60 * CENT);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from generation"), 3);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    arena_free(&arena);
    world_free(&world);
}

/* Begins the one period of key 1 that never ends and commits half a second later. */
static const struct db_statements beginner_statements = {
    "-- name: begin_period\n"
    "insert into meter_period (org, meter, period) values (1, $1, 0);\n"
    "-- name: pause\n"
    "select pg_sleep(0.5);\n"};

struct beginner {
    struct db *db;
    sem_t begun;
};

static status begin_and_pause(struct db *db, void *context)
{
    struct beginner *beginner = context;
    const struct db_param meter = DB_P_I64(meter_of_key(1, CADENCE_LIFE));
    status done = db_run(db, "begin_period", &meter, 1, NULL);
    (void)sem_post(&beginner->begun);
    TRY(done);
    return db_run(db, "pause", NULL, 0, NULL);
}

static void *run_beginner(void *context)
{
    struct beginner *beginner = context;
    assert_ok(db_transaction(beginner->db, 0, begin_and_pause, beginner));
    return NULL;
}

/* The update does not see the other's row and the insert meets it. */
TEST(a_batch_whose_period_somebody_else_begins_meanwhile_is_not_booked_but_can_be_again)
{
    struct world world;
    struct posting posting;
    struct arena arena;
    struct beginner beginner;
    pthread_t thread;
    arena_init(&arena, (size_t)16 << 20);
    scene_begin(&world, 10 * DOLLAR);
    scene_settle_three(&world);
    assert_ok(db_open(sql_book_connection(scene_sql), "bourse_ledger", &beginner_statements,
                      &beginner.db));
    assert_int_equal(sem_init(&beginner.begun, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_beginner, &beginner), 0);
    assert_int_equal(sem_wait(&beginner.begun), 0);
    gather(&world, &posting, &arena);
    assert_fails(store_post(sql_book_db(scene_sql), &posting), DATABASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from generation"), 0);
    gather(&world, &posting, &arena);
    assert_ok(store_post(sql_book_db(scene_sql), &posting));
    /* 10 + 20 + 30 cents in each of the key's four periods */
    assert_int_equal(sql_book_number(scene_sql, "select sum(spent) from meter_period"),
                     4 * 60 * CENT);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    db_close(&beginner.db);
    (void)sem_destroy(&beginner.begun);
    arena_free(&arena);
    world_free(&world);
}

/* The next batch, of this alone. */
static void post_use(struct posting *posting, struct arena *arena, const struct record_use *use)
{
    struct buffer bytes;
    struct record record;
    size_t taken;
    uint64_t lo = posting->hi;
    memcpy(posting->previous_link, posting->link, HASH_SIZE);
    posting_begin(posting, arena, 16);
    posting->lo = posting->hi = lo;
    buffer_init(&bytes, 4096);
    record_append_use(&bytes, (struct record_place){.seq = lo + 1}, use);
    assert_ok(record_next(buffer_slice(&bytes), &record, &taken));
    assert_ok(posting_add(posting, &record));
    assert_ok(store_post(sql_book_db(scene_sql), posting));
    buffer_free(&bytes);
}

static void assert_used(int64_t used_ns, const char *prefix)
{
    char query[160];
    (void)snprintf(query, sizeof(query),
                   "select count(*) from key_use where org = 1 and key = 1 and used_ns = %lld and "
                   "coalesce(prefix::text, 'null') = '%s'",
                   (long long)used_ns, prefix);
    assert_int_equal(sql_book_number(scene_sql, query), 1);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from key_use"), 1);
}

TEST(the_last_use_of_a_key_is_a_row_which_an_older_one_does_not_change)
{
    struct world world;
    struct posting posting;
    struct arena arena;
    arena_init(&arena, (size_t)16 << 20);
    scene_begin(&world, 10 * DOLLAR);
    int64_t at_ns = world.now.wall.ns;
    scene_settle_three(&world);
    gather(&world, &posting, &arena);
    assert_ok(store_post(sql_book_db(scene_sql), &posting));
    assert_used(at_ns, "203.0.113.0/24");
    post_use(&posting, &arena, &(struct record_use){1, 1, at_ns - 1, ANOTHER});
    assert_used(at_ns, "203.0.113.0/24");
    post_use(&posting, &arena, &(struct record_use){1, 1, at_ns + 1, ANOTHER});
    assert_used(at_ns + 1, "198.51.100.0/24");
    post_use(&posting, &arena, &(struct record_use){1, 1, at_ns + 2, CLIENT_PREFIX_UNKNOWN});
    assert_used(at_ns + 2, "null");
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    arena_free(&arena);
    world_free(&world);
}

TEST(the_link_of_a_batch_is_what_anybody_can_compute_from_its_rows)
{
    struct world world;
    struct posting posting;
    struct arena arena;
    arena_init(&arena, (size_t)16 << 20);
    scene_begin(&world, 10 * DOLLAR);
    scene_settle_three(&world);
    gather(&world, &posting, &arena);
    assert_ok(store_post(sql_book_db(scene_sql), &posting));
    /* The audit recomputes the chain; a root that is touched must break it. */
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    sql_book_run(scene_sql, "alter table batch disable trigger batch_is_final;"
                            "update batch set root = sha256('x');"
                            "alter table batch enable trigger batch_is_final");
    assert_int_not_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    arena_free(&arena);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_that_is_posted_twice_is_booked_once),
        cmocka_unit_test(
            a_batch_whose_period_somebody_else_begins_meanwhile_is_not_booked_but_can_be_again),
        cmocka_unit_test(the_last_use_of_a_key_is_a_row_which_an_older_one_does_not_change),
        cmocka_unit_test(the_link_of_a_batch_is_what_anybody_can_compute_from_its_rows),
    };
    return cmocka_run_group_tests_name("ledger store posting", tests, scene_set_up,
                                       scene_tear_down);
}
