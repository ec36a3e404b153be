/* SPDX-License-Identifier: Apache-2.0 */
/* A chat request for an openai provider: the client's own body, byte for byte, without the
 * members that are the marketplace's business, and with ours in front: model, stream, the bound
 * of the hold. Nothing is serialised anew, so integers and texts of any size pass unharmed. */
#include "services/edge/dialects/openai.h"
#include "shared/json/write.h"

/* What a body may say and the provider must not hear from the client. Whatever is not listed is
 * passed on. */
enum member_fate {
    MEMBER_DROPPED,   /* between client and marketplace only */
    MEMBER_REPLACED,  /* written by us */
    MEMBER_REASONING, /* {"effort": …} becomes reasoning_effort */
    MEMBER_EFFORT,
    MEMBER_NEW_BOUND, /* the client calls its bound max_completion_tokens */
};
static const struct member_rule {
    slice name;
    enum member_fate fate;
} member_rules[] = {
    {{"model", 5}, MEMBER_REPLACED},
    {{"stream", 6}, MEMBER_REPLACED},
    {{"stream_options", 14}, MEMBER_REPLACED},
    {{"max_tokens", 10}, MEMBER_REPLACED},
    {{"max_completion_tokens", 21}, MEMBER_NEW_BOUND},
    {{"reasoning", 9}, MEMBER_REASONING},
    {{"reasoning_effort", 16}, MEMBER_EFFORT},
    {{"include_reasoning", 17}, MEMBER_DROPPED},
    {{"provider", 8}, MEMBER_DROPPED},
    {{"models", 6}, MEMBER_DROPPED},
    {{"route", 5}, MEMBER_DROPPED},
    {{"transforms", 10}, MEMBER_DROPPED},
    {{"plugins", 7}, MEMBER_DROPPED},
    {{"preset", 6}, MEMBER_DROPPED},
    {{"usage", 5}, MEMBER_DROPPED},
    {{"debug", 5}, MEMBER_DROPPED},
    {{"trace", 5}, MEMBER_DROPPED},
    {{"session_id", 10}, MEMBER_DROPPED},
    {{"metadata", 8}, MEMBER_DROPPED},
    /* An identity of the client's own user; it never leaves the house as it is. */
    {{"user", 4}, MEMBER_DROPPED},
    {{"cache_control", 13}, MEMBER_DROPPED},
    {{"prompt_cache_options", 20}, MEMBER_DROPPED},
    {{"image_config", 12}, MEMBER_DROPPED},
    {{"service_tier", 12}, MEMBER_DROPPED}, /* only the usual one gets this far */
    {{"max_tool_calls", 14}, MEMBER_DROPPED},
    {{"stop_server_tools_when", 22}, MEMBER_DROPPED},
    {{"top_a", 5}, MEMBER_DROPPED},
};

/* Providers that refuse max_tokens for some of their models and take the newer name for all. */
static const slice newer_bound_providers[] = {{"openai", 6}, {"azure", 5}, {"xai", 3}};

#define HEAD_SIZE_FIXED 256 /* our members without the texts in them */

/* What one walk over the body finds. */
struct body_parts {
    slice effort; /* raw JSON string, or empty */
    bool newer_bound;
    slice
        runs[ENCODE_PIECES_MAX / 2 - 1]; /* neighbouring members that are passed on, as one view */
    size_t run_count;
    bool run_open; /* the last run ends right before this member */
    bool too_many_runs;
};

static void collect_member(struct body_parts *parts, const struct json_iterator *member);
static status write_head(const struct encode_request *request, const struct body_parts *parts,
                         slice *head);
static status join_members(const struct encode_request *request, slice *joined);

static void add_piece(struct encoded_request *out, slice bytes)
{
    out->pieces[out->piece_count++] = h2o_iovec_init(bytes.data, bytes.len);
}

status openai_encode(const struct encode_request *request, struct encoded_request *out)
{
    struct json_value root = json_root(request->body);
    if (json_kind_of(root) != JSON_OBJECT) return FAIL(WRONG_TYPE);

    struct body_parts parts = {0};
    for (struct json_iterator member = json_iterate(root); json_next(&member);) {
        collect_member(&parts, &member);
    }
    if (parts.too_many_runs) {
        TRY(join_members(request, &parts.runs[0]));
        parts.run_count = parts.runs[0].len > 0 ? 1 : 0;
    }

    slice head;
    TRY(write_head(request, &parts, &head));
    out->path = SLICE("/chat/completions");
    out->piece_count = 0;
    add_piece(out, head);
    for (size_t i = 0; i < parts.run_count; i++) {
        add_piece(out, SLICE(","));
        add_piece(out, parts.runs[i]);
    }
    add_piece(out, SLICE("}"));
    return OK;
}

/* ---- the client's members -------------------------------------------------------------------- */

static const struct member_rule *rule_of(struct json_value key)
{
    slice raw = json_raw(key);
    slice name = slice_first(slice_from(raw, 1), raw.len - 2);
    for (size_t i = 0; i < sizeof(member_rules) / sizeof(member_rules[0]); i++) {
        if (slice_equal(member_rules[i].name, name)) return &member_rules[i];
    }
    return NULL;
}

static slice member_text(const struct json_iterator *member)
{
    slice key = json_raw(member->key);
    slice value = json_raw(member->value);
    return (slice){key.data, (size_t)(value.data + value.len - key.data)};
}

static void keep_member(struct body_parts *parts, const struct json_iterator *member)
{
    slice text = member_text(member);
    if (parts->run_open) {
        slice *run = &parts->runs[parts->run_count - 1];
        run->len = (size_t)(text.data + text.len - run->data);
        return;
    }
    if (parts->run_count == sizeof(parts->runs) / sizeof(parts->runs[0])) {
        parts->too_many_runs = true;
        return;
    }
    parts->runs[parts->run_count++] = text;
    parts->run_open = true;
}

static void collect_member(struct body_parts *parts, const struct json_iterator *member)
{
    const struct member_rule *rule = rule_of(member->key);
    if (rule == NULL) {
        keep_member(parts, member);
        return;
    }
    parts->run_open = false;
    struct json_value effort = member->value;
    switch (rule->fate) {
    case MEMBER_NEW_BOUND: parts->newer_bound = true; return;
    case MEMBER_REASONING:
        if (parts->effort.len > 0) return; /* reasoning_effort says it already */
        effort = json_get(member->value, SLICE("effort"));
        break;
    case MEMBER_EFFORT: break;
    default: return;
    }
    if (json_kind_of(effort) == JSON_STRING) parts->effort = json_raw(effort);
}

/* A body that changes more often between ours and the client's than there are pieces: the
 * client's members are copied. */
static status join_members(const struct encode_request *request, slice *joined)
{
    struct json_value root = json_root(request->body);
    char *copy = arena_alloc(request->arena, json_raw(root).len);
    if (copy == NULL) return FAIL(TOO_LARGE);

    size_t len = 0;
    for (struct json_iterator member = json_iterate(root); json_next(&member);) {
        if (rule_of(member.key) != NULL) continue;
        slice text = member_text(&member);
        if (len > 0) copy[len++] = ',';
        memcpy(copy + len, text.data, text.len);
        len += text.len;
    }
    *joined = (slice){copy, len};
    return OK;
}

/* ---- our members ----------------------------------------------------------------------------- */

static bool wants_newer_bound(const struct encode_request *request, const struct body_parts *parts)
{
    if (parts->newer_bound) return true;
    for (size_t i = 0; i < sizeof(newer_bound_providers) / sizeof(newer_bound_providers[0]); i++) {
        if (slice_equal(request->endpoint->provider->slug, newer_bound_providers[i])) return true;
    }
    return false;
}

/* One whole object of our members, handed out without its closing brace: the client's follow. */
static status write_head(const struct encode_request *request, const struct body_parts *parts,
                         slice *head)
{
    slice model = request->endpoint->upstream_model;
    /* One byte of a name is six at most when it is escaped. */
    size_t size = HEAD_SIZE_FIXED + model.len * 6 + parts->effort.len;
    char *memory = arena_alloc(request->arena, size);
    if (memory == NULL) return FAIL(TOO_LARGE);

    struct buffer text;
    buffer_init_fixed(&text, memory, size);
    struct json_writer w;
    json_write_init(&w, &text);
    json_object_begin(&w);
    json_key_string(&w, SLICE("model"), model);
    if (request->stream) {
        json_key_bool(&w, SLICE("stream"), true);
        json_key_raw(&w, SLICE("stream_options"), SLICE("{\"include_usage\":true}"));
    }
    bool newer = wants_newer_bound(request, parts);
    json_key_u64(&w, newer ? SLICE("max_completion_tokens") : SLICE("max_tokens"),
                 request->output_max);
    if (parts->effort.len > 0) json_key_raw(&w, SLICE("reasoning_effort"), parts->effort);
    json_object_end(&w);
    TRY(buffer_finish(&text));
    *head = slice_first(buffer_slice(&text), text.len - 1);
    return OK;
}
