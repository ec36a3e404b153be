/* SPDX-License-Identifier: Apache-2.0 */
/* A view of bytes that somebody else owns. The only string type of the code base; C strings appear
 * at system calls and in literals. A slice is valid as long as its owner says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shared/status.h"

typedef struct {
    const char *data;
    size_t len;
} slice;

#define SLICE(literal) ((slice){"" literal, sizeof(literal) - 1})
/* The same for static tables, whose initializers must be constant. */
#define SLICE_INIT(literal)             \
    {                                   \
        "" literal, sizeof(literal) - 1 \
    }
#define SLICE_NONE ((slice){"", 0})

static inline slice slice_of(const char *c_string)
{
    return (slice){c_string, strlen(c_string)};
}

static inline bool slice_equal(slice a, slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Empty when offset is past the end. */
static inline slice slice_from(slice s, size_t offset)
{
    return offset >= s.len ? SLICE_NONE : (slice){s.data + offset, s.len - offset};
}

static inline slice slice_first(slice s, size_t len_max)
{
    return (slice){s.data, s.len < len_max ? s.len : len_max};
}

bool slice_equal_nocase_bytes(const char *a, const char *b, size_t len); /* ASCII only */
static inline bool slice_equal_nocase(slice a, slice b)
{
    if (slice_equal(a, b)) return true; /* what is compared is mostly written as expected */
    return a.len == b.len && slice_equal_nocase_bytes(a.data, b.data, a.len);
}
bool slice_starts_with(slice s, slice prefix);
bool slice_ends_with(slice s, slice suffix);
slice slice_trim(slice s); /* spaces and tabs at both ends */

/* Drop the first character if it is c; answers whether it was. For small parsers that read from the
 * front. */
bool slice_take_char(slice *s, char c);

/* Split at the first separator: *head is what stands before it, *rest what follows. Without a
 * separator *head is the whole and *rest empty; answers whether there was one. */
bool slice_split(slice s, char separator, slice *head, slice *rest);

/* Whole slice as a decimal integer. BAD_REQUEST on anything else than -?[0-9]+ , OUT_OF_RANGE on
 * overflow. */
status slice_to_i64(slice s, int64_t *value);
status slice_to_u64(slice s, uint64_t *value);

/* Hexadecimal: exactly 2·bytes digits, upper or lower case; MALFORMED otherwise. */
status slice_from_hex(slice hex, uint8_t *bytes, size_t bytes_len);

/* A NUL-terminated copy into a caller's array; OVERFLOW when it does not fit or holds a NUL. */
status slice_to_c_string(slice s, char *out, size_t out_size);
