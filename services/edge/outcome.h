/* SPDX-License-Identifier: Apache-2.0 */
/* How attempts went, for the catalog and for this process's own view of health. */
#pragma once

#include "services/edge/request.h"

/* Of the attempt at hand. */
void outcome_report(struct request *request, enum attempt_result result, uint32_t total_ms);
