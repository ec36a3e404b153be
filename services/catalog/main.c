/* SPDX-License-Identifier: Apache-2.0 */
/* catalog: knows models, endpoints, prices and health, and is the only one that can open a sealed
 * provider key. Three kinds of threads: this one runs the edges' event loop, workers run the
 * control plane, the refresher reads the market. */
#include "services/catalog/api/api.h"
#include "services/catalog/edges.h"
#include "services/catalog/refresh.h"
#include "shared/daemon.h"
#include "shared/log.h"

#define CONNECTIONS_MIN 1024 /* edges' threads and control connections, each a descriptor */

struct process {
    struct catalog catalog;
    struct token_verifier *verifier;
    struct refresh *refresh;
    struct control *control;
    struct edges *edges;
    h2o_loop_t *loop;
    bool ending;
};

static status process_start(struct process *process);
static void process_stop(struct process *process);
static void signal_came(h2o_socket_t *socket, const char *error);

int main(int argc, char **argv)
{
    static struct process process;
    if (!status_ok(daemon_start("catalog", argc, argv, CONNECTIONS_MIN, &process.catalog.config))) {
        return 1;
    }
    status started = process_start(&process);
    if (!status_ok(started)) {
        log_error("start_failed", F(error, started));
        return 1;
    }
    log_info("started");
    while (!process.ending) {
        edges_flush(process.edges);
        /* -1 is an interrupted wait, nothing more. */
        (void)h2o_evloop_run(process.loop, INT32_MAX);
    }
    log_info("stopping");
    process_stop(&process);
    return 0;
}

static status process_start(struct process *process)
{
    struct catalog *catalog = &process->catalog;
    TRY(catalog_open(catalog));
    TRY(token_verifier_open("secrets/catalog/signing.pub.pem", &process->verifier));
    process->loop = h2o_evloop_create();
    TRY(edges_start(catalog, process->loop, &process->edges));
    TRY(refresh_start(catalog, &process->refresh));
    TRY(catalog_api_start(catalog, process->verifier, &process->control));
    h2o_socket_t *signals =
        h2o_evloop_socket_create(process->loop, daemon_signal_fd(), H2O_SOCKET_FLAG_DONT_READ);
    signals->data = process;
    h2o_socket_read_start(signals, signal_came);
    return OK;
}

static void process_stop(struct process *process)
{
    control_stop(&process->control);
    refresh_stop(&process->refresh);
    edges_stop(&process->edges);
    token_verifier_free(&process->verifier);
    catalog_close(&process->catalog);
}

static void signal_came(h2o_socket_t *socket, const char *error)
{
    (void)error;
    struct process *process = socket->data;
    process->ending = true;
}
