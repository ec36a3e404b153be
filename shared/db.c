/* SPDX-License-Identifier: Apache-2.0 */
/* One libpq connection used by one thread: connect, prepare by name, run, repeat what PostgreSQL
 * asks to repeat. Decides which SQLSTATE is which status; knows no statement by heart but BEGIN,
 * COMMIT, ROLLBACK and the setting for row level security. What need not be waited for goes out
 * with what follows (libpq's pipeline mode): BEGIN always, statements by db_send(). The
 * complication is what a lost connection means: nothing is repeated by itself once a statement may
 * have run, but an idle connection is looked at before it is used. */
#include "shared/db.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "shared/daemon.h"
#include "shared/db_arrays.h"
#include "shared/db_result.h"
#include "shared/db_statements.h"
#include "shared/log.h"
#include "shared/random.h"

#define PARAMETER_SIZE_MAX ((size_t)64 << 20)
#define CONNECT_PAUSE_MS \
    100 /* between two attempts, so that a thread does not spin on a dead server */
#define BOUNDED_WAITS      "-c lock_timeout=5s -c statement_timeout=30s"
#define SQLSTATE_SIZE      6
/* Each may be prepared first; BEGIN, the organization, COMMIT. */
#define PENDING_MAX        (2 * DB_SENT_MAX + 3)
#define LOCK_NOT_AVAILABLE "55P03"
#define QUERY_CANCELED     "57014"
#define BACKOFF_MS_MAX     64

static const char kept_order[] = "-c enable_hashjoin=off -c enable_mergejoin=off";

/* Something sent whose answer was not read yet. */
struct pending {
    const char *what;
    struct db_result **result; /* NULL: nobody wants to see it */
    bool *prepared;            /* of a preparation: what to take back when it fails */
};

struct db {
    char *connection;
    char *role;
    struct db_statement_list statements;
    bool *prepared; /* per statement, on the present connection */
    bool *listens;  /* per statement: said on every new connection */
    PGconn *pg;     /* NULL: not connected */
    uint64_t connect_after_ms;
    const char *options; /* of a session: db_bound_waits, db_serve_batches; NULL */
    bool in_transaction;
    bool repeat; /* a serialization failure or a deadlock: doing it again may succeed */
    bool notifications_missed;
    char sqlstate[SQLSTATE_SIZE];
    struct arena arena; /* parameters of one call */
    struct pending pending[PENDING_MAX];
    size_t pending_count; /* not 0: libpq is in pipeline mode */
};

/* A statement's parameters as libpq wants them. */
struct parameters {
    const char *values[DB_PARAMETERS_MAX];
    int lengths[DB_PARAMETERS_MAX];
    int formats[DB_PARAMETERS_MAX]; /* 0 text, 1 binary */
};

static status connect_if_needed(struct db *db);
static status connect_now(struct db *db);
static void disconnect(struct db *db);
static bool lost_while_idle(struct db *db);
static status run_once(struct db *db, const struct db_statement *statement,
                       const struct parameters *parameters, size_t count,
                       struct db_result **result);
static status prepare(struct db *db, const struct db_statement *statement);
static status hand_over(status done, PGresult *pg, struct db_result **result);
static status run_plain(struct db *db, const char *sql);
static status send_statement(struct db *db, const struct db_statement *statement,
                             const struct parameters *parameters, size_t count,
                             struct db_result **result);
static status send_plain(struct db *db, const char *sql, const char *value,
                         struct db_result **result);
static status collect(struct db *db);
static status transaction_once(struct db *db, int64_t org,
                               status (*body)(struct db *db, void *context), void *context);
static status transaction_begin(struct db *db, int64_t org);
static status transaction_commit(struct db *db);
static status set_parameters(struct db *db, const struct db_param *params, size_t count,
                             struct parameters *parameters);
static status set_parameter(struct arena *arena, const struct db_param *param,
                            struct parameters *parameters, size_t i);
static status classify(struct db *db, const PGresult *pg, const char *what);
static status status_of_sqlstate(const char *sqlstate);
static void back_off(int attempt);
static void sleep_ms(int64_t ms);
static void ignore_notice(void *context, const char *message);

status db_open(const char *connection, const char *role, const struct db_statements *statements,
               struct db **out)
{
    SCOPED(db_close) struct db *db = calloc(1, sizeof(*db));
    if (db == NULL) abort();
    db->connection = strdup(connection);
    db->role = strdup(role);
    if (db->connection == NULL || db->role == NULL) abort();
    arena_init(&db->arena, PARAMETER_SIZE_MAX);
    TRY(db_statements_parse(statements->text, &db->statements));
    db->prepared = calloc(db->statements.count + 1, sizeof(db->prepared[0]));
    db->listens = calloc(db->statements.count + 1, sizeof(db->listens[0]));
    if (db->prepared == NULL || db->listens == NULL) abort();
    *out = TAKE(db);
    return OK;
}

void db_close(struct db **pointer)
{
    struct db *db = TAKE(*pointer);
    if (db == NULL) return;
    disconnect(db);
    db_statements_free(&db->statements);
    arena_free(&db->arena);
    free(db->prepared);
    free(db->listens);
    free(db->connection);
    free(db->role);
    free(db);
}

void db_bound_waits(struct db *db)
{
    db->options = BOUNDED_WAITS;
}

void db_serve_batches(struct db *db, size_t parameters_size)
{
    db->options = kept_order;
    arena_reserve(&db->arena, parameters_size);
}

bool db_is_connected(const struct db *db)
{
    return db->pg != NULL && PQstatus(db->pg) == CONNECTION_OK;
}

const char *db_last_sqlstate(const struct db *db)
{
    return db->sqlstate;
}

/* ---- statements ------------------------------------------------------------------------------ */

static status find_statement(struct db *db, const char *name, const struct db_statement **statement,
                             struct db_result **result)
{
    if (result != NULL) *result = NULL;
    db->sqlstate[0] = '\0';
    *statement = db_statements_find(&db->statements, name);
    if (*statement != NULL) return OK;
    log_error("statement_unknown", FN(name, statement, slice_of(name)));
    return FAIL(INTERNAL);
}

status db_run(struct db *db, const char *name, const struct db_param *params, size_t count,
              struct db_result **result)
{
    const struct db_statement *statement;
    TRY(find_statement(db, name, &statement, result));
    struct parameters parameters = {0};
    TRY(set_parameters(db, params, count, &parameters));
    if (db->pending_count > 0) {
        TRY(send_statement(db, statement, &parameters, count, result));
        return collect(db);
    }
    if (db->in_transaction) return run_once(db, statement, &parameters, count, result);
    for (int attempt = 0;; attempt++) {
        TRY(connect_if_needed(db));
        status done = run_once(db, statement, &parameters, count, result);
        if (status_ok(done) || !db->repeat || attempt == DB_RETRIES_MAX) return done;
        back_off(attempt);
    }
}

/* Alone, and not in a pipeline of one: a rule that is checked at the end of the statement's own
 * transaction would fail behind its answer there, and here is its answer. */
static status run_once(struct db *db, const struct db_statement *statement,
                       const struct parameters *parameters, size_t count, struct db_result **result)
{
    if (!db->in_transaction) db->repeat = false;
    if (db->pg == NULL) return FAIL(DATABASE); /* lost in the middle of a transaction */
    PGresult *pg;
    if (statement->is_listen) {
        pg = PQexec(db->pg, statement->sql);
        db->listens[statement - db->statements.items] = true;
    } else {
        TRY(prepare(db, statement));
        pg = PQexecPrepared(db->pg, statement->name, (int)count, parameters->values,
                            parameters->lengths, parameters->formats, 0);
    }
    status done = classify(db, pg, statement->name);
    return hand_over(done, pg, result);
}

/* Takes `pg`. */
static status hand_over(status done, PGresult *pg, struct db_result **result)
{
    if (status_ok(done) && result != NULL)
        *result = db_result_of(pg);
    else
        PQclear(pg);
    return done;
}

static status prepare(struct db *db, const struct db_statement *statement)
{
    bool *prepared = &db->prepared[statement - db->statements.items];
    if (*prepared) return OK;
    PGresult *pg = PQprepare(db->pg, statement->name, statement->sql, 0, NULL);
    status done = classify(db, pg, statement->name);
    PQclear(pg);
    *prepared = status_ok(done);
    return done;
}

/* Only for texts of this file. */
static status run_plain(struct db *db, const char *sql)
{
    if (db->pg == NULL) return FAIL(DATABASE);
    PGresult *pg = PQexec(db->pg, sql);
    status done = classify(db, pg, sql);
    PQclear(pg);
    return done;
}

/* ---- several at once ------------------------------------------------------------------------- */

status db_send(struct db *db, const char *name, const struct db_param *params, size_t count,
               struct db_result **result)
{
    assert(db->in_transaction);
    const struct db_statement *statement;
    TRY(find_statement(db, name, &statement, result));
    struct parameters parameters = {0};
    TRY(set_parameters(db, params, count, &parameters));
    return send_statement(db, statement, &parameters, count, result);
}

status db_receive(struct db *db)
{
    db->sqlstate[0] = '\0';
    return db->pg == NULL ? FAIL(DATABASE) : collect(db);
}

static status begin_sending(struct db *db)
{
    if (db->pg == NULL) return FAIL(DATABASE);
    if (db->pending_count > 0 || PQenterPipelineMode(db->pg) == 1) return OK;
    disconnect(db);
    return FAIL(DATABASE);
}

/* libpq copies what it sends. */
static status sent(struct db *db, int done, struct pending pending)
{
    assert(db->pending_count < PENDING_MAX);
    db->pending[db->pending_count++] = pending;
    if (done == 1) return OK;
    disconnect(db);
    return FAIL(DATABASE);
}

static status send_statement(struct db *db, const struct db_statement *statement,
                             const struct parameters *parameters, size_t count,
                             struct db_result **result)
{
    assert(!statement->is_listen);
    TRY(begin_sending(db));
    bool *prepared = &db->prepared[statement - db->statements.items];
    if (!*prepared) {
        *prepared = true;
        TRY(sent(db, PQsendPrepare(db->pg, statement->name, statement->sql, 0, NULL),
                 (struct pending){.what = statement->name, .prepared = prepared}));
    }
    return sent(db,
                PQsendQueryPrepared(db->pg, statement->name, (int)count, parameters->values,
                                    parameters->lengths, parameters->formats, 0),
                (struct pending){.what = statement->name, .result = result});
}

/* Only for texts of this file; `value` may be NULL. */
static status send_plain(struct db *db, const char *sql, const char *value,
                         struct db_result **result)
{
    TRY(begin_sending(db));
    const char *values[] = {value};
    return sent(db,
                PQsendQueryParams(db->pg, sql, value == NULL ? 0 : 1, NULL, values, NULL, NULL, 0),
                (struct pending){.what = sql, .result = result});
}

/* What follows a failure was not run. A connection that is lost has no more answers. */
static status collect_one(struct db *db, const struct pending *pending, status before)
{
    if (db->pg == NULL) return before;
    PGresult *pg = PQgetResult(db->pg);
    bool run = PQresultStatus(pg) != PGRES_PIPELINE_ABORTED;
    status done = run ? classify(db, pg, pending->what) : before;
    if (pending->prepared != NULL && !status_ok(done)) *pending->prepared = false;
    (void)hand_over(done, pg, pending->result);
    if (db->pg != NULL) PQclear(PQgetResult(db->pg)); /* NULL: the end of this one's answer */
    return status_ok(before) ? done : before;
}

/* All of it is on its way afterwards, and the end after which the server answers. */
static status send_all(struct db *db)
{
    if (PQpipelineSync(db->pg) == 1) return OK;
    disconnect(db);
    return FAIL(DATABASE);
}

/* The first failure counts. */
static status collect_all(struct db *db)
{
    status done = OK;
    for (size_t i = 0; i < db->pending_count; i++)
        done = collect_one(db, &db->pending[i], done);
    db->pending_count = 0;
    if (db->pg == NULL) return done;
    PGresult *end = PQgetResult(db->pg);
    bool ended = PQresultStatus(end) == PGRES_PIPELINE_SYNC;
    PQclear(end);
    if (ended && PQexitPipelineMode(db->pg) == 1) return done;
    disconnect(db);
    return FAIL(DATABASE);
}

static status collect(struct db *db)
{
    if (db->pending_count == 0) return OK;
    TRY(send_all(db));
    return collect_all(db);
}

/* Of a body that gave up: nobody is there any more to see them. */
static void collect_unseen(struct db *db)
{
    for (size_t i = 0; i < db->pending_count; i++)
        db->pending[i].result = NULL;
    (void)collect(db);
}

/* ---- transactions ---------------------------------------------------------------------------- */

status db_transaction(struct db *db, int64_t org, status (*body)(struct db *db, void *context),
                      void *context)
{
    assert(!db->in_transaction);
    db->sqlstate[0] = '\0';
    for (int attempt = 0;; attempt++) {
        TRY(connect_if_needed(db));
        db->repeat = false;
        db->in_transaction = true;
        status done = transaction_once(db, org, body, context);
        db->in_transaction = false;
        if (status_ok(done) || !db->repeat || attempt == DB_RETRIES_MAX) return done;
        back_off(attempt);
    }
}

static status transaction_once(struct db *db, int64_t org,
                               status (*body)(struct db *db, void *context), void *context)
{
    TRY(transaction_begin(db, org));
    status done = body(db, context);
    if (status_ok(done)) done = transaction_commit(db);
    if (status_ok(done) || db->pg == NULL) return done;
    /* The reason is the body's; what comes after it must not hide it. */
    char sqlstate[SQLSTATE_SIZE];
    bool repeat = db->repeat;
    memcpy(sqlstate, db->sqlstate, sizeof(sqlstate));
    collect_unseen(db);
    bool open = db->pg != NULL && PQtransactionStatus(db->pg) != PQTRANS_IDLE;
    if (open && !status_ok(run_plain(db, "ROLLBACK"))) disconnect(db);
    memcpy(db->sqlstate, sqlstate, sizeof(sqlstate));
    db->repeat = repeat;
    return done;
}

/* Goes out with the first statement. */
static status transaction_begin(struct db *db, int64_t org)
{
    TRY(send_plain(db, "BEGIN", NULL, NULL));
    if (org == 0) return OK;
    char text[24]; /* 20 characters of INT64_MIN and a NUL */
    struct buffer digits;
    buffer_init_fixed(&digits, text, sizeof(text));
    buffer_append_i64(&digits, org);
    buffer_append_char(&digits, '\0');
    return send_plain(db, "SELECT set_config('bourse.org', $1, true)", text, NULL);
}

/* COMMIT of a transaction in which a statement failed succeeds and says ROLLBACK. One that goes out
 * with others is not run after a failure of theirs. */
static status transaction_commit(struct db *db)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    bool repeat = db->repeat;
    db->repeat = false;
    for (size_t i = 0; i < db->pending_count; i++)
        assert(db->pending[i].result == NULL);
    TRY(send_plain(db, "COMMIT", NULL, &result));
    TRY(send_all(db));
    /* Of the poster alone, as a name stands in one program. */
    if (db->options == kept_order) fault_point("commit_sent");
    TRY(collect_all(db));
    if (strcmp(PQcmdStatus(result->pg), "COMMIT") == 0) return OK;
    db->repeat = repeat;
    return repeat ? FAIL(DATABASE) : FAIL(INTERNAL);
}

/* ---- connection ------------------------------------------------------------------------------ */

static status connect_if_needed(struct db *db)
{
    if (db->pg != NULL && (PQstatus(db->pg) != CONNECTION_OK || lost_while_idle(db)))
        disconnect(db);
    if (db->pg != NULL) return OK;
    uint64_t now_ms = clock_monotonic_ms();
    if (now_ms < db->connect_after_ms) return FAIL(DATABASE);
    db->connect_after_ms = now_ms + CONNECT_PAUSE_MS;
    return connect_now(db);
}

static status connect_now(struct db *db)
{
    /* The first value is expanded as a connection string, later ones rule over what it says. */
    const char *const keys[] = {
        "dbname",  "user", "application_name", "client_encoding", "connect_timeout",
        "options", NULL};
    const char *const values[] = {db->connection, db->role, db->role, "UTF8", "5",
                                  db->options,    NULL};
    db->pg = PQconnectdbParams(keys, values, 1);
    if (PQstatus(db->pg) != CONNECTION_OK) {
        log_warning("database_unreachable", FN(name, role, slice_of(db->role)));
        disconnect(db);
        return FAIL(DATABASE);
    }
    (void)PQsetNoticeProcessor(db->pg, ignore_notice, NULL);
    for (size_t i = 0; i < db->statements.count; i++) {
        if (!db->listens[i]) continue;
        status listens = run_plain(db, db->statements.items[i].sql);
        if (!status_ok(listens)) {
            disconnect(db);
            return listens;
        }
        db->notifications_missed = true;
    }
    return OK;
}

static void disconnect(struct db *db)
{
    PQfinish(TAKE(db->pg));
    db->pending_count = 0;
    if (db->prepared != NULL)
        memset(db->prepared, 0, db->statements.count * sizeof(db->prepared[0]));
}

/* A server that restarted has closed the connection; to find that out now costs one poll and saves
 * the caller a failure whose outcome nobody knows. The farewell message comes before the end, hence
 * the repetition. */
static bool lost_while_idle(struct db *db)
{
    for (int i = 0; i < 3; i++) {
        struct pollfd readable = {.fd = PQsocket(db->pg), .events = POLLIN};
        if (poll(&readable, 1, 0) <= 0) return false;
        if (PQconsumeInput(db->pg) == 0 || PQstatus(db->pg) != CONNECTION_OK) return true;
    }
    return false;
}

/* ---- notifications --------------------------------------------------------------------------- */

status db_wait_notification(struct db *db, int64_t timeout_ms, struct arena *arena, slice *channel,
                            slice *payload)
{
    db->sqlstate[0] = '\0';
    int64_t until_ms = (int64_t)clock_monotonic_ms() + timeout_ms;
    if (!status_ok(connect_if_needed(db))) {
        sleep_ms(timeout_ms < CONNECT_PAUSE_MS ? timeout_ms : CONNECT_PAUSE_MS);
        return FAIL(DATABASE);
    }
    if (db->notifications_missed) {
        db->notifications_missed = false;
        return FAIL(DATABASE);
    }
    for (;;) {
        PGnotify *notification = PQnotifies(db->pg);
        if (notification != NULL) {
            *channel = arena_copy(arena, slice_of(notification->relname));
            *payload = arena_copy(arena, slice_of(notification->extra));
            PQfreemem(notification);
            return channel->data == NULL || payload->data == NULL ? FAIL(TOO_LARGE) : OK;
        }
        int64_t left_ms = until_ms - (int64_t)clock_monotonic_ms();
        if (left_ms <= 0) return FAIL(END);
        struct pollfd readable = {.fd = PQsocket(db->pg), .events = POLLIN};
        (void)poll(&readable, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (PQconsumeInput(db->pg) == 0 || PQstatus(db->pg) != CONNECTION_OK) {
            disconnect(db);
            return FAIL(DATABASE);
        }
    }
}

/* ---- parameters ------------------------------------------------------------------------------ */

static status set_parameters(struct db *db, const struct db_param *params, size_t count,
                             struct parameters *parameters)
{
    assert(count <= DB_PARAMETERS_MAX);
    arena_reset(&db->arena);
    for (size_t i = 0; i < count; i++) {
        TRY(set_parameter(&db->arena, &params[i], parameters, i));
    }
    return OK;
}

static status set_parameter(struct arena *arena, const struct db_param *param,
                            struct parameters *parameters, size_t i)
{
    slice value = SLICE_NONE;
    bool binary = false;
    switch (param->kind) {
    case DB_NULL: return OK; /* no bytes, as the zeroed row says */
    case DB_I64: TRY(db_array_integer_text(arena, param->number, &value)); break;
    case DB_BOOL: value = param->number != 0 ? SLICE("t") : SLICE("f"); break;
    case DB_TEXT:
        if (param->bytes.len > 0 && memchr(param->bytes.data, 0, param->bytes.len) != NULL)
            return FAIL(BAD_REQUEST);
        value = arena_copy(arena, param->bytes);
        break;
    case DB_BYTES:
        value = (slice){param->bytes.len == 0 ? "" : param->bytes.data, param->bytes.len};
        binary = true;
        break;
    case DB_I64_ARRAY:
        TRY(db_array_of_numbers(arena, param->numbers, param->count, &value));
        binary = true;
        break;
    case DB_BYTES_ARRAY:
    case DB_TEXT_ARRAY:
        TRY(db_array_of_slices(arena, param->kind == DB_BYTES_ARRAY, param->items, param->count,
                               &value));
        binary = true;
        break;
    }
    if (value.data == NULL || value.len > INT32_MAX) return FAIL(TOO_LARGE);
    parameters->values[i] = value.data;
    parameters->lengths[i] = (int)value.len;
    parameters->formats[i] = binary;
    return OK;
}

/* ---- failures -------------------------------------------------------------------------------- */

static status classify(struct db *db, const PGresult *pg, const char *what)
{
    ExecStatusType kind = PQresultStatus(pg);
    if (kind == PGRES_COMMAND_OK || kind == PGRES_TUPLES_OK) return OK;
    const char *sqlstate = PQresultErrorField(pg, PG_DIAG_SQLSTATE);
    if (sqlstate == NULL) sqlstate = "";
    status failure = status_of_sqlstate(sqlstate);
    db->repeat = strcmp(sqlstate, "40001") == 0 || strcmp(sqlstate, "40P01") == 0;
    bool stands = db->repeat || strcmp(sqlstate, LOCK_NOT_AVAILABLE) == 0 ||
                  strcmp(sqlstate, QUERY_CANCELED) == 0;
    bool lost = PQstatus(db->pg) != CONNECTION_OK || (failure.code == ERROR_DATABASE && !stands);
    db->sqlstate[0] = '\0';
    if (!lost) memcpy(db->sqlstate, sqlstate, strnlen(sqlstate, SQLSTATE_SIZE - 1) + 1);
    /* Messages may quote rows of customers. Those of class 42 speak of the schema and of grants
     * only. */
    const char *message = strncmp(sqlstate, "42", 2) == 0
                              ? PQresultErrorField(pg, PG_DIAG_MESSAGE_PRIMARY)
                              : PQresultErrorField(pg, PG_DIAG_CONSTRAINT_NAME);
    log_warning("database_refused", FN(name, statement, slice_of(what)),
                FN(name, sqlstate, slice_of(sqlstate)),
                FN(reason, reason, slice_of(message == NULL ? "" : message)));
    if (lost) {
        disconnect(db);
        return FAIL(DATABASE);
    }
    return failure;
}

static status status_of_sqlstate(const char *sqlstate)
{
    static const struct {
        const char *prefix;
        status failure;
    } rows[] = {
        {"23505", {ERROR_DATABASE_CONFLICT}}, /* unique_violation */
        {"23P01", {ERROR_DATABASE_CONFLICT}}, /* exclusion_violation */
        {"23", {ERROR_DATABASE_CHECK}},       /* check, foreign key, not null */
        {"P0001", {ERROR_DATABASE_CHECK}},    /* RAISE EXCEPTION of a trigger */
        {"40", {ERROR_DATABASE}},             /* serialization failure, deadlock: repeated before */
        {"08", {ERROR_DATABASE}},             /* connection */
        {"25006", {ERROR_DATABASE}},          /* read only: a standby, or an operator's doing */
        {"53", {ERROR_DATABASE}},             /* too many connections, out of memory, disk full */
        {LOCK_NOT_AVAILABLE, {ERROR_DATABASE}}, /* waited too long: db_bound_waits */
        {"57", {ERROR_DATABASE}},       /* cancelled, ran too long, shutdown, another's crash */
        {"58", {ERROR_DATABASE}},       /* the system under it: I/O, a missing file */
        {"XX", {ERROR_DATABASE}},       /* its own fault, a damaged page among them */
        {"22021", {ERROR_BAD_REQUEST}}, /* text that is not UTF-8 or holds a NUL */
        {"22P05", {ERROR_BAD_REQUEST}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strncmp(sqlstate, rows[i].prefix, strlen(rows[i].prefix)) == 0) return rows[i].failure;
    }
    return FAIL(INTERNAL);
}

/* Random, so that two that collided do not collide again. */
static void back_off(int attempt)
{
    uint32_t bound = 2u << attempt;
    sleep_ms(1 + random_below(bound > BACKOFF_MS_MAX ? BACKOFF_MS_MAX : bound));
}

static void sleep_ms(int64_t ms)
{
    if (ms <= 0) return;
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

static void ignore_notice(void *context, const char *message)
{
    (void)context;
    (void)message;
}
