// SPDX-License-Identifier: Apache-2.0
// The journal's files as bytes (services/ledger/journal/records.h).
const HEAD_LENGTH_AT = 8; // of a segment: behind its magic
const FIRST_SEQUENCE_AT = 32;
const SEQUENCE_AT = 8; // of a record
const TYPE_AT = 24;

export const RECORD_HEAD = 26; // {u32 length, u32 checksum, u64 sequence number, u64 synced, u16 type}
export const ENDING = 2; // records.def

/** The records of a segment, from `at` to `end` each. One that was prepared and never used has none. */
export function* recordsOf(bytes) {
  let sequence = bytes.readBigUInt64LE(FIRST_SEQUENCE_AT);
  let at = bytes.readUInt32LE(HEAD_LENGTH_AT);
  if (at === 0) return;
  while (at + RECORD_HEAD <= bytes.length && bytes.readBigUInt64LE(at + SEQUENCE_AT) === sequence) {
    const end = at + bytes.readUInt32LE(at);
    yield { at, end, sequence, type: bytes.readUInt16LE(at + TYPE_AT) };
    at = end;
    sequence++;
  }
}
