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

#define metric_add(name, amount)                                                                   \
    atomic_fetch_add_explicit(&metric_values[METRIC_##name], (int64_t)(amount), memory_order_relaxed)
#define metric_set(name, value)                                                                    \
    atomic_store_explicit(&metric_values[METRIC_##name], (int64_t)(value), memory_order_relaxed)
int64_t metric_read(enum metric metric);
/* # HELP, # TYPE and bourse_<name>{program="…"} value; only metrics this process ever touched. */
void metrics_append_text(struct buffer *out, const char *program);
