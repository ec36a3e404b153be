/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL as the book of a world: a private server with the real schema, roles and statements.
 * What the ledger does goes through its own store*.c as its own role; what people do, and every
 * look at the books, goes through plain SQL of the superuser. */
#pragma once

#include "tests/unit/ledger/world.h"

struct sql_book;

struct sql_book *sql_book_new(void);
void sql_book_free(struct sql_book **sql);
/* Empty tables, a new stream: for the next world. */
void sql_book_clear(struct sql_book *sql);
extern const struct book sql_book; /* with a struct sql_book as the context */

/* Rows of schema/audit.sql that are no part of the story: printed, counted. Rules named in
 * `expected` (separated by spaces) are left out. */
int sql_book_audit(struct sql_book *sql, const char *expected);
/* One figure of a query. */
int64_t sql_book_number(struct sql_book *sql, const char *query);
void sql_book_run(struct sql_book *sql, const char *statements);

/* The poster's connection, for tests of single calls. */
struct db *sql_book_db(struct sql_book *sql);
uint32_t sql_book_incarnation(const struct sql_book *sql);
const char *sql_book_connection(const struct sql_book *sql);
