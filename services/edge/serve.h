/* SPDX-License-Identifier: Apache-2.0 */
/* The first thing that happens to a request: framing, loops, routes. */
#pragma once

#include "shared/h2o.h"

int serve(h2o_handler_t *handler, h2o_req_t *http);
