/* SPDX-License-Identifier: Apache-2.0 */
/* The core event by event, where a table line cannot say it: order of answers and syncs, numbers,
 * capacity. */
#include "tests/unit/test.h"

#include "services/ledger/core/state.h"
#include "tests/unit/ledger/world.h"

#define CENT   ((int64_t)10000000)
#define DOLLAR ((int64_t)1000000000)

static void with_credit(struct world *world, int64_t nano)
{
    world_init(world);
    model_org(&world->model, 1)->paid = nano;
    (void)model_add_key(&world->model, 1, 1);
}

static struct message_hold hold_of(int64_t nano)
{
    return (struct message_hold){
        .caller_version = 1, .fixed = {nano}, .price_ids = {1, {WORLD_PRICE}}};
}

static struct message_held take(struct world *world, int64_t nano)
{
    struct message_hold message = hold_of(nano);
    return world_hold(world, 1, &message);
}

TEST(a_settle_is_acknowledged_only_after_the_sync_that_covers_it)
{
    struct world world;
    with_credit(&world, DOLLAR);
    struct message_held held = take(&world, 10 * CENT);
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
    struct message_held held = take(&world, CENT);
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
    with_credit(&world, DOLLAR);
    struct message_held held = take(&world, 10 * CENT);
    assert_int_equal(world_settle(&world, 1, held.hold, 3 * CENT), 3 * CENT);
    uint64_t seq = core_view(world.core).seq_last;
    assert_int_equal(world_settle(&world, 1, held.hold, 3 * CENT), 3 * CENT);
    assert_int_equal(core_view(world.core).seq_last, seq);
    world_free(&world);
}

TEST(a_gap_in_the_numbers_closes_the_connection_and_books_nothing)
{
    struct world world;
    with_credit(&world, DOLLAR);
    struct message_held first = take(&world, 10 * CENT);
    struct message_held second = take(&world, 10 * CENT);
    assert_int_equal(world_settle(&world, 1, first.hold, CENT), CENT);
    assert_int_equal(world_settle(&world, 3, second.hold, CENT), -1);
    assert_true(world.closed);
    assert_int_equal(core_view(world.core).holds_open, 1);
    world_free(&world);
}

TEST(another_thread_of_the_edge_cannot_settle_a_hold)
{
    struct world world;
    with_credit(&world, DOLLAR);
    struct message_held held = take(&world, 10 * CENT);
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
    with_credit(&world, DOLLAR);
    struct message_held held = take(&world, 10 * CENT);
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
    with_credit(&world, DOLLAR);
    struct message_held held = take(&world, 10 * CENT);
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
    with_credit(&world, DOLLAR);
    struct message_held held = take(&world, CENT); /* the caller is known now */
    (void)world_settle(&world, 0, held.hold, 0);
    world.database_down = true;
    struct message_held refused = take(&world, 90 * CENT);
    assert_int_equal(refused.error, ERROR_LEDGER_DOWN);
    world.database_down = false;
    assert_int_equal(take(&world, 90 * CENT).error, ERROR_NONE);
    world_free(&world);
}

TEST(what_is_leased_serves_while_the_database_is_down)
{
    struct world world;
    with_credit(&world, 10 * DOLLAR);
    uint64_t first = take(&world, DOLLAR).hold;
    uint64_t second = take(&world, DOLLAR).hold;
    (void)world_settle(&world, 0, first, 0);
    (void)world_settle(&world, 0, second, 0);
    world.database_down = true;
    assert_int_equal(take(&world, 2 * DOLLAR).error, ERROR_NONE);
    world_free(&world);
}

TEST(no_hold_is_admitted_without_room_in_the_journal_for_its_ending)
{
    struct world world;
    with_credit(&world, DOLLAR);
    assert_int_equal(take(&world, CENT).error, ERROR_NONE);
    world_step_only(&world, &(struct core_event){.type = EVENT_JOURNAL,
                                                 .journal = {.room = 2 * RECORD_SIZE_MAX}});
    struct message_hold message = hold_of(CENT);
    struct core_event event = {
        .type = EVENT_HOLD, .link = world.link, .hold = {model_hash(1), &message}};
    world_step_only(&world, &event);
    assert_int_equal(world.last.held.error, ERROR_LEDGER_FULL);
    world_free(&world);
}

TEST(more_holds_than_slots_are_refused_and_a_freed_slot_serves_again)
{
    struct world world;
    with_credit(&world, 1000 * DOLLAR);
    uint64_t first = 0;
    for (uint32_t i = 0; i < world.settings.holds_max; i++) {
        struct message_held held = take(&world, CENT);
        assert_int_equal(held.error, ERROR_NONE);
        if (i == 0) first = held.hold;
    }
    assert_int_equal(take(&world, CENT).error, ERROR_LEDGER_FULL);
    (void)world_settle(&world, 0, first, CENT);
    assert_int_equal(take(&world, CENT).error, ERROR_NONE);
    world_free(&world);
}

/* ---- more questions than there is room for ---- */

static void begin_with(struct world *world, uint32_t waiting_max, uint32_t questions_max)
{
    with_credit(world, DOLLAR);
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

/* Of 4 questions leases have half, and prices one of those: one lease at a time goes back. */
TEST(idle_leases_that_cannot_all_be_told_of_at_once_go_back_one_after_another)
{
    struct world world;
    begin_with(&world, 16, 4);
    for (int64_t org = 2; org <= 3; org++) {
        model_org(&world.model, org)->paid = DOLLAR;
        (void)model_add_key(&world.model, org, org);
    }
    struct message_hold message = hold_of(10 * CENT);
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

/* Of 4 places to wait in the last stays free, so 3 strangers wait and PostgreSQL is asked for 3. */
TEST(nobody_is_asked_for_who_could_not_wait_for_the_answer)
{
    struct world world;
    begin_with(&world, 4, 64);
    assert_int_equal(flood(&world, 1000, 50), 47);
    assert_int_equal(world.question_count, 3);
    world_pump(&world);
    assert_int_equal(take(&world, CENT).error, ERROR_NONE);
    world_free(&world);
}

/* PostgreSQL hangs. Whoever waited is refused after two seconds, but his question is still there,
 * so 16 / 2 = 8 strangers are asked for and no more, however often they come. An account whose key
 * is known is lent to meanwhile: the other half of the questions is the leases'. */
TEST(strangers_have_half_of_the_questions_however_long_the_answers_take)
{
    struct world world;
    begin_with(&world, 64, 16);
    (void)world_settle(&world, 0, take(&world, CENT).hold, CENT);
    assert_int_equal(flood(&world, 1000, 20), 12);
    for (int i = 0; i < 60; i++) { /* three seconds */
        world.now.boot_ns += 50000000;
        world_step_only(&world, &(struct core_event){.type = EVENT_TICK});
    }
    assert_int_equal(world.last.identified.error, ERROR_LEDGER_DOWN);
    assert_int_equal(flood(&world, 2000, 20), 20);
    assert_int_equal(world.question_count, 8);
    struct message_hold message = hold_of(90 * CENT);
    world_step_only(&world, &(struct core_event){.type = EVENT_HOLD,
                                                 .link = world.link,
                                                 .hold = {model_hash(1), &message}});
    assert_int_equal(world.question_count, 9);
    world_pump(&world);
    assert_int_equal(world.last.held.error, ERROR_NONE);
    assert_int_equal(flood(&world, 3000, 20),
                     12); /* all were answered, so all may be asked again */
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
        struct message_hold nothing = hold_of(0);
        (void)world_settle(&world, 0, world_hold(&world, i, &nothing).hold, 0);
    }
    int full = 0;
    for (int64_t i = 2; i <= 11; i++) {
        struct message_hold message = hold_of(CENT);
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
    struct message_hold message = hold_of(CENT);
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
        struct message_hold message = hold_of(CENT);
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
    with_credit(&world, DOLLAR);
    model_org(&world.model, 2)->paid = DOLLAR;
    (void)model_add_key(&world.model, 2, 2);
    core_free(&world.core);
    world.settings.leases_max = 1;
    world.core = core_new(&world.settings);
    world_step_only(&world, &(struct core_event){.type = EVENT_PRICES, .prices = world.prices});
    world_connect(&world, NULL, 0);
    (void)world_settle(&world, 0, take(&world, 60 * CENT).hold, 60 * CENT);
    struct message_hold other = hold_of(CENT);
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
    assert_int_equal(take(&world, 41 * CENT).error, ERROR_NO_CREDIT);
    assert_int_equal(take(&world, 40 * CENT).error, ERROR_NONE);
    world_free(&world);
}

/* An account and its key's limit: two slots, which each tick would look at again for ever. */
TEST(what_was_idle_and_came_back_has_no_slot_any_more_and_gets_another_when_it_is_used)
{
    struct world world;
    with_credit(&world, DOLLAR);
    model_key(&world.model, 1)->has_limit = true;
    model_key(&world.model, 1)->limit = 80 * CENT;
    (void)world_settle(&world, 0, take(&world, 50 * CENT).hold, 30 * CENT);
    assert_int_equal(world.core->leases_by_age.count, 2);
    world_wait(&world, 100000000000); /* idle, and back; but what was settled is not posted */
    assert_int_equal(world.core->leases_by_age.count, 2);
    world_post(&world);
    world_wait(&world, 60000000000);
    assert_int_equal(world.core->leases_by_age.count, 0);
    assert_int_equal(model_org(&world.model, 1)->paid, 70 * CENT);
    assert_int_equal(take(&world, 51 * CENT).error, ERROR_KEY_LIMIT);
    assert_int_equal(take(&world, 50 * CENT).error, ERROR_NONE);
    world_free(&world);
}

TEST(a_settle_after_the_ledgers_own_release_becomes_a_correction_that_charges_nothing)
{
    struct world world;
    with_credit(&world, DOLLAR);
    struct message_held held = take(&world, 10 * CENT);
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

TEST(room_given_back_while_a_question_is_in_flight_reaches_the_database_later)
{
    struct world world;
    with_credit(&world, 10 * DOLLAR);
    struct model_key *key = model_key(&world.model, 1);
    key->has_limit = true;
    key->limit = 5 * DOLLAR;
    struct message_held held = take(&world, DOLLAR);
    assert_int_equal(held.error, ERROR_NONE);
    (void)world_settle(&world, 0, held.hold, 0);
    struct message_hold message = hold_of(3 * DOLLAR);
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
    with_credit(&world, 10 * DOLLAR);
    struct message_held held = take(&world, DOLLAR);
    assert_int_equal(held.error, ERROR_NONE);
    assert_true(model_org(&world.model, 1)->escrow > DOLLAR); /* ahead of need */
    world_step(&world, &(struct core_event){.type = EVENT_CREDIT_RECALLED, .org = 1});
    assert_int_equal(model_org(&world.model, 1)->escrow, DOLLAR);
    assert_int_equal(model_org(&world.model, 1)->paid, 9 * DOLLAR);
    (void)world_settle(&world, 0, held.hold, 0);
    world_step(&world, &(struct core_event){.type = EVENT_CREDIT_RECALLED, .org = 1});
    assert_int_equal(model_org(&world.model, 1)->paid, 10 * DOLLAR);
    assert_int_equal(take(&world, 10 * DOLLAR).error, ERROR_NONE); /* and is asked for again */
    world_step(&world, &(struct core_event){.type = EVENT_CREDIT_RECALLED, .org = 2}); /* nobody */
    world_free(&world);
}

/* ---- a limit that changes while something runs ---- */

static void with_limit(struct world *world, int64_t nano)
{
    with_credit(world, 100 * DOLLAR);
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
    uint64_t hold = take(&world, 2 * DOLLAR).hold;
    change_limit(&world, DOLLAR);
    world_crash(&world, world.disk.len);
    world_connect(&world, &hold, 1);
    assert_int_equal(world_settle(&world, 0, hold, 40 * CENT), 40 * CENT);
    world_post(&world);
    assert_int_equal(take(&world, 61 * CENT).error, ERROR_KEY_LIMIT);
    assert_int_equal(take(&world, 60 * CENT).error, ERROR_NONE);
    world_free(&world);
}

/* Posting and moving waited for PostgreSQL for twenty seconds, twice what an edge is waited for.
 * The first thing that is done when edges can connect again is a tick. */
TEST(a_start_that_took_long_leaves_an_edge_the_time_to_come_back)
{
    struct world world;
    with_credit(&world, DOLLAR);
    uint64_t hold = take(&world, 10 * CENT).hold;
    world_crash(&world, world.disk.len);
    world.now.boot_ns += 20000000000;
    core_await_edges(world.core, world.now);
    world_step(&world, &(struct core_event){.type = EVENT_TICK});
    world_wait(&world, 9000000000);
    world_connect(&world, &hold, 1);
    assert_int_equal(world_settle(&world, 0, hold, 4 * CENT), 4 * CENT);
    world_free(&world);
}

TEST(an_edge_that_does_not_come_back_after_a_long_start_loses_its_holds_after_ten_seconds)
{
    struct world world;
    with_credit(&world, DOLLAR);
    uint64_t hold = take(&world, 10 * CENT).hold;
    world_crash(&world, world.disk.len);
    world.now.boot_ns += 20000000000;
    core_await_edges(world.core, world.now);
    world_wait(&world, 10050000000);
    world_connect(&world, &hold, 1);
    assert_int_equal(world_settle(&world, 0, hold, 4 * CENT), 0);
    world_free(&world);
}

/* What is leased does not suffice, so there is a question now. */
static void ask_for_a_hold(struct world *world, int64_t nano)
{
    struct message_hold message = hold_of(nano);
    struct core_event event = {
        .type = EVENT_HOLD, .link = world->link, .hold = {model_hash(1), &message}};
    world_step_only(world, &event);
    assert_int_equal(world->question_count, 1);
}

TEST(what_a_question_in_flight_brings_is_not_spent_under_the_limit_from_before)
{
    struct world world;
    with_limit(&world, 5 * DOLLAR);
    (void)world_settle(&world, 0, take(&world, CENT).hold, 0);
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
    assert_int_equal(take(&world, 101 * CENT).error, ERROR_KEY_LIMIT);
    assert_int_equal(take(&world, 100 * CENT).error, ERROR_NONE);
    world_free(&world);
}

TEST(a_question_that_fails_after_a_change_refuses_its_holds_and_is_not_repeated_at_once)
{
    struct world world;
    with_credit(&world, 10 * DOLLAR);
    (void)world_settle(&world, 0, take(&world, CENT).hold, 0);
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
    (void)world_settle(&world, 0, take(&world, CENT).hold, 0);
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
    assert_int_equal(take(&world, 101 * CENT).error, ERROR_KEY_LIMIT);
    assert_int_equal(take(&world, 100 * CENT).error, ERROR_NONE);
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
    (void)world_settle(&world, 0, take(&world, 2 * DOLLAR).hold, 0);
    struct message_hold other = hold_of(CENT);
    assert_int_equal(world_hold(&world, 2, &other).error, ERROR_NONE); /* takes the slot */
    change_limit(&world, DOLLAR);
    assert_int_equal(take(&world, 101 * CENT).error, ERROR_KEY_LIMIT);
    assert_int_equal(take(&world, 100 * CENT).error, ERROR_NONE);
    world_free(&world);
}

TEST(what_holds_since_a_change_leave_over_serves_the_next_without_a_question)
{
    struct world world;
    with_limit(&world, 5 * DOLLAR);
    uint64_t before = take(&world, DOLLAR).hold;
    change_limit(&world, 4 * DOLLAR);
    uint64_t since = take(&world, DOLLAR).hold;
    (void)world_settle(&world, 0, before, 0);
    (void)take(&world, DOLLAR); /* one is always open */
    world.database_down = true;
    (void)world_settle(&world, 0, since, 0);
    assert_int_equal(take(&world, DOLLAR).error, ERROR_NONE);
    world_free(&world);
}

TEST(what_has_no_known_list_price_charges_nothing_and_owes_nothing)
{
    struct world world;
    with_credit(&world, DOLLAR);
    world.prices->rows[prices_find(world.prices, WORLD_MARKED) - world.prices->rows].list = 99;
    struct message_hold message = hold_of(10 * CENT);
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
    struct message_hold message = hold_of(CENT);
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
    with_credit(&world, 10 * DOLLAR);
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
    with_credit(&world, 10 * DOLLAR);
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
        cmocka_unit_test(idle_leases_that_cannot_all_be_told_of_at_once_go_back_one_after_another),
        cmocka_unit_test(nobody_is_asked_for_who_could_not_wait_for_the_answer),
        cmocka_unit_test(strangers_have_half_of_the_questions_however_long_the_answers_take),
        cmocka_unit_test(lease_questions_have_the_other_half_less_one_for_prices),
        cmocka_unit_test(slots_of_idle_accounts_are_used_again),
        cmocka_unit_test(a_lease_slot_that_is_used_again_knows_what_was_settled_before),
        cmocka_unit_test(
            what_was_idle_and_came_back_has_no_slot_any_more_and_gets_another_when_it_is_used),
        cmocka_unit_test(
            a_settle_after_the_ledgers_own_release_becomes_a_correction_that_charges_nothing),
        cmocka_unit_test(credit_that_is_recalled_goes_back_at_once_but_for_what_holds_need),
        cmocka_unit_test(room_given_back_while_a_question_is_in_flight_reaches_the_database_later),
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
