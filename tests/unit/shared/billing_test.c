/* SPDX-License-Identifier: Apache-2.0 */
/* Billing: charges worked out by hand, and the property that makes holds safe: no usage within a
 * bound costs more than the bound, whatever the prices and tiers. */
#include "tests/unit/test.h"

#include "shared/billing.h"

#define DOLLARS_PER_MILLION(dollars) ((price){(dollars)*1000000000ll})

/* $1 in, $2 out per million up to 1,000 input tokens; $3 and $5 above; 0.1 and 0.2 for cached
 * reads. */
static struct price_row two_tiers(void)
{
    struct price_row row = {.id = 1, .tier_count = 2};
    row.tiers[0].prices[BILLING_prompt] = DOLLARS_PER_MILLION(1);
    row.tiers[0].prices[BILLING_cache_read] = (price){100000000};
    row.tiers[0].prices[BILLING_completion] = DOLLARS_PER_MILLION(2);
    row.tiers[0].prices[BILLING_reasoning] = DOLLARS_PER_MILLION(2);
    row.tiers[1].above_prompt_tokens = 1000;
    row.tiers[1].prices[BILLING_prompt] = DOLLARS_PER_MILLION(3);
    row.tiers[1].prices[BILLING_cache_read] = (price){200000000};
    row.tiers[1].prices[BILLING_completion] = DOLLARS_PER_MILLION(5);
    row.tiers[1].prices[BILLING_reasoning] = DOLLARS_PER_MILLION(4);
    return row;
}

static int64_t charge_of(const struct price_row *row, const struct usage_vector *usage)
{
    money charge = {-1};
    assert_ok(billing_charge(row, usage, &charge));
    return charge.nano;
}

TEST(classes_have_the_names_of_their_columns)
{
    assert_string_equal(billing_class_name(BILLING_prompt), "prompt");
    assert_string_equal(billing_class_name(BILLING_cache_write_1h), "cache_write_1h");
    assert_string_equal(billing_class_name(BILLING_web_search), "web_search");
}

TEST(a_charge_is_every_class_at_its_price_and_one_rounding)
{
    struct price_row row = {.id = 1, .tier_count = 1};
    row.tiers[0].prices[BILLING_prompt] = (price){75000000};
    row.tiers[0].prices[BILLING_completion] = (price){300000000};
    struct usage_vector usage = {.units[BILLING_prompt] = 1234, .units[BILLING_completion] = 567};
    assert_int_equal(charge_of(&row, &usage), 262650);
    /* $0.01 a request, $0.04 an image: 10,000,000 + 2 · 40,000,000 nano-dollars more. */
    row.tiers[0].prices[BILLING_request] = (price){10000000ll * 1000000};
    row.tiers[0].prices[BILLING_image_in] = (price){40000000ll * 1000000};
    usage.units[BILLING_request] = 1;
    usage.units[BILLING_image_in] = 2;
    assert_int_equal(charge_of(&row, &usage), 90262650);
}

TEST(nothing_used_costs_nothing)
{
    struct price_row row = two_tiers();
    struct usage_vector usage = {0};
    assert_int_equal(charge_of(&row, &usage), 0);
}

TEST(a_tier_applies_above_its_count_and_not_at_it)
{
    struct price_row row = two_tiers();
    struct usage_vector usage = {.units[BILLING_prompt] = 1000, .units[BILLING_completion] = 10};
    assert_int_equal(charge_of(&row, &usage), 1000 * 1000 + 10 * 2000);
    usage.units[BILLING_prompt] = 1001;
    assert_int_equal(charge_of(&row, &usage), 1001 * 3000 + 10 * 5000);
}

TEST(all_input_tokens_select_the_tier)
{
    struct price_row row = two_tiers();
    struct usage_vector usage = {.units[BILLING_prompt] = 600, .units[BILLING_cache_read] = 400};
    assert_int_equal(billing_input_tokens(&usage), 1000);
    assert_int_equal(charge_of(&row, &usage), 600 * 1000 + 400 * 100);
    usage.units[BILLING_cache_read] = 401;
    assert_int_equal(charge_of(&row, &usage), 600 * 3000 + 401 * 200);
    /* Images and the answer do not. */
    usage = (struct usage_vector){.units[BILLING_prompt] = 1000,
                                  .units[BILLING_image_in] = 5,
                                  .units[BILLING_completion] = 1000000};
    assert_int_equal(billing_input_tokens(&usage), 1000);
    struct usage_vector every_input = {
        .units = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048}};
    assert_int_equal(billing_input_tokens(&every_input), 1 + 2 + 4 + 8 + 16);
}

TEST(output_tokens_are_completion_reasoning_and_audio_but_no_images)
{
    struct usage_vector every_output = {
        .units = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048}};
    assert_int_equal(billing_output_tokens(&every_output), 64 + 128 + 256);
    for (size_t i = 0; i < BILLING_CLASS_COUNT; i++)
        every_output.units[i] = BILLING_UNITS_MAX;
    assert_int_equal(billing_output_tokens(&every_output), 3 * (uint64_t)BILLING_UNITS_MAX);
}

static int64_t fee_of(enum byok_unit unit, int64_t list, int64_t units)
{
    money fee = {-1};
    assert_ok(billing_byok_fee(unit, (money){list}, (money){units}, 500, &fee));
    return fee.nano;
}

/* 5 % of the list price, half up: 61,728.4, 0.45, 0.5 and 1.5. */
TEST(the_fee_on_an_own_key_is_rounded_by_itself)
{
    assert_int_equal(fee_of(BYOK_REQUESTS, 1234568, 0), 61728);
    assert_int_equal(fee_of(BYOK_REQUESTS, 9, 0), 0);
    assert_int_equal(fee_of(BYOK_REQUESTS, 10, 0), 1);
    assert_int_equal(fee_of(BYOK_REQUESTS, 30, 0), 2);
}

TEST(a_request_of_the_allowance_is_free_and_of_list_price_the_part_that_is)
{
    assert_int_equal(fee_of(BYOK_REQUESTS, 1234568, 1), 0);
    assert_int_equal(fee_of(BYOK_LIST_PRICE, 1234568, 1), 61728); /* 5 % of 1,234,567: .35 */
    assert_int_equal(fee_of(BYOK_LIST_PRICE, 1000, 600), 20);
    assert_int_equal(fee_of(BYOK_LIST_PRICE, 1000, 1000), 0);
    assert_int_equal(fee_of(BYOK_LIST_PRICE, 1000, 2000), 0);
    money fee;
    assert_fails(billing_byok_fee(BYOK_LIST_PRICE, (money){INT64_MAX}, (money){-1}, 500, &fee),
                 OVERFLOW);
}

TEST(the_split_rounds_each_side_by_itself)
{
    struct price_row row = {.id = 1, .tier_count = 1};
    row.tiers[0].prices[BILLING_prompt] = (price){400000};      /* 0.4 nano-dollars */
    row.tiers[0].prices[BILLING_completion] = (price){1300000}; /* 1.3 */
    struct usage_vector usage = {.units[BILLING_prompt] = 1, .units[BILLING_completion] = 1};
    money input, output;
    assert_ok(billing_charge_split(&row, &usage, &input, &output));
    assert_int_equal(input.nano, 0);
    assert_int_equal(output.nano, 1);
    assert_int_equal(charge_of(&row, &usage), 2); /* 1.7: the charge rules */
}

TEST(counts_and_prices_outside_their_range_are_refused)
{
    struct price_row row = two_tiers();
    money charge;
    struct usage_vector usage = {.units[BILLING_prompt] = BILLING_UNITS_MAX};
    assert_ok(billing_charge(&row, &usage, &charge));
    usage.units[BILLING_prompt]++;
    assert_fails(billing_charge(&row, &usage, &charge), OVERFLOW);
    usage.units[BILLING_prompt] = 1;
    row.tiers[0].prices[BILLING_prompt] = (price){-1};
    assert_fails(billing_charge(&row, &usage, &charge), OVERFLOW);
    row.tiers[0].prices[BILLING_prompt] = (price){INT64_MAX};
    usage.units[BILLING_prompt] = BILLING_UNITS_MAX;
    row.tier_count = 1;
    assert_fails(billing_charge(&row, &usage, &charge), OVERFLOW);
}

TEST(the_greatest_usage_at_500_dollars_is_exact)
{
    struct price_row row = {.id = 1, .tier_count = 1};
    struct usage_vector usage = {0};
    for (size_t i = 0; i < BILLING_CLASS_COUNT; i++) {
        row.tiers[0].prices[i] = DOLLARS_PER_MILLION(500);
        usage.units[i] = BILLING_UNITS_MAX;
    }
    assert_int_equal(charge_of(&row, &usage), 12 * 1073741823500000);
}

static int64_t bound_of(const struct price_row *row, struct billing_bound bound)
{
    money fixed = {-1};
    assert_ok(billing_bound_fixed(row, &bound, &fixed));
    return fixed.nano;
}

TEST(a_bound_takes_the_dearest_input_class_of_the_tiers_within_reach)
{
    struct price_row row = two_tiers();
    /* Up to 1,000 tokens only the first tier: $1 per million. */
    assert_int_equal(bound_of(&row, (struct billing_bound){.input_tokens_max = 1000}), 1000 * 1000);
    assert_int_equal(billing_bound_output_price(&row, 1000).nano_per_million, 2000000000);
    /* One more can reach the second. */
    assert_int_equal(bound_of(&row, (struct billing_bound){.input_tokens_max = 1001}), 1001 * 3000);
    assert_int_equal(billing_bound_output_price(&row, 1001).nano_per_million, 5000000000);
    /* Writing to the cache is dearer than the prompt. */
    row.tiers[0].prices[BILLING_cache_write] = (price){1250000000};
    assert_int_equal(bound_of(&row, (struct billing_bound){.input_tokens_max = 1000}), 1000 * 1250);
    row.tiers[0].prices[BILLING_audio_out] = DOLLARS_PER_MILLION(7);
    assert_int_equal(billing_bound_output_price(&row, 1001).nano_per_million, 7000000000);
}

TEST(a_bound_counts_a_dear_first_tier_beside_a_cheap_second)
{
    struct price_row row = two_tiers();
    row.tiers[0].prices[BILLING_prompt] = DOLLARS_PER_MILLION(10);
    row.tiers[0].prices[BILLING_completion] = DOLLARS_PER_MILLION(20);
    assert_int_equal(bound_of(&row, (struct billing_bound){.input_tokens_max = 2000}),
                     2000 * 10000);
    assert_int_equal(billing_bound_output_price(&row, 2000).nano_per_million, 20000000000);
}

TEST(a_bound_adds_images_requests_and_searches)
{
    struct price_row row = two_tiers();
    row.tiers[0].prices[BILLING_image_in] = (price){1000000ll * 7};
    row.tiers[0].prices[BILLING_request] = (price){1000000ll * 11};
    row.tiers[0].prices[BILLING_web_search] = (price){1000000ll * 13};
    struct billing_bound bound = {
        .input_tokens_max = 100, .images = 2, .requests = 1, .web_searches = 3};
    assert_int_equal(bound_of(&row, bound), 100 * 1000 + 2 * 7 + 11 + 3 * 13);
}

TEST(a_bound_is_rounded_up)
{
    struct price_row row = {.id = 1, .tier_count = 1};
    row.tiers[0].prices[BILLING_prompt] = (price){1}; /* a millionth of a nano-dollar */
    assert_int_equal(bound_of(&row, (struct billing_bound){.input_tokens_max = 1}), 1);
    assert_int_equal(bound_of(&row, (struct billing_bound){.input_tokens_max = 0}), 0);
    assert_int_equal(bound_of(&row, (struct billing_bound){.input_tokens_max = 1000000}), 1);
    assert_int_equal(bound_of(&row, (struct billing_bound){.input_tokens_max = 1000001}), 2);
}

TEST(a_bound_of_hostile_length_is_refused)
{
    struct price_row row = two_tiers();
    struct billing_bound bound = {.input_tokens_max = UINT64_MAX};
    money fixed;
    assert_fails(billing_bound_fixed(&row, &bound, &fixed), OVERFLOW);
}

/* ---- the property ---------------------------------------------------------------------------- */

#define PROPERTY_CASES 200000

/* A linear congruential generator (Knuth's MMIX constants): repeatable, and good enough to pick
 * cases. */
static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 17;
}

static uint64_t below(uint64_t *seed, uint64_t bound)
{
    return next(seed) % bound;
}

/* Prices of very different sizes, so that rounding matters in some cases and tiers in others. */
static price random_price(uint64_t *seed)
{
    static const uint64_t ranges[] = {1, 10, 3000000, 1000000000, 500000000000};
    return (price){(int64_t)below(seed, ranges[below(seed, 5)])};
}

static struct price_row random_row(uint64_t *seed)
{
    struct price_row row = {.id = 1, .tier_count = (uint8_t)(1 + below(seed, BILLING_TIERS_MAX))};
    uint32_t above = 0;
    for (size_t i = 0; i < row.tier_count; i++) {
        row.tiers[i].above_prompt_tokens = above;
        above += (uint32_t)(1 + below(seed, 40));
        for (size_t j = 0; j < BILLING_CLASS_COUNT; j++) {
            row.tiers[i].prices[j] = random_price(seed);
        }
    }
    return row;
}

/* Deals out at most `total` units to some classes: in every second case all of them to one class,
 * where a bound is tightest. */
static void deal(uint64_t *seed, uint64_t total, const enum billing_class *classes, size_t count,
                 struct usage_vector *usage)
{
    if (below(seed, 2) == 0) {
        usage->units[classes[below(seed, count)]] = (uint32_t)total;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t share = (uint32_t)below(seed, total + 1);
        usage->units[classes[i]] = share;
        total -= share;
    }
}

static struct usage_vector random_usage(uint64_t *seed, const struct billing_bound *bound,
                                        uint64_t output_max)
{
    static const enum billing_class inputs[] = {BILLING_cache_read, BILLING_audio_in,
                                                BILLING_cache_write, BILLING_cache_write_1h,
                                                BILLING_prompt};
    static const enum billing_class outputs[] = {BILLING_reasoning, BILLING_audio_out,
                                                 BILLING_completion};
    struct usage_vector usage = {0};
    deal(seed, bound->input_tokens_max, inputs, 5, &usage);
    deal(seed, output_max, outputs, 3, &usage);
    bool all = below(seed, 2) == 0;
    usage.units[BILLING_image_in] =
        all ? bound->images : (uint32_t)below(seed, bound->images + 1ull);
    usage.units[BILLING_request] = bound->requests;
    usage.units[BILLING_web_search] =
        all ? bound->web_searches : (uint32_t)below(seed, bound->web_searches + 1ull);
    return usage;
}

static money hold_for(const struct price_row *row, const struct billing_bound *bound,
                      uint64_t output_max)
{
    money fixed, output;
    assert_ok(billing_bound_fixed(row, bound, &fixed));
    struct money_sum sum = {0};
    assert_ok(
        money_sum_add(&sum, output_max, billing_bound_output_price(row, bound->input_tokens_max)));
    assert_ok(money_sum_round_up(&sum, &output));
    return money_plus(fixed, output);
}

TEST(no_usage_within_a_bound_costs_more_than_its_hold)
{
    uint64_t seed = 20261120;
    int tight = 0;
    for (int i = 0; i < PROPERTY_CASES; i++) {
        uint64_t seed_of_case = seed;
        struct price_row row = random_row(&seed);
        struct billing_bound bound = {.input_tokens_max = below(&seed, 130),
                                      .images = (uint32_t)below(&seed, 3),
                                      .requests = (uint32_t)below(&seed, 2),
                                      .web_searches = (uint32_t)below(&seed, 3)};
        uint64_t output_max = below(&seed, 100);
        struct usage_vector usage = random_usage(&seed, &bound, output_max);
        money hold = hold_for(&row, &bound, output_max);
        money charge = {charge_of(&row, &usage)};
        if (money_less(hold, charge)) {
            fail_msg("seed %llu: a hold of %lld does not cover %lld",
                     (unsigned long long)seed_of_case, (long long)hold.nano,
                     (long long)charge.nano);
        }
        tight += hold.nano > 0 && money_compare(hold, charge) == 0 ? 1 : 0;
    }
    /* The cases come near the bound: some meet it to the nano-dollar. */
    assert_true(tight > 100);
}

TEST(the_estimate_is_a_token_for_four_bytes_rounded_up)
{
    struct usage_vector usage = {.units[BILLING_image_in] = 9};
    usage_estimate(0, 0, &usage);
    assert_int_equal(usage.units[BILLING_prompt], 0);
    assert_int_equal(usage.units[BILLING_completion], 0);
    assert_int_equal(usage.units[BILLING_image_in], 0);
    usage_estimate(1, 4, &usage);
    assert_int_equal(usage.units[BILLING_prompt], 1);
    assert_int_equal(usage.units[BILLING_completion], 1);
    usage_estimate(401, 4003, &usage);
    assert_int_equal(usage.units[BILLING_prompt], 101);
    assert_int_equal(usage.units[BILLING_completion], 1001);
    assert_int_equal(usage.units[BILLING_reasoning], 0);
}

TEST(the_estimate_stays_within_the_range_of_a_count)
{
    struct usage_vector usage;
    usage_estimate(UINT64_MAX, 4ull * BILLING_UNITS_MAX, &usage);
    assert_int_equal(usage.units[BILLING_prompt], BILLING_UNITS_MAX);
    assert_int_equal(usage.units[BILLING_completion], BILLING_UNITS_MAX);
}

/* ---- margins ---- */

TEST(a_margin_raises_every_class_of_every_tier_and_names_the_list_price)
{
    struct price_row list = two_tiers();
    struct price_row marked;
    list.tiers[1].prices[BILLING_cache_read] = (price){15}; /* 16.5: half up */
    assert_ok(billing_with_margin(&list, 1000, &marked));
    assert_int_equal(marked.id, 0);
    assert_int_equal(marked.list, 1);
    assert_int_equal(marked.tier_count, 2);
    assert_int_equal(marked.tiers[1].above_prompt_tokens, 1000);
    assert_int_equal(marked.tiers[0].prices[BILLING_prompt].nano_per_million, 1100000000);
    assert_int_equal(marked.tiers[0].prices[BILLING_cache_read].nano_per_million, 110000000);
    assert_int_equal(marked.tiers[0].prices[BILLING_audio_in].nano_per_million, 0);
    assert_int_equal(marked.tiers[1].prices[BILLING_completion].nano_per_million, 5500000000);
    assert_int_equal(marked.tiers[1].prices[BILLING_cache_read].nano_per_million, 17);
    list.tiers[1].prices[BILLING_web_search] = (price){INT64_MAX};
    assert_fails(billing_with_margin(&list, 1, &marked), OVERFLOW);
}

TEST(a_charge_with_a_margin_is_rounded_once_and_so_is_the_cost_at_the_list_price)
{
    struct price_row list = two_tiers();
    struct price_row marked;
    list.tier_count = 1;
    assert_ok(billing_with_margin(&list, 1000, &marked));
    const struct usage_vector usage = {
        .units = {[BILLING_prompt] = 1234, [BILLING_completion] = 567}};
    /* 1,234 · 1,100 + 567 · 2,200 and 1,234 · 1,000 + 567 · 2,000 nano-dollars */
    assert_int_equal(charge_of(&marked, &usage), 2604800);
    assert_int_equal(charge_of(&list, &usage), 2368000);
}

TEST(prices_are_the_same_whatever_their_ids_and_not_when_a_class_or_a_tier_differs)
{
    struct price_row a = two_tiers(), b = two_tiers();
    b.id = 9;
    b.list = 4;
    assert_true(billing_same_prices(&a, &b));
    b.tiers[1].prices[BILLING_web_search] = (price){1};
    assert_false(billing_same_prices(&a, &b));
    b = two_tiers();
    b.tiers[1].above_prompt_tokens++;
    assert_false(billing_same_prices(&a, &b));
    b = two_tiers();
    b.tier_count = 1;
    assert_false(billing_same_prices(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_have_the_names_of_their_columns),
        cmocka_unit_test(a_charge_is_every_class_at_its_price_and_one_rounding),
        cmocka_unit_test(nothing_used_costs_nothing),
        cmocka_unit_test(a_tier_applies_above_its_count_and_not_at_it),
        cmocka_unit_test(all_input_tokens_select_the_tier),
        cmocka_unit_test(output_tokens_are_completion_reasoning_and_audio_but_no_images),
        cmocka_unit_test(the_fee_on_an_own_key_is_rounded_by_itself),
        cmocka_unit_test(a_request_of_the_allowance_is_free_and_of_list_price_the_part_that_is),
        cmocka_unit_test(the_split_rounds_each_side_by_itself),
        cmocka_unit_test(counts_and_prices_outside_their_range_are_refused),
        cmocka_unit_test(the_greatest_usage_at_500_dollars_is_exact),
        cmocka_unit_test(a_bound_takes_the_dearest_input_class_of_the_tiers_within_reach),
        cmocka_unit_test(a_bound_counts_a_dear_first_tier_beside_a_cheap_second),
        cmocka_unit_test(a_bound_adds_images_requests_and_searches),
        cmocka_unit_test(a_bound_is_rounded_up),
        cmocka_unit_test(a_bound_of_hostile_length_is_refused),
        cmocka_unit_test(no_usage_within_a_bound_costs_more_than_its_hold),
        cmocka_unit_test(the_estimate_is_a_token_for_four_bytes_rounded_up),
        cmocka_unit_test(the_estimate_stays_within_the_range_of_a_count),
        cmocka_unit_test(a_margin_raises_every_class_of_every_tier_and_names_the_list_price),
        cmocka_unit_test(
            a_charge_with_a_margin_is_rounded_once_and_so_is_the_cost_at_the_list_price),
        cmocka_unit_test(
            prices_are_the_same_whatever_their_ids_and_not_when_a_class_or_a_tier_differs),
    };
    return cmocka_run_group_tests_name("billing", tests, NULL, NULL);
}
