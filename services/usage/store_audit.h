/* SPDX-License-Identifier: Apache-2.0 */
/* One run of schema/audit.sql as the reading role, on a connection of its own. It can be left in
 * the middle, so it is a few steps that wait for a descriptor instead of one call that blocks. */
#pragma once

#include "shared/slice.h"

struct store_audit;

/* NULL: no connection; logged. */
struct store_audit *store_audit_begin(const char *database);
int store_audit_descriptor(const struct store_audit *audit); /* readable: go on */

enum audit_progress { AUDIT_WAITS, AUDIT_ENDED, AUDIT_FAILED /* logged */ };
/* Takes what has arrived; `found` is called per violation. */
enum audit_progress store_audit_go_on(struct store_audit *audit,
                                      void (*found)(void *context, slice rule, slice detail),
                                      void *context);
void store_audit_end(struct store_audit **audit); /* what still runs is cancelled */
