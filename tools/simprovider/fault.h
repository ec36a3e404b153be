/* SPDX-License-Identifier: Apache-2.0 */
/* Faults on order: PUT /sim/faults/{provider} arms one per provider, DELETE /sim/faults disarms
 * all. */
#pragma once

#include "shared/json/read.h"
#include "shared/json/write.h"

enum fault_kind {
    FAULT_NONE,
    FAULT_STATUS,   /* an HTTP error instead of an answer */
    FAULT_RESET,    /* the connection is reset: before the head, or after so many chunks */
    FAULT_STALL,    /* silence after so many chunks, for delay_ms or until the client leaves */
    FAULT_TRUNCATE, /* the connection ends after so many chunks without the end of the body */
    FAULT_CUT, /* the body ends in an orderly way as HTTP sees it, but before its own end mark */
    FAULT_GARBAGE, /* no JSON: HTML instead of an answer, or broken data after so many chunks */
    FAULT_HALF,    /* half a JSON body with a fitting length */
    FAULT_HOLD,    /* wait for delay_ms, or until the fault is disarmed, then answer */
    FAULT_USAGE,   /* a wrong usage object, see enum fault_usage */
    FAULT_ENDLESS, /* tokens until the client leaves */
    FAULT_ERROR,   /* an error object inside the stream after so many chunks */
};
enum fault_usage {
    USAGE_RIGHT,
    USAGE_MISSING,
    USAGE_TWICE,
    USAGE_NEGATIVE,
    USAGE_HUGE,
    USAGE_ZERO,
    USAGE_TEXT
};

struct fault {
    enum fault_kind kind;
    enum fault_usage usage;
    int64_t http_status;
    int64_t retry_after_s; /* -1: no header */
    int64_t after_chunks;
    int64_t delay_ms; /* -1: until disarmed, or until the client leaves */
    int64_t left;     /* requests it still applies to; -1: all */
};

#define FAULT_PROVIDERS_MAX 64
#define FAULT_PROVIDER_SIZE 64

struct fault_table {
    size_t count;
    char providers[FAULT_PROVIDERS_MAX][FAULT_PROVIDER_SIZE]; /* "*" is every provider */
    struct fault faults[FAULT_PROVIDERS_MAX];
};

/* Reads {"kind":…,"status":…,"retry_after":…,"after_chunks":…,"delay_ms":…,"count":…,"usage":…}. */
status fault_read(struct json_value body, struct fault *fault);
status fault_arm(struct fault_table *table, slice provider, const struct fault *fault);
void fault_disarm(struct fault_table *table, slice provider); /* empty: all */
/* The fault that meets this request, counted down; kind FAULT_NONE when there is none. */
struct fault fault_take(struct fault_table *table, slice provider);
bool fault_is_armed(const struct fault_table *table, slice provider, enum fault_kind kind);
void fault_write_all(const struct fault_table *table, struct json_writer *w);
