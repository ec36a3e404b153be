/* SPDX-License-Identifier: Apache-2.0 */
/* /healthz, /readyz and /metrics. */
#pragma once

#include "services/edge/edge.h"

void health_answer(h2o_req_t *http);
/* 200 only when the ledger welcomed this thread, a market is loaded and the usage service
 * answers. */
void ready_answer(struct thread *thread, h2o_req_t *http);
void metrics_answer(h2o_req_t *http);
