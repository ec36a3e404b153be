/* SPDX-License-Identifier: Apache-2.0 */
/* A market as the edges get it. */
#pragma once

#include "services/catalog/market.h"

/* Fills market->frames. The frames are the same for every edge, so they are encoded once per
 * revision. OVERFLOW. */
status frames_encode(struct market *market, uint16_t sim_port);
