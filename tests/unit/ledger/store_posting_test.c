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

struct booking {
    struct world world;
    struct posting posting;
    struct arena arena;
};

static void gather(struct booking *booking)
{
    struct posting *posting = &booking->posting;
    *posting = (struct posting){.cell = 1,
                                .incarnation = sql_book_incarnation(scene_sql),
                                .hold_first = 1,
                                .hold_floor = 1};
    posting_begin(posting, &booking->arena, 16);
    slice bytes = buffer_slice(&booking->world.disk);
    while (bytes.len > 0) {
        struct record record;
        size_t taken;
        assert_ok(record_next(bytes, &record, &taken));
        assert_ok(posting_add(posting, &record));
        bytes = slice_from(bytes, taken);
    }
}

static status post(struct booking *booking)
{
    return store_post(sql_book_db(scene_sql), &booking->posting);
}

/* Three requests of 10, 20 and 30 cents, gathered, of an organization with $10 of credit and what
 * the SQL makes of it. The arena has been used, as a poster's has. */
static void begin_after(struct booking *booking, const char *sql)
{
    enum { USED = 1 << 20 };
    arena_init(&booking->arena, (size_t)16 << 20);
    void *used = arena_alloc_unset(&booking->arena, 1, USED);
    assert_non_null(used);
    memset(used, 0xa5, USED);
    arena_reset(&booking->arena);
    scene_begin(&booking->world, 10 * DOLLAR);
    if (sql != NULL) sql_book_run(scene_sql, sql);
    scene_settle_three(&booking->world);
    gather(booking);
}

static void begin(struct booking *booking)
{
    begin_after(booking, NULL);
}

static void end(struct booking *booking)
{
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    arena_free(&booking->arena);
    world_free(&booking->world);
}

TEST(a_batch_that_is_posted_twice_is_booked_once)
{
    struct booking booking;
    begin(&booking);
    assert_ok(post(&booking));
    gather(&booking);
    assert_fails(post(&booking), CONFLICT);
    assert_int_equal(sql_book_number(scene_sql, "select sum(charge) from generation"), 60 * CENT);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from generation"), 3);
    end(&booking);
}

/* The 20 cents, whose lease is gone. */
static void uncover_second(struct booking *booking)
{
    struct record_ending *ending = &booking->posting.endings[1];
    ending->leased = MONEY_ZERO;
    ending->epoch = 0;
    ending->meters.bytes = SLICE_NONE;
}

/* They are paid from what is left of the credit. */
TEST(what_no_lease_covered_is_paid_from_the_accounts_of_its_organization)
{
    struct booking booking;
    begin(&booking);
    uncover_second(&booking);
    assert_ok(post(&booking));
    assert_int_equal(sql_book_number(scene_sql, "select sum(amount) from transfer where code = "
                                                "'settle_late' and debit_kind = 1"),
                     20 * CENT);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from account where org <> 0 and "
                                                "(detail <> 0 or kind = 4 and debits > 0)"),
                     0);
    end(&booking);
}

/* They are owed like all that is used on a line, and the credit stays. */
TEST(what_no_lease_covered_is_owed_where_the_organization_has_a_line)
{
    struct booking booking;
    begin_after(&booking, "insert into account (org, kind, line) values (1, 4, 10000000000) "
                          "on conflict (org, kind, cell, detail) do update set line = 10000000000");
    uncover_second(&booking);
    assert_ok(post(&booking));
    assert_int_equal(sql_book_number(scene_sql, "select sum(amount) from transfer where code = "
                                                "'settle_late' and debit_kind = 4"),
                     20 * CENT);
    assert_int_equal(sql_book_number(scene_sql, "select credits - debits from account where "
                                                "org = 1 and kind = 1"),
                     10 * DOLLAR);
    end(&booking);
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
    struct booking booking;
    struct beginner beginner;
    pthread_t thread;
    begin(&booking);
    assert_ok(db_open(sql_book_connection(scene_sql), "bourse_ledger", &beginner_statements,
                      &beginner.db));
    assert_int_equal(sem_init(&beginner.begun, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_beginner, &beginner), 0);
    assert_int_equal(sem_wait(&beginner.begun), 0);
    assert_fails(post(&booking), DATABASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from generation"), 0);
    gather(&booking);
    assert_ok(post(&booking));
    /* 10 + 20 + 30 cents in each of the key's four periods */
    assert_int_equal(sql_book_number(scene_sql, "select sum(spent) from meter_period"),
                     4 * 60 * CENT);
    db_close(&beginner.db);
    (void)sem_destroy(&beginner.begun);
    end(&booking);
}

/* The next batch, of this alone. */
static void post_use(struct booking *booking, const struct record_use *use)
{
    struct posting *posting = &booking->posting;
    struct buffer bytes;
    struct record record;
    size_t taken;
    uint64_t lo = posting->hi;
    memcpy(posting->previous_link, posting->link, HASH_SIZE);
    posting_begin(posting, &booking->arena, 16);
    posting->lo = posting->hi = lo;
    buffer_init(&bytes, 4096);
    record_append_use(&bytes, (struct record_place){.seq = lo + 1}, use);
    assert_ok(record_next(buffer_slice(&bytes), &record, &taken));
    assert_ok(posting_add(posting, &record));
    assert_ok(post(booking));
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
    struct booking booking;
    begin(&booking);
    int64_t at_ns = booking.world.now.wall.ns;
    assert_ok(post(&booking));
    assert_used(at_ns, "203.0.113.0/24");
    post_use(&booking, &(struct record_use){1, 1, at_ns - 1, ANOTHER});
    assert_used(at_ns, "203.0.113.0/24");
    post_use(&booking, &(struct record_use){1, 1, at_ns + 1, ANOTHER});
    assert_used(at_ns + 1, "198.51.100.0/24");
    post_use(&booking, &(struct record_use){1, 1, at_ns + 2, CLIENT_PREFIX_UNKNOWN});
    assert_used(at_ns + 2, "null");
    end(&booking);
}

/* The audit recomputes the chain; a root that is touched breaks it until it is right again. */
TEST(the_link_of_a_batch_is_what_anybody_can_compute_from_its_rows)
{
    struct booking booking;
    begin(&booking);
    assert_ok(post(&booking));
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    sql_book_run(scene_sql, "alter table batch disable trigger batch_is_final;"
                            "create table kept as select root from batch;"
                            "update batch set root = sha256('x')");
    assert_int_not_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    sql_book_run(scene_sql, "update batch set root = (select root from kept); drop table kept;"
                            "alter table batch enable trigger batch_is_final");
    end(&booking);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_that_is_posted_twice_is_booked_once),
        cmocka_unit_test(what_no_lease_covered_is_paid_from_the_accounts_of_its_organization),
        cmocka_unit_test(what_no_lease_covered_is_owed_where_the_organization_has_a_line),
        cmocka_unit_test(
            a_batch_whose_period_somebody_else_begins_meanwhile_is_not_booked_but_can_be_again),
        cmocka_unit_test(the_last_use_of_a_key_is_a_row_which_an_older_one_does_not_change),
        cmocka_unit_test(the_link_of_a_batch_is_what_anybody_can_compute_from_its_rows),
    };
    return cmocka_run_group_tests_name("ledger store posting", tests, scene_set_up,
                                       scene_tear_down);
}
