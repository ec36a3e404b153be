/* SPDX-License-Identifier: Apache-2.0 */
/* Two ways to the same number: the SSE 4.2 instruction where the processor has it (8 bytes a step),
 * else a table of 16 entries (half a byte a step), small enough to be written out and checked by
 * eye. */
#include "shared/crc32c.h"

#include <string.h>

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t seed, const void *bytes,
                                                               size_t len)
{
    const uint8_t *at = bytes;
    uint64_t wide = (uint32_t)~seed;
    for (; len >= sizeof(uint64_t); at += sizeof(uint64_t), len -= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        wide = _mm_crc32_u64(wide, word);
    }
    uint32_t crc = (uint32_t)wide;
    for (; len > 0; at++, len--) {
        crc = _mm_crc32_u8(crc, *at);
    }
    return ~crc;
}
#endif

uint32_t crc32c(uint32_t seed, const void *bytes, size_t len)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) return crc32c_sse42(seed, bytes, len);
#endif
    return crc32c_portable(seed, bytes, len);
}

uint32_t crc32c_portable(uint32_t seed, const void *bytes, size_t len)
{
    /* Entry i is i shifted out of four zero bits through the reflected polynomial 0x82F63B78. */
    static const uint32_t table[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
        0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
        0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
    };
    const uint8_t *at = bytes;
    uint32_t crc = ~seed;
    for (; len > 0; at++, len--) {
        crc ^= *at;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
