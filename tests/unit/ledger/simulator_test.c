/* SPDX-License-Identifier: Apache-2.0 */
/* Seeds for a few seconds; BOURSE_SIMULATE_SEED runs one seed, BOURSE_SIMULATE_MS runs for longer.
 * A failure prints its seed. */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "tests/unit/ledger/simulator.h"

#define TIME_MS 2500

static int64_t number_of(const char *name, int64_t otherwise)
{
    int64_t value = otherwise;
    const char *text = getenv(name);
    if (text != NULL && !status_ok(slice_to_i64(slice_of(text), &value))) value = otherwise;
    return value;
}

TEST(no_seed_loses_or_invents_money)
{
    int64_t seed = number_of("BOURSE_SIMULATE_SEED", 0);
    uint32_t run = 0;
    uint32_t time_ms = seed != 0 ? 0 : (uint32_t)number_of("BOURSE_SIMULATE_MS", TIME_MS);
    uint64_t failed = simulate_many(seed != 0 ? (uint64_t)seed : 1, time_ms, false, &run);
    print_message("%u seeds\n", run);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_seed_loses_or_invents_money)};
    return cmocka_run_group_tests_name("ledger simulator", tests, NULL, NULL);
}
