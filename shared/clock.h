/* SPDX-License-Identifier: Apache-2.0 */
/* Times. Wall time is for display and periods, monotonic time for deadlines. The ledger's money
 * path uses neither directly: it gets `now` with each event. */
#pragma once

#include "shared/buffer.h"

/* Nanoseconds since 1970-01-01 UTC. */
typedef struct {
    int64_t ns;
} wall_time;

wall_time clock_wall(void); /* in builds with fault points wrong by BOURSE_CLOCK_OFFSET_S seconds */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);
/* Up to a kernel's tick (10 ms) older than clock_monotonic_ms(), at a fraction of its cost: where a
 * deadline of many milliseconds begins with every request. */
uint64_t clock_coarse_ms(void);
uint64_t clock_boot_ns(void); /* CLOCK_BOOTTIME: goes on while the machine sleeps */

/* The cadences of a limit. A period's number is part of a row's key and nothing is ever reset: day
 * = days since 1970-01-01; week = Mondays since 1970-01-05 (days + 3) / 7; month = year·12 + month
 * - 1; life = 0. */
enum cadence { CADENCE_LIFE = 0, CADENCE_DAY = 1, CADENCE_WEEK = 2, CADENCE_MONTH = 3 };
#define CADENCE_COUNT 4
int32_t clock_period(enum cadence cadence, wall_time at);
/* The first instant of the period after the one that holds `at`; {INT64_MAX} for CADENCE_LIFE. */
wall_time clock_period_end(enum cadence cadence, wall_time at);

/* 2026-11-20T12:05:36.123Z */
void clock_append_iso(struct buffer *out, wall_time at);
/* Accepts 2026-11-20T12:05:36(.fraction)?(Z|±hh:mm). BAD_REQUEST on other text and on dates that do
 * not exist, OUT_OF_RANGE on what 64 bits of nanoseconds do not hold (before 1677-09-21, after
 * 2262-04-11). */
status clock_parse_iso(slice text, wall_time *at);
