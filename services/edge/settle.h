/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that makes the terminal record of a hold. */
#pragma once

#include "services/edge/request.h"

/* How a request ended without a complete answer. */
struct ending {
    status reason;  /* NONE when the client left */
    bool cancelled; /* the client left */
    bool absorbed;  /* a provider may have worked for it */
};
/* RELEASE, or SETTLE of the part a client that left had received. Does nothing without an open
 * hold. */
void settle_ending(struct request *request, const struct ending *ending);
/* The attempt at hand gave some answer, but not to the end: what the provider did is remembered for
 * the record. */
void settle_note_absorbed(struct request *request);
void settle_tick(struct request *request, uint64_t now_ms);
