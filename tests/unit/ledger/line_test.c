/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts with a credit line, in a real PostgreSQL: no cell is lent more than the line leaves,
 * what comes back is not owed, and only facts take a receivable over its line. The audit finds
 * nothing after each test. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "services/ledger/store.h"
#include "shared/log.h"
#include "tests/unit/ledger/sql_book.h"

#define MINUTES  ((uint64_t)60 * 1000000000)
#define EXPECTED "default_partition_is_empty"

static struct sql_book *sql;
static struct world world;

static int set_up(void **state)
{
    (void)state;
    log_init("line_test", LOG_LEVEL_ERROR);
    sql = sql_book_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sql_book_free(&sql);
    return 0;
}

static void run(const char *format, int64_t number)
{
    char text[512];
    (void)snprintf(text, sizeof(text), format, (long long)number);
    sql_book_run(sql, text);
}

static void begin(int64_t line)
{
    sql_book_clear(sql);
    world_init_with(&world, &sql_book, sql);
    sql_book_run(sql, "insert into org (org, name) values (1, 'One');"
                      "insert into workspace (org, id, name, slug) values (1, 1, 'One', 'one')");
    run("insert into account (org, kind, line) values (1, 4, %lld)", line);
    sql_book.key(&world, model_add_key(&world.model, 1, 1));
}

static void end(void)
{
    assert_int_equal(sql_book_audit(sql, EXPECTED), 0);
    world_free(&world);
}

/* As the operator's route sets it. */
static void set_line(int64_t line)
{
    run("update account set line = %1$lld, over = greatest(0, debits - credits - %1$lld) "
        "where kind = 4",
        line);
}

static struct lease_total lease(uint16_t cell, int64_t need, int64_t returned)
{
    struct lease_answer answer;
    struct store_cell store_cell = {cell, cell == 1 ? world.settings.epoch : 1};
    struct lease_request request = {
        .org = 1, .count = 1, .items = {{.need = {need}, .returned = {returned}}}};
    assert_ok(store_lease(sql_book_db(sql), &store_cell, &request, &answer));
    return answer.items[0];
}

static int64_t owed(void)
{
    return sql_book.figure(&world, 1, BOOK_OWED);
}

static int64_t over(void)
{
    return sql_book_number(sql, "select over from account where kind = 4");
}

static struct message_held hold(int64_t nano)
{
    struct message_hold message = {
        .caller_version = 1, .fixed = {nano}, .price_ids = {1, {WORLD_PRICE}}};
    return world_hold(&world, 1, &message);
}

/* Posted, and the lease is back. */
static void rest(void)
{
    world_sync(&world);
    world_post(&world);
    world_wait(&world, 2 * MINUTES);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_ESCROW), 0);
}

TEST(leases_are_lent_up_to_the_line_over_all_cells_and_what_comes_back_can_be_lent_again)
{
    uint64_t epoch;
    begin(10 * DOLLAR);
    assert_ok(store_begin_cell(sql_book_db(sql), 2, &epoch));
    assert_int_equal(lease(1, 6 * DOLLAR, 0).granted.nano, 6 * DOLLAR);
    assert_int_equal(owed(), 6 * DOLLAR);
    struct lease_total second = lease(2, 6 * DOLLAR, 0);
    assert_int_equal(second.granted.nano, 4 * DOLLAR);
    assert_int_equal(second.available.nano, 0);
    assert_int_equal(lease(1, 0, DOLLAR).available.nano, DOLLAR);
    assert_int_equal(owed(), 9 * DOLLAR);
    assert_int_equal(lease(2, 6 * DOLLAR, 0).granted.nano, 5 * DOLLAR);
    assert_int_equal(owed(), 10 * DOLLAR);
    end();
}

TEST(what_is_used_is_owed_and_no_more_is_served_than_the_line)
{
    begin(DOLLAR);
    struct message_held held = hold(60 * CENT);
    assert_int_equal(held.error, ERROR_NONE);
    assert_int_equal(hold(50 * CENT).error, ERROR_NO_CREDIT);
    assert_int_equal(world_settle(&world, 0, held.hold, 45 * CENT), 45 * CENT);
    rest();
    assert_int_equal(owed(), 45 * CENT);
    assert_int_equal(hold(55 * CENT + 1).error, ERROR_NO_CREDIT);
    held = hold(55 * CENT);
    assert_int_equal(held.error, ERROR_NONE);
    assert_int_equal(world_settle(&world, 0, held.hold, 55 * CENT), 55 * CENT);
    rest();
    assert_int_equal(owed(), DOLLAR);
    assert_int_equal(hold(1).error, ERROR_NO_CREDIT);
    end();
}

TEST(a_charge_above_its_hold_is_owed_over_the_line_and_nothing_is_lent_until_it_is_paid)
{
    begin(DOLLAR);
    struct message_held held = hold(DOLLAR);
    assert_int_equal(held.error, ERROR_NONE);
    assert_int_equal(world_settle(&world, 0, held.hold, 150 * CENT), 150 * CENT);
    rest();
    assert_int_equal(owed(), 150 * CENT);
    assert_int_equal(over(), 50 * CENT);
    assert_int_equal(lease(1, DOLLAR, DOLLAR).available.nano, 0);
    assert_int_equal(owed(), 150 * CENT);
    end();
}

TEST(a_lowered_line_lends_nothing_and_breaks_nothing_that_runs)
{
    begin(10 * DOLLAR);
    (void)lease(1, 7 * DOLLAR, 0);
    set_line(5 * DOLLAR);
    assert_int_equal(over(), 2 * DOLLAR);
    assert_int_equal(lease(1, DOLLAR, DOLLAR).granted.nano,
                     7 * DOLLAR); /* a dollar back, none lent */
    assert_int_equal(owed(), 6 * DOLLAR);
    assert_int_equal(over(), DOLLAR);
    assert_int_equal(lease(1, 9 * DOLLAR, 4 * DOLLAR).granted.nano,
                     9 * DOLLAR); /* 3 back, 2 lent */
    assert_int_equal(owed(), 5 * DOLLAR);
    assert_int_equal(over(), 0);
    end();
}

TEST(the_database_refuses_a_lease_beyond_the_line_whoever_asks)
{
    begin(DOLLAR);
    const int64_t one[] = {1}, four[] = {4}, zero[] = {0}, line[] = {DOLLAR}, more[] = {DOLLAR + 1};
    struct db_param params[] = {DB_P_I64_ARRAY(one, 1),  DB_P_I64_ARRAY(four, 1),
                                DB_P_I64_ARRAY(zero, 1), DB_P_I64_ARRAY(zero, 1),
                                DB_P_I64_ARRAY(more, 1), DB_P_I64_ARRAY(zero, 1)};
    assert_fails(db_run(sql_book_db(sql), "accounts_lease", params, 6, NULL), DATABASE_CHECK);
    params[4] = DB_P_I64_ARRAY(line, 1);
    assert_ok(db_run(sql_book_db(sql), "accounts_lease", params, 6, NULL));
    sql_book_run(sql, "update account set debits = 0 where kind = 4"); /* no transfer was made */
    end();
}

TEST(a_crash_leaves_to_open_holds_what_they_use_and_the_rest_is_not_owed)
{
    begin(10 * DOLLAR);
    struct message_held held = hold(2 * DOLLAR);
    assert_int_equal(held.error, ERROR_NONE);
    assert_true(owed() > 2 * DOLLAR); /* some of it was lent ahead */
    world_sync(&world);
    world_crash(&world, SIZE_MAX);
    const uint64_t holds[] = {held.hold};
    world_connect(&world, holds, 1);
    assert_int_equal(owed(), 2 * DOLLAR);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_ESCROW), 2 * DOLLAR);
    assert_int_equal(world_settle(&world, 0, held.hold, DOLLAR), DOLLAR);
    rest();
    assert_int_equal(owed(), DOLLAR);
    end();
}

TEST(promotional_and_paid_credit_of_an_account_with_a_line_is_left_alone)
{
    begin(DOLLAR);
    sql_book.credit(&world, 1, 3 * DOLLAR, true);
    sql_book.credit(&world, 1, 4 * DOLLAR, false);
    assert_int_equal(lease(1, 5 * DOLLAR, 0).granted.nano, DOLLAR);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PROMO), 3 * DOLLAR);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PAID), 4 * DOLLAR);
    end();
}

TEST(the_audit_finds_a_receivable_over_its_line_and_a_lease_that_nobody_owes)
{
    begin(DOLLAR);
    (void)lease(1, DOLLAR, 0);
    assert_int_equal(sql_book_audit(sql, EXPECTED), 0);
    sql_book_run(sql, "alter table account drop constraint account_line_is_kept;"
                      "update account set line = 1 where kind = 4");
    assert_int_equal(sql_book_audit(sql, EXPECTED), 1); /* over its line */
    sql_book_run(sql, "update account set line = 1000000000, credits = 1 where kind = 4;"
                      "update account set debits = 1 where kind = 101");
    assert_true(sql_book_audit(sql, EXPECTED) >=
                2); /* less is owed than is lent; and no transfer */
    sql_book_run(sql, "update account set credits = 0 where kind = 4;"
                      "alter table account add constraint account_line_is_kept "
                      "check (line is null or debits - credits <= line + over)");
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            leases_are_lent_up_to_the_line_over_all_cells_and_what_comes_back_can_be_lent_again),
        cmocka_unit_test(what_is_used_is_owed_and_no_more_is_served_than_the_line),
        cmocka_unit_test(
            a_charge_above_its_hold_is_owed_over_the_line_and_nothing_is_lent_until_it_is_paid),
        cmocka_unit_test(a_lowered_line_lends_nothing_and_breaks_nothing_that_runs),
        cmocka_unit_test(the_database_refuses_a_lease_beyond_the_line_whoever_asks),
        cmocka_unit_test(a_crash_leaves_to_open_holds_what_they_use_and_the_rest_is_not_owed),
        cmocka_unit_test(promotional_and_paid_credit_of_an_account_with_a_line_is_left_alone),
        cmocka_unit_test(the_audit_finds_a_receivable_over_its_line_and_a_lease_that_nobody_owes),
    };
    return cmocka_run_group_tests_name("line", tests, set_up, tear_down);
}
