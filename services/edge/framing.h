/* SPDX-License-Identifier: Apache-2.0 */
/* What must be true of an HTTP/1 request's head before anybody acts on it. The library behind us
 * lets through what two servers in a row can read differently; here is the list of what we refuse,
 * over the raw bytes, because its header list hides repeats. */
#pragma once

#include "shared/slice.h"

#define HEADER_LINE_MAX  ((size_t)32 * 1024)
#define HEADER_TOTAL_MAX ((size_t)64 * 1024)

/* bytes: from the request line on; may go on after the head. BAD_FRAMING: Transfer-Encoding with
 * Content-Length, more than one of Host, Content-Length or Transfer-Encoding, no Host in HTTP/1.1,
 * a folded line, a line without colon. HEADERS_TOO_LARGE. */
status framing_check(slice bytes, bool host_needed);
