/* SPDX-License-Identifier: Apache-2.0 */
/* The encoders, decoders and names of messages.def, each by including the list once more, and the
 * head of a frame. Nothing here knows what a message means. A frame that does not fit its buffer is
 * taken back whole, so that half a frame can never be sent. */
#include "shared/ipc/message.h"

/* Offsets in the head: u32 length of the body, u16 type, u16 flags, u64 request id. */
enum { HEAD_LENGTH = 0, HEAD_TYPE = 4, HEAD_FLAGS = 6, HEAD_REQUEST = 8 };

static size_t frame_begin(struct buffer *out, uint16_t type, uint64_t request);
static void frame_end(struct buffer *out, size_t start);
static void store_integer(uint8_t *at, uint64_t value, size_t size);
static uint64_t load_integer(const uint8_t *at, size_t size);

#define MESSAGE(name, number, since)                                 \
    void message_encode_##name(struct buffer *out, uint64_t request, \
                               const struct message_##name *m)       \
    {                                                                \
        size_t start = frame_begin(out, number, request);
#define FIELD(kind, name) codec_put_##kind(out, &m->name);
#define TEXT(name, max)   codec_put_text(out, m->name, max);
#define END(name)          \
    frame_end(out, start); \
    }
#include "shared/ipc/messages.def"
#undef MESSAGE
#undef FIELD
#undef TEXT
#undef END

#define MESSAGE(name, number, since)                                   \
    status message_decode_##name(slice body, struct message_##name *m) \
    {                                                                  \
        const uint8_t *bytes = (const uint8_t *)body.data;             \
        struct codec_reader in = {.at = bytes, .end = bytes + body.len};
#define FIELD(kind, name) codec_get_##kind(&in, &m->name);
#define TEXT(name, max)   codec_get_text(&in, &m->name, max);
#define END(name)                         \
    return in.bad ? FAIL(MALFORMED) : OK; \
    }
#include "shared/ipc/messages.def"
#undef MESSAGE
#undef FIELD
#undef TEXT
#undef END

static const char *const names[] = {
#define MESSAGE(name, number, since) [number] = #name,
#define FIELD(kind, name)
#define TEXT(name, max)
#define END(name)
#include "shared/ipc/messages.def"
#undef MESSAGE
#undef FIELD
#undef TEXT
#undef END
};

status frame_next(slice bytes, struct frame *frame, size_t *taken)
{
    if (bytes.len < FRAME_HEAD_SIZE) return FAIL(END);
    const uint8_t *head = (const uint8_t *)bytes.data;
    uint64_t length = load_integer(head + HEAD_LENGTH, 4);
    if (length > FRAME_SIZE_MAX - FRAME_HEAD_SIZE) return FAIL(MALFORMED);
    if (bytes.len - FRAME_HEAD_SIZE < length) return FAIL(END);
    *frame = (struct frame){
        .type = (uint16_t)load_integer(head + HEAD_TYPE, 2),
        .flags = (uint16_t)load_integer(head + HEAD_FLAGS, 2),
        .request = load_integer(head + HEAD_REQUEST, 8),
        .body = {bytes.data + FRAME_HEAD_SIZE, (size_t)length},
    };
    *taken = FRAME_HEAD_SIZE + (size_t)length;
    return OK;
}

const char *message_name(uint16_t type)
{
    const char *name = type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
    return name == NULL ? "unknown" : name;
}

/* The length is filled in by frame_end(). Offsets are kept, not pointers: the buffer may move. */
static size_t frame_begin(struct buffer *out, uint16_t type, uint64_t request)
{
    uint8_t head[FRAME_HEAD_SIZE] = {0};
    store_integer(head + HEAD_TYPE, type, 2);
    store_integer(head + HEAD_REQUEST, request, 8);
    size_t start = out->len;
    buffer_append_bytes(out, head, sizeof(head));
    return start;
}

static void frame_end(struct buffer *out, size_t start)
{
    if (out->overflowed) {
        out->len = start;
        return;
    }
    store_integer((uint8_t *)out->data + start + HEAD_LENGTH, out->len - start - FRAME_HEAD_SIZE,
                  4);
}

static void store_integer(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t load_integer(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}
