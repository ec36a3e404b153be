/* SPDX-License-Identifier: Apache-2.0 */
/* Names of things: generation ids, organization ids, request ids, and API keys with their
 * checksum. */
#pragma once

#include "shared/buffer.h"
#include "shared/secret.h"

/* A generation id is a keyed permutation (one AES-128 block) of where the record stands, so it is
 * known with the hold, reveals nothing, and finds its partition and row without an index by id.
 * Text form: "gen-" and 26 lower-case Crockford base32 digits. */
struct generation_place {
    uint16_t day; /* days since 1970-01-01 of the hold */
    uint16_t cell;
    uint32_t incarnation; /* of the ledger's stream */
    uint64_t hold;        /* dense within the incarnation, from 1 */
};
struct generation_id {
    uint8_t bytes[16];
};
#define GENERATION_ID_TEXT_SIZE 30

struct generation_cipher; /* holds the key schedule; one per thread */
status generation_cipher_new(const uint8_t key[16], struct generation_cipher **cipher);
void generation_cipher_free(struct generation_cipher **cipher);
struct generation_id generation_id_seal(struct generation_cipher *cipher,
                                        struct generation_place place);
struct generation_place generation_id_open(struct generation_cipher *cipher,
                                           struct generation_id id);
void generation_id_append(struct buffer *out, struct generation_id id);
/* MALFORMED unless it is exactly the text form. */
status generation_id_parse(slice text, struct generation_id *id);

/* Random ids for rows that people see: prefix + 20 base32 digits ("org-…", "pur-…"). */
void id_append_random(struct buffer *out, slice prefix);

/* API keys: "sk-bourse-v1-" + 43 base62 digits of 256 random bits + 6 base62 digits of a CRC32C
 * over all before them. A random string dies on the checksum without a look-up. The label is the
 * first 16 and the last 4 characters with … between. */
#define KEY_TEXT_LEN 62
#define KEY_PREFIX   "sk-bourse-v1-"
struct key_hash {
    uint8_t bytes[32];
};
void key_generate(struct secret *text);
bool key_checksum_ok(slice text);
/* What the edge sends: BLAKE2b-256(key text). */
struct key_hash key_hash_outer(slice text);
/* What the database stores: BLAKE2b-256 keyed by the pepper over the outer hash. The pepper has 16
 * to 64 bytes; whoever loads it checks that. */
struct key_hash key_hash_stored(const struct secret *pepper, struct key_hash outer);
void key_append_label(struct buffer *out, slice text);
