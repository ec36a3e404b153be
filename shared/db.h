/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL by libpq: one connection per thread, statements prepared by name from a service's
 * statements.sql, typed parameters and columns, bounded retry of serialization failures and
 * deadlocks. The only file besides each service's store.c that knows libpq. Blocking: never called
 * on an event loop. */
#pragma once

#include "shared/arena.h"
#include "shared/money.h"
#include "shared/clock.h"

struct db;
struct db_result;

/* statements.sql holds `-- name: find_key` lines, each followed by one statement. The text is
 * linked into the program (the Makefile embeds it); names are looked up once at connect. */
struct db_statements {
    const char *text; /* of the whole file, NUL-terminated */
};

/* Connects lazily and again after a loss; `role` is the PostgreSQL role (bourse_ledger …). */
status db_open(const char *connection, const char *role, const struct db_statements *statements,
               struct db **db);
void db_close(struct db **db);
bool db_is_connected(const struct db *db);
/* For connections that serve many: a statement waits at most 5 s for a lock and runs at most 30 s,
 * then it is DATABASE. Holds from the next connect on. */
void db_bound_waits(struct db *db);
/* For a connection that updates many rows at once: joins go through the outer rows one by one, so
 * an `update … from unnest(…)` locks its rows in the order of the arrays, without a lock of its own
 * before; and so many bytes of parameters have their memory for good. Instead of bounded waits.
 * Before the first statement. */
void db_serve_batches(struct db *db, size_t parameters_size);

/* Parameters. Scalars are sent as text and take the type the statement gives them; arrays are sent
 * in binary, so the statement says $1::bigint[], $1::bytea[] or $1::text[]. An empty slice is an
 * empty value, never NULL: nullif($1, '') where NULL is meant. */
struct db_param {
    enum {
        DB_NULL,
        DB_I64,
        DB_BOOL,
        DB_TEXT,
        DB_BYTES,
        DB_I64_ARRAY,
        DB_BYTES_ARRAY,
        DB_TEXT_ARRAY
    } kind;
    int64_t number;
    slice bytes;
    const int64_t *numbers; /* arrays: count items */
    const slice *items;
    size_t count;
};
#define DB_P_NULL            ((struct db_param){.kind = DB_NULL})
#define DB_P_I64(v)          ((struct db_param){.kind = DB_I64, .number = (int64_t)(v)})
#define DB_P_MONEY(v)        ((struct db_param){.kind = DB_I64, .number = (v).nano})
#define DB_P_BOOL(v)         ((struct db_param){.kind = DB_BOOL, .number = (v)})
#define DB_P_TEXT(v)         ((struct db_param){.kind = DB_TEXT, .bytes = (v)})
#define DB_P_BYTES(v)        ((struct db_param){.kind = DB_BYTES, .bytes = (v)})
#define DB_P_I64_ARRAY(v, n) ((struct db_param){.kind = DB_I64_ARRAY, .numbers = (v), .count = (n)})
#define DB_P_BYTES_ARRAY(v, n) \
    ((struct db_param){.kind = DB_BYTES_ARRAY, .items = (v), .count = (n)})
#define DB_P_TEXT_ARRAY(v, n) ((struct db_param){.kind = DB_TEXT_ARRAY, .items = (v), .count = (n)})

/* Runs one prepared statement. DATABASE when the connection is lost (reconnects at the next call),
 * DATABASE_CONFLICT for unique violations, DATABASE_CHECK for check/foreign-key/raised-exception
 * violations, BAD_REQUEST for text with a NUL or that is not UTF-8, INTERNAL for the rest. Outside
 * a transaction serialization failures and deadlocks are retried up to DB_RETRIES_MAX times.
 * result may be NULL. */
#define DB_RETRIES_MAX        8
#define DB_PARAMETERS_MAX     64 /* of one statement; more is a fault of the caller */
status db_run(struct db *db, const char *statement, const struct db_param *params, size_t count,
              struct db_result **result);
/* "" when the last call succeeded or the connection was lost */
const char *db_last_sqlstate(const struct db *db);

/* For bodies of transactions: sends a statement without waiting for its answer, so that several
 * cost one way to the server and back. They run in order, and after a failure none of the rest
 * does. The answers come with db_receive(), with the next db_run(), or with the COMMIT: until then
 * `params` need not live on, but `result` must, and with one, none of them may be left to the
 * COMMIT. db_receive: the first failure, by the words of db_run(); *result of what succeeded before
 * is set. Only for statements with short answers: those wait in the socket while more is sent. */
#define DB_SENT_MAX 12 /* before the answers are asked for */
status db_send(struct db *db, const char *statement, const struct db_param *params, size_t count,
               struct db_result **result);
status db_receive(struct db *db);

/* body runs between BEGIN and COMMIT; its failure rolls back. The whole is repeated on
 * serialization failure or deadlock. org != 0 sets `bourse.org` for row level security. An unknown
 * commit outcome (connection lost during COMMIT) is DATABASE. */
status db_transaction(struct db *db, int64_t org, status (*body)(struct db *db, void *context),
                      void *context);

/* Results: valid until freed; slices point into the result. NULL columns read as 0 / empty,
 * db_is_null tells. */
size_t db_row_count(const struct db_result *result);
bool db_is_null(const struct db_result *result, size_t row, size_t column);
int64_t db_i64(const struct db_result *result, size_t row, size_t column);
money db_money(const struct db_result *result, size_t row, size_t column);
bool db_bool(const struct db_result *result, size_t row, size_t column);
slice db_text(const struct db_result *result, size_t row, size_t column);
slice db_bytes(const struct db_result *result, size_t row, size_t column); /* bytea, decoded */
/* select extract(epoch…)*1e9 ::int8 */
wall_time db_time(const struct db_result *result, size_t row, size_t column);
int64_t db_affected(const struct db_result *result);
void db_result_free(struct db_result **result);

/* LISTEN: wait up to timeout_ms for a notification on the channels listened to (by statements). END
 * on timeout. DATABASE when notifications may have been missed: the connection was lost, or is new
 * again and listens again by itself. Read again what they are about. */
status db_wait_notification(struct db *db, int64_t timeout_ms, struct arena *arena, slice *channel,
                            slice *payload);
