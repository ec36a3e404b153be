/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of frames as a peer could send it: nothing may be read past its end, and what a decoder
 * accepts its encoder writes so that the decoder accepts it again and the bytes stay the same. */
#include <assert.h>

#include "shared/ipc/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_frame(const struct frame *frame);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice rest = {(const char *)data, size};
    for (;;) {
        struct frame frame;
        size_t taken = 0;
        if (!status_ok(frame_next(rest, &frame, &taken))) return 0;
        assert(taken >= FRAME_HEAD_SIZE && taken <= rest.len && taken <= FRAME_SIZE_MAX);
        assert(frame.body.len == taken - FRAME_HEAD_SIZE);
        check_frame(&frame);
        rest = slice_from(rest, taken);
    }
}

#define MESSAGE(name, number, since)                                          \
    static void check_##name(const struct frame *frame, struct buffer *first, \
                             struct buffer *second)                           \
    {                                                                         \
        struct message_##name m;                                              \
        if (!status_ok(message_decode_##name(frame->body, &m))) return;       \
        message_encode_##name(first, frame->request, &m);                     \
        slice body = slice_from(buffer_slice(first), FRAME_HEAD_SIZE);        \
        status again = message_decode_##name(body, &m);                       \
        assert(status_ok(again));                                             \
        message_encode_##name(second, frame->request, &m);                    \
    }
#define FIELD(kind, name)
#define TEXT(name, max)
#define END(name)
#include "shared/ipc/messages.def"
#undef MESSAGE

static void check_frame(const struct frame *frame)
{
    static char memory[2][FRAME_SIZE_MAX];
    struct buffer first, second;
    buffer_init_fixed(&first, memory[0], sizeof(memory[0]));
    buffer_init_fixed(&second, memory[1], sizeof(memory[1]));
    switch (frame->type) {
#define MESSAGE(name, number, since)          \
    case number:                              \
        check_##name(frame, &first, &second); \
        break;
#include "shared/ipc/messages.def"
#undef MESSAGE
    default: break;
    }
    assert(!first.overflowed && slice_equal(buffer_slice(&first), buffer_slice(&second)));
}
