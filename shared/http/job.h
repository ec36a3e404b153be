/* SPDX-License-Identifier: Apache-2.0 */
/* One control-plane request on its way: made on the loop's thread, run by a worker, answered on the
 * loop's thread again. It owns copies of all it needs, because the client may leave (and h2o forget
 * the request) at any time. */
#pragma once

#include "shared/h2o.h"
#include "shared/http/control.h"

struct control_job {
    h2o_multithread_message_t message; /* back to the loop */
    struct control_job *next;          /* in the queue of the workers */
    struct control *control;
    const struct control_route *route; /* NULL: none matched */
    bool on_operator_socket;
    slice raw_path; /* as it stands in the request line, without the query: what a token binds */
    slice token;    /* data NULL: none was sent */
    uint64_t started_us;
    struct arena arena; /* what `request` and the answer's headers point into */
    struct control_request request;
    struct control_response response;
    /* Only for the loop's thread. */
    h2o_req_t *waiting; /* NULL: the client left */
    bool answered;      /* back from the worker (or never sent to one): dies with its request */
};

/* ---- answer.c: what a failure looks like. */

/* Replaces the body by the error envelope, masks internal codes, adds Retry-After to every 503. */
void answer_fail(struct control_job *job, status failure);
/* One log line and the counter. */
void answer_log(const struct control_job *job);

/* ---- workers.c: the threads that run handlers. */

struct workers;
/* `done` is called on a worker's thread with every job that was added. */
status workers_start(const struct control_settings *settings, void (*done)(struct control_job *job),
                     struct workers **workers);
/* OVERLOADED when the queue is full, STOPPING; the job is still the caller's then. */
status workers_add(struct workers *workers, struct control_job *job);
/* Runs what is queued, then ends the threads. Jobs may still be offered until it is freed. */
void workers_stop(struct workers *workers);
void workers_free(struct workers **workers);
