/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that take jobs from one bounded queue and run their handlers: who is calling, may they,
 * is the body JSON, then the handler, then the envelope of what failed. Each thread has its own
 * database connection, document and arena. */
#include "shared/http/job.h"

#include <pthread.h>
#include <stdlib.h>

#include "shared/http/routes.h"
#include "shared/log.h"

#define QUEUE_MAX       256 /* jobs that wait; more are answered 503 */
#define ARENA_SIZE_MAX  ((size_t)1 << 20)
#define JSON_VALUES_MAX (1u << 20)

struct worker {
    struct workers *pool;
    pthread_t thread;
    struct db *db;
    struct json_document document;
    struct arena arena;
};

struct workers {
    struct control_settings settings;
    void (*done)(struct control_job *job);
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct control_job *first;
    struct control_job **last;
    size_t queued;
    bool stopping;
    size_t started; /* threads that run */
    size_t count;
    struct worker items[];
};

static status worker_start(struct worker *worker);
static void *worker_run(void *argument);
static struct control_job *take_job(struct workers *pool);
static void run_job(struct worker *worker, struct control_job *job);
static status handle(struct worker *worker, struct control_job *job);
static status authenticate(const struct control_settings *settings, struct control_job *job);
static status authorize(const struct control_job *job);
static status keep_headers(struct control_job *job);

status workers_start(const struct control_settings *settings, void (*done)(struct control_job *job),
                     struct workers **out)
{
    size_t count = settings->workers < 1 ? 1 : (size_t)settings->workers;
    struct workers *pool = calloc(1, sizeof(*pool) + count * sizeof(pool->items[0]));
    if (pool == NULL) abort();
    pool->settings = *settings;
    pool->done = done;
    pool->last = &pool->first;
    pool->count = count;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->changed, NULL);
    for (size_t i = 0; i < count; i++) {
        pool->items[i].pool = pool;
        status started = worker_start(&pool->items[i]);
        if (status_ok(started)) continue;
        workers_stop(pool);
        workers_free(&pool);
        return started;
    }
    *out = pool;
    return OK;
}

status workers_add(struct workers *pool, struct control_job *job)
{
    pthread_mutex_lock(&pool->mutex);
    bool stopping = pool->stopping;
    bool room = !stopping && pool->queued < QUEUE_MAX;
    if (room) {
        job->next = NULL;
        *pool->last = job;
        pool->last = &job->next;
        pool->queued++;
        pthread_cond_signal(&pool->changed);
    }
    pthread_mutex_unlock(&pool->mutex);
    if (stopping) return FAIL(STOPPING);
    return room ? OK : FAIL(OVERLOADED);
}

void workers_stop(struct workers *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < pool->count; i++) {
        struct worker *worker = &pool->items[i];
        if (i < pool->started) (void)pthread_join(worker->thread, NULL);
        db_close(&worker->db);
        json_document_free(&worker->document);
        arena_free(&worker->arena);
    }
}

void workers_free(struct workers **pointer)
{
    struct workers *pool = TAKE(*pointer);
    if (pool == NULL) return;
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

static status worker_start(struct worker *worker)
{
    struct workers *pool = worker->pool;
    const struct control_settings *settings = &pool->settings;
    arena_init(&worker->arena, ARENA_SIZE_MAX);
    json_document_init(&worker->document, JSON_VALUES_MAX);
    if (settings->database != NULL) {
        TRY(db_open(settings->database, settings->database_role, settings->statements,
                    &worker->db));
        db_bound_waits(worker->db); /* who holds a row must not hold all workers */
    }
    if (pthread_create(&worker->thread, NULL, worker_run, worker) != 0) return FAIL(IO);
    pool->started++;
    return OK;
}

static void *worker_run(void *argument)
{
    struct worker *worker = argument;
    for (;;) {
        struct control_job *job = take_job(worker->pool);
        if (job == NULL) return NULL;
        run_job(worker, job);
        worker->pool->done(job);
    }
}

static struct control_job *take_job(struct workers *pool)
{
    pthread_mutex_lock(&pool->mutex);
    while (pool->first == NULL && !pool->stopping)
        pthread_cond_wait(&pool->changed, &pool->mutex);
    struct control_job *job = pool->first;
    if (job != NULL) {
        pool->first = job->next;
        if (pool->first == NULL) pool->last = &pool->first;
        pool->queued--;
    }
    pthread_mutex_unlock(&pool->mutex);
    return job;
}

static void run_job(struct worker *worker, struct control_job *job)
{
    arena_reset(&worker->arena);
    /* Strings unescaped from a body need at most its size, decoded parts of the query the rest. */
    worker->arena.size_max = ARENA_SIZE_MAX + 2 * job->request.body.len;
    job->request.arena = &worker->arena;
    job->request.db = worker->db;
    job->request.service = worker->pool->settings.context;
    status done = handle(worker, job);
    if (status_ok(done)) done = buffer_finish(&job->response.body);
    if (!status_ok(done)) answer_fail(job, done);
    done = keep_headers(job);
    if (!status_ok(done)) {
        job->response.header_count = 0;
        answer_fail(job, done);
    }
    answer_log(job);
}

static status handle(struct worker *worker, struct control_job *job)
{
    struct control_request *request = &job->request;
    const struct control_route *route = job->route;
    TRY(authenticate(&worker->pool->settings, job));
    TRY(authorize(job));
    if (route->needs_idempotency_key && request->idempotency_key.len == 0)
        return FAIL(IDEMPOTENCY_KEY_MISSING);
    if (route->wants_json) {
        TRY(json_parse(&worker->document, request->body));
        TRY(json_check_top_level(&worker->document));
        request->json = json_root(&worker->document);
    }
    return route->handler(request, &job->response);
}

/* ---- who is calling -------------------------------------------------------------------------- */

static status authenticate(const struct control_settings *settings, struct control_job *job)
{
    struct control_request *request = &job->request;
    request->principal = (struct principal){
        .kind = job->on_operator_socket ? PRINCIPAL_OPERATOR : PRINCIPAL_NONE,
    };
    if (job->token.data == NULL || job->route->access == ACCESS_PUBLIC) return OK;
    if (settings->verifier == NULL) return FAIL(FORBIDDEN);
    return token_verify(settings->verifier, job->token, request->method, job->raw_path,
                        &request->principal);
}

static status authorize(const struct control_job *job)
{
    /* Columns: nobody, inference key, management key, operator. */
    static const status rules[][4] = {
        [ACCESS_PUBLIC] = {{0}, {0}, {0}, {0}},
        [ACCESS_ANY_KEY] = {{ERROR_NO_KEY}, {0}, {0}, {ERROR_FORBIDDEN}},
        [ACCESS_KEY] = {{ERROR_NO_KEY},
                        {0},
                        {ERROR_INFERENCE_KEY_NEEDED},
                        {ERROR_INFERENCE_KEY_NEEDED}},
        [ACCESS_MANAGEMENT] = {{ERROR_NO_KEY}, {ERROR_MANAGEMENT_KEY_NEEDED}, {0}, {0}},
        [ACCESS_OPERATOR] = {{ERROR_FORBIDDEN}, {ERROR_FORBIDDEN}, {ERROR_FORBIDDEN}, {0}},
    };
    return rules[job->route->access][job->request.principal.kind];
}

/* What the handler named may lie in its arena, which the next job of this worker overwrites. */
static status keep_headers(struct control_job *job)
{
    struct control_response *response = &job->response;
    response->content_type = arena_copy(&job->arena, response->content_type);
    if (response->content_type.data == NULL) return FAIL(TOO_LARGE);
    for (size_t i = 0; i < response->header_count; i++) {
        slice name = arena_copy(&job->arena, response->header_names[i]);
        slice value = arena_copy(&job->arena, response->header_values[i]);
        if (name.data == NULL || value.data == NULL) return FAIL(TOO_LARGE);
        for (size_t k = 0; k < name.len; k++) {
            char *c = (char *)(uintptr_t)&name.data[k];
            if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
        }
        response->header_names[i] = name;
        response->header_values[i] = value;
    }
    return OK;
}
