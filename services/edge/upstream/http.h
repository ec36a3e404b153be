/* SPDX-License-Identifier: Apache-2.0 */
/* What the bytes of an HTTP/1 answer say: its head, how its body is delimited, and what of the
 * arriving bytes belongs to it. Bytes stay where they are, and sockets are not known here. What
 * two readers could read differently is refused. Inside of the upstream client only. */
#pragma once

#include "services/edge/upstream/upstream.h"

#define UPSTREAM_ANSWER_HEAD_MAX    (64u * 1024)
#define UPSTREAM_ANSWER_HEADERS_MAX 100

enum upstream_framing {
    FRAMING_NONE,        /* no body: a HEAD was asked, or the status has none */
    FRAMING_LENGTH,      /* Content-Length */
    FRAMING_CHUNKED,     /* Transfer-Encoding: chunked */
    FRAMING_UNTIL_CLOSE, /* neither */
};

/* The state of picohttpparser's decoder, which libh2o exports without a header file. */
struct phr_chunked_decoder {
    size_t bytes_left_in_chunk;
    char consume_trailer;
    char hex_count;
    char state;
};

struct upstream_body {
    enum upstream_framing framing;
    bool reusable; /* after the end of the body the connection can serve again */
    bool ended;
    uint64_t left; /* of FRAMING_LENGTH */
    struct phr_chunked_decoder chunks;
};

struct upstream_answer {
    struct upstream_head head; /* views into the bytes */
    size_t len;                /* of the head */
    struct upstream_body body;
    struct upstream_header headers[UPSTREAM_ANSWER_HEADERS_MAX];
};

/* Reads the head at the start of `bytes` and puts its names into lower case there. `seen`: so many
 * of the bytes were there when END was answered last. An informational head (1xx) is read like any
 * other; what follows it is the caller's affair. END: more bytes are needed. BAD_FRAMING: not
 * HTTP/1, another protocol, or a body that nobody could delimit for sure. TOO_LARGE. */
status upstream_answer_read(h2o_iovec_t bytes, size_t seen, bool method_is_head,
                            struct upstream_answer *answer);

/* Takes all that arrived. The content is put together at the start of `bytes`. Bytes after the end
 * of the body are nobody's: they make body->reusable false. BAD_FRAMING: chunks that are none; the
 * content before them is there. */
status upstream_body_take(struct upstream_body *body, h2o_iovec_t bytes, slice *content);
