/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to servers that misbehave: each ends exactly once with the right word. Times are short, and
 * what is waited for is an event with a deadline. */
#include <time.h>

#include "services/edge/dialects/dialect.h"
#include "tests/unit/edge/upstream_calls.h"

/* ---- broken answers -------------------------------------------------------------------------- */

static void reset_before_head(struct conversation *c)
{
    conversation_read(c);
    conversation_reset(c);
}
static void reset_in_body(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    conversation_await_go(c);
    conversation_reset(c);
}
static void short_body(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
}
static void cut_inside_chunk(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nhalf");
}
static void no_http(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "SSH-2.0-OpenSSH_9.2\r\n");
    conversation_await_end(c);
}
static void bad_chunk(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhalf");
    conversation_await_end(c);
}
static void unknown_encoding(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n");
    conversation_await_end(c);
}
static void bad_length(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 12x\r\n\r\n");
    conversation_await_end(c);
}
static void unknown_encoding_behind_others(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
           "HTTP/1.1 200 OK\r\nTransfer-ENCODING:  chunked, gzip \r\n\r\n");
    conversation_await_end(c);
}
static void unknown_encoding_on_kept(struct conversation *c)
{
    conversation_read(c);
    SAY(c, ANSWER_OK);
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n");
    conversation_await_end(c);
}
static void endless_informational(struct conversation *c)
{
    conversation_read(c);
    for (int i = 0; i < 17; i++)
        SAY(c, "HTTP/1.1 102 Processing\r\n\r\n");
    conversation_await_end(c);
}
static void switch_protocols(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n");
    conversation_await_end(c);
}
static void large_head(struct conversation *c)
{
    static char line[70000];
    memset(line, 'b', sizeof(line));
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\nx: ");
    conversation_write(c, (slice){line, sizeof(line)});
    SAY(c, "\r\ncontent-length: 0\r\n\r\n");
    conversation_await_end(c);
}
static void endless_head(struct conversation *c)
{
    static char line[70000];
    memset(line, 'b', sizeof(line));
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\nx: ");
    conversation_write(c, (slice){line, sizeof(line)});
    conversation_await_end(c);
}

static void expect_failure(server_script script, enum upstream_failure expected, int heads)
{
    struct scripted_server server;
    server_start(&server, script, NULL);
    struct report report = {0};
    start(&report, &server);
    if (heads > 0) {
        RUN_UNTIL(report.heads > 0);
        atomic_store(&server.go, true);
    }
    run_to_end(&report, expected);
    assert_int_equal(report.heads, heads);
    server_stop(&server);
}

TEST(a_connection_reset_before_the_head_is_a_reset)
{
    expect_failure(reset_before_head, UPSTREAM_RESET, 0);
}
TEST(a_connection_reset_in_the_body_is_a_reset)
{
    expect_failure(reset_in_body, UPSTREAM_RESET, 1);
}
TEST(a_body_shorter_than_its_length_is_a_reset)
{
    expect_failure(short_body, UPSTREAM_RESET, 1);
}
TEST(a_stream_cut_inside_a_chunk_is_a_reset)
{
    expect_failure(cut_inside_chunk, UPSTREAM_RESET, 1);
}
TEST(bytes_that_are_not_http_are_a_bad_answer)
{
    expect_failure(no_http, UPSTREAM_BAD_ANSWER, 0);
    expect_failure(switch_protocols, UPSTREAM_BAD_ANSWER, 0);
    expect_failure(endless_informational, UPSTREAM_BAD_ANSWER, 0);
    expect_failure(bad_chunk, UPSTREAM_BAD_ANSWER, 1);
}
/* Anything may stand behind such a head. */
TEST(a_body_that_cannot_be_delimited_is_a_bad_answer)
{
    expect_failure(unknown_encoding, UPSTREAM_BAD_ANSWER, 0);
    expect_failure(bad_length, UPSTREAM_BAD_ANSWER, 0);
    expect_failure(unknown_encoding_behind_others, UPSTREAM_BAD_ANSWER, 0);

    struct scripted_server server;
    server_start(&server, unknown_encoding_on_kept, NULL);
    struct report first = {0}, second = {0};
    start(&first, &server);
    run_to_end(&first, UPSTREAM_OK);
    start(&second, &server);
    run_to_end(&second, UPSTREAM_BAD_ANSWER);
    assert_int_equal(atomic_load(&server.connections), 1);
    server_stop(&server);
}
TEST(a_head_above_its_bound_is_a_bad_answer)
{
    expect_failure(large_head, UPSTREAM_BAD_ANSWER, 0);
    expect_failure(endless_head, UPSTREAM_BAD_ANSWER, 0);
}

static void large_body(struct conversation *c)
{
    static char bytes[70000];
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n");
    conversation_write(c, (slice){bytes, sizeof(bytes)});
    conversation_await_end(c);
}

TEST(a_body_above_its_bound_is_a_bad_answer)
{
    config.upstream_answer_max = 65536;
    expect_failure(large_body, UPSTREAM_BAD_ANSWER, 1);
    config.upstream_answer_max = 70000;
    struct scripted_server server;
    server_start(&server, large_body, NULL);
    struct report report = {0};
    start(&report, &server);
    run_to_end(&report, UPSTREAM_OK);
    assert_int_equal(report.body_len, 70000);
    server_stop(&server);
}

/* ---- answers that end with the connection ---------------------------------------------------- */

#define HALF_A_STREAM "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Half\"}}]}\n\n"

static void cut_between_chunks(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3c\r\n" HALF_A_STREAM "\r\n");
}
static void cut_in_last_chunk(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n");
}
static void until_close(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\n\r\n" HALF_A_STREAM);
}
static void until_reset(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\n\r\nhalf");
    conversation_await_go(c);
    conversation_reset(c);
}

TEST(a_chunked_body_without_its_last_chunk_is_a_reset)
{
    expect_failure(cut_between_chunks, UPSTREAM_RESET, 1);
    expect_failure(cut_in_last_chunk, UPSTREAM_RESET, 1);
}
TEST(a_body_until_the_end_of_the_connection_does_not_end_with_a_reset)
{
    expect_failure(until_reset, UPSTREAM_RESET, 1);
}

static status note_done(void *context, const struct event *event)
{
    int *dones = context;
    *dones += event->kind == EVENT_DONE;
    return OK;
}

TEST(a_stream_until_the_end_of_the_connection_ends_well_for_http_but_is_not_complete)
{
    struct scripted_server server;
    server_start(&server, until_close, NULL);
    struct report report = {0};
    start(&report, &server);
    run_to_end(&report, UPSTREAM_OK); /* nobody can tell */
    assert_string_equal(report.body, HALF_A_STREAM);

    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct decode_memory memory;
    decode_memory_init(&memory);
    struct decoder *decoder;
    int dones = 0;
    const struct decode_request request = {
        .arena = &arena, .memory = &memory, .stream = true, .sink = note_done, .context = &dones};
    assert_ok(dialect_openai.decoder_new(&request, &decoder));
    assert_ok(dialect_openai.decoder_feed(decoder, (slice){report.body, report.body_len}));
    assert_ok(dialect_openai.decoder_finish(decoder));
    assert_int_equal(dones, 0); /* but the decoder */
    dialect_openai.decoder_free(&decoder);
    decode_memory_free(&memory);
    arena_free(&arena);
    server_stop(&server);
}

/* ---- answers before the request was read ----------------------------------------------------- */

#define TOO_LARGE "HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno"

static void refuse_unread(struct conversation *c)
{
    if (c->index > 0) {
        answer_ok(c);
        return;
    }
    SAY(c, TOO_LARGE);
    conversation_await_go(c);
}
static void refuse_unread_and_reset(struct conversation *c)
{
    if (c->index > 0) {
        answer_ok(c);
        return;
    }
    SAY(c, TOO_LARGE);
    conversation_reset(c);
}

static void expect_early_answer(server_script script)
{
    static char bytes[32 << 20]; /* more than the kernel's buffers hold */
    h2o_iovec_t body = {bytes, sizeof(bytes)};
    struct scripted_server server;
    server_start(&server, script, NULL);
    struct report large = {0}, next = {0};
    start_with(&large, &server, (struct upstream_request){.body = &body, .body_count = 1});
    run_to_end(&large, UPSTREAM_OK);
    assert_int_equal(large.http_status, 413);
    assert_string_equal(large.body, "no");
    start(&next, &server);
    run_to_end(&next, UPSTREAM_OK);
    assert_string_equal(next.body, "ok");
    assert_int_equal(atomic_load(&server.connections), 2);
    server_stop(&server);
}

TEST(an_answer_during_a_large_upload_is_heard_and_ends_the_connection)
{
    expect_early_answer(refuse_unread);
    expect_early_answer(refuse_unread_and_reset);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void say_nothing(struct conversation *c)
{
    conversation_await_end(c);
}
static void dribble(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
    while (SAY(c, ".") && !atomic_load(&c->server->go)) {
        struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
}

/* The server sees the connection closed as well. */
static void expect_timeout(server_script script, struct upstream_request request,
                           enum upstream_failure expected)
{
    struct scripted_server server;
    server_start(&server, script, NULL);
    struct report report = {0};
    uint64_t started_ms = clock_monotonic_ms();
    start_with(&report, &server, request);
    run_to_end(&report, expected);
    uint64_t taken_ms = clock_monotonic_ms() - started_ms;
    assert_in_range(taken_ms, 200, 2000); /* 200 asked for; the rest is for a busy machine */
    if (script != dribble) RUN_UNTIL(atomic_load(&server.closed_by_client));
    server_stop(&server);
}

TEST(silence_after_the_request_runs_into_the_first_byte_timer)
{
    expect_timeout(say_nothing, (struct upstream_request){.first_byte_timeout_ms = 200},
                   UPSTREAM_FIRST_BYTE_TIMEOUT);
}
TEST(silence_inside_an_answer_runs_into_the_idle_timer)
{
    expect_timeout(half_an_answer, (struct upstream_request){.idle_timeout_ms = 200},
                   UPSTREAM_IDLE_TIMEOUT);
}
TEST(an_answer_without_end_runs_into_the_total_timer)
{
    expect_timeout(dribble,
                   (struct upstream_request){.idle_timeout_ms = 150, .total_timeout_ms = 300},
                   UPSTREAM_TOTAL_TIMEOUT);
}
TEST(a_handshake_without_end_runs_into_the_connect_timer)
{
    struct scripted_server server;
    server_start(&server, say_nothing, NULL); /* accepts, and never speaks TLS */
    char url[64];
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
    struct report report = {0};
    assert_ok(start_url(&report, url, (struct upstream_request){0}));
    run_to_end(&report, UPSTREAM_CONNECT_TIMEOUT);
    server_stop(&server);
}

/* ---- backpressure ---------------------------------------------------------------------------- */

TEST(a_pause_longer_than_the_idle_timer_cuts_nothing)
{
    struct scripted_server server;
    server_start(&server, in_two_parts, NULL);
    struct report report = {.pause_in_body = true};
    start_with(&report, &server, (struct upstream_request){.idle_timeout_ms = 150});
    RUN_UNTIL(report.bodies == 1);
    atomic_store(&server.go, true);
    run_for(500);
    assert_int_equal(report.ends, 0);
    assert_int_equal(report.bodies, 1);
    report.paused = report.pause_in_body = false;
    upstream_resume(report.call);
    run_to_end(&report, UPSTREAM_OK);
    assert_string_equal(report.body, "firstafter");
    server_stop(&server);
}

TEST(after_a_pause_the_idle_timer_runs_again)
{
    struct scripted_server server;
    server_start(&server, half_an_answer, NULL);
    struct report report = {.pause_in_body = true};
    start_with(&report, &server, (struct upstream_request){.idle_timeout_ms = 150});
    RUN_UNTIL(report.bodies == 1);
    run_for(300);
    assert_int_equal(report.ends, 0);
    upstream_resume(report.call);
    run_to_end(&report, UPSTREAM_IDLE_TIMEOUT);
    server_stop(&server);
}

static void many_bytes(struct conversation *c)
{
    static char bytes[1 << 20];
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 33554432\r\n\r\n");
    int written = 0;
    while (written < 32 && conversation_write(c, (slice){bytes, sizeof(bytes)})) {
        written++;
    }
    atomic_store(&c->server->go, true); /* here: everything was taken */
    conversation_await_end(c);
}

TEST(a_paused_call_takes_no_more_than_the_sockets_hold)
{
    struct scripted_server server;
    server_start(&server, many_bytes, NULL);
    struct report report = {.pause_in_body = true};
    start(&report, &server);
    RUN_UNTIL(report.bodies == 1);
    run_for(200);
    assert_int_equal(report.bodies, 1);
    assert_false(atomic_load(
        &server.go)); /* the sender stands still: 32 MiB do not fit the kernel's buffers */
    report.paused = report.pause_in_body = false;
    upstream_resume(report.call);
    run_to_end(&report, UPSTREAM_OK);
    assert_int_equal(report.body_len, 32u << 20);
    server_stop(&server);
}

TEST(a_whole_answer_that_came_while_paused_is_given_after_the_pause)
{
    struct scripted_server server;
    server_start(&server, answer_ok, NULL);
    struct report report = {.pause_in_head = true};
    start_with(&report, &server, (struct upstream_request){.idle_timeout_ms = 100});
    RUN_UNTIL(report.heads == 1);
    run_for(250);
    assert_int_equal(report.bodies + report.ends, 0);
    report.paused = false;
    upstream_resume(report.call);
    assert_int_equal(report.bodies + report.ends, 0); /* later, not inside */
    run_to_end(&report, UPSTREAM_OK);
    assert_string_equal(report.body, "ok");
    server_stop(&server);
}

TEST(part_of_an_answer_that_came_with_a_paused_head_is_given_after_the_pause)
{
    struct scripted_server server;
    server_start(&server, in_two_parts, NULL);
    struct report report = {.pause_in_head = true};
    start(&report, &server);
    RUN_UNTIL(report.heads == 1);
    run_for(50);
    atomic_store(&server.go, true);
    run_for(50);
    assert_int_equal(report.bodies, 0);
    report.paused = false;
    upstream_resume(report.call);
    run_to_end(&report, UPSTREAM_OK);
    assert_string_equal(report.body, "firstafter");
    server_stop(&server);
}

TEST(the_last_bytes_of_an_answer_can_be_paused_on)
{
    struct scripted_server server;
    server_start(&server, answer_ok, NULL);
    struct report report = {.pause_in_body = true};
    start(&report, &server);
    RUN_UNTIL(report.bodies == 1);
    run_for(50);
    assert_int_equal(report.ends, 0);
    upstream_resume(report.call);
    run_to_end(&report, UPSTREAM_OK);
    server_stop(&server);
}

static void last_chunk_later(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    conversation_await_go(c);
    SAY(c, "5\r\nafter\r\n0\r\n\r\n");
    answer_ok(c);
}

TEST(an_answer_that_ends_during_a_pause_ends_after_it_and_leaves_its_connection_usable)
{
    struct scripted_server server;
    server_start(&server, last_chunk_later, NULL);
    struct report report = {.pause_in_body = true}, next = {0};
    start(&report, &server);
    RUN_UNTIL(report.bodies == 1);
    atomic_store(&server.go, true);
    run_for(50);
    assert_int_equal(report.bodies, 1);
    report.pause_in_body = false;
    upstream_resume(report.call);
    upstream_pause(report.call); /* before the turn in which it would go on */
    run_for(20);
    assert_int_equal(report.bodies, 1);
    upstream_resume(report.call);
    run_to_end(&report, UPSTREAM_OK);
    assert_string_equal(report.body, "firstafter");
    start(&next, &server);
    run_to_end(&next, UPSTREAM_OK);
    assert_int_equal(atomic_load(&server.connections), 1);
    server_stop(&server);
}

static void say_and_reset(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    conversation_await_go(c);
    conversation_reset(c);
    atomic_store(&c->server->go, false);
}

TEST(a_connection_that_breaks_during_a_pause_is_a_reset_after_it)
{
    struct scripted_server server;
    server_start(&server, say_and_reset, NULL);
    struct report report = {.pause_in_body = true};
    start(&report, &server);
    RUN_UNTIL(report.bodies == 1);
    atomic_store(&server.go, true);
    RUN_UNTIL(!atomic_load(&server.go));
    run_for(20);
    assert_int_equal(report.ends, 0);
    upstream_resume(report.call);
    run_to_end(&report, UPSTREAM_RESET);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_connection_reset_before_the_head_is_a_reset),
        CASE(a_connection_reset_in_the_body_is_a_reset),
        CASE(a_body_shorter_than_its_length_is_a_reset),
        CASE(a_stream_cut_inside_a_chunk_is_a_reset),
        CASE(bytes_that_are_not_http_are_a_bad_answer),
        CASE(a_body_that_cannot_be_delimited_is_a_bad_answer),
        CASE(a_head_above_its_bound_is_a_bad_answer),
        CASE(a_body_above_its_bound_is_a_bad_answer),
        CASE(a_chunked_body_without_its_last_chunk_is_a_reset),
        CASE(a_body_until_the_end_of_the_connection_does_not_end_with_a_reset),
        CASE(a_stream_until_the_end_of_the_connection_ends_well_for_http_but_is_not_complete),
        CASE(an_answer_during_a_large_upload_is_heard_and_ends_the_connection),
        CASE(silence_after_the_request_runs_into_the_first_byte_timer),
        CASE(silence_inside_an_answer_runs_into_the_idle_timer),
        CASE(an_answer_without_end_runs_into_the_total_timer),
        CASE(a_handshake_without_end_runs_into_the_connect_timer),
        CASE(a_pause_longer_than_the_idle_timer_cuts_nothing),
        CASE(after_a_pause_the_idle_timer_runs_again),
        CASE(a_paused_call_takes_no_more_than_the_sockets_hold),
        CASE(a_whole_answer_that_came_while_paused_is_given_after_the_pause),
        CASE(part_of_an_answer_that_came_with_a_paused_head_is_given_after_the_pause),
        CASE(the_last_bytes_of_an_answer_can_be_paused_on),
        CASE(an_answer_that_ends_during_a_pause_ends_after_it_and_leaves_its_connection_usable),
        CASE(a_connection_that_breaks_during_a_pause_is_a_reset_after_it),
    };
    return run_upstream_tests("upstream_faults", tests, sizeof(tests) / sizeof(tests[0]));
}
