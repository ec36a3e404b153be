/* SPDX-License-Identifier: Apache-2.0 */
/* Money that comes in, against a real PostgreSQL as the control plane's role: what would not fit
 * the books is refused, and nothing of it stays. */
#include "tests/unit/test.h"

#include "services/ledger/api/credits.h"
#include "shared/log.h"
#include "tests/unit/ledger/sql_book.h"

#define DOLLAR ((int64_t)1000000000)
#define CELL   1

extern const char api_statements_sql[];

static struct sql_book *sql;
static struct db *db;

static int set_up(void **state)
{
    static const struct db_statements statements = {api_statements_sql};
    (void)state;
    log_init("credits_test", LOG_LEVEL_ERROR);
    sql = sql_book_new();
    return status_ok(db_open(sql_book_connection(sql), "bourse_ledger_api", &statements, &db)) ? 0
                                                                                               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    db_close(&db);
    sql_book_free(&sql);
    return 0;
}

static void begin(void)
{
    sql_book_clear(sql);
    sql_book_run(sql, "insert into org (org, name) values (1, 'one'), (2, 'two')");
}

static status book(struct db *on, void *booking)
{
    struct control_response response = {0};
    return credits_book(on, &response, booking);
}

static status grant(int64_t org, int64_t nano)
{
    struct booking booking = {
        .org = org,
        .cell = CELL,
        .reference = SLICE_INIT("test"),
        .count = 1,
        .entries = {{ACCOUNT_PROMO_EXPENSE, ACCOUNT_CREDIT_PROMO, {nano}, "promo"}},
    };
    return db_transaction(db, org, book, &booking);
}

static status buy(int64_t org, int64_t nano)
{
    struct booking booking = {
        .org = org,
        .cell = CELL,
        .reference = SLICE_INIT("test"),
        .count = 2,
        .entries = {{ACCOUNT_PAYMENT_CLEARING, ACCOUNT_CREDIT_PAID, {nano}, "purchase"},
                    {ACCOUNT_PAYMENT_CLEARING, ACCOUNT_PURCHASE_FEE_INCOME, {1}, "purchase_fee"}},
    };
    return db_transaction(db, org, book, &booking);
}

static int64_t total_of(int64_t org)
{
    struct credits credits = {.org = org};
    assert_ok(db_transaction(db, org, credits_query, &credits));
    return credits.total.nano;
}

TEST(what_comes_in_is_the_total)
{
    begin();
    assert_ok(grant(1, 5 * DOLLAR));
    assert_ok(buy(1, 7 * DOLLAR));
    assert_int_equal(total_of(1), 12 * DOLLAR);
    assert_int_equal(total_of(2), 0);
}

TEST(a_grant_that_the_platforms_account_cannot_count_is_refused_and_leaves_nothing)
{
    begin();
    assert_ok(grant(1, INT64_MAX - 10));
    assert_fails(grant(2, 11), CONFLICT);
    assert_int_equal(total_of(2), 0);
    assert_int_equal(sql_book_number(sql, "select count(*) from transfer"), 1);
    assert_ok(grant(2, 10)); /* the last that fits */
    assert_fails(grant(2, 1), CONFLICT);
}

TEST(a_purchase_that_would_make_the_credits_unreadable_is_refused_and_leaves_nothing)
{
    begin();
    assert_ok(grant(1, INT64_MAX - 5 * DOLLAR));
    assert_fails(buy(1, 6 * DOLLAR), CONFLICT);
    assert_int_equal(total_of(1), INT64_MAX - 5 * DOLLAR);
    assert_int_equal(sql_book_number(sql, "select count(*) from transfer"), 1);
    assert_ok(buy(1, 5 * DOLLAR));
    assert_int_equal(total_of(1), INT64_MAX);
    assert_ok(buy(2, 6 * DOLLAR)); /* of another organization: its accounts are its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_in_is_the_total),
        cmocka_unit_test(
            a_grant_that_the_platforms_account_cannot_count_is_refused_and_leaves_nothing),
        cmocka_unit_test(
            a_purchase_that_would_make_the_credits_unreadable_is_refused_and_leaves_nothing),
    };
    return cmocka_run_group_tests_name("credits", tests, set_up, tear_down);
}
