/* SPDX-License-Identifier: Apache-2.0 */
/* The books checked by a timer: a thread that runs schema/audit.sql each audit_interval, sets the
 * metrics audit_violations and audit_age_seconds, and logs a line per violation. */
#pragma once

#include "shared/config.h"

struct audit;

struct audit *audit_start(const struct config *config); /* which must outlive it */
void audit_stop(struct audit **audit);                  /* an audit that runs is broken off */
