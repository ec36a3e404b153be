/* SPDX-License-Identifier: Apache-2.0 */
/* Reading chat requests: what is understood, what is counted, and what is refused with which
 * field. */
#include "services/edge/read.h"

#include "tests/unit/test.h"

struct reader {
    struct json_document document;
    struct arena arena;
    struct wish wish;
    struct fault fault;
};

static int set_up(void **state)
{
    static struct reader reader;
    reader = (struct reader){0};
    json_document_init(&reader.document, JSON_VALUES_MAX);
    arena_init(&reader.arena, 1 << 20);
    *state = &reader;
    return 0;
}

static int tear_down(void **state)
{
    struct reader *reader = *state;
    json_document_free(&reader->document);
    arena_free(&reader->arena);
    return 0;
}

static status read_body(void **state, const char *body)
{
    struct reader *reader = *state;
    return read_chat(slice_of(body), &reader->document, &reader->arena, &reader->wish,
                     &reader->fault);
}

static const struct wish *wish_of(void **state)
{
    return &((struct reader *)*state)->wish;
}

#define MESSAGES             "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]"
#define BODY(members)        "{\"model\":\"a/b\"," MESSAGES members "}"
/* A body with one more member. */
#define assert_reads(member) assert_ok(read_body(state, BODY("," member)))
#define assert_refuses(member, error, name)                         \
    do {                                                            \
        assert_fails(read_body(state, BODY("," member)), error);    \
        assert_slice(((struct reader *)*state)->fault.field, name); \
    } while (0)

#define READ_TEST(name) static void name(void **state)

READ_TEST(a_plain_request_is_read_with_its_defaults)
{
    assert_ok(read_body(state, BODY("")));
    const struct wish *wish = wish_of(state);
    assert_slice(wish->model, "a/b");
    assert_false(wish->stream);
    assert_int_equal(wish->output_want, 0);
    assert_int_equal(wish->choices, 1);
    assert_int_equal(wish->messages, 1);
    assert_int_equal(wish->text_bytes, 5);
    assert_int_equal(wish->images, 0);
}

READ_TEST(every_member_that_is_read_arrives)
{
    assert_reads("\"stream\":true,\"max_tokens\":30,\"n\":2,\"session_id\":\"s\",\"user\":\"u\","
                 "\"provider\":{\"order\":[\"x\",\"y\"],\"only\":[\"z\"],\"ignore\":[],"
                 "\"allow_fallbacks\":false,\"sort\":\"price\"}");
    const struct wish *wish = wish_of(state);
    assert_true(wish->stream);
    assert_int_equal(wish->output_want, 30);
    assert_int_equal(wish->choices, 2);
    assert_slice(wish->session, "s");
    assert_int_equal(wish->order.count, 2);
    assert_slice(wish->order.items[1], "y");
    assert_int_equal(wish->only.count, 1);
    assert_int_equal(wish->ignore.count, 0);
    assert_true(wish->no_fallbacks);
    assert_true(wish->by_price);
}

READ_TEST(the_newer_name_of_the_output_bound_wins)
{
    assert_reads("\"max_completion_tokens\":7,\"max_tokens\":30");
    assert_int_equal(wish_of(state)->output_want, 7);
}

READ_TEST(optional_members_may_be_null)
{
    assert_reads("\"stream\":null,\"max_tokens\":null,\"n\":null,\"provider\":null,\"tools\":null,"
                 "\"user\":null,\"stream_options\":null,\"usage\":null,\"response_format\":null");
}

READ_TEST(the_first_of_models_stands_in_for_a_missing_model)
{
    assert_ok(read_body(state, "{\"models\":[\"c/d\",\"e/f\"]," MESSAGES "}"));
    assert_slice(wish_of(state)->model, "c/d");
    assert_reads("\"models\":[\"c/d\"]");
    assert_slice(wish_of(state)->model, "a/b");
}

READ_TEST(text_is_counted_in_bytes_of_what_it_says)
{
    /* "ä" is two bytes, written as an escape too; a quote written \" is one. */
    assert_ok(read_body(state, "{\"model\":\"a/b\",\"messages\":[{\"role\":\"user\","
                               "\"content\":\"\\u00e4\xc3\xa4\\\"\"}]}"));
    assert_int_equal(wish_of(state)->text_bytes, 5);
}

READ_TEST(parts_tools_and_what_may_reach_a_prompt_are_counted)
{
    assert_ok(read_body(state,
                        "{\"model\":\"a/b\",\"messages\":["
                        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"abc\"},"
                        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:,\"}}]},"
                        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}],"
                        "\"tools\":[{}],\"documents\":[1],\"temperature\":0.25}"));
    const struct wish *wish = wish_of(state);
    /* abc, [{}], [{}] and [1]: 3 + 4 + 4 + 3. The image's bytes are not text; a number is no
     * prompt. */
    assert_int_equal(wish->text_bytes, 14);
    assert_int_equal(wish->images, 1);
    assert_int_equal(wish->messages, 2);
}

READ_TEST(output_bounds_are_whole_numbers_of_at_least_one)
{
    assert_refuses("\"max_tokens\":0", OUT_OF_RANGE, "max_tokens");
    assert_refuses("\"max_tokens\":-1", OUT_OF_RANGE, "max_tokens");
    assert_refuses("\"max_tokens\":1.5", OUT_OF_RANGE, "max_tokens");
    assert_refuses("\"max_tokens\":2147483648", OUT_OF_RANGE, "max_tokens");
    assert_refuses("\"max_tokens\":99999999999999999999", OUT_OF_RANGE, "max_tokens");
    assert_refuses("\"max_tokens\":\"5\"", WRONG_TYPE, "max_tokens");
    assert_refuses("\"max_completion_tokens\":[]", WRONG_TYPE, "max_completion_tokens");
    assert_reads("\"max_tokens\":2147483647");
    assert_reads("\"max_tokens\":1e3");
    assert_int_equal(wish_of(state)->output_want, 1000);
}

READ_TEST(choices_are_one_to_eight)
{
    assert_refuses("\"n\":0", OUT_OF_RANGE, "n");
    assert_refuses("\"n\":9", OUT_OF_RANGE, "n");
    assert_refuses("\"n\":\"1\"", WRONG_TYPE, "n");
    assert_reads("\"n\":8");
}

READ_TEST(wrong_types_name_their_field)
{
    assert_refuses("\"stream\":\"yes\"", WRONG_TYPE, "stream");
    assert_refuses("\"provider\":[]", WRONG_TYPE, "provider");
    assert_refuses("\"provider\":{\"order\":\"x\"}", WRONG_TYPE, "provider.order");
    assert_refuses("\"provider\":{\"only\":[1]}", WRONG_TYPE, "provider.only");
    assert_refuses("\"provider\":{\"allow_fallbacks\":1}", WRONG_TYPE, "provider.allow_fallbacks");
    assert_refuses("\"provider\":{\"sort\":1}", WRONG_TYPE, "provider.sort");
    assert_refuses("\"stream_options\":1", WRONG_TYPE, "stream_options");
    assert_refuses("\"usage\":{\"include\":1}", WRONG_TYPE, "usage");
    assert_refuses("\"tools\":{}", WRONG_TYPE, "tools");
    assert_refuses("\"response_format\":[]", WRONG_TYPE, "response_format");
    assert_refuses("\"user\":1", WRONG_TYPE, "user");
    assert_refuses("\"models\":1", WRONG_TYPE, "models");
}

READ_TEST(a_list_of_providers_has_at_most_sixteen)
{
    assert_refuses("\"provider\":{\"order\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
                   "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]}",
                   OUT_OF_RANGE, "provider.order");
}

static void assert_message(void **state, const char *message, const char *error, const char *field)
{
    char body[512];
    struct buffer text;
    buffer_init_fixed(&text, body, sizeof(body));
    buffer_append(&text, SLICE("{\"model\":\"a/b\",\"messages\":[{\"role\":\"user\"},"));
    buffer_append(&text, slice_of(message));
    buffer_append(&text, SLICE("]}"));
    buffer_append_char(&text, '\0');
    assert_ok(buffer_finish(&text));
    assert_string_equal(error_row_of(read_body(state, body).code)->name, error);
    assert_slice(((struct reader *)*state)->fault.field, field);
}

READ_TEST(messages_are_objects_with_a_role_and_known_content)
{
    assert_message(state, "5", "WRONG_TYPE", "messages[1]");
    assert_message(state, "{}", "MISSING_FIELD", "messages[1].role");
    assert_message(state, "{\"role\":1}", "WRONG_TYPE", "messages[1].role");
    assert_message(state, "{\"role\":\"user\",\"content\":1}", "WRONG_TYPE", "messages[1].content");
    assert_message(state, "{\"role\":\"user\",\"content\":[1]}", "WRONG_TYPE",
                   "messages[1].content");
    assert_message(state, "{\"role\":\"user\",\"content\":[{}]}", "MISSING_FIELD",
                   "messages[1].content");
    assert_message(state, "{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}", "WRONG_TYPE",
                   "messages[1].content");
    assert_message(state, "{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}",
                   "UNSUPPORTED_CONTENT", "messages[1].content");
}

READ_TEST(a_part_with_two_types_is_refused)
{
    /* The first might be taken by us and the second by a provider. */
    assert_message(state,
                   "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\","
                   "\"type\":\"image_url\",\"image_url\":{}}]}",
                   "WRONG_TYPE", "messages[1].content");
}

READ_TEST(a_member_that_hides_inside_of_a_text_part_is_counted)
{
    assert_ok(read_body(state,
                        "{\"model\":\"a/b\",\"messages\":[{\"role\":\"user\",\"content\":["
                        "{\"type\":\"text\",\"text\":\"a\",\"text\":\"bcd\",\"x\":[1]}]}]}"));
    assert_int_equal(wish_of(state)->text_bytes, 7);
}

READ_TEST(model_and_messages_are_required)
{
    assert_fails(read_body(state, "{" MESSAGES "}"), MISSING_FIELD);
    assert_slice(((struct reader *)*state)->fault.field, "model");
    assert_fails(read_body(state, "{\"model\":\"a/b\"}"), MISSING_FIELD);
    assert_slice(((struct reader *)*state)->fault.field, "messages");
    assert_fails(read_body(state, "{\"model\":\"a/b\",\"messages\":[]}"), OUT_OF_RANGE);
    assert_fails(read_body(state, "{\"model\":\"a/b\",\"messages\":{}}"), WRONG_TYPE);
    assert_fails(read_body(state, "{\"model\":\"\"," MESSAGES "}"), OUT_OF_RANGE);
    assert_fails(read_body(state, "{\"model\":1," MESSAGES "}"), WRONG_TYPE);
}

READ_TEST(what_has_no_bound_on_its_cost_is_refused)
{
    assert_refuses("\"plugins\":[{\"id\":\"web\"}]", UNSUPPORTED_CONTENT, "plugins");
    assert_refuses("\"web_search_options\":{}", UNSUPPORTED_CONTENT, "web_search_options");
    assert_refuses("\"modalities\":[\"text\",\"audio\"]", UNSUPPORTED_CONTENT, "modalities");
    assert_refuses("\"service_tier\":\"priority\"", UNSUPPORTED_CONTENT, "service_tier");
    assert_refuses("\"service_tier\":\"flex\"", UNSUPPORTED_CONTENT, "service_tier");
    assert_refuses("\"service_tier\":1", WRONG_TYPE, "service_tier");
    assert_reads("\"plugins\":[],\"modalities\":[\"text\"]");
    assert_reads("\"service_tier\":\"auto\"");
    assert_reads("\"service_tier\":\"default\"");
    assert_reads("\"service_tier\":null");
}

READ_TEST(members_that_nobody_knows_count_as_text_when_they_can_hold_some)
{
    assert_reads("\"x\":\"seven b\",\"y\":[1],\"z\":{},\"a\":1,\"b\":null,\"c\":true");
    assert_int_equal(wish_of(state)->text_bytes, 5 + 7 + 3 + 2);
    assert_reads("\"reasoning_effort\":\"high\",\"service_tier\":\"auto\"");
    assert_int_equal(wish_of(state)->text_bytes, 5);
}

READ_TEST(the_member_that_bounds_the_answer_is_known)
{
    assert_reads("\"max_tokens\":5");
    assert_slice(wish_of(state)->output_field, "max_tokens");
    assert_reads("\"max_tokens\":5,\"max_completion_tokens\":7");
    assert_slice(wish_of(state)->output_field, "max_completion_tokens");
    assert_int_equal(wish_of(state)->output_want, 7);
}

READ_TEST(bodies_that_are_no_requests_are_refused)
{
    assert_fails(read_body(state, ""), BAD_JSON);
    assert_fails(read_body(state, "{\"model\":"), BAD_JSON);
    assert_fails(read_body(state, "{\"model\":\"\xff\"}"), BAD_JSON);
    assert_fails(read_body(state, "[]"), WRONG_TYPE);
    assert_fails(read_body(state, "{\"model\":\"a\",\"model\":\"b\"," MESSAGES "}"), DUPLICATE_KEY);
    assert_fails(read_body(state, "{\"mod\\u0065l\":\"a\"," MESSAGES "}"), ESCAPED_KEY);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(a_plain_request_is_read_with_its_defaults),
        ROW(every_member_that_is_read_arrives),
        ROW(the_newer_name_of_the_output_bound_wins),
        ROW(optional_members_may_be_null),
        ROW(the_first_of_models_stands_in_for_a_missing_model),
        ROW(text_is_counted_in_bytes_of_what_it_says),
        ROW(parts_tools_and_what_may_reach_a_prompt_are_counted),
        ROW(output_bounds_are_whole_numbers_of_at_least_one),
        ROW(choices_are_one_to_eight),
        ROW(wrong_types_name_their_field),
        ROW(a_list_of_providers_has_at_most_sixteen),
        ROW(messages_are_objects_with_a_role_and_known_content),
        ROW(a_part_with_two_types_is_refused),
        ROW(a_member_that_hides_inside_of_a_text_part_is_counted),
        ROW(model_and_messages_are_required),
        ROW(what_has_no_bound_on_its_cost_is_refused),
        ROW(members_that_nobody_knows_count_as_text_when_they_can_hold_some),
        ROW(the_member_that_bounds_the_answer_is_known),
        ROW(bodies_that_are_no_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
