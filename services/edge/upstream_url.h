/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent in front of a body: a URL taken apart, and the request's head put together.
 * Inside of the upstream client only. */
#pragma once

#include "services/edge/upstream.h"
#include "shared/buffer.h"

struct upstream_url {
    bool tls;
    bool local;      /* unix:PATH:/target */
    slice host;      /* without brackets; the socket's path when local */
    slice authority; /* what the Host header says */
    slice target;    /* path and query; "/" when absent */
    uint16_t port;
};

/* BAD_REQUEST: another scheme, a user part, a port that is none, or characters that do not
 * belong into a request line. */
status upstream_url_parse(slice text, struct upstream_url *url);

/* The head up to and with the empty line. BAD_REQUEST: a line with CR, LF or NUL, or without a
 * colon. */
status upstream_head_write(const struct upstream_request *request, const struct upstream_url *url,
                           struct buffer *head);
size_t upstream_head_len_max(const struct upstream_request *request);
