/* SPDX-License-Identifier: Apache-2.0 */
/* Connections between two calls: which are kept, which are used again, and what happens when the
 * server closes one, before the next call or during it. */
#include <sys/socket.h>

#include "shared/metrics.h"
#include "tests/unit/edge/upstream_calls.h"

/* The first connection answers once and hangs up on the second request, as a server whose idle
 * timer fires just then. */
static void hang_up_on_second(struct conversation *c)
{
    if (c->index > 0) {
        answer_ok(c);
        return;
    }
    conversation_read(c);
    SAY(c, ANSWER_OK);
    conversation_read(c);
}

TEST(a_kept_connection_that_closes_unseen_is_replaced)
{
    struct scripted_server server;
    server_start(&server, hang_up_on_second, NULL);
    int64_t retries = metric_read(METRIC_upstream_retries_total);
    struct report first = {0}, second = {0};
    start(&first, &server);
    run_to_end(&first, UPSTREAM_OK);
    start(&second, &server);
    run_to_end(&second, UPSTREAM_OK);
    assert_string_equal(second.body, "ok");
    assert_int_equal(atomic_load(&server.connections), 2);
    assert_int_equal(metric_read(METRIC_upstream_retries_total), retries + 1);
    server_stop(&server);
}

TEST(a_new_connection_that_closes_unanswered_is_not_tried_again)
{
    struct scripted_server server;
    server_start(&server, hang_up_at_once, NULL);
    struct report report = {0};
    start(&report, &server);
    run_to_end(&report, UPSTREAM_RESET);
    assert_int_equal(atomic_load(&server.connections), 1);
    server_stop(&server);
}

static void break_off_second_head(struct conversation *c)
{
    conversation_read(c);
    SAY(c, ANSWER_OK);
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\nconte");
}

TEST(a_kept_connection_that_had_begun_to_answer_is_not_tried_again)
{
    struct scripted_server server;
    server_start(&server, break_off_second_head, NULL);
    struct report first = {0}, second = {0};
    start(&first, &server);
    run_to_end(&first, UPSTREAM_OK);
    start(&second, &server);
    run_to_end(&second, UPSTREAM_RESET);
    assert_int_equal(atomic_load(&server.connections), 1);
    server_stop(&server);
}

/* The first three connections answer once and hang up on their second request. */
static void three_hang_up_on_second(struct conversation *c)
{
    conversation_read(c);
    SAY(c, ANSWER_OK);
    conversation_read(c);
    if (c->index >= 3) answer_ok(c);
}

/* Leaves three kept connections. */
static void keep_three(struct scripted_server *server)
{
    struct report reports[3] = {0};
    for (int i = 0; i < 3; i++) {
        start(&reports[i], server);
    }
    for (int i = 0; i < 3; i++) {
        run_to_end(&reports[i], UPSTREAM_OK);
    }
    assert_int_equal(atomic_load(&server->connections), 3);
}

TEST(what_replaces_a_closed_connection_is_new_and_not_another_kept_one)
{
    struct scripted_server server;
    server_start(&server, three_hang_up_on_second, NULL);
    keep_three(&server);
    struct report report = {0};
    start(&report, &server);
    run_to_end(&report, UPSTREAM_OK);
    assert_int_equal(atomic_load(&server.connections), 4);
    assert_int_equal(atomic_load(&server.requests), 5); /* three, the lost one, and it again */
    server_stop(&server);
}

/* The first connection answers once; no connection answers after that. */
static void answer_only_once(struct conversation *c)
{
    conversation_read(c);
    if (c->index > 0) return;
    SAY(c, ANSWER_OK);
    conversation_read(c);
}

TEST(a_new_connection_that_closes_as_the_kept_one_did_is_the_end)
{
    struct scripted_server server;
    server_start(&server, answer_only_once, NULL);
    struct report first = {0}, second = {0};
    start(&first, &server);
    run_to_end(&first, UPSTREAM_OK);
    start(&second, &server);
    run_to_end(&second, UPSTREAM_RESET);
    assert_int_equal(atomic_load(&server.connections), 2);
    assert_int_equal(atomic_load(&server.requests), 3);
    server_stop(&server);
}

static void answer_once_and_close(struct conversation *c)
{
    conversation_read(c);
    SAY(c, ANSWER_OK);
    conversation_await_go(c);
    shutdown(c->fd, SHUT_RDWR);
    atomic_store(&c->server->go, false); /* here: it is closed */
}

TEST(a_kept_connection_that_closes_while_idle_is_not_used)
{
    struct scripted_server server;
    server_start(&server, answer_once_and_close, NULL);
    int64_t retries = metric_read(METRIC_upstream_retries_total);
    struct report first = {0}, second = {0};
    start(&first, &server);
    run_to_end(&first, UPSTREAM_OK);
    atomic_store(&server.go, true);
    RUN_UNTIL(!atomic_load(&server.go));
    run_for(20);
    start(&second, &server);
    run_to_end(&second, UPSTREAM_OK);
    assert_int_equal(atomic_load(&server.connections), 2);
    assert_int_equal(atomic_load(&server.requests), 2);
    assert_int_equal(metric_read(METRIC_upstream_retries_total), retries);
    server_stop(&server);
}

static void answer_unasked(struct conversation *c)
{
    conversation_read(c);
    SAY(c, ANSWER_OK);
    conversation_await_go(c);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad");
    conversation_await_end(c);
}

TEST(a_kept_connection_that_speaks_unasked_is_closed)
{
    struct scripted_server server;
    server_start(&server, answer_unasked, NULL);
    struct report first = {0}, second = {0};
    start(&first, &server);
    run_to_end(&first, UPSTREAM_OK);
    atomic_store(&server.go, true);
    RUN_UNTIL(atomic_load(&server.closed_by_client));
    start(&second, &server);
    run_to_end(&second, UPSTREAM_OK);
    assert_string_equal(second.body, "ok");
    assert_int_equal(atomic_load(&server.connections), 2);
    server_stop(&server);
}

/* Each connection says this once, and would go on with ANSWER_OK. */
static const char *last_words;
static void say_last_words(struct conversation *c)
{
    conversation_read(c);
    conversation_write(c, slice_of(last_words));
    answer_ok(c);
}

/* What comes back is the body "ok", and a second call needs so many connections. */
static void expect_connections(const char *answer, int connections)
{
    struct scripted_server server;
    last_words = answer;
    server_start(&server, say_last_words, NULL);
    struct report first = {0}, second = {0};
    start(&first, &server);
    run_to_end(&first, UPSTREAM_OK);
    assert_string_equal(first.body, "ok");
    start(&second, &server);
    run_to_end(&second, UPSTREAM_OK);
    assert_string_equal(second.body, "ok");
    assert_int_equal(atomic_load(&server.connections), connections);
    server_stop(&server);
}

#define CHUNKS "2\r\nok\r\n0\r\n\r\n"

TEST(bytes_after_the_end_of_an_answer_close_its_connection)
{
    expect_connections(ANSWER_OK, 1);
    expect_connections(ANSWER_OK "!", 2);
    expect_connections("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" CHUNKS, 1);
    expect_connections("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" CHUNKS "HTTP/1.1",
                       2);
}

TEST(a_connection_is_kept_when_its_server_means_to)
{
    expect_connections("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
                       1);
    expect_connections("HTTP/1.1 200 OK\r\nConnection: x, Close\r\ncontent-length: 2\r\n\r\nok", 2);
    expect_connections("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 2);
    expect_connections("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok",
                       1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_kept_connection_that_closes_unseen_is_replaced),
        CASE(a_new_connection_that_closes_unanswered_is_not_tried_again),
        CASE(a_kept_connection_that_had_begun_to_answer_is_not_tried_again),
        CASE(what_replaces_a_closed_connection_is_new_and_not_another_kept_one),
        CASE(a_new_connection_that_closes_as_the_kept_one_did_is_the_end),
        CASE(a_kept_connection_that_closes_while_idle_is_not_used),
        CASE(a_kept_connection_that_speaks_unasked_is_closed),
        CASE(bytes_after_the_end_of_an_answer_close_its_connection),
        CASE(a_connection_is_kept_when_its_server_means_to),
    };
    return run_upstream_tests("upstream_kept", tests, sizeof(tests) / sizeof(tests[0]));
}
