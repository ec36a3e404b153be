/* SPDX-License-Identifier: Apache-2.0 */
/* The core's thread: one event loop for the edge's connections and the inbox. It turns frames into
 * events and actions into frames, and keeps the one order that matters: the records of a turn are
 * written before any of its answers leaves. */
#pragma once

#include "services/ledger/ledger.h"

/* Serves run/ledger-ipc.sock. */
status front_open(struct ledger *ledger, struct front **front);
/* Until SIGTERM or SIGINT, and then until no hold is open and no lease is out, or a bounded time is
 * over. */
void front_run(struct front *front);
void front_free(struct front **front);
