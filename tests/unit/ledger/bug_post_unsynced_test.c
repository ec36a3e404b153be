/* SPDX-License-Identifier: Apache-2.0 */
/* A checker that never fails proves nothing: a poster that reads records before they are synced
 * must be found by the simulator. */
#include "tests/unit/test.h"

#include "tests/unit/ledger/simulator.h"

#define TIME_MS 5000

TEST(the_simulator_finds_a_poster_that_reads_unsynced_records)
{
    static struct sim_run run;
    assert_int_not_equal(simulate_many(1, TIME_MS, SIM_POST_UNSYNCED, &run), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_simulator_finds_a_poster_that_reads_unsynced_records)};
    return cmocka_run_group_tests_name("planted: posting before the sync", tests, NULL, NULL);
}
