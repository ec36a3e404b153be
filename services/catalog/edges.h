/* SPDX-License-Identifier: Apache-2.0 */
/* The edges' connections on run/catalog-ipc.sock: markets and health out, outcomes in, keys opened.
 * All on one event loop. */
#pragma once

#include "services/catalog/catalog.h"
#include "shared/h2o.h"

struct edges;
status edges_start(struct catalog *catalog, h2o_loop_t *loop, struct edges **edges);
/* Right before every h2o_evloop_run(). */
void edges_flush(struct edges *edges);
void edges_stop(struct edges **edges);
