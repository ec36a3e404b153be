/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of every field kind, little-endian whatever the machine is. What an encoder writes, the
 * decoder of the same kind accepts: texts, attempts and unit counts are cut to their bounds on the
 * way out and checked against them on the way in. The one complication: nothing left means "an
 * older sender without this field", which reads as zero, but a field that begins and does not end
 * was cut, and that is bad. */
#include "shared/ipc/codec.h"

#include <assert.h>

#define NATIVE_FINISH_MAX 32
#define UPSTREAM_ID_MAX   96
#define REFERER_MAX       192
#define TITLE_MAX         64
#define USER_AGENT_MAX    128
#define SESSION_MAX       128
#define ATTEMPT_SIZE      15 /* as written by write_attempts() */

static void get_bytes(struct codec_reader *in, uint8_t *bytes, size_t size);
static size_t size_of_text(slice text, size_t max);
static size_t size_of_attempts(const struct generation_facts *facts);
static uint8_t *write_text(uint8_t *at, slice text, size_t max);
static uint8_t *write_attempts(uint8_t *at, const struct generation_facts *facts);
static void get_attempt(struct codec_reader *in, struct attempt_fact *attempt);

static uint8_t *reserve(struct buffer *out, size_t size)
{
    return (uint8_t *)buffer_reserve(out, size);
}

static void finish(struct buffer *out, const uint8_t *end)
{
    out->len = (size_t)(end - (const uint8_t *)out->data);
}

void codec_get_money(struct codec_reader *in, kind_money *value)
{
    codec_get_i64(in, &value->nano);
}

/* Nothing has a negative price; a peer that says so would turn a hold into a gift. */
void codec_get_price(struct codec_reader *in, kind_price *value)
{
    codec_get_i64(in, &value->nano_per_million);
    if (value->nano_per_million < 0) in->bad = true;
}

uint8_t *codec_write_u32_list(uint8_t *at, const kind_u32_list *value)
{
    assert(value->count <= CANDIDATES_MAX);
    at = codec_write_u8(at, &value->count);
    for (size_t i = 0; i < value->count; i++)
        at = codec_write_u32(at, &value->items[i]);
    return at;
}

void codec_put_u32_list(struct buffer *out, const kind_u32_list *value)
{
    assert(value->count <= CANDIDATES_MAX);
    uint8_t *at = reserve(out, sizeof(value->count) + value->count * sizeof(value->items[0]));
    if (at != NULL) finish(out, codec_write_u32_list(at, value));
}

void codec_get_u32_list(struct codec_reader *in, kind_u32_list *value)
{
    *value = (kind_u32_list){0};
    uint8_t count = 0;
    codec_get_u8(in, &count);
    if (count > CANDIDATES_MAX) {
        in->bad = true;
        return;
    }
    value->count = count;
    for (size_t i = 0; i < count; i++)
        codec_get_u32(in, &value->items[i]);
}

void codec_put_u64_list(struct buffer *out, const kind_u64_list *value)
{
    assert(value->count <= CODEC_LIST_MAX);
    codec_put_u8(out, &value->count);
    for (size_t i = 0; i < value->count; i++)
        codec_put_u64(out, &value->items[i]);
}

void codec_get_u64_list(struct codec_reader *in, kind_u64_list *value)
{
    *value = (kind_u64_list){0};
    uint8_t count = 0;
    codec_get_u8(in, &count);
    if (count > CODEC_LIST_MAX) {
        in->bad = true;
        return;
    }
    value->count = count;
    for (size_t i = 0; i < count; i++)
        codec_get_u64(in, &value->items[i]);
}

/* ---- meters ---- */

uint8_t *meter_share_write(uint8_t *at, const struct meter_share *share)
{
    at = codec_write_i64(at, &share->meter);
    at = codec_write_integer(at, (uint32_t)share->period, sizeof(share->period));
    return codec_write_money(at, &share->leased);
}

bool meter_share_next(slice *bytes, struct meter_share *share)
{
    if (bytes->len < METER_SHARE_SIZE) return false;
    struct codec_reader in = {.at = (const uint8_t *)bytes->data,
                              .end = (const uint8_t *)bytes->data + METER_SHARE_SIZE};
    codec_get_i64(&in, &share->meter);
    share->period = (int32_t)codec_get_integer(&in, sizeof(share->period));
    codec_get_money(&in, &share->leased);
    *bytes = slice_from(*bytes, METER_SHARE_SIZE);
    return true;
}

uint8_t *codec_write_meter_shares(uint8_t *at, const kind_meter_shares *value)
{
    uint8_t count = (uint8_t)(value->bytes.len / METER_SHARE_SIZE);
    assert(value->bytes.len == (size_t)count * METER_SHARE_SIZE && count <= METERS_MAX);
    at = codec_write_u8(at, &count);
    if (count > 0) memcpy(at, value->bytes.data, value->bytes.len);
    return at + value->bytes.len;
}

void codec_get_meter_shares(struct codec_reader *in, kind_meter_shares *value)
{
    uint8_t count = 0;
    codec_get_u8(in, &count);
    size_t size = (size_t)count * METER_SHARE_SIZE;
    *value = (kind_meter_shares){.bytes = {(const char *)in->at, size}};
    if (count <= METERS_MAX && size <= (size_t)(in->end - in->at)) {
        in->at += size;
        return;
    }
    in->bad = true;
    value->bytes.len = 0;
}

void codec_put_key_hash(struct buffer *out, const kind_key_hash *value)
{
    buffer_append_bytes(out, value->bytes, sizeof(value->bytes));
}

void codec_get_key_hash(struct codec_reader *in, kind_key_hash *value)
{
    get_bytes(in, value->bytes, sizeof(value->bytes));
}

void codec_put_generation_id(struct buffer *out, const kind_generation_id *value)
{
    buffer_append_bytes(out, value->bytes, sizeof(value->bytes));
}

void codec_get_generation_id(struct codec_reader *in, kind_generation_id *value)
{
    get_bytes(in, value->bytes, sizeof(value->bytes));
}

void codec_put_caller(struct buffer *out, const kind_caller *value)
{
    codec_put_i64(out, &value->org);
    codec_put_i64(out, &value->workspace);
    codec_put_i64(out, &value->member);
    codec_put_i64(out, &value->key);
    codec_put_u64(out, &value->version);
    codec_put_i64(out, &value->expires_ns);
    codec_put_u8(out, &value->kind);
}

void codec_get_caller(struct codec_reader *in, kind_caller *value)
{
    *value = (kind_caller){0};
    codec_get_i64(in, &value->org);
    codec_get_i64(in, &value->workspace);
    codec_get_i64(in, &value->member);
    codec_get_i64(in, &value->key);
    codec_get_u64(in, &value->version);
    codec_get_i64(in, &value->expires_ns);
    codec_get_u8(in, &value->kind);
    if (value->kind > CALLER_MANAGEMENT) in->bad = true;
}

/* A count above the bound can only come from a provider that talks nonsense; it is cut here,
 * because a frame that the ledger refuses would be sent again for ever. */
uint8_t *codec_write_usage(uint8_t *at, const kind_usage *value)
{
    for (size_t i = 0; i < BILLING_CLASS_COUNT; i++) {
        uint32_t units = value->units[i];
        at = codec_write_integer(at, units > BILLING_UNITS_MAX ? BILLING_UNITS_MAX : units,
                                 sizeof(units));
    }
    return at;
}

void codec_put_usage(struct buffer *out, const kind_usage *value)
{
    uint8_t *at = reserve(out, sizeof(value->units));
    if (at != NULL) finish(out, codec_write_usage(at, value));
}

void codec_get_usage(struct codec_reader *in, kind_usage *value)
{
    for (size_t i = 0; i < BILLING_CLASS_COUNT; i++) {
        codec_get_u32(in, &value->units[i]);
        if (value->units[i] > BILLING_UNITS_MAX) in->bad = true;
    }
}

#define FACTS_INTEGERS_SIZE 25 /* six of four bytes, and the finish */
uint8_t *codec_write_facts(uint8_t *at, const kind_facts *value)
{
    at = codec_write_u32(at, &value->model);
    at = codec_write_u32(at, &value->endpoint);
    at = codec_write_u32(at, &value->provider);
    at = codec_write_u32(at, &value->flags);
    at = codec_write_u8(at, &value->finish);
    at = codec_write_u32(at, &value->first_byte_ms);
    at = codec_write_u32(at, &value->total_ms);
    at = write_text(at, value->native_finish, NATIVE_FINISH_MAX);
    at = write_text(at, value->upstream_id, UPSTREAM_ID_MAX);
    at = write_text(at, value->referer, REFERER_MAX);
    at = write_text(at, value->title, TITLE_MAX);
    at = write_text(at, value->user_agent, USER_AGENT_MAX);
    at = write_text(at, value->session, SESSION_MAX);
    return write_attempts(at, value);
}

void codec_put_facts(struct buffer *out, const kind_facts *value)
{
    size_t size = FACTS_INTEGERS_SIZE + size_of_text(value->native_finish, NATIVE_FINISH_MAX) +
                  size_of_text(value->upstream_id, UPSTREAM_ID_MAX) +
                  size_of_text(value->referer, REFERER_MAX) +
                  size_of_text(value->title, TITLE_MAX) +
                  size_of_text(value->user_agent, USER_AGENT_MAX) +
                  size_of_text(value->session, SESSION_MAX) + size_of_attempts(value);
    uint8_t *at = reserve(out, size);
    if (at != NULL) finish(out, codec_write_facts(at, value));
}

void codec_get_facts(struct codec_reader *in, kind_facts *value)
{
    *value = (kind_facts){0};
    codec_get_u32(in, &value->model);
    codec_get_u32(in, &value->endpoint);
    codec_get_u32(in, &value->provider);
    codec_get_u32(in, &value->flags);
    codec_get_u8(in, &value->finish);
    codec_get_u32(in, &value->first_byte_ms);
    codec_get_u32(in, &value->total_ms);
    codec_get_text(in, &value->native_finish, NATIVE_FINISH_MAX);
    codec_get_text(in, &value->upstream_id, UPSTREAM_ID_MAX);
    codec_get_text(in, &value->referer, REFERER_MAX);
    codec_get_text(in, &value->title, TITLE_MAX);
    codec_get_text(in, &value->user_agent, USER_AGENT_MAX);
    codec_get_text(in, &value->session, SESSION_MAX);
    codec_get_attempts(in, value);
}

static uint8_t attempts_written(const struct generation_facts *facts)
{
    return facts->attempt_count > ATTEMPTS_MAX ? ATTEMPTS_MAX : facts->attempt_count;
}

static size_t size_of_attempts(const struct generation_facts *facts)
{
    return sizeof(uint8_t) + (size_t)attempts_written(facts) * ATTEMPT_SIZE;
}

static uint8_t *write_attempts(uint8_t *at, const struct generation_facts *facts)
{
    uint8_t count = attempts_written(facts);
    at = codec_write_u8(at, &count);
    for (size_t i = 0; i < count; i++) {
        const struct attempt_fact *attempt = &facts->attempts[i];
        at = codec_write_u32(at, &attempt->endpoint);
        at = codec_write_u32(at, &attempt->provider);
        at = codec_write_u16(at, &attempt->http_status);
        at = codec_write_u8(at, &attempt->result);
        at = codec_write_u32(at, &attempt->latency_ms);
    }
    return at;
}

void codec_put_attempts(struct buffer *out, const struct generation_facts *facts)
{
    uint8_t *at = reserve(out, size_of_attempts(facts));
    if (at != NULL) finish(out, write_attempts(at, facts));
}

void codec_get_attempts(struct codec_reader *in, struct generation_facts *facts)
{
    uint8_t count = 0;
    codec_get_u8(in, &count);
    if (count > ATTEMPTS_MAX) {
        in->bad = true;
        return;
    }
    facts->attempt_count = count;
    for (size_t i = 0; i < count; i++)
        get_attempt(in, &facts->attempts[i]);
}

void codec_put_price_row(struct buffer *out, const kind_price_row *value)
{
    assert(value->tier_count >= 1 && value->tier_count <= BILLING_TIERS_MAX);
    codec_put_u32(out, &value->id);
    codec_put_u8(out, &value->tier_count);
    for (size_t i = 0; i < value->tier_count; i++) {
        codec_put_u32(out, &value->tiers[i].above_prompt_tokens);
        for (size_t class = 0; class < BILLING_CLASS_COUNT; class ++)
            codec_put_price(out, &value->tiers[i].prices[class]);
    }
}

void codec_get_price_row(struct codec_reader *in, kind_price_row *value)
{
    *value = (kind_price_row){0};
    uint8_t count = 0;
    codec_get_u32(in, &value->id);
    codec_get_u8(in, &count);
    if (count < 1 || count > BILLING_TIERS_MAX) {
        in->bad = true;
        return;
    }
    value->tier_count = count;
    for (size_t i = 0; i < count; i++) {
        codec_get_u32(in, &value->tiers[i].above_prompt_tokens);
        for (size_t class = 0; class < BILLING_CLASS_COUNT; class ++)
            codec_get_price(in, &value->tiers[i].prices[class]);
    }
}

static size_t size_of_text(slice text, size_t max)
{
    return sizeof(uint16_t) + (text.len > max ? max : text.len);
}

static uint8_t *write_text(uint8_t *at, slice text, size_t max)
{
    size_t len = text.len > max ? max : text.len;
    at = codec_write_integer(at, len, sizeof(uint16_t));
    if (len > 0) memcpy(at, text.data, len);
    return at + len;
}

void codec_put_text(struct buffer *out, slice text, size_t max)
{
    uint8_t *at = reserve(out, size_of_text(text, max));
    if (at != NULL) finish(out, write_text(at, text, max));
}

void codec_get_text(struct codec_reader *in, slice *text, size_t max)
{
    *text = SLICE_NONE;
    uint16_t len = 0;
    codec_get_u16(in, &len);
    if (len > max || len > (size_t)(in->end - in->at)) {
        in->bad = true;
        return;
    }
    if (len > 0) *text = (slice){(const char *)in->at, len};
    in->at += len;
}

static void get_attempt(struct codec_reader *in, struct attempt_fact *attempt)
{
    codec_get_u32(in, &attempt->endpoint);
    codec_get_u32(in, &attempt->provider);
    codec_get_u16(in, &attempt->http_status);
    codec_get_u8(in, &attempt->result);
    codec_get_u32(in, &attempt->latency_ms);
}

static void get_bytes(struct codec_reader *in, uint8_t *bytes, size_t size)
{
    const uint8_t *at = codec_take(in, size);
    if (at == NULL)
        memset(bytes, 0, size);
    else
        memcpy(bytes, at, size);
}
