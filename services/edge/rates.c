/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include "services/edge/rates.h"

#include "services/edge/answer.h"
#include "shared/clock.h"

#define NS_PER_S  ((int64_t)1000000000)
#define NS_PER_MS ((int64_t)1000000)

static const struct {
    uint16_t error;
    const char *name; /* as the key's and the plan's fields are called */
} limits[] = {
    {ERROR_RATE_REQUESTS, "requests_per_minute"},
    {ERROR_RATE_TOKENS, "tokens_per_minute"},
    {ERROR_RATE_CONCURRENT, "concurrent_requests"},
    {ERROR_RATE_DAY, "requests_per_day"},
};

static const char *const owners[] = {
    [RATE_KEY] = "key_rate_limit",
    [RATE_PAID_MODELS] = "paid_models_rate_limit",
    [RATE_FREE_MODELS] = "free_models_rate_limit",
};

static const char *limit_name(uint16_t error)
{
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (limits[i].error == error) return limits[i].name;
    }
    return NULL;
}

struct rate_shown rates_shown(const struct message_held *held)
{
    return (struct rate_shown){held->rate_limit, held->rate_remaining, held->resets_ns};
}

bool rates_refused(const struct message_held *held)
{
    return limit_name(held->error) != NULL;
}

/* By the ledger's clock, which has set the time of the reset. */
uint32_t rates_retry_after_s(const struct message_held *held)
{
    int64_t wait_ns = held->resets_ns - held->created_ns;
    if (wait_ns <= NS_PER_S) return 1;
    int64_t wait_s = (wait_ns - 1) / NS_PER_S + 1; /* rounded up */
    return wait_s > INT32_MAX ? INT32_MAX : (uint32_t)wait_s;
}

static void answer_number(h2o_req_t *http, slice name, uint64_t value)
{
    char digits[24];
    struct buffer text;
    buffer_init_fixed(&text, digits, sizeof(digits));
    buffer_append_u64(&text, value);
    answer_header_copied(http, name, buffer_slice(&text));
}

void rates_answer_headers(h2o_req_t *http, const struct rate_shown *shown)
{
    if (shown->limit == 0) return;
    answer_number(http, SLICE("x-ratelimit-limit"), shown->limit);
    answer_number(http, SLICE("x-ratelimit-remaining"), shown->remaining);
    answer_number(http, SLICE("x-ratelimit-reset"), (uint64_t)(shown->resets_ns / NS_PER_MS));
}

void rates_write_refusal(struct json_writer *json, const struct message_held *held)
{
    size_t owner = held->rate_owner;
    if (owner >= sizeof(owners) / sizeof(owners[0])) owner = RATE_KEY;
    json_key_string(json, SLICE("limit_source"), slice_of(owners[owner]));
    json_key_string(json, SLICE("limit_name"), slice_of(limit_name(held->error)));
    json_key_u64(json, SLICE("limit"), held->rate_limit);
    json_key_u64(json, SLICE("remaining"), held->rate_remaining);
    json_key(json, SLICE("resets_at"));
    json_time(json, (wall_time){held->resets_ns});
}
