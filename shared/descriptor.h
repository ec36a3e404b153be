/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors that close themselves, and whole files read at a start. Blocking: never in an
 * event loop. */
#pragma once

#include "shared/buffer.h"

/* SCOPED(descriptor_close) int fd = open(…); a negative one is not open. TAKE is for pointers:
 * write -1 to keep it. */
void descriptor_close(const int *fd);

/* Appends the file to the buffer. IO with errno set; OVERFLOW when it is larger than the buffer's
 * room. The bytes go straight into the buffer's memory, so a secret's file leaves no second
 * copy. */
status descriptor_read_file(const char *path, struct buffer *out);
