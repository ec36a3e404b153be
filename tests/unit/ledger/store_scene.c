/* SPDX-License-Identifier: Apache-2.0 */
/* The world is as of tests/unit/ledger/world.h, with PostgreSQL's tables for its book. */
#include "tests/unit/ledger/store_scene.h"

#include "shared/log.h"
#include "tests/unit/test.h"

struct sql_book *scene_sql;

int scene_set_up(void **state)
{
    (void)state;
    log_init("store_test", LOG_LEVEL_ERROR);
    scene_sql = sql_book_new();
    return 0;
}

int scene_tear_down(void **state)
{
    (void)state;
    sql_book_free(&scene_sql);
    return 0;
}

void scene_begin(struct world *world, int64_t nano)
{
    sql_book_clear(scene_sql);
    world_init_with(world, &sql_book, scene_sql);
    sql_book.credit(world, 1, nano, false);
    sql_book.key(world, model_add_key(&world->model, 1, 1));
}

struct message_hold scene_hold(int64_t nano)
{
    return (struct message_hold){.caller_version = 1,
                                 .fixed = {nano},
                                 .price_ids = {1, {WORLD_PRICE}},
                                 .client = SCENE_CLIENT};
}

void scene_settle_three(struct world *world)
{
    for (int64_t i = 1; i <= 3; i++) {
        struct message_hold message = scene_hold(40 * CENT);
        struct message_held held = world_hold(world, 1, &message);
        assert_int_equal(held.error, ERROR_NONE);
        assert_int_equal(world_settle(world, 0, held.hold, i * 10 * CENT), i * 10 * CENT);
    }
}
