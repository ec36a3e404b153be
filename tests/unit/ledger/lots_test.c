/* SPDX-License-Identifier: Apache-2.0 */
/* Credit by age in a real PostgreSQL: which lot what was spent is taken from, what ends when its
 * time is over, and what a lease keeps until it is back. After each test the audit finds
 * nothing. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "services/ledger/store.h"
#include "shared/log.h"
#include "tests/unit/ledger/sql_book.h"

#define MINUTES  ((uint64_t)60 * 1000000000)
#define EXPECTED "default_partition_is_empty"

enum { PAID = 1, PROMO = 2 };

static struct sql_book *sql;
static struct world world;

static int set_up(void **state)
{
    (void)state;
    log_init("lots_test", LOG_LEVEL_ERROR);
    sql = sql_book_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sql_book_free(&sql);
    return 0;
}

static void begin(void)
{
    sql_book_clear(sql);
    world_init_with(&world, &sql_book, sql);
}

static void end_with(const char *expected)
{
    assert_int_equal(sql_book_audit(sql, expected), 0);
    world_free(&world);
}

static void end(void)
{
    end_with(EXPECTED);
}

static int64_t ask(const char *format, int64_t number)
{
    char text[512];
    (void)snprintf(text, sizeof(text), format, (long long)number);
    return sql_book_number(sql, text);
}

static void run(const char *format, int64_t a, int64_t b)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), format, (long long)a, (long long)b, (long long)b);
    sql_book_run(sql, text);
}

/* Credit that ends after so many days, or never. Answers the lot's id. */
static int64_t add(int kind, int64_t nano, int64_t days)
{
    sql_book.credit(&world, 1, nano, kind == PROMO);
    int64_t lot = sql_book_number(sql, "select max(id) from lot");
    if (days != 0)
        run("update lot set expires_at = now() + make_interval(days => %lld) where id = %lld", days,
            lot);
    return lot;
}

static void age(int64_t lot)
{
    run("update lot set expires_at = now() - interval '1 second' where id = %lld", lot, 0);
}

static int64_t expire(void)
{
    return sql_book_number(sql, "select lots_expire(1, 1::smallint)");
}

static int64_t left(int64_t lot)
{
    (void)sql_book_number(sql, "select count(lots_fold(1, k, 0)) from generate_series(1, 2) n, "
                               "lateral (select n::smallint as k) t");
    return ask("select amount - spent - expired from lot where id = %lld", lot);
}

static struct message_held hold(int64_t nano)
{
    struct message_hold message = {
        .caller_version = 1, .fixed = {nano}, .price_ids = {1, {WORLD_PRICE}}};
    struct message_held held = world_hold(&world, 1, &message);
    assert_int_equal(held.error, ERROR_NONE);
    return held;
}

/* Posted, and the lease is back. */
static void rest(void)
{
    world_sync(&world);
    world_post(&world);
    world_wait(&world, 2 * MINUTES);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_ESCROW), 0);
}

static void spend(int64_t nano)
{
    assert_int_equal(world_settle(&world, 0, hold(nano).hold, nano), nano);
    rest();
}

static void make_key(void)
{
    sql_book.key(&world, model_add_key(&world.model, 1, 1));
}

TEST(what_is_left_of_a_lot_ends_once_and_the_expense_is_taken_back)
{
    begin();
    int64_t lot = add(PROMO, 5 * DOLLAR, 30);
    make_key();
    spend(2 * DOLLAR);
    assert_int_equal(expire(), 0); /* not yet */
    age(lot);
    assert_int_equal(expire(), 3 * DOLLAR);
    assert_int_equal(expire(), 0); /* a repeat finds nothing */
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PROMO), 0);
    assert_int_equal(ask("select expired from lot where id = %lld", lot), 3 * DOLLAR);
    assert_int_equal(sql_book_number(sql, "select debits - credits from account where kind = 131"),
                     2 * DOLLAR); /* what the promotion cost: what was used */
    assert_int_equal(sql_book_number(sql, "select count(*) from transfer where code = 'expiry'"),
                     1);
    end();
}

TEST(promotional_credit_goes_first_and_of_it_what_ends_first)
{
    begin();
    int64_t late = add(PROMO, 4 * DOLLAR, 60);
    int64_t soon = add(PROMO, 3 * DOLLAR, 30);
    int64_t paid = add(PAID, 10 * DOLLAR, 0);
    make_key();
    spend(5 * DOLLAR); /* 3 of soon, 2 of late */
    assert_int_equal(left(soon), 0);
    assert_int_equal(left(late), 2 * DOLLAR);
    assert_int_equal(left(paid), 10 * DOLLAR);
    age(soon);
    assert_int_equal(expire(), 0);
    spend(3 * DOLLAR); /* 2 of late, 1 paid */
    assert_int_equal(left(late), 0);
    assert_int_equal(left(paid), 9 * DOLLAR);
    end();
}

TEST(what_was_spent_before_a_lot_came_is_not_taken_from_it)
{
    begin();
    int64_t first = add(PROMO, 5 * DOLLAR, 0); /* never ends */
    make_key();
    spend(4 * DOLLAR);
    int64_t second = add(PROMO, 5 * DOLLAR, 1); /* ends first, but was not there */
    assert_int_equal(left(first), DOLLAR);
    assert_int_equal(left(second), 5 * DOLLAR);
    age(second);
    assert_int_equal(expire(), 5 * DOLLAR);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PROMO), DOLLAR);
    end();
}

static void lease(int64_t need, int64_t returned)
{
    struct lease_answer answer;
    struct store_cell cell = {1, world.settings.epoch};
    struct lease_request request = {
        .org = 1, .count = 1, .items = {{.need = {need}, .returned = {returned}}}};
    assert_ok(store_lease(sql_book_db(sql), &cell, &request, &answer));
}

TEST(what_a_lease_holds_ends_only_when_it_is_back)
{
    begin();
    int64_t lot = add(PROMO, 5 * DOLLAR, 1);
    int64_t other = add(PROMO, 2 * DOLLAR, 0);
    lease(3 * DOLLAR, 0);
    age(lot);
    assert_int_equal(expire(), 2 * DOLLAR); /* 5 less the 3 that may be in use */
    assert_int_equal(left(other), 2 * DOLLAR);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_ESCROW), 3 * DOLLAR);
    lease(0, DOLLAR); /* gives one back */
    assert_int_equal(expire(), DOLLAR);
    lease(0, 3 * DOLLAR); /* and the other two */
    assert_int_equal(expire(), 2 * DOLLAR);
    assert_int_equal(ask("select expired from lot where id = %lld", lot), 5 * DOLLAR);
    assert_int_equal(left(other), 2 * DOLLAR);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PROMO), 2 * DOLLAR);
    end();
}

TEST(paid_credit_ends_only_where_the_plan_says_so_and_is_income_then)
{
    begin();
    int64_t before = add(PAID, 6 * DOLLAR, 0);
    assert_int_equal(ask("select count(expires_at) from lot where id = %lld", before), 0);
    sql_book_run(sql, "update plan set credit_expiry_days = 365 where id = 1");
    int64_t lot = add(PAID, 7 * DOLLAR, 0);
    assert_int_equal(ask("select (expires_at::date - current_date) from lot where id = %lld", lot),
                     365);
    int64_t promo = add(PROMO, DOLLAR, 0); /* its giver says when, not the plan */
    assert_int_equal(ask("select count(expires_at) from lot where id = %lld", promo), 0);
    sql_book_run(sql, "update plan set credit_expiry_days = null where id = 1");
    age(lot);
    assert_int_equal(expire(), 7 * DOLLAR);
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PAID), 6 * DOLLAR);
    assert_int_equal(sql_book_number(sql, "select credits - debits from account where kind = 114"),
                     7 * DOLLAR);
    end();
}

/* What a refund takes out of the account and puts back when it is called off. */
static void set_aside(int64_t nano)
{
    run("insert into account (org, kind) values (1, 5) on conflict do nothing;"
        "update account set debits = debits + %lld where org = 1 and kind = 1;"
        "update account set credits = credits + %lld where org = 1 and kind = 5;"
        "insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference) "
        "values (1, 1, 5, 1, %lld, 'refund_hold', 'test')",
        nano, nano);
}

static void put_back(int64_t nano)
{
    run("update account set credits = credits + %lld where org = 1 and kind = 1;"
        "update account set debits = debits + %lld where org = 1 and kind = 5;"
        "insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference) "
        "values (1, 5, 1, 1, %lld, 'refund_void', 'test')",
        nano, nano);
}

TEST(credit_that_comes_back_is_what_would_have_ended_last)
{
    begin();
    int64_t soon = add(PAID, 4 * DOLLAR, 10);
    int64_t late = add(PAID, 6 * DOLLAR, 20);
    set_aside(7 * DOLLAR); /* 4 of soon, 3 of late */
    assert_int_equal(left(soon), 0);
    assert_int_equal(left(late), 3 * DOLLAR);
    put_back(5 * DOLLAR); /* 3 to late, 2 to soon */
    assert_int_equal(left(late), 6 * DOLLAR);
    assert_int_equal(left(soon), 2 * DOLLAR);
    /* What is set aside here belongs to no refund. */
    end_with(EXPECTED " refund_is_booked_once refund_pending_is_its_refunds");
}

TEST(the_timer_ends_what_is_due_of_every_organization_and_of_no_other)
{
    int64_t after = 0;
    begin();
    int64_t due = add(PROMO, DOLLAR, 1);
    sql_book.credit(&world, 2, 2 * DOLLAR, true);
    int64_t other = sql_book_number(sql, "select max(id) from lot");
    sql_book.credit(&world, 3, 3 * DOLLAR, true);
    age(due);
    age(other);
    assert_ok(store_expire_lots(sql_book_db(sql), 1, &after));
    assert_int_equal(after, 2);
    assert_ok(store_expire_lots(sql_book_db(sql), 1, &after));
    assert_int_equal(after, 0); /* and begins anew */
    assert_int_equal(sql_book.figure(&world, 1, BOOK_PROMO), 0);
    assert_int_equal(sql_book.figure(&world, 2, BOOK_PROMO), 0);
    assert_int_equal(sql_book.figure(&world, 3, BOOK_PROMO), 3 * DOLLAR);
    end();
}

/* ---- what the audit has to find ---- */

static void expect_finding(const char *tampering)
{
    assert_int_equal(sql_book_audit(sql, EXPECTED), 0);
    sql_book_run(sql, tampering);
    assert_int_not_equal(sql_book_audit(sql, EXPECTED), 0);
}

TEST(the_audit_finds_a_lot_that_no_transfer_brought)
{
    begin();
    (void)add(PROMO, 5 * DOLLAR, 0);
    expect_finding("insert into lot (org, id, kind, amount, reference) values (1, 99, 2, 1, 'x')");
    world_free(&world);
}

TEST(the_audit_finds_credit_without_a_lot)
{
    begin();
    (void)add(PROMO, 5 * DOLLAR, 0);
    expect_finding("delete from lot");
    world_free(&world);
}

TEST(the_audit_finds_a_lot_that_expired_without_a_transfer)
{
    begin();
    (void)add(PROMO, 5 * DOLLAR, 0);
    expect_finding("update lot set expired = 1");
    world_free(&world);
}

TEST(the_audit_finds_a_code_used_without_a_redemption_and_a_redemption_without_credit)
{
    begin();
    (void)add(PROMO, 5 * DOLLAR, 0);
    expect_finding("insert into promo_code (hash, label, amount, uses_max, uses) "
                   "values (sha256('x'), 'X', 1, 5, 1)");
    sql_book_run(sql, "update promo_code set uses = 0");
    expect_finding("insert into redemption (org, code, amount) select 1, id, 1 from promo_code;"
                   "update promo_code set uses = 1");
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_of_a_lot_ends_once_and_the_expense_is_taken_back),
        cmocka_unit_test(promotional_credit_goes_first_and_of_it_what_ends_first),
        cmocka_unit_test(what_was_spent_before_a_lot_came_is_not_taken_from_it),
        cmocka_unit_test(what_a_lease_holds_ends_only_when_it_is_back),
        cmocka_unit_test(paid_credit_ends_only_where_the_plan_says_so_and_is_income_then),
        cmocka_unit_test(credit_that_comes_back_is_what_would_have_ended_last),
        cmocka_unit_test(the_timer_ends_what_is_due_of_every_organization_and_of_no_other),
        cmocka_unit_test(the_audit_finds_a_lot_that_no_transfer_brought),
        cmocka_unit_test(the_audit_finds_credit_without_a_lot),
        cmocka_unit_test(the_audit_finds_a_lot_that_expired_without_a_transfer),
        cmocka_unit_test(
            the_audit_finds_a_code_used_without_a_redemption_and_a_redemption_without_credit),
    };
    return cmocka_run_group_tests_name("lots", tests, set_up, tear_down);
}
