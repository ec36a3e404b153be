/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding and checking of journal records and segment heads. A record is appended with an empty
 * head first, because its length and checksum are known only when its payload stands. */
#include "services/ledger/journal/records.h"

#include <assert.h>

#include "shared/crc32c.h"

#define LENGTH_SIZE  4
#define CHECKED_FROM 8 /* the checksum covers the length and everything from here */

static const char segment_magic[8] = {'B', 'O', 'U', 'R', 'S', 'E', 'J', '1'};
#define SEGMENT_PREFIX_SIZE \
    16 /* magic, u32 length of the whole head, u32 CRC32C of what follows
                                * \ */

static uint8_t *begin_record(struct buffer *out, struct record_place place, uint16_t type);
static void end_record(struct buffer *out, const uint8_t *end);
static uint32_t checksum(const char *start, size_t len);

#define RECORD(name, number)                                                 \
    void record_append_##name(struct buffer *out, struct record_place place, \
                              const struct record_##name *record)            \
    {                                                                        \
        uint8_t *at = begin_record(out, place, number);
#define FIELD(kind, name) at = codec_write_##kind(at, &record->name);
#define ONLY_WITH(name)      \
    if (record->name == 0) { \
        end_record(out, at); \
        return;              \
    }
#define END(name)        \
    end_record(out, at); \
    }
#include "services/ledger/journal/records.def"
#undef RECORD
#undef FIELD
#undef ONLY_WITH
#undef END

#define RECORD(name, number)                                                 \
    status record_decode_##name(slice payload, struct record_##name *record) \
    {                                                                        \
        struct codec_reader in = {.at = (const uint8_t *)payload.data,       \
                                  .end = (const uint8_t *)payload.data + payload.len};
#define FIELD(kind, name) codec_get_##kind(&in, &record->name);
#define ONLY_WITH(name)
#define END(name)                         \
    return in.bad ? FAIL(MALFORMED) : OK; \
    }
#include "services/ledger/journal/records.def"
#undef RECORD
#undef FIELD
#undef ONLY_WITH
#undef END

static slice one_meter(struct meter_share share, uint8_t room[METER_SHARE_SIZE])
{
    (void)meter_share_write(room, &share);
    return (slice){(const char *)room, METER_SHARE_SIZE};
}

slice record_hold_meters(const struct record_hold *record, uint8_t room[METER_SHARE_SIZE])
{
    if (record->meter == 0) return record->meters.bytes;
    return one_meter((struct meter_share){record->meter, (int32_t)record->meter_period, MONEY_ZERO},
                     room);
}

slice record_ending_meters(const struct record_ending *record, uint8_t room[METER_SHARE_SIZE])
{
    if (record->meter == 0) return record->meters.bytes;
    return one_meter(
        (struct meter_share){record->meter, (int32_t)record->meter_period, record->meter_leased},
        room);
}

/* Where the payload goes. There is room for the largest record, so its fields need not look. */
static uint8_t *begin_record(struct buffer *out, struct record_place place, uint16_t type)
{
    char *room = buffer_reserve(out, RECORD_SIZE_MAX);
    assert(room != NULL);
    uint8_t *at = (uint8_t *)room + CHECKED_FROM;
    at = codec_write_u64(at, &place.seq);
    at = codec_write_u64(at, &place.synced);
    return codec_write_u16(at, &type);
}

static void put_u32_at(char *at, uint32_t value)
{
    (void)codec_write_u32((uint8_t *)at, &value);
}

static uint32_t get_u32_at(const char *at)
{
    uint32_t value = 0;
    for (size_t i = 0; i < sizeof(value); i++)
        value |= (uint32_t)(uint8_t)at[i] << (8 * i);
    return value;
}

static void end_record(struct buffer *out, const uint8_t *end)
{
    char *start = out->data + out->len;
    size_t len = (size_t)(end - (const uint8_t *)start);
    assert(len <= RECORD_SIZE_MAX);
    put_u32_at(start, (uint32_t)len);
    put_u32_at(start + LENGTH_SIZE, checksum(start, len));
    out->len += len;
}

static uint32_t checksum(const char *start, size_t len)
{
    return crc32c(crc32c(0, start, LENGTH_SIZE), start + CHECKED_FROM, len - CHECKED_FROM);
}

status record_next(slice bytes, struct record *record, size_t *taken)
{
    if (bytes.len < LENGTH_SIZE) return FAIL(OVERFLOW);
    uint32_t len = get_u32_at(bytes.data);
    if (len == 0) return FAIL(END);
    if (len < RECORD_HEAD_SIZE || len > RECORD_SIZE_MAX) return FAIL(MALFORMED);
    if (len > bytes.len) return FAIL(OVERFLOW);
    if (get_u32_at(bytes.data + LENGTH_SIZE) != checksum(bytes.data, len)) return FAIL(MALFORMED);
    struct codec_reader in = {.at = (const uint8_t *)bytes.data + CHECKED_FROM,
                              .end = (const uint8_t *)bytes.data + len};
    codec_get_u64(&in, &record->seq);
    codec_get_u64(&in, &record->synced);
    codec_get_u16(&in, &record->type);
    record->payload = slice_first(slice_from(bytes, RECORD_HEAD_SIZE), len - RECORD_HEAD_SIZE);
    *taken = len;
    return OK;
}

/* ---- segments ------------------------------------------------------------------------------- */

void segment_head_append(struct buffer *out, const struct segment_head *head)
{
    size_t start = out->len;
    uint16_t version = SEGMENT_VERSION;
    char prefix[SEGMENT_PREFIX_SIZE] = {0};
    memcpy(prefix, segment_magic, sizeof(segment_magic));
    buffer_append_bytes(out, prefix, sizeof(prefix));
    codec_put_u16(out, &version);
    codec_put_u16(out, &head->cell);
    codec_put_u32(out, &head->incarnation);
    codec_put_u64(out, &head->number);
    codec_put_u64(out, &head->first_seq);
    codec_put_u64(out, &head->marks_seq);
    codec_put_u64(out, &head->next_hold);
    buffer_append_bytes(out, head->boot_id, BOOT_ID_SIZE);
    codec_put_u32(out, &head->mark_count);
    assert(head->marks.len == (size_t)head->mark_count * STREAM_MARK_SIZE);
    buffer_append(out, head->marks);
    assert(!out->overflowed);
    size_t len = out->len - start;
    put_u32_at(out->data + start + sizeof(segment_magic), (uint32_t)len);
    put_u32_at(out->data + start + sizeof(segment_magic) + LENGTH_SIZE,
               crc32c(0, out->data + start + SEGMENT_PREFIX_SIZE, len - SEGMENT_PREFIX_SIZE));
}

static bool all_zero(slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.data[i] != 0) return false;
    }
    return true;
}

static status read_head_fields(struct codec_reader *in, struct segment_head *head)
{
    uint16_t version = 0;
    codec_get_u16(in, &version);
    if (version != SEGMENT_VERSION) return FAIL(MALFORMED);
    codec_get_u16(in, &head->cell);
    codec_get_u32(in, &head->incarnation);
    codec_get_u64(in, &head->number);
    codec_get_u64(in, &head->first_seq);
    codec_get_u64(in, &head->marks_seq);
    codec_get_u64(in, &head->next_hold);
    if (in->end - in->at < BOOT_ID_SIZE) return FAIL(MALFORMED);
    memcpy(head->boot_id, in->at, BOOT_ID_SIZE);
    in->at += BOOT_ID_SIZE;
    codec_get_u32(in, &head->mark_count);
    head->marks = (slice){(const char *)in->at, (size_t)(in->end - in->at)};
    bool fits = head->marks.len == (size_t)head->mark_count * STREAM_MARK_SIZE;
    return in->bad || !fits ? FAIL(MALFORMED) : OK;
}

status segment_head_read(slice bytes, struct segment_head *head, size_t *taken)
{
    *head = (struct segment_head){0};
    if (bytes.len < SEGMENT_PREFIX_SIZE) return FAIL(MALFORMED);
    if (all_zero(slice_first(bytes, SEGMENT_PREFIX_SIZE))) return FAIL(END);
    if (memcmp(bytes.data, segment_magic, sizeof(segment_magic)) != 0) return FAIL(MALFORMED);
    uint32_t len = get_u32_at(bytes.data + sizeof(segment_magic));
    uint32_t crc = get_u32_at(bytes.data + sizeof(segment_magic) + LENGTH_SIZE);
    if (len < SEGMENT_PREFIX_SIZE || len > bytes.len) return FAIL(MALFORMED);
    slice checked = slice_from(slice_first(bytes, len), SEGMENT_PREFIX_SIZE);
    if (crc32c(0, checked.data, checked.len) != crc) return FAIL(MALFORMED);
    struct codec_reader in = {.at = (const uint8_t *)checked.data,
                              .end = (const uint8_t *)checked.data + checked.len};
    TRY(read_head_fields(&in, head));
    *taken = len;
    return OK;
}

void stream_mark_append(struct buffer *out, struct stream_mark mark)
{
    codec_put_u64(out, &mark.edge);
    codec_put_u16(out, &mark.thread);
    codec_put_u64(out, &mark.n);
}

status stream_mark_next(slice *marks, struct stream_mark *mark)
{
    if (marks->len < STREAM_MARK_SIZE) return FAIL(END);
    struct codec_reader in = {.at = (const uint8_t *)marks->data,
                              .end = (const uint8_t *)marks->data + STREAM_MARK_SIZE};
    codec_get_u64(&in, &mark->edge);
    codec_get_u16(&in, &mark->thread);
    codec_get_u64(&in, &mark->n);
    *marks = slice_from(*marks, STREAM_MARK_SIZE);
    return OK;
}
