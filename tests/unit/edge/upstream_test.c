/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to other servers that go well, are refused before they start, or are cancelled: requests
 * as they arrive, names and addresses, certificates, bounds. The servers are real sockets in
 * threads of this process. */
#include <stdlib.h>

#include "tests/unit/edge/upstream_calls.h"

/* ---- answers --------------------------------------------------------------------------------- */

TEST(a_request_arrives_as_written_and_its_answer_comes_back)
{
    struct scripted_server server;
    server_start(&server, answer_ok, NULL);
    struct report report = {0};
    h2o_iovec_t body[] = {h2o_iovec_init(H2O_STRLIT("{\"a\":")), h2o_iovec_init(H2O_STRLIT("1}"))};
    slice headers[] = {SLICE("content-type: application/json"), SLICE("authorization: Bearer k")};
    start_with(&report, &server,
               (struct upstream_request){
                   .headers = headers, .header_count = 2, .body = body, .body_count = 2});
    run_to_end(&report, UPSTREAM_OK);
    assert_int_equal(report.http_status, 200);
    assert_int_equal(report.heads, 1);
    assert_string_equal(report.body, "ok");
    char expected[256];
    snprintf(expected, sizeof(expected),
             "POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
             "authorization: Bearer k\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
             server.port);
    assert_string_equal(server.conversations[0]->request, expected);
    server_stop(&server);
}

static void answer_retry_later(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 429 Too Many\r\nretry-after: 3\r\nContent-Type: application/json\r\n"
           "content-length: 2\r\n\r\n{}");
    conversation_read(c);
    SAY(c, "HTTP/1.1 429 Too Many\r\nretry-after-ms: 250\r\nretry-after: 3\r\n"
           "content-length: 2\r\n\r\n{}");
    conversation_read(c);
    SAY(c, "HTTP/1.1 503 Later\r\nretry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n"
           "content-length: 0\r\n\r\n");
    conversation_await_end(c);
}

TEST(status_content_type_and_retry_after_are_read_from_the_head)
{
    struct scripted_server server;
    server_start(&server, answer_retry_later, NULL);
    struct report first = {0}, second = {0}, third = {0};
    start(&first, &server);
    run_to_end(&first, UPSTREAM_OK);
    assert_int_equal(first.http_status, 429);
    assert_int_equal(first.retry_after_ms, 3000);
    assert_string_equal(first.content_type, "application/json");
    start(&second, &server);
    run_to_end(&second, UPSTREAM_OK);
    assert_int_equal(second.retry_after_ms, 250); /* the precise one wins, whatever the order */
    assert_string_equal(second.content_type, "");
    start(&third, &server);
    run_to_end(&third, UPSTREAM_OK);
    assert_int_equal(third.retry_after_ms, -1); /* a date is not read */
    assert_int_equal(third.bodies, 0);
    server_stop(&server);
}

TEST(calls_one_after_the_other_share_a_connection)
{
    struct scripted_server server;
    server_start(&server, answer_ok, NULL);
    for (int i = 0; i < 3; i++) {
        struct report report = {0};
        start(&report, &server);
        run_to_end(&report, UPSTREAM_OK);
    }
    assert_int_equal(atomic_load(&server.connections), 1);
    assert_int_equal(atomic_load(&server.requests), 3);
    server_stop(&server);
}

TEST(a_unix_socket_is_called_and_its_connection_kept)
{
    char path[64], url[128];
    snprintf(path, sizeof(path), "/tmp/bourse-upstream-test-%d.sock", getpid());
    snprintf(url, sizeof(url), "unix:%s:/api/v1/key?a=b", path);
    struct scripted_server server;
    server_start_local(&server, answer_ok, path);
    for (int i = 0; i < 2; i++) {
        struct report report = {0};
        assert_ok(start_url(&report, url, (struct upstream_request){.method = SLICE("GET")}));
        run_to_end(&report, UPSTREAM_OK);
        assert_string_equal(report.body, "ok");
    }
    assert_int_equal(atomic_load(&server.connections), 1);
    assert_string_equal(server.conversations[0]->request,
                        "GET /api/v1/key?a=b HTTP/1.1\r\nhost: localhost\r\n\r\n");
    server_stop(&server);
    unlink(path);

    struct report refused = {0};
    assert_ok(start_url(&refused, url, (struct upstream_request){.method = SLICE("GET")}));
    assert_int_equal(refused.ends, 0);
    run_to_end(&refused, UPSTREAM_CONNECT);
}

static void answer_without_body(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"); /* of a HEAD: no body follows */
    conversation_read(c);
    SAY(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    conversation_read(c);
    SAY(c, "HTTP/1.1 100 Continue\r\n\r\n");
    conversation_await_go(c);
    SAY(c, ANSWER_OK);
    conversation_await_end(c);
}

TEST(answers_without_a_body_end_with_their_head_and_informational_heads_are_none)
{
    struct scripted_server server;
    server_start(&server, answer_without_body, NULL);
    struct report head = {0}, none = {0};
    start_with(&head, &server, (struct upstream_request){.method = SLICE("HEAD")});
    run_to_end(&head, UPSTREAM_OK);
    start(&none, &server);
    run_to_end(&none, UPSTREAM_OK);
    assert_int_equal(none.http_status, 204);
    assert_int_equal(head.bodies + none.bodies, 0);
    struct report after = {0}; /* a head of the kind that is passed over, alone */
    start(&after, &server);
    run_for(20);
    assert_int_equal(after.heads, 0);
    atomic_store(&server.go, true);
    run_to_end(&after, UPSTREAM_OK);
    assert_int_equal(after.http_status, 200);
    assert_string_equal(after.body, "ok");
    assert_int_equal(atomic_load(&server.connections), 1);
    server_stop(&server);
}

/* ---- names and addresses --------------------------------------------------------------------- */

TEST(a_refused_connection_is_reported_in_a_later_turn)
{
    struct scripted_server server;
    server_start(&server, answer_ok, NULL);
    server_stop(&server); /* nobody listens on its port any more */
    struct report report = {0};
    start(&report, &server);
    run_to_end(&report, UPSTREAM_CONNECT);
    assert_int_equal(report.heads, 0);
}

TEST(a_name_is_resolved_off_the_loop)
{
    struct scripted_server server;
    server_start(&server, answer_ok, NULL);
    char url[64];
    /* Not a numeric address to us, but one that getaddrinfo knows without asking anybody. */
    snprintf(url, sizeof(url), "http://127.1:%d/", server.port);
    struct report first = {0}, second = {0};
    assert_ok(start_url(&first, url, (struct upstream_request){0}));
    assert_ok(start_url(&second, url, (struct upstream_request){0}));
    run_to_end(&first, UPSTREAM_OK);
    run_to_end(&second, UPSTREAM_OK);
    struct report cached = {0};
    assert_ok(start_url(&cached, url, (struct upstream_request){0}));
    run_to_end(&cached, UPSTREAM_OK);
    server_stop(&server);
}

TEST(localhost_tries_both_of_its_addresses)
{
    struct scripted_server server; /* listens on IPv4 only */
    server_start(&server, answer_ok, NULL);
    char url[64];
    struct report report = {0};
    snprintf(url, sizeof(url), "http://localhost:%d/", server.port);
    assert_ok(start_url(&report, url, (struct upstream_request){0}));
    run_to_end(&report, UPSTREAM_OK);
    server_stop(&server);
    struct report refused = {0};
    assert_ok(start_url(&refused, url, (struct upstream_request){0}));
    run_to_end(&refused, UPSTREAM_CONNECT);
}

TEST(a_name_that_cannot_exist_fails_the_call)
{
    /* A label has 63 bytes at most, so no name server is asked. */
    char url[128] = "http://";
    memset(url + strlen(url), 'a', 70);
    struct report report = {0};
    assert_ok(start_url(&report, url, (struct upstream_request){0}));
    run_to_end(&report, UPSTREAM_CONNECT);
    struct report again = {0};
    assert_ok(start_url(&again, url, (struct upstream_request){0}));
    assert_int_equal(again.ends, 0);
    run_to_end(&again, UPSTREAM_CONNECT);
}

TEST(a_client_may_be_freed_while_a_name_is_asked_for)
{
    struct report report = {0};
    assert_ok(start_url(&report, "http://127.2:9/", (struct upstream_request){0}));
    renew_client();
    run_for(20);
    assert_int_equal(report.ends, 0);
}

TEST(a_path_goes_behind_the_target_of_the_url)
{
    static const struct {
        const char *target;
        slice path;
        const char *line;
    } cases[] = {
        {"", SLICE_INIT(""), "GET / HTTP/1.1\r\n"},
        {"", SLICE_INIT("/chat"), "GET /chat HTTP/1.1\r\n"},
        {"/v1", SLICE_INIT(""), "GET /v1 HTTP/1.1\r\n"},
        {"/v1", SLICE_INIT("/chat"), "GET /v1/chat HTTP/1.1\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scripted_server server;
        server_start(&server, answer_ok, NULL);
        char url[64];
        snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server.port, cases[i].target);
        struct report report = {0};
        struct upstream_request request = {.method = SLICE("GET"), .path = cases[i].path};
        assert_ok(start_url(&report, url, request));
        run_to_end(&report, UPSTREAM_OK);
        assert_memory_equal(server.conversations[0]->request, cases[i].line, strlen(cases[i].line));
        server_stop(&server);
    }
}

TEST(a_url_without_a_host_is_refused)
{
    static const struct upstream_callbacks callbacks = {report_head, report_body, NULL};
    struct upstream_call *call;
    const struct url none = {0};
    const struct upstream_request request = {.method = SLICE("GET"), .url = &none};
    assert_fails(upstream_start(client, &request, &callbacks, NULL, &call), BAD_REQUEST);
}

TEST(paths_methods_and_header_lines_that_could_smuggle_are_refused)
{
    static const slice words[] = {{"/b c", 4}, {"/\r\nx: y", 7}, {"/\0", 2}, {"/#f", 3}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct report report = {0};
        struct upstream_request path = {.path = words[i]}, method = {.method = words[i]};
        assert_fails(start_url(&report, "http://127.0.0.1/v1", path), BAD_REQUEST);
        assert_fails(start_url(&report, "http://127.0.0.1/v1", method), BAD_REQUEST);
    }
    static const slice lines[] = {{"a: b\r\nc: d", 10}, {"a: b\n", 5}, {"a: \0", 4}, {"none", 4}};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct report report = {0};
        struct upstream_request request = {.headers = &lines[i], .header_count = 1};
        assert_fails(start_url(&report, "http://127.0.0.1/", request), BAD_REQUEST);
    }
    static char long_line[70000] = "a: ";
    memset(long_line + 3, 'b', sizeof(long_line) - 3);
    slice line = {long_line, sizeof(long_line)};
    struct report report = {0};
    struct upstream_request request = {.headers = &line, .header_count = 1};
    assert_fails(start_url(&report, "http://127.0.0.1/", request), HEADERS_TOO_LARGE);
}

TEST(a_head_too_long_for_the_call_itself_is_sent_whole)
{
    struct scripted_server server;
    server_start(&server, answer_ok, NULL);
    static char long_line[5000] = "a: ";
    memset(long_line + 3, 'b', sizeof(long_line) - 3);
    slice line = {long_line, sizeof(long_line)};
    struct report report = {0};
    start_with(&report, &server, (struct upstream_request){.headers = &line, .header_count = 1});
    run_to_end(&report, UPSTREAM_OK);
    assert_non_null(strstr(server.conversations[0]->request, "bbb\r\ncontent-length: 0\r\n\r\n"));
    server_stop(&server);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void authority_path(char *path, size_t size)
{
    snprintf(path, size, "/tmp/bourse-upstream-test-%d.pem", getpid());
}

/* A call to "localhost" at a server whose certificate is for `name`. */
static void call_tls(const char *name, int version, enum upstream_failure expected)
{
    char path[64], url[64];
    authority_path(path, sizeof(path));
    SSL_CTX *context = server_certificate(name, path);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    struct scripted_server server;
    server_start(&server, answer_ok, context);

    snprintf(config.upstream_ca_file, sizeof(config.upstream_ca_file), "%s", path);
    config.upstream_connect_timeout = 3000;
    renew_client();
    snprintf(url, sizeof(url), "https://localhost:%d/", server.port);
    /* Twice: a refused one stays refused, and a connection over which tickets for further sessions
     * came is kept like any other. */
    for (int i = 0; i < 2; i++) {
        struct report report = {0};
        assert_ok(start_url(&report, url, (struct upstream_request){0}));
        run_to_end(&report, expected);
        assert_int_equal(report.heads, expected == UPSTREAM_OK);
    }
    assert_int_equal(atomic_load(&server.requests), expected == UPSTREAM_OK ? 2 : 0);
    if (expected == UPSTREAM_OK) assert_int_equal(atomic_load(&server.connections), 1);
    server_stop(&server);
    unlink(path);
}

TEST(the_right_name_in_a_certificate_is_accepted_under_tls_1_3)
{
    call_tls("localhost", TLS1_3_VERSION, UPSTREAM_OK);
}
TEST(a_wrong_name_in_a_certificate_is_refused_under_tls_1_3)
{
    call_tls("other.example", TLS1_3_VERSION, UPSTREAM_CONNECT);
}
TEST(the_right_name_in_a_certificate_is_accepted_under_tls_1_2)
{
    call_tls("localhost", TLS1_2_VERSION, UPSTREAM_OK);
}
TEST(a_wrong_name_in_a_certificate_is_refused_under_tls_1_2)
{
    call_tls("other.example", TLS1_2_VERSION, UPSTREAM_CONNECT);
}

TEST(an_unknown_authority_is_refused)
{
    char path[64], url[64];
    authority_path(path, sizeof(path));
    struct scripted_server server;
    server_start(&server, answer_ok, server_certificate("localhost", path));
    unlink(path); /* the client has the system's authorities only */
    config.upstream_connect_timeout = 3000;
    snprintf(url, sizeof(url), "https://localhost:%d/", server.port);
    struct report report = {0};
    assert_ok(start_url(&report, url, (struct upstream_request){0}));
    run_to_end(&report, UPSTREAM_CONNECT);
    assert_int_equal(atomic_load(&server.requests), 0);
    server_stop(&server);
}

TEST(an_authorities_file_that_cannot_be_read_refuses_the_client)
{
    struct upstream_client *none = NULL;
    struct config wrong = config;
    snprintf(wrong.upstream_ca_file, sizeof(wrong.upstream_ca_file), "/nonexistent/ca.pem");
    assert_fails(upstream_client_new(loop, NULL, &wrong, &none), CONFIGURATION);
    assert_null(none);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

TEST(a_call_above_the_bound_on_connections_is_busy)
{
    config.upstream_connections = 1;
    renew_client();
    struct scripted_server server;
    server_start(&server, in_two_parts, NULL);
    struct report first = {0}, second = {0}, third = {0};
    start(&first, &server);
    start(&second, &server);
    run_to_end(&second, UPSTREAM_BUSY);
    atomic_store(&server.go, true);
    run_to_end(&first, UPSTREAM_OK);
    start(&third, &server); /* the place is free again */
    RUN_UNTIL(third.heads == 1);
    upstream_cancel(&third.call);
    server_stop(&server);
}

TEST(more_places_than_pools_are_served_one_after_the_other)
{
    struct scripted_server server;
    server_start(&server, answer_ok, NULL);
    for (int i = 0; i < 300; i++) {
        char url[64];
        snprintf(url, sizeof(url), "http://127.0.%d.%d:%d/", i / 100, i % 100 + 1, server.port);
        struct report report = {0};
        assert_ok(start_url(&report, url, (struct upstream_request){0}));
        run_to_end(&report, UPSTREAM_OK);
    }
    assert_int_equal(atomic_load(&server.connections), 300);
    server_stop(&server);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

TEST(a_cancelled_call_reports_nothing_and_closes_its_connection)
{
    struct scripted_server server;
    server_start(&server, half_an_answer, NULL);
    struct report report = {0};
    start(&report, &server);
    RUN_UNTIL(report.bodies == 1);
    upstream_cancel(&report.call);
    assert_null(report.call);
    upstream_cancel(&report.call); /* nothing to cancel is fine */
    RUN_UNTIL(atomic_load(&server.closed_by_client));
    assert_int_equal(report.ends, 0);
    server_stop(&server);
}

TEST(a_call_cancelled_before_it_connects_reports_nothing)
{
    struct scripted_server server;
    server_start(&server, answer_ok, NULL);
    struct report report = {0}, failing = {0};
    start(&report, &server);
    upstream_cancel(&report.call);
    assert_ok(start_url(&failing, "http://256.256.256.256.:1/", (struct upstream_request){0}));
    upstream_cancel(&failing.call);
    run_for(50);
    assert_int_equal(report.heads + report.ends + failing.ends, 0);
    server_stop(&server);
}

static void expect_silence(struct report report, int heads, int bodies)
{
    struct scripted_server server;
    server_start(&server, half_an_answer, NULL);
    start(&report, &server);
    RUN_UNTIL(atomic_load(&server.closed_by_client));
    run_for(20);
    assert_int_equal(report.heads, heads);
    assert_int_equal(report.bodies, bodies);
    assert_int_equal(report.ends, 0);
    server_stop(&server);
}

TEST(an_owner_that_answers_false_hears_no_more)
{
    expect_silence((struct report){.refuse_head = true}, 1, 0);
    expect_silence((struct report){.refuse_body = true}, 1, 1);
    expect_silence((struct report){.cancel_in_body = true}, 1, 1);
}

TEST(a_client_that_is_freed_cancels_its_calls)
{
    struct scripted_server server;
    server_start(&server, half_an_answer, NULL);
    struct report reports[3] = {{0}, {.pause_in_head = true}, {.pause_in_body = true}};
    for (int i = 0; i < 3; i++) {
        start(&reports[i], &server);
    }
    RUN_UNTIL(reports[0].heads + reports[1].heads + reports[2].heads == 3);
    renew_client();
    run_for(20);
    assert_int_equal(reports[0].ends + reports[1].ends + reports[2].ends, 0);
    server_stop(&server);
}

/* A call whose end starts the next one, as a gateway does that tries the next provider. */
struct chain {
    struct report report;
    struct scripted_server *server;
    int left;
};

static void chain_done(void *context, enum upstream_failure failure, const char *detail);
static const struct upstream_callbacks chain_callbacks = {report_head, report_body, chain_done};

static void chain_start(struct chain *chain)
{
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", chain->server->port);
    struct url parsed;
    assert_ok(url_parse(slice_of(url), &parsed));
    const struct upstream_request request = {.method = SLICE("GET"), .url = &parsed};
    assert_ok(upstream_start(client, &request, &chain_callbacks, chain, &chain->report.call));
}

static void chain_done(void *context, enum upstream_failure failure,
                       const char *detail __attribute__((unused)))
{
    struct chain *chain = context;
    chain->report.ends++;
    chain->report.failure = failure;
    if (--chain->left > 0) chain_start(chain);
}

TEST(the_end_of_a_call_may_start_the_next)
{
    struct scripted_server server;
    server_start(&server, hang_up_at_once, NULL);
    struct chain failing = {.server = &server, .left = 3};
    chain_start(&failing);
    RUN_UNTIL(failing.left == 0);
    assert_int_equal(failing.report.ends, 3);
    assert_int_equal(failing.report.failure, UPSTREAM_RESET);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_arrives_as_written_and_its_answer_comes_back),
        CASE(status_content_type_and_retry_after_are_read_from_the_head),
        CASE(calls_one_after_the_other_share_a_connection),
        CASE(a_unix_socket_is_called_and_its_connection_kept),
        CASE(answers_without_a_body_end_with_their_head_and_informational_heads_are_none),
        CASE(a_refused_connection_is_reported_in_a_later_turn),
        CASE(a_name_is_resolved_off_the_loop),
        CASE(localhost_tries_both_of_its_addresses),
        CASE(a_name_that_cannot_exist_fails_the_call),
        CASE(a_client_may_be_freed_while_a_name_is_asked_for),
        CASE(a_path_goes_behind_the_target_of_the_url),
        CASE(a_url_without_a_host_is_refused),
        CASE(paths_methods_and_header_lines_that_could_smuggle_are_refused),
        CASE(a_head_too_long_for_the_call_itself_is_sent_whole),
        CASE(the_right_name_in_a_certificate_is_accepted_under_tls_1_3),
        CASE(a_wrong_name_in_a_certificate_is_refused_under_tls_1_3),
        CASE(the_right_name_in_a_certificate_is_accepted_under_tls_1_2),
        CASE(a_wrong_name_in_a_certificate_is_refused_under_tls_1_2),
        CASE(an_unknown_authority_is_refused),
        CASE(an_authorities_file_that_cannot_be_read_refuses_the_client),
        CASE(a_call_above_the_bound_on_connections_is_busy),
        CASE(more_places_than_pools_are_served_one_after_the_other),
        CASE(a_cancelled_call_reports_nothing_and_closes_its_connection),
        CASE(a_call_cancelled_before_it_connects_reports_nothing),
        CASE(an_owner_that_answers_false_hears_no_more),
        CASE(a_client_that_is_freed_cancels_its_calls),
        CASE(the_end_of_a_call_may_start_the_next),
    };
    return run_upstream_tests("upstream", tests, sizeof(tests) / sizeof(tests[0]));
}
