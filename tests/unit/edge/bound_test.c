/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of a hold, worked out by hand. */
#include "services/edge/bound.h"

#include "tests/unit/test.h"

/* $0.15 and $0.60 per million tokens: 150 and 600 nano-dollars per token. */
static const struct price_row cheap = {
    .id = 11,
    .tier_count = 1,
    .tiers = {{.prices = {[BILLING_prompt] = {150000000},
                          [BILLING_cache_read] = {75000000},
                          [BILLING_completion] = {600000000},
                          [BILLING_reasoning] = {600000000}}}},
};
/* $0.10 and $2.00 per million, $0.001 per image, $0.01 per request. */
static const struct price_row dear = {
    .id = 12,
    .tier_count = 1,
    .tiers = {{.prices = {[BILLING_prompt] = {100000000},
                          [BILLING_completion] = {2000000000},
                          [BILLING_image_in] = {1000000000000},
                          [BILLING_request] = {10000000000000}}}},
};
static const struct market_model model = {
    .context_length = 8000,
    .output_max = 4096,
    .input_modalities = MODALITY_TEXT | MODALITY_IMAGE,
    .image_tokens_max = 1000,
};
static const struct market_endpoint at_cheap = {.price = &cheap};
static const struct market_endpoint at_dear = {.price = &dear, .output_max = 2048};

TEST(input_is_bounded_by_bytes_templates_and_images)
{
    const struct wish wish = {.choices = 1, .text_bytes = 100, .messages = 2, .images = 3};
    /* 100 + 2 × 8 + 16 + 3 × 1000 */
    assert_int_equal(bound_input_tokens(&wish, &model), 3132);
}

TEST(a_hold_takes_the_dearest_of_its_candidates_figure_by_figure)
{
    const struct wish wish = {.choices = 1, .text_bytes = 100, .messages = 1, .output_want = 20};
    const struct choose_result choice = {.candidates = {&at_cheap, &at_dear}, .count = 2};
    struct message_hold hold = {0};
    assert_ok(bound_hold(&wish, &model, &choice, &hold));
    /* 124 input tokens: 18,600 at the first; 12,400 and a request for 10,000,000 at the second. */
    assert_int_equal(hold.fixed.nano, 10012400);
    assert_int_equal(hold.output_price.nano_per_million, 2000000000);
    assert_int_equal(hold.output_want, 20);
    assert_int_equal(hold.output_min, 20);
    assert_int_equal(hold.may_shrink, 0);
    assert_int_equal(hold.price_ids.count, 2);
    assert_int_equal(hold.price_ids.items[0], 11);
    assert_int_equal(hold.price_ids.items[1], 12);
}

TEST(every_choice_is_held_for)
{
    const struct wish wish = {.choices = 3, .messages = 1, .output_want = 20};
    const struct choose_result choice = {.candidates = {&at_cheap}, .count = 1};
    struct message_hold hold = {0};
    assert_ok(bound_hold(&wish, &model, &choice, &hold));
    assert_int_equal(hold.output_want, 60);
    assert_int_equal(bound_output(&wish, &model, &at_cheap, 60), 20);
}

TEST(an_unnamed_output_is_what_the_best_candidate_can_do_and_may_shrink)
{
    const struct wish wish = {.choices = 2, .text_bytes = 30, .messages = 1};
    const struct choose_result choice = {.candidates = {&at_dear, &at_cheap}, .count = 2};
    struct message_hold hold = {0};
    assert_ok(bound_hold(&wish, &model, &choice, &hold));
    /* The model's 4,096 at the first provider's side, 2,048 at the other, for two choices. */
    assert_int_equal(hold.output_want, 8192);
    assert_int_equal(hold.output_min, 2);
    assert_int_equal(hold.choices, 2);
    assert_int_equal(hold.may_shrink, 1);
    assert_int_equal(bound_output(&wish, &model, &at_dear, 8192), 2048);
    assert_int_equal(bound_output(&wish, &model, &at_cheap, 8192), 4096);
    /* A shrunk hold is shared by the choices. */
    assert_int_equal(bound_output(&wish, &model, &at_cheap, 1001), 500);
}

/* The ledger takes the plan's part of it. */
TEST(an_unnamed_output_of_a_model_without_a_known_maximum_is_not_bounded_here)
{
    const struct wish wish = {.choices = 3, .text_bytes = 30, .messages = 1};
    const struct choose_result choice = {.candidates = {&at_cheap}, .count = 1};
    const struct market_model unknown = {.input_modalities = MODALITY_TEXT};
    struct message_hold hold = {0};
    assert_ok(bound_hold(&wish, &unknown, &choice, &hold));
    assert_int_equal(hold.output_want, UINT32_MAX); /* which is three times 1,431,655,765 */
    assert_int_equal(hold.may_shrink, 1);
    assert_int_equal(bound_output(&wish, &unknown, &at_cheap, 300), 100);
}

TEST(an_unnamed_output_leaves_room_for_the_prompt_in_the_context)
{
    /* 21,000 bytes: taken as 7,000 tokens, and 24 of the template; 8,000 are there. */
    const struct wish wish = {.choices = 1, .text_bytes = 21000, .messages = 1};
    assert_int_equal(bound_output(&wish, &model, &at_cheap, 16384), 976);
    /* Never below the least that is worth it: the provider then says whether it fits. */
    const struct wish full = {.choices = 1, .text_bytes = 90000, .messages = 1};
    assert_int_equal(bound_output(&full, &model, &at_cheap, 16384), 256);
    assert_int_equal(bound_output(&full, &model, &at_cheap, 100), 100); /* nor above the hold */
}

TEST(a_named_output_is_sent_as_it_was_named)
{
    const struct wish wish = {.choices = 1, .messages = 1, .output_want = 100000};
    assert_int_equal(bound_output(&wish, &model, &at_dear, 100000), 100000);
}

TEST(images_need_a_bound_by_tokens_or_a_price_by_the_piece)
{
    const struct wish wish = {.choices = 1, .messages = 1, .images = 1};
    const struct market_model unknown = {.input_modalities = MODALITY_IMAGE};
    const struct market_model blind = {.input_modalities = MODALITY_TEXT, .image_tokens_max = 10};
    const struct choose_result by_piece = {.candidates = {&at_dear}, .count = 1};
    const struct choose_result mixed = {.candidates = {&at_dear, &at_cheap}, .count = 2};
    assert_ok(bound_check_content(&wish, &model, &mixed));
    assert_ok(bound_check_content(&wish, &unknown, &by_piece));
    assert_fails(bound_check_content(&wish, &unknown, &mixed), UNSUPPORTED_CONTENT);
    assert_fails(bound_check_content(&wish, &blind, &mixed), UNSUPPORTED_CONTENT);
    const struct wish text = {.choices = 1, .messages = 1};
    assert_ok(bound_check_content(&text, &blind, &mixed));
}

/* A hold must cover whatever is charged within its bounds, at any candidate. */
TEST(no_charge_within_the_bounds_is_above_the_hold)
{
    const struct choose_result choice = {.candidates = {&at_cheap, &at_dear}, .count = 2};
    for (uint32_t bytes = 0; bytes < 3000; bytes += 37) {
        const struct wish wish = {.choices = 1,
                                  .text_bytes = bytes,
                                  .messages = 1 + bytes % 5,
                                  .images = bytes % 3,
                                  .output_want = 1 + bytes % 777};
        struct message_hold hold = {0};
        assert_ok(bound_hold(&wish, &model, &choice, &hold));
        const struct usage_vector usage = {
            .units = {
                [BILLING_prompt] = (uint32_t)bound_input_tokens(&wish, &model),
                [BILLING_completion] = wish.output_want,
                [BILLING_image_in] = wish.images,
                [BILLING_request] = 1,
            }};
        struct money_sum output = {0};
        money held;
        assert_ok(money_sum_add(&output, hold.output_want, hold.output_price));
        assert_ok(money_sum_round_up(&output, &held));
        for (uint8_t i = 0; i < choice.count; i++) {
            money charge;
            assert_ok(billing_charge(choice.candidates[i]->price, &usage, &charge));
            assert_true(charge.nano <= held.nano + hold.fixed.nano);
        }
    }
}

TEST(a_hold_is_of_a_free_model_where_no_candidate_can_cost_anything)
{
    static const struct price_row nothing = {.id = 9, .tier_count = 2};
    static struct price_row fee = {.id = 10, .tier_count = 2};
    fee.tiers[1].prices[BILLING_request].nano_per_million = 1;
    const struct market_endpoint at_nothing = {.price = &nothing};
    const struct market_endpoint at_fee = {.price = &fee};
    const struct wish wish = {.choices = 1, .text_bytes = 9, .messages = 1, .output_want = 5};
    const struct choose_result all_free = {.candidates = {&at_nothing, &at_nothing}, .count = 2};
    const struct choose_result mixed = {.candidates = {&at_nothing, &at_cheap}, .count = 2};
    const struct choose_result with_fee = {.candidates = {&at_fee}, .count = 1};
    struct message_hold hold = {0};
    assert_ok(bound_hold(&wish, &model, &all_free, &hold));
    assert_int_equal(hold.model_class, MODEL_FREE);
    hold = (struct message_hold){0};
    assert_ok(bound_hold(&wish, &model, &mixed, &hold));
    assert_int_equal(hold.model_class, MODEL_PAID);
    hold = (struct message_hold){0};
    assert_ok(bound_hold(&wish, &model, &with_fee, &hold));
    assert_int_equal(hold.model_class, MODEL_PAID);
}

TEST(a_prompt_counts_for_a_minutes_tokens_as_an_estimate_counts_it)
{
    const struct choose_result choice = {.candidates = {&at_cheap}, .count = 1};
    const struct wish nine = {.choices = 1, .text_bytes = 9, .messages = 7, .output_want = 5};
    struct message_hold hold = {0};
    assert_ok(bound_hold(&nine, &model, &choice, &hold));
    assert_int_equal(hold.input_tokens, 3); /* ceil(9 / 4) */
    const struct wish seen = {.choices = 1, .text_bytes = 8, .messages = 1, .images = 2};
    hold = (struct message_hold){0};
    assert_ok(bound_hold(&seen, &model, &choice, &hold));
    assert_int_equal(hold.input_tokens, 2 + 2 * model.image_tokens_max);
}

TEST(no_legal_answer_is_longer_than_the_bound_of_its_text)
{
    /* 50 runs of 128 blanks are a token each: 6,400 bytes, and 4,096 beside them. */
    assert_int_equal(bound_text_bytes(50), 10496);
    assert_int_equal(bound_text_bytes(0), 4096);
    assert_int_equal(bound_text_bytes(UINT32_MAX), 549755817856);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_is_bounded_by_bytes_templates_and_images),
        cmocka_unit_test(a_hold_takes_the_dearest_of_its_candidates_figure_by_figure),
        cmocka_unit_test(every_choice_is_held_for),
        cmocka_unit_test(an_unnamed_output_is_what_the_best_candidate_can_do_and_may_shrink),
        cmocka_unit_test(an_unnamed_output_of_a_model_without_a_known_maximum_is_not_bounded_here),
        cmocka_unit_test(an_unnamed_output_leaves_room_for_the_prompt_in_the_context),
        cmocka_unit_test(a_named_output_is_sent_as_it_was_named),
        cmocka_unit_test(images_need_a_bound_by_tokens_or_a_price_by_the_piece),
        cmocka_unit_test(no_charge_within_the_bounds_is_above_the_hold),
        cmocka_unit_test(a_hold_is_of_a_free_model_where_no_candidate_can_cost_anything),
        cmocka_unit_test(a_prompt_counts_for_a_minutes_tokens_as_an_estimate_counts_it),
        cmocka_unit_test(no_legal_answer_is_longer_than_the_bound_of_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
