/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that keeps the present market that of PostgreSQL: it listens for changes, of this
 * catalog and of those of other hosts, and looks at the revision every few seconds besides. Without
 * PostgreSQL the last market stays. */
#pragma once

#include "services/catalog/catalog.h"

struct refresh;
status refresh_start(struct catalog *catalog, struct refresh **refresh);
void refresh_stop(struct refresh **refresh); /* within half a second */
