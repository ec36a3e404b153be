/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's stream to the catalog: thread 0's receives the market and the health of endpoints
 * for all; every thread's asks for provider keys and reports how attempts went. */
#pragma once

#include "shared/ipc/peer.h"

struct thread;
struct catalog_link;
struct catalog_link *catalog_link_new(struct thread *thread);
void catalog_link_free(struct catalog_link **link);
bool catalog_ready(const struct catalog_link *link);
uint64_t catalog_call(struct catalog_link *link, struct peer_call call, struct buffer **out);
/* Dropped when the catalog is not there. */
void catalog_outcome(struct catalog_link *link, const struct message_outcome *outcome);
