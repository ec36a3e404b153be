/* SPDX-License-Identifier: Apache-2.0 */
/* The private PostgreSQL of the tests of shared/, compiled here once more: support files are linked
 * by directory. */
#include "tests/unit/shared/database.c" // NOLINT(bugprone-suspicious-include)
#include "tests/unit/shared/scratch.c"  // NOLINT(bugprone-suspicious-include)
