/* SPDX-License-Identifier: Apache-2.0 */
/* Binary arrays, big-endian: number of dimensions (0 for an empty array), flags, element type, then
 * per dimension its length and lower bound, then per element its length and bytes. */
#include "shared/db_arrays.h"

#include <endian.h>

#include "shared/buffer.h"

/* Element types: rows of pg_type that are fixed for ever. */
enum { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25 };

#define EMPTY_SIZE 12 /* dimensions, flags, type */
#define HEAD_SIZE  20 /* the same, then length and lower bound of the one dimension */

static uint8_t *put_head(uint8_t *at, uint32_t element_type, size_t count);
static uint8_t *put_u32(uint8_t *at, uint32_t value);
static uint8_t *put_u64(uint8_t *at, uint64_t value);

status db_array_of_numbers(struct arena *arena, const int64_t *numbers, size_t count, slice *array)
{
    if (count > arena->size_max) return FAIL(TOO_LARGE);
    size_t size = count == 0 ? EMPTY_SIZE : HEAD_SIZE + count * (4 + sizeof(int64_t));
    uint8_t *bytes = arena_alloc_unset(arena, 1, size);
    if (bytes == NULL) return FAIL(TOO_LARGE);
    uint8_t *at = put_head(bytes, OID_INT8, count);
    for (size_t i = 0; i < count; i++) {
        at = put_u32(at, sizeof(int64_t));
        at = put_u64(at, (uint64_t)numbers[i]);
    }
    *array = (slice){(const char *)bytes, size};
    return OK;
}

status db_array_of_slices(struct arena *arena, bool bytea, const slice *items, size_t count,
                          slice *array)
{
    size_t size = count == 0 ? EMPTY_SIZE : HEAD_SIZE;
    for (size_t i = 0; i < count; i++) {
        if (items[i].len > arena->size_max || size > arena->size_max) return FAIL(TOO_LARGE);
        size += 4 + items[i].len;
    }
    uint8_t *bytes = arena_alloc_unset(arena, 1, size);
    if (bytes == NULL) return FAIL(TOO_LARGE);
    uint8_t *at = put_head(bytes, bytea ? OID_BYTEA : OID_TEXT, count);
    for (size_t i = 0; i < count; i++) {
        at = put_u32(at, (uint32_t)items[i].len);
        if (items[i].len == 0) continue;
        memcpy(at, items[i].data, items[i].len);
        at += items[i].len;
    }
    *array = (slice){(const char *)bytes, size};
    return OK;
}

status db_array_integer_text(struct arena *arena, int64_t number, slice *text)
{
    char digits[24]; /* INT64_MIN has 20 characters */
    struct buffer out;
    buffer_init_fixed(&out, digits, sizeof(digits));
    buffer_append_i64(&out, number);
    *text = arena_copy(arena, buffer_slice(&out));
    return text->data == NULL ? FAIL(TOO_LARGE) : OK;
}

static uint8_t *put_head(uint8_t *at, uint32_t element_type, size_t count)
{
    at = put_u32(at, count == 0 ? 0 : 1);
    at = put_u32(at, 0); /* no element is NULL */
    at = put_u32(at, element_type);
    if (count == 0) return at;
    at = put_u32(at, (uint32_t)count);
    return put_u32(at, 1);
}

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
    uint32_t big_endian = htobe32(value);
    memcpy(at, &big_endian, sizeof(big_endian));
    return at + sizeof(big_endian);
}

static uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    uint64_t big_endian = htobe64(value);
    memcpy(at, &big_endian, sizeof(big_endian));
    return at + sizeof(big_endian);
}
