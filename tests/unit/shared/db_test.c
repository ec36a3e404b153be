/* SPDX-License-Identifier: Apache-2.0 */
/* The database client against a PostgreSQL of its own: values in and out, failures as statuses,
 * transactions, what is repeated and what is not, and servers that go away. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "shared/db.h"
#include "shared/db_statements.h"
#include "shared/log.h"
#include "tests/unit/shared/database.h"

#define DEADLINE_MS 5000

static const char statements_text[] =
    "-- What this file is about; not a statement.\n"
    "-- name: tables\n"
    "do $$ begin\n"
    "create table parent (id bigint primary key);\n"
    "create table child (id bigint primary key check (id < 100),\n"
    "  parent bigint not null references parent deferrable initially deferred);\n"
    "create sequence tries;\n"
    "end $$;\n"
    "-- name: flaky_function\n"
    "create function flaky(code text, successes_from bigint) returns bigint\n"
    "language plpgsql as $$\n"
    "declare n bigint := nextval('tries');\n"
    "begin\n"
    "  if n < successes_from then raise exception 'again' using errcode = code; end if;\n"
    "  return n;\n"
    "end $$;\n"
    "-- name: echo\n"
    "-- A comment inside of a statement.\n"
    "select $1::bigint, $2::boolean, $3::text, $4::bytea, $5::text;\n"
    "-- name: numbers\n"
    "select coalesce(sum(n), 0)::bigint, count(*) from unnest($1::bigint[]) n;\n"
    "-- name: texts\n"
    "select t, b from unnest($1::text[], $2::bytea[]) with ordinality x(t, b, i) order by i;\n"
    "-- name: add_parent\n"
    "insert into parent values ($1);\n"
    "-- name: add_child\n"
    "insert into child values ($1, $2);\n"
    "-- name: count_parents\n"
    "select count(*) from parent;\n"
    "-- name: delete_parents\n"
    "delete from parent;\n"
    "-- name: delete_children\n"
    "delete from child;\n"
    "-- name: raise\n"
    "do $$ begin raise exception 'a rule'; end $$;\n"
    "-- name: flaky\n"
    "select flaky($1, $2);\n"
    "-- name: restart_tries\n"
    "select setval('tries', 1, false);\n"
    "-- name: org\n"
    "select current_setting('bourse.org', true);\n"
    "-- name: waits\n"
    "select current_setting('lock_timeout') || ' ' || current_setting('statement_timeout');\n"
    "-- name: joins\n"
    "select current_setting('enable_hashjoin') || ' ' || current_setting('enable_mergejoin');\n"
    "-- name: wrong\n"
    "select nothing from nowhere;\n"
    "-- name: hang_up\n"
    "select pg_terminate_backend(pg_backend_pid());\n"
    "-- name: hang_up_others\n"
    "select count(pg_terminate_backend(pid)) from pg_stat_activity\n"
    "where pid <> pg_backend_pid() and backend_type = 'client backend';\n"
    "-- name: who\n"
    "select current_user, current_setting('application_name');\n"
    "-- name: listen\n"
    "LISTEN news;\n"
    "-- name: notify\n"
    "select pg_notify('news', $1);\n";

static const struct db_statements statements = {statements_text};
static struct database database;
static struct db *db;
static struct db *other;

static struct db *open_one(void)
{
    struct db *opened = NULL;
    assert_ok(db_open(database.connection, "tester", &statements, &opened));
    return opened;
}

static int create_cluster(void **state)
{
    (void)state;
    log_init("db_test", LOG_LEVEL_ERROR);
    database_create(&database);
    struct db *first = open_one();
    assert_ok(db_run(first, "tables", NULL, 0, NULL));
    assert_ok(db_run(first, "flaky_function", NULL, 0, NULL));
    db_close(&first);
    return 0;
}

static int remove_cluster(void **state)
{
    (void)state;
    database_remove(&database);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    db = open_one();
    other = open_one();
    assert_ok(db_run(other, "delete_children", NULL, 0, NULL));
    assert_ok(db_run(other, "delete_parents", NULL, 0, NULL));
    assert_ok(db_run(other, "restart_tries", NULL, 0, NULL));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    db_close(&db);
    db_close(&other);
    return 0;
}

static status add_parent(struct db *on, int64_t id)
{
    return db_run(on, "add_parent", (struct db_param[]){DB_P_I64(id)}, 1, NULL);
}

static status add_child(struct db *on, int64_t id, int64_t parent)
{
    return db_run(on, "add_child", (struct db_param[]){DB_P_I64(id), DB_P_I64(parent)}, 2, NULL);
}

static int64_t single_number(struct db *on, const char *statement)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    assert_ok(db_run(on, statement, NULL, 0, &result));
    assert_int_equal(db_row_count(result), 1);
    return db_i64(result, 0, 0);
}

/* Runs until it succeeds: the pause between two attempts to connect is part of the contract. */
static void run_in_the_end(struct db *on, const char *statement)
{
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (!status_ok(db_run(on, statement, NULL, 0, NULL)))
        assert_true(clock_monotonic_ms() < until_ms);
}

/* ---- the list of statements ------------------------------------------------------------------ */

static status parse(const char *text, struct db_statement_list *list)
{
    status parsed = db_statements_parse(text, list);
    if (!status_ok(parsed)) db_statements_free(list);
    return parsed;
}

TEST(statements_are_cut_at_their_names)
{
    struct db_statement_list list;
    assert_ok(
        parse("heading\n-- name: b\nselect 1;\n\n-- name:a \n  -- why\nselect\n 2 ; \n", &list));
    assert_int_equal(list.count, 2);
    assert_string_equal(db_statements_find(&list, "b")->sql, "select 1");
    assert_string_equal(db_statements_find(&list, "a")->sql, "-- why\nselect\n 2");
    assert_null(db_statements_find(&list, "c"));
    assert_false(db_statements_find(&list, "a")->is_listen);
    db_statements_free(&list);
    assert_ok(parse("-- name: l\nlisten x", &list));
    assert_true(db_statements_find(&list, "l")->is_listen);
    db_statements_free(&list);
    assert_ok(parse("", &list));
    assert_null(db_statements_find(&list, "l"));
    db_statements_free(&list);
}

TEST(a_list_with_a_fault_is_refused)
{
    static const char *const wrong[] = {
        "-- name: a\nselect 1;\n-- name: a\nselect 2;\n", /* twice */
        "-- name: a\n-- name: b\nselect 2;\n",            /* without a statement */
        "-- name: a\n ;\n",
        "-- name: a",
        "-- name:\nselect 1;\n",
        "-- name: a b\nselect 1;\n",
        "-- name: A\nselect 1;\n",
    };
    struct db_statement_list list;
    struct db *unopened = NULL;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_fails(parse(wrong[i], &list), CONFIGURATION);
        assert_fails(db_open("", "tester", &(struct db_statements){wrong[i]}, &unopened),
                     CONFIGURATION);
        assert_null(unopened);
    }
}

/* ---- values ---------------------------------------------------------------------------------- */

TEST(scalars_come_back_as_they_were_sent)
{
    char bytes[256];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    const struct db_param params[] = {DB_P_I64(INT64_MIN), DB_P_BOOL(true),
                                      DB_P_TEXT(SLICE("it's \"ü\" \\x41 $1; --")),
                                      DB_P_BYTES(((slice){bytes, sizeof(bytes)})), DB_P_NULL};
    SCOPED(db_result_free) struct db_result *result = NULL;
    assert_ok(db_run(db, "echo", params, 5, &result));
    assert_true(db_i64(result, 0, 0) == INT64_MIN);
    assert_true(db_bool(result, 0, 1));
    assert_slice(db_text(result, 0, 2), "it's \"ü\" \\x41 $1; --");
    slice back = db_bytes(result, 0, 3);
    assert_int_equal(back.len, sizeof(bytes));
    assert_memory_equal(back.data, bytes, sizeof(bytes));
    assert_true(db_is_null(result, 0, 4));
    assert_false(db_is_null(result, 0, 3));
    assert_int_equal(db_text(result, 0, 4).len, 0);
    assert_true(db_i64(result, 0, 4) == 0);
}

TEST(empty_values_are_not_null)
{
    const struct db_param params[] = {DB_P_MONEY(((money){262650})), DB_P_BOOL(false),
                                      DB_P_TEXT(((slice){NULL, 0})), DB_P_BYTES(((slice){NULL, 0})),
                                      DB_P_TEXT(SLICE_NONE)};
    SCOPED(db_result_free) struct db_result *result = NULL;
    assert_ok(db_run(db, "echo", params, 5, &result));
    assert_true(db_money(result, 0, 0).nano == 262650);
    assert_true(db_time(result, 0, 0).ns == 262650);
    assert_false(db_bool(result, 0, 1));
    for (size_t column = 2; column < 5; column++) {
        assert_false(db_is_null(result, 0, column));
        assert_int_equal(db_bytes(result, 0, column).len, 0);
    }
}

TEST(arrays_of_numbers_arrive_whole)
{
    static const int64_t numbers[] = {INT64_MAX, INT64_MIN, -7, 258};
    SCOPED(db_result_free) struct db_result *result = NULL;
    assert_ok(db_run(db, "numbers", (struct db_param[]){DB_P_I64_ARRAY(numbers, 4)}, 1, &result));
    assert_true(db_i64(result, 0, 0) == 250); /* MAX + MIN = -1; -1 - 7 + 258 */
    assert_int_equal(db_i64(result, 0, 1), 4);
    db_result_free(&result);
    assert_ok(db_run(db, "numbers", (struct db_param[]){DB_P_I64_ARRAY(NULL, 0)}, 1, &result));
    assert_int_equal(db_i64(result, 0, 1), 0);
}

TEST(arrays_of_texts_and_bytes_keep_their_order_and_their_bytes)
{
    const slice texts[] = {SLICE("{a,\"b\"}"), {NULL, 0}, SLICE("NULL")};
    const slice bytes[] = {SLICE("\0\xff"), SLICE("x"), SLICE_NONE};
    const struct db_param params[] = {DB_P_TEXT_ARRAY(texts, 3), DB_P_BYTES_ARRAY(bytes, 3)};
    SCOPED(db_result_free) struct db_result *result = NULL;
    assert_ok(db_run(db, "texts", params, 2, &result));
    assert_int_equal(db_row_count(result), 3);
    assert_slice(db_text(result, 0, 0), "{a,\"b\"}");
    assert_false(db_is_null(result, 1, 0));
    assert_int_equal(db_text(result, 1, 0).len, 0);
    assert_slice(db_text(result, 2, 0), "NULL");
    assert_int_equal(db_bytes(result, 0, 1).len, 2);
    assert_memory_equal(db_bytes(result, 0, 1).data, "\0\xff", 2);
    assert_slice(db_bytes(result, 1, 1), "x");
    assert_int_equal(db_bytes(result, 2, 1).len, 0);
}

TEST(text_that_a_database_cannot_hold_is_the_callers_fault)
{
    struct db_param params[] = {DB_P_I64(1), DB_P_BOOL(true), DB_P_TEXT(SLICE("a\0b")),
                                DB_P_BYTES(SLICE("")), DB_P_NULL};
    assert_fails(db_run(db, "echo", params, 5, NULL), BAD_REQUEST);
    params[2] = DB_P_TEXT(SLICE("\xff\xfe"));
    assert_fails(db_run(db, "echo", params, 5, NULL), BAD_REQUEST);
    const slice items[] = {SLICE("a\0b")};
    const struct db_param arrays[] = {DB_P_TEXT_ARRAY(items, 1), DB_P_BYTES_ARRAY(items, 1)};
    assert_fails(db_run(db, "texts", arrays, 2, NULL), BAD_REQUEST);
    params[2] = DB_P_TEXT(SLICE("ab"));
    assert_ok(db_run(db, "echo", params, 5, NULL));
}

TEST(affected_rows_are_counted)
{
    assert_ok(add_parent(db, 1));
    assert_ok(add_parent(db, 2));
    SCOPED(db_result_free) struct db_result *result = NULL;
    assert_ok(db_run(db, "delete_parents", NULL, 0, &result));
    assert_int_equal(db_affected(result), 2);
    assert_int_equal(db_row_count(result), 0);
}

TEST(a_connection_is_its_roles)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    assert_false(db_is_connected(db));
    assert_ok(db_run(db, "who", NULL, 0, &result));
    assert_true(db_is_connected(db));
    assert_slice(db_text(result, 0, 0), "tester");
    assert_slice(db_text(result, 0, 1), "tester");
}

/* ---- failures -------------------------------------------------------------------------------- */

TEST(a_row_that_exists_is_a_conflict_and_a_broken_rule_is_a_check)
{
    assert_ok(add_parent(db, 1));
    assert_string_equal(db_last_sqlstate(db), "");
    assert_fails(add_parent(db, 1), DATABASE_CONFLICT);
    assert_string_equal(db_last_sqlstate(db), "23505");
    assert_fails(add_child(db, 100, 1), DATABASE_CHECK); /* check (id < 100) */
    assert_string_equal(db_last_sqlstate(db), "23514");
    assert_fails(add_child(db, 1, 2), DATABASE_CHECK); /* no such parent */
    assert_string_equal(db_last_sqlstate(db), "23503");
    assert_fails(db_run(db, "add_child", (struct db_param[]){DB_P_I64(1), DB_P_NULL}, 2, NULL),
                 DATABASE_CHECK);
    assert_string_equal(db_last_sqlstate(db), "23502");
    assert_fails(db_run(db, "raise", NULL, 0, NULL), DATABASE_CHECK);
    assert_string_equal(db_last_sqlstate(db), "P0001");
    assert_ok(add_child(db, 1, 1));
    assert_string_equal(db_last_sqlstate(db), "");
}

TEST(who_waits_too_long_for_a_lock_or_runs_too_long_may_come_again)
{
    assert_fails(
        db_run(db, "flaky", (struct db_param[]){DB_P_TEXT(SLICE("55P03")), DB_P_I64(99)}, 2, NULL),
        DATABASE);
    assert_string_equal(db_last_sqlstate(db), "55P03");
    assert_fails(
        db_run(db, "flaky", (struct db_param[]){DB_P_TEXT(SLICE("57014")), DB_P_I64(99)}, 2, NULL),
        DATABASE);
}

TEST(waits_are_bounded_where_that_was_asked_for)
{
    SCOPED(db_result_free) struct db_result *free_waits = NULL;
    SCOPED(db_result_free) struct db_result *bounded_waits = NULL;
    SCOPED(db_close) struct db *bounded = NULL;
    assert_ok(db_run(db, "waits", NULL, 0, &free_waits));
    assert_slice(db_text(free_waits, 0, 0), "0 0");
    assert_ok(db_open(database.connection, "tester", &statements, &bounded));
    db_bound_waits(bounded);
    assert_ok(db_run(bounded, "waits", NULL, 0, &bounded_waits));
    assert_slice(db_text(bounded_waits, 0, 0), "5s 30s");
}

/* Both would go through the rows in an order of their own. */
TEST(a_connection_that_serves_batches_joins_in_the_order_of_the_arrays)
{
    SCOPED(db_result_free) struct db_result *usual = NULL;
    SCOPED(db_result_free) struct db_result *in_order = NULL;
    SCOPED(db_close) struct db *batches = NULL;
    assert_ok(db_run(db, "joins", NULL, 0, &usual));
    assert_slice(db_text(usual, 0, 0), "on on");
    assert_ok(db_open(database.connection, "tester", &statements, &batches));
    db_serve_batches(batches, 1000);
    assert_ok(db_run(batches, "joins", NULL, 0, &in_order));
    assert_slice(db_text(in_order, 0, 0), "off off");
}

TEST(a_statement_that_is_unknown_or_wrong_is_our_fault)
{
    assert_fails(db_run(db, "unheard_of", NULL, 0, NULL), INTERNAL);
    assert_fails(db_run(db, "wrong", NULL, 0, NULL), INTERNAL);
    assert_string_equal(db_last_sqlstate(db), "42P01");
    assert_int_equal(single_number(db, "count_parents"), 0);
}

/* ---- transactions ---------------------------------------------------------------------------- */

struct body {
    int runs;
    int64_t ids[3];         /* parents to add; 0: none */
    status result;          /* of the body, when everything it did succeeded */
    const char *code;       /* SQLSTATE to raise … */
    int64_t successes_from; /* … until this run */
    bool swallows;
};

static status run_body(struct db *on, void *context)
{
    struct body *body = context;
    body->runs++;
    for (size_t i = 0; i < 3 && body->ids[i] != 0; i++)
        TRY(add_parent(on, body->ids[i]));
    if (body->code != NULL) {
        const struct db_param params[] = {DB_P_TEXT(slice_of(body->code)),
                                          DB_P_I64(body->successes_from)};
        status raised = db_run(on, "flaky", params, 2, NULL);
        if (!body->swallows) TRY(raised);
    }
    return body->result;
}

TEST(a_transaction_is_all_or_nothing)
{
    struct body body = {.ids = {1, 2}};
    assert_ok(db_transaction(db, 0, run_body, &body));
    assert_int_equal(single_number(other, "count_parents"), 2);
    struct body failing = {.ids = {3, 4}, .result = FAIL(NO_CREDIT)};
    assert_fails(db_transaction(db, 0, run_body, &failing), NO_CREDIT);
    assert_int_equal(single_number(other, "count_parents"), 2);
    struct body conflicting = {.ids = {5, 1}};
    assert_fails(db_transaction(db, 0, run_body, &conflicting), DATABASE_CONFLICT);
    assert_string_equal(db_last_sqlstate(db), "23505");
    assert_int_equal(single_number(other, "count_parents"), 2);
    assert_int_equal(conflicting.runs, 1);
}

static status add_orphan(struct db *on, void *context)
{
    (void)context;
    return add_child(on, 1, 999); /* the foreign key is looked at by COMMIT */
}

TEST(a_rule_that_is_checked_at_the_end_fails_the_transaction)
{
    assert_fails(db_transaction(db, 0, add_orphan, NULL), DATABASE_CHECK);
    assert_string_equal(db_last_sqlstate(db), "23503");
    assert_ok(add_parent(db, 999));
    assert_ok(db_transaction(db, 0, add_orphan, NULL));
}

TEST(a_transaction_whose_failure_was_swallowed_is_not_called_committed)
{
    struct body body = {.ids = {1}, .code = "23514", .successes_from = 100, .swallows = true};
    assert_fails(db_transaction(db, 0, run_body, &body), INTERNAL);
    assert_int_equal(single_number(other, "count_parents"), 0);
}

TEST(a_transaction_is_repeated_when_the_database_asks_for_it)
{
    struct body body = {.ids = {1}, .code = "40001", .successes_from = 3};
    assert_ok(db_transaction(db, 0, run_body, &body));
    assert_int_equal(body.runs, 3);
    assert_int_equal(single_number(other, "count_parents"), 1);
    struct body deadlocked = {.ids = {2}, .code = "40P01", .successes_from = 5, .swallows = true};
    assert_ok(db_transaction(db, 0, run_body, &deadlocked)); /* runs 4 and 5 of the sequence */
    assert_int_equal(deadlocked.runs, 2);
}

TEST(repetition_has_an_end)
{
    struct body body = {.code = "40001", .successes_from = 1000};
    assert_fails(db_transaction(db, 0, run_body, &body), DATABASE);
    assert_int_equal(body.runs, 1 + DB_RETRIES_MAX);
    assert_string_equal(db_last_sqlstate(db), "40001");
}

TEST(a_single_statement_is_repeated_too)
{
    const struct db_param params[] = {DB_P_TEXT(SLICE("40001")), DB_P_I64(3)};
    SCOPED(db_result_free) struct db_result *result = NULL;
    assert_ok(db_run(db, "flaky", params, 2, &result));
    assert_int_equal(db_i64(result, 0, 0), 3);
}

static status see_org(struct db *on, void *context)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(on, "org", NULL, 0, &result));
    slice org = db_text(result, 0, 0);
    (void)snprintf(context, 32, "%.*s", (int)org.len, org.data);
    return OK;
}

TEST(the_organization_is_set_for_one_transaction)
{
    char org[32];
    assert_ok(db_transaction(db, 42, see_org, org));
    assert_string_equal(org, "42");
    assert_ok(db_transaction(db, 0, see_org, org));
    assert_string_equal(org, "");
    assert_ok(db_transaction(db, INT64_MIN, see_org, org));
    assert_string_equal(org, "-9223372036854775808");
}

/* ---- servers that go away -------------------------------------------------------------------- */

TEST(a_connection_lost_while_idle_is_made_again_unnoticed)
{
    assert_int_equal(single_number(db, "count_parents"), 0);
    assert_ok(db_run(other, "hang_up_others", NULL, 0, NULL));
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    /* Ended backends leave the list only after their last word to us was written. */
    while (single_number(other, "hang_up_others") != 0)
        assert_true(clock_monotonic_ms() < until_ms);
    run_in_the_end(db, "count_parents");
}

TEST(a_connection_lost_in_a_statement_is_a_failure_and_then_made_again)
{
    assert_fails(db_run(db, "hang_up", NULL, 0, NULL), DATABASE);
    assert_string_equal(db_last_sqlstate(db), "");
    assert_false(db_is_connected(db));
    run_in_the_end(db, "count_parents");
    assert_true(db_is_connected(db));
}

static status hang_up_and_go_on(struct db *on, void *context)
{
    int *runs = context;
    (*runs)++;
    TRY(add_parent(on, 1));
    (void)!status_ok(db_run(on, "hang_up", NULL, 0, NULL));
    assert_fails(add_parent(on, 2),
                 DATABASE); /* not on a new connection, outside of the transaction */
    return OK;
}

TEST(a_connection_lost_in_a_transaction_undoes_it_and_nothing_is_repeated)
{
    int runs = 0;
    assert_fails(db_transaction(db, 0, hang_up_and_go_on, &runs), DATABASE);
    assert_int_equal(runs, 1);
    assert_int_equal(single_number(other, "count_parents"), 0);
}

TEST(without_a_server_every_call_fails_at_once_until_it_is_back)
{
    assert_int_equal(single_number(db, "count_parents"), 0);
    database_stop(&database);
    uint64_t start_ms = clock_monotonic_ms();
    assert_fails(db_run(db, "count_parents", NULL, 0, NULL), DATABASE);
    for (int i = 0; i < 1000; i++)
        assert_fails(db_run(db, "count_parents", NULL, 0, NULL), DATABASE);
    assert_fails(db_transaction(db, 0, see_org, NULL), DATABASE);
    assert_true(clock_monotonic_ms() - start_ms < 1000);
    assert_false(db_is_connected(db));
    database_start(&database);
    run_in_the_end(db, "count_parents");
}

TEST(a_server_that_never_was_there_is_no_fault_of_opening)
{
    struct db *nowhere = NULL;
    assert_ok(db_open("host=/nonexistent dbname=x", "tester", &statements, &nowhere));
    assert_fails(db_run(nowhere, "count_parents", NULL, 0, NULL), DATABASE);
    assert_false(db_is_connected(nowhere));
    db_close(&nowhere);
}

/* ---- notifications --------------------------------------------------------------------------- */

static void notify(const char *payload)
{
    assert_ok(db_run(other, "notify", (struct db_param[]){DB_P_TEXT(slice_of(payload))}, 1, NULL));
}

TEST(a_notification_is_waited_for)
{
    struct arena arena;
    slice channel = SLICE_NONE;
    slice payload = SLICE_NONE;
    arena_init(&arena, 1 << 16);
    assert_ok(db_run(db, "listen", NULL, 0, NULL));
    assert_fails(db_wait_notification(db, 20, &arena, &channel, &payload), END);
    notify("first");
    notify("second");
    assert_ok(db_wait_notification(db, DEADLINE_MS, &arena, &channel, &payload));
    assert_slice(channel, "news");
    assert_slice(payload, "first");
    assert_ok(db_wait_notification(db, DEADLINE_MS, &arena, &channel, &payload));
    assert_slice(payload, "second");
    assert_fails(db_wait_notification(db, 0, &arena, &channel, &payload), END);
    arena_free(&arena);
}

TEST(after_a_loss_the_listener_is_told_once_and_listens_again)
{
    struct arena arena;
    slice channel, payload;
    arena_init(&arena, 1 << 16);
    assert_ok(db_run(db, "listen", NULL, 0, NULL));
    assert_ok(db_run(other, "hang_up_others", NULL, 0, NULL));
    int told = 0;
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (db_wait_notification(db, 20, &arena, &channel, &payload).code == ERROR_DATABASE ||
           told == 0) {
        assert_true(clock_monotonic_ms() < until_ms);
        told++;
    }
    assert_true(db_is_connected(db));
    notify("after");
    assert_ok(db_wait_notification(db, DEADLINE_MS, &arena, &channel, &payload));
    assert_slice(payload, "after");
    arena_free(&arena);
}

#define DB_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_are_cut_at_their_names),
        cmocka_unit_test(a_list_with_a_fault_is_refused),
        DB_TEST(scalars_come_back_as_they_were_sent),
        DB_TEST(empty_values_are_not_null),
        DB_TEST(arrays_of_numbers_arrive_whole),
        DB_TEST(arrays_of_texts_and_bytes_keep_their_order_and_their_bytes),
        DB_TEST(text_that_a_database_cannot_hold_is_the_callers_fault),
        DB_TEST(affected_rows_are_counted),
        DB_TEST(a_connection_is_its_roles),
        DB_TEST(a_row_that_exists_is_a_conflict_and_a_broken_rule_is_a_check),
        DB_TEST(who_waits_too_long_for_a_lock_or_runs_too_long_may_come_again),
        DB_TEST(waits_are_bounded_where_that_was_asked_for),
        DB_TEST(a_connection_that_serves_batches_joins_in_the_order_of_the_arrays),
        DB_TEST(a_statement_that_is_unknown_or_wrong_is_our_fault),
        DB_TEST(a_transaction_is_all_or_nothing),
        DB_TEST(a_rule_that_is_checked_at_the_end_fails_the_transaction),
        DB_TEST(a_transaction_whose_failure_was_swallowed_is_not_called_committed),
        DB_TEST(a_transaction_is_repeated_when_the_database_asks_for_it),
        DB_TEST(repetition_has_an_end),
        DB_TEST(a_single_statement_is_repeated_too),
        DB_TEST(the_organization_is_set_for_one_transaction),
        DB_TEST(a_connection_lost_while_idle_is_made_again_unnoticed),
        DB_TEST(a_connection_lost_in_a_statement_is_a_failure_and_then_made_again),
        DB_TEST(a_connection_lost_in_a_transaction_undoes_it_and_nothing_is_repeated),
        DB_TEST(without_a_server_every_call_fails_at_once_until_it_is_back),
        DB_TEST(a_server_that_never_was_there_is_no_fault_of_opening),
        DB_TEST(a_notification_is_waited_for),
        DB_TEST(after_a_loss_the_listener_is_told_once_and_listens_again),
    };
    return cmocka_run_group_tests(tests, create_cluster, remove_cluster);
}
