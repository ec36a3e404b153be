/* SPDX-License-Identifier: Apache-2.0 */
/* What a supervisor and a balancer ask. Ready means that a chat request would be served now, so the
 * services are asked each time: a stopped process keeps its connections. The ledger and the catalog
 * must answer and have this thread's stream open besides; without usage requests are served all the
 * same, so it is only shown. */
#include "services/edge/health.h"

#include "services/edge/catalog_link.h"
#include "services/edge/ledger_link.h"
#include "shared/json/write.h"
#include "shared/metrics.h"

#define ANSWER_TIMEOUT_MS 1000
#define BODY_MAX          ((size_t)4096)
#define METRICS_MAX       ((size_t)1 << 20)

enum { LEDGER, CATALOG, USAGE, ASKED_COUNT };
static const slice urls[ASKED_COUNT] = {
    [LEDGER] = {"unix:run/ledger.sock:/healthz", 29},
    [CATALOG] = {"unix:run/catalog.sock:/healthz", 30},
    [USAGE] = {"unix:run/usage.sock:/healthz", 28},
};

/* One service, asked for a question about readiness. */
struct asked {
    struct ready *ready;
    struct upstream_call *call;
    bool lives;
};

struct ready {
    struct thread *thread;
    h2o_req_t *http;
    struct asked asked[ASKED_COUNT];
    unsigned open; /* not answered yet */
};

static void ready_write(struct ready *ready);

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

static void answered(struct ready *ready)
{
    if (--ready->open == 0) ready_write(ready);
}

static void service_done(void *context, enum upstream_failure failure, const char *detail)
{
    (void)detail;
    struct asked *asked = context;
    asked->call = NULL;
    if (failure != UPSTREAM_OK) asked->lives = false;
    answered(asked->ready);
}

static void ready_disposed(void *memory)
{
    struct ready *ready = memory;
    for (size_t i = 0; i < ASKED_COUNT; i++)
        upstream_cancel(&ready->asked[i].call);
}

static status ask(struct ready *ready, size_t which)
{
    static const struct upstream_callbacks callbacks = {service_head, service_body, service_done};
    const struct upstream_request request = {
        .method = SLICE("GET"),
        .url = urls[which],
        .first_byte_timeout_ms = ANSWER_TIMEOUT_MS,
        .idle_timeout_ms = ANSWER_TIMEOUT_MS,
        .total_timeout_ms = ANSWER_TIMEOUT_MS,
    };
    struct asked *asked = &ready->asked[which];
    asked->ready = ready;
    return upstream_start(ready->thread->upstream, &request, &callbacks, asked, &asked->call);
}

void ready_answer(struct thread *thread, h2o_req_t *http)
{
    struct ready *ready = h2o_mem_alloc_shared(&http->pool, sizeof(*ready), ready_disposed);
    /* One more than there are services, so that nothing is written before all are asked. */
    *ready = (struct ready){.thread = thread, .http = http, .open = 1};
    for (size_t i = 0; i < ASKED_COUNT; i++) {
        if (status_ok(ask(ready, i))) ready->open++;
    }
    answered(ready);
}

static void ready_write(struct ready *ready)
{
    const struct thread *thread = ready->thread;
    const struct asked *asked = ready->asked;
    const struct {
        slice name;
        bool there, needed;
    } parts[] = {
        {SLICE("ledger"), asked[LEDGER].lives && ledger_ready(thread->ledger), true},
        {SLICE("catalog"), asked[CATALOG].lives && catalog_ready(thread->catalog), true},
        {SLICE("market"), thread->market != NULL, true},
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
    if (!all) answer_header(ready->http, SLICE("retry-after"), SLICE("1"));
    answer_body(ready->http, all ? 200 : 503, SLICE("application/json"), buffer_slice(&body));
}
