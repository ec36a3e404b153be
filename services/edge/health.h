/* SPDX-License-Identifier: Apache-2.0 */
/* /healthz, /readyz and /metrics. */
#pragma once

#include "services/edge/edge.h"

void health_answer(h2o_req_t *http);
/* 200 only when a chat request would be served: ledger and catalog answer and welcomed this thread,
 * a market is loaded, and the edge does not stop. Every part is named in the body; so is the usage
 * service, which chat does without. */
void ready_answer(struct thread *thread, h2o_req_t *http);
/* The thread ends: nobody waits any more. */
void ready_cancel(struct thread *thread);
void metrics_answer(h2o_req_t *http);
