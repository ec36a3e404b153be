/* SPDX-License-Identifier: Apache-2.0 */
/* What falls out of messages.def: struct message_<name>, message_encode_<name>(),
 * message_decode_<name>(). A frame is a 16-byte head {length of what follows the head, type, flags,
 * request id} and the message's fields. */
#pragma once

#include "shared/ipc/codec.h"

#define MESSAGE_VERSION 1
#define FRAME_HEAD_SIZE 16
#define FRAME_SIZE_MAX  (64 * 1024) /* a larger frame closes the peer */

enum message_type {
#define MESSAGE(name, number, since) MESSAGE_##name = number,
#define FIELD(kind, name)
#define TEXT(name, max)
#define END(name)
#include "shared/ipc/messages.def"
#undef MESSAGE
#undef FIELD
#undef TEXT
#undef END
};

#define MESSAGE(name, number, since) struct message_##name {
#define FIELD(kind, name)            kind_##kind name;
#define TEXT(name, max)              slice name;
#define END(name) \
    }             \
    ;
#include "shared/ipc/messages.def"
#undef MESSAGE
#undef FIELD
#undef TEXT
#undef END

/* Appends a whole frame, head included. Decode: MALFORMED when a field breaks its bound. Texts are
 * views of `body`. */
#define MESSAGE(name, number, since)                                 \
    void message_encode_##name(struct buffer *out, uint64_t request, \
                               const struct message_##name *m);      \
    status message_decode_##name(slice body, struct message_##name *m);
#define FIELD(kind, name)
#define TEXT(name, max)
#define END(name)
#include "shared/ipc/messages.def"
#undef MESSAGE
#undef FIELD
#undef TEXT
#undef END

struct frame {
    uint16_t type;
    uint16_t flags; /* 0 today; unknown flags are ignored */
    uint64_t request;
    slice body;
};

/* The next whole frame at the front of `bytes`: END when more bytes are needed, MALFORMED when the
 * length is out of bounds. *taken is the number of bytes the frame occupies. */
status frame_next(slice bytes, struct frame *frame, size_t *taken);
const char *message_name(uint16_t type); /* "settle"; "unknown" */
