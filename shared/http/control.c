/* SPDX-License-Identifier: Apache-2.0 */
/* The socket thread of a control plane: accepts on two Unix sockets, turns requests into jobs for
 * the workers and their results into responses. Health and metrics are answered here, so that busy
 * workers cannot hide them. A job and its h2o request live apart: whichever ends last frees the
 * job, and both ends are seen on this thread alone. */
#include "shared/http/control.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "shared/daemon.h"
#include "shared/http/job.h"
#include "shared/http/limits.h"
#include "shared/http/reason.h"
#include "shared/http/routes.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define ANSWER_SIZE_MAX ((size_t)16 << 20)
#define JOB_ARENA_MAX   ((size_t)256 << 10) /* beside the body */
#define PATH_LEN_MAX    4096                /* with the query */
#define HEADER_LEN_MAX  4096
#define CONNECTIONS_MAX 1024
#define REQUEST_TIMEOUT_MS \
    30000                    /* for a request to arrive; also how long an idle connection is kept */
#define STOP_WAIT_MS    1000 /* for the last answers to leave */
#define SOCKET_PATH_MAX 108
/* The library's own refusal of a body is plain text: what is too large by less than this is read,
 * and refused in job_route(). */
#define BODY_OVER_MAX   ((size_t)64 << 10)

enum { DOOR_SERVICE, DOOR_OPERATOR, DOOR_COUNT };

/* One listening socket. h2o finds its way back to it through the handler of the host made for
 * it. */
struct door {
    struct control *control;
    h2o_socket_t *socket;
    h2o_accept_ctx_t accept;
    h2o_hostconf_t *hosts[2];
};

struct door_handler {
    h2o_handler_t super;
    struct door *door;
};

struct connection {
    struct connection *next;
    struct connection **link;
    struct control *control;
    h2o_socket_t *socket;
};

struct control {
    struct control_settings settings;
    struct workers *workers;
    pthread_t thread;
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_multithread_receiver_t answers;
    struct door doors[DOOR_COUNT];
    struct connection *connections;
    size_t connection_count;
    size_t job_count;
    _Atomic bool closing; /* no new work */
    _Atomic bool stopping;
    pthread_barrier_t prepared; /* the thread and who starts it */
    status listening;
    bool serves;
    pthread_mutex_t ending; /* until the end was asked for, its queue is there */
};

/* Lives in the request's pool, so that h2o tells when the request ends. */
struct job_link {
    struct control_job *job;
};

static void configure(struct control *control);
static status listen_on(struct control *control);
static void door_open(struct control *control, size_t which, int fd);
static void *control_run(void *argument);
static void control_drain(struct control *control);
static void control_dispose(struct control *control);
static void control_free(struct control *control);
static void door_accept(h2o_socket_t *listener, const char *error);
static void connection_track(struct control *control, h2o_socket_t *socket);
static void connection_closed(void *data);
static int request_received(h2o_handler_t *handler, h2o_req_t *request);
static void request_ended(void *link);
static struct control_job *job_new(struct control *control, h2o_req_t *request);
static void job_free(struct control_job *job);
static status job_fill(struct control_job *job, h2o_req_t *request);
static status job_route(struct control_job *job);
static bool answer_builtin(struct control_job *job);
static slice header_of(const h2o_req_t *request, slice name);
static void job_done(struct control_job *job);
static void answers_received(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);
static void job_answer(struct control_job *job);

status control_start(const struct control_settings *settings, struct control **out)
{
    struct control *control = calloc(1, sizeof(*control));
    if (control == NULL) abort();
    control->settings = *settings;
    (void)pthread_mutex_init(&control->ending, NULL);
    if (pthread_barrier_init(&control->prepared, NULL, 2) != 0) abort();
    if (pthread_create(&control->thread, NULL, control_run, control) != 0) abort();
    (void)pthread_barrier_wait(&control->prepared);
    status started = control->listening;
    if (status_ok(started)) started = workers_start(settings, job_done, &control->workers);
    control->serves = status_ok(started);
    (void)pthread_barrier_wait(&control->prepared);
    if (!control->serves) {
        (void)pthread_join(control->thread, NULL);
        control_free(control);
        return started;
    }
    *out = control;
    return OK;
}

void control_stop(struct control **pointer)
{
    struct control *control = TAKE(*pointer);
    if (control == NULL) return;
    atomic_store(&control->closing, true);
    workers_stop(control->workers);
    (void)pthread_mutex_lock(&control->ending);
    atomic_store(&control->stopping, true);
    h2o_multithread_send_message(&control->answers, NULL);
    (void)pthread_mutex_unlock(&control->ending);
    (void)pthread_join(control->thread, NULL);
    control_free(control);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void configure(struct control *control)
{
    static const char *const host_names[] = {"service", "operator"};
    const struct control_settings *settings = &control->settings;
    h2o_globalconf_t *config = &control->config;
    h2o_config_init(config);
    config->server_name = h2o_iovec_init(H2O_STRLIT("bourse"));
    config->http1.req_timeout = REQUEST_TIMEOUT_MS;
    config->http1.upgrade_to_http2 = 0;
    size_t largest = CONTROL_FORWARDED_BODY_MAX;
    for (size_t i = 0; i < settings->route_count; i++) {
        if (settings->routes[i].body_max > largest) largest = settings->routes[i].body_max;
    }
    config->max_request_entity_size = largest + BODY_OVER_MAX;
    for (size_t i = 0; i < DOOR_COUNT; i++) {
        struct door *door = &control->doors[i];
        slice name = slice_of(host_names[i]);
        door->control = control;
        door->hosts[0] =
            h2o_config_register_host(config, h2o_iovec_init(name.data, name.len), 65535);
        h2o_pathconf_t *everything = h2o_config_register_path(door->hosts[0], "/", 0);
        struct door_handler *handler = (void *)h2o_create_handler(everything, sizeof(*handler));
        handler->super.on_req = request_received;
        handler->door = door;
    }
    h2o_context_init(&control->context, h2o_evloop_create(), config);
    h2o_multithread_register_receiver(control->context.queue, &control->answers, answers_received);
}

static status listen_on(struct control *control)
{
    static const struct {
        const char *suffix;
        unsigned mode;
    } doors[] = {[DOOR_SERVICE] = {".sock", 0660}, [DOOR_OPERATOR] = {"-operator.sock", 0600}};
    for (size_t i = 0; i < DOOR_COUNT; i++) {
        char path[SOCKET_PATH_MAX];
        struct buffer name;
        buffer_init_fixed(&name, path, sizeof(path));
        buffer_append(&name, SLICE("run/"));
        buffer_append(&name, slice_of(control->settings.service));
        buffer_append(&name, slice_of(doors[i].suffix));
        buffer_append_char(&name, '\0');
        TRY(buffer_finish(&name));
        int fd = -1;
        TRY(daemon_listen_unix(path, doors[i].mode, &fd));
        door_open(control, i, fd);
    }
    return OK;
}

static void door_open(struct control *control, size_t which, int fd)
{
    struct door *door = &control->doors[which];
    door->accept = (h2o_accept_ctx_t){.ctx = &control->context, .hosts = door->hosts};
    door->socket = h2o_evloop_socket_create(control->context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    door->socket->data = door;
    h2o_socket_read_start(door->socket, door_accept);
}

/* Its loop and sockets are made here: see shared/h2o.h. It serves once the workers are there. */
static void *control_run(void *argument)
{
    struct control *control = argument;
    configure(control);
    control->listening = listen_on(control);
    (void)pthread_barrier_wait(&control->prepared);
    (void)pthread_barrier_wait(&control->prepared);
    while (control->serves && !atomic_load(&control->stopping))
        (void)h2o_evloop_run(control->context.loop, INT32_MAX);
    control_drain(control);
    control_dispose(control);
    return NULL;
}

/* The workers have ended, so every answer is here or on its way to the socket. */
static void control_drain(struct control *control)
{
    for (size_t i = 0; i < DOOR_COUNT; i++) {
        if (control->doors[i].socket != NULL) h2o_socket_close(control->doors[i].socket);
    }
    /* Not by h2o_context_request_shutdown(), which starts timers of HTTP/2 that outlive the
     * context. */
    control->context.shutdown_requested = 1;
    uint64_t until_ms = clock_monotonic_ms() + STOP_WAIT_MS;
    while (control->job_count > 0 && clock_monotonic_ms() < until_ms)
        (void)h2o_evloop_run(control->context.loop, 10);
    /* What is left are connections kept alive. h2o closes them when it reads their end. */
    for (struct connection *c = control->connections; c != NULL; c = c->next)
        (void)shutdown(h2o_socket_get_fd(c->socket), SHUT_RDWR);
    while (control->connection_count > 0 && clock_monotonic_ms() < until_ms)
        (void)h2o_evloop_run(control->context.loop, 10);
    (void)h2o_evloop_run(control->context.loop, 0); /* frees the closed sockets */
}

/* Whoever asked for the end has done so. */
static void control_dispose(struct control *control)
{
    (void)pthread_mutex_lock(&control->ending);
    (void)pthread_mutex_unlock(&control->ending);
    h2o_loop_t *loop = control->context.loop;
    h2o_multithread_unregister_receiver(control->context.queue, &control->answers);
    h2o_context_dispose(&control->context);
    h2o_config_dispose(&control->config);
    h2o_evloop_destroy(loop);
}

static void control_free(struct control *control)
{
    /* Not before: until the thread has ended it may still offer jobs. */
    workers_free(&control->workers);
    (void)pthread_barrier_destroy(&control->prepared);
    (void)pthread_mutex_destroy(&control->ending);
    free(control);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void door_accept(h2o_socket_t *listener, const char *error)
{
    if (error != NULL) return;
    struct door *door = listener->data;
    h2o_socket_t *socket = h2o_evloop_socket_accept(listener);
    if (socket == NULL) return;
    if (door->control->connection_count == CONNECTIONS_MAX) {
        h2o_socket_close(socket);
        return;
    }
    connection_track(door->control, socket);
    h2o_accept(&door->accept, socket);
}

static void connection_track(struct control *control, h2o_socket_t *socket)
{
    struct connection *connection = h2o_mem_alloc(sizeof(*connection));
    *connection = (struct connection){
        .next = control->connections,
        .link = &control->connections,
        .control = control,
        .socket = socket,
    };
    if (connection->next != NULL) connection->next->link = &connection->next;
    control->connections = connection;
    control->connection_count++;
    socket->on_close.cb = connection_closed;
    socket->on_close.data = connection;
}

static void connection_closed(void *data)
{
    struct connection *connection = data;
    *connection->link = connection->next;
    if (connection->next != NULL) connection->next->link = connection->link;
    connection->control->connection_count--;
    free(connection);
}

/* ---- requests in ----------------------------------------------------------------------------- */

static int request_received(h2o_handler_t *handler, h2o_req_t *request)
{
    struct door *door = ((struct door_handler *)handler)->door;
    struct control *control = door->control;
    struct control_job *job = job_new(control, request);
    job->on_operator_socket = door == &control->doors[DOOR_OPERATOR];
    status ready = job_fill(job, request);
    if (status_ok(ready) && answer_builtin(job)) {
        job_answer(job);
        return 0;
    }
    if (status_ok(ready)) ready = job_route(job);
    if (status_ok(ready) && atomic_load(&control->closing)) ready = FAIL(STOPPING);
    if (status_ok(ready)) ready = workers_add(control->workers, job);
    if (status_ok(ready)) return 0;
    answer_fail(job, ready);
    answer_log(job);
    job_answer(job);
    return 0;
}

static struct control_job *job_new(struct control *control, h2o_req_t *request)
{
    struct control_job *job = h2o_mem_alloc(sizeof(*job));
    *job = (struct control_job){
        .control = control,
        .waiting = request,
        .started_us = clock_monotonic_us(),
        .response = {.http_status = 200, .content_type = SLICE("application/json")},
    };
    arena_init(&job->arena, JOB_ARENA_MAX + request->entity.len);
    buffer_init(&job->response.body, ANSWER_SIZE_MAX);
    json_write_init(&job->response.json, &job->response.body);
    struct job_link *link = h2o_mem_alloc_shared(&request->pool, sizeof(*link), request_ended);
    link->job = job;
    control->job_count++;
    return job;
}

/* The client has its answer or left; h2o forgets the request. */
static void request_ended(void *data)
{
    struct control_job *job = ((struct job_link *)data)->job;
    job->waiting = NULL;
    if (job->answered) job_free(job);
}

static void job_free(struct control_job *job)
{
    job->control->job_count--;
    arena_free(&job->arena);
    buffer_free(&job->response.body);
    free(job);
}

static status job_fill(struct control_job *job, h2o_req_t *request)
{
    struct control_request *to = &job->request;
    slice whole = {request->path.base, request->path.len};
    slice path, query, decoded;
    (void)slice_split(whole, '?', &path, &query);
    slice token = header_of(request, SLICE("x-bourse-principal"));
    const struct {
        slice from;
        slice *to;
    } copies[] = {
        {{request->method.base, request->method.len}, &to->method},
        {path, &job->raw_path},
        {query, &to->query},
        {{request->entity.base, request->entity.len}, &to->body},
        {header_of(request, SLICE("idempotency-key")), &to->idempotency_key},
        {header_of(request, SLICE("x-bourse-request")), &to->request_id},
        {header_of(request, SLICE("stripe-signature")), &to->signature},
    };
    if (whole.len > PATH_LEN_MAX || token.len > HEADER_LEN_MAX) return FAIL(HEADERS_TOO_LARGE);
    for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++) {
        *copies[i].to = SLICE_NONE;
        if (copies[i].from.len == 0) continue;
        slice copy = arena_copy(&job->arena, copies[i].from);
        if (copy.data == NULL) return FAIL(HEADERS_TOO_LARGE);
        *copies[i].to = copy;
    }
    if (token.data != NULL) job->token = arena_copy(&job->arena, token);
    /* Checked here as a whole, so that reading one parameter later cannot fail. */
    return percent_decode(&job->arena, to->query, true, &decoded);
}

static status job_route(struct control_job *job)
{
    const struct control_settings *settings = &job->control->settings;
    struct control_request *request = &job->request;
    struct route_match match;
    status found = route_find(settings->routes, settings->route_count, request->method,
                              job->raw_path, &job->arena, &match);
    if (found.code == ERROR_METHOD_NOT_ALLOWED) {
        TRY(control_header(&job->response, SLICE("allow"), match.allow));
    }
    TRY(found);
    job->route = match.route;
    request->path = match.path;
    memcpy(request->params, match.params, sizeof(request->params));
    return request->body.len > match.route->body_max ? FAIL(TOO_LARGE) : OK;
}

/* GET /healthz and GET /metrics, of every service. */
static bool answer_builtin(struct control_job *job)
{
    struct control_response *response = &job->response;
    if (!slice_equal(job->request.method, SLICE("GET"))) return false;
    if (slice_equal(job->raw_path, SLICE("/healthz"))) {
        json_object_begin(&response->json);
        json_key_string(&response->json, SLICE("status"), SLICE("ok"));
        json_object_end(&response->json);
        return true;
    }
    if (!slice_equal(job->raw_path, SLICE("/metrics"))) return false;
    response->content_type = SLICE("text/plain; version=0.0.4");
    metrics_append_text(&response->body, job->control->settings.service);
    return true;
}

/* data == NULL when the header is absent. */
static slice header_of(const h2o_req_t *request, slice name)
{
    ssize_t at = h2o_find_header_by_str(&request->headers, name.data, name.len, -1);
    if (at < 0) return (slice){NULL, 0};
    h2o_iovec_t value = request->headers.entries[at].value;
    return (slice){value.base, value.len};
}

/* ---- answers out ----------------------------------------------------------------------------- */

/* On a worker's thread. */
static void job_done(struct control_job *job)
{
    h2o_multithread_send_message(&job->control->answers, &job->message);
}

static void answers_received(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        h2o_linklist_t *link = messages->next;
        h2o_linklist_unlink(link);
        struct control_job *job = H2O_STRUCT_FROM_MEMBER(struct control_job, message.link, link);
        if (job->waiting == NULL) {
            job_free(job);
        } else {
            job_answer(job);
        }
    }
}

/* The job is the response's memory from here on and ends with the request. */
static void job_answer(struct control_job *job)
{
    static h2o_generator_t nothing_more; /* all at once: neither proceed nor stop */
    struct control_response *response = &job->response;
    h2o_req_t *request = job->waiting;
    job->answered = true;
    request->res.status = response->http_status;
    request->res.reason = http_reason(response->http_status);
    request->res.content_length = response->body.len;
    h2o_add_header(&request->pool, &request->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   response->content_type.data, response->content_type.len);
    for (size_t i = 0; i < response->header_count; i++) {
        slice name = response->header_names[i];
        slice value = response->header_values[i];
        h2o_add_header_by_str(&request->pool, &request->res.headers, name.data, name.len, 1, NULL,
                              value.data, value.len);
    }
    h2o_iovec_t body = h2o_iovec_init(response->body.data, response->body.len);
    /* h2o would send a body even to HEAD, and the client would take it for the next answer. */
    bool has_body = body.len > 0 && !slice_equal(job->request.method, SLICE("HEAD"));
    h2o_start_response(request, &nothing_more);
    h2o_send(request, &body, has_body ? 1 : 0, H2O_SEND_STATE_FINAL);
}
