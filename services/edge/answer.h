/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that fit in one piece: JSON bodies and the error envelope. The only place that writes an
 * error to a client before the first byte of an answer. */
#pragma once

#include "shared/h2o.h"
#include "shared/ipc/message.h"
#include "shared/slice.h"

/* What one provider did before the request failed for good. */
struct previous_error {
    slice provider;
    uint16_t code; /* HTTP status that its failure stands for */
};

/* What the envelope is made of. Empty members are left out. */
struct failure {
    status cause;
    slice message; /* instead of the error's own sentence */
    slice field;   /* of the request, that was at fault */
    slice generation;
    slice provider;
    const struct message_held *refusal; /* 402, 429: what the ledger said */
    const struct previous_error *previous;
    size_t previous_count;
    uint32_t retry_after_s; /* 0: none, but 503 always says 1 at least */
};

/* Adds the request's id; call once, before anything is answered. */
void answer_identify(h2o_req_t *http, slice request_id);
/* A header whose value we made or checked; CR, LF and NUL are dropped with the rest of the value.
 * Name and value must stay until the answer is over: literals, memory of the request or of its
 * pool. */
void answer_header(h2o_req_t *http, slice name, slice value);
/* The same for a value that does not stay. */
void answer_header_copied(h2o_req_t *http, slice name, slice value);
/* Lets the page of any origin that asks read this answer; there are no cookies that it could
 * betray. */
void answer_share(h2o_req_t *http);
/* What a browser asks before it sends a request of another origin; methods: "GET, HEAD". */
void answer_preflight(h2o_req_t *http, slice methods);
/* With 401: how to identify oneself. */
void answer_challenge(h2o_req_t *http);
void answer_body(h2o_req_t *http, int http_status, slice content_type, slice body);
void answer_failure(h2o_req_t *http, const struct failure *failure);
/* The envelope alone. */
void failure_append(struct buffer *out, const struct failure *failure);
/* For what the library answers by itself (a body that is too large): its plain text becomes the
 * envelope. */
void answer_install_filter(h2o_pathconf_t *path);
