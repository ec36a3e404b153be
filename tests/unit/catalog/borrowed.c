/* SPDX-License-Identifier: Apache-2.0 */
/* Support files are linked per directory; the scratch directory and the private PostgreSQL are
 * those of the shared tests. */
#include "tests/unit/shared/scratch.c"

#include "tests/unit/shared/database.c"
