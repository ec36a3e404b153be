/* SPDX-License-Identifier: Apache-2.0 */
/* Answers as bytes: which heads are refused, how a body is delimited, and that it makes no
 * difference in which pieces the bytes arrive. */
#include "services/edge/upstream/http.h"

#include <stdlib.h>

#include "tests/unit/test.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

/* Reads a head from memory of exactly its size. */
static status read_head(const char *text, bool method_is_head, struct upstream_answer *answer)
{
    size_t len = strlen(text);
    char *bytes = malloc(len);
    assert_non_null(bytes);
    memcpy(bytes, text, len);
    status read = upstream_answer_read((h2o_iovec_t){bytes, len}, 0, method_is_head, answer);
    free(bytes);
    return read;
}

static void expect_framing(const char *text, enum upstream_framing framing, uint64_t length,
                           bool reusable)
{
    struct upstream_answer answer;
    assert_ok(read_head(text, false, &answer));
    assert_int_equal(answer.body.framing, framing);
    assert_int_equal(answer.body.left, length);
    assert_int_equal(answer.body.reusable, reusable);
    assert_int_equal(answer.len, strlen(text));
}

TEST(a_length_or_chunks_or_neither_delimit_a_body)
{
    expect_framing(OK_HEAD "Content-Length: 17\r\n\r\n", FRAMING_LENGTH, 17, true);
    expect_framing(OK_HEAD "Transfer-Encoding: Chunked\r\n\r\n", FRAMING_CHUNKED, 0, true);
    expect_framing(OK_HEAD "\r\n", FRAMING_UNTIL_CLOSE, 0, false);
    expect_framing(OK_HEAD "transfer-encoding: identity\r\n\r\n", FRAMING_UNTIL_CLOSE, 0, false);
    expect_framing(OK_HEAD "transfer-encoding: identity\r\ncontent-length: 3 \r\n\r\n",
                   FRAMING_LENGTH, 3, true);
    expect_framing(OK_HEAD "content-length: 3\r\nContent-length: 3\r\n\r\n", FRAMING_LENGTH, 3,
                   true);
}

TEST(some_answers_have_no_body_whatever_their_head_says)
{
    expect_framing("HTTP/1.1 204 No\r\ncontent-length: 3\r\n\r\n", FRAMING_NONE, 3, true);
    expect_framing("HTTP/1.1 304 No\r\n\r\n", FRAMING_NONE, 0, true);
    expect_framing("HTTP/1.1 100 Go\r\n\r\n", FRAMING_NONE, 0, true);
    struct upstream_answer answer;
    assert_ok(read_head(OK_HEAD "content-length: 3\r\n\r\n", true, &answer));
    assert_int_equal(answer.body.framing, FRAMING_NONE);
}

TEST(a_connection_serves_again_only_when_version_and_words_agree)
{
    expect_framing(OK_HEAD "content-length: 0\r\nconnection: close\r\n\r\n", FRAMING_LENGTH, 0,
                   false);
    expect_framing(OK_HEAD "content-length: 0\r\nConnection: te ,CLOSE, x\r\n\r\n", FRAMING_LENGTH,
                   0, false);
    expect_framing(OK_HEAD "content-length: 0\r\nconnection: closed\r\n\r\n", FRAMING_LENGTH, 0,
                   true);
    expect_framing("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", FRAMING_LENGTH, 0, false);
    expect_framing("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n",
                   FRAMING_LENGTH, 0, true);
    expect_framing(
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n",
        FRAMING_CHUNKED, 0, false);
}

TEST(heads_that_two_readers_could_read_differently_are_refused)
{
    static const char *const heads[] = {
        OK_HEAD "transfer-encoding: gzip\r\n\r\n",
        OK_HEAD "transfer-encoding: gzip, chunked\r\n\r\n",
        OK_HEAD "transfer-encoding: \r\n\r\n",
        OK_HEAD "transfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK_HEAD "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        OK_HEAD "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        OK_HEAD "content-length: 5\r\ncontent-length: 6\r\n\r\n",
        OK_HEAD "content-length: 5, 5\r\n\r\n",
        OK_HEAD "content-length: 5x\r\n\r\n",
        OK_HEAD "content-length: +5\r\n\r\n",
        OK_HEAD "content-length: -0\r\n\r\n",
        OK_HEAD "content-length: 0x5\r\n\r\n",
        OK_HEAD "content-length:\r\n\r\n",
        OK_HEAD "content-length: 18446744073709551616\r\n\r\n",
        OK_HEAD "content-length: 5\r\n 6\r\n\r\n",
        OK_HEAD "content-length : 5\r\n\r\n",
        OK_HEAD "no colon\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 099 Odd\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct upstream_answer answer;
        assert_fails(read_head(heads[i], false, &answer), BAD_FRAMING);
        assert_fails(read_head(heads[i], true, &answer), BAD_FRAMING);
    }
}

TEST(a_hundred_headers_are_read_and_one_more_is_refused)
{
    char text[1024] = OK_HEAD;
    for (int i = 0; i < 100; i++) {
        strcat(text, "a: b\r\n");
    }
    struct upstream_answer answer;
    size_t len = strlen(text);
    strcat(text, "\r\n");
    assert_ok(read_head(text, false, &answer));
    assert_int_equal(answer.head.header_count, 100);
    strcpy(text + len, "a: b\r\n\r\n");
    assert_fails(read_head(text, false, &answer), BAD_FRAMING);
}

/* What came of bytes that were fed piece by piece. */
struct reading {
    status result; /* END: not at its end */
    char content[256];
    size_t content_len;
    bool reusable;
};

/* The head is read from all bytes so far, the body from each piece, as they arrive. */
static struct reading feed(const char *text, size_t piece)
{
    struct reading reading = {.result = FAIL(END)};
    struct upstream_answer answer;
    char bytes[512];
    size_t len = strlen(text), taken = 0, seen = 0;
    bool headed = false;
    for (size_t arrived = 0; arrived < len && !(headed && answer.body.ended);) {
        arrived = arrived + piece < len ? arrived + piece : len;
        memcpy(bytes + taken, text + taken, arrived - taken);
        h2o_iovec_t input = {bytes + taken, arrived - taken};
        if (!headed) {
            reading.result = upstream_answer_read(input, seen, false, &answer);
            seen = input.len;
            if (reading.result.code == ERROR_END) continue;
            if (!status_ok(reading.result)) return reading;
            headed = true;
            taken += answer.len;
            input = (h2o_iovec_t){bytes + taken, arrived - taken};
        }
        slice content;
        reading.result = upstream_body_take(&answer.body, input, &content);
        memcpy(reading.content + reading.content_len, content.data, content.len);
        reading.content_len += content.len;
        if (!status_ok(reading.result)) return reading;
        taken = arrived;
        reading.result = answer.body.ended ? OK : FAIL(END);
        reading.reusable = answer.body.reusable;
    }
    return reading;
}

static void expect_content(const char *text, enum error_code result, const char *content)
{
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        struct reading reading = feed(text, piece);
        assert_int_equal(reading.result.code, result);
        assert_int_equal(reading.content_len, strlen(content));
        assert_memory_equal(reading.content, content, reading.content_len);
    }
}

#define CHUNKED OK_HEAD "transfer-encoding: chunked\r\nx-y: z\r\n\r\n"

TEST(the_pieces_in_which_an_answer_arrives_make_no_difference)
{
    expect_content(OK_HEAD "content-length: 5\r\n\r\nhello", ERROR_NONE, "hello");
    expect_content(CHUNKED "5\r\nhello\r\n6;x=\"y\"\r\n world\r\n0\r\n\r\n", ERROR_NONE,
                   "hello world");
    expect_content(CHUNKED "00A\r\n0123456789\r\n0\r\ntrailer: x\r\n\r\n", ERROR_NONE,
                   "0123456789");
    expect_content(OK_HEAD "\r\nhello", ERROR_END, "hello");
}

TEST(a_body_without_its_end_never_ends)
{
    expect_content(OK_HEAD "content-length: 6\r\n\r\nhello", ERROR_END, "hello");
    expect_content(CHUNKED "5\r\nhello\r\n", ERROR_END, "hello");
    expect_content(CHUNKED "5\r\nhello\r\n0\r\n", ERROR_END, "hello");
    expect_content(CHUNKED "ff\r\nhello", ERROR_END, "hello");
}

TEST(chunks_that_are_none_are_refused)
{
    expect_content(CHUNKED "5\r\nhelloX\r\n0\r\n\r\n", ERROR_BAD_FRAMING, "hello");
    expect_content(CHUNKED "zz\r\nhello", ERROR_BAD_FRAMING, "");
    expect_content(CHUNKED "-5\r\nhello", ERROR_BAD_FRAMING, "");
    expect_content(CHUNKED "11111111111111111\r\nhello", ERROR_BAD_FRAMING, "");
}

TEST(bytes_behind_the_end_make_the_connection_unusable)
{
    static const char exact[] = OK_HEAD "content-length: 2\r\n\r\nok";
    assert_true(feed(exact, sizeof(exact)).reusable);
    static const char more[] = OK_HEAD "content-length: 2\r\n\r\nok!";
    assert_false(feed(more, sizeof(more)).reusable);
    static const char chunks[] = CHUNKED "2\r\nok\r\n0\r\n\r\n!";
    assert_false(feed(chunks, sizeof(chunks)).reusable);
    static const char none[] = "HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\nok";
    assert_false(feed(none, sizeof(none)).reusable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_or_chunks_or_neither_delimit_a_body),
        cmocka_unit_test(some_answers_have_no_body_whatever_their_head_says),
        cmocka_unit_test(a_connection_serves_again_only_when_version_and_words_agree),
        cmocka_unit_test(heads_that_two_readers_could_read_differently_are_refused),
        cmocka_unit_test(a_hundred_headers_are_read_and_one_more_is_refused),
        cmocka_unit_test(the_pieces_in_which_an_answer_arrives_make_no_difference),
        cmocka_unit_test(a_body_without_its_end_never_ends),
        cmocka_unit_test(chunks_that_are_none_are_refused),
        cmocka_unit_test(bytes_behind_the_end_make_the_connection_unusable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
