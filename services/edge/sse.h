/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events (WHATWG HTML, §9.2), read as they arrive: bytes in pieces of any size,
 * whole events out. Lines end with LF, CRLF or CR, comments and unknown fields are skipped,
 * several data lines are joined with LF, a leading byte order mark is dropped. An event whose
 * bytes lie in one piece is handed on without a copy. */
#pragma once

#include "shared/buffer.h"

/* One event at most: data, name and an unfinished line together. A larger one is MALFORMED. */
#define SSE_EVENT_SIZE_MAX (1u << 20)
#define SSE_NAME_MAX       32 /* of the event field; what is longer is cut */

/* Views until the sink returns. name is empty when the event has no event field. */
struct sse_event {
    slice name;
    slice data;
};
/* A failure ends the feeding and is passed on. */
typedef status (*sse_sink)(void *context, const struct sse_event *event);

struct sse_parser {
    sse_sink sink;
    void *context;
    struct buffer line; /* the front of a line whose end has not come */
    struct buffer data; /* data lines that could not stay views */
    slice data_view;    /* the one data line so far, when it lies in the piece being fed */
    uint32_t data_lines;
    char name[SSE_NAME_MAX];
    uint8_t name_len;
    bool skip_line_feed; /* the last piece ended with CR */
    bool started;        /* past a byte order mark */
};

void sse_init(struct sse_parser *parser, sse_sink sink, void *context);
void sse_free(struct sse_parser *parser);

/* MALFORMED: an event above the bound. */
status sse_feed(struct sse_parser *parser, slice bytes);

/* The end of the stream. A last event without its empty line is handed on, against the letter of
 * the standard: some providers close right after "data: [DONE]". */
status sse_finish(struct sse_parser *parser);
