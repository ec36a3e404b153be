/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's SQL against a real PostgreSQL with the real schema and grants: the same tables as in
 * memory, and single calls that no table can say: repeats, fences, poison records. schema/audit.sql
 * finds nothing after each. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "services/ledger/poster.h"
#include "services/ledger/store.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "tests/unit/ledger/store_scene.h"
#include "tests/unit/ledger/tables.h"

static int run_one(const char *path)
{
    static struct run run;
    run = (struct run){0};
    sql_book_clear(scene_sql);
    world_init_with(&run.world, &sql_book, scene_sql);
    int failures = tables_run(&run, path);
    world_sync(&run.world);
    world_post(&run.world);
    failures += sql_book_audit(scene_sql, SCENE_EXPECTED);
    world_free(&run.world);
    return failures;
}

TEST(every_table_holds_in_postgresql_too_and_the_audit_finds_nothing)
{
    assert_int_equal(tables_run_all(run_one), 0);
}

/* ---- leases
 * ------------------------------------------------------------------------------------- */

static struct lease_request request_of(int64_t need, int64_t want, int64_t returned)
{
    return (struct lease_request){
        .org = 1, .count = 1, .items = {{.need = {need}, .want = {want}, .returned = {returned}}}};
}

TEST(a_return_that_is_repeated_gives_back_once)
{
    struct world world;
    struct lease_answer answer;
    scene_begin(&world, DOLLAR);
    struct store_cell cell = {1, world.settings.epoch};
    struct lease_request grant = request_of(60 * CENT, 0, 0);
    assert_ok(store_lease(sql_book_db(scene_sql), &cell, &grant, &answer));
    assert_int_equal(answer.items[0].granted.nano, 60 * CENT);
    assert_int_equal(answer.items[0].available.nano, 40 * CENT);
    struct lease_request back = request_of(0, 0, 25 * CENT);
    for (int i = 0; i < 2; i++) {
        assert_ok(store_lease(sql_book_db(scene_sql), &cell, &back, &answer));
        assert_int_equal(answer.items[0].returned.nano, 25 * CENT);
        assert_int_equal(answer.items[0].granted.nano, 60 * CENT);
    }
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PAID), 65 * CENT);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_ESCROW), 35 * CENT);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    world_free(&world);
}

TEST(more_than_there_is_is_never_granted)
{
    struct world world;
    struct lease_answer answer;
    scene_begin(&world, DOLLAR);
    struct store_cell cell = {1, world.settings.epoch};
    struct lease_request grant = request_of(5 * DOLLAR, 0, 0);
    assert_ok(store_lease(sql_book_db(scene_sql), &cell, &grant, &answer));
    assert_int_equal(answer.items[0].granted.nano, DOLLAR);
    assert_int_equal(answer.items[0].available.nano, 0);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    world_free(&world);
}

TEST(what_is_wanted_ahead_of_need_takes_at_most_half)
{
    struct world world;
    struct lease_answer answer;
    scene_begin(&world, DOLLAR);
    struct store_cell cell = {1, world.settings.epoch};
    struct lease_request grant = request_of(0, 5 * DOLLAR, 0);
    assert_ok(store_lease(sql_book_db(scene_sql), &cell, &grant, &answer));
    assert_int_equal(answer.items[0].granted.nano, 50 * CENT);
    world_free(&world);
}

TEST(a_ledger_of_an_older_epoch_gets_no_more_to_spend)
{
    struct world world;
    struct lease_answer answer;
    uint64_t newer;
    scene_begin(&world, DOLLAR);
    struct store_cell cell = {1, world.settings.epoch};
    assert_ok(store_begin_cell(sql_book_db(scene_sql), 1, &newer));
    struct lease_request grant = request_of(CENT, 0, 0);
    assert_fails(store_lease(sql_book_db(scene_sql), &cell, &grant, &answer), CONFLICT);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_ESCROW), 0);
    world_free(&world);
}

struct beginning {
    struct db *other;
    status begun;
};

/* The first step of a grant, and a start of the cell's ledger before its last. */
static status check_and_begin(struct db *db, void *context)
{
    struct beginning *beginning = context;
    uint64_t epoch;
    const struct db_param params[] = {DB_P_I64(1), DB_P_I64(1)};
    TRY(db_run(db, "lease_begin", params, 2, NULL));
    beginning->begun = store_begin_cell(beginning->other, 1, &epoch);
    return OK;
}

/* A grant of a ledger that was killed: its COMMIT is still under way. The next epoch must not begin
 * before, or the grant comes to be after the move that was to take it back. */
TEST(a_new_epoch_does_not_begin_while_a_grant_of_the_old_one_may_still_commit)
{
    struct world world;
    struct db *granting = NULL;
    uint64_t newer;
    scene_begin(&world, DOLLAR);
    assert_ok(
        db_open(sql_book_connection(scene_sql), "bourse_ledger", &store_statements, &granting));
    sql_book_run(scene_sql, "alter role bourse_ledger set lock_timeout = '50ms'");
    struct db *other = NULL;
    assert_ok(db_open(sql_book_connection(scene_sql), "bourse_ledger", &store_statements, &other));
    struct beginning beginning = {.other = other};
    status done = db_transaction(granting, 0, check_and_begin, &beginning);
    sql_book_run(scene_sql, "alter role bourse_ledger reset lock_timeout");
    db_close(&granting);
    db_close(&other);
    assert_ok(done);
    assert_fails(beginning.begun, DATABASE);
    assert_ok(store_begin_cell(sql_book_db(scene_sql), 1, &newer));
    assert_int_equal(newer, world.settings.epoch + 1);
    world_free(&world);
}

static status lease_leased(struct db *db, void *context)
{
    const int64_t org = 1, period = 0, meter = meter_of_key(1, CADENCE_LIFE);
    const struct db_param params[] = {DB_P_I64_ARRAY(&org, 1), DB_P_I64_ARRAY(&meter, 1),
                                      DB_P_I64_ARRAY(&period, 1),
                                      DB_P_I64_ARRAY((int64_t *)context, 1)};
    return db_run(db, "periods_lease", params, 4, NULL);
}

/* A limit of $1, of which 60 cents are leased. A ledger with a fault that lends a nano-dollar too
 * much is refused by the row itself. Lowered to 50 cents elsewhere, the row is 10 cents over and a
 * lease changes nothing of that; when 30 cents came back it is not over any more, and stays so. */
TEST(no_lease_explains_what_is_over_a_limit_but_a_lower_limit_does)
{
    struct world world;
    scene_begin(&world, 10 * DOLLAR);
    struct model_key *key = model_key(&world.model, 1);
    key->has_limit = true;
    key->limit = DOLLAR;
    key->cadence = CADENCE_LIFE;
    sql_book.key(&world, key);
    sql_book_run(scene_sql, "insert into meter_period (org, meter, period, limit_nano, leased) "
                            "values (1, 4, 0, 1000000000, 600000000)");
    int64_t leased = DOLLAR + 1;
    assert_fails(db_transaction(sql_book_db(scene_sql), 0, lease_leased, &leased), DATABASE_CHECK);
    sql_book_run(scene_sql, "update meter set limit_nano = 500000000 where limit_nano is not null");
    leased = 60 * CENT;
    assert_ok(db_transaction(sql_book_db(scene_sql), 0, lease_leased, &leased));
    assert_int_equal(sql_book_number(scene_sql, "select over from meter_period where meter = 4"),
                     10 * CENT);
    leased = 61 * CENT;
    assert_fails(db_transaction(sql_book_db(scene_sql), 0, lease_leased, &leased), DATABASE_CHECK);
    leased = 30 * CENT;
    assert_ok(db_transaction(sql_book_db(scene_sql), 0, lease_leased, &leased));
    assert_int_equal(sql_book_number(scene_sql, "select over from meter_period where meter = 4"),
                     0);
    world_free(&world);
}

/* ---- the move to a new epoch
 * -------------------------------------------------------------------- */

static void nothing_kept(void *context, const struct lease_held *lease, money granted)
{
    (void)context;
    (void)lease;
    (void)granted;
}

/* As at a start with no hold open. */
static void move_all(void)
{
    struct store_move move = {.cell = 1, .kept = nothing_kept};
    assert_ok(store_begin_cell(sql_book_db(scene_sql), 1, &move.epoch));
    assert_ok(store_move_leases(sql_book_db(scene_sql), &move));
}

static void lend(const struct store_cell *cell, int64_t org, int64_t nano)
{
    struct lease_answer answer;
    struct lease_request grant = request_of(nano, 0, 0);
    grant.org = org;
    assert_ok(store_lease(sql_book_db(scene_sql), cell, &grant, &answer));
    assert_int_equal(answer.items[0].granted.nano, nano);
}

/* Organization 2 has a line of $10 and two leases on it, $2 and then, in the next epoch, $3. $4
 * came in by invoice, so it owes 5 - 4 = $1, and of the $5 in escrow only that fits back. Whoever
 * books such a payment is at fault, but the cell has to start. */
TEST(what_does_not_fit_back_onto_a_line_stays_and_is_named_and_all_else_moves)
{
    struct world world;
    scene_begin(&world, 10 * DOLLAR);
    struct store_cell cell = {1, world.settings.epoch};
    sql_book_run(scene_sql, "insert into org (org, name) values (2, 'Line');"
                            "insert into account (org, kind, line) values (2, 4, 10000000000)");
    lend(&cell, 1, 3 * DOLLAR);
    lend(&cell, 2, 2 * DOLLAR);
    assert_ok(store_begin_cell(sql_book_db(scene_sql), 1, &cell.epoch));
    lend(&cell, 2, 3 * DOLLAR);
    sql_book_run(
        scene_sql,
        "update account set credits = credits + 4000000000 where org = 2 and kind = 4;"
        "insert into account (org, kind, cell, debits) values (0, 101, 1, 4000000000) on "
        "conflict (org, kind, cell, detail) do update set debits = account.debits + 4000000000;"
        "insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference) "
        "values (2, 101, 4, 1, 4000000000, 'invoice_payment', 'test')");
    move_all();
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PAID), 10 * DOLLAR);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_ESCROW), 0);
    assert_int_equal(sql_book.figure(&world, 2, BOOK_OWED), 0);
    assert_int_equal(sql_book.figure(&world, 2, BOOK_ESCROW), 4 * DOLLAR);
    assert_int_equal(
        sql_book_audit(scene_sql, SCENE_EXPECTED " lease_is_of_its_epoch line_lease_is_owed"), 0);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED " line_lease_is_owed"), 2);
    /* When the payment was taken back, the next start finds room for the rest. */
    sql_book_run(
        scene_sql,
        "update account set debits = debits + 4000000000 where org = 2 and kind = 4;"
        "update account set credits = credits + 4000000000 where org = 0 and kind = 101;"
        "insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference) "
        "values (2, 4, 101, 1, 4000000000, 'reinstatement', 'debt')");
    move_all();
    assert_int_equal(sql_book.figure(&world, 2, BOOK_OWED), 0);
    assert_int_equal(sql_book.figure(&world, 2, BOOK_ESCROW), 0);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    world_free(&world);
}

/* ---- callers
 * ------------------------------------------------------------------------------------- */

#define NANO_PER_SECOND ((int64_t)1000000000)
/* 2097-01-01 and 2098-01-01 in UTC: 127 and 128 years after 1970, 32 of them leap years. */
#define START_OF_2097   ((127 * 365 + 32) * (int64_t)86400 * NANO_PER_SECOND)
#define START_OF_2098   ((128 * 365 + 32) * (int64_t)86400 * NANO_PER_SECOND)

static struct caller_answer load_caller(int64_t key)
{
    struct caller_answer answer;
    struct key_hash stored = model_hash(key);
    assert_ok(store_load_caller(sql_book_db(scene_sql), &stored, &answer));
    return answer;
}

TEST(a_secret_ends_with_its_key_or_at_a_time_of_its_own_whichever_comes_first)
{
    struct world world;
    scene_begin(&world, DOLLAR);
    assert_int_equal(load_caller(1).caller.expires_ns, 0);
    sql_book_run(scene_sql, "update key_place set ends_at = '2098-01-01Z'");
    assert_int_equal(load_caller(1).caller.expires_ns, START_OF_2098);
    sql_book_run(scene_sql, "update api_key set expires_at = '2097-01-01Z'");
    assert_int_equal(load_caller(1).caller.expires_ns, START_OF_2097);
    sql_book_run(scene_sql, "update key_place set ends_at = null");
    assert_int_equal(load_caller(1).caller.expires_ns, START_OF_2097);
    assert_int_equal(load_caller(1).error, ERROR_NONE);
    world_free(&world);
}

TEST(a_secret_that_has_ended_says_so_by_the_clock_that_ended_it_and_a_deleted_key_is_none)
{
    struct world world;
    scene_begin(&world, DOLLAR);
    sql_book_run(scene_sql, "update key_place set ends_at = now()");
    assert_int_equal(load_caller(1).error, ERROR_KEY_EXPIRED);
    sql_book_run(scene_sql, "update api_key set disabled = true");
    assert_int_equal(load_caller(1).error, ERROR_KEY_EXPIRED);
    sql_book_run(scene_sql, "update key_place set ends_at = now() + interval '1 hour'");
    assert_int_equal(load_caller(1).error, ERROR_KEY_DISABLED);
    sql_book_run(scene_sql, "update api_key set deleted_at = now()");
    assert_int_equal(load_caller(1).error, ERROR_BAD_KEY);
    world_free(&world);
}

/* ---- poison
 * ------------------------------------------------------------------------------------- */

static void nothing_posted(void *context, uint64_t seq)
{
    (void)context;
    (void)seq;
}

/* The world's records in a segment, and the real poster. */
struct disk {
    char directory[32];
    char path[JOURNAL_PATH_MAX];
    struct poster *poster;
};

static void write_disk(struct world *world, struct disk *disk)
{
    *disk = (struct disk){.directory = "/tmp/bourse-poison-XXXXXX"};
    assert_non_null(mkdtemp(disk->directory));
    struct segment_head head = {.cell = 1,
                                .incarnation = sql_book_incarnation(scene_sql),
                                .number = 1,
                                .first_seq = 1,
                                .next_hold = 1};
    struct buffer bytes;
    buffer_init(&bytes, (size_t)1 << 20);
    segment_head_append(&bytes, &head);
    buffer_append(&bytes, buffer_slice(&world->disk));
    assert_ok(journal_file_path(disk->directory, head.incarnation, 1, disk->path));
    FILE *file = fopen(disk->path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
    struct poster_settings settings = {.directory = disk->directory,
                                       .database = sql_book_connection(scene_sql),
                                       .cell = 1,
                                       .incarnation = head.incarnation,
                                       .number = 1,
                                       .stream = {.hold_floor = 1},
                                       .batch_max = 16,
                                       .interval_ms = 1,
                                       .posted = nothing_posted};
    assert_ok(poster_new(&settings, &disk->poster));
    buffer_free(&bytes);
}

static void remove_disk(struct disk *disk)
{
    poster_free(&disk->poster);
    assert_int_equal(remove(disk->path) | remove(disk->directory), 0);
}

/* After a failure the poster opens another connection, a little later. */
static void catch_up_at_last(struct disk *disk, uint64_t last)
{
    uint64_t until_ms = clock_monotonic_ms() + 5000;
    status done = poster_catch_up(disk->poster, last);
    while (done.code == ERROR_DATABASE && clock_monotonic_ms() < until_ms)
        done = poster_catch_up(disk->poster, last);
    assert_ok(done);
}

static void post_from_disk(struct world *world)
{
    struct disk disk;
    write_disk(world, &disk);
    assert_ok(poster_catch_up(disk.poster, core_view(world->core).seq_last));
    remove_disk(&disk);
}

/* One settled request of 10 cents, and somebody who holds the lease's row for longer than
 * PostgreSQL lets us wait. That is nobody's fault: as a late charge it would strand what it was
 * held from. */
TEST(a_lone_ending_that_met_a_lock_is_posted_as_usual_when_the_lock_is_gone)
{
    struct world world;
    struct disk disk;
    scene_begin(&world, 10 * DOLLAR);
    struct message_hold message = scene_hold(40 * CENT);
    (void)world_settle(&world, 0, world_hold(&world, 1, &message).hold, 10 * CENT);
    uint64_t last = core_view(world.core).seq_last;
    sql_book_run(scene_sql, "alter role bourse_ledger set lock_timeout = '50ms'");
    write_disk(&world, &disk);
    sql_book_run(scene_sql, "begin; select 1 from lease where meter = 0 for update");
    status refused = poster_catch_up(disk.poster, last);
    sql_book_run(scene_sql, "rollback; alter role bourse_ledger reset lock_timeout");
    assert_fails(refused, DATABASE);
    catch_up_at_last(&disk, last);
    remove_disk(&disk);
    assert_int_equal(sql_book_number(scene_sql, "select settled from lease where meter = 0"),
                     10 * CENT);
    assert_int_equal(
        sql_book_number(scene_sql, "select count(*) from transfer where code = 'settle_late'"), 0);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    world_free(&world);
}

/* A grant that is missing: every record would be refused, one after the other, the late way and the
 * other. They wait. */
TEST(a_schema_that_does_not_let_us_write_sets_no_record_aside)
{
    struct world world;
    struct disk disk;
    scene_begin(&world, 10 * DOLLAR);
    scene_settle_three(&world);
    uint64_t last = core_view(world.core).seq_last;
    write_disk(&world, &disk);
    sql_book_run(scene_sql, "revoke update on lease from bourse_ledger");
    assert_fails(poster_catch_up(disk.poster, last), INTERNAL);
    sql_book_run(scene_sql, "grant update on lease to bourse_ledger");
    assert_ok(poster_catch_up(disk.poster, last));
    remove_disk(&disk);
    assert_int_equal(sql_book_number(scene_sql, "select settled from lease where meter = 0"),
                     60 * CENT);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from suspense"), 0);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    world_free(&world);
}

TEST(a_record_whose_lease_is_gone_is_paid_late_and_its_neighbours_as_usual)
{
    struct world world;
    scene_begin(&world, 10 * DOLLAR);
    scene_settle_three(&world);
    /* As if somebody had taken back what the third settled from: granted just covers 10 + 20
     * cents. */
    int64_t left = sql_book_number(scene_sql, "select sum(granted - 300000000) from lease");
    char text[512];
    (void)snprintf(
        text, sizeof(text),
        "update lease set returned = %lld;"
        "update account set debits = debits + %lld where kind = 3;"
        "update account set credits = credits + %lld where kind = 1;"
        "insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference) "
        "values (1, 3, 1, 1, %lld, 'lease_return', 'test')",
        (long long)left, (long long)left, (long long)left, (long long)left);
    sql_book_run(scene_sql, text);
    post_from_disk(&world);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from generation"), 3);
    assert_int_equal(
        sql_book_number(scene_sql, "select sum(amount) from transfer where code = 'settle_late'"),
        30 * CENT);
    assert_int_equal(
        sql_book_number(scene_sql, "select sum(amount) from transfer where code = 'settle'"),
        30 * CENT);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PAID), 940 * CENT);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from suspense"), 0);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    world_free(&world);
}

/* As above for requests with own keys: a free one whose place in the allowance was taken back, and
 * a fee that nothing covers. What the client was told stands, and the books say so. */
TEST(a_fee_and_a_free_request_whose_leases_are_gone_are_booked_as_they_were_told)
{
    struct world world;
    sql_book_clear(scene_sql);
    world_init_with(&world, &sql_book, scene_sql);
    struct model_plan plan = model_org(&world.model, 1)->plan;
    plan.allowance = 1; /* request; 5 % beyond */
    sql_book.credit(&world, 1, DOLLAR, false);
    sql_book.key(&world, model_add_key(&world.model, 1, 1));
    sql_book.plan(&world, 1, &plan);
    struct message_hold message = scene_hold(DOLLAR);
    message.byok = 1;
    for (int64_t fee = 0; fee <= 5 * CENT; fee += 5 * CENT) {
        struct message_held held = world_hold(&world, 1, &message);
        assert_int_equal(world_settle(&world, 0, held.hold, DOLLAR), fee);
    }
    int64_t left = sql_book_number(scene_sql, "select granted from lease where meter = 0");
    char text[1024];
    (void)snprintf(
        text, sizeof(text),
        "update lease set returned = granted;"
        "update meter_period set leased = 0;"
        "update account set debits = debits + %lld where kind = 3;"
        "update account set credits = credits + %lld where kind = 1;"
        "insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference) "
        "values (1, 3, 1, 1, %lld, 'lease_return', 'test')",
        (long long)left, (long long)left, (long long)left);
    sql_book_run(scene_sql, text);
    post_from_disk(&world);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from generation"), 2);
    assert_int_equal(
        sql_book_number(scene_sql,
                        "select amount from transfer where code = 'byok_fee' and debit_kind = "
                        "1 and credit_kind = 113"),
        5 * CENT);
    assert_int_equal(
        sql_book_number(scene_sql, "select credits from account where org = 0 and kind = 113"),
        5 * CENT);
    assert_int_equal(
        sql_book_number(scene_sql,
                        "select spent from meter_period where meter_is_allowance(meter)"),
        1);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PAID), 95 * CENT);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 0);
    world_free(&world);
}

TEST(a_record_that_no_path_can_post_waits_in_suspense_and_its_neighbours_do_not)
{
    struct world world;
    scene_begin(&world, 10 * DOLLAR);
    scene_settle_three(&world);
    /* The row of the second is there already: a rule that neither way can get past. */
    sql_book_run(scene_sql,
                 "alter table generation add constraint test_poison check (charge <> 200000000)");
    post_from_disk(&world);
    sql_book_run(scene_sql, "alter table generation drop constraint test_poison");
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from generation"), 2);
    assert_int_equal(sql_book_number(scene_sql, "select sum(charge) from generation"), 40 * CENT);
    assert_int_equal(
        sql_book_number(scene_sql, "select count(*) from suspense where sqlstate = '23514'"), 1);
    assert_int_equal(sql_book_number(scene_sql, "select last_seq from stream"),
                     (int64_t)core_view(world.core).seq_last);
    assert_int_equal(sql_book_number(scene_sql, "select count(*) from key_use"), 1);
    /* The audit reports it, and nothing else. */
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED " suspense_is_empty"), 0);
    assert_int_equal(sql_book_audit(scene_sql, SCENE_EXPECTED), 1);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_holds_in_postgresql_too_and_the_audit_finds_nothing),
        cmocka_unit_test(a_return_that_is_repeated_gives_back_once),
        cmocka_unit_test(more_than_there_is_is_never_granted),
        cmocka_unit_test(what_is_wanted_ahead_of_need_takes_at_most_half),
        cmocka_unit_test(a_ledger_of_an_older_epoch_gets_no_more_to_spend),
        cmocka_unit_test(a_new_epoch_does_not_begin_while_a_grant_of_the_old_one_may_still_commit),
        cmocka_unit_test(no_lease_explains_what_is_over_a_limit_but_a_lower_limit_does),
        cmocka_unit_test(what_does_not_fit_back_onto_a_line_stays_and_is_named_and_all_else_moves),
        cmocka_unit_test(a_secret_ends_with_its_key_or_at_a_time_of_its_own_whichever_comes_first),
        cmocka_unit_test(
            a_secret_that_has_ended_says_so_by_the_clock_that_ended_it_and_a_deleted_key_is_none),
        cmocka_unit_test(a_lone_ending_that_met_a_lock_is_posted_as_usual_when_the_lock_is_gone),
        cmocka_unit_test(a_schema_that_does_not_let_us_write_sets_no_record_aside),
        cmocka_unit_test(a_record_whose_lease_is_gone_is_paid_late_and_its_neighbours_as_usual),
        cmocka_unit_test(
            a_fee_and_a_free_request_whose_leases_are_gone_are_booked_as_they_were_told),
        cmocka_unit_test(
            a_record_that_no_path_can_post_waits_in_suspense_and_its_neighbours_do_not),
    };
    return cmocka_run_group_tests_name("ledger store", tests, scene_set_up, scene_tear_down);
}
