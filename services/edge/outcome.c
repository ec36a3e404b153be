/* SPDX-License-Identifier: Apache-2.0 */
/* Reports, and the last step: the bill goes out with the answer's end. */
#include "services/edge/outcome.h"

#include "services/edge/catalog_link.h"
#include "services/edge/edge.h"
#include "services/edge/relay.h"
#include "services/edge/thread.h"
#include "shared/metrics.h"

void outcome_report(struct request *request, enum attempt_result result, uint32_t total_ms)
{
    const struct attempt *attempt = &request->attempt;
    const struct message_outcome message = {
        .endpoint = attempt->endpoint->id,
        .result = (uint8_t)result,
        .http_status = (uint16_t)attempt->http_status,
        .first_byte_ms = attempt->first_byte_ms,
        .total_ms = total_ms,
        .output_tokens =
            request->usage.units[BILLING_completion] + request->usage.units[BILLING_reasoning],
    };
    catalog_outcome(request->thread->catalog, &message);
    uint32_t retry_after_ms = 0;
    if (attempt->retry_after_ms > 0)
        retry_after_ms =
            attempt->retry_after_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)attempt->retry_after_ms;
    health_board_observe(request->thread->edge->health, attempt->endpoint->id, result,
                         thread_now_ms(request->thread), retry_after_ms);
}

enum step_result step_outcome(struct request *request)
{
    metric_add(requests_completed_total, 1);
    request->over = true;
    relay_finish(request);
    return STEP_OVER;
}
