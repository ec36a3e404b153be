/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of foreign price maps: which become prices, which are rounded, which are refused. A price
 * counts 1e-15 dollars. */
#include "tests/unit/test.h"

#include "services/catalog/price_text.h"

static int64_t price_of(const char *text, bool expect_rounded)
{
    price value;
    bool rounded;
    assert_ok(price_text_read(slice_of(text), &value, &rounded));
    assert_int_equal(rounded, expect_rounded);
    return value.nano_per_million;
}

#define assert_refused(text, error)                                               \
    do {                                                                          \
        price value_;                                                             \
        bool rounded_;                                                            \
        assert_fails(price_text_read(slice_of(text), &value_, &rounded_), error); \
    } while (0)

TEST(numbers_of_at_most_fifteen_decimals_are_exact)
{
    assert_int_equal(price_of("0.000003", false), 3000000000);
    assert_int_equal(price_of("3e-06", false), 3000000000);
    assert_int_equal(price_of("3E-6", false), 3000000000);
    assert_int_equal(price_of("0.0000000375", false), 37500000);
    assert_int_equal(price_of("1.00000001e-07", false),
                     100000001); /* its last decimal is the 15th */
    assert_int_equal(price_of("0.01", false), 10000000000000);
    assert_int_equal(price_of("0", false), 0);
    assert_int_equal(price_of("0.0", false), 0);
    assert_int_equal(price_of("0e-99", false), 0);
    assert_int_equal(price_of("5e0", false), 5000000000000000);
}

TEST(zeros_behind_the_fifteenth_decimal_change_nothing)
{
    assert_int_equal(price_of("0.00000100000000000000", false), 1000000000);
}

TEST(the_noise_of_binary_fractions_is_rounded_away)
{
    assert_int_equal(price_of("2.9999900000000002e-06", true), 2999990000);
    assert_int_equal(price_of("2.9999999999999997e-06", true), 3000000000);
    assert_int_equal(price_of("0.00000024999999999999998", true), 250000000);
}

TEST(the_middle_is_rounded_up_and_below_it_down)
{
    /* 1,000,000,000.5 and …0.4 of the smallest price: the change is 5e-10 and 4e-10 of the
     * whole. */
    assert_int_equal(price_of("1.0000000005e-06", true), 1000000001);
    assert_int_equal(price_of("1.0000000004e-06", true), 1000000000);
}

TEST(a_change_of_a_billionth_or_more_is_refused)
{
    /* Half a unit is less than a billionth of 500,000,000.5 units and more than that of
     * 499,999,999.5. */
    assert_int_equal(price_of("0.5000000005e-6", true), 500000001);
    assert_refused("0.4999999995e-6", OUT_OF_RANGE);
    assert_refused("1.000000015e-07", OUT_OF_RANGE); /* 0.5 of 100,000,001.5 */
    assert_refused("4.5e-16", OUT_OF_RANGE);         /* would become 0 */
    assert_refused("9e-16", OUT_OF_RANGE);           /* would become 1 */
    assert_refused("1e-300", OUT_OF_RANGE);
}

TEST(hostile_numbers_are_refused)
{
    assert_refused("-1e-6", OUT_OF_RANGE);
    assert_refused("1e9999", OUT_OF_RANGE);
    assert_refused("123456789012345678901234567890", OUT_OF_RANGE);
    assert_refused("1e5", OUT_OF_RANGE); /* 1e20 of the smallest price: beyond 64 bits */
    assert_refused("", BAD_REQUEST);
    assert_refused("free", BAD_REQUEST);
    assert_refused("1e", BAD_REQUEST);
    assert_refused("1.2.3", BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_at_most_fifteen_decimals_are_exact),
        cmocka_unit_test(zeros_behind_the_fifteenth_decimal_change_nothing),
        cmocka_unit_test(the_noise_of_binary_fractions_is_rounded_away),
        cmocka_unit_test(the_middle_is_rounded_up_and_below_it_down),
        cmocka_unit_test(a_change_of_a_billionth_or_more_is_refused),
        cmocka_unit_test(hostile_numbers_are_refused),
    };
    return cmocka_run_group_tests_name("price_text", tests, NULL, NULL);
}
