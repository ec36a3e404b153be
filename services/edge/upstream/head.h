/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent in front of a body: the request's head, put together. Inside of the upstream client
 * only. */
#pragma once

#include "services/edge/upstream/upstream.h"
#include "shared/buffer.h"

/* The head up to and with the empty line. BAD_REQUEST: a line with CR, LF or NUL, or without a
 * colon; a method or path that does not belong into a request line. */
status upstream_head_write(const struct upstream_request *request, struct buffer *head);
size_t upstream_head_len_max(const struct upstream_request *request);
