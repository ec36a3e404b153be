/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the whole answer of an openai provider: collected into a chat body, and as the
 * text of an error of any status. What comes out must be JSON that our own reader accepts, with
 * every member that clients insist on. */
#include <stdio.h>
#include <stdlib.h>

#include "services/edge/dialects/dialect.h"
#include "services/edge/skins/skin.h"

#define MEMORY_MAX ((size_t)1 << 26)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held, const char *what)
{
    if (held) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

struct collector {
    struct chat_skin *skin;
    struct skin_bill bill;
    bool done;
};

static status collect(void *context, const struct event *event)
{
    struct collector *collector = context;
    require(!collector->done, "nothing comes behind the end");
    collector->done = event->kind == EVENT_DONE;
    if (event->kind == EVENT_USAGE) collector->bill.usage = event->usage;
    if (event->kind == EVENT_ERROR) return FAIL(PROVIDER_ABORTED);
    return chat_skin_event(collector->skin, event);
}

static void check_choice(struct json_value choice)
{
    struct json_value message = json_get(choice, SLICE("message"));
    require(json_exists(json_get(choice, SLICE("index"))), "a choice has an index");
    require(json_kind_of(json_get(choice, SLICE("finish_reason"))) == JSON_STRING, "and a finish");
    require(json_string_equal(json_get(message, SLICE("role")), SLICE("assistant")), "a role");
    require(json_exists(json_get(message, SLICE("content"))), "and content");
    struct json_value calls = json_get(message, SLICE("tool_calls"));
    struct json_iterator call = json_iterate(calls);
    while (json_kind_of(calls) == JSON_ARRAY && json_next(&call)) {
        struct json_value function = json_get(call.value, SLICE("function"));
        require(json_string_len(json_get(call.value, SLICE("id"))) > 0, "a call has an id");
        require(json_kind_of(json_get(function, SLICE("arguments"))) == JSON_STRING,
                "and arguments as text");
    }
}

static void check_body(slice body)
{
    struct json_document document;
    json_document_init(&document, 8000000);
    require(status_ok(json_parse(&document, body)), "a body is JSON");
    require(status_ok(json_check_top_level(&document)), "with each member once");
    struct json_value root = json_root(&document);
    require(json_exists(json_get(root, SLICE("system_fingerprint"))), "the fingerprint stands");
    require(json_exists(json_get(json_get(root, SLICE("usage")), SLICE("cost"))),
            "so does the bill");
    struct json_value choices = json_get(root, SLICE("choices"));
    for (struct json_iterator choice = json_iterate(choices); json_next(&choice);) {
        check_choice(choice.value);
    }
    json_document_free(&document);
}

static void decode(slice bytes, struct arena *arena)
{
    const struct skin_head head = {
        .generation = SLICE("gen-1"), .model = SLICE("a/b"), .provider = SLICE("P")};
    struct buffer out;
    buffer_init(&out, MEMORY_MAX);
    struct collector collector = {.skin = chat_skin_new(arena, &head, &out)};
    struct decode_memory memory;
    decode_memory_init(&memory);
    struct decoder *decoder;
    const struct decode_request request = {
        .arena = arena, .memory = &memory, .sink = collect, .context = &collector};
    status result = dialect_openai.decoder_new(&request, &decoder);
    if (status_ok(result)) result = dialect_openai.decoder_feed(decoder, bytes);
    if (status_ok(result)) result = dialect_openai.decoder_finish(decoder);
    if (status_ok(result)) {
        require(collector.done, "a whole body is complete");
        require(status_ok(chat_skin_finish(collector.skin, &collector.bill)), "it can be written");
        check_body(buffer_slice(&out));
    }
    dialect_openai.decoder_free(&decoder);
    decode_memory_free(&memory);
    chat_skin_free(&collector.skin);
    buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    slice bytes = {(const char *)data + 2, size - 2};
    struct arena arena;
    arena_init(&arena, MEMORY_MAX);
    decode(bytes, &arena);

    int http_status = data[0] << 8 | data[1];
    slice message;
    enum attempt_result result = dialect_openai.classify(http_status, bytes, &arena, &message);
    require(result != ATTEMPT_OK && result <= ATTEMPT_CLIENT_GONE, "an error has a class");
    require(message.len <= 300, "messages are bounded");
    require(result != ATTEMPT_AUTH || message.len == 0, "nothing is told about a refused key");
    arena_free(&arena);
    return 0;
}
