/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's only way to the outside: one HTTP request through the edge, on run/egress.sock.
 * Blocking, with a deadline: for control workers and the janitor, never for a loop. */
#pragma once

#include "shared/buffer.h"

struct egress_request {
    slice method;
    slice target;         /* URL; the edge calls it if egress_allow lists it for the purpose */
    slice purpose;        /* "stripe" */
    const slice *headers; /* whole lines "name: value", without CRLF */
    size_t header_count;
    slice body;
};

/* OK: the target answered, with *http_status and its body. DEADLINE, CLOSED, IO: what the target
 * did is unknown. FORBIDDEN: the edge refused, and nothing was sent. BAD_REQUEST: a header that
 * would end its line. */
status egress_ask(const struct egress_request *request, int *http_status, struct buffer *body);
