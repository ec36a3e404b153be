/* SPDX-License-Identifier: Apache-2.0 */
/* Leases and callers as the core keeps them: how many questions it asks at once, when slots are
 * used again, what goes back and when. */
#include "tests/unit/test.h"

#include "services/ledger/core/state.h"
#include "tests/unit/ledger/world.h"

#define MINUTE ((uint64_t)60 * 1000000000)

/* ---- more questions than there is room for ---- */

static void begin_with(struct world *world, uint32_t waiting_max, uint32_t questions_max)
{
    world_with_credit(world, DOLLAR);
    core_free(&world->core);
    world->settings.waiting_max = waiting_max;
    world->settings.questions_max = questions_max;
    world->core = core_new(&world->settings);
    world_step_only(world, &(struct core_event){.type = EVENT_PRICES, .prices = world->prices});
    world_connect(world, NULL, 0);
}

/* Keys that nobody has ever made, each another; answers how many were refused for want of room. */
static int flood(struct world *world, int64_t first, int count)
{
    int full = 0;
    for (int64_t key = first; key < first + count; key++) {
        world->answered = false;
        world_step_only(world, &(struct core_event){.type = EVENT_IDENTIFY,
                                                    .link = world->link,
                                                    .stored = model_hash(key)});
        if (!world->answered) continue;
        assert_int_equal(world->last.identified.error, ERROR_LEDGER_FULL);
        full++;
    }
    return full;
}

/* Tries to hold 90 cents, of which at most a few are on lease: true when it waits. */
static bool hold_waits(struct world *world, int64_t key)
{
    struct message_hold message = world_hold_of(90 * CENT);
    world->answered = false;
    world_step_only(world, &(struct core_event){.type = EVENT_HOLD,
                                                .link = world->link,
                                                .hold = {model_hash(key), &message}});
    return !world->answered;
}

/* Of 4 questions leases have half, and prices one of those: one lease at a time goes back. */
TEST(idle_leases_that_cannot_all_be_told_of_at_once_go_back_one_after_another)
{
    struct world world;
    begin_with(&world, 16, 4);
    for (int64_t org = 2; org <= 3; org++) {
        model_org(&world.model, org)->paid = DOLLAR;
        (void)model_add_key(&world.model, org, org);
    }
    struct message_hold message = world_hold_of(10 * CENT);
    for (int64_t key = 1; key <= 3; key++) {
        struct message_held held = world_hold(&world, key, &message);
        assert_int_equal(held.error, ERROR_NONE);
        (void)world_settle(&world, 0, held.hold, CENT);
    }
    world_post(&world);
    world_wait(&world, 120000000000);
    for (int64_t org = 1; org <= 3; org++) {
        assert_int_equal(model_org(&world.model, org)->escrow, 0);
        assert_int_equal(model_org(&world.model, org)->paid, DOLLAR - CENT);
    }
    world_free(&world);
}

/* Of 4 places to wait in strangers have half, so 2 wait and PostgreSQL is asked for 2. */
TEST(nobody_is_asked_for_who_could_not_wait_for_the_answer)
{
    struct world world;
    begin_with(&world, 4, 64);
    assert_int_equal(flood(&world, 1000, 50), 48);
    assert_int_equal(world.question_count, 2);
    world_pump(&world);
    assert_int_equal(world_take(&world, CENT).error, ERROR_NONE);
    world_free(&world);
}

/* PostgreSQL hangs. Whoever waited is refused after two seconds, but his question is still there,
 * so 16 / 4 = 4 strangers are asked for and no more, however often they come. An account whose key
 * is known is lent to meanwhile: half of the questions is the leases'. */
TEST(strangers_have_a_quarter_of_the_questions_however_long_the_answers_take)
{
    struct world world;
    begin_with(&world, 64, 16);
    (void)world_settle(&world, 0, world_take(&world, CENT).hold, CENT);
    assert_int_equal(flood(&world, 1000, 20), 16);
    for (int i = 0; i < 60; i++) { /* three seconds */
        world.now.boot_ns += 50000000;
        world_step_only(&world, &(struct core_event){.type = EVENT_TICK});
    }
    assert_int_equal(world.last.identified.error, ERROR_LEDGER_DOWN);
    assert_int_equal(flood(&world, 2000, 20), 20);
    assert_int_equal(world.question_count, 4);
    assert_true(hold_waits(&world, 1));
    assert_int_equal(world.question_count, 5);
    world_pump(&world);
    assert_int_equal(world.last.held.error, ERROR_NONE);
    assert_int_equal(flood(&world, 3000, 20),
                     16); /* all were answered, so all may be asked again */
    world_free(&world);
}

/* 8 places: 4 strangers wait. Key 1 needs a lease, which takes a place, and gets it. */
TEST(strangers_leave_half_of_the_places_to_those_who_are_known)
{
    struct world world;
    begin_with(&world, 8, 64);
    (void)world_settle(&world, 0, world_take(&world, CENT).hold, CENT);
    assert_int_equal(flood(&world, 1000, 50), 46);
    assert_true(hold_waits(&world, 1));
    world_pump(&world);
    assert_int_equal(world.last.held.error, ERROR_NONE);
    world_free(&world);
}

/* They all wait for one answer; a place is a place. 46 of 50 find none, and one is asked for. */
TEST(the_same_made_up_key_fifty_times_takes_no_more_places)
{
    struct world world;
    begin_with(&world, 8, 64);
    (void)world_settle(&world, 0, world_take(&world, CENT).hold, CENT);
    int full = 0;
    for (int i = 0; i < 50; i++)
        full += flood(&world, 1000, 1);
    assert_int_equal(full, 46);
    assert_int_equal(world.question_count, 1);
    assert_true(hold_waits(&world, 1));
    /* And none was lost: once they are answered there is room for as many. */
    world_pump(&world);
    assert_int_equal(flood(&world, 2000, 50), 46);
    world_free(&world);
}

/* A changed key is read before it is used again, beside the strangers and not among them. */
TEST(whoever_had_a_key_is_no_stranger_after_a_change_of_it)
{
    struct world world;
    begin_with(&world, 8, 16);
    (void)world_settle(&world, 0, world_take(&world, CENT).hold, CENT);
    assert_int_equal(flood(&world, 1000, 50), 46);
    world_step_only(&world,
                    &(struct core_event){.type = EVENT_KEY_CHANGED, .stored = model_hash(1)});
    assert_true(hold_waits(&world, 1));
    assert_int_equal(world.question_count, 5);
    assert_true(world.questions[0].stranger);
    assert_false(world.questions[4].stranger);
    world_pump(&world);
    assert_int_equal(world.last.held.error, ERROR_NONE);
    world_free(&world);
}

/* Of 128 slots one is the key's. A thousand made-up keys are read, ten in a minute, so that the key
 * is the oldest by far; those that nobody has make room for each other. */
TEST(strangers_push_nobody_out_who_is_known)
{
    struct world world;
    begin_with(&world, 64, 64);
    (void)world_settle(&world, 0, world_take(&world, CENT).hold, CENT);
    for (int64_t first = 1000; first < 2000; first += 10) {
        assert_int_equal(flood(&world, first, 10), 0);
        world_pump(&world);
        world_wait(&world, MINUTE);
    }
    world.answered = false;
    world_step_only(
        &world,
        &(struct core_event){.type = EVENT_IDENTIFY, .link = world.link, .stored = model_hash(1)});
    assert_true(world.answered);
    assert_int_equal(world.last.identified.error, ERROR_NONE);
    world_free(&world);
}

TEST(a_newcomer_is_read_as_soon_as_strangers_have_been_answered)
{
    struct world world;
    begin_with(&world, 8, 64);
    (void)model_add_key(&world.model, 1, 2);
    assert_int_equal(flood(&world, 1000, 50), 46);
    assert_false(hold_waits(&world, 2)); /* nobody can tell it from them */
    assert_int_equal(world.last.held.error, ERROR_LEDGER_FULL);
    world_pump(&world);
    assert_true(hold_waits(&world, 2));
    world_pump(&world);
    assert_int_equal(world.last.held.error, ERROR_NONE);
    world_free(&world);
}

/* Ten accounts want credit at once; 16 / 2 - 1 = 7 are asked for, and the others are told that the
 * ledger is full. When the answers came there is room again. */
TEST(lease_questions_have_the_other_half_less_one_for_prices)
{
    struct world world;
    begin_with(&world, 64, 16);
    for (int64_t i = 2; i <= 11; i++) {
        model_org(&world.model, i)->paid = DOLLAR;
        (void)model_add_key(&world.model, i, i);
        struct message_hold nothing = world_hold_of(0);
        (void)world_settle(&world, 0, world_hold(&world, i, &nothing).hold, 0);
    }
    int full = 0;
    for (int64_t i = 2; i <= 11; i++) {
        struct message_hold message = world_hold_of(CENT);
        world.answered = false;
        world_step_only(&world, &(struct core_event){.type = EVENT_HOLD,
                                                     .link = world.link,
                                                     .hold = {model_hash(i), &message}});
        if (world.answered) assert_int_equal(world.last.held.error, ERROR_LEDGER_FULL);
        full += world.answered ? 1 : 0;
    }
    assert_int_equal(full, 3);
    assert_int_equal(world.question_count, 7);
    world_pump(&world);
    struct message_hold message = world_hold_of(CENT);
    assert_int_equal(world_hold(&world, 11, &message).error, ERROR_NONE);
    world_free(&world);
}

TEST(slots_of_idle_accounts_are_used_again)
{
    struct world world;
    world_init(&world);
    for (int64_t i = 1; i <= 20; i++) {
        model_org(&world.model, i)->paid = DOLLAR;
        (void)model_add_key(&world.model, i, i);
    }
    core_free(&world.core);
    world.settings.leases_max = 4;
    world.core = core_new(&world.settings);
    world_step_only(&world, &(struct core_event){.type = EVENT_PRICES, .prices = world.prices});
    world_connect(&world, NULL, 0);
    for (int64_t i = 1; i <= 20; i++) {
        struct message_hold message = world_hold_of(CENT);
        struct message_held held = world_hold(&world, i, &message);
        if (held.error ==
            ERROR_LEDGER_FULL) { /* leases on their way back: the next try finds a slot */
            world_post(&world);
            world_wait(&world, 1000000000);
            held = world_hold(&world, i, &message);
        }
        assert_int_equal(held.error, ERROR_NONE);
        (void)world_settle(&world, 0, held.hold, CENT);
    }
    world_post(&world);
    for (int64_t i = 1; i <= 20; i++) {
        const struct model_org *org = model_org(&world.model, i);
        assert_int_equal(org->paid + org->escrow, DOLLAR - CENT);
    }
    world_free(&world);
}

TEST(a_lease_slot_that_is_used_again_knows_what_was_settled_before)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    model_org(&world.model, 2)->paid = DOLLAR;
    (void)model_add_key(&world.model, 2, 2);
    core_free(&world.core);
    world.settings.leases_max = 1;
    world.core = core_new(&world.settings);
    world_step_only(&world, &(struct core_event){.type = EVENT_PRICES, .prices = world.prices});
    world_connect(&world, NULL, 0);
    (void)world_settle(&world, 0, world_take(&world, 60 * CENT).hold, 60 * CENT);
    struct message_hold other = world_hold_of(CENT);
    (void)world_hold(&world, 2, &other);
    world_post(&world);
    world_wait(&world, 1000000000);
    struct message_held held = world_hold(&world, 2, &other);
    assert_int_equal(held.error, ERROR_NONE);
    (void)world_settle(&world, 0, held.hold, CENT);
    world_post(&world);
    world_wait(&world, 61000000000); /* org 2's lease is idle and comes back */
    /* Org 1 has 40 cents left. A slot that forgot the 60 it had settled would lend them once
     * more. */
    assert_int_equal(world_take(&world, 41 * CENT).error, ERROR_NO_CREDIT);
    assert_int_equal(world_take(&world, 40 * CENT).error, ERROR_NONE);
    world_free(&world);
}

/* An account and its key's limit: two slots, which each tick would look at again for ever. */
TEST(what_was_idle_and_came_back_has_no_slot_any_more_and_gets_another_when_it_is_used)
{
    struct world world;
    world_with_credit(&world, DOLLAR);
    model_key(&world.model, 1)->has_limit = true;
    model_key(&world.model, 1)->limit = 80 * CENT;
    (void)world_settle(&world, 0, world_take(&world, 50 * CENT).hold, 30 * CENT);
    assert_int_equal(world.core->leases_by_age.count, 2);
    world_wait(&world, 100000000000); /* idle, and back; but what was settled is not posted */
    assert_int_equal(world.core->leases_by_age.count, 2);
    world_post(&world);
    world_wait(&world, 60000000000);
    assert_int_equal(world.core->leases_by_age.count, 0);
    assert_int_equal(model_org(&world.model, 1)->paid, 70 * CENT);
    assert_int_equal(world_take(&world, 51 * CENT).error, ERROR_KEY_LIMIT);
    assert_int_equal(world_take(&world, 50 * CENT).error, ERROR_NONE);
    world_free(&world);
}

TEST(room_given_back_while_a_question_is_in_flight_reaches_the_database_later)
{
    struct world world;
    world_with_credit(&world, 10 * DOLLAR);
    struct model_key *key = model_key(&world.model, 1);
    key->has_limit = true;
    key->limit = 5 * DOLLAR;
    struct message_held held = world_take(&world, DOLLAR);
    assert_int_equal(held.error, ERROR_NONE);
    (void)world_settle(&world, 0, held.hold, 0);
    struct message_hold message = world_hold_of(3 * DOLLAR);
    world_step_only(&world,
                    &(struct core_event){.type = EVENT_HOLD,
                                         .link = world.link,
                                         .hold = {model_hash(1), &message}}); /* asks for more */
    assert_int_equal(world.question_count, 1);
    world_step_only(&world,
                    &(struct core_event){.type = EVENT_KEY_CHANGED, .stored = model_hash(1)});
    world_pump(&world);
    world_wait(&world, 2000000000);
    world_sync(&world);
    world_post(&world);
    int64_t held_now = core_held(world.core, 1).nano;
    int64_t leased = model_period(&world.model, 1, meter_of_key(1, CADENCE_LIFE), 0)->leased;
    assert_true(leased >= held_now);
    if (held_now > 0) (void)world_settle(&world, 0, world.last.held.hold, 0);
    world_wait(&world, 130000000000);
    assert_int_equal(model_period(&world.model, 1, meter_of_key(1, CADENCE_LIFE), 0)->leased,
                     core_held(world.core, 1).nano);
    world_free(&world);
}

TEST(credit_that_is_recalled_goes_back_at_once_but_for_what_holds_need)
{
    struct world world;
    world_with_credit(&world, 10 * DOLLAR);
    struct message_held held = world_take(&world, DOLLAR);
    assert_int_equal(held.error, ERROR_NONE);
    assert_true(model_org(&world.model, 1)->escrow > DOLLAR); /* ahead of need */
    world_step(&world, &(struct core_event){.type = EVENT_CREDIT_RECALLED, .org = 1});
    assert_int_equal(model_org(&world.model, 1)->escrow, DOLLAR);
    assert_int_equal(model_org(&world.model, 1)->paid, 9 * DOLLAR);
    (void)world_settle(&world, 0, held.hold, 0);
    world_step(&world, &(struct core_event){.type = EVENT_CREDIT_RECALLED, .org = 1});
    assert_int_equal(model_org(&world.model, 1)->paid, 10 * DOLLAR);
    assert_int_equal(world_take(&world, 10 * DOLLAR).error,
                     ERROR_NONE); /* and is asked for again */
    world_step(&world, &(struct core_event){.type = EVENT_CREDIT_RECALLED, .org = 2}); /* nobody */
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_leases_that_cannot_all_be_told_of_at_once_go_back_one_after_another),
        cmocka_unit_test(nobody_is_asked_for_who_could_not_wait_for_the_answer),
        cmocka_unit_test(strangers_have_a_quarter_of_the_questions_however_long_the_answers_take),
        cmocka_unit_test(strangers_leave_half_of_the_places_to_those_who_are_known),
        cmocka_unit_test(the_same_made_up_key_fifty_times_takes_no_more_places),
        cmocka_unit_test(whoever_had_a_key_is_no_stranger_after_a_change_of_it),
        cmocka_unit_test(strangers_push_nobody_out_who_is_known),
        cmocka_unit_test(a_newcomer_is_read_as_soon_as_strangers_have_been_answered),
        cmocka_unit_test(lease_questions_have_the_other_half_less_one_for_prices),
        cmocka_unit_test(slots_of_idle_accounts_are_used_again),
        cmocka_unit_test(a_lease_slot_that_is_used_again_knows_what_was_settled_before),
        cmocka_unit_test(
            what_was_idle_and_came_back_has_no_slot_any_more_and_gets_another_when_it_is_used),
        cmocka_unit_test(room_given_back_while_a_question_is_in_flight_reaches_the_database_later),
        cmocka_unit_test(credit_that_is_recalled_goes_back_at_once_but_for_what_holds_need),
    };
    return cmocka_run_group_tests_name("ledger leases", tests, NULL, NULL);
}
