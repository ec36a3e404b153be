/* SPDX-License-Identifier: Apache-2.0 */
/* A private PostgreSQL in a scratch directory: one cluster, its superuser is `tester`, nothing is
 * synced to disk. As root it runs as the user postgres, because a server refuses root. Every
 * function aborts the test program on a fault. */
#pragma once

#include "tests/unit/shared/scratch.h"

struct database {
    struct scratch scratch;
    char connection[128]; /* for db_open(), without a user */
};

void database_create(struct database *database); /* and starts it */
void database_start(struct database *database);
void database_stop(struct database *database); /* at once, like a crash */
void database_remove(struct database *database);
