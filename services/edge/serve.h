/* SPDX-License-Identifier: Apache-2.0 */
/* The first thing that happens to a request: framing, loops, routes. */
#pragma once

#include "shared/buffer.h"
#include "shared/h2o.h"

struct thread;

/* "req-" and a number that does not repeat. */
void serve_request_id(struct thread *thread, struct buffer *out);
int serve(h2o_handler_t *handler, h2o_req_t *http);
