/* SPDX-License-Identifier: Apache-2.0 */
/* The loop, the client, the reports and the scripts of upstream_calls.h. */
#include "tests/unit/edge/upstream_calls.h"

#include <signal.h>

h2o_loop_t *loop;
static h2o_multithread_queue_t *queue;
struct config config;
struct upstream_client *client;

bool report_head(void *context, const struct upstream_head *head)
{
    struct report *report = context;
    report->heads++;
    report->http_status = head->http_status;
    report->retry_after_ms = head->retry_after_ms;
    snprintf(report->content_type, sizeof(report->content_type), "%.*s",
             (int)head->content_type.len, head->content_type.data);
    if (report->pause_in_head) {
        report->paused = true;
        upstream_pause(report->call);
    }
    return !report->refuse_head;
}

bool report_body(void *context, slice bytes)
{
    struct report *report = context;
    report->bodies++;
    size_t room = report->body_len < sizeof(report->body) - 1
                      ? sizeof(report->body) - 1 - report->body_len
                      : 0;
    slice kept = slice_first(bytes, room);
    if (room > 0) memcpy(report->body + report->body_len, kept.data, kept.len);
    report->body_len += bytes.len;
    if (report->pause_in_body && !report->paused) {
        report->paused = true;
        upstream_pause(report->call);
    }
    if (report->cancel_in_body) upstream_cancel(&report->call);
    return !report->refuse_body;
}

static void report_done(void *context, enum upstream_failure failure, const char *detail)
{
    struct report *report = context;
    assert_non_null(detail);
    report->ends++;
    report->failure = failure;
    /* An owner may drop its pointer here the careful way. */
    upstream_cancel(&report->call);
}

static const struct upstream_callbacks callbacks = {report_head, report_body, report_done};

int prepare_client(void **state __attribute__((unused)))
{
    config_defaults(&config);
    config.upstream_connect_timeout = 300;
    assert_ok(upstream_client_new(loop, queue, &config, &client));
    return 0;
}

/* The library frees sockets in the turn after they were closed. */
int drop_client(void **state __attribute__((unused)))
{
    upstream_client_free(&client);
    h2o_evloop_run(loop, 0);
    return 0;
}

void renew_client(void)
{
    upstream_client_free(&client);
    assert_ok(upstream_client_new(loop, queue, &config, &client));
}

int run_upstream_tests(const char *name, const struct CMUnitTest *tests, size_t count)
{
    signal(SIGPIPE, SIG_IGN);
    loop = h2o_evloop_create();
    queue = h2o_multithread_create_queue(loop);
    return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}

status start_url(struct report *report, const char *url, struct upstream_request request)
{
    struct url parsed;
    TRY(url_parse(slice_of(url), &parsed));
    request.url = &parsed;
    if (request.method.len == 0) request.method = SLICE("POST");
    return upstream_start(client, &request, &callbacks, report, &report->call);
}

void start_with(struct report *report, struct scripted_server *server,
                struct upstream_request request)
{
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1/chat", server->port);
    assert_ok(start_url(report, url, request));
    /* Whatever happens, nothing is reported before the loop runs. */
    assert_int_equal(report->heads + report->bodies + report->ends, 0);
}

void start(struct report *report, struct scripted_server *server)
{
    start_with(report, server, (struct upstream_request){0});
}

void run_to_end(struct report *report, enum upstream_failure expected)
{
    RUN_UNTIL(report->ends > 0);
    assert_int_equal(report->ends, 1);
    assert_int_equal(report->failure, expected);
}

void run_for(uint64_t duration_ms)
{
    uint64_t end_ms = clock_monotonic_ms() + duration_ms;
    while (clock_monotonic_ms() < end_ms) {
        h2o_evloop_run(loop, 10);
    }
}

/* ---- scripts --------------------------------------------------------------------------------- */

void answer_ok(struct conversation *c)
{
    while (conversation_read(c) && SAY(c, ANSWER_OK)) {
    }
}

void half_an_answer(struct conversation *c)
{
    conversation_read(c);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    conversation_await_end(c);
}

void in_two_parts(struct conversation *c)
{
    while (conversation_read(c) && SAY(c, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst")) {
        conversation_await_go(c);
        SAY(c, "after");
    }
}

void hang_up_at_once(struct conversation *c)
{
    conversation_read(c);
}
