/* SPDX-License-Identifier: Apache-2.0 */
/* What figures and errors of openai providers mean: usage objects into the billing vector, one
 * row per provider that counts differently, and answers that are no success into the class that
 * decides what is tried next. */
#include "tests/unit/edge/event_log.h"
#include "tests/unit/test.h"

/* ---- usage ----------------------------------------------------------------------------------- */

static void expect_usage(const char *usage, const char *expected)
{
    char bytes[1024], events[256];
    snprintf(bytes, sizeof(bytes), "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{}],\"usage\":%s}",
             usage);
    snprintf(events, sizeof(events), "start c m\nusage%s\ndone\n", expected);
    struct event_log log;
    event_log_init(&log);
    assert_ok(event_log_decode(&log, false, slice_of(bytes), sizeof(bytes)));
    assert_string_equal(event_log_text(&log), events);
    event_log_free(&log);
}

TEST(cached_and_audio_tokens_are_taken_out_of_the_prompt)
{
    /* 2006 - 1920 cached - 6 audio */
    expect_usage("{\"prompt_tokens\":2006,\"completion_tokens\":300,\"total_tokens\":2306,"
                 "\"prompt_tokens_details\":{\"cached_tokens\":1920,\"audio_tokens\":6}}",
                 " prompt=80 cache_read=1920 audio_in=6 completion=300");
    /* 100 - 40 read - 50 written */
    expect_usage("{\"prompt_tokens\":100,\"completion_tokens\":1,\"prompt_tokens_details\":{"
                 "\"cached_tokens\":40,\"cache_write_tokens\":50}}",
                 " prompt=10 cache_read=40 cache_write=50 completion=1");
}

TEST(audio_that_was_read_from_the_cache_is_counted_once)
{
    expect_usage("{\"prompt_tokens\":10,\"completion_tokens\":1,\"prompt_tokens_details\":{"
                 "\"cached_tokens\":8,\"audio_tokens\":5}}",
                 " cache_read=8 audio_in=2 completion=1");
}

TEST(reasoning_and_audio_are_taken_out_of_the_completion)
{
    expect_usage("{\"prompt_tokens\":5,\"completion_tokens\":400,\"total_tokens\":405,"
                 "\"completion_tokens_details\":{\"reasoning_tokens\":320,\"audio_tokens\":30,"
                 "\"accepted_prediction_tokens\":7}}",
                 " prompt=5 completion=50 reasoning=320 audio_out=30");
}

TEST(deepseek_names_cache_hits_by_themselves)
{
    expect_usage("{\"prompt_tokens\":64,\"completion_tokens\":8,\"total_tokens\":72,"
                 "\"prompt_cache_hit_tokens\":60,\"prompt_cache_miss_tokens\":4}",
                 " prompt=4 cache_read=60 completion=8");
}

TEST(mistral_names_cached_tokens_in_two_other_ways)
{
    expect_usage("{\"prompt_tokens\":10,\"completion_tokens\":1,\"num_cached_tokens\":4}",
                 " prompt=6 cache_read=4 completion=1");
    expect_usage("{\"prompt_tokens\":10,\"completion_tokens\":1,\"prompt_token_details\":{"
                 "\"cached_tokens\":3}}",
                 " prompt=7 cache_read=3 completion=1");
}

TEST(xai_counts_reasoning_beside_the_completion)
{
    /* 12 + 10 + 200 = 222: the total tells. */
    expect_usage("{\"prompt_tokens\":12,\"completion_tokens\":10,\"total_tokens\":222,"
                 "\"completion_tokens_details\":{\"reasoning_tokens\":200}}",
                 " prompt=12 completion=10 reasoning=200");
    /* The same figures with a total of 12 + 210: reasoning is inside. */
    expect_usage("{\"prompt_tokens\":12,\"completion_tokens\":210,\"total_tokens\":222,"
                 "\"completion_tokens_details\":{\"reasoning_tokens\":200}}",
                 " prompt=12 completion=10 reasoning=200");
}

TEST(xai_may_count_cached_tokens_beside_the_prompt)
{
    expect_usage("{\"prompt_tokens\":12,\"completion_tokens\":10,\"prompt_tokens_details\":{"
                 "\"cached_tokens\":500}}",
                 " prompt=12 cache_read=500 completion=10");
}

TEST(an_explicit_zero_is_a_figure)
{
    expect_usage("{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}", "");
    expect_usage("{\"prompt_tokens\":7,\"completion_tokens\":0}", " prompt=7");
}

TEST(whole_numbers_may_be_written_as_floats)
{
    expect_usage("{\"prompt_tokens\":7.0,\"completion_tokens\":1e2}", " prompt=7 completion=100");
}

TEST(details_may_be_null_or_absent)
{
    expect_usage("{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":null,"
                 "\"prompt_tokens_details\":null,\"completion_tokens_details\":{"
                 "\"reasoning_tokens\":null}}",
                 " prompt=7 completion=3");
}

TEST(of_a_figure_that_stands_twice_the_last_counts)
{
    expect_usage("{\"prompt_tokens\":7,\"completion_tokens\":3,\"prompt_tokens\":9}",
                 " prompt=9 completion=3");
}

TEST(figures_that_cannot_be_are_invalid)
{
    static const char *const usages[] = {
        "{}",
        "{\"prompt_tokens\":7}",
        "{\"completion_tokens\":7}",
        "{\"prompt_tokens\":null,\"completion_tokens\":3}",
        "{\"prompt_tokens\":-1,\"completion_tokens\":3}",
        "{\"prompt_tokens\":7,\"completion_tokens\":-3}",
        "{\"prompt_tokens\":2147483648,\"completion_tokens\":3}", /* 2^31 */
        "{\"prompt_tokens\":7,\"completion_tokens\":99999999999999999999999}",
        "{\"prompt_tokens\":7.5,\"completion_tokens\":3}",
        "{\"prompt_tokens\":\"7\",\"completion_tokens\":3}",
        "{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":-10}",
        /* parts larger than the whole */
        "{\"prompt_tokens\":7,\"completion_tokens\":3,\"completion_tokens_details\":{"
        "\"reasoning_tokens\":4}}",
        "{\"prompt_tokens\":7,\"completion_tokens\":3,\"completion_tokens_details\":{"
        "\"reasoning_tokens\":2,\"audio_tokens\":2}}",
        "{\"prompt_tokens\":7,\"completion_tokens\":3,\"prompt_tokens_details\":{"
        "\"audio_tokens\":8}}",
        "{\"prompt_tokens\":7,\"completion_tokens\":3,\"prompt_tokens_details\":{"
        "\"cached_tokens\":5,\"cache_write_tokens\":3}}",
        "{\"prompt_tokens\":7,\"completion_tokens\":3,\"prompt_tokens_details\":{"
        "\"cached_tokens\":-1}}",
    };
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        expect_usage(usages[i], " invalid");
    }
    /* The largest that can be. */
    expect_usage("{\"prompt_tokens\":2147483647,\"completion_tokens\":2147483647}",
                 " prompt=2147483647 completion=2147483647");
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void expect_class(int http_status, const char *body, enum attempt_result expected,
                         const char *message)
{
    struct arena arena;
    arena_init(&arena, 1 << 16);
    slice told;
    assert_int_equal(dialect_openai.classify(http_status, slice_of(body), &arena, &told), expected);
    assert_slice(told, message);
    arena_free(&arena);
}

TEST(without_a_readable_body_the_status_decides)
{
    static const struct {
        int http_status;
        enum attempt_result result;
    } rows[] = {
        {400, ATTEMPT_BAD_REQUEST},  {401, ATTEMPT_AUTH},        {402, ATTEMPT_AUTH},
        {403, ATTEMPT_AUTH},         {404, ATTEMPT_NOT_FOUND},   {408, ATTEMPT_TIMEOUT},
        {413, ATTEMPT_BAD_REQUEST},  {422, ATTEMPT_BAD_REQUEST}, {424, ATTEMPT_SERVER},
        {429, ATTEMPT_RATE_LIMITED}, {498, ATTEMPT_OVERLOADED},  {500, ATTEMPT_SERVER},
        {502, ATTEMPT_SERVER},       {503, ATTEMPT_OVERLOADED},  {504, ATTEMPT_TIMEOUT},
        {520, ATTEMPT_SERVER},       {524, ATTEMPT_SERVER},      {529, ATTEMPT_OVERLOADED},
        {302, ATTEMPT_SERVER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_class(rows[i].http_status, "<html>nginx</html>", rows[i].result, "");
        expect_class(rows[i].http_status, "", rows[i].result, "");
    }
}

TEST(a_refused_request_keeps_the_providers_message)
{
    expect_class(400,
                 "{\"error\":{\"message\":\"Invalid 'tools'\",\"type\":\"invalid_request_error\","
                 "\"param\":\"tools\",\"code\":null}}",
                 ATTEMPT_BAD_REQUEST, "Invalid 'tools'");
    expect_class(400, "{\"error\":{\"message\":\"too long\",\"code\":\"context_length_exceeded\"}}",
                 ATTEMPT_BAD_REQUEST, "too long");
    expect_class(422, "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"Field required\"}]}",
                 ATTEMPT_BAD_REQUEST, "Field required");
    expect_class(
        422, "{\"object\":\"error\",\"message\":\"bad value\",\"type\":\"invalid_request_error\"}",
        ATTEMPT_BAD_REQUEST, "bad value");
    expect_class(400, "{\"error\":\"plain words\"}", ATTEMPT_BAD_REQUEST, "plain words");
    expect_class(403, "{\"error\":{\"message\":\"flagged\",\"code\":\"content_policy_violation\"}}",
                 ATTEMPT_BAD_REQUEST, "flagged");
}

TEST(a_refused_key_is_recognised_and_its_message_not_passed_on)
{
    expect_class(401,
                 "{\"error\":{\"message\":\"Incorrect API key provided: sk-abc***xyz\","
                 "\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"}}",
                 ATTEMPT_AUTH, "");
    /* xAI and Gemini say 400. */
    expect_class(400,
                 "{\"code\":\"Client specified an invalid argument\","
                 "\"error\":\"Incorrect API key provided: xa***.\"}",
                 ATTEMPT_AUTH, "");
    expect_class(400,
                 "[{\"error\":{\"code\":400,\"message\":\"API key not valid.\","
                 "\"status\":\"INVALID_ARGUMENT\"}}]",
                 ATTEMPT_AUTH, "");
    /* A message about something else with status 400 stays a refusal. */
    expect_class(400,
                 "[{\"error\":{\"code\":400,\"message\":\"Unknown role.\","
                 "\"status\":\"INVALID_ARGUMENT\"}}]",
                 ATTEMPT_BAD_REQUEST, "Unknown role.");
}

TEST(an_empty_account_is_the_keys_fault_and_not_a_rate)
{
    expect_class(429,
                 "{\"error\":{\"message\":\"You exceeded your current quota\","
                 "\"type\":\"insufficient_quota\","
                 "\"code\":\"insufficient_quota\"}}",
                 ATTEMPT_AUTH, "");
    expect_class(429,
                 "{\"error\":{\"message\":\"Rate limit reached\",\"type\":\"tokens\","
                 "\"code\":\"rate_limit_exceeded\"}}",
                 ATTEMPT_RATE_LIMITED, "Rate limit reached");
}

TEST(a_missing_model_is_told_from_a_bad_request)
{
    expect_class(404,
                 "{\"error\":{\"message\":\"no such model\",\"type\":\"invalid_request_error\","
                 "\"code\":\"model_not_found\"}}",
                 ATTEMPT_NOT_FOUND, "no such model");
    expect_class(400, "{\"error\":{\"message\":\"no such model\",\"code\":\"model_not_found\"}}",
                 ATTEMPT_NOT_FOUND, "no such model");
}

TEST(a_long_message_is_cut)
{
    char body[1000] = "{\"error\":\"";
    memset(body + strlen(body), 'x', 400);
    memcpy(body + strlen(body), "\"}", 2);
    char expected[301] = "";
    memset(expected, 'x', 300);
    expect_class(500, body, ATTEMPT_SERVER, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cached_and_audio_tokens_are_taken_out_of_the_prompt),
        cmocka_unit_test(audio_that_was_read_from_the_cache_is_counted_once),
        cmocka_unit_test(reasoning_and_audio_are_taken_out_of_the_completion),
        cmocka_unit_test(deepseek_names_cache_hits_by_themselves),
        cmocka_unit_test(mistral_names_cached_tokens_in_two_other_ways),
        cmocka_unit_test(xai_counts_reasoning_beside_the_completion),
        cmocka_unit_test(xai_may_count_cached_tokens_beside_the_prompt),
        cmocka_unit_test(an_explicit_zero_is_a_figure),
        cmocka_unit_test(whole_numbers_may_be_written_as_floats),
        cmocka_unit_test(details_may_be_null_or_absent),
        cmocka_unit_test(of_a_figure_that_stands_twice_the_last_counts),
        cmocka_unit_test(figures_that_cannot_be_are_invalid),
        cmocka_unit_test(without_a_readable_body_the_status_decides),
        cmocka_unit_test(a_refused_request_keeps_the_providers_message),
        cmocka_unit_test(a_refused_key_is_recognised_and_its_message_not_passed_on),
        cmocka_unit_test(an_empty_account_is_the_keys_fault_and_not_a_rate),
        cmocka_unit_test(a_missing_model_is_told_from_a_bad_request),
        cmocka_unit_test(a_long_message_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
