/* SPDX-License-Identifier: Apache-2.0 */
/* Health under a clock of our own: a window of 30 seconds, so its cells are one second long. */
#include "tests/unit/test.h"

#include "services/catalog/health.h"

#define ENDPOINT 7
#define START_MS 1000000000u

static struct health *health;
static uint64_t now_ms;
static int change_count;
static enum endpoint_health last_state;

static int set_up(void **state)
{
    (void)state;
    health = health_new(30);
    now_ms = START_MS;
    change_count = 0;
    last_state = HEALTH_STABLE;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    health_free(&health);
    return 0;
}

static void note_change(void *context, uint32_t endpoint, enum endpoint_health state)
{
    (void)context;
    assert_int_equal(endpoint, ENDPOINT);
    change_count++;
    last_state = state;
}

static const struct health_listener listener = {note_change, NULL};

static void record(enum attempt_result result, int count)
{
    struct message_outcome outcome = {.endpoint = ENDPOINT,
                                      .result = (uint8_t)result,
                                      .first_byte_ms = 100,
                                      .total_ms = 1000,
                                      .output_tokens = 50};
    for (int i = 0; i < count; i++)
        health_record(health, &outcome, now_ms, listener);
}

static struct health_view view(void)
{
    struct health_view seen;
    health_read(health, ENDPOINT, now_ms, &seen);
    return seen;
}

TEST(five_attempts_of_which_more_than_half_failed_are_down)
{
    record(ATTEMPT_OK, 2);
    record(ATTEMPT_SERVER, 2);
    assert_int_equal(view().state, HEALTH_DEGRADED); /* four attempts are too few for down */
    record(ATTEMPT_SERVER, 1);
    assert_int_equal(view().state, HEALTH_DOWN); /* 3 of 5 */
    assert_int_equal(last_state, HEALTH_DOWN);
}

TEST(exactly_half_is_not_down)
{
    record(ATTEMPT_OK, 3);
    record(ATTEMPT_SERVER, 3);
    assert_int_equal(view().state, HEALTH_DEGRADED);
}

TEST(one_outage_in_twenty_is_stable_and_one_in_nineteen_is_degraded)
{
    record(ATTEMPT_OK, 19);
    record(ATTEMPT_TIMEOUT, 1);
    assert_int_equal(view().state, HEALTH_STABLE); /* 95 % */
    record(ATTEMPT_TIMEOUT, 1);
    assert_int_equal(view().state, HEALTH_DEGRADED); /* 19 of 21 */
}

TEST(each_outage_degrades_and_a_fault_of_our_own_does_not)
{
    static const enum attempt_result outages[] = {ATTEMPT_SERVER, ATTEMPT_TIMEOUT,
                                                  ATTEMPT_OVERLOADED, ATTEMPT_RATE_LIMITED,
                                                  ATTEMPT_BROKEN_STREAM};
    for (size_t i = 0; i < sizeof(outages) / sizeof(outages[0]); i++) {
        now_ms += 60000;
        record(outages[i], 1);
        assert_int_equal(view().state, HEALTH_DEGRADED);
        now_ms += 60000;
        health_tick(health, now_ms, listener);
        assert_int_equal(view().state, HEALTH_STABLE);
    }
    record(ATTEMPT_AUTH, 4);
    assert_int_equal(view().state, HEALTH_STABLE);
    record(ATTEMPT_NOT_FOUND, 1);
    assert_int_equal(view().state, HEALTH_DOWN); /* 5 of 5, whoever's fault: it does not work */
}

TEST(bad_requests_and_clients_that_left_do_not_count)
{
    record(ATTEMPT_BAD_REQUEST, 100);
    record(ATTEMPT_CLIENT_GONE, 100);
    assert_int_equal(change_count, 0);
    assert_int_equal(view().uptime_5m, -1);
    record(ATTEMPT_SERVER, 5);
    assert_int_equal(view().state, HEALTH_DOWN); /* 5 of 5, not of 205 */
}

TEST(an_endpoint_recovers_when_the_window_has_passed)
{
    record(ATTEMPT_SERVER, 5);
    assert_int_equal(last_state, HEALTH_DOWN);
    now_ms += 29999;
    health_tick(health, now_ms, listener);
    assert_int_equal(last_state, HEALTH_DOWN);
    now_ms += 1;
    health_tick(health, now_ms, listener);
    assert_int_equal(last_state, HEALTH_STABLE);
    assert_int_equal(view().state, HEALTH_STABLE);
}

TEST(a_change_is_told_once)
{
    record(ATTEMPT_SERVER, 20);
    assert_int_equal(change_count, 2); /* degraded at the first, down at the fifth */
    health_tick(health, now_ms, listener);
    assert_int_equal(change_count, 2);
}

TEST(uptime_is_null_below_ten_attempts)
{
    record(ATTEMPT_OK, 9);
    assert_int_equal(view().uptime_5m, -1);
    record(ATTEMPT_OK, 1);
    assert_int_equal(view().uptime_5m, 10000);
}

TEST(uptime_leaves_rate_limits_out_and_forgets)
{
    record(ATTEMPT_OK, 9);
    record(ATTEMPT_SERVER, 3);
    record(ATTEMPT_RATE_LIMITED, 50);
    assert_int_equal(view().uptime_5m, 7500); /* 9 of 12 */
    assert_int_equal(view().uptime_30m, 7500);
    assert_int_equal(view().uptime_1d, 7500);
    now_ms += 6 * 60000;
    assert_int_equal(view().uptime_5m, -1);
    assert_int_equal(view().uptime_30m, 7500);
    now_ms += 31 * 60000;
    assert_int_equal(view().uptime_30m, -1);
    assert_int_equal(view().uptime_1d, 7500);
    now_ms += 24 * 3600000u;
    assert_int_equal(view().uptime_1d, -1);
}

TEST(percentiles_are_those_of_the_nearest_rank)
{
    struct message_outcome outcome = {.endpoint = ENDPOINT, .result = ATTEMPT_OK, .total_ms = 1000};
    for (uint32_t i = 1; i <= 20; i++) {
        outcome.first_byte_ms = i * 10;
        outcome.output_tokens = i;
        health_record(health, &outcome, now_ms, listener);
    }
    struct health_view seen = view();
    assert_true(seen.latency_ms.known);
    assert_int_equal(seen.latency_ms.p50, 100); /* the 10th of 20 */
    assert_int_equal(seen.latency_ms.p75, 150); /* the 15th */
    assert_int_equal(seen.latency_ms.p90, 180); /* the 18th */
    assert_int_equal(seen.latency_ms.p99, 200); /* the 20th: ceil(19.8) */
    assert_int_equal(seen.tokens_per_s.p50, 10);
    now_ms += 30 * 60000;
    assert_false(view().latency_ms.known);
}

TEST(outcomes_of_unknown_endpoints_and_results_are_ignored)
{
    struct message_outcome outcome = {.endpoint = HEALTH_ENDPOINTS_MAX, .result = ATTEMPT_SERVER};
    health_record(health, &outcome, now_ms, listener);
    outcome = (struct message_outcome){.endpoint = ENDPOINT, .result = 200};
    health_record(health, &outcome, now_ms, listener);
    assert_int_equal(change_count, 0);
    struct health_view seen;
    health_read(health, UINT32_MAX, now_ms, &seen);
    assert_int_equal(seen.state, HEALTH_STABLE);
}

TEST(a_new_edge_hears_of_every_endpoint_that_is_not_stable)
{
    record(ATTEMPT_SERVER, 5);
    change_count = 0;
    health_each_unstable(health, listener);
    assert_int_equal(change_count, 1);
    assert_int_equal(last_state, HEALTH_DOWN);
    uint32_t counts[3];
    health_count(health, counts);
    assert_int_equal(counts[HEALTH_DOWN], 1);
    assert_int_equal(counts[HEALTH_DEGRADED], 0);
}

#define HEALTH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HEALTH_TEST(five_attempts_of_which_more_than_half_failed_are_down),
        HEALTH_TEST(exactly_half_is_not_down),
        HEALTH_TEST(one_outage_in_twenty_is_stable_and_one_in_nineteen_is_degraded),
        HEALTH_TEST(each_outage_degrades_and_a_fault_of_our_own_does_not),
        HEALTH_TEST(bad_requests_and_clients_that_left_do_not_count),
        HEALTH_TEST(an_endpoint_recovers_when_the_window_has_passed),
        HEALTH_TEST(a_change_is_told_once),
        HEALTH_TEST(uptime_is_null_below_ten_attempts),
        HEALTH_TEST(uptime_leaves_rate_limits_out_and_forgets),
        HEALTH_TEST(percentiles_are_those_of_the_nearest_rank),
        HEALTH_TEST(outcomes_of_unknown_endpoints_and_results_are_ignored),
        HEALTH_TEST(a_new_edge_hears_of_every_endpoint_that_is_not_stable),
    };
    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
