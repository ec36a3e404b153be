/* SPDX-License-Identifier: Apache-2.0 */
/* Every table against the core, with the model in the place of PostgreSQL. */
#include "tests/unit/test.h"

#include "tests/unit/ledger/tables.h"

static int run_one(const char *path)
{
    static struct run run;
    run = (struct run){0};
    world_init(&run.world);
    int failures = tables_run(&run, path);
    world_free(&run.world);
    return failures;
}

TEST(every_line_of_every_table_holds)
{
    assert_int_equal(tables_run_all(run_one), 0);
}

/* A runner that accepts everything would be worth nothing. */
TEST(a_line_that_does_not_hold_is_reported)
{
    struct run run = {.file = "line", .line = 1};
    world_init(&run.world);
    table_run_line(&run, SLICE("credit org1 10.00"));
    table_run_line(&run, SLICE("balance org1 10.00"));
    assert_int_equal(run.failures, 0);
    table_run_line(&run, SLICE("balance org1 9.99"));
    assert_int_equal(run.failures, 1);
    table_run_line(&run, SLICE("key key1 of org1"));
    table_run_line(&run, SLICE("hold h1 key1 10.01 → ok"));
    assert_int_equal(run.failures, 2);
    table_run_line(&run, SLICE("pay org1 3"));
    assert_int_equal(run.failures, 3);
    world_free(&run.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_of_every_table_holds),
        cmocka_unit_test(a_line_that_does_not_hold_is_reported),
    };
    return cmocka_run_group_tests_name("ledger tables", tests, NULL, NULL);
}
