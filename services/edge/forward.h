/* SPDX-License-Identifier: Apache-2.0 */
/* Control-plane requests: authenticated by the ledger each time, then passed to the service that
 * owns the data, over its Unix socket, with a token that says for whom. */
#pragma once

#include "services/edge/edge.h"
#include "services/edge/routes.h"

void forward_start(struct thread *thread, h2o_req_t *http, const struct route *route,
                   slice request_id);
