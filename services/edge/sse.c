/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of server-sent events. A line is found by memchr and taken apart where it lies;
 * only what a piece cuts in two is copied: the front of a line into `line`, data that must
 * outlive its piece into `data`. */
#include "services/edge/sse.h"

#define BYTE_ORDER_MARK SLICE("\xEF\xBB\xBF")

static status take_line(struct sse_parser *parser, slice line);
static status take_data(struct sse_parser *parser, slice value);
static status dispatch(struct sse_parser *parser);
static status keep_rest(struct sse_parser *parser, slice rest);
static size_t line_len(slice bytes);

void sse_init(struct sse_parser *parser, sse_sink sink, void *context)
{
    *parser = (struct sse_parser){.sink = sink, .context = context};
    buffer_init(&parser->line, SSE_EVENT_SIZE_MAX);
    buffer_init(&parser->data, SSE_EVENT_SIZE_MAX);
}

void sse_free(struct sse_parser *parser)
{
    buffer_free(&parser->line);
    buffer_free(&parser->data);
}

status sse_feed(struct sse_parser *parser, slice bytes)
{
    while (bytes.len > 0) {
        if (parser->skip_line_feed) {
            parser->skip_line_feed = false;
            if (bytes.data[0] == '\n') {
                bytes = slice_from(bytes, 1);
                continue;
            }
        }
        size_t len = line_len(bytes);
        if (len == bytes.len) return keep_rest(parser, bytes);
        /* A line feed behind the carriage return belongs to it, also when it comes with the next
         * piece. */
        parser->skip_line_feed = bytes.data[len] == '\r';
        slice line = slice_first(bytes, len);
        bytes = slice_from(bytes, len + 1);
        if (parser->line.len > 0) {
            buffer_append(&parser->line, line);
            if (!status_ok(buffer_finish(&parser->line))) return FAIL(MALFORMED);
            line = buffer_slice(&parser->line);
        }
        TRY(take_line(parser, line));
        buffer_clear(&parser->line);
    }
    return keep_rest(parser, SLICE_NONE);
}

status sse_finish(struct sse_parser *parser)
{
    if (parser->line.len > 0) TRY(take_line(parser, buffer_slice(&parser->line)));
    buffer_clear(&parser->line);
    return dispatch(parser);
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Bytes before the first end of a line; all of them when there is none. */
static size_t line_len(slice bytes)
{
    const char *line_feed = memchr(bytes.data, '\n', bytes.len);
    size_t len = line_feed == NULL ? bytes.len : (size_t)(line_feed - bytes.data);
    const char *carriage_return = memchr(bytes.data, '\r', len);
    return carriage_return == NULL ? len : (size_t)(carriage_return - bytes.data);
}

static void take_name(struct sse_parser *parser, slice value)
{
    value = slice_first(value, SSE_NAME_MAX);
    memcpy(parser->name, value.data, value.len);
    parser->name_len = (uint8_t)value.len;
}

static status take_line(struct sse_parser *parser, slice line)
{
    if (!parser->started) {
        parser->started = true;
        if (slice_starts_with(line, BYTE_ORDER_MARK)) line = slice_from(line, BYTE_ORDER_MARK.len);
    }
    if (line.len == 0) return dispatch(parser);

    slice field;
    slice value;
    (void)slice_split(line, ':', &field, &value);
    if (value.len > 0 && value.data[0] == ' ') value = slice_from(value, 1);
    if (slice_equal(field, SLICE("data"))) return take_data(parser, value);
    if (slice_equal(field, SLICE("event"))) take_name(parser, value);
    /* A comment has an empty field name; id and retry mean nothing to a reader that never
     * reconnects. */
    return OK;
}

/* ---- events ---------------------------------------------------------------------------------- */

/* The first data line of an event stays a view as long as its piece lives, unless it was put
 * together from two. */
static status take_data(struct sse_parser *parser, slice value)
{
    bool lies_in_piece = parser->line.len == 0;
    if (parser->data_lines == 0 && lies_in_piece) {
        if (value.len > SSE_EVENT_SIZE_MAX) return FAIL(MALFORMED);
        parser->data_view = value;
        parser->data_lines = 1;
        return OK;
    }
    buffer_append(&parser->data, parser->data_view);
    parser->data_view = SLICE_NONE;
    if (parser->data_lines > 0) buffer_append_char(&parser->data, '\n');
    buffer_append(&parser->data, value);
    parser->data_lines++;
    return status_ok(buffer_finish(&parser->data)) ? OK : FAIL(MALFORMED);
}

/* An empty line: hands on what was collected. Without data there is no event. */
static status dispatch(struct sse_parser *parser)
{
    struct sse_event event = {
        .name = {parser->name, parser->name_len},
        .data = parser->data.len > 0 ? buffer_slice(&parser->data) : parser->data_view,
    };
    bool is_event = parser->data_lines > 0;
    parser->data_lines = 0;
    parser->name_len = 0;
    status result = is_event ? parser->sink(parser->context, &event) : OK;
    parser->data_view = SLICE_NONE;
    buffer_clear(&parser->data);
    return result;
}

/* The end of a piece: what is unfinished is copied, because the piece dies. */
static status keep_rest(struct sse_parser *parser, slice rest)
{
    buffer_append(&parser->data, parser->data_view);
    parser->data_view = SLICE_NONE;
    buffer_append(&parser->line, rest);
    bool fits = status_ok(buffer_finish(&parser->line)) &&
                status_ok(buffer_finish(&parser->data)) &&
                parser->line.len + parser->data.len <= SSE_EVENT_SIZE_MAX;
    return fits ? OK : FAIL(MALFORMED);
}
