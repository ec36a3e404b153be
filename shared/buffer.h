/* SPDX-License-Identifier: Apache-2.0 */
/* A growing run of bytes with a cap. Appends never fail one by one: the first that would pass the
 * cap marks the buffer `overflowed`, drops the bytes, and buffer_finish() reports it once. Until
 * buffer_clear() nothing more is taken in, so a buffer never has a hole. */
#pragma once

#include "shared/slice.h"

struct buffer {
    char *data;
    size_t len;
    size_t size;     /* allocated; never above the cap */
    size_t size_max; /* cap; a fixed buffer has size == size_max and owns nothing */
    bool fixed;
    bool overflowed;
};

void buffer_init(struct buffer *b, size_t size_max);
void buffer_init_fixed(struct buffer *b, void *memory, size_t size); /* memory is the caller's */
void buffer_free(struct buffer *b);
void buffer_clear(struct buffer *b);                  /* keeps the memory, clears `overflowed` */
void buffer_trim(struct buffer *b, size_t size_kept); /* the same, but keeps no more than that */

/* Makes room where buffer_reserve() finds none. */
char *buffer_reserve_more(struct buffer *b, size_t len);

/* Room for `len` more bytes at data + len (the caller writes, then adds to len); NULL (and
 * overflowed) when past the cap. Inline, because answers are put together in pieces of a few
 * bytes. */
static inline char *buffer_reserve(struct buffer *b, size_t len)
{
    if (b->data == NULL || b->overflowed || len > b->size - b->len)
        return buffer_reserve_more(b, len);
    return b->data + b->len;
}

static inline void buffer_append_bytes(struct buffer *b, const void *bytes, size_t len)
{
    if (len == 0) return;
    char *room = buffer_reserve(b, len);
    if (room == NULL) return;
    memcpy(room, bytes, len);
    b->len += len;
}
static inline void buffer_append(struct buffer *b, slice s)
{
    buffer_append_bytes(b, s.data, s.len);
}
static inline void buffer_append_char(struct buffer *b, char c)
{
    buffer_append_bytes(b, &c, 1);
}
void buffer_append_i64(struct buffer *b, int64_t value);
void buffer_append_u64(struct buffer *b, uint64_t value);
void buffer_append_hex(struct buffer *b, const uint8_t *bytes, size_t len); /* lower case */
void buffer_consume(struct buffer *b, size_t len); /* drop from the front */

static inline slice buffer_slice(const struct buffer *b)
{
    return (slice){b->data == NULL ? "" : b->data, b->len};
}

/* OVERFLOW if any append was dropped. */
status buffer_finish(const struct buffer *b);
