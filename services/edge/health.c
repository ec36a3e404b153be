/* SPDX-License-Identifier: Apache-2.0 */
/* What a supervisor and a balancer ask. Readiness of the usage service is found out by asking it,
 * each time. */
#include "services/edge/health.h"

#include "services/edge/ledger_link.h"
#include "shared/json/write.h"
#include "shared/metrics.h"

#define USAGE_HEALTH     SLICE("unix:run/usage.sock:/healthz")
#define USAGE_TIMEOUT_MS 1000
#define BODY_MAX         ((size_t)4096)
#define METRICS_MAX      ((size_t)1 << 20)

/* A question about readiness that waits for the usage service. */
struct ready {
    struct thread *thread;
    h2o_req_t *http;
    struct upstream_call *call;
    bool usage_lives;
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

static bool usage_head(void *context, const struct upstream_head *head)
{
    ((struct ready *)context)->usage_lives = head->http_status == 200;
    return true;
}

static bool usage_body(void *context, slice bytes)
{
    (void)context, (void)bytes;
    return true;
}

static void usage_done(void *context, enum upstream_failure failure, const char *detail)
{
    (void)detail;
    struct ready *ready = context;
    ready->call = NULL;
    if (failure != UPSTREAM_OK) ready->usage_lives = false;
    ready_write(ready);
}

static void ready_disposed(void *memory)
{
    upstream_cancel(&((struct ready *)memory)->call);
}

void ready_answer(struct thread *thread, h2o_req_t *http)
{
    static const struct upstream_callbacks callbacks = {usage_head, usage_body, usage_done};
    const struct upstream_request request = {
        .method = SLICE("GET"),
        .url = USAGE_HEALTH,
        .first_byte_timeout_ms = USAGE_TIMEOUT_MS,
        .idle_timeout_ms = USAGE_TIMEOUT_MS,
        .total_timeout_ms = USAGE_TIMEOUT_MS,
    };
    struct ready *ready = h2o_mem_alloc_shared(&http->pool, sizeof(*ready), ready_disposed);
    *ready = (struct ready){.thread = thread, .http = http};
    if (!status_ok(upstream_start(thread->upstream, &request, &callbacks, ready, &ready->call)))
        ready_write(ready);
}

static void ready_write(struct ready *ready)
{
    const struct thread *thread = ready->thread;
    const struct {
        slice name;
        bool there;
    } parts[] = {
        {SLICE("ledger"), ledger_ready(thread->ledger)},
        {SLICE("market"), thread->market != NULL},
        {SLICE("usage"), ready->usage_lives},
        {SLICE("running"), !thread->stopping},
    };
    bool all = true;
    char room[BODY_MAX];
    struct buffer body;
    buffer_init_fixed(&body, room, sizeof(room));
    struct json_writer json;
    json_write_init(&json, &body);
    json_object_begin(&json);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        all = all && parts[i].there;
        json_key_bool(&json, parts[i].name, parts[i].there);
    }
    json_key_bool(&json, SLICE("ready"), all);
    json_key_bool(&json, SLICE("simulated"), thread->edge->config.simulated);
    json_object_end(&json);
    if (!all) answer_header(ready->http, SLICE("retry-after"), SLICE("1"));
    answer_body(ready->http, all ? 200 : 503, SLICE("application/json"), buffer_slice(&body));
}
