/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in the classes that a source does not name, and what is too odd to be a price. */
#include "tests/unit/test.h"

#include "services/catalog/facts.h"

static void name(struct named_prices *tier, enum billing_class class, int64_t value)
{
    tier->named[class] = true;
    tier->prices[class] = (price){value};
}

#define assert_price(row, tier, class, value) \
    assert_int_equal((row).tiers[tier].prices[BILLING_##class].nano_per_million, value)

TEST(classes_without_a_price_follow_the_prompt_or_the_completion)
{
    struct named_prices base = {0};
    struct price_row row;
    name(&base, BILLING_prompt, 100);
    name(&base, BILLING_completion, 400);
    assert_ok(facts_fill_prices(&base, 1, &row));
    assert_int_equal(row.tier_count, 1);
    assert_price(row, 0, cache_read, 100);
    assert_price(row, 0, cache_write, 100);
    assert_price(row, 0, cache_write_1h, 100);
    assert_price(row, 0, audio_in, 100);
    assert_price(row, 0, reasoning, 400);
    assert_price(row, 0, audio_out, 400);
    assert_price(row, 0, image_in, 0);
    assert_price(row, 0, image_out, 0);
    assert_price(row, 0, request, 0);
    assert_price(row, 0, web_search, 0);
}

TEST(writing_for_an_hour_follows_writing_before_it_follows_the_prompt)
{
    struct named_prices base = {0};
    struct price_row row;
    name(&base, BILLING_prompt, 100);
    name(&base, BILLING_completion, 400);
    name(&base, BILLING_cache_write, 125);
    assert_ok(facts_fill_prices(&base, 1, &row));
    assert_price(row, 0, cache_write_1h, 125);
    name(&base, BILLING_cache_write_1h, 200);
    assert_ok(facts_fill_prices(&base, 1, &row));
    assert_price(row, 0, cache_write_1h, 200);
}

TEST(a_tier_takes_what_the_base_names_and_else_follows_its_own_prices)
{
    struct named_prices tiers[2] = {{0}, {.above_prompt_tokens = 200000}};
    struct price_row row;
    name(&tiers[0], BILLING_prompt, 100);
    name(&tiers[0], BILLING_completion, 400);
    name(&tiers[0], BILLING_cache_read, 10);
    name(&tiers[1], BILLING_prompt, 200);
    assert_ok(facts_fill_prices(tiers, 2, &row));
    assert_int_equal(row.tiers[1].above_prompt_tokens, 200000);
    assert_price(row, 1, prompt, 200);
    assert_price(row, 1, completion, 400);  /* the base's */
    assert_price(row, 1, cache_read, 10);   /* the base's */
    assert_price(row, 1, cache_write, 200); /* nobody's: the tier's own prompt */
    assert_price(row, 1, reasoning, 400);
}

TEST(a_price_that_is_named_as_zero_is_not_filled_in)
{
    struct named_prices base = {0};
    struct price_row row;
    name(&base, BILLING_prompt, 100);
    name(&base, BILLING_completion, 400);
    name(&base, BILLING_cache_write, 0);
    assert_ok(facts_fill_prices(&base, 1, &row));
    assert_price(row, 0, cache_write, 0);
}

TEST(rows_without_a_base_price_or_in_disorder_are_refused)
{
    struct named_prices tiers[3] = {{0}, {.above_prompt_tokens = 5}, {.above_prompt_tokens = 5}};
    struct price_row row;
    name(&tiers[0], BILLING_prompt, 100);
    assert_fails(facts_fill_prices(tiers, 1, &row), MISSING_FIELD);
    name(&tiers[0], BILLING_completion, 400);
    assert_ok(facts_fill_prices(tiers, 2, &row));
    assert_fails(facts_fill_prices(tiers, 3, &row), OUT_OF_RANGE);
    assert_fails(facts_fill_prices(tiers, 0, &row), OUT_OF_RANGE);
    assert_fails(facts_fill_prices(&tiers[1], 1, &row), OUT_OF_RANGE);
}

static struct price_row row_of(int64_t prompt, int64_t completion)
{
    struct named_prices base = {0};
    struct price_row row;
    name(&base, BILLING_prompt, prompt);
    name(&base, BILLING_completion, completion);
    assert_ok(facts_fill_prices(&base, 1, &row));
    return row;
}

TEST(five_hundred_dollars_in_and_a_thousand_out_are_the_most)
{
    const int64_t dollar = 1000000000; /* per million tokens */
    struct price_row dearest = row_of(500 * dollar, 1000 * dollar);
    struct price_row input = row_of(500 * dollar + 1, 1000 * dollar);
    struct price_row output = row_of(500 * dollar, 1000 * dollar + 1);
    assert_false(facts_wrong_unit(&dearest));
    assert_true(facts_wrong_unit(&input));
    assert_true(facts_wrong_unit(&output));
}

TEST(a_price_of_zero_is_no_charge)
{
    struct price_row nothing = row_of(0, 0);
    struct price_row half = row_of(100, 0);
    struct price_row priced = row_of(1, 1);
    assert_true(facts_no_charge(&nothing));
    assert_true(facts_no_charge(&half));
    assert_false(facts_no_charge(&priced));
}

TEST(what_is_called_free_and_costs_nothing_is_free)
{
    struct price_row nothing = row_of(0, 0);
    struct price_row half = row_of(0, 100);
    assert_true(facts_is_free(SLICE("meta-llama/llama-3.1:free"), &nothing));
    assert_false(facts_is_free(SLICE("meta-llama/llama-3.1"), &nothing));
    assert_false(facts_is_free(SLICE("meta-llama/free"), &nothing));
    assert_false(facts_is_free(SLICE("meta-llama/llama-3.1:free"), &half));
}

TEST(ids_and_days_are_checked_before_the_database_sees_them)
{
    assert_true(facts_slug_valid(SLICE("openai/gpt-4o-mini")));
    assert_true(facts_slug_valid(SLICE("meta-llama/llama-3.1:free")));
    assert_false(facts_slug_valid(SLICE("OpenAI/gpt")));
    assert_false(facts_slug_valid(SLICE("gpt-4o")));
    assert_false(facts_slug_valid(SLICE("a/b/c")));
    assert_false(facts_slug_valid(SLICE("a/")));
    assert_true(facts_date_valid(SLICE("2026-02-28")));
    assert_false(facts_date_valid(SLICE("2026-02-30")));
    assert_false(facts_date_valid(SLICE("2026-2-3")));
    assert_false(facts_date_valid(SLICE("yesterday")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_without_a_price_follow_the_prompt_or_the_completion),
        cmocka_unit_test(writing_for_an_hour_follows_writing_before_it_follows_the_prompt),
        cmocka_unit_test(a_tier_takes_what_the_base_names_and_else_follows_its_own_prices),
        cmocka_unit_test(a_price_that_is_named_as_zero_is_not_filled_in),
        cmocka_unit_test(rows_without_a_base_price_or_in_disorder_are_refused),
        cmocka_unit_test(five_hundred_dollars_in_and_a_thousand_out_are_the_most),
        cmocka_unit_test(a_price_of_zero_is_no_charge),
        cmocka_unit_test(what_is_called_free_and_costs_nothing_is_free),
        cmocka_unit_test(ids_and_days_are_checked_before_the_database_sees_them),
    };
    return cmocka_run_group_tests_name("facts", tests, NULL, NULL);
}
