/* SPDX-License-Identifier: Apache-2.0 */
/* How endpoints fare, from the outcomes that edges report: a sliding window that decides the state,
 * minutes and half-hours for uptime, the last samples for percentiles. Time is given with every
 * call. Written by the IPC thread, read by the control workers: one lock inside. */
#pragma once

#include "shared/ipc/message.h"

/* Endpoints with a greater id have no health: they count as stable. Memory of an endpoint is
 * touched with its first outcome. */
#define HEALTH_ENDPOINTS_MAX 16384

struct health;
struct health *health_new(int64_t window_s);
void health_free(struct health **health);

/* BAD_REQUEST and CLIENT_GONE are nobody's fault here and do not count. The rule, over the window:
 *   DOWN      at least 5 attempts and more than half of them failed
 *   DEGRADED  less than 95 % succeeded, and at least one failure was an outage: server error,
 *             timeout, overload, rate limit, broken stream (not: key refused, model not found)
 *   STABLE    otherwise, also when the window has emptied. */
typedef void (*health_changed)(void *context, uint32_t endpoint, enum endpoint_health state);
struct health_listener {
    health_changed changed; /* runs with the lock held: it must not call health */
    void *context;
};
void health_record(struct health *health, const struct message_outcome *outcome, uint64_t now_ms,
                   struct health_listener listener);
/* Endpoints recover by time alone: call about once a second. */
void health_tick(struct health *health, uint64_t now_ms, struct health_listener listener);

/* Calls `changed` for every endpoint that is not stable: what a new edge has to hear. */
void health_each_unstable(struct health *health, struct health_listener listener);

struct health_percentiles {
    bool known;
    uint32_t p50, p75, p90, p99;
};
struct health_view {
    enum endpoint_health state;
    /* Hundredths of a percent; -1 with less than 10 attempts. Rate limits do not count: they say
     * nothing about being up. */
    int32_t uptime_5m, uptime_30m, uptime_1d;
    /* Of the last 64 successes at most, not older than 30 minutes. Not known with less than 10. */
    struct health_percentiles latency_ms;
    struct health_percentiles tokens_per_s;
};
void health_read(struct health *health, uint32_t endpoint, uint64_t now_ms,
                 struct health_view *view);

/* Endpoints in each state: [HEALTH_STABLE] counts those with an outcome in the window only. */
void health_count(struct health *health, uint32_t counts[3]);
