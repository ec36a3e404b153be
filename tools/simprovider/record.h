/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulated providers served: an independent truth for checks, kept in a ring of fixed
 * size. */
#pragma once

#include "shared/json/write.h"

#define RECORD_COUNT     262144 /* the oldest are overwritten; the log tells how many */
#define RECORD_TEXT_SIZE 48

enum record_end { RECORD_OPEN, RECORD_BY_SERVER, RECORD_BY_CLIENT, RECORD_BY_FAULT };

struct record {
    char request[RECORD_TEXT_SIZE]; /* the caller's X-Request-Id */
    char provider[RECORD_TEXT_SIZE];
    char model[RECORD_TEXT_SIZE * 2];
    uint16_t http_status;
    uint8_t end; /* enum record_end */
    bool stream;
    uint32_t prompt_tokens;
    uint32_t cached_tokens;
    uint32_t reasoning_tokens;
    uint32_t tokens_generated; /* text and reasoning */
    uint32_t tokens_delivered; /* handed to the connection before it ended */
};

struct record_log {
    struct record *records; /* RECORD_COUNT */
    uint64_t count;         /* ever written since the last clear */
};

void record_log_init(struct record_log *log);
/* Number of the new record; valid until RECORD_COUNT more were made. */
uint64_t record_new(struct record_log *log);
struct record *record_at(struct record_log *log,
                         uint64_t number); /* NULL when overwritten or cleared */
void record_clear(struct record_log *log);
/* {"total":…,"lost":…,"data":[…]} of the records from number `after` on, at most `limit`. */
void record_write(const struct record_log *log, uint64_t after, uint64_t limit,
                  struct json_writer *w);
