/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the streamed answer of an openai provider, and on through the chat protocol. Cut
 * or whole, the client must get the same bytes; each chunk must be JSON that our own reader
 * accepts; the end comes once and last. */
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

struct relay {
    struct chat_skin *skin;
    struct buffer out;
    bool ended;
};

static void check_usage(const struct event *event)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BILLING_CLASS_COUNT; i++) {
        require(event->usage.units[i] <= BILLING_UNITS_MAX, "counts are within their bound");
        sum += event->usage.units[i];
    }
    require(event->usage_valid || sum == 0, "an invalid usage holds nothing");
}

static status pass_on(void *context, const struct event *event)
{
    struct relay *relay = context;
    require(!relay->ended, "nothing comes behind the end");
    require(event->choice < 128, "choices are bounded");
    if (event->kind == EVENT_DONE || event->kind == EVENT_ERROR) relay->ended = true;
    if (event->kind == EVENT_USAGE) check_usage(event);
    if (event->kind == EVENT_ERROR)
        return chat_skin_error(relay->skin, FAIL(PROVIDER_ABORTED), event->text);
    return chat_skin_event(relay->skin, event);
}

/* Pieces of 1 to 64 bytes by the bits of `cuts`; 0: one piece. */
static status decode(slice bytes, uint64_t cuts, struct relay *relay)
{
    struct arena arena;
    arena_init(&arena, MEMORY_MAX);
    const struct skin_head head = {.generation = SLICE("gen-1"),
                                   .created_s = 1,
                                   .model = SLICE("a/b"),
                                   .provider = SLICE("P"),
                                   .stream = true};
    *relay = (struct relay){0};
    buffer_init(&relay->out, MEMORY_MAX);
    relay->skin = chat_skin_new(&arena, &head, &relay->out);
    struct decode_memory memory;
    decode_memory_init(&memory);
    struct decoder *decoder;
    const struct decode_request request = {
        .arena = &arena, .memory = &memory, .stream = true, .sink = pass_on, .context = relay};
    status result = dialect_openai.decoder_new(&request, &decoder);
    while (bytes.len > 0 && status_ok(result)) {
        size_t len = cuts == 0 ? bytes.len : (size_t)(cuts & 63) + 1;
        cuts = cuts == 0 ? 0 : cuts >> 6 | cuts << 58;
        slice piece = slice_first(bytes, len);
        char *copy = malloc(piece.len);
        memcpy(copy, piece.data, piece.len);
        result = dialect_openai.decoder_feed(decoder, (slice){copy, piece.len});
        free(copy);
        bytes = slice_from(bytes, len);
    }
    if (status_ok(result)) result = dialect_openai.decoder_finish(decoder);
    dialect_openai.decoder_free(&decoder);
    decode_memory_free(&memory);
    chat_skin_free(&relay->skin);
    arena_free(&arena);
    return result;
}

/* "data: {…}\n\n" again and again; a raw line end inside would end the chunk early. */
static void check_chunks(slice out)
{
    struct json_document document;
    json_document_init(&document, 1000000);
    while (out.len > 0) {
        require(slice_starts_with(out, SLICE("data: ")), "a chunk begins with its field");
        const char *end = memchr(out.data, '\n', out.len);
        require(end != NULL && end + 1 < out.data + out.len && end[1] == '\n', "and ends empty");
        slice chunk = {out.data + 6, (size_t)(end - out.data) - 6};
        if (!slice_equal(chunk, SLICE("[DONE]")))
            require(status_ok(json_parse(&document, chunk)), "a chunk is JSON");
        out = slice_from(out, (size_t)(end + 2 - out.data));
    }
    json_document_free(&document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t cuts;
    if (size < sizeof(cuts)) return 0;
    memcpy(&cuts, data, sizeof(cuts));
    slice bytes = {(const char *)data + sizeof(cuts), size - sizeof(cuts)};
    struct relay whole;
    struct relay cut;
    status a = decode(bytes, 0, &whole);
    status b = decode(bytes, cuts | 1, &cut);
    require(a.code == b.code, "the same result however it is cut");
    require(slice_equal(buffer_slice(&whole.out), buffer_slice(&cut.out)), "the same bytes");
    check_chunks(buffer_slice(&whole.out));
    buffer_free(&whole.out);
    buffer_free(&cut.out);
    return 0;
}
