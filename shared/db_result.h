/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the database client: an answer as libpq has it. Its columns are read by shared/db.h. */
#pragma once

#include <libpq-fe.h>

#include "shared/arena.h"
#include "shared/db.h"

struct db_result {
    PGresult *pg;
    struct arena arena; /* decoded bytes */
};

/* Takes `pg`. */
struct db_result *db_result_of(PGresult *pg);
