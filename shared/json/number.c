/* SPDX-License-Identifier: Apache-2.0 */
/* What a JSON number is worth as a 64-bit integer, exactly or not at all. A number is digits and a
 * shift by powers of ten, so 1.0, 1e3 and 12e-1 are judged without ever being rounded. */

#include "shared/json/text.h"

#define INT64_DIGITS_MAX 19
/* Past this an exponent only needs its sign: no text holds as many digits to make up for it. */
#define EXPONENT_MAX     1000000000000

struct decimal {
    bool negative;
    slice whole;    /* digits before the point */
    slice fraction; /* and behind it, perhaps none */
    int64_t exponent;
};

static bool number_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static slice number_take_digits(slice *text)
{
    size_t len = 0;
    while (len < text->len && number_is_digit(text->data[len]))
        len++;
    slice digits = {text->data, len};
    text->data += len;
    text->len -= len;
    return digits;
}

static bool number_take_char(slice *text, char wanted)
{
    if (text->len == 0 || text->data[0] != wanted) return false;
    text->data++;
    text->len--;
    return true;
}

static int64_t number_take_exponent(slice *text)
{
    if (!number_take_char(text, 'e') && !number_take_char(text, 'E')) return 0;
    bool negative = number_take_char(text, '-');
    if (!negative) number_take_char(text, '+');
    int64_t exponent = 0;
    slice digits = number_take_digits(text);
    for (size_t i = 0; i < digits.len && exponent < EXPONENT_MAX; i++)
        exponent = 10 * exponent + (digits.data[i] - '0');
    return negative ? -exponent : exponent;
}

static struct decimal number_take_apart(slice text)
{
    struct decimal d = {.negative = number_take_char(&text, '-'), .fraction = SLICE_NONE};
    d.whole = number_take_digits(&text);
    if (number_take_char(&text, '.')) d.fraction = number_take_digits(&text);
    d.exponent = number_take_exponent(&text);
    return d;
}

/* The digits of whole and fraction as one row. */
static char number_digit(const struct decimal *d, size_t i)
{
    return i < d->whole.len ? d->whole.data[i] : d->fraction.data[i - d->whole.len];
}

/* Nearly all numbers are a few digits and nothing else. */
static bool number_read_plain(slice number, int64_t *value)
{
    int64_t sum = 0;
    for (size_t i = 0; i < number.len; i++) {
        if (!number_is_digit(number.data[i])) return false;
        sum = 10 * sum + (number.data[i] - '0');
    }
    *value = sum;
    return true;
}

status json_text_to_i64(slice number, int64_t *value)
{
    if (number.len < INT64_DIGITS_MAX && number_read_plain(number, value)) return OK;
    struct decimal d = number_take_apart(number);
    size_t first = 0;
    size_t end = d.whole.len + d.fraction.len;
    int64_t shift = d.exponent - (int64_t)d.fraction.len;
    while (first < end && number_digit(&d, first) == '0')
        first++;
    while (end > first && number_digit(&d, end - 1) == '0') {
        end--;
        shift++;
    }
    *value = 0;
    if (first == end) return OK;
    if (shift < 0 || shift > INT64_DIGITS_MAX || end - first > INT64_DIGITS_MAX)
        return FAIL(OUT_OF_RANGE);

    /* At most 38 digits: they fit 128 bits. */
    __int128 sum = 0;
    for (size_t i = first; i < end; i++)
        sum = 10 * sum + (number_digit(&d, i) - '0');
    for (; shift > 0; shift--)
        sum *= 10;
    if (d.negative) sum = -sum;
    if (sum < INT64_MIN || sum > INT64_MAX) return FAIL(OUT_OF_RANGE);
    *value = (int64_t)sum;
    return OK;
}
