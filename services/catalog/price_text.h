/* SPDX-License-Identifier: Apache-2.0 */
/* Prices in foreign price maps went through binary floating point somewhere: 0.000003 arrives as
 * 2.9999900000000002e-06. Here such a number's text becomes a price; only digits are looked at. */
#pragma once

#include "shared/money.h"

/* Dollars per unit, at most 15 decimals after rounding half up. A number with more is accepted only
 * when rounding changes it by less than a billionth of itself; *rounded says so. OUT_OF_RANGE
 * otherwise, also for negative numbers, more than 28 significant digits and overflow; BAD_REQUEST
 * for text that is no number. */
status price_text_read(slice number, price *value, bool *rounded);
