/* SPDX-License-Identifier: Apache-2.0 */
/* Three ways to the same number: four sums side by side by multiplication without carries where the
 * processor has it (64 bytes a step), the SSE 4.2 instruction (8 bytes a step), else a table of 16
 * entries (half a byte a step), small enough to be written out and checked by eye. */
#include "shared/crc32c.h"

#include <stdbool.h>
#include <string.h>

#ifdef __x86_64__
#include <nmmintrin.h>
#include <wmmintrin.h>

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

/* Below this the way there and back takes longer than it saves. */
#define FOLDED_LEN_MIN 192

#define FOLDED         __attribute__((target("sse4.2,pclmul")))

FOLDED static __m128i load(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

/* Moves a sum over as many bits as `by` is made for, to where `next` stands. */
FOLDED static __m128i fold(__m128i sum, __m128i by, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(sum, by, 0x00);
    __m128i high = _mm_clmulepi64_si128(sum, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* A remainder stays what it is when 128 bits of the text are replaced by a multiple of them further
 * on, modulo the polynomial P. For n bits further on, the first 64 are multiplied by x^(n + 31)
 * mod P and the other 64 by x^(n - 33) mod P, both with their bits reversed, as all is here. Four
 * sums do that for themselves, where the instruction for checksums waits for itself. */
FOLDED static uint32_t crc32c_folded(uint32_t seed, const void *bytes, size_t len)
{
    const __m128i by_512 = _mm_set_epi64x(0x9e4addf8, 0x740eef02); /* x^479, x^543 */
    const __m128i by_128 = _mm_set_epi64x(0x493c7d27, 0xf20c0dfe); /* x^95, x^159 */
    const uint8_t *at = bytes;
    __m128i sum = _mm_xor_si128(load(at), _mm_cvtsi32_si128((int)~seed));
    __m128i second = load(at + 16);
    __m128i third = load(at + 32);
    __m128i fourth = load(at + 48);
    for (at += 64, len -= 64; len >= 64; at += 64, len -= 64) {
        sum = fold(sum, by_512, load(at));
        second = fold(second, by_512, load(at + 16));
        third = fold(third, by_512, load(at + 32));
        fourth = fold(fourth, by_512, load(at + 48));
    }
    sum = fold(fold(fold(sum, by_128, second), by_128, third), by_128, fourth);
    uint64_t wide = _mm_crc32_u64(0, (uint64_t)_mm_extract_epi64(sum, 0));
    wide = _mm_crc32_u64(wide, (uint64_t)_mm_extract_epi64(sum, 1));
    return crc32c_sse42(~(uint32_t)wide, at, len);
}
#endif

uint32_t crc32c(uint32_t seed, const void *bytes, size_t len)
{
#ifdef __x86_64__
    bool folds = len >= FOLDED_LEN_MIN && __builtin_cpu_supports("pclmul");
    if (folds && __builtin_cpu_supports("sse4.2")) return crc32c_folded(seed, bytes, len);
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
