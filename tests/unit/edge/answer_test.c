/* SPDX-License-Identifier: Apache-2.0 */
/* The error envelope, byte by byte: what clients and their libraries rely on. */
#include "services/edge/answer.h"

#include "tests/unit/test.h"

static void assert_envelope(const struct failure *failure, const char *expected)
{
    SCOPED(buffer_free) struct buffer text;
    buffer_init(&text, 4096);
    failure_append(&text, failure);
    assert_ok(buffer_finish(&text));
    assert_slice(buffer_slice(&text), expected);
}

TEST(a_plain_failure_says_its_sentence_with_an_integer_code)
{
    assert_envelope(&(struct failure){.cause = FAIL(UNKNOWN_ROUTE)},
                    "{\"error\":{\"code\":404,\"message\":\"No such route.\",\"metadata\":{"
                    "\"error_type\":\"not_found\",\"error_name\":\"UNKNOWN_ROUTE\"}}}");
}

TEST(a_field_and_own_words_are_told)
{
    assert_envelope(&(struct failure){.cause = FAIL(WRONG_TYPE),
                                      .field = SLICE("n"),
                                      .message = SLICE("n must be \"1\".")},
                    "{\"error\":{\"code\":400,\"message\":\"n must be \\\"1\\\".\",\"metadata\":{"
                    "\"error_type\":\"invalid_request\",\"error_name\":\"WRONG_TYPE\","
                    "\"field\":\"n\"}}}");
}

TEST(what_is_ours_alone_shows_nothing_of_the_inside)
{
    static const char masked[] =
        "{\"error\":{\"code\":500,\"message\":\"Something went wrong on our side. The request was "
        "not charged.\",\"metadata\":{\"error_type\":\"server\",\"error_name\":\"INTERNAL\"}}}";
    assert_envelope(&(struct failure){.cause = FAIL(MALFORMED), .message = SLICE("secret")},
                    masked);
    assert_envelope(&(struct failure){.cause = {9999}}, masked);
}

TEST(a_refusal_for_money_says_which_limit_and_what_is_affordable)
{
    /* 0.05 dollars left; the limit ends with 2026: 1,798,761,600 seconds after 1970. */
    const struct message_held refusal = {
        .limit_source = LIMIT_KEY,
        .output_affordable = 12,
        .available = {50000000},
        .resets_ns = 1798761600000000000,
    };
    assert_envelope(
        &(struct failure){.cause = FAIL(KEY_LIMIT), .message = SLICE("no"), .refusal = &refusal},
        "{\"error\":{\"code\":402,\"message\":\"no\",\"metadata\":{"
        "\"error_type\":\"payment_required\",\"error_name\":\"KEY_LIMIT\","
        "\"limit_source\":\"key_limit\",\"affordable\":{\"output_tokens\":12},"
        "\"available\":0.05,\"resets_at\":\"2027-01-01T00:00:00.000Z\"}}}");
}

TEST(a_source_from_a_newer_ledger_reads_as_credits)
{
    const struct message_held refusal = {.limit_source = 200};
    assert_envelope(
        &(struct failure){.cause = FAIL(NO_CREDIT), .message = SLICE("no"), .refusal = &refusal},
        "{\"error\":{\"code\":402,\"message\":\"no\",\"metadata\":{"
        "\"error_type\":\"payment_required\",\"error_name\":\"NO_CREDIT\","
        "\"limit_source\":\"credits\",\"affordable\":{\"output_tokens\":0},"
        "\"available\":0,\"resets_at\":null}}}");
}

TEST(providers_that_failed_are_listed_in_order)
{
    const struct previous_error previous[] = {{SLICE("openai"), 429}, {SLICE("azure"), 502}};
    assert_envelope(&(struct failure){.cause = FAIL(PROVIDER_DOWN),
                                      .message = SLICE("down"),
                                      .previous = previous,
                                      .previous_count = 2},
                    "{\"error\":{\"code\":502,\"message\":\"down\",\"metadata\":{"
                    "\"error_type\":\"provider_unavailable\",\"error_name\":\"PROVIDER_DOWN\","
                    "\"previous_errors\":[{\"provider\":\"openai\",\"code\":429},"
                    "{\"provider\":\"azure\",\"code\":502}]}}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_failure_says_its_sentence_with_an_integer_code),
        cmocka_unit_test(a_field_and_own_words_are_told),
        cmocka_unit_test(what_is_ours_alone_shows_nothing_of_the_inside),
        cmocka_unit_test(a_refusal_for_money_says_which_limit_and_what_is_affordable),
        cmocka_unit_test(a_source_from_a_newer_ledger_reads_as_credits),
        cmocka_unit_test(providers_that_failed_are_listed_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
