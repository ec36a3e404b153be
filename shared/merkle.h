/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes that make posted rows provable: a Merkle tree over a batch's rows (RFC 6962,
 * section 2.1, SHA-256) and one chain of links per stream, so that a row can be shown without
 * another tenant's, and no batch can be changed unnoticed. */
#pragma once

#include "shared/slice.h"

#define MERKLE_HASH_SIZE 32

void merkle_leaf(slice row, uint8_t hash[MERKLE_HASH_SIZE]); /* SHA-256(0x00 ‖ row) */
/* `leaves` (count × 32 bytes) are overwritten. Of none: SHA-256 of nothing. */
void merkle_root(uint8_t *leaves, size_t count, uint8_t root[MERKLE_HASH_SIZE]);
/* SHA-256(previous ‖ lo ‖ hi ‖ root), the numbers as u64 little-endian. */
void merkle_link(const uint8_t previous[MERKLE_HASH_SIZE], uint64_t lo, uint64_t hi,
                 const uint8_t root[MERKLE_HASH_SIZE], uint8_t link[MERKLE_HASH_SIZE]);
