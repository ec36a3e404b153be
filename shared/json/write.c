/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON writer: commas, quotes and escapes, straight into a buffer. Whether the calls make
 * one whole value is the caller's duty. The complication: short strings that need no escape, which
 * most values are, are put down in one step. Others are copied in runs as long as
 * possible, 16 bytes looked at at a time, and a string that is not ASCII has its UTF-8 checked
 * once as a whole; only an invalid one is looked at character by character. */

#include <assert.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "shared/json/read.h"
#include "shared/json/walk.h"
#include "shared/json/write.h"

#define REPLACEMENT_CHARACTER SLICE("\xEF\xBF\xBD") /* U+FFFD */
#define SHORT_TEXT_LEN        64                    /* longer ones are quicker in runs */

static void write_string(struct json_writer *w, slice text);

/* ---- structure ------------------------------------------------------------------------------- */

void json_write_init(struct json_writer *w, struct buffer *out)
{
    *w = (struct json_writer){.out = out};
}

/* The bit of the container around this place. Outside of any there are no commas. */
static uint64_t write_depth_bit(const struct json_writer *w)
{
    return w->depth == 0 ? 0 : (uint64_t)1 << (w->depth - 1);
}

/* Before every value and key, with its comma: room for `len` bytes that follow, which the caller
 * writes and counts. NULL past the cap. */
static inline char *write_begin(struct json_writer *w, size_t len)
{
    const uint64_t bit = write_depth_bit(w);
    const bool comma = !w->after_key && (w->has_items & bit) != 0;
    w->has_items |= bit;
    w->after_key = false;
    char *room = buffer_reserve(w->out, len + comma);
    if (room == NULL || !comma) return room;
    *room = ',';
    w->out->len++;
    return room + 1;
}

static void write_open(struct json_writer *w, char bracket)
{
    assert(w->depth < JSON_DEPTH_MAX);
    json_raw_value(w, (slice){&bracket, 1});
    w->depth++;
    w->has_items &= ~write_depth_bit(w);
}

static void write_close(struct json_writer *w, char bracket)
{
    assert(w->depth > 0 && !w->after_key);
    buffer_append_char(w->out, bracket);
    w->depth--;
}

void json_object_begin(struct json_writer *w)
{
    write_open(w, '{');
}

void json_object_end(struct json_writer *w)
{
    write_close(w, '}');
}

void json_array_begin(struct json_writer *w)
{
    write_open(w, '[');
}

void json_array_end(struct json_writer *w)
{
    write_close(w, ']');
}

void json_key(struct json_writer *w, slice name)
{
    assert(w->depth > 0 && !w->after_key);
    const size_t len = name.len + 3;
    char *room = write_begin(w, len);
    w->after_key = true;
    if (room == NULL) return;
    room[0] = '"';
    memcpy(room + 1, name.data, name.len);
    room[len - 2] = '"';
    room[len - 1] = ':';
    w->out->len += len;
}

/* ---- values ---------------------------------------------------------------------------------- */

void json_string(struct json_writer *w, slice text)
{
    write_string(w, text);
}

void json_i64(struct json_writer *w, int64_t value)
{
    (void)write_begin(w, 0);
    buffer_append_i64(w->out, value);
}

void json_u64(struct json_writer *w, uint64_t value)
{
    (void)write_begin(w, 0);
    buffer_append_u64(w->out, value);
}

void json_bool(struct json_writer *w, bool value)
{
    json_raw_value(w, value ? SLICE("true") : SLICE("false"));
}

void json_null(struct json_writer *w)
{
    json_raw_value(w, SLICE("null"));
}

void json_money(struct json_writer *w, money amount)
{
    (void)write_begin(w, 0);
    money_append_dollars(w->out, amount);
}

void json_price_string(struct json_writer *w, price value)
{
    (void)write_begin(w, 0);
    buffer_append_char(w->out, '"');
    price_append_dollars_per_unit(w->out, value);
    buffer_append_char(w->out, '"');
}

void json_raw_value(struct json_writer *w, slice valid_json)
{
    char *room = write_begin(w, valid_json.len);
    if (room == NULL || valid_json.len == 0) return;
    memcpy(room, valid_json.data, valid_json.len);
    w->out->len += valid_json.len;
}

void json_time(struct json_writer *w, wall_time at)
{
    (void)write_begin(w, 0);
    buffer_append_char(w->out, '"');
    clock_append_iso(w->out, at);
    buffer_append_char(w->out, '"');
}

/* ---- key and value --------------------------------------------------------------------------- */

void json_key_string(struct json_writer *w, slice name, slice text)
{
    json_key(w, name);
    json_string(w, text);
}

void json_key_string_or_null(struct json_writer *w, slice name, slice text)
{
    json_key(w, name);
    if (text.len == 0)
        json_null(w);
    else
        json_string(w, text);
}

void json_key_i64(struct json_writer *w, slice name, int64_t value)
{
    json_key(w, name);
    json_i64(w, value);
}

void json_key_u64(struct json_writer *w, slice name, uint64_t value)
{
    json_key(w, name);
    json_u64(w, value);
}

void json_key_bool(struct json_writer *w, slice name, bool value)
{
    json_key(w, name);
    json_bool(w, value);
}

void json_key_null(struct json_writer *w, slice name)
{
    json_key(w, name);
    json_null(w);
}

void json_key_money(struct json_writer *w, slice name, money amount)
{
    json_key(w, name);
    json_money(w, amount);
}

void json_key_raw(struct json_writer *w, slice name, slice valid_json)
{
    json_key(w, name);
    json_raw_value(w, valid_json);
}

/* ---- short strings --------------------------------------------------------------------------- */

/* Whether one of eight bytes is a control character, a quote, a backslash or not ASCII. A byte
 * minus n has its high bit set when it was below n or is high itself; a borrow reaches only bytes
 * behind one that is special anyhow. */
static bool write_has_special(uint64_t bytes)
{
    const uint64_t ones = 0x0101010101010101;
    const uint64_t quote = bytes ^ (ones * '"');
    const uint64_t backslash = bytes ^ (ones * '\\');
    const uint64_t special = (bytes - ones * 0x20) | (quote - ones) | (backslash - ones) | bytes;
    return (special & (ones * 0x80)) != 0;
}

/* Copies `step` bytes at a time, eight at most; the last ones together with some before them.
 * Inlined with a constant, so that a step is one load and one store. */
__attribute__((always_inline)) static inline bool write_copy_steps(char *to, slice text,
                                                                   size_t step)
{
    for (size_t at = 0; at < text.len; at += step) {
        const size_t from = at + step <= text.len ? at : text.len - step;
        uint64_t bytes = 0x2020202020202020; /* blanks, where there are fewer than eight */
        memcpy(&bytes, text.data + from, step);
        memcpy(to + from, &bytes, step);
        if (write_has_special(bytes)) return false;
    }
    return true;
}

/* Copies a text that needs no escape; false for any other. */
static bool write_copy_simple(char *to, slice text)
{
    if (text.len >= 8) return write_copy_steps(to, text, 8);
    return text.len >= 4 ? write_copy_steps(to, text, 4) : write_copy_steps(to, text, 1);
}

/* ---- strings --------------------------------------------------------------------------------- */

static bool write_is_plain(uint8_t c, bool high_is_plain)
{
    return c >= 0x20 && c != '"' && c != '\\' && (c < 0x80 || high_is_plain);
}

/* How many bytes from `from` on may be copied as they stand. Bytes of 0x80 and more count as
 * such only where the string is known to be valid UTF-8. */
static size_t write_plain_len(slice text, size_t from, bool high_is_plain)
{
    size_t i = from;
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i blank = _mm_set1_epi8(0x20);
    for (; text.len - i >= 16; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(text.data + i));
        /* A signed comparison finds control characters and, being negative, high bytes. */
        unsigned below = (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(bytes, blank));
        if (high_is_plain) below &= ~(unsigned)_mm_movemask_epi8(bytes);
        unsigned special = (unsigned)_mm_movemask_epi8(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)));
        if ((below | special) != 0) return i + (size_t)__builtin_ctz(below | special) - from;
    }
#endif
    while (i < text.len && write_is_plain((uint8_t)text.data[i], high_is_plain))
        i++;
    return i - from;
}

/* The letter of the two-byte escapes; NUL where only \u00XX will do. */
static const char short_escapes[0x20] = {
    ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};

static void write_escape(struct buffer *out, uint8_t c)
{
    char letter = c < sizeof(short_escapes) ? short_escapes[c] : (char)c;
    if (letter != '\0') {
        buffer_append_bytes(out, (char[]){'\\', letter}, 2);
        return;
    }
    buffer_append(out, SLICE("\\u00"));
    buffer_append_hex(out, &c, 1);
}

/* How long a well-formed character begins `text`; 0 for none. Ranges of the second byte are
 * those of the Unicode standard's table 3-7: no overlong forms, no surrogates, nothing above
 * U+10FFFF. */
static size_t write_character_len(slice text)
{
    const uint8_t *c = (const uint8_t *)text.data;
    size_t len = c[0] < 0xC2 ? 0 : c[0] < 0xE0 ? 2 : c[0] < 0xF0 ? 3 : c[0] < 0xF5 ? 4 : 0;
    if (len == 0 || text.len < len) return 0;
    uint8_t low = c[0] == 0xE0 ? 0xA0 : c[0] == 0xF0 ? 0x90 : 0x80;
    uint8_t high = c[0] == 0xED ? 0x9F : c[0] == 0xF4 ? 0x8F : 0xBF;
    if (c[1] < low || c[1] > high) return 0;
    for (size_t i = 2; i < len; i++)
        if (c[i] < 0x80 || c[i] > 0xBF) return 0;
    return len;
}

/* A character of an invalid string: itself, or U+FFFD in the place of one byte. */
static size_t write_high_character(struct buffer *out, slice text)
{
    size_t len = write_character_len(text);
    buffer_append(out, len == 0 ? REPLACEMENT_CHARACTER : slice_first(text, len));
    return len == 0 ? 1 : len;
}

static void write_text(struct buffer *out, slice text)
{
    bool valid = false;
    bool checked = false;
    size_t at = 0;
    while (at < text.len) {
        size_t plain = write_plain_len(text, at, valid);
        if (plain > 0) buffer_append_bytes(out, text.data + at, plain);
        at += plain;
        if (at == text.len) return;
        uint8_t c = (uint8_t)text.data[at];
        if (c < 0x80) {
            write_escape(out, c);
            at++;
        } else if (!checked) {
            /* The first high byte decides how all others are treated. */
            valid = json_walk_utf8_valid(slice_from(text, at));
            checked = true;
        } else {
            at += write_high_character(out, slice_from(text, at));
        }
    }
}

/* In quotes, with a comma before it where one is due. */
static void write_string(struct json_writer *w, slice text)
{
    const bool is_short = text.len <= SHORT_TEXT_LEN;
    const size_t len = text.len + 2;
    char *room = write_begin(w, is_short ? len : 0);
    if (is_short && room != NULL && write_copy_simple(room + 1, text)) {
        room[0] = '"';
        room[len - 1] = '"';
        w->out->len += len;
        return;
    }
    buffer_append_char(w->out, '"');
    write_text(w->out, text);
    buffer_append_char(w->out, '"');
}
