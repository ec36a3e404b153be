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

/* Where a figure may stand, in the order of preference; an empty group is the usage object
 * itself. */
struct place {
    slice group;
    slice name;
};
static const struct place cached_places[] = {
    {{"prompt_tokens_details", 21}, {"cached_tokens", 13}},
    {{"prompt_token_details", 20}, {"cached_tokens", 13}}, /* Mistral's older spelling */
    {{"", 0}, {"prompt_cache_hit_tokens", 23}},            /* DeepSeek */
    {{"", 0}, {"num_cached_tokens", 17}},                  /* Mistral */
    {{"", 0}, {"cached_tokens", 13}},                      /* Moonshot */
};
static const struct place cache_written_places[] = {
    {{"prompt_tokens_details", 21}, {"cache_write_tokens", 18}},
    {{"prompt_tokens_details", 21}, {"cache_creation_tokens", 21}},
};
static const struct place audio_in_places[] = {
    {{"prompt_tokens_details", 21}, {"audio_tokens", 12}},
};
static const struct place reasoning_places[] = {
    {{"completion_tokens_details", 25}, {"reasoning_tokens", 16}},
    {{"", 0}, {"reasoning_tokens", 16}},
};
static const struct place audio_out_places[] = {
    {{"completion_tokens_details", 25}, {"audio_tokens", 12}},
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

static int64_t read_first(struct json_value usage, const struct place *places, size_t count,
                          bool *bad)
{
    for (size_t i = 0; i < count; i++) {
        struct json_value group =
            places[i].group.len == 0 ? usage : json_get(usage, places[i].group);
        int64_t found = read_count(json_get(group, places[i].name), bad);
        if (found >= 0) return found;
    }
    return 0;
}

static struct counts read_counts(struct json_value usage)
{
    struct counts c = {0};
    c.prompt = read_count(json_get(usage, SLICE("prompt_tokens")), &c.bad);
    c.completion = read_count(json_get(usage, SLICE("completion_tokens")), &c.bad);
    c.total = read_count(json_get(usage, SLICE("total_tokens")), &c.bad);
    c.cached = read_first(usage, cached_places, COUNT_OF(cached_places), &c.bad);
    c.cache_written =
        read_first(usage, cache_written_places, COUNT_OF(cache_written_places), &c.bad);
    c.audio_in = read_first(usage, audio_in_places, COUNT_OF(audio_in_places), &c.bad);
    c.reasoning = read_first(usage, reasoning_places, COUNT_OF(reasoning_places), &c.bad);
    c.audio_out = read_first(usage, audio_out_places, COUNT_OF(audio_out_places), &c.bad);
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
