/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the database to the state of the schema directory: NNNN_title.sql files in order, one
 * transaction each, then roles.sql, the grants, every time. What was applied is remembered with its
 * SHA-256: history that was edited afterwards is refused, because nobody could say any more what
 * the database looks like. Runs as bourse_owner, before the services. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/arena.h"
#include "shared/clock.h"
#include "shared/config.h"
#include "shared/json/write.h"

#define MIGRATIONS_MAX  999
#define FILE_SIZE_MAX   ((size_t)16 << 20)
#define MEMORY_MAX      ((size_t)256 << 20)
#define OUTPUT_MAX      ((size_t)1 << 20)
#define CONNECT_POLL_US 50000

/* One migrator at a time works on a database; the number is arbitrary but must never change. */
#define LOCK_STATEMENT  "SELECT pg_advisory_lock(7078153220141)"

struct migration {
    const char *name; /* 0001_accounts.sql */
    slice text;
    char sha256[2 * crypto_hash_sha256_BYTES + 1];
    bool applied; /* before this run */
};

struct migrator {
    const char *schema;     /* the directory */
    const char *connection; /* libpq string without a user */
    int64_t wait_s;
    bool only_status;
    bool json;
    struct config config;
    struct arena arena;
    PGconn *db;
    struct migration migrations[MIGRATIONS_MAX];
    size_t count;
    size_t applied_now;
};

static struct migrator migrator;

static void read_arguments(struct migrator *m, int argc, char **argv);
static void read_schema(struct migrator *m);
static void connect_database(struct migrator *m);
static void read_history(struct migrator *m);
static void apply_all(struct migrator *m);
static void print_result(struct migrator *m);

static const char usage[] =
    "migrate [--config FILE | --database CONNECTION] [--schema DIRECTORY] [--status] [--wait "
    "SECONDS] [--json]\n"
    "Applies the migrations DIRECTORY/NNNN_title.sql that the database has not seen, one "
    "transaction each, then\n"
    "DIRECTORY/roles.sql. Connects as bourse_owner. Edited history is refused.\n"
    "  --config FILE          take the option `database` from this configuration (default "
    "bourse.conf)\n"
    "  --database CONNECTION  libpq connection string without a user, instead\n"
    "  --schema DIRECTORY     default schema\n"
    "  --status               change nothing, say what is applied and what is pending\n"
    "  --wait SECONDS         how long the database may take to accept connections (default 0)\n"
    "  --json                 print the result as JSON\n"
    "Exit: 0 done, 1 a migration failed or history was edited, 2 wrong use.\n";

int main(int argc, char **argv)
{
    arena_init(&migrator.arena, MEMORY_MAX);
    read_arguments(&migrator, argc, argv);
    read_schema(&migrator);
    connect_database(&migrator);
    read_history(&migrator);
    if (!migrator.only_status) apply_all(&migrator);
    print_result(&migrator);
    PQfinish(migrator.db);
    arena_free(&migrator.arena);
    return 0;
}

static void fail(int code, const char *subject, const char *what)
{
    fprintf(stderr, "migrate: %s: %s\n", subject, what);
    exit(code);
}

static void read_arguments(struct migrator *m, int argc, char **argv)
{
    const char *config_path = "bourse.conf";
    const char *wait = "0";
    m->schema = "schema";
    const struct {
        const char *name;
        const char **value;
    } options[] = {{"--config", &config_path},
                   {"--database", &m->connection},
                   {"--schema", &m->schema},
                   {"--wait", &wait}};
    for (int i = 1; i < argc; i++) {
        bool known = true;
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            exit(0);
        } else if (strcmp(argv[i], "--status") == 0) {
            m->only_status = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            m->json = true;
        } else {
            known = false;
        }
        for (size_t k = 0; !known && k < sizeof options / sizeof options[0] && i + 1 < argc; k++) {
            known = strcmp(argv[i], options[k].name) == 0;
            if (known) *options[k].value = argv[++i];
        }
        if (!known) fail(2, argv[i], "unknown argument or its value is missing, see --help");
    }
    if (!status_ok(slice_to_i64(slice_of(wait), &m->wait_s)))
        fail(2, "--wait", "is not a number of seconds");
    if (m->connection != NULL) return;
    config_defaults(&m->config);
    if (!status_ok(config_read_file(&m->config, config_path))) exit(2);
    m->connection = m->config.database;
}

/* ---- the files ---- */

static slice read_file(struct migrator *m, const char *name)
{
    char path[1024];
    struct stat file;
    snprintf(path, sizeof path, "%s/%s", m->schema, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &file) != 0) fail(1, path, strerror(errno));
    size_t size = (size_t)file.st_size;
    if (size > FILE_SIZE_MAX) fail(1, path, "is larger than 16 MiB");
    char *text = arena_alloc(&m->arena, size + 1);
    if (text == NULL) fail(1, path, "all files together are larger than 256 MiB");
    size_t len = 0;
    for (ssize_t n; len < size && (n = read(fd, text + len, size - len)) > 0;) {
        len += (size_t)n;
    }
    close(fd);
    if (len != size) fail(1, path, "could not be read to its end");
    if (memchr(text, '\0', len) != NULL) fail(1, path, "contains a NUL byte");
    return (slice){text, len};
}

static int is_migration(const struct dirent *entry)
{
    const char *name = entry->d_name;
    size_t len = strlen(name);
    return len > 9 && strspn(name, "0123456789") == 4 && name[4] == '_' &&
           strcmp(name + len - 4, ".sql") == 0;
}

static int64_t number_of(slice digits)
{
    int64_t number = 0;
    return status_ok(slice_to_i64(digits, &number)) ? number : 0;
}

static void read_schema(struct migrator *m)
{
    struct dirent **entries = NULL;
    int found = scandir(m->schema, &entries, is_migration, alphasort);
    if (found < 0) fail(1, m->schema, strerror(errno));
    if (found == 0) fail(1, m->schema, "holds no migration NNNN_title.sql");
    for (int i = 0; i < found; i++) {
        struct migration *migration = &m->migrations[m->count++];
        uint8_t digest[crypto_hash_sha256_BYTES];
        char *name = entries[i]->d_name;
        /* Consecutive numbers from 1: a gap is a file that got lost, a repeat a merge of two
         * branches. Also the bound of the array, as four digits beyond it would have failed before.
         */
        if (i >= MIGRATIONS_MAX || number_of((slice){name, 4}) != i + 1)
            fail(1, name, "breaks the sequence 0001, 0002, …");
        migration->name = arena_copy(&m->arena, slice_of(name)).data;
        migration->text = read_file(m, name);
        crypto_hash_sha256(digest, (const uint8_t *)migration->text.data, migration->text.len);
        sodium_bin2hex(migration->sha256, sizeof migration->sha256, digest, sizeof digest);
        free(entries[i]);
    }
    free(entries);
}

/* ---- the database ---- */

static void connect_database(struct migrator *m)
{
    const char *names[] = {"dbname", "user", "fallback_application_name", "options", NULL};
    const char *values[] = {m->connection, "bourse_owner", "migrate",
                            "-c client_min_messages=warning", NULL};
    uint64_t end_ms = clock_monotonic_ms() + (uint64_t)m->wait_s * 1000;
    for (;;) {
        m->db = PQconnectdbParams(names, values, 1);
        if (PQstatus(m->db) == CONNECTION_OK) return;
        if (clock_monotonic_ms() >= end_ms)
            fail(1, "cannot connect to the database", PQerrorMessage(m->db));
        PQfinish(m->db);
        usleep(CONNECT_POLL_US);
    }
}

/* The statements below that are no file of the schema are literals; parameters travel apart. */
static PGresult *run_statement(struct migrator *m, const char *statement, const char *const *params,
                               int count)
{
    PGresult *result = PQexecParams(m->db, statement, count, NULL, params, NULL, NULL, 0);
    ExecStatusType outcome = PQresultStatus(result);
    if (outcome != PGRES_COMMAND_OK && outcome != PGRES_TUPLES_OK)
        fail(1, statement, PQerrorMessage(m->db));
    return result;
}

static void run_command(struct migrator *m, const char *statement)
{
    PQclear(run_statement(m, statement, NULL, 0));
}

static bool has_history(struct migrator *m)
{
    PGresult *row = run_statement(m, "SELECT to_regclass('schema_migration') IS NOT NULL", NULL, 0);
    bool found = PQgetvalue(row, 0, 0)[0] == 't';
    PQclear(row);
    return found;
}

static void read_history(struct migrator *m)
{
    run_command(m, LOCK_STATEMENT);
    if (!has_history(m)) {
        if (m->only_status) return;
        run_command(m,
                    "CREATE TABLE schema_migration (name text PRIMARY KEY, sha256 text NOT NULL, "
                    "applied_at timestamptz NOT NULL DEFAULT now())");
    }
    PGresult *rows =
        run_statement(m, "SELECT name, sha256 FROM schema_migration ORDER BY name", NULL, 0);
    size_t count = (size_t)PQntuples(rows);
    for (size_t i = 0; i < count; i++) {
        const char *name = PQgetvalue(rows, (int)i, 0);
        if (i >= m->count || strcmp(m->migrations[i].name, name) != 0) {
            fail(1, name,
                 "was applied to this database but is not in the schema directory: is this an "
                 "older checkout?");
        }
        if (strcmp(m->migrations[i].sha256, PQgetvalue(rows, (int)i, 1)) != 0) {
            fail(1, name,
                 "was edited after it had been applied. Restore the file and put the change into a "
                 "new migration");
        }
        m->migrations[i].applied = true;
    }
    PQclear(rows);
}

/* Byte offset in the text → line, for a message that an editor can jump to. The position counts
 * characters. */
static int line_of(slice text, int64_t position)
{
    int line = 1;
    for (size_t i = 0; i < text.len && position > 1; i++) {
        if (((unsigned char)text.data[i] & 0xC0) == 0x80) continue;
        position--;
        line += text.data[i] == '\n';
    }
    return line;
}

static void run_file(struct migrator *m, const char *name, slice text)
{
    PGresult *result = PQexec(m->db, text.data);
    ExecStatusType outcome = PQresultStatus(result);
    if (outcome != PGRES_COMMAND_OK && outcome != PGRES_TUPLES_OK && outcome != PGRES_EMPTY_QUERY) {
        const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
        int line = position == NULL ? 0 : line_of(text, number_of(slice_of(position)));
        fprintf(stderr, "migrate: %s/%s:%d: %s", m->schema, name, line,
                PQresultErrorMessage(result));
        exit(1);
    }
    PQclear(result);
    if (PQtransactionStatus(m->db) != PQTRANS_INTRANS) {
        fail(1, name,
             "ended its transaction by itself; a migration must not say BEGIN, COMMIT or ROLLBACK");
    }
}

static void apply_all(struct migrator *m)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct migration *migration = &m->migrations[i];
        if (migration->applied) continue;
        run_command(m, "BEGIN");
        run_file(m, migration->name, migration->text);
        PQclear(run_statement(m, "INSERT INTO schema_migration (name, sha256) VALUES ($1, $2)",
                              (const char *[]){migration->name, migration->sha256}, 2));
        run_command(m, "COMMIT");
        m->applied_now++;
        if (!m->json) printf("applied %s\n", migration->name);
    }
    run_command(m, "BEGIN");
    run_file(m, "roles.sql", read_file(m, "roles.sql"));
    run_command(m, "COMMIT");
}

static void print_result(struct migrator *m)
{
    if (!m->json) {
        for (size_t i = 0; m->only_status && i < m->count; i++) {
            printf("%-8s %s\n", m->migrations[i].applied ? "applied" : "pending",
                   m->migrations[i].name);
        }
        if (!m->only_status)
            printf("%zu migrations, %zu of them applied now\n", m->count, m->applied_now);
        return;
    }
    SCOPED(buffer_free) struct buffer out;
    struct json_writer w;
    buffer_init(&out, OUTPUT_MAX);
    json_write_init(&w, &out);
    json_object_begin(&w);
    json_key_u64(&w, SLICE("applied_now"), m->applied_now);
    json_key(&w, SLICE("migrations"));
    json_array_begin(&w);
    for (size_t i = 0; i < m->count; i++) {
        const struct migration *migration = &m->migrations[i];
        json_object_begin(&w);
        json_key_string(&w, SLICE("name"), slice_of(migration->name));
        json_key_string(&w, SLICE("sha256"), slice_of(migration->sha256));
        json_key_bool(&w, SLICE("applied"), migration->applied || !m->only_status);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    printf("%.*s\n", (int)out.len, out.data);
}
