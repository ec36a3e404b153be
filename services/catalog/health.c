/* SPDX-License-Identifier: Apache-2.0 */
/* Rings of counters. A ring's cell carries the number of the time slot it counts (slots since the
 * start of the clock), so nothing has to be cleared as time passes: a cell with an old number is
 * empty. */
#include "services/catalog/health.h"

#include <pthread.h>
#include <stdlib.h>

#define WINDOW_CELLS     30 /* the window slides in steps of a thirtieth of it */
#define MINUTE_CELLS     30
#define HALF_HOUR_CELLS  48
#define SAMPLES          64
#define MINUTE_MS        60000u
#define HALF_HOUR_MS     (30 * MINUTE_MS)
#define DOWN_ATTEMPTS    5
#define STABLE_PERCENT   95
#define KNOWN_ATTEMPTS   10
#define TOKENS_PER_S_MAX 100000 /* more is a clock's fault */

struct window_cell {
    uint64_t slot;
    uint32_t attempts, failures, outages;
};
struct uptime_cell {
    uint64_t slot;
    uint32_t successes, errors;
};
struct sample {
    uint64_t at_ms;
    uint32_t latency_ms;
    uint32_t tokens_per_s; /* 0: not known */
};

struct endpoint_record {
    bool is_listed; /* in health->listed */
    uint8_t state;  /* enum endpoint_health */
    uint32_t sample_count;
    struct window_cell window[WINDOW_CELLS];
    struct uptime_cell minutes[MINUTE_CELLS];
    struct uptime_cell half_hours[HALF_HOUR_CELLS];
    struct sample samples[SAMPLES];
};

struct health {
    pthread_mutex_t lock;
    uint64_t cell_ms;
    struct endpoint_record *records; /* by endpoint id; untouched pages cost nothing */
    uint32_t *listed;                /* ids with an outcome in the window or a state to leave */
    uint32_t listed_count;
};

/* What a result counts as. */
static const struct {
    bool counts, fails, is_outage;
} classes[] = {
    [ATTEMPT_OK] = {true, false, false},          [ATTEMPT_BAD_REQUEST] = {false, false, false},
    [ATTEMPT_AUTH] = {true, true, false},         [ATTEMPT_RATE_LIMITED] = {true, true, true},
    [ATTEMPT_OVERLOADED] = {true, true, true},    [ATTEMPT_SERVER] = {true, true, true},
    [ATTEMPT_TIMEOUT] = {true, true, true},       [ATTEMPT_NOT_FOUND] = {true, true, false},
    [ATTEMPT_BROKEN_STREAM] = {true, true, true}, [ATTEMPT_CLIENT_GONE] = {false, false, false},
};
#define CLASS_COUNT (sizeof(classes) / sizeof(classes[0]))

static void count_window(const struct health *health, struct endpoint_record *record,
                         uint8_t result, uint64_t now_ms);
static void count_uptime(struct uptime_cell *cells, uint64_t cell_count, uint64_t slot, bool ok);
static void keep_sample(struct endpoint_record *record, const struct message_outcome *outcome,
                        uint64_t now_ms);
static enum endpoint_health decide(const struct health *health,
                                   const struct endpoint_record *record, uint64_t now_ms,
                                   bool *is_empty);

struct health *health_new(int64_t window_s)
{
    struct health *health = calloc(1, sizeof(*health));
    if (health == NULL) abort();
    health->records = calloc(HEALTH_ENDPOINTS_MAX, sizeof(health->records[0]));
    health->listed = calloc(HEALTH_ENDPOINTS_MAX, sizeof(health->listed[0]));
    if (health->records == NULL || health->listed == NULL) abort();
    health->cell_ms = (uint64_t)window_s * 1000 / WINDOW_CELLS;
    (void)pthread_mutex_init(&health->lock, NULL);
    return health;
}

void health_free(struct health **pointer)
{
    struct health *health = TAKE(*pointer);
    if (health == NULL) return;
    (void)pthread_mutex_destroy(&health->lock);
    free(health->records);
    free(health->listed);
    free(health);
}

/* ---- writing --------------------------------------------------------------------------------- */

void health_record(struct health *health, const struct message_outcome *outcome, uint64_t now_ms,
                   struct health_listener listener)
{
    uint32_t id = outcome->endpoint;
    if (id >= HEALTH_ENDPOINTS_MAX || outcome->result >= CLASS_COUNT ||
        !classes[outcome->result].counts) {
        return;
    }
    pthread_mutex_lock(&health->lock);
    struct endpoint_record *record = &health->records[id];
    if (!record->is_listed) {
        record->is_listed = true;
        health->listed[health->listed_count++] = id;
    }
    bool ok = !classes[outcome->result].fails;
    count_window(health, record, outcome->result, now_ms);
    if (outcome->result != ATTEMPT_RATE_LIMITED) {
        count_uptime(record->minutes, MINUTE_CELLS, now_ms / MINUTE_MS, ok);
        count_uptime(record->half_hours, HALF_HOUR_CELLS, now_ms / HALF_HOUR_MS, ok);
    }
    if (ok) keep_sample(record, outcome, now_ms);
    bool is_empty;
    enum endpoint_health state = decide(health, record, now_ms, &is_empty);
    bool changed = state != record->state;
    record->state = (uint8_t)state;
    if (changed) listener.changed(listener.context, id, state);
    pthread_mutex_unlock(&health->lock);
}

void health_tick(struct health *health, uint64_t now_ms, struct health_listener listener)
{
    pthread_mutex_lock(&health->lock);
    for (uint32_t i = health->listed_count; i-- > 0;) {
        uint32_t id = health->listed[i];
        struct endpoint_record *record = &health->records[id];
        bool is_empty;
        enum endpoint_health state = decide(health, record, now_ms, &is_empty);
        bool changed = state != record->state;
        record->state = (uint8_t)state;
        if (is_empty) {
            record->is_listed = false;
            health->listed[i] = health->listed[--health->listed_count];
        }
        if (changed) listener.changed(listener.context, id, state);
    }
    pthread_mutex_unlock(&health->lock);
}

static void count_window(const struct health *health, struct endpoint_record *record,
                         uint8_t result, uint64_t now_ms)
{
    uint64_t slot = now_ms / health->cell_ms;
    struct window_cell *cell = &record->window[slot % WINDOW_CELLS];
    if (cell->slot != slot) *cell = (struct window_cell){.slot = slot};
    cell->attempts++;
    cell->failures += classes[result].fails;
    cell->outages += classes[result].is_outage;
}

static void count_uptime(struct uptime_cell *cells, uint64_t cell_count, uint64_t slot, bool ok)
{
    struct uptime_cell *cell = &cells[slot % cell_count];
    if (cell->slot != slot) *cell = (struct uptime_cell){.slot = slot};
    cell->successes += ok;
    cell->errors += !ok;
}

static void keep_sample(struct endpoint_record *record, const struct message_outcome *outcome,
                        uint64_t now_ms)
{
    uint64_t tokens_per_s = 0;
    if (outcome->total_ms > 0) {
        tokens_per_s = (uint64_t)outcome->output_tokens * 1000 / outcome->total_ms;
    }
    record->samples[record->sample_count++ % SAMPLES] = (struct sample){
        .at_ms = now_ms,
        .latency_ms = outcome->first_byte_ms,
        .tokens_per_s = tokens_per_s > TOKENS_PER_S_MAX ? 0 : (uint32_t)tokens_per_s,
    };
}

/* ---- deciding -------------------------------------------------------------------------------- */

static bool is_recent(uint64_t slot, uint64_t now_slot, uint64_t cell_count)
{
    return slot <= now_slot && now_slot - slot < cell_count;
}

static enum endpoint_health decide(const struct health *health,
                                   const struct endpoint_record *record, uint64_t now_ms,
                                   bool *is_empty)
{
    uint64_t attempts = 0;
    uint64_t failures = 0;
    uint64_t outages = 0;
    for (size_t i = 0; i < WINDOW_CELLS; i++) {
        const struct window_cell *cell = &record->window[i];
        if (!is_recent(cell->slot, now_ms / health->cell_ms, WINDOW_CELLS)) continue;
        attempts += cell->attempts;
        failures += cell->failures;
        outages += cell->outages;
    }
    *is_empty = attempts == 0;
    if (attempts >= DOWN_ATTEMPTS && failures * 2 > attempts) return HEALTH_DOWN;
    if (outages > 0 && (attempts - failures) * 100 < attempts * STABLE_PERCENT)
        return HEALTH_DEGRADED;
    return HEALTH_STABLE;
}

/* ---- reading --------------------------------------------------------------------------------- */

void health_each_unstable(struct health *health, struct health_listener listener)
{
    pthread_mutex_lock(&health->lock);
    for (uint32_t i = 0; i < health->listed_count; i++) {
        uint32_t id = health->listed[i];
        enum endpoint_health state = (enum endpoint_health)health->records[id].state;
        if (state != HEALTH_STABLE) listener.changed(listener.context, id, state);
    }
    pthread_mutex_unlock(&health->lock);
}

static int32_t uptime_of(const struct uptime_cell *cells, uint64_t cell_count, uint64_t now_slot,
                         uint64_t last)
{
    uint64_t successes = 0;
    uint64_t errors = 0;
    for (size_t i = 0; i < cell_count; i++) {
        if (!is_recent(cells[i].slot, now_slot, last)) continue;
        successes += cells[i].successes;
        errors += cells[i].errors;
    }
    uint64_t attempts = successes + errors;
    return attempts < KNOWN_ATTEMPTS ? -1 : (int32_t)(successes * 10000 / attempts);
}

static int compare_u32(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* Nearest rank: the value at place ceil(percent · count / 100), counted from 1. */
static struct health_percentiles percentiles_of(uint32_t *values, size_t count)
{
    if (count < KNOWN_ATTEMPTS) return (struct health_percentiles){0};
    qsort(values, count, sizeof(values[0]), compare_u32);
    return (struct health_percentiles){
        .known = true,
        .p50 = values[(count * 50 + 99) / 100 - 1],
        .p75 = values[(count * 75 + 99) / 100 - 1],
        .p90 = values[(count * 90 + 99) / 100 - 1],
        .p99 = values[(count * 99 + 99) / 100 - 1],
    };
}

static void read_samples(const struct endpoint_record *record, uint64_t now_ms,
                         struct health_view *view)
{
    uint32_t latencies[SAMPLES];
    uint32_t speeds[SAMPLES];
    size_t latency_count = 0;
    size_t speed_count = 0;
    for (size_t i = 0; i < SAMPLES && i < record->sample_count; i++) {
        const struct sample *sample = &record->samples[i];
        if (now_ms - sample->at_ms >= HALF_HOUR_MS) continue;
        latencies[latency_count++] = sample->latency_ms;
        if (sample->tokens_per_s > 0) speeds[speed_count++] = sample->tokens_per_s;
    }
    view->latency_ms = percentiles_of(latencies, latency_count);
    view->tokens_per_s = percentiles_of(speeds, speed_count);
}

void health_read(struct health *health, uint32_t endpoint, uint64_t now_ms,
                 struct health_view *view)
{
    *view = (struct health_view){.uptime_5m = -1, .uptime_30m = -1, .uptime_1d = -1};
    if (endpoint >= HEALTH_ENDPOINTS_MAX) return;
    pthread_mutex_lock(&health->lock);
    const struct endpoint_record *record = &health->records[endpoint];
    view->state = (enum endpoint_health)record->state;
    uint64_t minute = now_ms / MINUTE_MS;
    view->uptime_5m = uptime_of(record->minutes, MINUTE_CELLS, minute, 5);
    view->uptime_30m = uptime_of(record->minutes, MINUTE_CELLS, minute, MINUTE_CELLS);
    view->uptime_1d =
        uptime_of(record->half_hours, HALF_HOUR_CELLS, now_ms / HALF_HOUR_MS, HALF_HOUR_CELLS);
    read_samples(record, now_ms, view);
    pthread_mutex_unlock(&health->lock);
}

void health_count(struct health *health, uint32_t counts[3])
{
    counts[0] = counts[1] = counts[2] = 0;
    pthread_mutex_lock(&health->lock);
    for (uint32_t i = 0; i < health->listed_count; i++)
        counts[health->records[health->listed[i]].state]++;
    pthread_mutex_unlock(&health->lock);
}
