/* SPDX-License-Identifier: Apache-2.0 */
/* Seeds for a few seconds, or as the environment says (`make simulate` does): BOURSE_SIMULATE_MS
 * runs for longer and prints every count, BOURSE_SIMULATE_SEED runs one seed,
 * BOURSE_SIMULATE_EVENTS_MIN wants so many events a second of the processor: others may run beside
 * it. A failure prints its seed. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <time.h>

#include "tests/unit/ledger/simulator.h"

#define TIME_MS             2500
/* Seeds are always the same ones, so this many meet everything or never do. */
#define SEEDS_OF_A_FULL_RUN 400

static int64_t number_of(const char *name, int64_t otherwise)
{
    int64_t value = otherwise;
    const char *text = getenv(name);
    if (text != NULL && !status_ok(slice_to_i64(slice_of(text), &value))) value = otherwise;
    return value;
}

static uint64_t processor_ms(void)
{
    struct timespec used;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

TEST(no_seed_loses_or_invents_money_and_everything_is_met)
{
    static struct sim_run run;
    int64_t seed = number_of("BOURSE_SIMULATE_SEED", 0);
    int64_t time_ms = number_of("BOURSE_SIMULATE_MS", 0);
    uint64_t first = seed != 0 ? (uint64_t)seed : 1;
    int64_t wanted_ms = time_ms != 0 ? time_ms : TIME_MS;
    uint64_t began_ms = processor_ms();
    uint64_t failed = simulate_many(first, seed != 0 ? 0 : (uint32_t)wanted_ms, SIM_HONEST, &run);
    if (failed != 0) {
        print_message("run it again: BOURSE_SIMULATE_SEED=%llu build/tests/unit/ledger/"
                      "simulator_test\n",
                      (unsigned long long)failed);
    }
    uint32_t missing = 0;
    if (run.seeds >= SEEDS_OF_A_FULL_RUN || time_ms != 0)
        missing = coverage_print(&run.coverage, time_ms != 0);
    uint64_t per_s = run.events * 1000 / (processor_ms() - began_ms + 1);
    print_message("seeds %llu to %llu: %llu events, %llu/s\n", (unsigned long long)first,
                  (unsigned long long)(first + run.seeds - 1), (unsigned long long)run.events,
                  (unsigned long long)per_s);
    print_message("%llu charges were told and lost to the power where durability is fast\n",
                  (unsigned long long)run.told_lost);
    assert_int_equal(failed, 0);
    assert_int_equal(missing, 0);
    if (run.seeds >= SEEDS_OF_A_FULL_RUN) assert_true(run.told_lost > 0); /* or nothing was tried */
    assert_true(per_s >= (uint64_t)number_of("BOURSE_SIMULATE_EVENTS_MIN", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_seed_loses_or_invents_money_and_everything_is_met)};
    return cmocka_run_group_tests_name("ledger simulator", tests, NULL, NULL);
}
