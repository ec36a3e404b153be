/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at, cutting and reading slices. Nothing is copied but in the two functions that say so.
 * Numbers are read digit by digit with a check before each step, never by the C library's readers,
 * which skip spaces, follow the locale and need a NUL. */
#include "shared/slice.h"

static char to_lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool slice_equal_nocase_bytes(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (to_lower(a[i]) != to_lower(b[i])) return false;
    }
    return true;
}

bool slice_starts_with(slice s, slice prefix)
{
    return s.len >= prefix.len && slice_equal(slice_first(s, prefix.len), prefix);
}

bool slice_ends_with(slice s, slice suffix)
{
    return s.len >= suffix.len && slice_equal(slice_from(s, s.len - suffix.len), suffix);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

slice slice_trim(slice s)
{
    while (s.len > 0 && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.data[s.len - 1])) {
        s.len--;
    }
    return s;
}

bool slice_take_char(slice *s, char c)
{
    if (s->len == 0 || s->data[0] != c) return false;
    *s = slice_from(*s, 1);
    return true;
}

bool slice_split(slice s, char separator, slice *head, slice *rest)
{
    const char *found = s.len == 0 ? NULL : memchr(s.data, separator, s.len);
    if (found == NULL) {
        *head = s;
        *rest = SLICE_NONE;
        return false;
    }
    size_t offset = (size_t)(found - s.data);
    *head = slice_first(s, offset);
    *rest = slice_from(s, offset + 1);
    return true;
}

/* Digits only, at least one. The whole text is checked before its size, so that "99…9x" is refused
 * as text that is no number and not as a number that is too large. */
static status read_digits(slice digits, uint64_t *value)
{
    if (digits.len == 0) return FAIL(BAD_REQUEST);
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') return FAIL(BAD_REQUEST);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < digits.len; i++) {
        uint64_t digit = (uint64_t)(digits.data[i] - '0');
        if (__builtin_mul_overflow(sum, 10u, &sum) || __builtin_add_overflow(sum, digit, &sum)) {
            return FAIL(OUT_OF_RANGE);
        }
    }
    *value = sum;
    return OK;
}

status slice_to_i64(slice s, int64_t *value)
{
    bool negative = s.len > 0 && s.data[0] == '-';
    uint64_t magnitude = 0;
    TRY(read_digits(negative ? slice_from(s, 1) : s, &magnitude));
    uint64_t magnitude_max = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    if (magnitude > magnitude_max) return FAIL(OUT_OF_RANGE);
    /* Unsigned arithmetic wraps, so the magnitude of INT64_MIN needs no case of its own. */
    *value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return OK;
}

status slice_to_u64(slice s, uint64_t *value)
{
    bool negative = s.len > 0 && s.data[0] == '-';
    uint64_t magnitude = 0;
    TRY(read_digits(negative ? slice_from(s, 1) : s, &magnitude));
    if (negative && magnitude > 0) return FAIL(OUT_OF_RANGE);
    *value = magnitude;
    return OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

status slice_from_hex(slice hex, uint8_t *bytes, size_t bytes_len)
{
    if (hex.len % 2 != 0 || hex.len / 2 != bytes_len) return FAIL(MALFORMED);
    for (size_t i = 0; i < bytes_len; i++) {
        int high = hex_digit(hex.data[2 * i]);
        int low = hex_digit(hex.data[2 * i + 1]);
        if (high < 0 || low < 0) return FAIL(MALFORMED);
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return OK;
}

status slice_to_c_string(slice s, char *out, size_t out_size)
{
    if (s.len >= out_size) return FAIL(OVERFLOW);
    if (s.len > 0) {
        if (memchr(s.data, '\0', s.len) != NULL) return FAIL(OVERFLOW);
        memcpy(out, s.data, s.len);
    }
    out[s.len] = '\0';
    return OK;
}
