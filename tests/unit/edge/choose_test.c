/* SPDX-License-Identifier: Apache-2.0 */
/* The order of endpoints: what excludes one, what comes first, and that draws follow 1/price². */
#include <stdlib.h>

#include "services/edge/choose.h"
#include "tests/unit/test.h"

#define ENDPOINTS 8
#define NAMES(...)                                       \
    ((struct choose_names){(const slice[]){__VA_ARGS__}, \
                           sizeof((const slice[]){__VA_ARGS__}) / sizeof(slice)})

/* A model with endpoints 1, 2, … of providers "p1", "p2", … at a prompt price of 1 dollar a
 * million tokens each. */
struct shop {
    struct market_provider providers[ENDPOINTS];
    struct price_row prices[ENDPOINTS];
    struct market_endpoint endpoints[ENDPOINTS];
    struct market_model model;
    struct choose_wish wish;
    struct health_board *board;
    struct choose_result result;
};

static const slice slugs[ENDPOINTS] = {{"p1", 2}, {"p2", 2}, {"p3", 2}, {"p4", 2},
                                       {"p5", 2}, {"p6", 2}, {"p7", 2}, {"p8", 2}};

static void set_price(struct shop *shop, size_t index, int64_t dollars_per_million)
{
    shop->prices[index].tiers[0].prices[BILLING_prompt].nano_per_million =
        dollars_per_million * NANO_PER_DOLLAR;
}

static void shop_open(struct shop *shop, uint32_t count)
{
    *shop = (struct shop){.board = health_board_new()};
    for (uint32_t i = 0; i < ENDPOINTS; i++) {
        shop->providers[i] = (struct market_provider){.id = i + 1, .slug = slugs[i]};
        shop->prices[i] = (struct price_row){.id = i + 1, .tier_count = 1};
        set_price(shop, i, 1);
        shop->endpoints[i] = (struct market_endpoint){
            .id = i + 1, .provider = &shop->providers[i], .price = &shop->prices[i]};
    }
    shop->model = (struct market_model){.context_length = 10000,
                                        .output_max = 4000,
                                        .endpoint_count = count,
                                        .endpoints = shop->endpoints};
    shop->wish = (struct choose_wish){.model = &shop->model, .input_tokens_estimate = 5000};
}

static status shop_choose(struct shop *shop, uint64_t random)
{
    return choose_endpoints(&shop->wish, shop->board, 1000, random, &shop->result);
}

/* The ids of the candidates as digits. */
static void expect_order(struct shop *shop, const char *ids)
{
    char text[CANDIDATES_MAX + 1] = "";
    for (uint8_t i = 0; i < shop->result.count; i++) {
        text[i] = (char)('0' + shop->result.candidates[i]->id);
    }
    assert_string_equal(text, ids);
}

#define shop_close(shop) free((shop)->board)

/* ---- exclusion ------------------------------------------------------------------------------- */

TEST(each_reason_excludes_and_is_told)
{
    struct shop shop;
    shop_open(&shop, 8);
    shop.wish.input_tokens_estimate = 100;
    shop.endpoints[0].disabled = true;
    shop.endpoints[1].price = NULL;
    shop.endpoints[2].upstream_context = 99;
    shop.endpoints[3].output_max = 49;
    shop.providers[4].dialect = DIALECT_GEMINI;
    shop.wish.output_want = 50;
    shop.wish.ignore = NAMES(SLICE("p6"));
    shop.wish.only = NAMES(SLICE("p8"), SLICE("p1"), SLICE("p2"), SLICE("p3"), SLICE("p4"),
                           SLICE("p5"), SLICE("p6"));
    assert_ok(shop_choose(&shop, 1));
    expect_order(&shop, "8");
    static const uint8_t reasons[] = {EXCLUDED_DISABLED, EXCLUDED_UNPRICED, EXCLUDED_CONTEXT,
                                      EXCLUDED_OUTPUT,   EXCLUDED_DIALECT,  EXCLUDED_IGNORED,
                                      EXCLUDED_ONLY,     EXCLUDED_NOT};
    assert_memory_equal(shop.result.excluded, reasons, sizeof(reasons));
    shop_close(&shop);
}

TEST(context_and_output_fit_up_to_their_bounds)
{
    struct shop shop;
    shop_open(&shop, 1);
    shop.wish.input_tokens_estimate = 6000;
    shop.wish.output_want = 4000; /* the model's own bounds: 10,000 and 4,000 */
    assert_ok(shop_choose(&shop, 1));
    shop.wish.input_tokens_estimate = 6001;
    assert_fails(shop_choose(&shop, 1), CONTEXT_TOO_LONG);
    shop.wish.input_tokens_estimate = 1;
    shop.wish.output_want = 4001;
    assert_fails(shop_choose(&shop, 1), OUT_OF_RANGE);
    shop.endpoints[0].output_max = 5000; /* the endpoint's own rule over the model's */
    assert_ok(shop_choose(&shop, 1));
    shop.model.context_length = 0; /* not known */
    shop.wish.input_tokens_estimate = 1ull << 60;
    assert_ok(shop_choose(&shop, 1));
    shop_close(&shop);
}

TEST(what_is_refused_is_told_by_what_would_help)
{
    struct shop shop;
    shop_open(&shop, 2);
    shop.endpoints[0].price = shop.endpoints[1].price = NULL;
    assert_fails(shop_choose(&shop, 1), UNPRICED_MODEL);
    shop.endpoints[0].price = &shop.prices[0];
    shop.endpoints[0].disabled = true;
    assert_fails(shop_choose(&shop, 1), NO_ENDPOINT);
    shop.model.endpoint_count = 0;
    assert_fails(shop_choose(&shop, 1), NO_ENDPOINT);
    shop_close(&shop);
}

TEST(too_long_an_answer_is_refused_with_the_largest_that_would_be_served)
{
    struct shop shop;
    shop_open(&shop, 3); /* the model's own bounds: 10,000 and 4,000 */
    shop.wish.input_tokens_estimate = 1;
    shop.wish.output_want = 9000;
    shop.endpoints[1].output_max = 5000;
    shop.endpoints[2].output_max = 8000;
    shop.endpoints[2].disabled = true;
    assert_fails(shop_choose(&shop, 1), OUT_OF_RANGE);
    assert_int_equal(shop.result.output_largest, 5000);
    shop.wish.input_tokens_estimate = 5500; /* leaves 4,500 of the context */
    assert_fails(shop_choose(&shop, 1), OUT_OF_RANGE);
    assert_int_equal(shop.result.output_largest, 4500);
    shop.wish.output_want = 4500;
    assert_ok(shop_choose(&shop, 1));
    shop.wish.output_want = 9000;
    shop.wish.input_tokens_estimate = 10000; /* no answer at all would fit */
    assert_fails(shop_choose(&shop, 1), CONTEXT_TOO_LONG);
    shop_close(&shop);
}

TEST(a_provider_without_a_codec_is_reached_through_the_simulator)
{
    struct shop shop;
    shop_open(&shop, 1);
    shop.providers[0].dialect = DIALECT_BEDROCK;
    assert_fails(shop_choose(&shop, 1), NO_ENDPOINT);
    shop.providers[0].simulated = true;
    assert_ok(shop_choose(&shop, 1));
    shop_close(&shop);
}

TEST(beside_a_real_provider_a_simulated_one_is_never_asked)
{
    struct shop shop;
    shop_open(&shop, 3);
    shop.providers[0].simulated = shop.providers[2].simulated = true;
    for (uint64_t random = 0; random < 50; random++) {
        assert_ok(shop_choose(&shop, random));
        assert_int_equal(shop.result.count, 3); /* nothing is live yet */
    }
    shop.model.live = true;
    assert_ok(shop_choose(&shop, 1));
    expect_order(&shop, "2");
    assert_int_equal(shop.result.excluded[0], EXCLUDED_SIMULATED);
    shop.endpoints[1].disabled = true;
    assert_fails(shop_choose(&shop, 1), NO_ENDPOINT);
    shop_close(&shop);
}

/* ---- order ----------------------------------------------------------------------------------- */

TEST(stable_endpoints_come_before_degraded_and_those_before_the_rest)
{
    struct shop shop;
    shop_open(&shop, 4);
    set_price(&shop, 3, 1000);
    health_board_set(shop.board, 1, HEALTH_DOWN);
    health_board_set(shop.board, 3, HEALTH_DEGRADED);
    health_board_observe(shop.board, 2, ATTEMPT_NOT_FOUND, 500,
                         0); /* what this process saw counts too */
    for (uint64_t random = 0; random < 50; random++) {
        assert_ok(shop_choose(&shop, random));
        assert_int_equal(shop.result.count, 4);
        assert_int_equal(shop.result.candidates[0]->id, 4);
        assert_int_equal(shop.result.candidates[1]->id, 3);
    }
    shop_close(&shop);
}

TEST(endpoints_are_drawn_with_the_inverse_square_of_their_price)
{
    struct shop shop;
    shop_open(&shop, 2);
    set_price(&shop, 1, 3); /* 1 dollar against 3: nine to one */
    int first = 0;
    for (uint64_t random = 0; random < 10000; random++) {
        assert_ok(shop_choose(&shop, random));
        assert_int_equal(shop.result.count, 2);
        first += shop.result.candidates[0]->id == 1;
    }
    /* 9,000 expected; the standard deviation is 30, so this fails once in 10^10 seeds. */
    assert_in_range(first, 8800, 9200);
    shop_close(&shop);
}

TEST(equal_prices_share_equally)
{
    struct shop shop;
    shop_open(&shop, 4);
    int firsts[5] = {0};
    for (uint64_t random = 0; random < 8000; random++) {
        assert_ok(shop_choose(&shop, random));
        firsts[shop.result.candidates[0]->id]++;
    }
    for (int id = 1; id <= 4; id++) {
        assert_in_range(firsts[id], 1750, 2250); /* 2,000 expected, deviation 39 */
    }
    shop_close(&shop);
}

TEST(free_and_absurdly_dear_endpoints_are_both_drawn_from)
{
    struct shop shop;
    shop_open(&shop, 3);
    set_price(&shop, 0, 0);
    shop.prices[2].tiers[0].prices[BILLING_prompt].nano_per_million = INT64_MAX;
    for (uint64_t random = 0; random < 100; random++) {
        assert_ok(shop_choose(&shop, random));
        expect_order(&shop, "123");
    }
    shop_close(&shop);
}

TEST(the_same_random_number_gives_the_same_order)
{
    struct shop shop;
    shop_open(&shop, 8);
    assert_ok(shop_choose(&shop, 12345));
    struct choose_result first = shop.result;
    assert_ok(shop_choose(&shop, 12345));
    assert_memory_equal(&first, &shop.result, sizeof(first));
    shop_close(&shop);
}

TEST(sorted_by_price_nothing_is_drawn)
{
    struct shop shop;
    shop_open(&shop, 4);
    shop.wish.sort = CHOOSE_BY_PRICE;
    set_price(&shop, 0, 4);
    set_price(&shop, 1, 2);
    set_price(&shop, 2, 3);
    set_price(&shop, 3, 2); /* equal prices: the lower id first */
    for (uint64_t random = 0; random < 20; random++) {
        assert_ok(shop_choose(&shop, random));
        expect_order(&shop, "2431");
    }
    health_board_set(shop.board, 2, HEALTH_DOWN);
    assert_ok(shop_choose(&shop, 1));
    expect_order(&shop, "4312");
    shop_close(&shop);
}

TEST(the_price_counts_prompt_and_answer_of_this_request)
{
    struct shop shop;
    shop_open(&shop, 2);
    shop.wish.sort = CHOOSE_BY_PRICE;
    set_price(&shop, 0, 1);
    set_price(&shop, 1, 2);
    shop.prices[0].tiers[0].prices[BILLING_completion].nano_per_million = 100LL * NANO_PER_DOLLAR;
    shop.wish.input_tokens_estimate = 10; /* 10 + 50,000 against 20 */
    assert_ok(shop_choose(&shop, 1));
    expect_order(&shop, "21");
    shop.wish.input_tokens_estimate = 60000; /* 60,000 + 50,000 against 120,000 */
    shop.model.context_length = 0;
    assert_ok(shop_choose(&shop, 1));
    expect_order(&shop, "12");
    shop_close(&shop);
}

TEST(named_providers_come_first_in_the_order_of_their_names)
{
    struct shop shop;
    shop_open(&shop, 4);
    shop.wish.order = NAMES(SLICE("P3"), SLICE("unknown"), SLICE("p1")); /* letters of any case */
    health_board_set(shop.board, 3, HEALTH_DOWN);                        /* the client insists */
    set_price(&shop, 1, 1000);
    shop.wish.sort = CHOOSE_BY_PRICE;
    assert_ok(shop_choose(&shop, 7));
    expect_order(&shop, "3142");
    shop_close(&shop);
}

TEST(without_fallbacks_only_the_named_or_the_first_remain)
{
    struct shop shop;
    shop_open(&shop, 4);
    shop.wish.no_fallbacks = true;
    assert_ok(shop_choose(&shop, 7));
    assert_int_equal(shop.result.count, 1);
    assert_int_equal(shop.result.excluded[shop.result.candidates[0]->id - 1], EXCLUDED_NOT);
    shop.wish.order = NAMES(SLICE("p4"), SLICE("p2"));
    assert_ok(shop_choose(&shop, 7));
    expect_order(&shop, "42");
    assert_int_equal(shop.result.excluded[0], EXCLUDED_SURPLUS);
    shop.wish.order = NAMES(SLICE("unknown"));
    assert_fails(shop_choose(&shop, 7), NO_ENDPOINT);
    shop_close(&shop);
}

TEST(a_base_name_means_every_variant_and_a_variant_itself)
{
    struct shop shop;
    shop_open(&shop, 3);
    shop.providers[0].slug = SLICE("vertex/us-east5");
    shop.providers[1].slug = SLICE("vertex");
    shop.providers[2].slug = SLICE("vertexed");
    shop.wish.sort = CHOOSE_BY_PRICE;
    shop.wish.only = NAMES(SLICE("vertex"));
    assert_ok(shop_choose(&shop, 1));
    expect_order(&shop, "12");
    shop.wish.only = NAMES(SLICE("vertex/us-east5"));
    assert_ok(shop_choose(&shop, 1));
    expect_order(&shop, "1");
    shop_close(&shop);
}

TEST(of_many_endpoints_eight_are_candidates_and_the_rest_surplus)
{
    struct shop shop;
    shop_open(&shop, 1);
    static struct market_endpoint many[300];
    for (uint32_t i = 0; i < 300; i++) {
        many[i] = shop.endpoints[0];
        many[i].id = i + 1;
    }
    shop.model.endpoints = many;
    shop.model.endpoint_count = 300;
    assert_ok(shop_choose(&shop, 3));
    assert_int_equal(shop.result.count, 8);
    int chosen = 0, surplus = 0;
    for (int i = 0; i < 32; i++) {
        chosen += shop.result.excluded[i] == EXCLUDED_NOT;
        surplus += shop.result.excluded[i] == EXCLUDED_SURPLUS;
    }
    assert_int_equal(chosen + surplus, 32);
    assert_true(chosen <= 8);
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < i; j++) {
            assert_ptr_not_equal(shop.result.candidates[i], shop.result.candidates[j]);
        }
    }
    shop_close(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reason_excludes_and_is_told),
        cmocka_unit_test(context_and_output_fit_up_to_their_bounds),
        cmocka_unit_test(what_is_refused_is_told_by_what_would_help),
        cmocka_unit_test(too_long_an_answer_is_refused_with_the_largest_that_would_be_served),
        cmocka_unit_test(a_provider_without_a_codec_is_reached_through_the_simulator),
        cmocka_unit_test(beside_a_real_provider_a_simulated_one_is_never_asked),
        cmocka_unit_test(stable_endpoints_come_before_degraded_and_those_before_the_rest),
        cmocka_unit_test(endpoints_are_drawn_with_the_inverse_square_of_their_price),
        cmocka_unit_test(equal_prices_share_equally),
        cmocka_unit_test(free_and_absurdly_dear_endpoints_are_both_drawn_from),
        cmocka_unit_test(the_same_random_number_gives_the_same_order),
        cmocka_unit_test(sorted_by_price_nothing_is_drawn),
        cmocka_unit_test(the_price_counts_prompt_and_answer_of_this_request),
        cmocka_unit_test(named_providers_come_first_in_the_order_of_their_names),
        cmocka_unit_test(without_fallbacks_only_the_named_or_the_first_remain),
        cmocka_unit_test(a_base_name_means_every_variant_and_a_variant_itself),
        cmocka_unit_test(of_many_endpoints_eight_are_candidates_and_the_rest_surplus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
