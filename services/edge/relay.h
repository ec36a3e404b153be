/* SPDX-License-Identifier: Apache-2.0 */
/* From the provider's events to the client's bytes, with backpressure both ways. */
#pragma once

#include "services/edge/request.h"

#define OUT_HIGH           ((size_t)256 * 1024) /* above this reading from the provider pauses */
#define OUT_LOW            (OUT_HIGH / 2)
#define COMMENT_SILENCE_MS 15000 /* a stream that is silent this long gets a comment */
#define COMMENT_SETTLE_MS  10000 /* and while its SETTLE hangs */

/* A fresh skin for an attempt; what an earlier attempt left is thrown away. */
status relay_prepare(struct request *request);
status relay_event(void *request, const struct event *event);
/* Begins the response; nothing is sent before relay_pump(). */
void relay_start(struct request *request);
/* Sends what is ready if nothing is on its way. */
void relay_pump(struct request *request);
/* A whole answer is put together with our own figure while its bill is on the way. A stream's end
 * is not: what is in its buffer may go out before. */
void relay_write_ahead(struct request *request);
/* After the bill is known: the answer's last part. */
void relay_finish(struct request *request);
/* An error instead of an answer: nothing went to the client yet. */
void relay_refuse(struct request *request, const struct failure *failure);
/* The answer broke after its first byte went out. */
void relay_break(struct request *request, status cause, slice message);
/* The bill hangs for too long: ends the answer without the protocol's own end, naming the
 * generation. */
void relay_give_up_settle(struct request *request);
void relay_tick(struct request *request, uint64_t now_ms);
