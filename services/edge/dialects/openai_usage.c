/* SPDX-License-Identifier: Apache-2.0 */
/* The usage object of the openai family into the billing vector. What providers report overlaps
 * (cached is part of prompt, reasoning is part of completion), what we bill must not. A figure
 * that is missing, negative, not whole, too large or that contradicts another makes the whole
 * object invalid: then the estimate is billed. An explicit zero stays zero. */
#include "services/edge/dialects/openai.h"
#include "shared/array.h"

struct counts {
    int64_t prompt, cached, cache_written, audio_in;
    int64_t completion, reasoning, audio_out;
    int64_t total; /* -1: not given */
    bool bad;
};

struct usage_members {
    struct json_value prompt_tokens, completion_tokens, total_tokens;
    struct json_value prompt_tokens_details, completion_tokens_details;
    struct json_value prompt_token_details;    /* Mistral's older spelling */
    struct json_value prompt_cache_hit_tokens; /* DeepSeek */
    struct json_value num_cached_tokens;       /* Mistral */
    struct json_value cached_tokens;           /* Moonshot */
    struct json_value reasoning_tokens;
};
static const struct json_member_row usage_rows[] = {
    JSON_MEMBER(usage_members, prompt_tokens),
    JSON_MEMBER(usage_members, completion_tokens),
    JSON_MEMBER(usage_members, total_tokens),
    JSON_MEMBER(usage_members, prompt_tokens_details),
    JSON_MEMBER(usage_members, completion_tokens_details),
    JSON_MEMBER(usage_members, prompt_token_details),
    JSON_MEMBER(usage_members, prompt_cache_hit_tokens),
    JSON_MEMBER(usage_members, num_cached_tokens),
    JSON_MEMBER(usage_members, cached_tokens),
    JSON_MEMBER(usage_members, reasoning_tokens),
};

struct detail_members {
    struct json_value cached_tokens, cache_write_tokens, cache_creation_tokens, audio_tokens;
    struct json_value reasoning_tokens;
};
static const struct json_member_row detail_rows[] = {
    JSON_MEMBER(detail_members, cached_tokens),
    JSON_MEMBER(detail_members, cache_write_tokens),
    JSON_MEMBER(detail_members, cache_creation_tokens),
    JSON_MEMBER(detail_members, audio_tokens),
    JSON_MEMBER(detail_members, reasoning_tokens),
};

static struct counts read_counts(struct json_value usage);
static bool split_counts(const struct counts *counts, struct usage_vector *usage);

void openai_read_usage(struct json_value usage, struct event *event)
{
    event->usage = (struct usage_vector){0};
    struct counts counts = read_counts(usage);
    event->usage_valid = !counts.bad && split_counts(&counts, &event->usage);
    if (!event->usage_valid) event->usage = (struct usage_vector){0};
}

/* ---- reading --------------------------------------------------------------------------------- */

/* -1 when it is absent or null. */
static int64_t read_count(struct json_value value, bool *bad)
{
    if (!json_exists(value) || json_kind_of(value) == JSON_NULL) return -1;
    int64_t count;
    if (!status_ok(json_read_i64(value, &count)) || count < 0 || count > BILLING_UNITS_MAX) {
        *bad = true;
        return -1;
    }
    return count;
}

/* Of the places where a figure may stand, in the order of preference. 0 when it is nowhere. */
static int64_t read_first(const struct json_value *places, size_t count, bool *bad)
{
    for (size_t i = 0; i < count; i++) {
        int64_t found = read_count(places[i], bad);
        if (found >= 0) return found;
    }
    return 0;
}

static struct detail_members find_details(struct json_value group)
{
    struct detail_members members = {0};
    json_find_members(group, detail_rows, COUNT_OF(detail_rows), &members);
    return members;
}

static struct counts read_counts(struct json_value usage)
{
    struct usage_members in = {0};
    json_find_members(usage, usage_rows, COUNT_OF(usage_rows), &in);
    const struct detail_members prompt = find_details(in.prompt_tokens_details);
    const struct detail_members older = find_details(in.prompt_token_details);
    const struct detail_members completion = find_details(in.completion_tokens_details);
    const struct json_value cached[] = {prompt.cached_tokens, older.cached_tokens,
                                        in.prompt_cache_hit_tokens, in.num_cached_tokens,
                                        in.cached_tokens};
    const struct json_value cache_written[] = {prompt.cache_write_tokens,
                                               prompt.cache_creation_tokens};
    const struct json_value reasoning[] = {completion.reasoning_tokens, in.reasoning_tokens};

    struct counts c = {0};
    c.prompt = read_count(in.prompt_tokens, &c.bad);
    c.completion = read_count(in.completion_tokens, &c.bad);
    c.total = read_count(in.total_tokens, &c.bad);
    c.cached = read_first(cached, COUNT_OF(cached), &c.bad);
    c.cache_written = read_first(cache_written, COUNT_OF(cache_written), &c.bad);
    c.audio_in = read_first(&prompt.audio_tokens, 1, &c.bad);
    c.reasoning = read_first(reasoning, COUNT_OF(reasoning), &c.bad);
    c.audio_out = read_first(&completion.audio_tokens, 1, &c.bad);
    if (c.prompt < 0 || c.completion < 0) c.bad = true;
    return c;
}

/* ---- taking apart ---------------------------------------------------------------------------- */

static void set_units(struct usage_vector *usage, enum billing_class class, int64_t count)
{
    usage->units[class] = (uint32_t)count;
}

static bool split_counts(const struct counts *c, struct usage_vector *usage)
{
    /* xAI: when more was read from the cache than prompt_tokens says, prompt_tokens does not
     * include it. */
    bool cached_is_extra = c->cached > c->prompt;
    int64_t prompt_total = cached_is_extra ? c->prompt + c->cached : c->prompt;
    int64_t plain = prompt_total - c->cached;
    if (c->cache_written > plain || c->audio_in > prompt_total) return false;
    plain -= c->cache_written;
    /* Audio may have been read from the cache too; then it is counted there. */
    int64_t audio_in = c->audio_in < plain ? c->audio_in : plain;

    /* xAI again: completion_tokens does not include reasoning, and the total gives it away. */
    bool reasoning_is_extra =
        c->reasoning > 0 && c->total == prompt_total + c->completion + c->reasoning;
    int64_t completion_total = reasoning_is_extra ? c->completion + c->reasoning : c->completion;
    if (c->reasoning > completion_total) return false;
    int64_t text = completion_total - c->reasoning;
    if (c->audio_out > text) return false;

    set_units(usage, BILLING_prompt, plain - audio_in);
    set_units(usage, BILLING_cache_read, c->cached);
    set_units(usage, BILLING_cache_write, c->cache_written);
    set_units(usage, BILLING_audio_in, audio_in);
    set_units(usage, BILLING_completion, text - c->audio_out);
    set_units(usage, BILLING_reasoning, c->reasoning);
    set_units(usage, BILLING_audio_out, c->audio_out);
    return true;
}
