/* SPDX-License-Identifier: Apache-2.0 */
/* Money: every expected figure is worked out by hand, beside it where it is not obvious. */
#include "tests/unit/test.h"

#include "shared/money.h"

static int64_t cost(uint64_t units, int64_t nano_per_million)
{
    struct money_sum sum = {0};
    money total;
    assert_ok(money_sum_add(&sum, units, (price){nano_per_million}));
    assert_ok(money_sum_round(&sum, &total));
    return total.nano;
}

TEST(a_cost_is_rounded_half_up_once)
{
    /* $0.0375 per million tokens is 37.5 nano-dollars a token. */
    assert_int_equal(cost(1, 37500000), 38);
    assert_int_equal(cost(3, 37500000), 113); /* 112.5, not 3 · 38 = 114 */
    assert_int_equal(cost(1, 499999), 0);
    assert_int_equal(cost(1, 500000), 1);
    assert_int_equal(cost(0, INT64_MAX), 0);
    assert_int_equal(cost(UINT64_MAX, 0), 0);
}

TEST(the_components_are_summed_before_they_are_rounded)
{
    struct money_sum sum = {0};
    money total;
    assert_ok(money_sum_add(&sum, 1234, (price){75000000})); /* 92,550,000,000 */
    assert_ok(money_sum_add(&sum, 567, (price){300000000})); /* 170,100,000,000 */
    assert_ok(money_sum_round(&sum, &total));
    assert_int_equal(total.nano, 262650);
    /* Three components of 0.4 nano-dollars are 1.2: each rounded by itself they would be 0. */
    sum = (struct money_sum){0};
    for (int i = 0; i < 3; i++) {
        assert_ok(money_sum_add(&sum, 1, (price){400000}));
    }
    assert_ok(money_sum_round(&sum, &total));
    assert_int_equal(total.nano, 1);
}

TEST(the_greatest_count_at_a_high_price_is_exact)
{
    /* 2,147,483,647 tokens at $500 per million: 2,147,483,647 · 500,000 nano-dollars. */
    assert_int_equal(cost(2147483647, 500000000000), 1073741823500000);
}

TEST(a_cost_reaches_the_greatest_amount_and_not_one_more)
{
    struct money_sum sum = {0};
    money total;
    assert_ok(money_sum_add(&sum, 1000000, (price){INT64_MAX}));
    assert_ok(money_sum_add(&sum, 499999, (price){1}));
    assert_ok(money_sum_round(&sum, &total));
    assert_true(total.nano == INT64_MAX);
    assert_fails(money_sum_round_up(&sum, &total), OVERFLOW);
    assert_ok(money_sum_add(&sum, 1, (price){1})); /* half a nano-dollar above: rounds up */
    assert_fails(money_sum_round(&sum, &total), OVERFLOW);
}

TEST(a_sum_never_leaves_its_128_bits_unseen)
{
    struct money_sum sum = {0};
    money total;
    /* (2^64 - 1) · (2^63 - 1) is a little below 2^127; twice that is above. */
    assert_ok(money_sum_add(&sum, UINT64_MAX, (price){INT64_MAX}));
    assert_fails(money_sum_round(&sum, &total), OVERFLOW);
    assert_fails(money_sum_round_up(&sum, &total), OVERFLOW);
    assert_fails(money_sum_add(&sum, UINT64_MAX, (price){INT64_MAX}), OVERFLOW);
    /* 2^127 - 2^64 - 2^63 + 1 is in it; 3 · (2^63 - 1) more is 2^127 - 2, where adding a half would
     * wrap. */
    assert_ok(money_sum_add(&sum, INT64_MAX, (price){3}));
    assert_fails(money_sum_round(&sum, &total), OVERFLOW);
    assert_fails(money_sum_round_up(&sum, &total), OVERFLOW);
    assert_fails(money_sum_add(&sum, 1, (price){2}), OVERFLOW);
    assert_fails(money_sum_add(&sum, 1, (price){-1}), OVERFLOW);
}

/* 2^63 - 1 = 9,223,372,036,854,775,807 millionths: up to a million below it 64 bits do. */
TEST(a_sum_is_rounded_alike_on_both_sides_of_what_64_bits_hold)
{
    const struct {
        int64_t millionths;
        int64_t rounded;
        int64_t rounded_up;
    } rows[] = {
        {9223372036853499999, 9223372036853, 9223372036854},
        {9223372036853500000, 9223372036854, 9223372036854},
        {9223372036853775807, 9223372036854, 9223372036854}, /* the last in 64 bits */
        {9223372036853775808, 9223372036854, 9223372036854},
        {9223372036854000000, 9223372036854, 9223372036854},
        {9223372036854499999, 9223372036854, 9223372036855},
        {9223372036854500000, 9223372036855, 9223372036855},
        {9223372036854775807, 9223372036855, 9223372036855},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct money_sum sum = {0};
        money total;
        assert_ok(money_sum_add(&sum, 1, (price){rows[i].millionths}));
        assert_ok(money_sum_round(&sum, &total));
        assert_int_equal(total.nano, rows[i].rounded);
        assert_ok(money_sum_round_up(&sum, &total));
        assert_int_equal(total.nano, rows[i].rounded_up);
    }
}

TEST(no_units_cost_nothing_but_a_negative_price_is_refused)
{
    struct money_sum sum = {0};
    money total;
    assert_ok(money_sum_add(&sum, 0, (price){INT64_MAX}));
    assert_ok(money_sum_round(&sum, &total));
    assert_int_equal(total.nano, 0);
    assert_fails(money_sum_add(&sum, 0, (price){-1}), OVERFLOW);
}

TEST(rounding_up_is_the_least_amount_not_below_the_sum)
{
    struct money_sum sum = {0};
    money total;
    assert_ok(money_sum_round_up(&sum, &total));
    assert_int_equal(total.nano, 0);
    assert_ok(money_sum_add(&sum, 2, (price){18500000})); /* exactly 37 */
    assert_ok(money_sum_round_up(&sum, &total));
    assert_int_equal(total.nano, 37);
    assert_ok(money_sum_add(&sum, 1, (price){1})); /* and a millionth */
    assert_ok(money_sum_round_up(&sum, &total));
    assert_int_equal(total.nano, 38);
}

TEST(purchase_fees_follow_the_published_table)
{
    static const struct {
        int64_t amount_cents;
        int64_t fee_cents;
    } rows[] = {
        {500, 80},   {1000, 80},  {1463, 80},   {1464, 81},    {1500, 83},
        {2000, 110}, {2500, 138}, {10000, 550}, {50000, 2750}, {1000000, 55000},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t fee_cents = 0;
        assert_ok(money_purchase_fee_cents(rows[i].amount_cents, 55, 80, &fee_cents));
        assert_int_equal(fee_cents, rows[i].fee_cents);
    }
}

TEST(a_purchase_fee_of_hostile_numbers_is_refused)
{
    int64_t fee_cents = 0;
    assert_ok(money_purchase_fee_cents(0, 55, 80, &fee_cents));
    assert_int_equal(fee_cents, 80);
    assert_fails(money_purchase_fee_cents(-1, 55, 80, &fee_cents), OUT_OF_RANGE);
    assert_fails(money_purchase_fee_cents(100, -55, 80, &fee_cents), OUT_OF_RANGE);
    assert_fails(money_purchase_fee_cents(INT64_MAX, 1001, 80, &fee_cents), OVERFLOW);
}

TEST(a_fee_in_basis_points_is_rounded_half_up)
{
    static const struct {
        int64_t amount;
        int64_t basis_points;
        int64_t fee;
    } rows[] = {
        {0, 500, 0},
        {9, 500, 0},          /* 0.45 */
        {10, 500, 1},         /* 0.5 */
        {262650, 500, 13133}, /* 13,132.5 */
        {262649, 500, 13132}, /* 13,132.45 */
        {-10, 500, 0},        /* -0.5: up is toward zero */
        {-11, 500, -1},       /* -0.55 */
        {INT64_MAX, 10000, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        money fee;
        assert_ok(money_fee_basis_points((money){rows[i].amount}, rows[i].basis_points, &fee));
        assert_int_equal(fee.nano, rows[i].fee);
    }
    money fee;
    assert_fails(money_fee_basis_points(MONEY_MAX, 10001, &fee), OVERFLOW);
}

TEST(a_margin_is_added_to_a_price_and_rounded_half_up)
{
    static const struct {
        int64_t list;
        int64_t basis_points;
        int64_t marked;
    } rows[] = {
        {1000000000, 1000, 1100000000}, /* $1.00 and 10 % */
        {2000000000, 1000, 2200000000},
        {1000000000, 0, 1000000000},
        {1000000000, 10000, 2000000000}, /* doubled at most */
        {37500000, 1, 37503750},
        {0, 10000, 0},
        {4, 1000, 4},    /* 4.4 */
        {5, 1000, 6},    /* 5.5 */
        {4999, 1, 4999}, /* 4,999.4999 */
        {5000, 1, 5001}, /* 5,000.5 */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        price marked;
        assert_ok(price_with_margin((price){rows[i].list}, rows[i].basis_points, &marked));
        assert_int_equal(marked.nano_per_million, rows[i].marked);
    }
    price marked;
    assert_ok(price_with_margin((price){INT64_MAX}, 0, &marked));
    assert_fails(price_with_margin((price){INT64_MAX}, 1, &marked), OVERFLOW);
}

TEST(adding_and_subtracting_stop_at_the_ends)
{
    money result;
    assert_ok(money_add((money){INT64_MAX - 1}, (money){1}, &result));
    assert_true(result.nano == INT64_MAX);
    assert_fails(money_add(MONEY_MAX, (money){1}, &result), OVERFLOW);
    assert_ok(money_subtract((money){-1}, MONEY_MAX, &result));
    assert_true(result.nano == INT64_MIN);
    assert_fails(money_subtract((money){-2}, MONEY_MAX, &result), OVERFLOW);
    assert_int_equal(money_plus((money){2}, (money){3}).nano, 5);
    assert_int_equal(money_minus((money){2}, (money){3}).nano, -1);
}

TEST(comparisons_and_halves_are_of_the_amounts)
{
    assert_int_equal(money_compare((money){1}, (money){2}), -1);
    assert_int_equal(money_compare((money){2}, (money){2}), 0);
    assert_int_equal(money_compare((money){INT64_MAX}, (money){INT64_MIN}), 1);
    assert_int_equal(money_min((money){1}, (money){-2}).nano, -2);
    assert_int_equal(money_max((money){1}, (money){-2}).nano, 1);
    assert_int_equal(money_half((money){7}).nano, 3);
    assert_int_equal(money_half((money){-7}).nano, -3);
    assert_int_equal(price_max((price){1}, (price){2}).nano_per_million, 2);
}

TEST(scaling_is_exact_in_128_bits_and_toward_zero)
{
    money result;
    assert_ok(money_scale((money){7}, 1, 2, &result));
    assert_int_equal(result.nano, 3);
    assert_ok(money_scale((money){-7}, 1, 2, &result));
    assert_int_equal(result.nano, -3);
    /* 9,223,372,036,854,775,807 · 3 / 4 = 6,917,529,027,641,081,855.25 */
    assert_ok(money_scale(MONEY_MAX, 3, 4, &result));
    assert_true(result.nano == 6917529027641081855);
    assert_fails(money_scale(MONEY_MAX, 5, 4, &result), OVERFLOW);
}

TEST(the_units_one_can_pay_for_are_rounded_down)
{
    /* $1 at $0.0375 per million: 26,666,666.67 */
    assert_int_equal(money_units_affordable((money){1000000000}, (price){37500000}), 26666666);
    assert_int_equal(cost(26666666, 37500000), 999999975); /* and these do cost no more than $1 */
    assert_int_equal(money_units_affordable((money){37}, (price){37500000}), 0);
    assert_int_equal(money_units_affordable((money){0}, (price){37500000}), 0);
    assert_int_equal(money_units_affordable((money){-5}, (price){37500000}), 0);
    assert_true(money_units_affordable((money){5}, (price){0}) == UINT64_MAX);
    assert_true(money_units_affordable(MONEY_MAX, (price){1}) == UINT64_MAX);
}

TEST(dollars_are_read_to_the_nano_dollar)
{
    static const struct {
        const char *text;
        int64_t nano;
    } rows[] = {
        {"0", 0},
        {"5", 5000000000},
        {"0.00026265", 262650},
        {"10.01", 10010000000},
        {"0007.50", 7500000000},
        {"1.000000000000", 1000000000}, /* zeros lose nothing */
        {"9223372036.854775807", INT64_MAX},
        {"2.5e-7", 250},
        {"1e-9", 1},
        {"10e-10", 1},
        {"1E3", 1000000000000},
        {"1.5e+1", 15000000000},
        {"0e99999999999999999999", 0},
        {"0.000e-99999999999999999999", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        money amount = {-1};
        assert_ok(money_parse_dollars(slice_of(rows[i].text), false, &amount));
        assert_int_equal(amount.nano, rows[i].nano);
    }
}

TEST(dollars_that_would_lose_digits_are_out_of_range)
{
    const char *const texts[] = {
        "0.0000000001", "1e-10",          "1.0000000001",    "9223372036.854775808", "99999999999",
        "1e10",         "1e999999999999", "1e-999999999999", "18446744073709551616",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        money amount;
        assert_fails(money_parse_dollars(slice_of(texts[i]), true, &amount), OUT_OF_RANGE);
    }
}

TEST(text_that_is_no_decimal_is_refused)
{
    const char *const texts[] = {
        "",    ".",   ".5", "5.",  "+5",  " 5",    "5 ",   "1e", "1e+",   "1e-", "1e1.5", "0x1",
        "1,5", "--1", "-",  "NaN", "inf", "1e1e1", "1..2", "$5", "1_000", "٣",   "-.5",   "-e1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        money amount;
        assert_fails(money_parse_dollars(slice_of(texts[i]), true, &amount), BAD_REQUEST);
    }
}

TEST(a_minus_is_read_only_where_it_is_allowed)
{
    money amount;
    assert_ok(money_parse_dollars(SLICE("-1.5"), true, &amount));
    assert_int_equal(amount.nano, -1500000000);
    assert_ok(money_parse_dollars(SLICE("-9223372036.854775808"), true, &amount));
    assert_true(amount.nano == INT64_MIN);
    assert_fails(money_parse_dollars(SLICE("-9223372036.854775809"), true, &amount), OUT_OF_RANGE);
    assert_fails(money_parse_dollars(SLICE("-1.5"), false, &amount), BAD_REQUEST);
    assert_fails(money_parse_dollars(SLICE("-0"), false, &amount), BAD_REQUEST);
}

TEST(prices_are_read_to_fifteen_decimals)
{
    static const struct {
        const char *text;
        int64_t nano_per_million;
    } rows[] = {
        {"0.0000000375", 37500000},
        {"3.75e-8", 37500000},
        {"0.000000000000001", 1},
        {"0.00000000000000100", 1},
        {"0", 0},
        {"0.0005", 500000000000}, /* $500 per million */
        {"9223.372036854775807", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        price value = {-1};
        assert_ok(price_parse_dollars_per_unit(slice_of(rows[i].text), &value));
        assert_int_equal(value.nano_per_million, rows[i].nano_per_million);
    }
}

TEST(prices_of_more_than_fifteen_decimals_are_refused)
{
    price value;
    assert_fails(price_parse_dollars_per_unit(SLICE("0.0000000000000001"), &value), OUT_OF_RANGE);
    assert_fails(price_parse_dollars_per_unit(SLICE("0.0000000375000001"), &value), OUT_OF_RANGE);
    /* What a binary fraction looks like that was printed with all its digits. */
    assert_fails(price_parse_dollars_per_unit(SLICE("1.9999999999999999e-7"), &value),
                 OUT_OF_RANGE);
    assert_fails(price_parse_dollars_per_unit(SLICE("9223.372036854775808"), &value), OUT_OF_RANGE);
    assert_fails(price_parse_dollars_per_unit(SLICE("-0.1"), &value), BAD_REQUEST);
}

TEST(amounts_are_written_in_the_shortest_exact_form)
{
    static const struct {
        int64_t nano;
        const char *text;
    } rows[] = {
        {0, "0"},
        {262650, "0.00026265"},
        {5000000000, "5"},
        {1500000000, "1.5"},
        {10000000, "0.01"},
        {1, "0.000000001"},
        {-1, "-0.000000001"},
        {1000000001, "1.000000001"},
        {INT64_MAX, "9223372036.854775807"},
        {INT64_MIN, "-9223372036.854775808"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        SCOPED(buffer_free) struct buffer out;
        buffer_init(&out, 64);
        money_append_dollars(&out, (money){rows[i].nano});
        assert_slice(buffer_slice(&out), rows[i].text);
    }
}

TEST(prices_are_written_in_the_shortest_exact_form)
{
    SCOPED(buffer_free) struct buffer out;
    buffer_init(&out, 64);
    price_append_dollars_per_unit(&out, (price){37500000});
    buffer_append_char(&out, ' ');
    price_append_dollars_per_unit(&out, (price){1});
    buffer_append_char(&out, ' ');
    price_append_dollars_per_unit(&out, (price){2000000000000000});
    assert_slice(buffer_slice(&out), "0.0000000375 0.000000000000001 2");
}

TEST(what_is_written_is_read_back_as_the_same_amount)
{
    uint64_t random = 0x9e3779b97f4a7c15;
    for (int i = 0; i < 20000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        int64_t value = (int64_t)(random >> (i % 64));
        char memory[64];
        struct buffer out;
        buffer_init_fixed(&out, memory, sizeof(memory));
        money_append_dollars(&out, (money){value});
        money amount;
        assert_ok(money_parse_dollars(buffer_slice(&out), true, &amount));
        assert_true(amount.nano == value);
        if (value < 0) {
            continue;
        }
        buffer_clear(&out);
        price_append_dollars_per_unit(&out, (price){value});
        price read_back;
        assert_ok(price_parse_dollars_per_unit(buffer_slice(&out), &read_back));
        assert_true(read_back.nano_per_million == value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cost_is_rounded_half_up_once),
        cmocka_unit_test(the_components_are_summed_before_they_are_rounded),
        cmocka_unit_test(the_greatest_count_at_a_high_price_is_exact),
        cmocka_unit_test(a_cost_reaches_the_greatest_amount_and_not_one_more),
        cmocka_unit_test(a_sum_never_leaves_its_128_bits_unseen),
        cmocka_unit_test(a_sum_is_rounded_alike_on_both_sides_of_what_64_bits_hold),
        cmocka_unit_test(no_units_cost_nothing_but_a_negative_price_is_refused),
        cmocka_unit_test(rounding_up_is_the_least_amount_not_below_the_sum),
        cmocka_unit_test(purchase_fees_follow_the_published_table),
        cmocka_unit_test(a_purchase_fee_of_hostile_numbers_is_refused),
        cmocka_unit_test(a_fee_in_basis_points_is_rounded_half_up),
        cmocka_unit_test(a_margin_is_added_to_a_price_and_rounded_half_up),
        cmocka_unit_test(adding_and_subtracting_stop_at_the_ends),
        cmocka_unit_test(comparisons_and_halves_are_of_the_amounts),
        cmocka_unit_test(scaling_is_exact_in_128_bits_and_toward_zero),
        cmocka_unit_test(the_units_one_can_pay_for_are_rounded_down),
        cmocka_unit_test(dollars_are_read_to_the_nano_dollar),
        cmocka_unit_test(dollars_that_would_lose_digits_are_out_of_range),
        cmocka_unit_test(text_that_is_no_decimal_is_refused),
        cmocka_unit_test(a_minus_is_read_only_where_it_is_allowed),
        cmocka_unit_test(prices_are_read_to_fifteen_decimals),
        cmocka_unit_test(prices_of_more_than_fifteen_decimals_are_refused),
        cmocka_unit_test(amounts_are_written_in_the_shortest_exact_form),
        cmocka_unit_test(prices_are_written_in_the_shortest_exact_form),
        cmocka_unit_test(what_is_written_is_read_back_as_the_same_amount),
    };
    return cmocka_run_group_tests_name("money", tests, NULL, NULL);
}
