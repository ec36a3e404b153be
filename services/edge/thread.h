/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one edge thread: its loop, the market it gets handed, and its orderly end. */
#pragma once

#include "services/edge/edge.h"

/* Opens everything the thread needs, on the thread itself (see shared/h2o.h); its listening
 * descriptor is open already. Then waits at edge->prepared for all to be open, and there once more
 * for edge->serves. Serves until it was told to stop and has drained. */
void *thread_run(void *thread);

/* Callable on any thread. */
void thread_give_market(struct thread *thread, struct market *market); /* retains it */
void thread_tell_stop(struct thread *thread);
/* The listeners of the threads, which give each other connections. */
struct listener_group thread_listeners(struct edge *edge);

uint64_t thread_random(struct thread *thread);
/* Monotonic, and the same for all of a loop's turn: the clock is read once for all requests that it
 * serves. */
uint64_t thread_now_us(struct thread *thread);
uint64_t thread_now_ms(struct thread *thread);
