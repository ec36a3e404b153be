/* SPDX-License-Identifier: Apache-2.0 */
/* Exact money. An amount is a count of nano-dollars (1e-9 $); a price is nano-dollars per 1,000,000
 * units (1e-15 $ per unit), because a price per token is often not a whole nano-dollar. Only
 * money.c does arithmetic on them; every operation checks for overflow. No floating point
 * anywhere. */
#pragma once

#include "shared/buffer.h"
#include "shared/slice.h"

typedef struct {
    int64_t nano;
} money;

typedef struct {
    int64_t nano_per_million; /* units */
} price;

#define MONEY_ZERO      ((money){0})
#define MONEY_MAX       ((money){INT64_MAX})
#define NANO_PER_DOLLAR 1000000000
#define NANO_PER_CENT   10000000

/* OVERFLOW when the result leaves int64. */
status money_add(money a, money b, money *sum);
status money_subtract(money a, money b, money *difference);

/* For counters whose bounds were checked before: assert on overflow. */
money money_plus(money a, money b);
money money_minus(money a, money b);

static inline int money_compare(money a, money b)
{
    return (a.nano > b.nano) - (a.nano < b.nano);
}
static inline bool money_less(money a, money b)
{
    return a.nano < b.nano;
}
/* Cents of a row: below 9.2 · 10^11 (the books hold no more). */
static inline money money_of_cents(int64_t cents)
{
    return (money){cents * NANO_PER_CENT};
}
static inline bool money_is_zero(money a)
{
    return a.nano == 0;
}
static inline bool money_is_positive(money a)
{
    return a.nano > 0;
}
money money_min(money a, money b);
money money_max(money a, money b);
money money_half(money a); /* toward zero */

/* amount · numerator / denominator, toward zero, in 128 bits. denominator > 0. */
status money_scale(money amount, int64_t numerator, int64_t denominator, money *result);

/* Sum of units·price terms, rounded half up once: (Σ units_i · price_i + 500,000) / 1,000,000.
 * Worked: price 37,500,000: 1 unit → 38, 3 units → 113 (not 3 × 38). */
struct money_sum {
    __int128 nano_millionths;
};
status money_sum_add(struct money_sum *sum, uint64_t units, price unit_price); /* price >= 0 */
status money_sum_round(const struct money_sum *sum, money *total);
/* For bounds: the least whole nano-dollar that is not below the sum. */
status money_sum_round_up(const struct money_sum *sum, money *total);
price price_max(price a, price b);

/* How many units one can pay for at a price: floor(amount · 1e6 / price); UINT64_MAX at price 0. */
uint64_t money_units_affordable(money amount, price unit_price);

/* fee = (amount · basis_points + 5,000) / 10,000, half up to the nano-dollar (the BYOK fee). */
status money_fee_basis_points(money amount, int64_t basis_points, money *fee);

/* price · (10,000 + basis_points) / 10,000, half up: $1.00 a million at 1,000 → $1.10. OVERFLOW. */
status price_with_margin(price list, int64_t basis_points, price *marked);

/* Fee on top of a purchase, in whole cents: max(fee_min_cents, (amount_cents·rate_permille + 500) /
 * 1000). The default plan: 55 ‰, 80 cents. $14.63 → 80, $14.64 → 81, $25.00 → 138 cents. */
status money_purchase_fee_cents(int64_t amount_cents, int64_t rate_permille, int64_t fee_min_cents,
                                int64_t *fee_cents);

/* Decimal text ↔ integers, digit by digit. Accepts [0-9]+(\.[0-9]+)? with an optional leading '-'
 * where allow_negative; an exponent is accepted too (a JSON number such as 2.5e-7). BAD_REQUEST on
 * other text, OUT_OF_RANGE when digits would be lost (more than 9 decimals of a dollar; zeros at
 * the end are no loss) or on overflow. */
status money_parse_dollars(slice text, bool allow_negative, money *amount);

/* Dollars per one unit, as price maps write it ("0.0000000375" → 37,500,000). More than 15
 * decimals: OUT_OF_RANGE. */
status price_parse_dollars_per_unit(slice text, price *value);

/* Shortest exact decimal: 262650 → "0.00026265", 0 → "0", 5e9 → "5". No exponent, no trailing
 * zeros. */
void money_append_dollars(struct buffer *out, money amount);
void price_append_dollars_per_unit(struct buffer *out, price value);
