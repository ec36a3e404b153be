/* SPDX-License-Identifier: Apache-2.0 */
/* When a key was last used: what the core notes of it, and what a batch makes of what was noted. */
#include "tests/unit/test.h"

#include "services/ledger/posting.h"
#include "tests/unit/ledger/world.h"

#define MINUTE   ((uint64_t)60 * 1000000000)
/* 203.0.113.0/24 and 198.51.100.0/24, by hand: 4, then the address's first three of six bytes. */
#define CLIENT   ((client_prefix)0x0400cb0071000000)
#define ANOTHER  ((client_prefix)0x0400c63364000000)
#define USES_MAX 16

struct uses {
    struct record_use items[USES_MAX];
    size_t count;
};

/* Those on the disk, in their order. */
static struct uses uses_of(const struct world *world)
{
    struct uses uses = {0};
    for (slice bytes = buffer_slice(&world->disk); bytes.len > 0;) {
        struct record record;
        size_t taken;
        assert_ok(record_next(bytes, &record, &taken));
        bytes = slice_from(bytes, taken);
        if (record.type != RECORD_use) continue;
        assert_true(uses.count < USES_MAX);
        assert_ok(record_decode_use(record.payload, &uses.items[uses.count++]));
    }
    return uses;
}

static void begin(struct world *world)
{
    world_init(world);
    model_org(&world->model, 7)->paid = 100 * DOLLAR;
    (void)model_add_key(&world->model, 7, 70);
}

static struct message_held hold_from(struct world *world, client_prefix client, int64_t nano)
{
    struct message_hold message = {
        .caller_version = 1, .fixed = {nano}, .price_ids = {1, {WORLD_PRICE}}, .client = client};
    return world_hold(world, 70, &message);
}

/* To the next minute's first nanosecond, so that what follows is in one minute. */
static void turn_minute(struct world *world)
{
    int64_t rest = (int64_t)MINUTE - world->now.wall.ns % (int64_t)MINUTE;
    world->now.boot_ns += (uint64_t)rest;
    world->now.wall.ns += rest;
}

static void identify_from(struct world *world, client_prefix client)
{
    struct core_event event = {.type = EVENT_IDENTIFY,
                               .link = world->link,
                               .request = 1,
                               .client = client,
                               .stored = model_hash(70)};
    world_step(world, &event);
    assert_true(world->answered);
    assert_int_equal(world->last.identified.error, ERROR_NONE);
}

TEST(the_first_use_of_a_minute_is_noted_with_its_time_and_place)
{
    struct world world;
    begin(&world);
    turn_minute(&world);
    int64_t first_ns = world.now.wall.ns;
    assert_int_equal(hold_from(&world, CLIENT, CENT).error, ERROR_NONE);
    world.now.wall.ns += (int64_t)MINUTE - 1;
    assert_int_equal(hold_from(&world, ANOTHER, CENT).error, ERROR_NONE);
    struct uses uses = uses_of(&world);
    assert_int_equal(uses.count, 1);
    assert_int_equal(uses.items[0].org, 7);
    assert_int_equal(uses.items[0].key, 70);
    assert_int_equal(uses.items[0].at_ns, first_ns);
    assert_int_equal(uses.items[0].client, CLIENT);
    world.now.wall.ns += 1;
    assert_int_equal(hold_from(&world, ANOTHER, CENT).error, ERROR_NONE);
    uses = uses_of(&world);
    assert_int_equal(uses.count, 2);
    assert_int_equal(uses.items[1].at_ns, first_ns + (int64_t)MINUTE);
    assert_int_equal(uses.items[1].client, ANOTHER);
    world_free(&world);
}

TEST(where_nobody_says_from_where_nothing_is_noted)
{
    struct world world;
    begin(&world);
    assert_int_equal(hold_from(&world, CLIENT_PREFIX_NONE, CENT).error, ERROR_NONE);
    identify_from(&world, CLIENT_PREFIX_NONE);
    assert_int_equal(uses_of(&world).count, 0);
    assert_int_equal(hold_from(&world, CLIENT_PREFIX_UNKNOWN, CENT).error, ERROR_NONE);
    assert_int_equal(uses_of(&world).count, 1);
    world_free(&world);
}

TEST(a_use_by_the_control_plane_is_noted_and_posted_though_nothing_ends)
{
    struct world world;
    begin(&world);
    identify_from(&world, CLIENT);
    assert_int_equal(uses_of(&world).count, 1);
    assert_int_equal(core_view(world.core).seq_ending_last, core_view(world.core).seq_last);
    world_free(&world);
}

TEST(a_hold_that_is_refused_for_money_is_a_use_too_and_posted_though_nothing_ends)
{
    struct world world;
    begin(&world);
    assert_int_equal(hold_from(&world, CLIENT, 1000 * DOLLAR).error, ERROR_NO_CREDIT);
    assert_int_equal(uses_of(&world).count, 1);
    assert_int_equal(core_view(world.core).seq_ending_last, core_view(world.core).seq_last);
    world_free(&world);
}

TEST(a_key_that_may_not_ask_is_not_used)
{
    struct world world;
    begin(&world);
    struct model_key *key = model_add_key(&world.model, 7, 71);
    key->disabled = true;
    struct message_hold message = {
        .caller_version = 1, .fixed = {CENT}, .price_ids = {1, {WORLD_PRICE}}, .client = CLIENT};
    assert_int_equal(world_hold(&world, 71, &message).error, ERROR_KEY_DISABLED);
    assert_int_equal(world_hold(&world, 72, &message).error, ERROR_BAD_KEY);
    /* An old version is asked again with the new one, and that is the use. */
    message.caller_version = 9;
    assert_int_equal(world_hold(&world, 70, &message).error, ERROR_STALE);
    assert_int_equal(uses_of(&world).count, 0);
    world_free(&world);
}

TEST(what_was_noted_survives_the_ledger_and_is_noted_again_after_it)
{
    struct world world;
    begin(&world);
    turn_minute(&world);
    assert_int_equal(hold_from(&world, CLIENT, CENT).error, ERROR_NONE);
    world_crash(&world, world.disk.len);
    assert_int_equal(uses_of(&world).count, 1);
    world_connect(&world, NULL, 0);
    assert_int_equal(hold_from(&world, CLIENT, CENT).error, ERROR_NONE);
    assert_int_equal(uses_of(&world).count, 2);
    world_free(&world);
}

TEST(a_journal_without_room_notes_nothing_and_serves_who_may_be_served)
{
    struct world world;
    begin(&world);
    world_step_only(&world, &(struct core_event){.type = EVENT_JOURNAL,
                                                 .journal = {.room = 2 * RECORD_SIZE_MAX - 1}});
    identify_from(&world, CLIENT);
    assert_int_equal(uses_of(&world).count, 0);
    identify_from(&world, CLIENT); /* by now there is room again */
    assert_int_equal(uses_of(&world).count, 1);
    world_free(&world);
}

/* ---- a batch -------------------------------------------------------------------------------- */

static void add_use(struct posting *posting, const struct record_use *use)
{
    struct buffer bytes;
    struct record record;
    size_t taken;
    buffer_init(&bytes, 4096);
    record_append_use(&bytes, (struct record_place){.seq = posting->hi + 1}, use);
    assert_ok(record_next(buffer_slice(&bytes), &record, &taken));
    assert_ok(posting_add(posting, &record));
    buffer_free(&bytes);
}

TEST(a_batch_keeps_the_last_use_of_each_key_in_the_order_of_keys)
{
    struct arena arena;
    struct posting posting = {.cell = 1, .incarnation = 1};
    arena_init(&arena, (size_t)16 << 20);
    posting_begin(&posting, &arena, USES_MAX);
    /* Two secrets of key 70: what each noted comes in any order. */
    add_use(&posting, &(struct record_use){7, 70, 300, ANOTHER});
    add_use(&posting, &(struct record_use){9, 1, 50, CLIENT});
    add_use(&posting, &(struct record_use){7, 70, 200, CLIENT});
    add_use(&posting, &(struct record_use){7, 60, 100, CLIENT});
    for (int i = 0; i < 2; i++) { /* a batch that is tried again comes to the same */
        assert_ok(posting_finish(&posting));
        assert_int_equal(posting.use_count, 3);
        assert_int_equal(posting.uses[0].key, 60);
        assert_int_equal(posting.uses[1].key, 70);
        assert_int_equal(posting.uses[1].at_ns, 300);
        assert_int_equal(posting.uses[1].client, ANOTHER);
        assert_int_equal(posting.uses[2].org, 9);
    }
    assert_int_equal(posting.count, 0);
    assert_int_equal(posting.hi, 4);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_use_of_a_minute_is_noted_with_its_time_and_place),
        cmocka_unit_test(where_nobody_says_from_where_nothing_is_noted),
        cmocka_unit_test(a_use_by_the_control_plane_is_noted_and_posted_though_nothing_ends),
        cmocka_unit_test(
            a_hold_that_is_refused_for_money_is_a_use_too_and_posted_though_nothing_ends),
        cmocka_unit_test(a_key_that_may_not_ask_is_not_used),
        cmocka_unit_test(what_was_noted_survives_the_ledger_and_is_noted_again_after_it),
        cmocka_unit_test(a_journal_without_room_notes_nothing_and_serves_who_may_be_served),
        cmocka_unit_test(a_batch_keeps_the_last_use_of_each_key_in_the_order_of_keys),
    };
    return cmocka_run_group_tests_name("uses of keys", tests, NULL, NULL);
}
