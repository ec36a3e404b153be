/* SPDX-License-Identifier: Apache-2.0 */
/* How endpoints fare: what the catalog says, and what this process saw itself. One word per
 * endpoint each, read and written by all threads without order: a lost race costs one request
 * that is tried in another order, nothing else. */
#include "services/edge/market.h"

#include <stdatomic.h>
#include <stdlib.h>

#define HEALTH_ENDPOINTS_MAX 65536u  /* ids from here on always count as stable */
#define HEALTH_MARK_MS       10000u  /* an own failure counts this long */
#define HEALTH_MARK_MAX_MS   600000u /* however long a provider asks us to stay away */

/* An own observation: the state in the low bits, and the millisecond until which it counts above
 * them. */
#define MARK_STATE_BITS      2

struct health_board {
    _Atomic uint8_t states[HEALTH_ENDPOINTS_MAX];
    _Atomic uint64_t marks[HEALTH_ENDPOINTS_MAX];
};

struct health_board *health_board_new(void)
{
    struct health_board *board = calloc(1, sizeof(*board));
    if (board == NULL) abort();
    return board;
}

void health_board_set(struct health_board *board, uint32_t endpoint, enum endpoint_health state)
{
    if (endpoint >= HEALTH_ENDPOINTS_MAX || state > HEALTH_DOWN) return;
    atomic_store_explicit(&board->states[endpoint], (uint8_t)state, memory_order_relaxed);
}

/* What a result says about the endpoint. A refused key, a spent rate and a missing model will
 * fail again at once; an error or a timeout may not. What the client caused says nothing. */
static const struct mark_row {
    bool counts;
    enum endpoint_health state;
} mark_rows[] = {
    [ATTEMPT_OK] = {true, HEALTH_STABLE},
    [ATTEMPT_BAD_REQUEST] = {false, HEALTH_STABLE},
    [ATTEMPT_AUTH] = {true, HEALTH_DOWN},
    [ATTEMPT_RATE_LIMITED] = {true, HEALTH_DOWN},
    [ATTEMPT_OVERLOADED] = {true, HEALTH_DEGRADED},
    [ATTEMPT_SERVER] = {true, HEALTH_DEGRADED},
    [ATTEMPT_TIMEOUT] = {true, HEALTH_DEGRADED},
    [ATTEMPT_NOT_FOUND] = {true, HEALTH_DOWN},
    [ATTEMPT_BROKEN_STREAM] = {true, HEALTH_DEGRADED},
    [ATTEMPT_CLIENT_GONE] = {false, HEALTH_STABLE},
};

void health_board_observe(struct health_board *board, uint32_t endpoint, enum attempt_result result,
                          uint64_t now_ms, uint32_t retry_after_ms)
{
    if (endpoint >= HEALTH_ENDPOINTS_MAX ||
        (size_t)result >= sizeof(mark_rows) / sizeof(mark_rows[0]))
        return;
    const struct mark_row *row = &mark_rows[result];
    if (!row->counts) return;
    uint64_t mark = 0;
    if (row->state != HEALTH_STABLE) {
        uint64_t wait_ms = retry_after_ms == 0 ? HEALTH_MARK_MS : retry_after_ms;
        if (wait_ms > HEALTH_MARK_MAX_MS) wait_ms = HEALTH_MARK_MAX_MS;
        mark = (now_ms + wait_ms) << MARK_STATE_BITS | (uint64_t)row->state;
    } else if (atomic_load_explicit(&board->marks[endpoint], memory_order_relaxed) == 0) {
        return; /* the usual case must not write: the line is shared by all threads */
    }
    atomic_store_explicit(&board->marks[endpoint], mark, memory_order_relaxed);
}

enum endpoint_health health_board_read(const struct health_board *board, uint32_t endpoint,
                                       uint64_t now_ms)
{
    if (endpoint >= HEALTH_ENDPOINTS_MAX) return HEALTH_STABLE;
    enum endpoint_health state =
        (enum endpoint_health)atomic_load_explicit(&board->states[endpoint], memory_order_relaxed);
    uint64_t mark = atomic_load_explicit(&board->marks[endpoint], memory_order_relaxed);
    if (mark >> MARK_STATE_BITS <= now_ms) return state;
    enum endpoint_health own = (enum endpoint_health)(mark & ((1u << MARK_STATE_BITS) - 1));
    return own > state ? own : state;
}
