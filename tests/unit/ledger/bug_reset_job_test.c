/* SPDX-License-Identifier: Apache-2.0 */
/* A checker that never fails proves nothing: limits that are reset by a job instead of having a
 * row per period must be found by the simulator. */
#include "tests/unit/test.h"

#include "tests/unit/ledger/simulator.h"

#define TIME_MS 5000

TEST(the_simulator_finds_a_job_that_resets_what_a_day_has_spent)
{
    static struct sim_run run;
    assert_int_not_equal(simulate_many(1, TIME_MS, SIM_RESET_JOB, &run), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_simulator_finds_a_job_that_resets_what_a_day_has_spent)};
    return cmocka_run_group_tests_name("planted: a reset job", tests, NULL, NULL);
}
