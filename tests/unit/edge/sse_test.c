/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events: the same events whatever the pieces, and the rules of lines, fields and
 * bounds. */
#include <stdlib.h>

#include "services/edge/sse.h"
#include "tests/unit/test.h"

/* Events as "name|data\n" lines. */
struct record {
    struct buffer text;
    slice piece; /* being fed */
    int views;   /* events whose data lies in it */
    bool refuse;
};

static status record_event(void *context, const struct sse_event *event)
{
    struct record *record = context;
    if (record->refuse) return FAIL(TOO_LARGE);
    buffer_append(&record->text, event->name);
    buffer_append_char(&record->text, '|');
    buffer_append(&record->text, event->data);
    buffer_append_char(&record->text, '\n');
    record->views += event->data.data >= record->piece.data &&
                     event->data.data + event->data.len <= record->piece.data + record->piece.len;
    return OK;
}

/* Each piece is a copy of its own on the heap, so that a view that outlives it is found by the
 * sanitizer. */
static status feed_in_pieces(struct record *record, slice bytes, size_t piece_len)
{
    struct sse_parser parser;
    sse_init(&parser, record_event, record);
    buffer_clear(&record->text);
    record->views = 0;
    status result = OK;
    for (size_t at = 0; at < bytes.len && status_ok(result); at += piece_len) {
        slice piece = slice_first(slice_from(bytes, at), piece_len);
        char *copy = malloc(piece.len);
        memcpy(copy, piece.data, piece.len);
        record->piece = (slice){copy, piece.len};
        result = sse_feed(&parser, record->piece);
        record->piece = SLICE_NONE;
        free(copy);
    }
    if (status_ok(result)) result = sse_finish(&parser);
    sse_free(&parser);
    return result;
}

static void expect(slice bytes, const char *events)
{
    struct record record = {0};
    buffer_init(&record.text, 1 << 24);
    for (size_t piece_len = 1; piece_len <= bytes.len + 1; piece_len++) {
        assert_ok(feed_in_pieces(&record, bytes, piece_len));
        assert_slice(buffer_slice(&record.text), events);
    }
    buffer_free(&record.text);
}

TEST(events_are_the_same_however_their_bytes_are_cut)
{
    expect(SLICE("data: one\n\ndata: zw\xc3\xb6lf\n\ndata: {\"a\":\"\xf0\x9f\x98\x80\"}\n\n"),
           "|one\n|zw\xc3\xb6lf\n|{\"a\":\"\xf0\x9f\x98\x80\"}\n");
}

TEST(lines_end_with_line_feed_carriage_return_or_both)
{
    expect(SLICE("data: a\r\n\r\ndata: b\r\rdata: c\n\n"), "|a\n|b\n|c\n");
    expect(SLICE("data: a\r\ndata: b\r\n\r\n"), "|a\nb\n");
    /* A line feed behind a carriage return is part of one end; two of each are two ends. */
    expect(SLICE("event: x\rdata: a\r\n\n"), "x|a\n");
}

TEST(several_data_lines_are_joined_with_line_feeds)
{
    expect(SLICE("data: {\ndata: \"a\":1\ndata:}\n\n"), "|{\n\"a\":1\n}\n");
    expect(SLICE("data:\ndata:\n\n"), "|\n\n");
    expect(SLICE("data\n\n"), "|\n"); /* a field without a colon has the empty value */
}

TEST(one_space_behind_the_colon_is_dropped_and_no_more)
{
    expect(SLICE("data:a\n\ndata:  b \n\n"), "|a\n| b \n");
}

TEST(comments_and_unknown_fields_are_skipped)
{
    expect(SLICE(": keep-alive\n\n:\n\nid: 7\nretry: 10\ndatum: x\nData: y\ndata: z\n\n"), "|z\n");
    expect(SLICE(": only a comment\n\n"), "");
    expect(SLICE("event: nothing\n\ndata: x\n\n"), "|x\n"); /* without data there is no event */
}

TEST(an_event_has_the_name_of_its_last_event_field)
{
    expect(SLICE("event: a\nevent: b\ndata: 1\n\ndata: 2\n\n"), "b|1\n|2\n");
    expect(SLICE("event: 0123456789012345678901234567890123456789\ndata: 1\n\n"),
           "01234567890123456789012345678901|1\n");
}

TEST(a_byte_order_mark_is_dropped_at_the_very_start_only)
{
    expect(SLICE("\xEF\xBB\xBF"
                 "data: a\n\n\xEF\xBB\xBF"
                 "data: b\n\n"),
           "|a\n");
}

TEST(a_last_event_counts_without_its_empty_line)
{
    expect(SLICE("data: a\n\ndata: [DONE]"), "|a\n|[DONE]\n");
    expect(SLICE("data: [DONE]\n"), "|[DONE]\n");
    expect(SLICE(""), "");
    expect(SLICE("da"), "");
}

TEST(an_event_that_lies_in_one_piece_is_not_copied)
{
    struct record record = {0};
    buffer_init(&record.text, 1 << 24);
    slice bytes = SLICE("data: one\n\ndata: two\n\nevent: x\ndata: three\n\n");
    assert_ok(feed_in_pieces(&record, bytes, bytes.len));
    assert_int_equal(record.views, 3);
    assert_ok(feed_in_pieces(&record, bytes, 22)); /* cut after the second event */
    assert_int_equal(record.views, 3);
    assert_ok(feed_in_pieces(&record, bytes, 16)); /* cut inside the second and the third */
    assert_int_equal(record.views, 1);
    buffer_free(&record.text);
}

TEST(an_event_above_the_bound_is_malformed)
{
    static char bytes[SSE_EVENT_SIZE_MAX + 64];
    memset(bytes, 'x', sizeof(bytes));
    memcpy(bytes, "data: ", 6);
    struct record record = {0};
    buffer_init(&record.text, 1 << 24);
    /* As one piece, in pieces, and as many short lines. */
    bytes[6 + SSE_EVENT_SIZE_MAX] = '\n';
    assert_ok(feed_in_pieces(&record, (slice){bytes, 7 + SSE_EVENT_SIZE_MAX}, sizeof(bytes)));
    bytes[6 + SSE_EVENT_SIZE_MAX] = 'x';
    bytes[7 + SSE_EVENT_SIZE_MAX] = '\n';
    slice above = {bytes, 8 + SSE_EVENT_SIZE_MAX};
    assert_fails(feed_in_pieces(&record, above, sizeof(bytes)), MALFORMED);
    assert_fails(feed_in_pieces(&record, above, 4096), MALFORMED);
    for (size_t at = 0; at + 16 <= sizeof(bytes); at += 16) {
        memcpy(bytes + at, "data: 012345678\n", 16);
    }
    /* 65540 lines of nine bytes and their line feeds are well below the bound. */
    assert_ok(feed_in_pieces(&record, (slice){bytes, sizeof(bytes)}, 1000));
    buffer_free(&record.text);
}

TEST(a_failing_sink_ends_the_feeding)
{
    struct record record = {.refuse = true};
    buffer_init(&record.text, 1 << 24);
    assert_fails(feed_in_pieces(&record, SLICE("data: a\n\ndata: b\n\n"), 100), TOO_LARGE);
    buffer_free(&record.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_the_same_however_their_bytes_are_cut),
        cmocka_unit_test(lines_end_with_line_feed_carriage_return_or_both),
        cmocka_unit_test(several_data_lines_are_joined_with_line_feeds),
        cmocka_unit_test(one_space_behind_the_colon_is_dropped_and_no_more),
        cmocka_unit_test(comments_and_unknown_fields_are_skipped),
        cmocka_unit_test(an_event_has_the_name_of_its_last_event_field),
        cmocka_unit_test(a_byte_order_mark_is_dropped_at_the_very_start_only),
        cmocka_unit_test(a_last_event_counts_without_its_empty_line),
        cmocka_unit_test(an_event_that_lies_in_one_piece_is_not_copied),
        cmocka_unit_test(an_event_above_the_bound_is_malformed),
        cmocka_unit_test(a_failing_sink_ends_the_feeding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
