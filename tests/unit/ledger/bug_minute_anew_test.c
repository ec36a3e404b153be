/* SPDX-License-Identifier: Apache-2.0 */
/* A checker that never fails proves nothing: with this fault built into the core the simulator must
 * find a seed that fails. The core's file is compiled here with the fault and takes the place of
 * the one in the archive. */
#include "tests/unit/test.h"

#define BUG_MINUTE_ANEW
#include "services/ledger/core/rates.c"

#include "tests/unit/ledger/simulator.h"

#define TIME_MS 5000

TEST(the_simulator_finds_a_step_back_that_gives_a_minute_anew)
{
    static struct sim_run run;
    assert_int_not_equal(simulate_many(1, TIME_MS, SIM_HONEST, &run), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_simulator_finds_a_step_back_that_gives_a_minute_anew)};
    return cmocka_run_group_tests_name("planted: a minute anew with each step back of the clock",
                                       tests, NULL, NULL);
}
