/* SPDX-License-Identifier: Apache-2.0 */
/* Trying candidates in order until one answers. */
#pragma once

#include "services/edge/request.h"

/* The provider's key was opened, or not. */
void attempt_key_ready(struct request *request, status result, slice key);
/* Stops what runs. Idempotent. */
void attempt_drop(struct request *request);
/* Ends the attempt with this result and tells health and the catalog. */
void attempt_close(struct request *request, enum attempt_result result);
/* Whether the provider may have worked for an answer nobody pays for. */
bool attempt_may_have_served(const struct request *request);
