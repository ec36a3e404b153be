/* SPDX-License-Identifier: Apache-2.0 */
/* How to speak to one family of providers: encode a request into pieces of the client's own
 * body, decode an answer into events. A dialect keeps its state in a struct of its own inside
 * `struct decoder`. Parsing code: nothing here asserts on a provider's bytes. */
#pragma once

#include "services/edge/event.h"
#include "services/edge/market.h"
#include "shared/arena.h"
#include "shared/buffer.h"
#include "shared/h2o.h"
#include "shared/json/read.h"

struct encode_request {
    const struct json_document *body; /* the client's request, parsed */
    const struct market_endpoint *endpoint;
    bool stream;
    uint32_t output_max; /* the bound of the hold; sent as max_tokens */
    struct arena *arena;
};
#define ENCODE_PIECES_MAX 64
struct encoded_request {
    slice path; /* goes behind the provider's base URL: "/chat/completions" */
    h2o_iovec_t pieces[ENCODE_PIECES_MAX]; /* views of the client's body and of the arena */
    size_t piece_count;
};

/* What decoding needs of memory, kept from one answer to the next. One decoder has it at a time. */
struct decode_memory {
    struct json_document document; /* its values_max is each decoder's own */
    struct arena scratch;          /* unescaped texts of one chunk or body */
    struct buffer body;            /* of an answer that is decoded at its end */
};
void decode_memory_init(struct decode_memory *memory);
/* After an answer: gives back what an ordinary one does not need. */
void decode_memory_trim(struct decode_memory *memory);
void decode_memory_free(struct decode_memory *memory);

struct decode_request {
    struct arena *arena; /* of the answer */
    struct decode_memory *memory;
    bool stream; /* server-sent events; else one JSON body fed in pieces and decoded at the end */
    event_sink sink;
    void *context; /* of the sink */
};
struct decoder; /* of one answer */
struct dialect_row {
    const char *name;
    status (*encode)(const struct encode_request *request, struct encoded_request *out);
    status (*decoder_new)(const struct decode_request *request, struct decoder **decoder);
    /* Feed bytes as they come. MALFORMED: the provider answered nonsense. A failure of the sink
     * is passed on. */
    status (*decoder_feed)(struct decoder *decoder, slice bytes);
    /* HTTP's end of the body; emits what is pending. EVENT_DONE only when the protocol's own end
     * was seen. */
    status (*decoder_finish)(struct decoder *decoder);
    /* Not inside the sink. */
    void (*decoder_free)(struct decoder **decoder);
    /* A non-2xx answer's body → the class, and a message for the client (arena). */
    enum attempt_result (*classify)(int http_status, slice body, struct arena *arena,
                                    slice *message);
};
extern const struct dialect_row dialect_openai;
const struct dialect_row *dialect_of(enum dialect dialect); /* NULL: not spoken yet */
