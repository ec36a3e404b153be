/* SPDX-License-Identifier: Apache-2.0 */
/* The chat protocol, byte for byte: chunks, bodies, bills and errors as the strictest client
 * wants them. */
#include "services/edge/skins/skin.h"
#include "tests/unit/test.h"

#define HEAD                                                                        \
    "\"id\":\"gen-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000," \
    "\"model\":\"openai/gpt-4o\",\"provider\":\"OpenAI\""
#define CHUNK(choice) "data: {" HEAD ",\"choices\":[" choice "]}\n\n"
#define DELTA(delta)  CHUNK("{\"index\":0,\"delta\":{" delta "},\"finish_reason\":null}")

struct stage {
    struct arena arena;
    struct buffer out;
    struct chat_skin *skin;
};

static void stage_open(struct stage *stage, bool stream)
{
    const struct skin_head head = {.generation = SLICE("gen-1"),
                                   .created_s = 1790000000,
                                   .model = SLICE("openai/gpt-4o"),
                                   .provider = SLICE("OpenAI"),
                                   .stream = stream};
    arena_init(&stage->arena, 1 << 20);
    buffer_init(&stage->out, 1 << 20);
    stage->skin = chat_skin_new(&stage->arena, &head, &stage->out);
    assert_non_null(stage->skin);
}

static void stage_close(struct stage *stage)
{
    chat_skin_free(&stage->skin);
    assert_null(stage->skin);
    buffer_free(&stage->out);
    arena_free(&stage->arena);
}

/* Views die when the callback returns, so each event's texts are overwritten behind it. */
static status tell(struct stage *stage, struct event event)
{
    static char text[512], name[512];
    if (event.text.len > 0) memcpy(text, event.text.data, event.text.len);
    if (event.name.len > 0) memcpy(name, event.name.data, event.name.len);
    event.text.data = text;
    event.name.data = name;
    status told = chat_skin_event(stage->skin, &event);
    memset(text, '#', sizeof(text));
    memset(name, '#', sizeof(name));
    return told;
}

#define TELL(stage, ...) assert_ok(tell(stage, (struct event){__VA_ARGS__}))

static void expect_out(struct stage *stage, const char *expected)
{
    assert_slice(buffer_slice(&stage->out), expected);
    buffer_clear(&stage->out);
}

/* 7 plain, 8 read, 2 + 1 written and 2 audio are 20 in, 5 + 4 + 1 = 10 out. */
static const struct skin_bill bill = {
    .usage.units = {[BILLING_prompt] = 7,
                    [BILLING_cache_read] = 8,
                    [BILLING_cache_write] = 2,
                    [BILLING_cache_write_1h] = 1,
                    [BILLING_audio_in] = 2,
                    [BILLING_completion] = 5,
                    [BILLING_reasoning] = 4,
                    [BILLING_audio_out] = 1},
    .cost = {262650},
    .input_cost = {200000},
    .output_cost = {62650},
};
#define USAGE                                                                                      \
    "\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10,\"total_tokens\":30,"                \
    "\"prompt_tokens_details\":{\"cached_tokens\":8,\"cache_write_tokens\":3,\"audio_tokens\":2}," \
    "\"completion_tokens_details\":{\"reasoning_tokens\":4,\"audio_tokens\":1},"                   \
    "\"cost\":0.00026265,\"is_byok\":false,\"cost_details\":{"                                     \
    "\"upstream_inference_prompt_cost\":0.0002,\"upstream_inference_completions_cost\":0.00006265}}"

/* ---- streams --------------------------------------------------------------------------------- */

TEST(the_first_chunk_of_a_choice_says_the_role_and_the_others_do_not)
{
    struct stage stage;
    stage_open(&stage, true);
    TELL(&stage, .kind = EVENT_START, .text = SLICE("chatcmpl-1"), .name = SLICE("gpt-4o-2024"));
    expect_out(&stage, "");
    TELL(&stage, .kind = EVENT_TEXT, .text = SLICE("Hello"));
    expect_out(&stage, DELTA("\"role\":\"assistant\",\"content\":\"Hello\""));
    TELL(&stage, .kind = EVENT_TEXT, .text = SLICE(" \"you\"\n"));
    expect_out(&stage, DELTA("\"content\":\" \\\"you\\\"\\n\""));
    TELL(&stage, .kind = EVENT_TEXT, .choice = 1, .text = SLICE("Hi"));
    expect_out(&stage, CHUNK("{\"index\":1,\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\"},"
                             "\"finish_reason\":null}"));
    stage_close(&stage);
}

TEST(a_stream_ends_with_its_finish_its_bill_and_done)
{
    struct stage stage;
    stage_open(&stage, true);
    TELL(&stage, .kind = EVENT_TEXT, .text = SLICE("x"));
    buffer_clear(&stage.out);
    TELL(&stage, .kind = EVENT_FINISH, .finish = FINISH_LENGTH, .name = SLICE("max_tokens"));
    expect_out(&stage,
               CHUNK("{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"length\","
                     "\"native_finish_reason\":\"max_tokens\"}"));
    TELL(&stage, .kind = EVENT_USAGE);
    TELL(&stage, .kind = EVENT_DONE);
    expect_out(&stage, "");
    assert_ok(chat_skin_finish(stage.skin, &bill));
    expect_out(&stage, "data: {" HEAD ",\"choices\":[]," USAGE "}\n\ndata: [DONE]\n\n");
    stage_close(&stage);
}

TEST(reasoning_refusal_extras_and_log_probabilities_have_chunks_of_their_own)
{
    struct stage stage;
    stage_open(&stage, true);
    TELL(&stage, .kind = EVENT_REASONING, .text = SLICE("hm"));
    expect_out(&stage, DELTA("\"role\":\"assistant\",\"reasoning\":\"hm\""));
    TELL(&stage, .kind = EVENT_REFUSAL, .text = SLICE("no"));
    expect_out(&stage, DELTA("\"refusal\":\"no\""));
    TELL(&stage, .kind = EVENT_EXTRA, .name = SLICE("images"), .text = SLICE("[{\"a\":1}]"));
    expect_out(&stage, DELTA("\"images\":[{\"a\":1}]"));
    TELL(&stage, .kind = EVENT_LOGPROBS, .text = SLICE("{\"content\":[]}"));
    expect_out(&stage, CHUNK("{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":null,"
                             "\"logprobs\":{\"content\":[]}}"));
    stage_close(&stage);
}

TEST(a_tool_call_streams_its_head_once_and_then_arguments)
{
    struct stage stage;
    stage_open(&stage, true);
    TELL(&stage, .kind = EVENT_TOOL_START, .index = 1, .text = SLICE("call_a"), .name = SLICE("f"));
    expect_out(&stage,
               DELTA("\"role\":\"assistant\",\"tool_calls\":[{\"index\":1,\"id\":\"call_a\","
                     "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]"));
    TELL(&stage, .kind = EVENT_TOOL_ARGS, .index = 1, .text = SLICE("{\"a\""));
    expect_out(&stage,
               DELTA("\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{\\\"a\\\"\"}}]"));
    stage_close(&stage);
}

TEST(a_tool_call_without_an_id_gets_one)
{
    struct stage stage;
    stage_open(&stage, true);
    TELL(&stage, .kind = EVENT_TOOL_START, .index = 2, .name = SLICE("f"));
    expect_out(&stage,
               DELTA("\"role\":\"assistant\",\"tool_calls\":[{\"index\":2,\"id\":\"call-gen-1-2\","
                     "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]"));
    stage_close(&stage);
}

TEST(invalid_utf_8_never_reaches_a_client)
{
    struct stage stage;
    stage_open(&stage, true);
    TELL(&stage, .kind = EVENT_TEXT,
         .text = SLICE("a\xff"
                       "b"));
    expect_out(&stage, DELTA("\"role\":\"assistant\",\"content\":\"a\xEF\xBF\xBD"
                             "b\""));
    stage_close(&stage);
}

TEST(comments_keep_a_stream_alive_and_leave_a_body_alone)
{
    struct stage stage;
    stage_open(&stage, true);
    chat_skin_comment(stage.skin);
    expect_out(&stage, ": BOURSE PROCESSING\n\n");
    stage_close(&stage);
    stage_open(&stage, false);
    chat_skin_comment(stage.skin);
    expect_out(&stage, "");
    stage_close(&stage);
}

TEST(an_error_in_a_stream_is_a_chunk_that_every_client_understands)
{
    struct stage stage;
    stage_open(&stage, true);
    assert_ok(chat_skin_error(stage.skin, FAIL(PROVIDER_ABORTED), SLICE("it broke")));
    expect_out(&stage,
               "data: {" HEAD ",\"error\":{\"code\":502,\"message\":\"it broke\",\"metadata\":{"
               "\"error_type\":\"provider_unavailable\"}},\"choices\":[{\"index\":0,\"delta\":{"
               "\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n"
               "data: [DONE]\n\n");
    stage_close(&stage);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

#define HELLO_BODY                                                                           \
    "{\"id\":\"gen-1\",\"object\":\"chat.completion\",\"created\":1790000000,"               \
    "\"model\":\"openai/gpt-4o\",\"provider\":\"OpenAI\",\"system_fingerprint\":null,"       \
    "\"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"native_finish_reason\":\"eos\"," \
    "\"message\":{\"role\":\"assistant\",\"content\":\"Hello\",\"refusal\":null}}]," USAGE "}"

TEST(a_body_is_collected_from_its_events)
{
    struct stage stage;
    stage_open(&stage, false);
    TELL(&stage, .kind = EVENT_START, .text = SLICE("chatcmpl-1"));
    TELL(&stage, .kind = EVENT_TEXT, .text = SLICE("Hel"));
    TELL(&stage, .kind = EVENT_TEXT, .text = SLICE("lo"));
    TELL(&stage, .kind = EVENT_FINISH, .finish = FINISH_STOP, .name = SLICE("eos"));
    TELL(&stage, .kind = EVENT_USAGE);
    TELL(&stage, .kind = EVENT_DONE);
    expect_out(&stage, "");
    assert_ok(chat_skin_finish(stage.skin, &bill));
    expect_out(&stage, HELLO_BODY);
    stage_close(&stage);
}

TEST(a_body_is_put_together_again_when_the_bill_is_another)
{
    struct stage stage;
    stage_open(&stage, false);
    TELL(&stage, .kind = EVENT_TEXT, .text = SLICE("Hello"));
    TELL(&stage, .kind = EVENT_FINISH, .finish = FINISH_STOP, .name = SLICE("eos"));
    struct skin_bill ours = bill;
    ours.cost = (money){999000000};
    assert_ok(chat_skin_finish(stage.skin, &ours));
    buffer_clear(&stage.out);
    assert_ok(chat_skin_finish(stage.skin, &bill));
    expect_out(&stage, HELLO_BODY);
    stage_close(&stage);
}

TEST(a_body_with_tool_calls_has_null_content_and_everything_else_in_place)
{
    struct stage stage;
    stage_open(&stage, false);
    TELL(&stage, .kind = EVENT_REASONING, .text = SLICE("hm"));
    TELL(&stage, .kind = EVENT_TOOL_START, .index = 0, .text = SLICE("a"), .name = SLICE("f"));
    TELL(&stage, .kind = EVENT_TOOL_START, .index = 1, .name = SLICE("g"));
    TELL(&stage, .kind = EVENT_TOOL_ARGS, .index = 1, .text = SLICE("[1]"));
    TELL(&stage, .kind = EVENT_TOOL_ARGS, .index = 0, .text = SLICE("{}"));
    TELL(&stage, .kind = EVENT_EXTRA, .name = SLICE("annotations"), .text = SLICE("[1]"));
    TELL(&stage, .kind = EVENT_EXTRA, .name = SLICE("annotations"), .text = SLICE("[2]"));
    TELL(&stage, .kind = EVENT_LOGPROBS, .text = SLICE("{}"));
    TELL(&stage, .kind = EVENT_FINISH, .finish = FINISH_TOOL_CALLS, .name = SLICE("tool_calls"));
    assert_ok(chat_skin_finish(stage.skin, &bill));
    const char *choice =
        "\"choices\":[{\"index\":0,\"finish_reason\":\"tool_calls\","
        "\"native_finish_reason\":\"tool_calls\","
        "\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null,"
        "\"reasoning\":\"hm\","
        "\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}},"
        "{\"id\":\"call-gen-1-1\",\"type\":\"function\",\"function\":{\"name\":\"g\","
        "\"arguments\":\"[1]\"}}],"
        "\"annotations\":[2]},\"logprobs\":{}}]";
    buffer_append_char(&stage.out, '\0');
    assert_non_null(strstr(stage.out.data, choice));
    stage_close(&stage);
}

TEST(choices_of_a_body_stand_in_the_order_of_their_index)
{
    struct stage stage;
    stage_open(&stage, false);
    TELL(&stage, .kind = EVENT_TEXT, .choice = 2, .text = SLICE("c"));
    TELL(&stage, .kind = EVENT_TEXT, .choice = 0, .text = SLICE("a"));
    TELL(&stage, .kind = EVENT_TEXT, .choice = 1, .text = SLICE("b"));
    assert_ok(chat_skin_finish(stage.skin, &bill));
    buffer_append_char(&stage.out, '\0');
    const char *a = strstr(stage.out.data, "\"index\":0,");
    const char *b = strstr(stage.out.data, "\"index\":1,");
    const char *c = strstr(stage.out.data, "\"index\":2,");
    assert_true(a != NULL && b != NULL && c != NULL && a < b && b < c);
    stage_close(&stage);
}

TEST(a_failed_body_is_the_error_envelope)
{
    struct stage stage;
    stage_open(&stage, false);
    TELL(&stage, .kind = EVENT_TEXT, .text = SLICE("half"));
    assert_ok(chat_skin_error(stage.skin, FAIL(PROVIDER_TIMEOUT), SLICE_NONE));
    expect_out(&stage,
               "{\"error\":{\"code\":504,\"message\":\"The provider did not answer in time.\","
               "\"metadata\":{\"error_type\":\"timeout\"}}}");
    stage_close(&stage);
}

TEST(internal_faults_are_masked)
{
    struct stage stage;
    stage_open(&stage, false);
    assert_ok(chat_skin_error(stage.skin, FAIL(MALFORMED), SLICE("secret detail")));
    expect_out(
        &stage,
        "{\"error\":{\"code\":500,\"message\":\"Something went wrong on our side. The request "
        "was not charged.\",\"metadata\":{\"error_type\":\"server\"}}}");
    stage_close(&stage);
}

/* ---- counting and bounds --------------------------------------------------------------------- */

TEST(delivered_bytes_are_those_of_text_reasoning_refusal_and_tools)
{
    for (int stream = 0; stream < 2; stream++) {
        struct stage stage;
        stage_open(&stage, stream == 1);
        assert_int_equal(chat_skin_delivered_bytes(stage.skin), 0);
        TELL(&stage, .kind = EVENT_START, .text = SLICE("not counted"));
        TELL(&stage, .kind = EVENT_TEXT, .text = SLICE("12345"));
        TELL(&stage, .kind = EVENT_REASONING, .text = SLICE("123"));
        TELL(&stage, .kind = EVENT_REFUSAL, .text = SLICE("12"));
        TELL(&stage, .kind = EVENT_TOOL_START, .text = SLICE("id not counted"),
             .name = SLICE("ab"));
        TELL(&stage, .kind = EVENT_TOOL_ARGS, .text = SLICE("{}"));
        TELL(&stage, .kind = EVENT_EXTRA, .name = SLICE("audio"), .text = SLICE("{}"));
        TELL(&stage, .kind = EVENT_FINISH, .name = SLICE("stop"));
        assert_int_equal(chat_skin_delivered_bytes(stage.skin), 5 + 3 + 2 + 2 + 2);
        stage_close(&stage);
    }
}

TEST(a_full_buffer_is_reported)
{
    struct stage stage;
    stage_open(&stage, true);
    buffer_free(&stage.out);
    buffer_init(&stage.out, 100);
    const struct event event = {.kind = EVENT_TEXT, .text = SLICE("Hello")};
    assert_fails(chat_skin_event(stage.skin, &event), OVERFLOW);
    stage_close(&stage);
}

TEST(choices_and_tool_calls_out_of_bounds_are_malformed)
{
    struct stage stage;
    stage_open(&stage, false);
    const struct event choice = {.kind = EVENT_TEXT, .choice = 128, .text = SLICE("x")};
    assert_fails(chat_skin_event(stage.skin, &choice), MALFORMED);
    const struct event arguments = {.kind = EVENT_TOOL_ARGS, .index = 3, .text = SLICE("x")};
    assert_fails(chat_skin_event(stage.skin, &arguments), MALFORMED);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_chunk_of_a_choice_says_the_role_and_the_others_do_not),
        cmocka_unit_test(a_stream_ends_with_its_finish_its_bill_and_done),
        cmocka_unit_test(reasoning_refusal_extras_and_log_probabilities_have_chunks_of_their_own),
        cmocka_unit_test(a_tool_call_streams_its_head_once_and_then_arguments),
        cmocka_unit_test(a_tool_call_without_an_id_gets_one),
        cmocka_unit_test(invalid_utf_8_never_reaches_a_client),
        cmocka_unit_test(comments_keep_a_stream_alive_and_leave_a_body_alone),
        cmocka_unit_test(an_error_in_a_stream_is_a_chunk_that_every_client_understands),
        cmocka_unit_test(a_body_is_collected_from_its_events),
        cmocka_unit_test(a_body_is_put_together_again_when_the_bill_is_another),
        cmocka_unit_test(a_body_with_tool_calls_has_null_content_and_everything_else_in_place),
        cmocka_unit_test(choices_of_a_body_stand_in_the_order_of_their_index),
        cmocka_unit_test(a_failed_body_is_the_error_envelope),
        cmocka_unit_test(internal_faults_are_masked),
        cmocka_unit_test(delivered_bytes_are_those_of_text_reasoning_refusal_and_tools),
        cmocka_unit_test(a_full_buffer_is_reported),
        cmocka_unit_test(choices_and_tool_calls_out_of_bounds_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
