/* SPDX-License-Identifier: Apache-2.0 */
/* Statements whose answers are waited for together: their order, what a failure in the midst of
 * them undoes, and that the connection is as good as before afterwards. */
#include "tests/unit/test.h"

#include "shared/db.h"
#include "shared/log.h"
#include "tests/unit/shared/database.h"

#define DEADLINE_MS 5000

static const char statements_text[] =
    "-- name: table\n"
    "create table item (id bigint primary key,\n"
    "  other bigint references item deferrable initially deferred);\n"
    "-- name: tries\n"
    "create sequence tries;\n"
    "-- name: flaky_function\n"
    "create function flaky(successes_from bigint) returns bigint language plpgsql as $$\n"
    "declare n bigint := nextval('tries');\n"
    "begin\n"
    "  if n < successes_from then raise exception 'again' using errcode = '40001'; end if;\n"
    "  return n;\n"
    "end $$;\n"
    "-- name: add\n"
    "insert into item values ($1, $2);\n"
    "-- name: add_again\n"
    "insert into item values ($1, $2);\n"
    "-- name: count\n"
    "select count(*) from item;\n"
    "-- name: clear\n"
    "delete from item;\n"
    "-- name: flaky\n"
    "select flaky($1);\n"
    "-- name: org\n"
    "select current_setting('bourse.org', true)::bigint;\n"
    "-- name: hang_up\n"
    "select pg_terminate_backend(pg_backend_pid());\n";

static const struct db_statements statements = {statements_text};
static struct database database;
static struct db *db;

static int create_cluster(void **state)
{
    (void)state;
    log_init("db_send_test", LOG_LEVEL_ERROR);
    database_create(&database);
    assert_ok(db_open(database.connection, "tester", &statements, &db));
    assert_ok(db_run(db, "table", NULL, 0, NULL));
    assert_ok(db_run(db, "tries", NULL, 0, NULL));
    assert_ok(db_run(db, "flaky_function", NULL, 0, NULL));
    return 0;
}

static int remove_cluster(void **state)
{
    (void)state;
    db_close(&db);
    database_remove(&database);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    db_close(&db); /* nothing is prepared yet */
    assert_ok(db_open(database.connection, "tester", &statements, &db));
    assert_ok(db_run(db, "clear", NULL, 0, NULL));
    return 0;
}

static status send_add(struct db *on, const char *statement, int64_t id, int64_t other)
{
    const struct db_param params[] = {DB_P_I64(id), DB_P_I64(other)};
    return db_send(on, statement, params, 2, NULL);
}

static int64_t count_of(struct db *on)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    assert_ok(db_run(on, "count", NULL, 0, &result));
    return db_i64(result, 0, 0);
}

static status add_and_count(struct db *on, void *context)
{
    SCOPED(db_result_free) struct db_result *one = NULL;
    SCOPED(db_result_free) struct db_result *two = NULL;
    SCOPED(db_result_free) struct db_result *org = NULL;
    int64_t *counts = context;
    TRY(send_add(on, "add", 1, 1));
    TRY(db_send(on, "count", NULL, 0, &one));
    TRY(send_add(on, "add", 2, 1));
    TRY(db_send(on, "count", NULL, 0, &two));
    TRY(db_send(on, "org", NULL, 0, &org));
    assert_null(one);
    TRY(db_receive(on));
    counts[0] = db_i64(one, 0, 0);
    counts[1] = db_i64(two, 0, 0);
    counts[2] = db_i64(org, 0, 0);
    return db_receive(on); /* of nothing */
}

TEST(what_is_sent_is_run_in_order_and_answered_together)
{
    for (int round = 0; round < 2; round++) { /* once prepared on the way, once before */
        int64_t counts[3] = {0};
        assert_ok(db_transaction(db, 77, add_and_count, counts));
        assert_int_equal(counts[0], 1);
        assert_int_equal(counts[1], 2);
        assert_int_equal(counts[2], 77);
        assert_int_equal(count_of(db), 2);
        assert_ok(db_run(db, "clear", NULL, 0, NULL));
    }
}

static status run_after_sent(struct db *on, void *context)
{
    TRY(send_add(on, "add", 1, 1));
    TRY(send_add(on, "add", 2, 2));
    *(int64_t *)context = count_of(on);
    return OK;
}

TEST(a_statement_that_is_run_sees_what_was_sent_before)
{
    int64_t count = 0;
    assert_ok(db_transaction(db, 0, run_after_sent, &count));
    assert_int_equal(count, 2);
}

static status fail_in_the_midst(struct db *on, void *context)
{
    SCOPED(db_result_free) struct db_result *before = NULL;
    SCOPED(db_result_free) struct db_result *after = NULL;
    (void)context;
    TRY(db_send(on, "count", NULL, 0, &before));
    TRY(send_add(on, "add", 1, 1));
    TRY(send_add(on, "add", 1, 1)); /* is there */
    TRY(send_add(on, "add_again", 2, 2));
    TRY(db_send(on, "count", NULL, 0, &after));
    status failed = db_receive(on);
    assert_non_null(before);
    assert_null(after);
    return failed;
}

TEST(after_a_failure_nothing_that_was_sent_is_run_and_all_is_undone)
{
    assert_fails(db_transaction(db, 0, fail_in_the_midst, NULL), DATABASE_CONFLICT);
    assert_string_equal(db_last_sqlstate(db), "23505");
    assert_true(db_is_connected(db));
    assert_int_equal(count_of(db), 0);
    /* What had no chance to be prepared then is prepared now. */
    const struct db_param params[] = {DB_P_I64(2), DB_P_I64(2)};
    assert_ok(db_run(db, "add_again", params, 2, NULL));
    assert_int_equal(count_of(db), 1);
}

static status leave_to_the_commit(struct db *on, void *context)
{
    const int64_t *item = context;
    return send_add(on, "add", item[0], item[1]);
}

TEST(what_is_left_to_the_commit_succeeds_or_fails_with_it)
{
    int64_t good[] = {1, 1}, there[] = {1, 1}, dangling[] = {2, 999};
    assert_ok(db_transaction(db, 0, leave_to_the_commit, good));
    assert_fails(db_transaction(db, 0, leave_to_the_commit, there), DATABASE_CONFLICT);
    assert_fails(db_transaction(db, 0, leave_to_the_commit, dangling), DATABASE_CHECK);
    assert_string_equal(db_last_sqlstate(db), "23503"); /* which COMMIT found */
    assert_int_equal(count_of(db), 1);
}

static status give_up(struct db *on, void *context)
{
    SCOPED(db_result_free) struct db_result *unseen = NULL;
    (void)context;
    TRY(send_add(on, "add", 1, 1));
    TRY(db_send(on, "count", NULL, 0, &unseen));
    return FAIL(NO_CREDIT);
}

TEST(a_body_that_gives_up_before_its_answers_undoes_what_it_sent)
{
    assert_fails(db_transaction(db, 0, give_up, NULL), NO_CREDIT);
    assert_true(db_is_connected(db));
    assert_int_equal(count_of(db), 0);
}

static status nothing(struct db *on, void *context)
{
    (void)on, (void)context;
    return OK;
}

TEST(a_body_without_statements_is_a_transaction_too)
{
    assert_ok(db_transaction(db, 0, nothing, NULL));
    assert_ok(db_transaction(db, 5, nothing, NULL));
    assert_int_equal(count_of(db), 0);
}

static status send_flaky(struct db *on, void *context)
{
    int *runs = context;
    const struct db_param params[] = {DB_P_I64(3)};
    ++*runs;
    TRY(send_add(on, "add", 1, 1));
    return db_send(on, "flaky", params, 1, NULL);
}

TEST(a_transaction_is_repeated_for_what_it_sent_too)
{
    int runs = 0;
    assert_ok(db_transaction(db, 0, send_flaky, &runs));
    assert_int_equal(runs, 3); /* the sequence says no to 1 and 2 */
    assert_int_equal(count_of(db), 1);
}

static status lose_the_connection(struct db *on, void *context)
{
    SCOPED(db_result_free) struct db_result *after = NULL;
    int *runs = context;
    ++*runs;
    TRY(send_add(on, "add", 1, 1));
    TRY(db_send(on, "hang_up", NULL, 0, NULL));
    TRY(db_send(on, "count", NULL, 0, &after));
    status lost = db_receive(on);
    assert_null(after);
    assert_fails(send_add(on, "add", 2, 2), DATABASE);
    assert_fails(db_receive(on), DATABASE);
    return lost;
}

TEST(a_connection_that_is_lost_under_what_was_sent_undoes_it_and_is_made_again)
{
    int runs = 0;
    assert_fails(db_transaction(db, 0, lose_the_connection, &runs), DATABASE);
    assert_int_equal(runs, 1);
    assert_false(db_is_connected(db));
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (!status_ok(db_run(db, "count", NULL, 0, NULL)))
        assert_true(clock_monotonic_ms() < until_ms); /* between two attempts there is a pause */
    assert_int_equal(count_of(db), 0);
}

#define SEND_TEST(name) cmocka_unit_test_setup(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEND_TEST(what_is_sent_is_run_in_order_and_answered_together),
        SEND_TEST(a_statement_that_is_run_sees_what_was_sent_before),
        SEND_TEST(after_a_failure_nothing_that_was_sent_is_run_and_all_is_undone),
        SEND_TEST(what_is_left_to_the_commit_succeeds_or_fails_with_it),
        SEND_TEST(a_body_that_gives_up_before_its_answers_undoes_what_it_sent),
        SEND_TEST(a_body_without_statements_is_a_transaction_too),
        SEND_TEST(a_transaction_is_repeated_for_what_it_sent_too),
        SEND_TEST(a_connection_that_is_lost_under_what_was_sent_undoes_it_and_is_made_again),
    };
    return cmocka_run_group_tests(tests, create_cluster, remove_cluster);
}
