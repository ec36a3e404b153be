/* SPDX-License-Identifier: Apache-2.0 */
/* libsodium's generator, which needs no seed and aborts by itself if the system has none. */
#include "shared/random.h"

#include <assert.h>
#include <sodium.h>

void random_bytes(void *out, size_t len)
{
    randombytes_buf(out, len);
}

uint64_t random_u64(void)
{
    uint64_t value;
    randombytes_buf(&value, sizeof(value));
    return value;
}

uint32_t random_below(uint32_t bound)
{
    assert(bound > 0);
    return randombytes_uniform(bound);
}
