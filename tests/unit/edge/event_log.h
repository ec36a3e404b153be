/* SPDX-License-Identifier: Apache-2.0 */
/* Events as lines of text, one per event, so that a test can say what it expects as it would be
 * told: start chatcmpl-1 gpt-4o      text 0 Hello      tool 0.1 call_a get_weather      args 0.1
 * {"city": finish 0 length max_tokens   usage prompt=3 cache_read=1   usage invalid   error
 * rate_limited Slow down   done */
#pragma once

#include "services/edge/dialects/dialect.h"

struct event_log {
    struct buffer text;
    struct arena arena;
    struct decode_memory memory;
    uint32_t fail_at; /* the n-th event is refused with TOO_LARGE; 0: none */
    uint32_t count;
};
void event_log_init(struct event_log *log);
void event_log_free(struct event_log *log);
const char *event_log_text(struct event_log *log); /* until the next event */
status event_log_add(void *log, const struct event *event);

/* A whole answer through a new decoder in pieces of at most `piece` bytes; log->text holds the
 * events. */
status event_log_decode(struct event_log *log, bool stream, slice bytes, size_t piece);
