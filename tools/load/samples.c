/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Nearest-rank percentiles. */
#include "tools/load/samples.h"

#include <stdlib.h>

void samples_init(struct samples *samples, size_t size)
{
    *samples = (struct samples){.values = calloc(size, sizeof(uint32_t)), .size = size};
    if (samples->values == NULL) abort();
}

void samples_add(struct samples *samples, uint64_t us)
{
    if (samples->count == samples->size) return;
    samples->values[samples->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int64_t at_rank(const struct samples *samples, size_t percent)
{
    if (samples->count == 0) return 0;
    size_t rank = (samples->count * percent + 99) / 100;
    return samples->values[rank == 0 ? 0 : rank - 1];
}

void samples_write(struct samples *samples, struct json_writer *w)
{
    qsort(samples->values, samples->count, sizeof(uint32_t), compare);
    json_object_begin(w);
    json_key_i64(w, SLICE("p50"), at_rank(samples, 50));
    json_key_i64(w, SLICE("p90"), at_rank(samples, 90));
    json_key_i64(w, SLICE("p99"), at_rank(samples, 99));
    json_key_i64(w, SLICE("max"), at_rank(samples, 100));
    json_object_end(w);
}
