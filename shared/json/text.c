/* SPDX-License-Identifier: Apache-2.0 */
/* Escapes of JSON strings, taken apart piece by piece. The text was checked by the reader, so
 * nothing here can fail. The one complication: two \u escapes make one character when they are a
 * pair of surrogates. */

#include "shared/json/text.h"

#define ESCAPE_LEN       2 /* \n */
#define HEX_ESCAPE_LEN   6 /* \uXXXX */
#define REPLACEMENT_CODE 0xFFFDu

static slice text_take(slice *s, size_t len)
{
    slice taken = {s->data, len};
    s->data += len;
    s->len -= len;
    return taken;
}

static uint32_t text_hex_value(char c)
{
    if (c <= '9') return (uint32_t)(c - '0');
    return (uint32_t)((c | 0x20) - 'a' + 10);
}

static uint32_t text_hex_code(const char *digits)
{
    return text_hex_value(digits[0]) << 12 | text_hex_value(digits[1]) << 8 |
           text_hex_value(digits[2]) << 4 | text_hex_value(digits[3]);
}

static bool text_is_low_surrogate(uint32_t code)
{
    return code >= 0xDC00 && code <= 0xDFFF;
}

/* The code point of the \u escape in front, with its second half when there is one. */
static uint32_t text_take_code(slice *inside)
{
    uint32_t code = text_hex_code(text_take(inside, HEX_ESCAPE_LEN).data + 2);
    if (text_is_low_surrogate(code)) return REPLACEMENT_CODE;
    if (code < 0xD800 || code > 0xDBFF) return code;
    if (inside->len < HEX_ESCAPE_LEN || inside->data[0] != '\\' || inside->data[1] != 'u')
        return REPLACEMENT_CODE;
    uint32_t low = text_hex_code(inside->data + 2);
    if (!text_is_low_surrogate(low)) return REPLACEMENT_CODE;
    text_take(inside, HEX_ESCAPE_LEN);
    return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

static slice text_encode_utf8(uint32_t code, char out[JSON_CHARACTER_LEN_MAX])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return (slice){out, 1};
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return (slice){out, 2};
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return (slice){out, 3};
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return (slice){out, 4};
}

static char text_short_escape(char letter)
{
    switch (letter) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return letter; /* quote, backslash, slash */
    }
}

slice json_text_next(slice *inside, char character[JSON_CHARACTER_LEN_MAX])
{
    if (inside->data[0] != '\\') {
        const char *backslash = memchr(inside->data, '\\', inside->len);
        return text_take(inside,
                         backslash == NULL ? inside->len : (size_t)(backslash - inside->data));
    }
    if (inside->data[1] == 'u') return text_encode_utf8(text_take_code(inside), character);
    character[0] = text_short_escape(text_take(inside, ESCAPE_LEN).data[1]);
    return (slice){character, 1};
}
