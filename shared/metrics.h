/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and gauges of metrics.def, one relaxed atomic each, and their Prometheus text. */
#pragma once

#include <stdatomic.h>

#include "shared/buffer.h"

enum metric {
#define METRIC(name, kind, sentence) METRIC_##name,
#include "shared/metrics.def"
#undef METRIC
    METRIC_COUNT
};
extern _Atomic int64_t metric_values[METRIC_COUNT];
extern _Atomic bool metric_touched[METRIC_COUNT];

/* A metric that is 0 because nothing happened yet is shown; one of another program is not. Reading
 * first keeps the flags' cache line shared between the threads. */
static inline void metric_touch(enum metric metric)
{
    if (atomic_load_explicit(&metric_touched[metric], memory_order_relaxed)) return;
    atomic_store_explicit(&metric_touched[metric], true, memory_order_relaxed);
}
static inline void metric_add_to(enum metric metric, int64_t amount)
{
    metric_touch(metric);
    atomic_fetch_add_explicit(&metric_values[metric], amount, memory_order_relaxed);
}
/* For a counter that one thread alone adds to: without a lock on the processor's memory, which would
 * wait for every store before it. */
static inline void metric_add_alone_to(enum metric metric, int64_t amount)
{
    metric_touch(metric);
    int64_t value = atomic_load_explicit(&metric_values[metric], memory_order_relaxed);
    atomic_store_explicit(&metric_values[metric], value + amount, memory_order_relaxed);
}
static inline void metric_set_to(enum metric metric, int64_t value)
{
    metric_touch(metric);
    atomic_store_explicit(&metric_values[metric], value, memory_order_relaxed);
}
#define metric_add(name, amount)       metric_add_to(METRIC_##name, (int64_t)(amount))
#define metric_add_alone(name, amount) metric_add_alone_to(METRIC_##name, (int64_t)(amount))
#define metric_set(name, value)        metric_set_to(METRIC_##name, (int64_t)(value))
int64_t metric_read(enum metric metric);
/* # HELP, # TYPE and bourse_<name>{program="…"} value; only metrics this process ever touched. */
void metrics_append_text(struct buffer *out, const char *program);
