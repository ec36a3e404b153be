/* SPDX-License-Identifier: Apache-2.0 */
/* The usage service's control plane: reports about committed requests. */
#pragma once

#include "services/usage/waiting.h"
#include "shared/config.h"
#include "shared/http/control.h"
#include "shared/id.h"

/* What the handlers get as request->service. */
struct usage_api {
    struct secret generation_key; /* 16 bytes; each request schedules its own cipher, for workers
                                     share nothing else */
    struct waiting waiting;
};

status usage_api_start(const struct config *config, struct token_verifier *verifier,
                       struct control **control);

status generation_read(struct control_request *request, struct control_response *response);
