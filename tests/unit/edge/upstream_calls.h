/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the upstream client share: one loop and one client, calls that write down
 * what they are told, and scripts of servers that more than one test needs. */
#pragma once

#include <stdio.h>
#include <unistd.h>

#include "services/edge/upstream/upstream.h"
#include "shared/clock.h"
#include "tests/unit/edge/scripted_server.h"
#include "tests/unit/test.h"

#define DEADLINE_MS 5000
#define ANSWER_OK   "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

extern h2o_loop_t *loop;
extern struct config config; /* of the next client */
extern struct upstream_client *client;

/* A client of its own for each test; `state` is not used. */
int prepare_client(void **state);
int drop_client(void **state);
void renew_client(void); /* after a change of `config` */
#define CASE(name) cmocka_unit_test_setup_teardown(name, prepare_client, drop_client)
int run_upstream_tests(const char *name, const struct CMUnitTest *tests, size_t count);

struct report {
    struct upstream_call *call;
    int heads, bodies, ends;
    int http_status;
    int64_t retry_after_ms;
    char content_type[64];
    char body[4096]; /* the first of it */
    uint64_t body_len;
    enum upstream_failure failure;
    /* what the owner does */
    bool refuse_head, refuse_body, cancel_in_body, pause_in_head, pause_in_body;
    bool paused;
};
bool report_head(void *report, const struct upstream_head *head);
bool report_body(void *report, slice bytes);

status start_url(struct report *report, const char *url, struct upstream_request request);
/* POST http://127.0.0.1:PORT/v1/chat */
void start_with(struct report *report, struct scripted_server *server,
                struct upstream_request request);
void start(struct report *report, struct scripted_server *server);

#define RUN_UNTIL(condition)                                        \
    do {                                                            \
        uint64_t deadline_ms_ = clock_monotonic_ms() + DEADLINE_MS; \
        while (!(condition) && clock_monotonic_ms() < deadline_ms_) \
            h2o_evloop_run(loop, 10);                               \
        assert_true(condition);                                     \
    } while (0)
void run_to_end(struct report *report, enum upstream_failure expected);
/* Lets time pass: for tests that show that something does not happen. */
void run_for(uint64_t duration_ms);

/* Scripts */
void answer_ok(struct conversation *c);       /* ANSWER_OK to each request */
void half_an_answer(struct conversation *c);  /* "half" of 100 bytes, then silence */
void in_two_parts(struct conversation *c);    /* "first", waits for `go`, "after" */
void hang_up_at_once(struct conversation *c); /* reads a request and closes */
