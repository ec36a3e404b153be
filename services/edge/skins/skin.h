/* SPDX-License-Identifier: Apache-2.0 */
/* How an answer looks to the client: events in, bytes of the public protocol out. chat:
 * /api/v1/chat/completions. */
#pragma once

#include "services/edge/event.h"
#include "shared/arena.h"
#include "shared/json/write.h"

/* What every answer carries. */
struct skin_head {
    slice generation; /* "gen-…" */
    int64_t created_s;
    slice model;    /* slug */
    slice provider; /* name */
    bool stream;
};

/* The bill shown with the answer. */
struct skin_bill {
    struct usage_vector usage;
    money cost;
    money input_cost, output_cost; /* upstream_inference_… */
    bool byok;
};

struct chat_skin;
/* out: whatever the skin appends is ready to be sent. arena lives as long as the answer. */
struct chat_skin *chat_skin_new(struct arena *arena, const struct skin_head *head,
                                struct buffer *out);
void chat_skin_free(struct chat_skin **skin);
/* Stream: appends whole "data: …\n\n" chunks, one per event of TEXT, REASONING, …; usage and
 * finish are kept for the end where the protocol wants them there. Not stream: collects. Counts
 * delivered text bytes. */
status chat_skin_event(struct chat_skin *skin, const struct event *event);
uint64_t chat_skin_delivered_bytes(const struct chat_skin *skin);
/* The last part: stream: the usage chunk (choices: []) and [DONE]; not stream: the whole JSON
 * body. */
status chat_skin_finish(struct chat_skin *skin, const struct skin_bill *bill);
/* An error after the first byte: the error chunk all clients understand (choices with
 * finish_reason "error", integer code), then [DONE]; not stream: the error envelope. http: 502 … */
status chat_skin_error(struct chat_skin *skin, status failure, slice message);
/* ": BOURSE PROCESSING

", keeps a stream alive; nothing otherwise */
void chat_skin_comment(struct chat_skin *skin);
