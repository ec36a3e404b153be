/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that must not leak: guarded pages, wiped on free, no log field kind. Secrets come from
 * files of the credentials directory, never from the configuration, the environment or argv. */
#pragma once

#include "shared/slice.h"

struct secret {
    uint8_t *bytes; /* sodium_malloc'ed */
    size_t len;
};

status secret_init(void); /* once per process: sodium_init, core dumps off */
struct secret secret_new(size_t len);
struct secret secret_copy(slice bytes); /* the caller wipes the source */
void secret_free(struct secret *secret);
/* The whole file, at most size_max bytes; a trailing newline is dropped when text. IO,
 * TOO_LARGE. */
status secret_read_file(const char *path, size_t size_max, bool text, struct secret *secret);
slice secret_slice(const struct secret *secret);
bool secret_equal(slice a, slice b); /* constant time for equal lengths */
