/* SPDX-License-Identifier: Apache-2.0 */
/* The way out for programs without a network: HTTP on run/egress.sock, open to the ledger only. The
 * target's URL stands in x-bourse-target, what it is for in x-bourse-purpose; method, body and a
 * few headers are passed on. An answer of the target comes back with its status and `x-bourse-
 * egress: answered`; anything else says `refused` (nothing was sent) or `failed` (what the target
 * did is unknown). */
#pragma once

#include "shared/status.h"

struct thread;
struct egress;

/* On the loop of this thread. NULL when another edge of this cell serves it. IO, after a line in
 * the log. */
status egress_open(struct thread *thread, struct egress **egress);
/* Takes no more connections; calls in flight end by themselves. NULL is fine. */
void egress_stop(struct egress *egress);
