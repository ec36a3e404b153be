/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges and histograms of metrics.def, and their Prometheus text. Each thread counts in
 * a place of its own, and reading adds them up: threads that count the same thing would wait for
 * one another's cache lines. A metric is either added to, by any thread, or set. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>

#include "shared/buffer.h"

enum metric {
#define METRIC(name, kind, sentence) METRIC_##name,
#include "shared/metrics.def"
#undef METRIC
    METRIC_COUNT
};
enum histogram {
#define METRIC(name, kind, sentence)
#define HISTOGRAM(name, sentence) HISTOGRAM_##name,
#include "shared/metrics.def"
#undef METRIC
    HISTOGRAM_COUNT
};

/* A bucket's bounds are a quarter of an octave apart, so that a median read from them is a few
 * percent off at most: from 16 µs to 14 s, and one bucket for what takes longer. */
#define HISTOGRAM_BOUNDS  80
#define HISTOGRAM_BUCKETS (HISTOGRAM_BOUNDS + 1)
uint64_t histogram_bound_us(size_t bucket); /* what is counted in it takes at most this */

#define METRIC_PLACES    64 /* more threads share the last */
#define METRIC_ALIGNMENT 64 /* of a cache line */
struct metric_place {
    alignas(METRIC_ALIGNMENT) _Atomic int64_t values[METRIC_COUNT];
    _Atomic int64_t buckets[HISTOGRAM_COUNT][HISTOGRAM_BUCKETS];
    _Atomic int64_t sums_us[HISTOGRAM_COUNT];
};
extern struct metric_place metric_places[METRIC_PLACES];
extern _Thread_local struct metric_place *metric_own; /* NULL: none yet */
struct metric_place *metric_take_place(void);
extern _Atomic bool metric_touched[METRIC_COUNT];

/* A metric that is 0 because nothing happened yet is shown; one of another program is not. Reading
 * first keeps the flags' cache line shared between the threads. */
static inline void metric_touch(enum metric metric)
{
    if (atomic_load_explicit(&metric_touched[metric], memory_order_relaxed)) return;
    atomic_store_explicit(&metric_touched[metric], true, memory_order_relaxed);
}
static inline struct metric_place *metric_place_own(void)
{
    return metric_own != NULL ? metric_own : metric_take_place();
}
/* In a place of its own a thread adds without a lock on the processor's memory, which would wait
 * for every store before it. */
static inline void metric_add_at(struct metric_place *place, _Atomic int64_t *value, int64_t amount)
{
    if (place == &metric_places[METRIC_PLACES - 1])
        atomic_fetch_add_explicit(value, amount, memory_order_relaxed);
    else
        atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + amount,
                              memory_order_relaxed);
}
static inline void metric_add_to(enum metric metric, int64_t amount)
{
    metric_touch(metric);
    struct metric_place *place = metric_place_own();
    metric_add_at(place, &place->values[metric], amount);
}
static inline void metric_set_to(enum metric metric, int64_t value)
{
    metric_touch(metric);
    atomic_store_explicit(&metric_places[0].values[metric], value, memory_order_relaxed);
}
#define metric_add(name, amount) metric_add_to(METRIC_##name, (int64_t)(amount))
#define metric_set(name, value)  metric_set_to(METRIC_##name, (int64_t)(value))
void metric_time_to(enum histogram histogram, uint64_t took_us);
#define metric_time(name, took_us) metric_time_to(HISTOGRAM_##name, took_us)
int64_t metric_read(enum metric metric);
/* # HELP, # TYPE and bourse_<name>{program="…"} value; only metrics this process ever touched. Of a
 * histogram the buckets, each with all below it, the sum and the count. */
void metrics_append_text(struct buffer *out, const char *program);
