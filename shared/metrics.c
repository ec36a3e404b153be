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

struct metric_place metric_places[METRIC_PLACES];
_Thread_local struct metric_place *metric_own;
_Atomic bool metric_touched[METRIC_COUNT];
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

void metrics_append_text(struct buffer *out, const char *program)
{
    for (enum metric metric = 0; metric < METRIC_COUNT; metric++) {
        if (!atomic_load_explicit(&metric_touched[metric], memory_order_relaxed)) continue;
        append_head(out, &metric_rows[metric]);
        buffer_append(out, SLICE("bourse_"));
        buffer_append(out, slice_of(metric_rows[metric].name));
        buffer_append(out, SLICE("{program=\""));
        append_exposition(out, slice_of(program), true);
        buffer_append(out, SLICE("\"} "));
        buffer_append_i64(out, metric_read(metric));
        buffer_append_char(out, '\n');
    }
}
