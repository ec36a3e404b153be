/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 6962 splits a list of n leaves at the largest power of two below n; combining neighbours
 * level by level, where a last one without neighbour moves up as it is, gives the same tree. */
#include "shared/merkle.h"

#include <assert.h>

/* OpenSSL's uses the processor's instructions for SHA-256, where there are any: a row is hashed in
 * a quarter of the time. Its newer interface allocates a context per hash. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

static_assert(MERKLE_HASH_SIZE == SHA256_DIGEST_LENGTH, "SHA-256");

void merkle_leaf(slice row, uint8_t hash[MERKLE_HASH_SIZE])
{
    static const uint8_t prefix = 0x00;
    SHA256_CTX state;
    (void)SHA256_Init(&state);
    (void)SHA256_Update(&state, &prefix, 1);
    (void)SHA256_Update(&state, row.data, row.len);
    (void)SHA256_Final(hash, &state);
}

static void hash_node(const uint8_t *left, const uint8_t *right, uint8_t *node)
{
    static const uint8_t prefix = 0x01;
    SHA256_CTX state;
    (void)SHA256_Init(&state);
    (void)SHA256_Update(&state, &prefix, 1);
    (void)SHA256_Update(&state, left, MERKLE_HASH_SIZE);
    (void)SHA256_Update(&state, right, MERKLE_HASH_SIZE);
    (void)SHA256_Final(node, &state);
}

void merkle_root(uint8_t *leaves, size_t count, uint8_t root[MERKLE_HASH_SIZE])
{
    if (count == 0) {
        (void)SHA256((const uint8_t *)"", 0, root);
        return;
    }
    for (; count > 1; count = (count + 1) / 2) {
        for (size_t i = 0; i + 1 < count; i += 2)
            hash_node(leaves + i * MERKLE_HASH_SIZE, leaves + (i + 1) * MERKLE_HASH_SIZE,
                      leaves + i / 2 * MERKLE_HASH_SIZE);
        if (count % 2 == 1)
            memmove(leaves + count / 2 * MERKLE_HASH_SIZE, leaves + (count - 1) * MERKLE_HASH_SIZE,
                    MERKLE_HASH_SIZE);
    }
    memcpy(root, leaves, MERKLE_HASH_SIZE);
}

static void update_u64(SHA256_CTX *state, uint64_t value)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    (void)SHA256_Update(state, bytes, sizeof(bytes));
}

void merkle_link(const uint8_t previous[MERKLE_HASH_SIZE], uint64_t lo, uint64_t hi,
                 const uint8_t root[MERKLE_HASH_SIZE], uint8_t link[MERKLE_HASH_SIZE])
{
    SHA256_CTX state;
    (void)SHA256_Init(&state);
    (void)SHA256_Update(&state, previous, MERKLE_HASH_SIZE);
    update_u64(&state, lo);
    update_u64(&state, hi);
    (void)SHA256_Update(&state, root, MERKLE_HASH_SIZE);
    (void)SHA256_Final(link, &state);
}
