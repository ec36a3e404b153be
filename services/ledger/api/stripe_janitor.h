/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that asks Stripe again about purchases and refunds whose outcome is not known: events
 * may be lost, and this is what makes up for them. With or without Stripe it pays debts from credit
 * that has come since. */
#pragma once

#include "shared/db.h"

struct api;
struct stripe_janitor;

status stripe_janitor_start(struct api *api, const struct db_statements *statements,
                            struct stripe_janitor **janitor);
void stripe_janitor_stop(struct stripe_janitor **janitor); /* waits for a call under way */
