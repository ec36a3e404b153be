/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one edge thread: its loop, the market it gets handed, and its orderly end. */
#pragma once

#include "services/edge/edge.h"

/* Opens everything a thread needs; its listening descriptor is open already. Called on the main
 * thread. */
status thread_prepare(struct thread *thread);
void *thread_run(void *thread); /* until it was told to stop and has drained */

/* Callable on any thread. */
void thread_give_market(struct thread *thread, struct market *market); /* retains it */
void thread_tell_stop(struct thread *thread);
/* The listeners of the threads, which give each other connections. */
struct listener_group thread_listeners(struct edge *edge);

uint64_t thread_random(struct thread *thread);
/* Monotonic, and as old as the loop's turn: for what lasts many milliseconds. */
uint64_t thread_now_ms(struct thread *thread);
