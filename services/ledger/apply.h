/* SPDX-License-Identifier: Apache-2.0 */
/* How a change made by the control plane reaches the core before the API answers. Called on worker
 * threads after their commit; each blocks until the core's thread took the change (≤ 1 s, else
 * DEADLINE: the core catches up by itself at the next reload). */
#pragma once

#include "shared/id.h"
#include "shared/money.h"

struct ledger;
struct plan_terms;

/* A key was created, changed, disabled or deleted: the core forgets the caller with this hash and
 * loads it anew when it next calls; limits of its meters are re-read. A key with two secrets is two
 * callers. */
status apply_key_changed(struct ledger *ledger, int64_t org, struct key_hash stored);
/* A limit of a member, a workspace or the organization was set or taken away: as above, for all its
 * keys. */
status apply_limits_changed(struct ledger *ledger, int64_t org);
/* What a plan says of holds was changed: as it says now, from the next hold of any key on. One that
 * is assigned is a change of the organization's limits. */
status apply_plan_changed(struct ledger *ledger, const struct plan_terms *plan);
/* Credit was added or the account frozen: waiting and refused holds are tried against the new
 * balance. */
status apply_credit_changed(struct ledger *ledger, int64_t org);
/* Credit is to go back to whoever paid: what no hold needs of the lease is returned now. *held (may
 * be NULL): what stays. The return is in PostgreSQL a little later. */
status apply_credit_recall(struct ledger *ledger, int64_t org, money *held);

/* Reading one's own writes: wait until the poster passed the journal's head as it is now. false
 * after wait_ms (answer with X-Bourse-As-Of). */
bool apply_wait_posted(struct ledger *ledger, int64_t wait_ms);
/* What is held right now for an account (display only). */
status apply_read_held(struct ledger *ledger, int64_t org, money *held);
/* Requests of free models today, those that run included. */
status apply_read_free_requests(struct ledger *ledger, int64_t org, int64_t *requests);
