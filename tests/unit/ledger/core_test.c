/* SPDX-License-Identifier: Apache-2.0 */
/* The core event by event, where a table line cannot say it: order of answers and syncs, numbers,
 * capacity. */
#include "tests/unit/test.h"

#include "services/ledger/core/state.h"
#include "tests/unit/ledger/world.h"

TEST(a_settle_is_acknowledged_only_after_the_sync_that_covers_it)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    struct message_held held = world_take(&world, 10 * CENT);
    struct message_settle settle = {.n = 1,
                                    .hold = held.hold,
                                    .price_id = WORLD_PRICE,
                                    .usage = world_usage(3 * CENT),
                                    .charge = {3 * CENT}};
    struct core_event event = {
        .type = EVENT_SETTLE,
        .link = world.link,
        .settle = {.message = &settle, .place = world_place(&world, held.hold)}};
    world.answered = false;
    world_step_only(&world, &event);
    assert_false(world.answered);
    world_sync(&world);
    assert_true(world.answered);
    assert_int_equal(world.last.settled.charge.nano, 3 * CENT);
    world_free(&world);
}

TEST(a_settle_is_acknowledged_at_once_where_durability_is_fast)
{
    struct world world;
    world_init(&world);
    core_free(&world.core);
    world.settings.strict = false;
    world.core = core_new(&world.settings);
    world_step_only(&world, &(struct core_event){.type = EVENT_PRICES, .prices = world.prices});
    world_connect(&world, NULL, 0);
    model_org(&world.model, 1)->paid = DOLLAR;
    (void)model_add_key(&world.model, 1, 1);
    struct message_held held = world_take(&world, CENT);
    struct message_settle settle = {.n = 1,
                                    .hold = held.hold,
                                    .price_id = WORLD_PRICE,
                                    .usage = world_usage(CENT),
                                    .charge = {CENT}};
    struct core_event event = {
        .type = EVENT_SETTLE,
        .link = world.link,
        .settle = {.message = &settle, .place = world_place(&world, held.hold)}};
    world.answered = false;
    world_step_only(&world, &event);
    assert_true(world.answered);
    world_free(&world);
}

TEST(a_repeated_settle_is_acknowledged_without_a_record)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    struct message_held held = world_take(&world, 10 * CENT);
    assert_int_equal(world_settle(&world, 1, held.hold, 3 * CENT), 3 * CENT);
    uint64_t seq = core_view(world.core).seq_last;
    assert_int_equal(world_settle(&world, 1, held.hold, 3 * CENT), 3 * CENT);
    assert_int_equal(core_view(world.core).seq_last, seq);
    world_free(&world);
}

TEST(a_gap_in_the_numbers_closes_the_connection_and_books_nothing)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    struct message_held first = world_take(&world, 10 * CENT);
    struct message_held second = world_take(&world, 10 * CENT);
    assert_int_equal(world_settle(&world, 1, first.hold, CENT), CENT);
    assert_int_equal(world_settle(&world, 3, second.hold, CENT), -1);
    assert_true(world.closed);
    assert_int_equal(core_view(world.core).holds_open, 1);
    world_free(&world);
}

TEST(another_thread_of_the_edge_cannot_settle_a_hold)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    struct message_held held = world_take(&world, 10 * CENT);
    struct message_hello hello = {
        .version = MESSAGE_VERSION, .incarnation = WORLD_EDGE, .thread = 1};
    world_step(&world, &(struct core_event){.type = EVENT_HELLO, .link = 99, .hello = &hello});
    struct message_settle settle = {.n = 1,
                                    .hold = held.hold,
                                    .price_id = WORLD_PRICE,
                                    .usage = world_usage(CENT),
                                    .charge = {CENT}};
    struct core_event event = {
        .type = EVENT_SETTLE,
        .link = 99,
        .settle = {.message = &settle, .place = world_place(&world, held.hold)}};
    world_step(&world, &event);
    assert_int_equal(world.last.settled.charge.nano, 0);
    assert_int_equal(core_view(world.core).holds_open, 1);
    world_free(&world);
}

TEST(a_hold_of_another_incarnation_is_not_settled)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    struct message_held held = world_take(&world, 10 * CENT);
    struct message_settle settle = {.n = 1,
                                    .hold = held.hold,
                                    .price_id = WORLD_PRICE,
                                    .usage = world_usage(CENT),
                                    .charge = {CENT}};
    struct generation_place place = world_place(&world, held.hold);
    place.incarnation++;
    world_step(&world, &(struct core_event){.type = EVENT_SETTLE,
                                            .link = world.link,
                                            .settle = {.message = &settle, .place = place}});
    assert_int_equal(world.last.settled.charge.nano, 0);
    assert_int_equal(core_view(world.core).holds_open, 1);
    world_free(&world);
}

TEST(a_charge_that_the_edge_computed_differently_is_booked_as_the_ledger_computes_it)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    struct message_held held = world_take(&world, 10 * CENT);
    struct message_settle settle = {.n = 1,
                                    .hold = held.hold,
                                    .price_id = WORLD_PRICE,
                                    .usage = world_usage(3 * CENT),
                                    .charge = {1}};
    world_step(&world, &(struct core_event){.type = EVENT_SETTLE,
                                            .link = world.link,
                                            .settle = {.message = &settle,
                                                       .place = world_place(&world, held.hold)}});
    assert_int_equal(world.last.settled.charge.nano, 3 * CENT);
    world_post(&world);
    assert_int_equal(world.model.rows[0].charge, 3 * CENT);
    world_free(&world);
}

TEST(holds_wait_while_the_database_is_down_and_are_refused_as_down_not_as_poor)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    struct message_held held = world_take(&world, CENT); /* the caller is known now */
    (void)world_settle(&world, 0, held.hold, 0);
    world.database_down = true;
    struct message_held refused = world_take(&world, 90 * CENT);
    assert_int_equal(refused.error, ERROR_LEDGER_DOWN);
    world.database_down = false;
    assert_int_equal(world_take(&world, 90 * CENT).error, ERROR_NONE);
    world_free(&world);
}

TEST(what_is_leased_serves_while_the_database_is_down)
{
    struct world world;
    world_with_credit(&world, 10 * DOLLAR);
    uint64_t first = world_take(&world, DOLLAR).hold;
    uint64_t second = world_take(&world, DOLLAR).hold;
    (void)world_settle(&world, 0, first, 0);
    (void)world_settle(&world, 0, second, 0);
    world.database_down = true;
    assert_int_equal(world_take(&world, 2 * DOLLAR).error, ERROR_NONE);
    world_free(&world);
}

TEST(no_hold_is_admitted_without_room_in_the_journal_for_its_ending)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    assert_int_equal(world_take(&world, CENT).error, ERROR_NONE);
    world_step_only(&world, &(struct core_event){.type = EVENT_JOURNAL,
                                                 .journal = {.room = 2 * RECORD_SIZE_MAX}});
    struct message_hold message = world_hold_of(CENT);
    struct core_event event = {
        .type = EVENT_HOLD, .link = world.link, .hold = {model_hash(1), &message}};
    world_step_only(&world, &event);
    assert_int_equal(world.last.held.error, ERROR_LEDGER_FULL);
    world_free(&world);
}

TEST(more_holds_than_slots_are_refused_and_a_freed_slot_serves_again)
{
    struct world world;
    world_with_credit(&world, 1000 * DOLLAR);
    uint64_t first = 0;
    for (uint32_t i = 0; i < world.settings.holds_max; i++) {
        struct message_held held = world_take(&world, CENT);
        assert_int_equal(held.error, ERROR_NONE);
        if (i == 0) first = held.hold;
    }
    assert_int_equal(world_take(&world, CENT).error, ERROR_LEDGER_FULL);
    (void)world_settle(&world, 0, first, CENT);
    assert_int_equal(world_take(&world, CENT).error, ERROR_NONE);
    world_free(&world);
}

TEST(a_settle_after_the_ledgers_own_release_becomes_a_correction_that_charges_nothing)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    struct message_held held = world_take(&world, 10 * CENT);
    world_step(&world, &(struct core_event){.type = EVENT_LINK_GONE, .link = world.link});
    world_wait(&world, 11000000000);
    world_connect(&world, NULL, 0);
    assert_int_equal(world_settle(&world, 0, held.hold, 5 * CENT), 0);
    world_post(&world);
    assert_int_equal(world.model.row_count, 2);
    assert_int_equal(world.model.rows[0].part, 0);
    assert_int_equal(world.model.rows[0].state, ENDING_ABSORBED);
    assert_int_equal(world.model.rows[1].part, 1);
    assert_int_equal(world.model.rows[1].hold, held.hold);
    assert_int_equal(world.model.rows[1].charge, 0);
    assert_int_equal(world.model.rows[1].told, 0);
    assert_int_equal(model_org(&world.model, 1)->paid + model_org(&world.model, 1)->escrow, DOLLAR);
    world_free(&world);
}

/* ---- a limit that changes while something runs ---- */

static void with_limit(struct world *world, int64_t nano)
{
    world_with_credit(world, 100 * DOLLAR);
    model_key(&world->model, 1)->has_limit = true;
    model_key(&world->model, 1)->limit = nano;
}

static void change_limit(struct world *world, int64_t nano)
{
    model_key(&world->model, 1)->limit = nano;
    world_step(world, &(struct core_event){.type = EVENT_KEY_CHANGED, .stored = model_hash(1)});
}

TEST(what_a_hold_leaves_over_after_a_restart_is_not_spent_under_the_limit_from_before)
{
    struct world world;
    with_limit(&world, 3 * DOLLAR);
    uint64_t hold = world_take(&world, 2 * DOLLAR).hold;
    change_limit(&world, DOLLAR);
    world_crash(&world, world.disk.len);
    world_connect(&world, &hold, 1);
    assert_int_equal(world_settle(&world, 0, hold, 40 * CENT), 40 * CENT);
    world_post(&world);
    assert_int_equal(world_take(&world, 61 * CENT).error, ERROR_KEY_LIMIT);
    assert_int_equal(world_take(&world, 60 * CENT).error, ERROR_NONE);
    world_free(&world);
}

/* A hold of 10 cents is open; the ledger dies, and at its start posting and moving wait for
 * PostgreSQL for twenty seconds, twice what an edge is waited for. */
static uint64_t start_slowly(struct world *world)
{
    world_with_credit(world, DOLLAR);
    uint64_t hold = world_take(world, 10 * CENT).hold;
    world_crash(world, world->disk.len);
    world->now.boot_ns += 20000000000;
    core_await_edges(world->core, world->now);
    return hold;
}

/* The first thing that is done when edges can connect again is a tick. */
TEST(a_start_that_took_long_leaves_an_edge_the_time_to_come_back)
{
    struct world world;
    uint64_t hold = start_slowly(&world);
    world_step(&world, &(struct core_event){.type = EVENT_TICK});
    world_wait(&world, 9000000000);
    world_connect(&world, &hold, 1);
    assert_int_equal(world_settle(&world, 0, hold, 4 * CENT), 4 * CENT);
    world_free(&world);
}

TEST(an_edge_that_does_not_come_back_after_a_long_start_loses_its_holds_after_ten_seconds)
{
    struct world world;
    uint64_t hold = start_slowly(&world);
    world_wait(&world, 10050000000);
    world_connect(&world, &hold, 1);
    assert_int_equal(world_settle(&world, 0, hold, 4 * CENT), 0);
    world_free(&world);
}

/* What is leased does not suffice, so there is a question now. */
static void ask_for_a_hold(struct world *world, int64_t nano)
{
    struct message_hold message = world_hold_of(nano);
    struct core_event event = {
        .type = EVENT_HOLD, .link = world->link, .hold = {model_hash(1), &message}};
    world_step_only(world, &event);
    assert_int_equal(world->question_count, 1);
}

TEST(what_a_question_in_flight_brings_is_not_spent_under_the_limit_from_before)
{
    struct world world;
    with_limit(&world, 5 * DOLLAR);
    (void)world_settle(&world, 0, world_take(&world, CENT).hold, 0);
    ask_for_a_hold(&world, 3 * DOLLAR);
    struct lease_answer answer = {0};
    model_answer_lease(&world.model, world.settings.epoch, &world.questions[0].lease, &answer);
    world.question_count = 0;
    model_key(&world.model, 1)->limit = DOLLAR; /* after the answer was made, before it arrives */
    world_step_only(&world,
                    &(struct core_event){.type = EVENT_KEY_CHANGED, .stored = model_hash(1)});
    world_step(&world, &(struct core_event){.type = EVENT_LEASE, .lease = &answer});
    world_wait(&world, 1000000000);
    assert_int_equal(world.last.held.error, ERROR_KEY_LIMIT);
    assert_int_equal(world_take(&world, 101 * CENT).error, ERROR_KEY_LIMIT);
    assert_int_equal(world_take(&world, 100 * CENT).error, ERROR_NONE);
    world_free(&world);
}

TEST(a_question_that_fails_after_a_change_refuses_its_holds_and_is_not_repeated_at_once)
{
    struct world world;
    world_with_credit(&world, 10 * DOLLAR);
    (void)world_settle(&world, 0, world_take(&world, CENT).hold, 0);
    ask_for_a_hold(&world, 9 * DOLLAR);
    world_step_only(&world, &(struct core_event){.type = EVENT_CREDIT_CHANGED, .org = 1});
    world.question_count = 0;
    struct lease_answer failed = {.org = 1, .failed = true};
    world_step_only(&world, &(struct core_event){.type = EVENT_LEASE, .lease = &failed});
    assert_int_equal(world.last.held.error, ERROR_LEDGER_DOWN);
    assert_int_equal(world.question_count, 0);
    world_free(&world);
}

TEST(what_a_lost_answer_lent_is_not_spent_under_the_old_limit_though_credit_came_since)
{
    struct world world;
    with_limit(&world, 5 * DOLLAR);
    (void)world_settle(&world, 0, world_take(&world, CENT).hold, 0);
    ask_for_a_hold(&world, 3 * DOLLAR);
    struct lease_answer lost = {0};
    model_answer_lease(&world.model, world.settings.epoch, &world.questions[0].lease, &lost);
    world.question_count = 0;
    model_key(&world.model, 1)->limit = DOLLAR;
    world_step_only(&world,
                    &(struct core_event){.type = EVENT_KEY_CHANGED, .stored = model_hash(1)});
    lost = (struct lease_answer){.org = 1, .failed = true};
    world_step_only(&world, &(struct core_event){.type = EVENT_LEASE, .lease = &lost});
    world_step_only(&world, &(struct core_event){.type = EVENT_CREDIT_CHANGED, .org = 1});
    world_wait(&world, 1000000000);
    assert_int_equal(world_take(&world, 101 * CENT).error, ERROR_KEY_LIMIT);
    assert_int_equal(world_take(&world, 100 * CENT).error, ERROR_NONE);
    world_free(&world);
}

TEST(a_limit_that_changed_while_its_key_had_no_slot_counts_when_the_key_has_one_again)
{
    struct world world;
    with_limit(&world, 5 * DOLLAR);
    (void)model_add_key(&world.model, 1, 2);
    core_free(&world.core);
    world.settings.callers_max = 1;
    world.core = core_new(&world.settings);
    world_step_only(&world, &(struct core_event){.type = EVENT_PRICES, .prices = world.prices});
    world_connect(&world, NULL, 0);
    (void)world_settle(&world, 0, world_take(&world, 2 * DOLLAR).hold, 0);
    struct message_hold other = world_hold_of(CENT);
    assert_int_equal(world_hold(&world, 2, &other).error, ERROR_NONE); /* takes the slot */
    change_limit(&world, DOLLAR);
    assert_int_equal(world_take(&world, 101 * CENT).error, ERROR_KEY_LIMIT);
    assert_int_equal(world_take(&world, 100 * CENT).error, ERROR_NONE);
    world_free(&world);
}

TEST(what_holds_since_a_change_leave_over_serves_the_next_without_a_question)
{
    struct world world;
    with_limit(&world, 5 * DOLLAR);
    uint64_t before = world_take(&world, DOLLAR).hold;
    change_limit(&world, 4 * DOLLAR);
    uint64_t since = world_take(&world, DOLLAR).hold;
    (void)world_settle(&world, 0, before, 0);
    (void)world_take(&world, DOLLAR); /* one is always open */
    world.database_down = true;
    (void)world_settle(&world, 0, since, 0);
    assert_int_equal(world_take(&world, DOLLAR).error, ERROR_NONE);
    world_free(&world);
}

TEST(what_has_no_known_list_price_charges_nothing_and_owes_nothing)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    world.prices->rows[prices_find(world.prices, WORLD_MARKED) - world.prices->rows].list = 99;
    struct message_hold message = world_hold_of(10 * CENT);
    message.price_ids.items[0] = WORLD_MARKED;
    uint64_t hold = world_hold(&world, 1, &message).hold;
    const struct usage_vector usage = {.units = {[BILLING_prompt] = 1000}};
    assert_int_equal(world_settle_marked(&world, hold, &usage), 0);
    world_post(&world);
    const struct model_row *row = &world.model.rows[world.model.row_count - 1];
    assert_int_equal(row->state, ENDING_ABSORBED);
    assert_int_equal(row->charge, 0);
    assert_int_equal(world.model.payable, 0);
    world_free(&world);
}

/* ---- a plan that changes while its callers are read ---- */

static struct plan_terms plan_of(uint64_t version, uint32_t output_default)
{
    return (struct plan_terms){
        .plan = 1, .version = version, .output_default = output_default, .output_min = 1};
}

static void change_plan(struct world *world, uint64_t version, uint32_t output_default)
{
    struct plan_terms plan = plan_of(version, output_default);
    world_step_only(world, &(struct core_event){.type = EVENT_PLAN_CHANGED, .plan = &plan});
}

/* Tokens that are held for when nobody names a number. */
static uint32_t tokens_held(struct world *world, int64_t key)
{
    struct message_hold message = world_hold_of(CENT);
    message.output_want = 16384;
    message.output_min = 1;
    message.output_price.nano_per_million = 1000000;
    message.may_shrink = 1;
    struct message_held held = world_hold(world, key, &message);
    assert_int_equal(held.error, ERROR_NONE);
    return held.output_max;
}

TEST(a_plan_that_was_read_before_its_change_does_not_undo_it)
{
    struct world world;
    world_with_credit(&world, 10 * DOLLAR);
    (void)model_add_key(&world.model, 1, 2);
    model_org(&world.model, 1)->plan.terms = plan_of(7, 500);
    assert_int_equal(tokens_held(&world, 1), 500);
    change_plan(&world, 8, 300);
    change_plan(&world, 7, 500); /* told in the other order */
    assert_int_equal(tokens_held(&world, 1), 300);
    assert_int_equal(tokens_held(&world, 2), 300); /* read now, as of before the change */
    assert_int_equal(tokens_held(&world, 1), 300);
    model_org(&world.model, 1)->plan.terms =
        plan_of(9, 400); /* changed by another host: the next reading tells */
    (void)model_add_key(&world.model, 1, 3);
    assert_int_equal(tokens_held(&world, 3), 400);
    assert_int_equal(tokens_held(&world, 1), 400);
    world_free(&world);
}

TEST(a_caller_that_moves_to_another_plan_is_held_for_by_that_one)
{
    struct world world;
    world_with_credit(&world, 10 * DOLLAR);
    model_org(&world.model, 1)->plan.terms = plan_of(1, 500);
    assert_int_equal(tokens_held(&world, 1), 500);
    model_org(&world.model, 1)->plan.terms = plan_of(1, 200);
    model_org(&world.model, 1)->plan.terms.plan = 2;
    world_step(&world, &(struct core_event){.type = EVENT_LIMITS_CHANGED, .org = 1});
    assert_int_equal(tokens_held(&world, 1), 200);
    change_plan(&world, 2, 100); /* of the plan from before */
    assert_int_equal(tokens_held(&world, 1), 200);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_settle_is_acknowledged_only_after_the_sync_that_covers_it),
        cmocka_unit_test(a_settle_is_acknowledged_at_once_where_durability_is_fast),
        cmocka_unit_test(a_repeated_settle_is_acknowledged_without_a_record),
        cmocka_unit_test(a_gap_in_the_numbers_closes_the_connection_and_books_nothing),
        cmocka_unit_test(another_thread_of_the_edge_cannot_settle_a_hold),
        cmocka_unit_test(a_hold_of_another_incarnation_is_not_settled),
        cmocka_unit_test(
            a_charge_that_the_edge_computed_differently_is_booked_as_the_ledger_computes_it),
        cmocka_unit_test(holds_wait_while_the_database_is_down_and_are_refused_as_down_not_as_poor),
        cmocka_unit_test(what_is_leased_serves_while_the_database_is_down),
        cmocka_unit_test(no_hold_is_admitted_without_room_in_the_journal_for_its_ending),
        cmocka_unit_test(more_holds_than_slots_are_refused_and_a_freed_slot_serves_again),
        cmocka_unit_test(
            a_settle_after_the_ledgers_own_release_becomes_a_correction_that_charges_nothing),
        cmocka_unit_test(
            what_a_hold_leaves_over_after_a_restart_is_not_spent_under_the_limit_from_before),
        cmocka_unit_test(a_start_that_took_long_leaves_an_edge_the_time_to_come_back),
        cmocka_unit_test(
            an_edge_that_does_not_come_back_after_a_long_start_loses_its_holds_after_ten_seconds),
        cmocka_unit_test(what_a_question_in_flight_brings_is_not_spent_under_the_limit_from_before),
        cmocka_unit_test(
            a_question_that_fails_after_a_change_refuses_its_holds_and_is_not_repeated_at_once),
        cmocka_unit_test(
            what_a_lost_answer_lent_is_not_spent_under_the_old_limit_though_credit_came_since),
        cmocka_unit_test(
            a_limit_that_changed_while_its_key_had_no_slot_counts_when_the_key_has_one_again),
        cmocka_unit_test(what_holds_since_a_change_leave_over_serves_the_next_without_a_question),
        cmocka_unit_test(what_has_no_known_list_price_charges_nothing_and_owes_nothing),
        cmocka_unit_test(a_plan_that_was_read_before_its_change_does_not_undo_it),
        cmocka_unit_test(a_caller_that_moves_to_another_plan_is_held_for_by_that_one),
    };
    return cmocka_run_group_tests_name("ledger core", tests, NULL, NULL);
}
