/* SPDX-License-Identifier: Apache-2.0 */
/* What a supervisor and a balancer ask. Ready means that a chat request would be served now, so the
 * services are asked: a stopped process keeps its connections. The ledger and the catalog must
 * answer and have this thread's stream open besides; without usage requests are served all the
 * same, so it is only shown. Whoever asks while the services are being asked waits for their
 * answers: a crowd costs no more than one. */
#include "services/edge/health.h"

#include <stdlib.h>

#include "services/edge/catalog_link.h"
#include "services/edge/ledger_link.h"
#include "services/edge/listen.h"
#include "shared/json/write.h"
#include "shared/metrics.h"

#define BODY_MAX    ((size_t)4096)
#define METRICS_MAX ((size_t)1 << 20)

/* What is only shown makes nobody wait: balancers often give us a second. */
enum { LEDGER, CATALOG, USAGE, ASKED_COUNT };
static const struct {
    slice url;
    uint32_t timeout_ms;
} services[ASKED_COUNT] = {
    [LEDGER] = {{"unix:run/ledger.sock:/healthz", 29}, 800},
    [CATALOG] = {{"unix:run/catalog.sock:/healthz", 30}, 800},
    [USAGE] = {{"unix:run/usage.sock:/healthz", 28}, 200},
};

/* One service in a round of questions. */
struct asked {
    struct ready_round *round;
    struct upstream_call *call;
    bool lives;
};

struct ready_round {
    struct thread *thread;
    struct asked asked[ASKED_COUNT];
    unsigned open; /* not answered yet */
    struct ready *waiting;
};

/* Somebody who wants to know. */
struct ready {
    struct ready *next, **place; /* of the round's; NULL: answered */
    h2o_req_t *http;
};

static void round_end(struct ready_round *round);
static void ready_write(const struct ready_round *round, h2o_req_t *http);

void health_answer(h2o_req_t *http)
{
    answer_body(http, 200, SLICE("application/json"), SLICE("{\"status\":\"ok\"}"));
}

void metrics_answer(h2o_req_t *http)
{
    SCOPED(buffer_free) struct buffer text;
    buffer_init(&text, METRICS_MAX);
    metrics_append_text(&text, "edge");
    answer_body(http, 200, SLICE("text/plain; version=0.0.4"), buffer_slice(&text));
}

static bool service_head(void *context, const struct upstream_head *head)
{
    ((struct asked *)context)->lives = head->http_status == 200;
    return true;
}

static bool service_body(void *context, slice bytes)
{
    (void)context, (void)bytes;
    return true;
}

static void answered(struct ready_round *round)
{
    if (--round->open == 0) round_end(round);
}

static void service_done(void *context, enum upstream_failure failure, const char *detail)
{
    (void)detail;
    struct asked *asked = context;
    asked->call = NULL;
    if (failure != UPSTREAM_OK) asked->lives = false;
    answered(asked->round);
}

static status ask(struct ready_round *round, size_t which)
{
    static const struct upstream_callbacks callbacks = {service_head, service_body, service_done};
    const uint32_t timeout_ms = services[which].timeout_ms;
    struct url url;
    TRY(url_parse(services[which].url, &url));
    const struct upstream_request request = {
        .method = SLICE("GET"),
        .url = &url,
        .first_byte_timeout_ms = timeout_ms,
        .idle_timeout_ms = timeout_ms,
        .total_timeout_ms = timeout_ms,
    };
    struct asked *asked = &round->asked[which];
    asked->round = round;
    return upstream_start(round->thread->upstream, &request, &callbacks, asked, &asked->call);
}

/* Callbacks never run inside upstream_start(), so nobody is answered before all are asked. */
static struct ready_round *round_begin(struct thread *thread)
{
    struct ready_round *round = calloc(1, sizeof(*round));
    if (round == NULL) abort();
    round->thread = thread;
    for (size_t i = 0; i < ASKED_COUNT; i++) {
        if (status_ok(ask(round, i))) round->open++;
    }
    return round;
}

static void leave_round(struct ready *ready)
{
    *ready->place = ready->next;
    if (ready->next != NULL) ready->next->place = ready->place;
    ready->place = NULL;
}

static void ready_disposed(void *memory)
{
    struct ready *ready = memory;
    listen_count_end(ready->http, ready->place == NULL);
    if (ready->place != NULL) leave_round(ready);
}

void ready_answer(struct thread *thread, h2o_req_t *http)
{
    if (thread->ready_round == NULL) thread->ready_round = round_begin(thread);
    struct ready_round *round = thread->ready_round;
    struct ready *ready = h2o_mem_alloc_shared(&http->pool, sizeof(*ready), ready_disposed);
    *ready = (struct ready){.next = round->waiting, .place = &round->waiting, .http = http};
    if (ready->next != NULL) ready->next->place = &ready->next;
    round->waiting = ready;
    if (round->open == 0) round_end(round);
}

static void round_end(struct ready_round *round)
{
    round->thread->ready_round = NULL;
    while (round->waiting != NULL) {
        struct ready *ready = round->waiting;
        leave_round(ready);
        ready_write(round, ready->http);
    }
    free(round);
}

void ready_cancel(struct thread *thread)
{
    struct ready_round *round = TAKE(thread->ready_round);
    if (round == NULL) return;
    for (size_t i = 0; i < ASKED_COUNT; i++)
        upstream_cancel(&round->asked[i].call);
    while (round->waiting != NULL)
        leave_round(round->waiting);
    free(round);
}

static bool in_all(const struct edge *edge, const _Atomic uint32_t *threads)
{
    return atomic_load(threads) == edge->thread_count;
}

static void ready_write(const struct ready_round *round, h2o_req_t *http)
{
    const struct thread *thread = round->thread;
    const struct edge *edge = thread->edge;
    const struct asked *asked = round->asked;
    const struct {
        slice name;
        bool there, needed;
    } parts[] = {
        {SLICE("ledger"), asked[LEDGER].lives && in_all(edge, &edge->ledger_links), true},
        {SLICE("catalog"), asked[CATALOG].lives && in_all(edge, &edge->catalog_links), true},
        {SLICE("market"), in_all(edge, &edge->markets), true},
        {SLICE("running"), !thread->stopping, true},
        {SLICE("usage"), asked[USAGE].lives, false},
    };
    bool all = true;
    char room[BODY_MAX];
    struct buffer body;
    buffer_init_fixed(&body, room, sizeof(room));
    struct json_writer json;
    json_write_init(&json, &body);
    json_object_begin(&json);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        all = all && (parts[i].there || !parts[i].needed);
        json_key_bool(&json, parts[i].name, parts[i].there);
    }
    json_key_bool(&json, SLICE("ready"), all);
    json_key_bool(&json, SLICE("simulated"), thread->edge->config.simulated);
    json_object_end(&json);
    if (!all) answer_header(http, SLICE("retry-after"), SLICE("1"));
    answer_body(http, all ? 200 : 503, SLICE("application/json"), buffer_slice(&body));
}
