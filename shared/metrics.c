/* SPDX-License-Identifier: Apache-2.0 */
/* The values of metrics.def and their text in the Prometheus exposition format, version 0.0.4. */
#include "shared/metrics.h"

struct metric_row {
    const char *name;
    const char *kind;
    const char *sentence;
};

static const struct metric_row metric_rows[METRIC_COUNT] = {
#define METRIC(name, kind, sentence) [METRIC_##name] = {#name, #kind, sentence},
#include "shared/metrics.def"
#undef METRIC
};

static const struct metric_row histogram_rows[HISTOGRAM_COUNT] = {
#define METRIC(name, kind, sentence)
#define HISTOGRAM(name, sentence) [HISTOGRAM_##name] = {#name "_seconds", "histogram", sentence},
#include "shared/metrics.def"
#undef METRIC
};

struct metric_place metric_places[METRIC_PLACES];
_Thread_local struct metric_place *metric_own;
_Atomic bool metric_touched[METRIC_COUNT];
static _Atomic bool histogram_touched[HISTOGRAM_COUNT];
static _Atomic unsigned places_taken;

/* A thread's place stays when the thread ends, and with it what it counted. */
struct metric_place *metric_take_place(void)
{
    unsigned number = atomic_fetch_add_explicit(&places_taken, 1, memory_order_relaxed);
    metric_own = &metric_places[number < METRIC_PLACES ? number : METRIC_PLACES - 1];
    return metric_own;
}

int64_t metric_read(enum metric metric)
{
    int64_t sum = 0;
    for (size_t i = 0; i < METRIC_PLACES; i++) {
        sum += atomic_load_explicit(&metric_places[i].values[metric], memory_order_relaxed);
    }
    return sum;
}

/* ---- histograms ------------------------------------------------------------------------------ */

#define STEPS_PER_OCTAVE 4
#define FIRST_BOUND_US   16

/* 16 µs times the quarter roots of two, rounded; the octaves above double them. */
static const uint8_t first_octave_us[STEPS_PER_OCTAVE] = {FIRST_BOUND_US, 19, 23, 27};

uint64_t histogram_bound_us(size_t bucket)
{
    return (uint64_t)first_octave_us[bucket % STEPS_PER_OCTAVE] << (bucket / STEPS_PER_OCTAVE);
}

static size_t bucket_of(uint64_t took_us)
{
    size_t bucket = 0;
    while (bucket + STEPS_PER_OCTAVE < HISTOGRAM_BOUNDS &&
           histogram_bound_us(bucket + STEPS_PER_OCTAVE) < took_us)
        bucket += STEPS_PER_OCTAVE;
    while (bucket < HISTOGRAM_BOUNDS && histogram_bound_us(bucket) < took_us)
        bucket++;
    return bucket;
}

void metric_time_to(enum histogram histogram, uint64_t took_us)
{
    struct metric_place *place = metric_place_own();
    if (!atomic_load_explicit(&histogram_touched[histogram], memory_order_relaxed))
        atomic_store_explicit(&histogram_touched[histogram], true, memory_order_relaxed);
    metric_add_at(place, &place->buckets[histogram][bucket_of(took_us)], 1);
    metric_add_at(place, &place->sums_us[histogram], (int64_t)took_us);
}

static int64_t read_bucket(enum histogram histogram, size_t bucket)
{
    int64_t sum = 0;
    for (size_t i = 0; i < METRIC_PLACES; i++) {
        sum += atomic_load_explicit(&metric_places[i].buckets[histogram][bucket],
                                    memory_order_relaxed);
    }
    return sum;
}

static int64_t read_sum_us(enum histogram histogram)
{
    int64_t sum = 0;
    for (size_t i = 0; i < METRIC_PLACES; i++)
        sum += atomic_load_explicit(&metric_places[i].sums_us[histogram], memory_order_relaxed);
    return sum;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* What the format escapes: backslash and newline everywhere, the quote only in a label's value. */
static void append_exposition(struct buffer *out, slice text, bool label)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '\\' || c == '\n' || (label && c == '"')) buffer_append_char(out, '\\');
        buffer_append_char(out, c == '\n' ? 'n' : c);
    }
}

static void append_head(struct buffer *out, const struct metric_row *row)
{
    buffer_append(out, SLICE("# HELP bourse_"));
    buffer_append(out, slice_of(row->name));
    buffer_append_char(out, ' ');
    append_exposition(out, slice_of(row->sentence), false);
    buffer_append(out, SLICE("\n# TYPE bourse_"));
    buffer_append(out, slice_of(row->name));
    buffer_append_char(out, ' ');
    buffer_append(out, slice_of(row->kind));
    buffer_append_char(out, '\n');
}

static void append_series(struct buffer *out, const char *name, const char *suffix,
                          const char *program)
{
    buffer_append(out, SLICE("bourse_"));
    buffer_append(out, slice_of(name));
    buffer_append(out, slice_of(suffix));
    buffer_append(out, SLICE("{program=\""));
    append_exposition(out, slice_of(program), true);
    buffer_append_char(out, '"');
}

static void append_seconds(struct buffer *out, uint64_t us)
{
    buffer_append_u64(out, us / 1000000);
    buffer_append_char(out, '.');
    for (uint64_t unit = 100000; unit > 0; unit /= 10)
        buffer_append_char(out, (char)('0' + us / unit % 10));
}

static void append_bucket(struct buffer *out, enum histogram histogram, const char *program,
                          size_t bucket)
{
    append_series(out, histogram_rows[histogram].name, "_bucket", program);
    buffer_append(out, SLICE(",le=\""));
    if (bucket < HISTOGRAM_BOUNDS)
        append_seconds(out, histogram_bound_us(bucket));
    else
        buffer_append(out, SLICE("+Inf"));
    buffer_append(out, SLICE("\"} "));
}

/* All buckets, always: a series that begins in the middle of a time has no rate. */
static void append_histogram(struct buffer *out, enum histogram histogram, const char *program)
{
    const struct metric_row *row = &histogram_rows[histogram];
    int64_t count = 0;
    append_head(out, row);
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        count += read_bucket(histogram, bucket);
        append_bucket(out, histogram, program, bucket);
        buffer_append_i64(out, count);
        buffer_append_char(out, '\n');
    }
    append_series(out, row->name, "_sum", program);
    buffer_append(out, SLICE("} "));
    append_seconds(out, (uint64_t)read_sum_us(histogram));
    buffer_append_char(out, '\n');
    append_series(out, row->name, "_count", program);
    buffer_append(out, SLICE("} "));
    buffer_append_i64(out, count);
    buffer_append_char(out, '\n');
}

void metrics_append_text(struct buffer *out, const char *program)
{
    for (enum metric metric = 0; metric < METRIC_COUNT; metric++) {
        if (!atomic_load_explicit(&metric_touched[metric], memory_order_relaxed)) continue;
        append_head(out, &metric_rows[metric]);
        append_series(out, metric_rows[metric].name, "", program);
        buffer_append(out, SLICE("} "));
        buffer_append_i64(out, metric_read(metric));
        buffer_append_char(out, '\n');
    }
    for (enum histogram histogram = 0; histogram < HISTOGRAM_COUNT; histogram++) {
        if (atomic_load_explicit(&histogram_touched[histogram], memory_order_relaxed))
            append_histogram(out, histogram, program);
    }
}
