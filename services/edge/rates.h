/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits as a client sees them: headers, and the words for a refusal. What is counted and when
 * it is too much the ledger decides. */
#pragma once

#include "shared/h2o.h"
#include "shared/ipc/message.h"
#include "shared/json/write.h"
#include "shared/slice.h"

/* What HELD said of a rate limit; limit 0: nothing. */
struct rate_shown {
    uint32_t limit;
    uint32_t remaining;
    int64_t resets_ns; /* wall time */
};
struct rate_shown rates_shown(const struct message_held *held);

/* Whether a HELD was refused by a rate limit. */
bool rates_refused(const struct message_held *held);
/* Seconds until it is worth asking again, at least 1. */
uint32_t rates_retry_after_s(const struct message_held *held);

/* X-RateLimit-Limit, -Remaining and -Reset (milliseconds since 1970), where there is a limit. */
void rates_answer_headers(h2o_req_t *http, const struct rate_shown *shown);
/* Members of the envelope's metadata: whose limit, which, and what is left of it. */
void rates_write_refusal(struct json_writer *json, const struct message_held *held);
