/* SPDX-License-Identifier: Apache-2.0 */
/* Requests with own provider keys, where byok.table cannot say it: many that wait for one answer,
 * what is asked of PostgreSQL and when, what it costs that it is away, repeats, hostile figures. */
#include "tests/unit/test.h"

#include "tests/unit/ledger/world.h"

static struct plan_terms set_plan(struct world *world, enum byok_unit unit, int64_t allowance,
                                  uint16_t fee_basis_points)
{
    struct model_plan plan = model_org(&world->model, 1)->plan;
    plan.terms.byok_unit = (uint8_t)unit;
    plan.terms.byok_fee_basis_points = fee_basis_points;
    plan.allowance = allowance;
    return model_set_plan(&world->model, 1, &plan);
}

/* Key 1 of organization 1, which has a dollar, and so many requests a month; 5 % beyond. */
static void with_requests(struct world *world, int64_t allowance)
{
    world_init(world);
    model_org(&world->model, 1)->paid = DOLLAR;
    (void)set_plan(world, BYOK_REQUESTS, allowance, 500);
    (void)model_add_key(&world->model, 1, 1);
}

static void change_plan(struct world *world, enum byok_unit unit, int64_t allowance)
{
    struct plan_terms plan = set_plan(world, unit, allowance, 500);
    world_step_only(world, &(struct core_event){.type = EVENT_PLAN_CHANGED, .plan = &plan});
}

static struct message_hold hold_of(int64_t list)
{
    return (struct message_hold){
        .caller_version = 1, .fixed = {list}, .byok = 1, .price_ids = {1, {WORLD_PRICE}}};
}

static struct message_held take(struct world *world, int64_t list)
{
    struct message_hold message = hold_of(list);
    return world_hold(world, 1, &message);
}

/* The question is not answered. */
static void ask(struct world *world, const struct message_hold *message)
{
    world_step_only(world,
                    &(struct core_event){.type = EVENT_HOLD,
                                         .link = world->link,
                                         .request = 1,
                                         .hold = {.stored = model_hash(1), .message = message}});
}

static int64_t used(struct world *world, enum byok_unit unit)
{
    world_post(world);
    return model_period(&world->model, 1, model_allowance_meter(1, unit),
                        clock_period(CADENCE_MONTH, world->now.wall))
        ->spent;
}

TEST(of_ten_that_wait_for_one_answer_as_many_are_free_as_there_is_room_for)
{
    struct world world;
    with_requests(&world, 3);
    struct message_hold message = hold_of(DOLLAR);
    for (int i = 0; i < 10; i++)
        ask(&world, &message);
    assert_int_equal(core_view(world.core).holds_open, 0);
    world_pump(&world);
    assert_int_equal(core_view(world.core).holds_open, 10);
    assert_int_equal(core_held(world.core, 1).nano, 7 * 5 * CENT);
    for (uint64_t hold = 10; hold > 0; hold--) /* the first three have what is free */
        assert_int_equal(world_settle(&world, 0, hold, DOLLAR), hold > 3 ? 5 * CENT : 0);
    assert_int_equal(used(&world, BYOK_REQUESTS), 3);
    world_free(&world);
}

TEST(an_allowance_that_is_used_up_is_asked_for_once_a_minute)
{
    struct world world;
    with_requests(&world, 1);
    assert_int_equal(world_settle(&world, 0, take(&world, CENT).hold, CENT), 0);
    assert_int_equal(world_settle(&world, 0, take(&world, CENT).hold, CENT), CENT / 20);
    struct message_hold message = hold_of(CENT);
    world_wait(&world, (uint64_t)50 * 1000000000);
    world.answered = false;
    ask(&world, &message);
    assert_true(world.answered); /* from the account's lease, at once */
    world_pump(&world);
    world_wait(&world, (uint64_t)12 * 1000000000);
    world.answered = false;
    ask(&world, &message);
    assert_false(world.answered);
    world_pump(&world);
    assert_true(world.answered);
    world_free(&world);
}

TEST(what_becomes_free_is_kept_for_an_open_request_that_is_to_pay)
{
    struct world world;
    with_requests(&world, 1);
    struct message_held first = take(&world, DOLLAR), second = take(&world, DOLLAR);
    assert_int_equal(first.amount.nano, 0);
    assert_int_equal(second.amount.nano, 5 * CENT);
    assert_int_equal(world_release(&world, 0, first.hold), 0);
    world_wait(&world, (uint64_t)180 * 1000000000); /* leases go back after a minute without use */
    change_plan(&world, BYOK_REQUESTS, 1);
    struct message_held third = take(&world, DOLLAR); /* by the plan of now, and takes it */
    assert_int_equal(third.amount.nano, 0);
    assert_int_equal(world_release(&world, 0, third.hold), 0);
    assert_int_equal(world_settle(&world, 0, second.hold, DOLLAR), 0);
    assert_int_equal(used(&world, BYOK_REQUESTS), 1);
    world_free(&world);
}

TEST(what_nobody_uses_of_an_allowance_goes_back)
{
    struct world world;
    with_requests(&world, 1);
    assert_int_equal(world_release(&world, 0, take(&world, DOLLAR).hold), 0);
    int64_t meter = model_allowance_meter(1, BYOK_REQUESTS);
    int32_t month = clock_period(CADENCE_MONTH, world.now.wall);
    assert_int_equal(model_period(&world.model, 1, meter, month)->leased, 1);
    world_wait(&world, (uint64_t)180 * 1000000000);
    assert_int_equal(model_period(&world.model, 1, meter, month)->leased, 0);
    world_free(&world);
}

/* Some are leased ahead of need, and serve; then nobody pays who might be free. */
TEST(without_postgresql_what_is_leased_is_free_and_the_rest_is_refused)
{
    struct world world;
    with_requests(&world, 100);
    uint64_t holds[8];
    for (size_t i = 0; i < 8; i++)
        holds[i] = take(&world, CENT).hold;
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(world_release(&world, 0, holds[i]), 0);
    world.database_down = true;
    int served = 0;
    struct message_held held = take(&world, CENT);
    for (; held.error == ERROR_NONE && served < 100; served++) {
        assert_int_equal(held.amount.nano, 0);
        held = take(&world, CENT);
    }
    assert_int_equal(held.error, ERROR_LEDGER_DOWN);
    assert_true(served >= 8 && served < 100);
    assert_int_equal(core_held(world.core, 1).nano, 0);
    world_free(&world);
}

TEST(a_frozen_account_gets_no_more_of_its_allowance)
{
    struct world world;
    with_requests(&world, 100);
    model_org(&world.model, 1)->frozen = true;
    assert_int_equal(take(&world, CENT).error, ERROR_ACCOUNT_FROZEN);
    model_org(&world.model, 1)->frozen = false;
    world_step(&world, &(struct core_event){.type = EVENT_CREDIT_CHANGED, .org = 1});
    assert_int_equal(take(&world, CENT).error, ERROR_NONE);
    world_free(&world);
}

/* ---- plans ----------------------------------------------------------------------------------- */

TEST(a_plan_that_changes_while_its_caller_is_read_counts_as_it_is_now)
{
    struct world world;
    with_requests(&world, 0);
    struct message_hold message = hold_of(DOLLAR);
    ask(&world, &message); /* the caller is asked for */
    struct caller_answer old;
    struct key_hash stored = model_hash(1);
    model_answer_caller(&world.model, &stored, &old);
    change_plan(&world, BYOK_LIST_PRICE, 40 * CENT);
    world.question_count = 0;
    world_step_only(&world, &(struct core_event){.type = EVENT_CALLER, .caller = &old});
    world_pump(&world);
    assert_int_equal(world.last.held.amount.nano, 3 * CENT); /* 5 % of 60 cents */
    world_free(&world);
}

TEST(a_request_without_an_own_key_does_not_wait_for_a_plan)
{
    struct world world;
    with_requests(&world, 1);
    struct message_hold message = hold_of(CENT);
    message.byok = 0;
    struct message_held held = world_hold(&world, 1, &message);
    assert_int_equal(held.amount.nano, CENT);
    change_plan(&world, BYOK_REQUESTS, 2);
    (void)world_release(&world, 0, held.hold);
    world.answered = false;
    ask(&world, &message);
    assert_true(world.answered);
    assert_int_equal(world.last.held.error, ERROR_NONE);
    world_free(&world);
}

/* ---- endings --------------------------------------------------------------------------------- */

static void settle_with_own_key(struct world *world, uint64_t n, uint64_t hold, int64_t list)
{
    struct message_settle message = {.n = n,
                                     .hold = hold,
                                     .price_id = WORLD_PRICE,
                                     .usage = world_usage(list),
                                     .charge = {list},
                                     .facts = {.flags = FACT_BYOK}};
    world_step(world, &(struct core_event){
                          .type = EVENT_SETTLE,
                          .link = world->link,
                          .settle = {.message = &message, .place = world_place(world, hold)}});
    assert_true(world->answered && world->last.type == ACTION_SETTLED);
}

TEST(a_repeated_settle_is_told_the_fee_and_one_whose_answer_is_gone_that_it_is_not_known)
{
    struct world world;
    with_requests(&world, 0);
    uint64_t hold = take(&world, DOLLAR).hold;
    settle_with_own_key(&world, ++world.n, hold, DOLLAR);
    assert_int_equal(world.last.settled.charge.nano, 5 * CENT);
    settle_with_own_key(&world, 1, hold, DOLLAR);
    assert_int_equal(world.last.settled.charge.nano, 5 * CENT);
    struct message_hold free_model = {
        .caller_version = 1, .model_class = MODEL_PAID, .price_ids = {1, {WORLD_PRICE}}};
    for (int i = 0; i < 513; i++) /* the ring has 512 places */
        (void)world_release(&world, 0, world_hold(&world, 1, &free_model).hold);
    settle_with_own_key(&world, 1, hold, DOLLAR);
    assert_int_equal(world.last.settled.charge.nano, -1);
    world_free(&world);
}

TEST(no_provider_is_owed_for_an_own_key_however_it_ended)
{
    struct world world;
    with_requests(&world, 0);
    uint64_t hold = take(&world, DOLLAR).hold;
    struct message_release message = {.n = ++world.n,
                                      .hold = hold,
                                      .absorbed = 1,
                                      .price_id = WORLD_PRICE,
                                      .usage = world_usage(DOLLAR)};
    size_t before = world.disk.len;
    world_step(&world, &(struct core_event){
                           .type = EVENT_RELEASE,
                           .link = world.link,
                           .release = {.message = &message, .place = world_place(&world, hold)}});
    struct record record;
    struct record_ending ending;
    size_t taken;
    assert_ok(record_next(slice_from(buffer_slice(&world.disk), before), &record, &taken));
    assert_ok(record_decode_ending(record.payload, &ending));
    assert_int_equal(ending.state, ENDING_ABSORBED);
    assert_int_equal(ending.byok_unit, BYOK_REQUESTS);
    assert_int_equal(ending.provider_cost.nano, 0);
    assert_int_equal(ending.charge.nano, 0);
    assert_int_equal(ending.byok_list.nano, 0);
    world_free(&world);
}

TEST(a_record_without_own_key_is_as_long_as_before_there_were_any_and_has_none)
{
    struct buffer bytes;
    struct record record;
    struct record_hold hold = {.hold = 1, .org = 7, .byok_unit = BYOK_REQUESTS, .byok_list = {5}};
    size_t taken;
    buffer_init(&bytes, RECORD_SIZE_MAX * 2);
    record_append_hold(&bytes, (struct record_place){.seq = 1}, &hold);
    assert_ok(record_next(buffer_slice(&bytes), &record, &taken));
    slice older = slice_first(record.payload, record.payload.len - 21); /* 1 + 2 + 8 + 8 + 2 */
    assert_ok(record_decode_hold(older, &hold));
    assert_int_equal(hold.org, 7);
    assert_int_equal(hold.byok_unit, BYOK_NONE);
    assert_int_equal(hold.byok_list.nano, 0);
    struct record_hold without = {.hold = 1, .org = 7};
    buffer_clear(&bytes);
    record_append_hold(&bytes, (struct record_place){.seq = 1}, &without);
    assert_ok(record_next(buffer_slice(&bytes), &record, &taken));
    assert_int_equal(record.payload.len, older.len);
    buffer_free(&bytes);
}

/* Where the fee is nothing, nothing bounds the list price but what money can count. */
TEST(the_greatest_list_prices_break_nothing)
{
    struct world world;
    with_requests(&world, 0);
    (void)set_plan(&world, BYOK_LIST_PRICE, INT64_MAX, 0);
    uint64_t holds[3];
    for (size_t i = 0; i < 3; i++) {
        struct message_held held = take(&world, INT64_MAX);
        assert_int_equal(held.error, ERROR_NONE);
        holds[i] = held.hold;
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(world_settle(&world, 0, holds[i], DOLLAR), 0);
    change_plan(&world, BYOK_REQUESTS, 0); /* 5 % of it is more than the account has */
    assert_int_equal(take(&world, INT64_MAX).error, ERROR_NO_CREDIT);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_ten_that_wait_for_one_answer_as_many_are_free_as_there_is_room_for),
        cmocka_unit_test(an_allowance_that_is_used_up_is_asked_for_once_a_minute),
        cmocka_unit_test(what_becomes_free_is_kept_for_an_open_request_that_is_to_pay),
        cmocka_unit_test(what_nobody_uses_of_an_allowance_goes_back),
        cmocka_unit_test(without_postgresql_what_is_leased_is_free_and_the_rest_is_refused),
        cmocka_unit_test(a_frozen_account_gets_no_more_of_its_allowance),
        cmocka_unit_test(a_plan_that_changes_while_its_caller_is_read_counts_as_it_is_now),
        cmocka_unit_test(a_request_without_an_own_key_does_not_wait_for_a_plan),
        cmocka_unit_test(
            a_repeated_settle_is_told_the_fee_and_one_whose_answer_is_gone_that_it_is_not_known),
        cmocka_unit_test(no_provider_is_owed_for_an_own_key_however_it_ended),
        cmocka_unit_test(a_record_without_own_key_is_as_long_as_before_there_were_any_and_has_none),
        cmocka_unit_test(the_greatest_list_prices_break_nothing),
    };
    return cmocka_run_group_tests_name("ledger own keys", tests, NULL, NULL);
}
