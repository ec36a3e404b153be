/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits, where rates.table cannot say it: many at once, what a success tells, the order of a
 * place and its answer, slots that are used again. */
#include "tests/unit/test.h"

#include "tests/unit/ledger/world.h"

#define MINUTE_NS ((int64_t)60 * 1000000000)

/* Keys 1 to `keys` of one organization, which can pay. */
static void with_keys(struct world *world, int64_t keys, struct rate_limits limits)
{
    world_init(world);
    model_org(&world->model, 1)->paid = 100 * DOLLAR;
    for (int64_t key = 1; key <= keys; key++)
        model_add_key(&world->model, 1, key)->rates = limits;
}

static void with_slots(struct world *world, uint32_t slots)
{
    core_free(&world->core);
    world->settings.rates_max = slots;
    world->core = core_new(&world->settings);
    world_step_only(world, &(struct core_event){.type = EVENT_PRICES, .prices = world->prices});
    world_connect(world, NULL, 0);
}

static struct message_held take(struct world *world, int64_t key)
{
    struct message_hold message = {
        .caller_version = 1, .fixed = {DOLLAR / 100}, .price_ids = {1, {WORLD_PRICE}}};
    return world_hold(world, key, &message);
}

static struct message_held take_free(struct world *world, int64_t key)
{
    struct message_hold message = {
        .caller_version = 1, .model_class = MODEL_FREE, .price_ids = {1, {WORLD_PRICE}}};
    return world_hold(world, key, &message);
}

TEST(of_200_requests_on_a_key_with_room_for_three_three_are_admitted)
{
    struct world world;
    with_keys(&world, 1, (struct rate_limits){.concurrent = 3});
    uint32_t admitted = 0, refused = 0;
    for (int i = 0; i < 200; i++) {
        uint16_t error = take(&world, 1).error;
        admitted += error == ERROR_NONE;
        refused += error == ERROR_RATE_CONCURRENT;
    }
    assert_int_equal(admitted, 3);
    assert_int_equal(refused, 197);
    assert_int_equal(core_held(world.core, 1).nano, 3 * DOLLAR / 100);
    world_free(&world);
}

TEST(a_place_is_free_before_the_end_of_the_request_that_had_it_is_acknowledged)
{
    struct world world;
    with_keys(&world, 1, (struct rate_limits){.concurrent = 1});
    uint64_t hold = take(&world, 1).hold;
    struct message_settle message = {.n = ++world.n, .hold = hold, .price_id = WORLD_PRICE};
    world_step_only(&world, &(struct core_event){.type = EVENT_SETTLE,
                                                 .link = world.link,
                                                 .settle = {&message, world_place(&world, hold)}});
    assert_int_equal(world.settled_count, 0); /* its record is not synced */
    struct message_hold next = {.caller_version = 1, .price_ids = {1, {WORLD_PRICE}}};
    world_step_only(&world,
                    &(struct core_event){.type = EVENT_HOLD,
                                         .link = world.link,
                                         .hold = {.stored = model_hash(1), .message = &next}});
    assert_int_equal(world.last.type, ACTION_HELD);
    assert_int_equal(world.last.held.error, ERROR_NONE);
    assert_int_equal(world.settled_count, 0);
    world_sync(&world);
    assert_int_equal(world.settled_count, 1);
    world_free(&world);
}

TEST(an_admitted_request_is_told_what_is_left_of_the_tightest_limit_of_requests)
{
    struct world world;
    with_keys(&world, 1, (struct rate_limits){.requests = 5});
    struct message_held held = take(&world, 1);
    assert_int_equal(held.rate_owner, RATE_KEY);
    assert_int_equal(held.rate_limit, 5);
    assert_int_equal(held.rate_remaining, 4);
    /* 2026-11-20T12:01:00Z: the world begins at noon. */
    assert_int_equal(held.resets_ns, 1795176060000000000);
    held = take_free(&world, 1); /* of the class 19 are left, of the key 3 */
    assert_int_equal(held.rate_owner, RATE_KEY);
    assert_int_equal(held.rate_remaining, 3);
    (void)model_add_key(&world.model, 1, 2);
    held = take_free(&world, 2);
    assert_int_equal(held.rate_owner, RATE_FREE_MODELS);
    assert_int_equal(held.rate_limit, 20);
    assert_int_equal(held.rate_remaining, 18);
    assert_int_equal(take(&world, 2).rate_limit, 0); /* no limit, nothing to tell */
    world_free(&world);
}

TEST(a_request_that_waits_for_money_has_taken_no_rate)
{
    struct world world;
    with_keys(&world, 1, (struct rate_limits){.requests = 1});
    world.database_down = true; /* no lease can be had */
    (void)model_add_key(&world.model, 1, 2);
    assert_int_equal(take(&world, 1).error, ERROR_LEDGER_DOWN);
    world.database_down = false;
    world_wait(&world, 1000000000);
    assert_int_equal(take(&world, 1).error, ERROR_NONE);
    assert_int_equal(take(&world, 1).error, ERROR_RATE_REQUESTS);
    world_free(&world);
}

TEST(a_class_that_no_edge_knows_is_a_paid_one)
{
    struct world world;
    with_keys(&world, 1, (struct rate_limits){0});
    struct message_hold message = {
        .caller_version = 1, .model_class = 200, .price_ids = {1, {WORLD_PRICE}}};
    assert_int_equal(world_hold(&world, 1, &message).error, ERROR_NONE);
    assert_int_equal(core_free_requests(world.core, world.now, 1), 0);
    world_free(&world);
}

TEST(without_a_free_slot_a_limited_request_is_refused_until_the_minute_is_over)
{
    struct world world;
    with_keys(&world, 3, (struct rate_limits){.requests = 5});
    (void)model_add_key(&world.model, 1, 4);
    with_slots(&world, 2);
    uint64_t running = take(&world, 1).hold;
    (void)world_settle(&world, 0, take(&world, 2).hold, 0);
    assert_int_equal(take(&world, 3).error, ERROR_LEDGER_FULL);
    assert_int_equal(take(&world, 4).error, ERROR_NONE); /* it has no limits and needs none */
    world.now.wall.ns += MINUTE_NS;
    assert_int_equal(take(&world, 3).error, ERROR_NONE);        /* in the place of key 2 */
    assert_int_equal(take(&world, 2).error, ERROR_LEDGER_FULL); /* one of key 1 runs */
    (void)world_release(&world, 0, running);
    assert_int_equal(take(&world, 2).error, ERROR_NONE);
    world_free(&world);
}

TEST(a_slot_that_counts_a_day_is_not_used_again_before_the_day_is_over)
{
    struct world world;
    with_keys(&world, 1, (struct rate_limits){0});
    (void)model_add_key(&world.model, 2, 2);
    with_slots(&world, 1);
    (void)world_release(&world, 0, take_free(&world, 1).hold);
    world.now.wall.ns += 10 * MINUTE_NS;
    assert_int_equal(take_free(&world, 2).error, ERROR_LEDGER_FULL);
    assert_int_equal(core_free_requests(world.core, world.now, 1), 1);
    world.now.wall.ns += 12 * 60 * MINUTE_NS;
    assert_int_equal(take_free(&world, 2).error, ERROR_NONE);
    world_free(&world);
}

TEST(a_start_with_fewer_slots_than_the_day_needs_gives_nothing_away)
{
    struct world world;
    with_keys(&world, 1, (struct rate_limits){0});
    (void)model_add_key(&world.model, 2, 2);
    const uint64_t open[] = {take_free(&world, 1).hold, take_free(&world, 2).hold};
    world.settings.rates_max = 1;
    world_crash(&world, world.disk.len);
    world_connect(&world, open, 2);
    assert_int_equal(core_free_requests(world.core, world.now, 1), 1);
    assert_int_equal(take_free(&world, 1).error, ERROR_NONE);
    assert_int_equal(take_free(&world, 2).error, ERROR_LEDGER_FULL);
    assert_int_equal(world_release(&world, 0, open[1]), 0); /* what runs may end */
    world_free(&world);
}

static void use_up_the_day(struct world *world, int64_t key)
{
    for (int i = 0; i < MODEL_FREE_PER_DAY; i++) {
        if (i % MODEL_FREE_PER_MINUTE == 0) world->now.wall.ns += MINUTE_NS;
        struct message_held held = take_free(world, key);
        assert_int_equal(held.error, ERROR_NONE);
        (void)world_release(world, 0, held.hold);
    }
    assert_int_equal(take_free(world, key).error, ERROR_RATE_DAY);
}

/* Found by the simulator: a question that got no answer passed for knowledge. */
TEST(a_purchase_counts_though_the_first_reading_after_it_failed)
{
    struct world world;
    with_keys(&world, 1, (struct rate_limits){0});
    use_up_the_day(&world, 1);
    model_org(&world.model, 1)->purchased = MODEL_FREE_BOUGHT;
    world_step(&world, &(struct core_event){.type = EVENT_CREDIT_CHANGED, .org = 1});
    world_wait(&world, 61000000000); /* the caller is due to be read again */
    world.database_down = true;
    assert_int_equal(take(&world, 1).error, ERROR_LEDGER_DOWN); /* for want of a lease */
    world.database_down = false;
    assert_int_equal(take_free(&world, 1).error, ERROR_NONE);
    world_free(&world);
}

/* The caller is read anew before it is refused for the day; a failing of that is no free pass. */
TEST(a_request_beyond_the_day_is_refused_while_postgresql_is_down_after_a_purchase)
{
    struct world world;
    with_keys(&world, 1, (struct rate_limits){0});
    use_up_the_day(&world, 1);
    world_step(&world, &(struct core_event){.type = EVENT_CREDIT_CHANGED, .org = 1});
    world.database_down = true;
    assert_int_not_equal(take_free(&world, 1).error, ERROR_NONE);
    world.database_down = false;
    model_org(&world.model, 1)->purchased = MODEL_FREE_BOUGHT;
    assert_int_equal(take_free(&world, 1).error, ERROR_NONE);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_200_requests_on_a_key_with_room_for_three_three_are_admitted),
        cmocka_unit_test(a_place_is_free_before_the_end_of_the_request_that_had_it_is_acknowledged),
        cmocka_unit_test(
            an_admitted_request_is_told_what_is_left_of_the_tightest_limit_of_requests),
        cmocka_unit_test(a_request_that_waits_for_money_has_taken_no_rate),
        cmocka_unit_test(a_class_that_no_edge_knows_is_a_paid_one),
        cmocka_unit_test(without_a_free_slot_a_limited_request_is_refused_until_the_minute_is_over),
        cmocka_unit_test(a_slot_that_counts_a_day_is_not_used_again_before_the_day_is_over),
        cmocka_unit_test(a_start_with_fewer_slots_than_the_day_needs_gives_nothing_away),
        cmocka_unit_test(a_purchase_counts_though_the_first_reading_after_it_failed),
        cmocka_unit_test(
            a_request_beyond_the_day_is_refused_while_postgresql_is_down_after_a_purchase),
    };
    return cmocka_run_group_tests_name("ledger rates", tests, NULL, NULL);
}
