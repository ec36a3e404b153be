/* SPDX-License-Identifier: Apache-2.0 */
/* Durations in microseconds and their percentiles. */
#pragma once

#include "shared/json/write.h"

struct samples {
    uint32_t *values;
    size_t count;
    size_t size;
};

void samples_init(struct samples *samples, size_t size); /* further ones are counted out */
void samples_add(struct samples *samples, uint64_t us);
/* {"p50":…,"p90":…,"p99":…,"max":…}; sorts the samples. */
void samples_write(struct samples *samples, struct json_writer *w);
