/* SPDX-License-Identifier: Apache-2.0 */
/* Unpredictable numbers from the operating system by libsodium. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *out, size_t len);
uint64_t random_u64(void);
uint32_t random_below(uint32_t bound); /* uniform in [0, bound), bound > 0 */
