/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): finds accidents in journal records and typing errors
 * in API keys; it is no protection against intent. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Start with seed 0. Chains: crc32c(crc32c(0, a), b) is the checksum of a followed by b. */
uint32_t crc32c(uint32_t seed, const void *bytes, size_t len);

/* The same without the processor's instruction; crc32c() falls back to it. */
uint32_t crc32c_portable(uint32_t seed, const void *bytes, size_t len);
