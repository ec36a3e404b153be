/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the simulated provider: one thread, one loop, one struct. */
#pragma once

#include "shared/h2o.h"
#include "tools/simprovider/fault.h"
#include "tools/simprovider/record.h"

#define SIM_TIMERS_MAX 128
#define SIM_POLL_MS \
    50 /* how often a silent call looks whether its client left or its fault was disarmed */

struct sim {
    h2o_globalconf_t conf;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    h2o_loop_t *loop;
    struct fault_table faults;
    struct record_log log;
    struct json_document document;
    size_t timer_count;
    h2o_timeout_t timers[SIM_TIMERS_MAX]; /* h2o's timers are lists of one duration each */
    uint64_t served;
};

/* The list of that duration; rounded to one that exists when there are too many. */
h2o_timeout_t *sim_timer(struct sim *sim, uint64_t ms);

/* serve.c: POST /{provider}/v1/chat/completions */
void serve_chat(struct sim *sim, h2o_req_t *req, slice provider);
/* control.c: /sim/… ; false when the path is not one of its own */
bool control_handle(struct sim *sim, h2o_req_t *req, slice path);
void sim_send_json(h2o_req_t *req, int http_status, const struct buffer *body);
