/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of openai providers into events: what the reference dialect sends, what its relatives
 * send instead, and what is no answer. Every stream is also fed byte by byte: the events must be
 * the same. */
#include "tests/unit/edge/event_log.h"
#include "tests/unit/test.h"

#define CHUNK(choices) "data: {\"id\":\"c1\",\"model\":\"m1\",\"choices\":[" choices "]}\n\n"
#define DELTA(delta)   CHUNK("{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}")
#define STOP           CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}")
#define DONE           "data: [DONE]\n\n"
#define ERROR_BODY     "{\"error\":{\"message\":\"full\",\"code\":503}}"

static void expect_events(bool stream, const char *bytes, const char *events)
{
    struct event_log log;
    event_log_init(&log);
    static const size_t pieces[] = {SIZE_MAX / 2, 1, 7};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        assert_ok(event_log_decode(&log, stream, slice_of(bytes), pieces[i]));
        assert_string_equal(event_log_text(&log), events);
    }
    event_log_free(&log);
}

static void expect_malformed(bool stream, const char *bytes)
{
    struct event_log log;
    event_log_init(&log);
    assert_fails(event_log_decode(&log, stream, slice_of(bytes), SIZE_MAX / 2), MALFORMED);
    assert_fails(event_log_decode(&log, stream, slice_of(bytes), 1), MALFORMED);
    event_log_free(&log);
}

static void expect_stream(const char *bytes, const char *events)
{
    expect_events(true, bytes, events);
}

static void expect_body(const char *bytes, const char *events)
{
    expect_events(false, bytes, events);
}

/* ---- streams --------------------------------------------------------------------------------- */

TEST(a_stream_of_the_reference_dialect_becomes_events)
{
    expect_stream(
        "data: {\"id\":\"chatcmpl-9\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,"
        "\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\","
        "\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,\"delta\":{"
        "\"role\":\"assistant\","
        "\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}],"
        "\"usage\":null,\"obfuscation\":\"a\"}\n\n"
        "data: {\"id\":\"chatcmpl-9\",\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{"
        "\"index\":0,"
        "\"delta\":{\"content\":\"Hello\"},\"logprobs\":null,\"finish_reason\":null}],"
        "\"usage\":null}\n\n"
        "data: {\"id\":\"chatcmpl-9\",\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{"
        "\"index\":0,"
        "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
        "data: {\"id\":\"chatcmpl-9\",\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[],"
        "\"usage\":{"
        "\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n" DONE,
        "start chatcmpl-9 gpt-4o-mini-2024-07-18\ntext 0 Hello\nfinish 0 stop stop\n"
        "usage prompt=9 completion=2\ndone\n");
}

TEST(escapes_in_a_delta_are_undone)
{
    expect_stream(DELTA("{\"content\":\"a\\n\\\"b\\u00f6\\ud83d\\ude00\"}") STOP DONE,
                  "start c1 m1\ntext 0 a\n\"b\xc3\xb6\xf0\x9f\x98\x80\nfinish 0 stop stop\ndone\n");
}

TEST(choices_are_told_apart_by_their_index)
{
    expect_stream(CHUNK("{\"index\":1,\"delta\":{\"content\":\"b\"}},"
                        "{\"index\":0,\"delta\":{\"content\":\"a\"}}")
                      CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"},"
                            "{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}") DONE,
                  "start c1 m1\ntext 1 b\ntext 0 a\nfinish 0 length length\nfinish 1 stop stop\n"
                  "done\n");
}

TEST(text_and_finish_in_one_chunk_come_in_that_order)
{
    expect_stream(CHUNK("{\"finish_reason\":\"stop\",\"delta\":{\"content\":\"x\"},\"index\":0}")
                      DONE,
                  "start c1 m1\ntext 0 x\nfinish 0 stop stop\ndone\n");
}

TEST(nothing_is_read_behind_the_end)
{
    expect_stream(DELTA("{\"content\":\"a\"}") DONE
                  "data: nonsense\n\n" DELTA("{\"content\":\"b\"}"),
                  "start c1 m1\ntext 0 a\ndone\n");
}

/* ---- where a stream is complete -------------------------------------------------------------- */

TEST(a_stream_without_its_end_mark_is_complete_when_every_choice_finished)
{
    expect_stream(DELTA("{\"content\":\"a\"}") STOP,
                  "start c1 m1\ntext 0 a\nfinish 0 stop stop\ndone\n");
}

TEST(a_stream_that_ends_before_a_finish_reason_is_not_complete)
{
    expect_stream(DELTA("{\"content\":\"a\"}"), "start c1 m1\ntext 0 a\n");
}

TEST(a_stream_with_one_unfinished_choice_of_two_is_not_complete)
{
    expect_stream(DELTA("{\"content\":\"a\"}") CHUNK("{\"index\":1,\"delta\":{\"content\":\"b\"}}")
                      STOP,
                  "start c1 m1\ntext 0 a\ntext 1 b\nfinish 0 stop stop\n");
}

TEST(an_empty_finish_reason_means_not_yet)
{
    expect_stream(CHUNK("{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"\"}"),
                  "start c1 m1\ntext 0 a\n");
}

/* ---- relatives ------------------------------------------------------------------------------- */

TEST(azure_begins_with_an_empty_chunk_that_starts_nothing)
{
    expect_stream("data: {\"id\":\"\",\"object\":\"\",\"created\":0,\"model\":\"\",\"choices\":[],"
                  "\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\n" DELTA(
                      "{\"content\":\"a\"}") STOP DONE,
                  "start c1 m1\ntext 0 a\nfinish 0 stop stop\ndone\n");
}

TEST(reasoning_is_read_in_both_spellings_and_once)
{
    expect_stream(DELTA("{\"role\":\"\",\"content\":null,\"reasoning_content\":\"think\"}")
                      DELTA("{\"content\":\"\",\"reasoning\":\"more\"}")
                          DELTA("{\"reasoning\":\"both\",\"reasoning_content\":\"both\"}")
                              DELTA("{\"reasoning\":null,\"reasoning_content\":\"last\"}") DONE,
                  "start c1 m1\nreasoning 0 think\nreasoning 0 more\nreasoning 0 both\n"
                  "reasoning 0 last\ndone\n");
}

TEST(reasoning_comes_before_the_text_of_the_same_chunk)
{
    expect_stream(DELTA("{\"content\":\"answer\",\"reasoning\":\"thought\"}") DONE,
                  "start c1 m1\nreasoning 0 thought\ntext 0 answer\ndone\n");
}

TEST(content_may_be_an_array_of_parts)
{
    expect_stream(
        DELTA("{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\","
              "\"text\":\"hm\"}]},"
              "{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"},7,null]}")
            DONE,
        "start c1 m1\nreasoning 0 hm\ntext 0 a\ntext 0 b\ndone\n");
}

TEST(a_refusal_and_log_probabilities_are_events_of_their_own)
{
    expect_stream(CHUNK("{\"index\":0,\"delta\":{\"refusal\":\"No.\"},"
                        "\"logprobs\":{\"content\":[]},\"finish_reason\":null}") DONE,
                  "start c1 m1\nrefusal 0 No.\nlogprobs 0 {\"content\":[]}\ndone\n");
}

TEST(members_that_are_passed_on_untouched)
{
    expect_stream(
        DELTA("{\"annotations\":[{\"a\":1}],\"images\":null,\"unknown\":5,"
              "\"reasoning_details\":[{\"type\":\"reasoning.text\"}],\"audio\":{\"id\":\"x\"},"
              "\"function_call\":{\"name\":\"f\"}}") DONE,
        "start c1 m1\nextra 0 annotations [{\"a\":1}]\n"
        "extra 0 reasoning_details [{\"type\":\"reasoning.text\"}]\n"
        "extra 0 audio {\"id\":\"x\"}\nextra 0 function_call {\"name\":\"f\"}\ndone\n");
}

TEST(finish_reasons_of_relatives_are_translated_and_kept)
{
    static const struct {
        const char *native, *reason;
    } rows[] = {
        {"stop", "stop"},
        {"length", "length"},
        {"tool_calls", "tool_calls"},
        {"content_filter", "content_filter"},
        {"function_call", "tool_calls"},
        {"model_length", "length"},
        {"eos", "stop"},
        {"stop_sequence", "stop"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char bytes[256], events[256];
        snprintf(bytes, sizeof(bytes),
                 CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"%s\"}") DONE, rows[i].native);
        snprintf(events, sizeof(events), "start c1 m1\nfinish 0 %s %s\ndone\n", rows[i].reason,
                 rows[i].native);
        expect_stream(bytes, events);
    }
}

TEST(groq_reports_usage_in_a_member_of_its_own)
{
    expect_stream("data: {\"id\":\"c1\",\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":{},"
                  "\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"req\",\"usage\":{"
                  "\"queue_time\":0.1,\"prompt_tokens\":4,\"completion_tokens\":5}}}\n\n" DONE,
                  "start c1 m1\nfinish 0 stop stop\nusage prompt=4 completion=5\ndone\n");
}

TEST(moonshot_reports_usage_inside_the_choice)
{
    expect_stream(
        CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{"
              "\"prompt_tokens\":19,\"completion_tokens\":21,\"cached_tokens\":8}}") DONE,
        "start c1 m1\nusage prompt=11 cache_read=8 completion=21\nfinish 0 stop stop\ndone\n");
}

TEST(of_several_usages_each_is_told_in_order)
{
    expect_stream(
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n"
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n" DONE,
        "usage prompt=1 completion=1\nusage prompt=1 completion=2\ndone\n");
}

/* ---- tool calls ------------------------------------------------------------------------------ */

TEST(a_tool_call_is_announced_once_and_its_arguments_follow)
{
    expect_stream(
        DELTA("{\"tool_calls\":[{\"index\":0,\"id\":\"call_a\",\"type\":\"function\",\"function\":{"
              "\"name\":\"get_weather\",\"arguments\":\"\"}}]}")
            DELTA(
                "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"city\\\":\"}}]}")
                DELTA("{\"tool_calls\":[{\"index\":0,\"id\":null,\"function\":{\"name\":null,"
                      "\"arguments\":\"\\\"Ulm\\\"}\"}}]}")
                    CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}") DONE,
        "start c1 m1\ntool 0.0 call_a get_weather\nargs 0.0 {\"city\":\nargs 0.0 \"Ulm\"}\n"
        "finish 0 tool_calls tool_calls\ndone\n");
}

TEST(a_repeated_id_does_not_announce_a_call_again)
{
    expect_stream(
        DELTA("{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\","
              "\"arguments\":\"1\"}}]}")
            DELTA("{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\","
                  "\"arguments\":\"2\"}}]}") DONE,
        "start c1 m1\ntool 0.0 a f\nargs 0.0 1\nargs 0.0 2\ndone\n");
}

TEST(calls_that_all_have_index_0_are_told_apart_by_their_ids)
{
    expect_stream(
        DELTA("{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\","
              "\"arguments\":\"{}\"}}]}")
            DELTA("{\"tool_calls\":[{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"g\","
                  "\"arguments\":\"[]\"}}]}") DONE,
        "start c1 m1\ntool 0.0 a f\nargs 0.0 {}\ntool 0.1 b g\nargs 0.1 []\ndone\n");
}

TEST(calls_without_an_index_are_numbered_by_their_place)
{
    expect_stream(
        DELTA(
            "{\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1}}},"
            "{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]}") DONE,
        "start c1 m1\ntool 0.0 a f\nargs 0.0 {\"x\":1}\ntool 0.1 b g\nargs 0.1 {}\ndone\n");
}

TEST(calls_of_two_choices_are_numbered_separately)
{
    expect_stream(
        CHUNK("{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{"
              "\"name\":\"f\"}}]}},"
              "{\"index\":1,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"b\",\"function\":{"
              "\"name\":\"g\"}}]}}") DONE,
        "start c1 m1\ntool 0.0 a f\ntool 1.0 b g\ndone\n");
}

TEST(more_tool_calls_than_the_bound_are_malformed)
{
    static char bytes[64 * 1024];
    size_t len = 0;
    for (int i = 0; i < 257; i++) {
        len += (size_t)snprintf(bytes + len, sizeof(bytes) - len,
                                DELTA("{\"tool_calls\":[{\"index\":%d,\"id\":\"i\"}]}"), i);
    }
    expect_malformed(true, bytes);
}

/* ---- errors in a stream ---------------------------------------------------------------------- */

TEST(an_error_inside_a_stream_ends_it)
{
    expect_stream(
        DELTA("{\"content\":\"a\"}") "data: {\"error\":{\"message\":\"The server is overloaded\","
                                     "\"type\":\"overloaded_error\","
                                     "\"code\":null}}\n\n" DELTA("{\"content\":\"b\"}") DONE,
        "start c1 m1\ntext 0 a\nerror overloaded The server is overloaded\n");
}

TEST(an_error_that_is_null_is_none)
{
    expect_stream("data: {\"id\":\"c1\",\"model\":\"m1\",\"error\":null,\"choices\":[{\"index\":0,"
                  "\"delta\":{\"content\":\"a\"},\"error\":null}]}\n\n" DONE,
                  "start c1 m1\ntext 0 a\ndone\n");
}

TEST(errors_come_in_several_shapes)
{
    expect_stream("data: {\"error\":\"it broke\"}\n\n", "error server it broke\n");
    expect_stream("data: {\"error\":{\"code\":429,\"message\":\"slow\"}}\n\n",
                  "error rate_limited slow\n");
    expect_stream("event: error\ndata: {\"message\":\"gone\",\"type\":\"timeout\"}\n\n",
                  "error timeout gone\n");
    expect_stream(
        "data: {\"object\":\"error\",\"message\":\"bad\",\"type\":\"invalid_request_error\"}\n\n",
        "error bad_request bad\n");
    expect_stream(CHUNK("{\"index\":0,\"error\":{\"message\":\"x\",\"code\":503}}"),
                  "start c1 m1\nerror overloaded x\n");
    /* The text may quote a key. */
    expect_stream(
        "data: {\"error\":{\"message\":\"Incorrect key sk-1\",\"code\":\"invalid_api_key\"}}\n\n",
        "error auth \n");
}

TEST(finish_reasons_that_mean_a_fault_are_errors)
{
    expect_stream(
        DELTA("{\"content\":\"a\"}")
            CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"insufficient_system_resource\"}")
                DONE,
        "start c1 m1\ntext 0 a\nerror overloaded \n");
    expect_stream(CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"error\"}") DONE,
                  "start c1 m1\nerror server \n");
}

TEST(a_body_instead_of_a_stream_is_read_as_one)
{
    expect_stream("\n{\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}",
                  "error server no\n");
    expect_stream(" {\"id\":\"c1\",\"model\":\"m1\",\"choices\":[{\"index\":0,\"message\":{"
                  "\"content\":\"a\"},\"finish_reason\":\"stop\"}]}",
                  "start c1 m1\ntext 0 a\nfinish 0 stop stop\ndone\n");
}

TEST(what_is_no_stream_is_malformed)
{
    expect_malformed(true, "<html><body>502 Bad Gateway</body></html>");
    expect_malformed(true, "upstream connect error");
    expect_malformed(true, "data: {\"choices\":[{\"index\":0,\"del\n\n");
    expect_malformed(true, "data: {\"choices\":[{\"index\":0,\"del"); /* cut in the middle */
    expect_malformed(true, "data: 7\n\n");
    expect_malformed(true, "data: {\"choices\":{}}\n\n");
    expect_malformed(true, "data: {\"choices\":[7]}\n\n");
    expect_malformed(true, "data: {\"choices\":[{\"index\":-1}]}\n\n");
    expect_malformed(true, "data: {\"choices\":[{\"index\":128}]}\n\n");
    expect_malformed(true, "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":{}}}]}\n\n");
    expect_malformed(true, ": only comments\n\n");
    expect_malformed(true, "");
}

/* ---- bodies ---------------------------------------------------------------------------------- */

TEST(a_body_of_the_reference_dialect_becomes_events)
{
    expect_body(
        "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":\"gpt-4o\",\"choices\":[{"
        "\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\",\"refusal\":null,"
        "\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{"
        "\"prompt_tokens\":20,\"completion_tokens\":10,\"total_tokens\":30,"
        "\"prompt_tokens_details\":{\"cached_tokens\":8,\"audio_tokens\":2},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":4,\"audio_tokens\":1}}}",
        "start chatcmpl-1 gpt-4o\ntext 0 Hi\nextra 0 annotations []\nfinish 0 stop stop\n"
        "usage prompt=10 cache_read=8 audio_in=2 completion=5 reasoning=4 audio_out=1\ndone\n");
}

TEST(a_body_with_tool_calls_and_reasoning)
{
    expect_body("\n\n{\"id\":\"c1\",\"model\":\"m1\",\"choices\":[{\"message\":{\"content\":null,"
                "\"reasoning_content\":\"hm\",\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\","
                "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"b\",\"function\":{"
                "\"name\":\"g\",\"arguments\":\"[1]\"}}]},\"finish_reason\":\"tool_calls\"}]}\n",
                "start c1 m1\nreasoning 0 hm\ntool 0.0 a f\nargs 0.0 {}\ntool 0.1 b g\n"
                "args 0.1 [1]\nfinish 0 tool_calls tool_calls\ndone\n");
}

TEST(a_whole_body_is_complete_even_without_a_finish_reason)
{
    expect_body("{\"id\":\"c1\",\"model\":\"m1\",\"choices\":[{\"message\":{\"content\":\"a\"}}]}",
                "start c1 m1\ntext 0 a\ndone\n");
}

TEST(a_body_with_an_error_is_an_error)
{
    expect_body(ERROR_BODY, "error overloaded full\n");
    expect_body("{\"code\":\"resource exhausted\",\"error\":\"full\"}", "error server full\n");
}

TEST(what_is_no_body_is_malformed)
{
    expect_malformed(false, "");
    expect_malformed(false, "<html></html>");
    expect_malformed(false, "{\"choices\":[{\"message\":{\"content\":\"a\"}}]"); /* cut */
    expect_malformed(false, "[]");
    expect_malformed(false, "{}");
    expect_malformed(false, "{\"choices\":[]}");
    expect_malformed(false, "{\"choices\":null,\"usage\":{}}");
    expect_malformed(false, "{\"choices\":\"x\"}");
}

TEST(a_failing_sink_is_passed_on)
{
    struct event_log log;
    event_log_init(&log);
    log.fail_at = 2;
    assert_fails(event_log_decode(&log, true, SLICE(DELTA("{\"content\":\"a\"}") DONE), 1000),
                 TOO_LARGE);
    assert_string_equal(event_log_text(&log), "start c1 m1\n");
    event_log_free(&log);
}

/* ---- memory ---------------------------------------------------------------------------------- */

TEST(an_answer_that_was_cut_leaves_nothing_to_the_next)
{
    struct event_log log;
    event_log_init(&log);
    assert_fails(event_log_decode(&log, false, SLICE("{\"choices\":[{"), 1000), MALFORMED);
    assert_ok(event_log_decode(&log, false, SLICE(ERROR_BODY), 1000));
    assert_string_equal(event_log_text(&log), "error overloaded full\n");
    event_log_free(&log);
}

/* 20,000 items are more nodes than are kept, 100,000 bytes more of a body. */
TEST(what_only_a_large_answer_needs_is_given_back)
{
    struct event_log log;
    event_log_init(&log);
    assert_ok(event_log_decode(&log, false, SLICE(ERROR_BODY), 1000));
    decode_memory_trim(&log.memory);
    const struct json_node *nodes = log.memory.document.nodes;
    const char *body = log.memory.body.data;
    assert_non_null(nodes);
    assert_non_null(body);

    struct buffer large;
    buffer_init(&large, 1 << 20);
    buffer_append(&large, SLICE("{\"choices\":[["));
    for (int i = 0; i < 20000; i++)
        buffer_append(&large, SLICE("\"\\n\","));
    buffer_append(&large, SLICE("0]]}"));
    assert_fails(event_log_decode(&log, false, buffer_slice(&large), 1000), MALFORMED);
    assert_true(log.memory.document.nodes_size > 20000);
    assert_true(log.memory.body.size >= 100000);
    decode_memory_trim(&log.memory);
    assert_null(log.memory.document.nodes);
    assert_null(log.memory.body.data);
    buffer_free(&large);
    event_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_of_the_reference_dialect_becomes_events),
        cmocka_unit_test(escapes_in_a_delta_are_undone),
        cmocka_unit_test(choices_are_told_apart_by_their_index),
        cmocka_unit_test(text_and_finish_in_one_chunk_come_in_that_order),
        cmocka_unit_test(nothing_is_read_behind_the_end),
        cmocka_unit_test(a_stream_without_its_end_mark_is_complete_when_every_choice_finished),
        cmocka_unit_test(a_stream_that_ends_before_a_finish_reason_is_not_complete),
        cmocka_unit_test(a_stream_with_one_unfinished_choice_of_two_is_not_complete),
        cmocka_unit_test(an_empty_finish_reason_means_not_yet),
        cmocka_unit_test(azure_begins_with_an_empty_chunk_that_starts_nothing),
        cmocka_unit_test(reasoning_is_read_in_both_spellings_and_once),
        cmocka_unit_test(reasoning_comes_before_the_text_of_the_same_chunk),
        cmocka_unit_test(content_may_be_an_array_of_parts),
        cmocka_unit_test(a_refusal_and_log_probabilities_are_events_of_their_own),
        cmocka_unit_test(members_that_are_passed_on_untouched),
        cmocka_unit_test(finish_reasons_of_relatives_are_translated_and_kept),
        cmocka_unit_test(groq_reports_usage_in_a_member_of_its_own),
        cmocka_unit_test(moonshot_reports_usage_inside_the_choice),
        cmocka_unit_test(of_several_usages_each_is_told_in_order),
        cmocka_unit_test(a_tool_call_is_announced_once_and_its_arguments_follow),
        cmocka_unit_test(a_repeated_id_does_not_announce_a_call_again),
        cmocka_unit_test(calls_that_all_have_index_0_are_told_apart_by_their_ids),
        cmocka_unit_test(calls_without_an_index_are_numbered_by_their_place),
        cmocka_unit_test(calls_of_two_choices_are_numbered_separately),
        cmocka_unit_test(more_tool_calls_than_the_bound_are_malformed),
        cmocka_unit_test(an_error_inside_a_stream_ends_it),
        cmocka_unit_test(an_error_that_is_null_is_none),
        cmocka_unit_test(errors_come_in_several_shapes),
        cmocka_unit_test(finish_reasons_that_mean_a_fault_are_errors),
        cmocka_unit_test(a_body_instead_of_a_stream_is_read_as_one),
        cmocka_unit_test(what_is_no_stream_is_malformed),
        cmocka_unit_test(a_body_of_the_reference_dialect_becomes_events),
        cmocka_unit_test(a_body_with_tool_calls_and_reasoning),
        cmocka_unit_test(a_whole_body_is_complete_even_without_a_finish_reason),
        cmocka_unit_test(a_body_with_an_error_is_an_error),
        cmocka_unit_test(what_is_no_body_is_malformed),
        cmocka_unit_test(a_failing_sink_is_passed_on),
        cmocka_unit_test(an_answer_that_was_cut_leaves_nothing_to_the_next),
        cmocka_unit_test(what_only_a_large_answer_needs_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
