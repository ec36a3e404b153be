/* SPDX-License-Identifier: Apache-2.0 */
/* Any JSON object as the body of a chat request on its way to an openai provider. What is sent
 * must be JSON with each top-level member once, with our model and bound, without what is the
 * marketplace's, and with everything else exactly as the client wrote it. */
#include <stdio.h>
#include <stdlib.h>

#include "services/edge/dialects/dialect.h"
#include "shared/json/read.h"

#define MEMORY_MAX ((size_t)1 << 24)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held, const char *what)
{
    if (held) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static const char *const ours[] = {
    "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "reasoning_effort"};
static const char *const dropped[] = {
    "provider", "models", "usage",  "user",  "metadata",   "plugins",    "reasoning",
    "debug",    "trace",  "preset", "route", "transforms", "session_id", "cache_control"};

static bool is_listed(slice name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(name, slice_of(list[i]))) return true;
    }
    return false;
}
#define LISTED(name, list) is_listed(name, list, sizeof(list) / sizeof((list)[0]))

static slice key_name(struct json_value key)
{
    slice raw = json_raw(key);
    return slice_first(slice_from(raw, 1), raw.len - 2);
}

static void check_sent(const struct json_document *body, slice sent, bool stream)
{
    struct json_document document;
    json_document_init(&document, 1000000);
    require(status_ok(json_parse(&document, sent)), "what is sent is JSON");
    require(status_ok(json_check_top_level(&document)), "with each member once");
    struct json_value root = json_root(&document);
    require(json_string_equal(json_get(root, SLICE("model")), SLICE("up/\"1")), "our model");
    require(json_exists(json_get(root, SLICE("stream_options"))) == stream, "usage is asked for");
    uint32_t bound = 0;
    struct json_value newer = json_get(root, SLICE("max_completion_tokens"));
    struct json_value older = json_get(root, SLICE("max_tokens"));
    require(json_exists(newer) != json_exists(older), "one bound");
    require(status_ok(json_read_u32(json_exists(newer) ? newer : older, &bound)) && bound == 77,
            "which is ours");
    uint32_t kept = 0;
    for (struct json_iterator i = json_iterate(json_root(body)); json_next(&i);) {
        slice name = key_name(i.key);
        if (LISTED(name, ours)) continue;
        struct json_value other = json_get(root, name);
        if (LISTED(name, dropped)) {
            require(!json_exists(other), "the marketplace's members stay here");
        } else if (json_exists(other)) {
            require(slice_equal(json_raw(i.value), json_raw(other)), "the client's are untouched");
            kept++;
        }
    }
    require(kept <= json_count(root), "and nothing is added");
    json_document_free(&document);
}

static void encode(const struct json_document *body, bool stream, slice provider_slug)
{
    struct market_provider provider = {.slug = provider_slug};
    struct market_endpoint endpoint = {.provider = &provider, .upstream_model = SLICE("up/\"1")};
    struct arena arena;
    arena_init(&arena, MEMORY_MAX);
    struct encode_request request = {
        .body = body, .endpoint = &endpoint, .stream = stream, .output_max = 77, .arena = &arena};
    struct encoded_request out;
    require(status_ok(dialect_openai.encode(&request, &out)), "every object can be encoded");
    require(out.piece_count <= ENCODE_PIECES_MAX, "pieces are bounded");
    struct buffer sent;
    buffer_init(&sent, MEMORY_MAX);
    for (size_t i = 0; i < out.piece_count; i++) {
        buffer_append_bytes(&sent, out.pieces[i].base, out.pieces[i].len);
    }
    check_sent(body, buffer_slice(&sent), stream);
    buffer_free(&sent);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_document body;
    json_document_init(&body, 100000);
    if (status_ok(json_parse(&body, (slice){(const char *)data, size})) &&
        status_ok(json_check_top_level(&body))) {
        encode(&body, false, SLICE("together"));
        encode(&body, true, SLICE("openai"));
    }
    json_document_free(&body);
    return 0;
}
