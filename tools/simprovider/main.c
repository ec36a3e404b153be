/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated provider: good enough to be every provider of the catalog in trials and tests.
 * Listens on 127.0.0.1:sim_port, answers POST /{provider}/v1/chat/completions, and obeys /sim/…
 * (README.md). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "shared/daemon.h"
#include "shared/log.h"
#include "tools/simprovider/sim.h"

#define BODY_MAX   (64u << 20)
#define VALUES_MAX 4000000
#define CHAT_TAIL  SLICE("/v1/chat/completions")

static struct sim sim; /* h2o's handlers get no context of their own */

h2o_timeout_t *sim_timer(struct sim *s, uint64_t ms)
{
    for (size_t i = 0; i < s->timer_count; i++) {
        if (s->timers[i].timeout == ms) return &s->timers[i];
    }
    if (s->timer_count == SIM_TIMERS_MAX) return &s->timers[SIM_TIMERS_MAX - 1];
    h2o_timeout_init(s->loop, &s->timers[s->timer_count], ms);
    return &s->timers[s->timer_count++];
}

void sim_send_json(h2o_req_t *req, int http_status, const struct buffer *body)
{
    req->res.status = http_status;
    req->res.reason = "simulated";
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/json"));
    h2o_send_inline(req, body->data, body->len);
}

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    (void)handler;
    slice path = {req->path_normalized.base, req->path_normalized.len};
    if (control_handle(&sim, req, path)) return 0;
    bool post = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("POST"));
    if (post && slice_ends_with(path, CHAT_TAIL) && path.len > CHAT_TAIL.len + 1) {
        serve_chat(&sim, req, (slice){path.data + 1, path.len - CHAT_TAIL.len - 1});
        return 0;
    }
    h2o_send_error_404(req, "Not Found", "unknown path", 0);
    return 0;
}

static void on_connection(h2o_socket_t *listener, const char *error)
{
    const int on = 1;
    if (error != NULL) return;
    for (int i = 0; i < 64; i++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (sock == NULL) return;
        setsockopt(h2o_socket_get_fd(sock), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        h2o_accept(&sim.accept, sock);
    }
}

static void on_signal(h2o_socket_t *sock, const char *error)
{
    (void)sock;
    (void)error;
    log_info("stopped");
    exit(0);
}

static status listen_on(int64_t port, int *fd)
{
    const int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0) return FAIL(IO);
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(*fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(*fd, 4096) != 0) {
        log_error("listen_failed", FN(number, port, port), F(errno, errno));
        return FAIL(IO);
    }
    return OK;
}

static void watch(int fd, h2o_socket_cb callback)
{
    h2o_socket_t *sock = h2o_evloop_socket_create(sim.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    h2o_socket_read_start(sock, callback);
}

int main(int argc, char **argv)
{
    static struct config config;
    int fd;
    if (!status_ok(daemon_start("simprovider", argc, argv, 256, &config))) return 1;
    record_log_init(&sim.log);
    json_document_init(&sim.document, VALUES_MAX);
    h2o_config_init(&sim.conf);
    sim.conf.server_name = h2o_iovec_init(H2O_STRLIT("simprovider"));
    sim.conf.max_request_entity_size = BODY_MAX;
    sim.conf.http1.req_timeout = 600000; /* also the keep-alive idle time: callers keep pools */
    sim.conf.http1.upgrade_to_http2 = 0;
    h2o_hostconf_t *host =
        h2o_config_register_host(&sim.conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *all = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(all, sizeof(h2o_handler_t))->on_req = on_request;
    sim.loop = h2o_evloop_create();
    h2o_context_init(&sim.context, sim.loop, &sim.conf);
    sim.accept = (h2o_accept_ctx_t){.ctx = &sim.context, .hosts = sim.conf.hosts};
    if (!status_ok(listen_on(config.sim_port, &fd))) return 1;
    watch(fd, on_connection);
    watch(daemon_signal_fd(), on_signal);
    log_info("started", FN(number, port, config.sim_port));
    for (;;)
        h2o_evloop_run(sim.loop, INT32_MAX);
}
