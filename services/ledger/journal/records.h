/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of the journal: records with a head of their own, and segments with a head each. Pure:
 * nothing here reads or writes a file. The core writes records, recovery and poster read them, and
 * so does the simulator. */
#pragma once

#include "shared/ipc/codec.h"

enum record_type {
#define RECORD(name, number) RECORD_##name = number,
#define FIELD(kind, name)
#define ONLY_WITH(name)
#define END(name)
#include "services/ledger/journal/records.def"
#undef RECORD
#undef FIELD
#undef ONLY_WITH
#undef END
};

#define RECORD(name, number) struct record_##name {
#define FIELD(kind, name)    kind_##kind name;
#define ONLY_WITH(name)
#define END(name) \
    }             \
    ;
#include "services/ledger/journal/records.def"
#undef RECORD
#undef FIELD
#undef ONLY_WITH
#undef END

enum ending_state { ENDING_SETTLED = 1, ENDING_RELEASED = 2, ENDING_ABSORBED = 3 };

/* {u32 length of the whole record, u32 CRC32C of length and all that follows it, u64 seq, u64
 * synced, u16 type} payload. `synced` is the last sequence number known to be on disk when the
 * record was made. It tells a torn tail from a damaged journal: after a power cut a bad record may
 * be followed by valid ones, because pages reach the disk in any order, but no valid record can
 * then say that the bad one had been synced. */
#define RECORD_HEAD_SIZE 26
#define RECORD_SIZE_MAX  2048

struct record {
    uint64_t seq; /* dense per incarnation, from 1 */
    uint64_t synced;
    uint16_t type;
    slice payload;
};

struct record_place {
    uint64_t seq;
    uint64_t synced;
};

/* Append a whole record. Decode: MALFORMED when a field breaks its bound; texts are views of the
 * payload. */
#define RECORD(name, number)                                                 \
    void record_append_##name(struct buffer *out, struct record_place place, \
                              const struct record_##name *record);           \
    status record_decode_##name(slice payload, struct record_##name *record);
#define FIELD(kind, name)
#define ONLY_WITH(name)
#define END(name)
#include "services/ledger/journal/records.def"
#undef RECORD
#undef FIELD
#undef ONLY_WITH
#undef END

/* The meters of a hold and what their leases covered, whichever way the record says it; `room` is
 * for a record from before there were several. */
slice record_hold_meters(const struct record_hold *record, uint8_t room[METER_SHARE_SIZE]);
slice record_ending_meters(const struct record_ending *record, uint8_t room[METER_SHARE_SIZE]);

/* The record at the front of `bytes`, taking *taken bytes. END: a zero length, which is where a
 * segment has not been written yet. MALFORMED: bad length or checksum. OVERFLOW: it goes on past
 * the end of `bytes`. */
status record_next(slice bytes, struct record *record, size_t *taken);

/* ---- segments ---- */

#define SEGMENT_VERSION 1
#define BOOT_ID_SIZE    16

/* What a segment begins with; enough to replay from it when all older segments are gone. */
struct segment_head {
    uint16_t cell;
    uint32_t incarnation;
    uint64_t number;    /* dense per incarnation, from 1 */
    uint64_t first_seq; /* of its first record */
    uint64_t marks_seq; /* next_hold and marks are as after this record; a segment can be begun amid
                           a step's records */
    uint64_t next_hold; /* number the next hold gets */
    uint8_t
        boot_id[BOOT_ID_SIZE]; /* of the machine's start: another one means that no edge survived */
    uint32_t mark_count;
    slice marks; /* mark_count × {u64 edge, u16 thread, u64 n}, read by stream_mark_next() */
};
struct stream_mark {
    uint64_t edge;
    uint16_t thread;
    uint64_t n;
};
#define STREAM_MARK_SIZE 18

/* MALFORMED when magic, version, length or checksum do not fit; END when the segment was prepared
 * but never used. */
void segment_head_append(struct buffer *out, const struct segment_head *head);
status segment_head_read(slice bytes, struct segment_head *head, size_t *taken);
void stream_mark_append(struct buffer *out, struct stream_mark mark);
status stream_mark_next(slice *marks, struct stream_mark *mark); /* END after the last */
