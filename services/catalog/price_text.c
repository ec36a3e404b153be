/* SPDX-License-Identifier: Apache-2.0 */
/* mantissa · 10^exponent, both integers, from the text; then one division by a power of ten. */
#include "services/catalog/price_text.h"

#define PRICE_DECIMALS 15
#define DIGITS_MAX     28 /* times 10^9 they still fit 128 bits */
#define BILLION        1000000000u
#define EXPONENT_MAX   999

typedef unsigned __int128 wide;

struct decimal {
    wide mantissa;
    int64_t exponent;
};

static status read_decimal(slice text, struct decimal *decimal);
static status parse_whole(const struct decimal *decimal, price *value);

status price_text_read(slice number, price *value, bool *rounded)
{
    *rounded = false;
    struct decimal decimal;
    TRY(read_decimal(number, &decimal));
    int64_t surplus = -decimal.exponent - PRICE_DECIMALS; /* digits beyond the last decimal */
    if (surplus <= 0 || decimal.mantissa == 0) return price_parse_dollars_per_unit(number, value);
    if (surplus > DIGITS_MAX) return FAIL(OUT_OF_RANGE); /* far less than the smallest price */
    wide divisor = 1;
    for (int64_t i = 0; i < surplus; i++)
        divisor *= 10;
    wide quotient = decimal.mantissa / divisor;
    wide remainder = decimal.mantissa % divisor;
    wide change = remainder;
    if (remainder * 2 >= divisor) {
        quotient++;
        change = divisor - remainder;
    }
    if (change * BILLION >= decimal.mantissa) return FAIL(OUT_OF_RANGE);
    *rounded = change != 0;
    return parse_whole(&(struct decimal){quotient, -PRICE_DECIMALS}, value);
}

/* money.c alone turns numbers into prices: it gets the digits back as a text. */
static status parse_whole(const struct decimal *decimal, price *value)
{
    char memory[40];
    struct buffer text;
    buffer_init_fixed(&text, memory, sizeof(memory));
    if (decimal->mantissa > UINT64_MAX) return FAIL(OUT_OF_RANGE);
    buffer_append_u64(&text, (uint64_t)decimal->mantissa);
    buffer_append_char(&text, 'e');
    buffer_append_i64(&text, decimal->exponent);
    return price_parse_dollars_per_unit(buffer_slice(&text), value);
}

static bool take_digits(slice *text, struct decimal *decimal, bool fraction, size_t *digits)
{
    size_t taken = 0;
    for (; taken < text->len; taken++) {
        char c = text->data[taken];
        if (c < '0' || c > '9') break;
        *digits += *digits > 0 || c != '0';
        if (*digits > DIGITS_MAX) return false;
        decimal->mantissa = decimal->mantissa * 10 + (unsigned)(c - '0');
        decimal->exponent -= fraction;
    }
    *text = slice_from(*text, taken);
    return true;
}

/* The grammar of JSON numbers; price_parse_dollars_per_unit() checks it again where nothing is
 * rounded. */
static status read_decimal(slice text, struct decimal *decimal)
{
    *decimal = (struct decimal){0};
    size_t digits = 0;
    slice mantissa;
    slice exponent;
    size_t mark = 0;
    while (mark < text.len && text.data[mark] != 'e' && text.data[mark] != 'E')
        mark++;
    mantissa = slice_first(text, mark);
    exponent = slice_from(text, mark + 1);
    if (slice_starts_with(mantissa, SLICE("-"))) return FAIL(OUT_OF_RANGE);
    if (mantissa.len == 0) return FAIL(BAD_REQUEST);
    if (!take_digits(&mantissa, decimal, false, &digits)) return FAIL(OUT_OF_RANGE);
    if (slice_starts_with(mantissa, SLICE("."))) {
        mantissa = slice_from(mantissa, 1);
        if (!take_digits(&mantissa, decimal, true, &digits)) return FAIL(OUT_OF_RANGE);
    }
    if (mantissa.len > 0) return FAIL(BAD_REQUEST);
    if (mark == text.len) return OK;
    if (slice_starts_with(exponent, SLICE("+"))) exponent = slice_from(exponent, 1);
    int64_t power;
    TRY(slice_to_i64(exponent, &power));
    if (power > EXPONENT_MAX || power < -EXPONENT_MAX) return FAIL(OUT_OF_RANGE);
    decimal->exponent += power;
    return OK;
}
