/* SPDX-License-Identifier: Apache-2.0 */
/* What a client is told of a rate limit. */
#include "services/edge/rates.h"

#include "services/edge/answer.h"
#include "tests/unit/test.h"

#define SECOND ((int64_t)1000000000)
/* 2026-11-20T12:00:00Z is 1,795,176,000 seconds after 1970. */
#define NOON   (1795176000 * SECOND)

static void assert_envelope(const struct message_held *refusal, const char *expected)
{
    SCOPED(buffer_free) struct buffer text;
    buffer_init(&text, 4096);
    failure_append(
        &text,
        &(struct failure){.cause = {refusal->error}, .message = SLICE("no"), .refusal = refusal});
    assert_ok(buffer_finish(&text));
    assert_slice(buffer_slice(&text), expected);
}

TEST(a_refusal_names_whose_limit_it_was_and_which)
{
    const struct message_held key = {
        .error = ERROR_RATE_CONCURRENT, .rate_owner = RATE_KEY, .rate_limit = 3, .resets_ns = NOON};
    assert_envelope(&key, "{\"error\":{\"code\":429,\"message\":\"no\",\"metadata\":{"
                          "\"error_type\":\"rate_limit_exceeded\","
                          "\"error_name\":\"RATE_CONCURRENT\",\"limit_source\":\"key_rate_limit\","
                          "\"limit_name\":\"concurrent_requests\",\"limit\":3,\"remaining\":0,"
                          "\"resets_at\":\"2026-11-20T12:00:00.000Z\"}}}");
    const struct message_held day = {.error = ERROR_RATE_DAY,
                                     .rate_owner = RATE_FREE_MODELS,
                                     .rate_limit = 50,
                                     .resets_ns = NOON + 43200 * SECOND};
    assert_envelope(&day, "{\"error\":{\"code\":429,\"message\":\"no\",\"metadata\":{"
                          "\"error_type\":\"rate_limit_exceeded\",\"error_name\":\"RATE_DAY\","
                          "\"limit_source\":\"free_models_rate_limit\","
                          "\"limit_name\":\"requests_per_day\",\"limit\":50,\"remaining\":0,"
                          "\"resets_at\":\"2026-11-21T00:00:00.000Z\"}}}");
}

TEST(an_owner_from_a_newer_ledger_reads_as_the_key)
{
    const struct message_held held = {.error = ERROR_RATE_TOKENS,
                                      .rate_owner = 200,
                                      .rate_limit = 10,
                                      .rate_remaining = 4,
                                      .resets_ns = NOON};
    assert_envelope(&held, "{\"error\":{\"code\":429,\"message\":\"no\",\"metadata\":{"
                           "\"error_type\":\"rate_limit_exceeded\",\"error_name\":\"RATE_TOKENS\","
                           "\"limit_source\":\"key_rate_limit\","
                           "\"limit_name\":\"tokens_per_minute\",\"limit\":10,\"remaining\":4,"
                           "\"resets_at\":\"2026-11-20T12:00:00.000Z\"}}}");
}

TEST(only_rates_are_refusals_by_rates)
{
    assert_true(rates_refused(&(struct message_held){.error = ERROR_RATE_REQUESTS}));
    assert_false(rates_refused(&(struct message_held){.error = ERROR_NO_CREDIT}));
    assert_false(rates_refused(&(struct message_held){.error = ERROR_NONE}));
    /* The providers' own limits are another thing. */
    assert_false(rates_refused(&(struct message_held){.error = ERROR_RATE_LIMITED}));
}

TEST(retry_after_is_in_whole_seconds_that_are_enough_and_never_none)
{
    struct message_held held = {.created_ns = NOON, .resets_ns = NOON + 30 * SECOND};
    assert_int_equal(rates_retry_after_s(&held), 30);
    held.resets_ns += 1;
    assert_int_equal(rates_retry_after_s(&held), 31);
    held.resets_ns = NOON + SECOND / 2;
    assert_int_equal(rates_retry_after_s(&held), 1);
    held.resets_ns = 0;
    assert_int_equal(rates_retry_after_s(&held), 1);
    held = (struct message_held){.created_ns = 0, .resets_ns = INT64_MAX};
    assert_int_equal(rates_retry_after_s(&held), INT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_names_whose_limit_it_was_and_which),
        cmocka_unit_test(an_owner_from_a_newer_ledger_reads_as_the_key),
        cmocka_unit_test(only_rates_are_refusals_by_rates),
        cmocka_unit_test(retry_after_is_in_whole_seconds_that_are_enough_and_never_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
