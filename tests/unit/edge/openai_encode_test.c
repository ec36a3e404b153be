/* SPDX-License-Identifier: Apache-2.0 */
/* Chat requests as openai providers get them: our members in front, the client's own behind them
 * byte for byte, the marketplace's gone. */
#include <stdlib.h>

#include "services/edge/dialects/dialect.h"
#include "shared/json/read.h"
#include "tests/unit/test.h"

static struct market_provider provider;
static struct market_endpoint endpoint;

struct encoding {
    bool stream;
    uint32_t output_max;
    const char *provider;
    const char *model;
};

/* The pieces joined; the caller frees. NULL when the encoder refused with TOO_LARGE. */
static char *encode_text(slice body, struct encoding how, size_t arena_size, size_t *pieces)
{
    provider.slug = slice_of(how.provider == NULL ? "together" : how.provider);
    endpoint.provider = &provider;
    endpoint.upstream_model = slice_of(how.model == NULL ? "m-1" : how.model);
    struct arena arena;
    arena_init(&arena, arena_size);
    struct json_document document;
    json_document_init(&document, 100000);
    assert_ok(json_parse(&document, body));
    struct encode_request request = {.body = &document,
                                     .endpoint = &endpoint,
                                     .stream = how.stream,
                                     .output_max = how.output_max,
                                     .arena = &arena};
    struct encoded_request out;
    char *joined = NULL;
    if (status_ok(dialect_openai.encode(&request, &out))) {
        assert_slice(out.path, "/chat/completions");
        assert_true(out.piece_count <= ENCODE_PIECES_MAX);
        size_t len = 0;
        joined = calloc(1, 1 << 20);
        for (size_t i = 0; i < out.piece_count; i++) {
            memcpy(joined + len, out.pieces[i].base, out.pieces[i].len);
            len += out.pieces[i].len;
        }
        *pieces = out.piece_count;
    }
    json_document_free(&document);
    arena_free(&arena);
    return joined;
}

static void expect(const char *body, struct encoding how, const char *expected)
{
    size_t pieces;
    char *text = encode_text(slice_of(body), how, 1 << 20, &pieces);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

TEST(the_model_and_the_bound_are_ours_and_the_messages_the_clients)
{
    expect(
        "{\"model\":\"meta/llama\",\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e4?\"}]}",
        (struct encoding){.output_max = 100},
        "{\"model\":\"m-1\",\"max_tokens\":100,"
        "\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e4?\"}]}");
}

TEST(what_the_client_wrote_passes_byte_for_byte)
{
    expect("{ \"messages\" : [ ] ,\n \"seed\":123456789012345678901234567890, \"top_p\":1.0e-1,"
           "\"x\":{\"y\":[1,2]} }",
           (struct encoding){.output_max = 7},
           "{\"model\":\"m-1\",\"max_tokens\":7,\"messages\" : [ ] ,\n "
           "\"seed\":123456789012345678901234567890, \"top_p\":1.0e-1,\"x\":{\"y\":[1,2]}}");
}

TEST(a_stream_asks_for_usage_once_whatever_the_client_asked)
{
    expect("{\"stream\":true,\"stream_options\":{\"include_usage\":false},\"messages\":[]}",
           (struct encoding){.stream = true, .output_max = 5},
           "{\"model\":\"m-1\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
           "\"max_tokens\":5,\"messages\":[]}");
    expect("{\"stream\":false,\"messages\":[]}", (struct encoding){.output_max = 5},
           "{\"model\":\"m-1\",\"max_tokens\":5,\"messages\":[]}");
}

TEST(the_bound_has_the_name_that_client_or_provider_use)
{
    const char *newer = "{\"model\":\"m-1\",\"max_completion_tokens\":5,\"messages\":[]}";
    const char *older = "{\"model\":\"m-1\",\"max_tokens\":5,\"messages\":[]}";
    struct encoding how = {.output_max = 5};
    expect("{\"messages\":[],\"max_completion_tokens\":900}", how, newer);
    expect("{\"messages\":[],\"max_tokens\":900}", how, older);
    expect("{\"messages\":[]}", how, older);
    static const char *const providers[] = {"openai", "azure", "xai"};
    for (size_t i = 0; i < 3; i++) {
        how.provider = providers[i];
        expect("{\"messages\":[],\"max_tokens\":900}", how, newer);
    }
}

TEST(members_of_the_marketplace_do_not_leave_it)
{
    expect("{\"provider\":{\"order\":[\"a\"]},\"models\":[\"b\"],\"messages\":[],"
           "\"route\":\"fallback\","
           "\"transforms\":[],\"plugins\":[],\"preset\":\"p\",\"usage\":{\"include\":true},"
           "\"debug\":{},\"trace\":{},\"session_id\":\"s\",\"metadata\":{},\"user\":\"u-1\","
           "\"cache_control\":{},\"image_config\":{},\"include_reasoning\":true,"
           "\"service_tier\":\"auto\",\"store\":false}",
           (struct encoding){.output_max = 5},
           "{\"model\":\"m-1\",\"max_tokens\":5,\"messages\":[],\"store\":false}");
}

TEST(a_reasoning_effort_is_passed_on_under_its_plain_name)
{
    struct encoding how = {.output_max = 5};
    expect("{\"reasoning\":{\"effort\":\"high\",\"exclude\":true},\"messages\":[]}", how,
           "{\"model\":\"m-1\",\"max_tokens\":5,\"reasoning_effort\":\"high\",\"messages\":[]}");
    expect("{\"reasoning\":{\"max_tokens\":2000},\"messages\":[]}", how,
           "{\"model\":\"m-1\",\"max_tokens\":5,\"messages\":[]}");
    /* The plain name wins, on whichever side it stands. */
    const char *low =
        "{\"model\":\"m-1\",\"max_tokens\":5,\"reasoning_effort\":\"low\",\"messages\":[]}";
    expect("{\"reasoning\":{\"effort\":\"high\"},\"reasoning_effort\":\"low\",\"messages\":[]}",
           how, low);
    expect("{\"reasoning_effort\":\"low\",\"reasoning\":{\"effort\":\"high\"},\"messages\":[]}",
           how, low);
    expect("{\"reasoning_effort\":null,\"messages\":[]}", how,
           "{\"model\":\"m-1\",\"max_tokens\":5,\"messages\":[]}");
}

TEST(the_providers_name_of_the_model_is_escaped)
{
    expect("{\"messages\":[]}", (struct encoding){.output_max = 5, .model = "a\"b\\c\n"},
           "{\"model\":\"a\\\"b\\\\c\\n\",\"max_tokens\":5,\"messages\":[]}");
}

TEST(a_body_of_our_members_only_has_no_dangling_comma)
{
    expect("{\"model\":\"x\",\"stream\":false}", (struct encoding){.output_max = 5},
           "{\"model\":\"m-1\",\"max_tokens\":5}");
}

TEST(an_ordinary_body_is_four_pieces)
{
    size_t pieces;
    char *text =
        encode_text(SLICE("{\"model\":\"x\",\"messages\":[],\"temperature\":1,\"top_p\":1}"),
                    (struct encoding){.output_max = 5}, 1 << 20, &pieces);
    assert_int_equal(pieces, 4); /* head, comma, the run of three members, brace */
    free(text);
}

/* 40 members of ours between 40 of the client's: more runs than pieces. */
static size_t write_checkered(char *body, char *expected, size_t size)
{
    size_t len = (size_t)snprintf(body, size, "{");
    size_t expected_len = (size_t)snprintf(expected, size, "{\"model\":\"m-1\",\"max_tokens\":5");
    for (int i = 0; i < 40; i++) {
        len += (size_t)snprintf(body + len, size - len, "%s\"k%d\": %d ,\"user\":0",
                                i == 0 ? "" : ",", i, i);
        expected_len +=
            (size_t)snprintf(expected + expected_len, size - expected_len, ",\"k%d\": %d", i, i);
    }
    snprintf(expected + expected_len, size - expected_len, "}");
    return len + (size_t)snprintf(body + len, size - len, "}");
}

TEST(a_body_with_more_changes_than_pieces_is_sent_whole)
{
    char body[4096], expected[4096];
    size_t len = write_checkered(body, expected, sizeof(body));
    size_t pieces;
    char *text =
        encode_text((slice){body, len}, (struct encoding){.output_max = 5}, 1 << 20, &pieces);
    assert_string_equal(text, expected);
    assert_int_equal(pieces, 4);
    free(text);
    /* It needs the arena; one that is full is an error and not a crash. */
    assert_null(encode_text((slice){body, len}, (struct encoding){.output_max = 5}, 400, &pieces));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_and_the_bound_are_ours_and_the_messages_the_clients),
        cmocka_unit_test(what_the_client_wrote_passes_byte_for_byte),
        cmocka_unit_test(a_stream_asks_for_usage_once_whatever_the_client_asked),
        cmocka_unit_test(the_bound_has_the_name_that_client_or_provider_use),
        cmocka_unit_test(members_of_the_marketplace_do_not_leave_it),
        cmocka_unit_test(a_reasoning_effort_is_passed_on_under_its_plain_name),
        cmocka_unit_test(the_providers_name_of_the_model_is_escaped),
        cmocka_unit_test(a_body_of_our_members_only_has_no_dangling_comma),
        cmocka_unit_test(an_ordinary_body_is_four_pieces),
        cmocka_unit_test(a_body_with_more_changes_than_pieces_is_sent_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
