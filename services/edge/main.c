/* SPDX-License-Identifier: Apache-2.0 */
/* bourse edge: the only process that touches the network. Here: configuration, listeners, threads,
 * and the wait for the signal to stop. No request passes through this file. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "services/edge/edge.h"
#include "services/edge/page.h"
#include "services/edge/serve.h"
#include "services/edge/thread.h"
#include "shared/daemon.h"
#include "shared/log.h"
#include "shared/random.h"

#define DESCRIPTORS_PER_CONNECTION 4 /* client, provider, and room for the others */

static status check_descriptors(const struct config *config);
static status check_bodies(const struct config *config);
static status edge_configure(struct edge *edge);
static status edge_open(struct edge *edge);
static status edge_start_threads(struct edge *edge);
static void edge_join_threads(struct edge *edge);
static void edge_run(struct edge *edge);

int main(int argc, char **argv)
{
    static struct edge edge;
    status started = daemon_start("edge", argc, argv, 1, &edge.config);
    if (status_ok(started)) started = check_descriptors(&edge.config);
    if (status_ok(started)) started = check_bodies(&edge.config);
    if (status_ok(started)) started = edge_configure(&edge);
    if (status_ok(started)) started = edge_open(&edge);
    if (!status_ok(started)) {
        log_error("edge_not_started", F(error, started));
        return EXIT_FAILURE;
    }
    edge_run(&edge);
    log_info("edge_stopped");
    return EXIT_SUCCESS;
}

/* How many connections there may be is known only now, when the configuration was read. */
static status check_descriptors(const struct config *config)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return FAIL(IO);
    rlim_t needed = (rlim_t)config->edge_connections * DESCRIPTORS_PER_CONNECTION;
    if (limit.rlim_cur >= needed) return OK;
    log_error("descriptor_limit_too_low", FN(number, limit, limit.rlim_cur),
              FN(number, needed, needed),
              F(reason, SLICE("raise the hard limit of open files or lower edge_connections")));
    return FAIL(CONFIGURATION);
}

/* A body that may be sent must find room: refused as "overloaded" it would be tried for ever. */
static status check_bodies(const struct config *config)
{
    if (config->body_max <= config->body_total_max) return OK;
    log_error("body_total_too_low", FN(count, body_max, config->body_max),
              FN(count, body_total_max, config->body_total_max),
              F(reason, SLICE("raise body_total_max to body_max at least, or lower body_max")));
    return FAIL(CONFIGURATION);
}

static uint16_t thread_count_of(const struct config *config)
{
    long count =
        config->edge_threads > 0 ? (long)config->edge_threads : sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1) count = 1;
    return (uint16_t)(count > EDGE_THREADS_MAX ? EDGE_THREADS_MAX : count);
}

static void configure_http(struct edge *edge)
{
    h2o_globalconf_t *http = &edge->http;
    const struct config *config = &edge->config;
    h2o_config_init(http);
    http->server_name = h2o_iovec_init(H2O_STRLIT("bourse"));
    http->max_request_entity_size = (size_t)(config->body_max + EDGE_BODY_OVER_MAX);
    http->http1.req_timeout = (uint64_t)config->edge_header_timeout;
    http->http1.upgrade_to_http2 = config->edge_http2;
    http->http2.idle_timeout = (uint64_t)config->edge_header_timeout;
    h2o_hostconf_t *host =
        h2o_config_register_host(http, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *everything = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(everything, sizeof(h2o_handler_t))->on_req = serve;
    answer_install_filter(&host->fallback_path);
}

static void name_instance(struct edge *edge)
{
    static const char head[] = "via: 1.1 ";
    (void)snprintf(edge->via_text, sizeof(edge->via_text), "%sbourse-%s", head,
                   edge->config.instance);
    edge->via_line = slice_of(edge->via_text);
    edge->via = slice_from(edge->via_line, sizeof(head) - 1);
}

static status edge_configure(struct edge *edge)
{
    random_bytes(&edge->incarnation, sizeof(edge->incarnation));
    edge->incarnation |= 1; /* never 0 */
    edge->health = health_board_new();
    edge->thread_count = thread_count_of(&edge->config);
    name_instance(edge);
    TRY(listen_tls(&edge->config, &edge->tls));
    configure_http(edge);
    page_load(edge->config.console_dir);
    return OK;
}

static status edge_open(struct edge *edge)
{
    edge->threads = calloc(edge->thread_count, sizeof(*edge->threads));
    if (edge->threads == NULL) return FAIL(NO_MEMORY);
    edge->listeners = thread_listeners(edge);
    int64_t connections = edge->config.edge_connections / edge->thread_count;
    for (uint16_t i = 0; i < edge->thread_count; i++) {
        struct thread *thread = &edge->threads[i];
        thread->edge = edge;
        thread->index = i;
        thread->listener.connections_max = connections > 0 ? (uint32_t)connections : 1;
        thread->listener.fd = -1;
        thread->listener.group = &edge->listeners;
        if (i == 0) TRY(listen_open(&edge->config, &thread->listener.fd));
    }
    return edge_start_threads(edge);
}

/* None of them serves before all can: they hand connections to each other. */
static status edge_start_threads(struct edge *edge)
{
    status started = OK;
    (void)pthread_mutex_init(&edge->preparing, NULL);
    if (pthread_barrier_init(&edge->prepared, NULL, edge->thread_count + 1u) != 0) abort();
    for (uint16_t i = 0; i < edge->thread_count; i++) {
        struct thread *thread = &edge->threads[i];
        if (pthread_create(&thread->id, NULL, thread_run, thread) != 0) abort();
    }
    (void)pthread_barrier_wait(&edge->prepared);
    for (uint16_t i = 0; i < edge->thread_count && status_ok(started); i++)
        started = edge->threads[i].prepared;
    edge->serves = status_ok(started);
    (void)pthread_barrier_wait(&edge->prepared);
    if (!edge->serves) edge_join_threads(edge);
    return started;
}

static void edge_join_threads(struct edge *edge)
{
    for (uint16_t i = 0; i < edge->thread_count; i++)
        (void)pthread_join(edge->threads[i].id, NULL);
}

static void edge_run(struct edge *edge)
{
    log_info("edge_started", FN(number, port, edge->config.edge_port),
             FN(count, threads, edge->thread_count));
    int number = daemon_signal_wait();
    log_info("edge_stopping", FN(number, signal, number));
    for (uint16_t i = 0; i < edge->thread_count; i++)
        thread_tell_stop(&edge->threads[i]);
    edge_join_threads(edge);
    assert(h2o_socket_buffer_prototype.allocator.cnt == 0); /* no socket of theirs was made here */
}
