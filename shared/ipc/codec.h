/* SPDX-License-Identifier: Apache-2.0 */
/* The field kinds of messages.def: their C types, encoders and bounded decoders. Also used for the
 * ledger's journal records. A decoder never reads past its slice and never allocates; texts are
 * views of the input. */
#pragma once

#include <endian.h>
#include <string.h>

#include "shared/billing.h"
#include "shared/buffer.h"
#include "shared/id.h"

#define CODEC_LIST_MAX 128
#define ATTEMPTS_MAX   8
#define CANDIDATES_MAX 8
#define METERS_MAX \
    16 /* organization, workspace, member and key: each lifetime, day, week and month */

struct u32_list {
    uint8_t count; /* ≤ CANDIDATES_MAX */
    uint32_t items[CANDIDATES_MAX];
};
struct u64_list {
    uint8_t count; /* ≤ CODEC_LIST_MAX */
    uint64_t items[CODEC_LIST_MAX];
};

/* Of one meter: what its lease covered of a charge. */
struct meter_share {
    int64_t meter;
    int32_t period;
    money leased;
};
#define METER_SHARE_SIZE 20
/* A list of them is the bytes of at most METERS_MAX, which a decoder does not copy. */
struct meter_shares {
    slice bytes;
};
uint8_t *meter_share_write(uint8_t *at, const struct meter_share *share);
bool meter_share_next(slice *bytes, struct meter_share *share); /* false after the last */

enum caller_kind { CALLER_NONE = 0, CALLER_KEY = 1, CALLER_MANAGEMENT = 2 };
/* What a request asks for, as far as rates go: free is what costs nothing at any candidate. */
enum model_class { MODEL_PAID, MODEL_FREE, MODEL_CLASS_COUNT };
/* Whose rate limit a HELD speaks of: the key's, or the organization's for a class of models. */
enum rate_owner { RATE_KEY, RATE_PAID_MODELS, RATE_FREE_MODELS };
enum limit_source {
    LIMIT_NONE,
    LIMIT_CREDITS,
    LIMIT_KEY,
    LIMIT_MEMBER,
    LIMIT_ORG,
    LIMIT_WORKSPACE,
};
enum dialect { DIALECT_OPENAI, DIALECT_ANTHROPIC, DIALECT_GEMINI, DIALECT_BEDROCK, DIALECT_COHERE };
enum modality {
    MODALITY_TEXT = 1,
    MODALITY_IMAGE = 2,
    MODALITY_AUDIO = 4,
    MODALITY_FILE = 8,
    MODALITY_VIDEO = 16
};
enum endpoint_health { HEALTH_STABLE, HEALTH_DEGRADED, HEALTH_DOWN };
enum attempt_result {
    ATTEMPT_OK,
    ATTEMPT_BAD_REQUEST,
    ATTEMPT_AUTH,
    ATTEMPT_RATE_LIMITED,
    ATTEMPT_OVERLOADED,
    ATTEMPT_SERVER,
    ATTEMPT_TIMEOUT,
    ATTEMPT_NOT_FOUND,
    ATTEMPT_BROKEN_STREAM,
    ATTEMPT_CLIENT_GONE,
};

/* Who is calling, as the ledger knows it. Any change of any of it raises version. */
struct caller {
    int64_t org;
    int64_t workspace;
    int64_t member; /* 0: none */
    int64_t key;
    uint64_t version;
    int64_t expires_ns; /* wall time; 0: never */
    uint8_t kind;       /* enum caller_kind */
};

/* One try at one endpoint. */
struct attempt_fact {
    uint32_t endpoint;
    uint32_t provider;
    uint16_t http_status; /* 0: no answer */
    uint8_t result;       /* enum attempt_result */
    uint32_t latency_ms;
};

enum finish_reason {
    FINISH_NONE,
    FINISH_STOP,
    FINISH_LENGTH,
    FINISH_TOOL_CALLS,
    FINISH_CONTENT_FILTER,
    FINISH_ERROR
};
enum fact_flag {
    FACT_STREAMED = 1,
    FACT_CANCELLED = 2, /* the client left */
    FACT_ESTIMATED = 4, /* usage_estimate() instead of the provider's figure */
    FACT_SIMULATED = 8,
    FACT_BYOK = 16,       /* with the customer's own key; in rows the ledger says so, by the hold */
    FACT_FREE_MODEL = 32, /* set by the ledger: the hold was of MODEL_FREE */
};

/* What a generation's row needs beyond money. Text bounds are cuts: longer ones are shortened by
 * the edge. */
struct generation_facts {
    uint32_t model;
    uint32_t endpoint; /* that answered; 0: none */
    uint32_t provider;
    uint32_t flags;         /* enum fact_flag */
    uint8_t finish;         /* enum finish_reason */
    uint32_t first_byte_ms; /* from request to the first byte of the answer */
    uint32_t total_ms;
    slice native_finish; /* ≤ 32 */
    slice upstream_id;   /* ≤ 96 */
    slice referer;       /* ≤ 192 */
    slice title;         /* ≤ 64 */
    slice user_agent;    /* ≤ 128 */
    slice session;       /* ≤ 128 */
    uint8_t attempt_count;
    struct attempt_fact attempts[ATTEMPTS_MAX];
};

/* C types of the kinds */
typedef uint8_t kind_u8;
typedef uint16_t kind_u16;
typedef uint32_t kind_u32;
typedef uint64_t kind_u64;
typedef int64_t kind_i64;
typedef money kind_money;
typedef price kind_price;
typedef struct u32_list kind_u32_list;
typedef struct u64_list kind_u64_list;
typedef struct key_hash kind_key_hash;
typedef struct generation_id kind_generation_id;
typedef struct caller kind_caller;
typedef struct usage_vector kind_usage;
typedef struct generation_facts kind_facts;
typedef struct price_row kind_price_row;
typedef struct meter_shares kind_meter_shares;

/* A reader over bytes of a peer or a file. Past the end every get answers zero: appended fields of
 * a newer version are absent in an older frame. `bad` is set when a value breaks its own bound
 * (list or text too long, tiers 0, units above BILLING_UNITS_MAX, a negative price, an unknown
 * kind of caller) and when the end is inside of a value. Encoders cut texts, attempts and units
 * instead. */
struct codec_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

/* An encoder is codec_write_<kind>(at, value), which knows of no bounds and answers the end of what
 * it wrote, and codec_put_<kind>(out, value), which makes room for it in a buffer first. Inline,
 * because a journal record is some eighty of these: with a call or a look at the buffer for each
 * they were the greater part of the ledger's work. Little-endian. A decoder of plain integers is
 * inline, too: a frame is two dozen of them. */
static inline uint8_t *codec_write_integer(uint8_t *at, uint64_t value, size_t size)
{
    uint64_t little = htole64(value);
    memcpy(at, &little, size);
    return at + size;
}

static inline void codec_put_integer(struct buffer *out, uint64_t value, size_t size)
{
    if (out->overflowed || out->size - out->len < size) {
        if (buffer_reserve(out, size) == NULL) return;
    }
    codec_write_integer((uint8_t *)out->data + out->len, value, size);
    out->len += size;
}

/* The next bytes; NULL, which reads as zero, when there are not as many left. */
static inline const uint8_t *codec_take(struct codec_reader *in, size_t size)
{
    const uint8_t *at = in->at;
    size_t left = (size_t)(in->end - at);
    if (left < size) {
        if (left > 0) in->bad = true;
        in->at = in->end;
        return NULL;
    }
    in->at += size;
    return at;
}

static inline uint64_t codec_get_integer(struct codec_reader *in, size_t size)
{
    const uint8_t *at = codec_take(in, size);
    uint64_t little = 0;
    if (at != NULL) memcpy(&little, at, size);
    return le64toh(little);
}

#define CODEC_INTEGER(kind)                                                           \
    static inline uint8_t *codec_write_##kind(uint8_t *at, const kind_##kind *value)  \
    {                                                                                 \
        return codec_write_integer(at, (uint64_t)*value, sizeof(*value));             \
    }                                                                                 \
    static inline void codec_put_##kind(struct buffer *out, const kind_##kind *value) \
    {                                                                                 \
        codec_put_integer(out, (uint64_t)*value, sizeof(*value));                     \
    }                                                                                 \
    static inline void codec_get_##kind(struct codec_reader *in, kind_##kind *value)  \
    {                                                                                 \
        *value = (kind_##kind)codec_get_integer(in, sizeof(*value));                  \
    }
CODEC_INTEGER(u8)
CODEC_INTEGER(u16)
CODEC_INTEGER(u32)
CODEC_INTEGER(u64)
CODEC_INTEGER(i64)
#undef CODEC_INTEGER

static inline uint8_t *codec_write_money(uint8_t *at, const kind_money *value)
{
    return codec_write_i64(at, &value->nano);
}
static inline void codec_put_money(struct buffer *out, const kind_money *value)
{
    codec_put_i64(out, &value->nano);
}
void codec_get_money(struct codec_reader *in, kind_money *value);

static inline void codec_put_price(struct buffer *out, const kind_price *value)
{
    codec_put_i64(out, &value->nano_per_million);
}
void codec_get_price(struct codec_reader *in, kind_price *value);

#define CODEC_KIND(kind)                                                 \
    void codec_put_##kind(struct buffer *out, const kind_##kind *value); \
    void codec_get_##kind(struct codec_reader *in, kind_##kind *value);
CODEC_KIND(u32_list)
CODEC_KIND(u64_list)
CODEC_KIND(key_hash)
CODEC_KIND(generation_id)
CODEC_KIND(caller)
CODEC_KIND(usage)
CODEC_KIND(facts)
CODEC_KIND(price_row)
#undef CODEC_KIND
/* Of these the journal's records are made, besides integers and money. */
uint8_t *codec_write_u32_list(uint8_t *at, const kind_u32_list *value);
uint8_t *codec_write_usage(uint8_t *at, const kind_usage *value);
uint8_t *codec_write_facts(uint8_t *at, const kind_facts *value);
uint8_t *codec_write_meter_shares(uint8_t *at, const kind_meter_shares *value);
void codec_get_meter_shares(struct codec_reader *in, kind_meter_shares *value);
/* The attempts of facts alone, count and rows: what the column generation.attempts holds. */
void codec_put_attempts(struct buffer *out, const struct generation_facts *facts);
void codec_get_attempts(struct codec_reader *in, struct generation_facts *facts);
/* u16 length and bytes; longer than max sets bad (get) or is cut (put). */
void codec_put_text(struct buffer *out, slice text, size_t max);
void codec_get_text(struct codec_reader *in, slice *text, size_t max);
