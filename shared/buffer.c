/* SPDX-License-Identifier: Apache-2.0 */
/* Growth by doubling, never past the cap. Every append goes through buffer_reserve(), the one way
 * to room that compares lengths. After an overflow nothing more is taken in: a run of bytes with a
 * hole in it would be worse than a short one. */
#include "shared/buffer.h"

#include <stdlib.h>
#include <unistd.h>

#define BUFFER_SIZE_MIN ((size_t)256)

static void buffer_grow(struct buffer *b, size_t size);

void buffer_init(struct buffer *b, size_t size_max)
{
    *b = (struct buffer){.size_max = size_max};
}

void buffer_init_fixed(struct buffer *b, void *memory, size_t size)
{
    *b = (struct buffer){.data = memory, .size = size, .size_max = size, .fixed = true};
}

void buffer_free(struct buffer *b)
{
    if (!b->fixed) free(b->data);
    *b = (struct buffer){.size_max = b->fixed ? 0 : b->size_max};
}

void buffer_clear(struct buffer *b)
{
    b->len = 0;
    b->overflowed = false;
}

void buffer_trim(struct buffer *b, size_t size_kept)
{
    if (b->size > size_kept)
        buffer_free(b);
    else
        buffer_clear(b);
}

char *buffer_reserve_more(struct buffer *b, size_t len)
{
    if (b->overflowed || len > b->size_max - b->len) {
        b->overflowed = true;
        return NULL;
    }
    if (!b->fixed) buffer_grow(b, b->len + len);
    return b->data + b->len;
}

void buffer_append_i64(struct buffer *b, int64_t value)
{
    if (value < 0) buffer_append_char(b, '-');
    buffer_append_u64(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buffer_append_u64(struct buffer *b, uint64_t value)
{
    size_t len = 1;
    for (uint64_t above = value / 10; above > 0; above /= 10)
        len++;
    char *room = buffer_reserve(b, len);
    if (room == NULL) return;
    b->len += len;
    for (; len > 0; value /= 10)
        room[--len] = (char)('0' + value % 10);
}

void buffer_append_hex(struct buffer *b, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char *room = buffer_reserve(b, 2 * len);
    if (room == NULL) return;
    for (size_t i = 0; i < len; i++) {
        room[2 * i] = digits[bytes[i] >> 4];
        room[2 * i + 1] = digits[bytes[i] & 15];
    }
    b->len += 2 * len;
}

void buffer_consume(struct buffer *b, size_t len)
{
    if (len >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
}

status buffer_finish(const struct buffer *b)
{
    return b->overflowed ? FAIL(OVERFLOW) : OK;
}

/* Called with size_needed <= size_max. */
static void buffer_grow(struct buffer *b, size_t size_needed)
{
    size_t size = b->size < BUFFER_SIZE_MIN ? BUFFER_SIZE_MIN : b->size;
    if (size > b->size_max) size = b->size_max;
    while (size < size_needed) {
        size = size > b->size_max / 2 ? b->size_max : size * 2;
    }
    char *data = realloc(b->data, size);
    if (data == NULL) {
        static const char message[] = "buffer: out of memory\n";
        (void)!write(STDERR_FILENO, message, sizeof(message) - 1);
        abort();
    }
    b->data = data;
    b->size = size;
}
