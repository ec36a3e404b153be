/* SPDX-License-Identifier: Apache-2.0 */
/* One request to an operator socket of the running instance. */
#pragma once

#include "shared/buffer.h"

#define HTTP_ANSWER_MAX (256u << 20)

struct http_request {
    const char *service; /* run/<service>-operator.sock below BOURSE_VAR */
    const char *method;
    const char *path; /* with the query */
    slice body;
    slice idempotency_key; /* empty: none is sent */
};

/* BOURSE_VAR or "var"; every command works from there. Prints what to do and fails when there is
 * none. */
status http_enter_instance(void);
/* answer is initialised by the caller. Prints what to do when nobody answers. */
status http_ask(const struct http_request *request, struct buffer *answer, long *http_status);
