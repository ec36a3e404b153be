/* SPDX-License-Identifier: Apache-2.0 */
/* POSTs that move money run once per Idempotency-Key: key, request hash, effect and response are
 * committed together, and a repeat is answered with the first response. */
#pragma once

#include "shared/http/control.h"

/* effect runs inside the transaction, may be repeated, writes the answer into response->json and
 * sets http_status. Its failure rolls back and stores nothing. IDEMPOTENCY_MISMATCH when the key
 * was used with another body. */
status idempotency_run(
    struct control_request *request, struct control_response *response, int64_t org, slice scope,
    status (*effect)(struct control_request *, struct control_response *, void *), void *context);
