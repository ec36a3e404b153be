/* SPDX-License-Identifier: Apache-2.0 */
/* All arithmetic on amounts and prices. Products are formed in 128 bits, where int64 · int64 always
 * fits; sums of products and every way back to 64 bits are checked. Decimal text is read digit by
 * digit, so no rounding of binary fractions can enter. */
#include "shared/money.h"

#include <assert.h>

#define UNITS_PER_PRICE      1000000 /* a price is for this many units */
#define DECIMALS_OF_MONEY    9       /* nano-dollars */
#define DECIMALS_OF_PRICE    15      /* nano-dollars per million units */
#define BASIS_POINTS_PER_ONE 10000
#define PERMILLE_PER_ONE     1000
#define EXPONENT_MAX         1000000000 /* beyond it any digit but 0 is out of range anyway */

static bool fits_i64(__int128 value)
{
    return value >= INT64_MIN && value <= INT64_MAX;
}

/* Rounds half up (toward plus infinity at the exact middle), for negative values too. */
static __int128 divide_half_up(__int128 value, int64_t divisor)
{
    __int128 shifted = value + divisor / 2;
    __int128 quotient = shifted / divisor;
    return shifted % divisor < 0 ? quotient - 1 : quotient;
}

/* ---- amounts --------------------------------------------------------------------------------- */

status money_add(money a, money b, money *sum)
{
    return __builtin_add_overflow(a.nano, b.nano, &sum->nano) ? FAIL(OVERFLOW) : OK;
}

status money_subtract(money a, money b, money *difference)
{
    return __builtin_sub_overflow(a.nano, b.nano, &difference->nano) ? FAIL(OVERFLOW) : OK;
}

money money_plus(money a, money b)
{
    money sum;
    bool overflow = __builtin_add_overflow(a.nano, b.nano, &sum.nano);
    assert(!overflow);
    return sum;
}

money money_minus(money a, money b)
{
    money difference;
    bool overflow = __builtin_sub_overflow(a.nano, b.nano, &difference.nano);
    assert(!overflow);
    return difference;
}

money money_min(money a, money b)
{
    return a.nano < b.nano ? a : b;
}

money money_max(money a, money b)
{
    return a.nano > b.nano ? a : b;
}

money money_half(money a)
{
    return (money){a.nano / 2};
}

status money_scale(money amount, int64_t numerator, int64_t denominator, money *result)
{
    assert(denominator > 0);
    __int128 scaled = (__int128)amount.nano * numerator / denominator;
    if (!fits_i64(scaled)) return FAIL(OVERFLOW);
    result->nano = (int64_t)scaled;
    return OK;
}

/* ---- cost ------------------------------------------------------------------------------------ */

status money_sum_add(struct money_sum *sum, uint64_t units, price unit_price)
{
    if (unit_price.nano_per_million < 0) return FAIL(OVERFLOW);
    if (units == 0) return OK; /* as with most classes of units of most requests */
    /* < 2^64 · 2^63 = 2^127: the product fits, the sum is checked. */
    __int128 term = (__int128)units * unit_price.nano_per_million;
    __int128 total;
    if (__builtin_add_overflow(sum->nano_millionths, term, &total)) return FAIL(OVERFLOW);
    sum->nano_millionths = total;
    return OK;
}

/* Nearly every sum is below nine thousand dollars, and then 64 bits do, in which a division by a
 * constant is a multiplication. The room above is for what a rounding adds. */
static bool is_small(const struct money_sum *sum)
{
    return sum->nano_millionths >= 0 && sum->nano_millionths <= INT64_MAX - UNITS_PER_PRICE;
}

status money_sum_round(const struct money_sum *sum, money *total)
{
    if (is_small(sum)) {
        total->nano = ((int64_t)sum->nano_millionths + UNITS_PER_PRICE / 2) / UNITS_PER_PRICE;
        return OK;
    }
    /* Compared before the half is added: a sum near the end of 128 bits must not wrap. */
    if (sum->nano_millionths / UNITS_PER_PRICE > INT64_MAX) return FAIL(OVERFLOW);
    __int128 rounded = divide_half_up(sum->nano_millionths, UNITS_PER_PRICE);
    if (!fits_i64(rounded)) return FAIL(OVERFLOW);
    total->nano = (int64_t)rounded;
    return OK;
}

status money_sum_round_up(const struct money_sum *sum, money *total)
{
    if (is_small(sum)) {
        total->nano = ((int64_t)sum->nano_millionths + UNITS_PER_PRICE - 1) / UNITS_PER_PRICE;
        return OK;
    }
    bool remainder = sum->nano_millionths % UNITS_PER_PRICE > 0;
    __int128 rounded = sum->nano_millionths / UNITS_PER_PRICE + (remainder ? 1 : 0);
    if (!fits_i64(rounded)) return FAIL(OVERFLOW);
    total->nano = (int64_t)rounded;
    return OK;
}

price price_max(price a, price b)
{
    return a.nano_per_million > b.nano_per_million ? a : b;
}

uint64_t money_units_affordable(money amount, price unit_price)
{
    if (unit_price.nano_per_million <= 0) return UINT64_MAX;
    if (amount.nano <= 0) return 0;
    __int128 units = (__int128)amount.nano * UNITS_PER_PRICE / unit_price.nano_per_million;
    return units > (__int128)UINT64_MAX ? UINT64_MAX : (uint64_t)units;
}

/* ---- fees ------------------------------------------------------------------------------------ */

status money_fee_basis_points(money amount, int64_t basis_points, money *fee)
{
    __int128 rounded = divide_half_up((__int128)amount.nano * basis_points, BASIS_POINTS_PER_ONE);
    if (!fits_i64(rounded)) return FAIL(OVERFLOW);
    fee->nano = (int64_t)rounded;
    return OK;
}

status price_with_margin(price list, int64_t basis_points, price *marked)
{
    __int128 factor = (__int128)BASIS_POINTS_PER_ONE + basis_points;
    __int128 rounded = divide_half_up(list.nano_per_million * factor, BASIS_POINTS_PER_ONE);
    if (!fits_i64(rounded)) return FAIL(OVERFLOW);
    marked->nano_per_million = (int64_t)rounded;
    return OK;
}

status money_purchase_fee_cents(int64_t amount_cents, int64_t rate_permille, int64_t fee_min_cents,
                                int64_t *fee_cents)
{
    if (amount_cents < 0 || rate_permille < 0 || fee_min_cents < 0) return FAIL(OUT_OF_RANGE);
    __int128 fee = divide_half_up((__int128)amount_cents * rate_permille, PERMILLE_PER_ONE);
    if (!fits_i64(fee)) return FAIL(OVERFLOW);
    *fee_cents = (int64_t)fee > fee_min_cents ? (int64_t)fee : fee_min_cents;
    return OK;
}

/* ---- decimal text to integers ---------------------------------------------------------------- */

/* The parts of [0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)? */
struct decimal {
    slice whole;
    slice fraction;
    int64_t exponent;
};

static slice take_digits(slice *text)
{
    size_t len = 0;
    while (len < text->len && text->data[len] >= '0' && text->data[len] <= '9') {
        len++;
    }
    slice digits = slice_first(*text, len);
    *text = slice_from(*text, len);
    return digits;
}

static status take_exponent(slice *text, int64_t *exponent)
{
    bool negative = slice_take_char(text, '-');
    if (!negative) (void)slice_take_char(text, '+');
    slice digits = take_digits(text);
    if (digits.len == 0) return FAIL(BAD_REQUEST);
    int64_t value = 0;
    for (size_t i = 0; i < digits.len && value < EXPONENT_MAX; i++) {
        value = value * 10 + (digits.data[i] - '0');
    }
    *exponent = negative ? -value : value;
    return OK;
}

static status split_decimal(slice text, struct decimal *decimal)
{
    *decimal = (struct decimal){.whole = take_digits(&text), .fraction = SLICE_NONE};
    if (decimal->whole.len == 0) return FAIL(BAD_REQUEST);
    if (slice_take_char(&text, '.')) {
        decimal->fraction = take_digits(&text);
        if (decimal->fraction.len == 0) return FAIL(BAD_REQUEST);
    }
    if (slice_take_char(&text, 'e') || slice_take_char(&text, 'E')) {
        TRY(take_exponent(&text, &decimal->exponent));
    }
    return text.len == 0 ? OK : FAIL(BAD_REQUEST);
}

/* Multiplies by ten and adds a digit; what leaves 64 bits is out of range. */
static status push_digit(uint64_t *magnitude, int digit)
{
    if (__builtin_mul_overflow(*magnitude, 10u, magnitude) ||
        __builtin_add_overflow(*magnitude, (uint64_t)digit, magnitude)) {
        return FAIL(OUT_OF_RANGE);
    }
    return OK;
}

/* The number times 10^decimals as a whole number. `place` is the power of ten of the digit at hand
 * after that shift: a digit below place 0 would be lost, so it has to be 0. */
static status scale_decimal(const struct decimal *decimal, int decimals, uint64_t *magnitude)
{
    int64_t place = (int64_t)decimal->whole.len - 1 + decimal->exponent + decimals;
    const slice runs[] = {decimal->whole, decimal->fraction};
    *magnitude = 0;
    for (size_t run = 0; run < 2; run++) {
        for (size_t i = 0; i < runs[run].len; i++, place--) {
            int digit = runs[run].data[i] - '0';
            if (place < 0 && digit != 0) return FAIL(OUT_OF_RANGE);
            if (place >= 0) TRY(push_digit(magnitude, digit));
        }
    }
    /* The zeros that an exponent stands for: at most 19 rounds before the overflow check ends
     * them. */
    for (; *magnitude > 0 && place >= 0; place--) {
        TRY(push_digit(magnitude, 0));
    }
    return OK;
}

static status parse_decimal(slice text, bool allow_negative, int decimals, int64_t *value)
{
    bool negative = allow_negative && slice_take_char(&text, '-');
    struct decimal decimal;
    TRY(split_decimal(text, &decimal));
    uint64_t magnitude;
    TRY(scale_decimal(&decimal, decimals, &magnitude));
    uint64_t magnitude_max = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    if (magnitude > magnitude_max) return FAIL(OUT_OF_RANGE);
    *value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return OK;
}

status money_parse_dollars(slice text, bool allow_negative, money *amount)
{
    return parse_decimal(text, allow_negative, DECIMALS_OF_MONEY, &amount->nano);
}

status price_parse_dollars_per_unit(slice text, price *value)
{
    return parse_decimal(text, false, DECIMALS_OF_PRICE, &value->nano_per_million);
}

/* ---- integers to decimal text ---------------------------------------------------------------- */

/* From the last digit to the first; zeros at the end of the fraction are left out. */
static void append_decimal(struct buffer *out, int64_t value, int decimals)
{
    char text[1 + 20 + 1]; /* a sign, the digits of UINT64_MAX, a point */
    size_t at = sizeof(text);
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    bool has_fraction = false;
    for (int i = 0; i < decimals; i++) {
        const char digit = (char)('0' + magnitude % 10);
        magnitude /= 10;
        has_fraction = has_fraction || digit != '0';
        if (has_fraction) text[--at] = digit;
    }
    if (has_fraction) text[--at] = '.';
    do {
        text[--at] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (value < 0) text[--at] = '-';
    buffer_append_bytes(out, text + at, sizeof(text) - at);
}

void money_append_dollars(struct buffer *out, money amount)
{
    append_decimal(out, amount.nano, DECIMALS_OF_MONEY);
}

void price_append_dollars_per_unit(struct buffer *out, price value)
{
    append_decimal(out, value.nano_per_million, DECIMALS_OF_PRICE);
}
