/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a stream of server-sent events, once as one piece and once cut by the input's
 * first bytes: the events must be the same. Pieces are heap copies, so that a view that outlives
 * its piece is seen. */
#include <stdio.h>
#include <stdlib.h>

#include "services/edge/sse.h"

#define EVENTS_SIZE_MAX ((size_t)1 << 24)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held, const char *what)
{
    if (held) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static status write_event(void *context, const struct sse_event *event)
{
    struct buffer *events = context;
    require(event->name.len <= SSE_NAME_MAX, "names are bounded");
    require(event->data.len <= SSE_EVENT_SIZE_MAX, "events are bounded");
    require(memchr(event->data.data, '\r', event->data.len) == NULL, "a CR ends a line");
    buffer_append_u64(events, event->name.len);
    buffer_append_char(events, '|');
    buffer_append(events, event->name);
    buffer_append_u64(events, event->data.len);
    buffer_append_char(events, '|');
    buffer_append(events, event->data);
    return OK;
}

/* Pieces of 1 to 8 bytes, their lengths taken from the bits of `cuts`; 0: one piece. */
static status feed(slice bytes, uint64_t cuts, struct buffer *events)
{
    struct sse_parser parser;
    sse_init(&parser, write_event, events);
    status result = OK;
    while (bytes.len > 0 && status_ok(result)) {
        size_t len = cuts == 0 ? bytes.len : (size_t)(cuts & 7) + 1;
        cuts = cuts == 0 ? 0 : cuts >> 3 | cuts << 61;
        slice piece = slice_first(bytes, len);
        char *copy = malloc(piece.len);
        memcpy(copy, piece.data, piece.len);
        result = sse_feed(&parser, (slice){copy, piece.len});
        free(copy);
        bytes = slice_from(bytes, len);
    }
    if (status_ok(result)) result = sse_finish(&parser);
    sse_free(&parser);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t cuts;
    if (size < sizeof(cuts)) return 0;
    memcpy(&cuts, data, sizeof(cuts));
    slice bytes = {(const char *)data + sizeof(cuts), size - sizeof(cuts)};
    struct buffer whole;
    struct buffer cut;
    buffer_init(&whole, EVENTS_SIZE_MAX);
    buffer_init(&cut, EVENTS_SIZE_MAX);
    status a = feed(bytes, 0, &whole);
    status b = feed(bytes, cuts | 1, &cut);
    require(a.code == b.code, "the same result however it is cut");
    require(slice_equal(buffer_slice(&whole), buffer_slice(&cut)), "the same events");
    buffer_free(&whole);
    buffer_free(&cut);
    return 0;
}
