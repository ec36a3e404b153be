/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a provider's HTTP answer, once as one piece and once cut by the input's first
 * bytes: status, content and end must be the same. Arriving bytes lie in heap memory of exactly
 * their size. */
#include <stdio.h>
#include <stdlib.h>

#include "services/edge/upstream/http.h"
#include "shared/buffer.h"

#define CONTENT_SIZE_MAX ((size_t)1 << 24)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held, const char *what)
{
    if (held) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

struct reading {
    status result; /* END: not at its end */
    int http_status;
    bool headed;
    struct upstream_body body;
    struct buffer content;
};

/* A socket's input: what came and was not consumed. */
static status read_input(struct reading *reading, char *input, size_t *len, size_t *seen)
{
    size_t consumed = 0;
    if (!reading->headed) {
        struct upstream_answer answer;
        status read = upstream_answer_read((h2o_iovec_t){input, *len}, *seen, false, &answer);
        *seen = *len;
        TRY(read);
        require(answer.len <= *len && answer.len <= UPSTREAM_ANSWER_HEAD_MAX, "a head is bounded");
        reading->headed = true;
        reading->http_status = answer.head.http_status;
        reading->body = answer.body;
        consumed = answer.len;
    }
    slice content;
    h2o_iovec_t rest = {input + consumed, *len - consumed};
    *len = 0;
    status taken = upstream_body_take(&reading->body, rest, &content);
    require(content.len <= rest.len, "content is part of what came");
    buffer_append(&reading->content, content);
    TRY(taken);
    return reading->body.ended ? OK : FAIL(END);
}

/* Pieces of 1 to 8 bytes, their lengths taken from the bits of `cuts`; 0: one piece. */
static void feed(slice bytes, uint64_t cuts, struct reading *reading)
{
    *reading = (struct reading){.result = FAIL(END)};
    buffer_init(&reading->content, CONTENT_SIZE_MAX);
    char *input = NULL;
    size_t len = 0, seen = 0;
    while (bytes.len > 0 && reading->result.code == ERROR_END) {
        slice piece = slice_first(bytes, cuts == 0 ? bytes.len : (size_t)(cuts & 7) + 1);
        cuts = cuts == 0 ? 0 : cuts >> 3 | cuts << 61;
        char *longer = malloc(len + piece.len);
        if (len > 0) memcpy(longer, input, len);
        memcpy(longer + len, piece.data, piece.len);
        free(input);
        input = longer;
        len += piece.len;
        bytes = slice_from(bytes, piece.len);
        reading->result = read_input(reading, input, &len, &seen);
    }
    free(input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t cuts;
    if (size < sizeof(cuts)) return 0;
    memcpy(&cuts, data, sizeof(cuts));
    slice bytes = {(const char *)data + sizeof(cuts), size - sizeof(cuts)};

    struct reading whole, pieces;
    feed(bytes, 0, &whole);
    feed(bytes, cuts | (uint64_t)1 << 63, &pieces);
    require(whole.headed == pieces.headed, "a head is a head however it comes");
    /* What is none may be refused sooner or later. */
    if (whole.headed) {
        require(whole.result.code == pieces.result.code, "the end does not depend on pieces");
        require(whole.http_status == pieces.http_status, "nor does the status");
        require(slice_equal(buffer_slice(&whole.content), buffer_slice(&pieces.content)),
                "nor does the content");
    }
    if (whole.body.ended && whole.body.framing == FRAMING_UNTIL_CLOSE)
        require(false, "a body until the end of the connection has no other end");
    buffer_free(&whole.content);
    buffer_free(&pieces.content);
    return 0;
}
