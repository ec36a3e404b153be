/* SPDX-License-Identifier: Apache-2.0 */
/* The closed list of statements of a service, read from the text of its statements.sql. Knows no
 * libpq. */
#pragma once

#include "shared/arena.h"

struct db_statement {
    const char *name;
    const char *sql;
    bool is_listen; /* LISTEN cannot be prepared and is said again after a loss of the connection */
};

struct db_statement_list {
    struct db_statement *items; /* ascending by name */
    size_t count;
    struct arena arena;
};

/* CONFIGURATION, after a log line with the name, for a name that is empty, malformed or used twice
 * and for a name without a statement. Text before the first name is a heading and is skipped. */
status db_statements_parse(const char *text, struct db_statement_list *list);
void db_statements_free(struct db_statement_list *list);

/* NULL when there is none of this name. */
const struct db_statement *db_statements_find(const struct db_statement_list *list,
                                              const char *name);
