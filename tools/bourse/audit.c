/* SPDX-License-Identifier: Apache-2.0 */
/* bourse audit: runs the checks of schema/audit.sql as the reading role. Every row that comes back
 * is a violation. */
#include <libpq-fe.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/config.h"
#include "shared/json/write.h"
#include "tools/bourse/command.h"
#include "tools/bourse/http.h"

#define SQL_MAX    (1u << 20)
#define CHECKS     "/schema/audit.sql"
#define LEVELS_MAX 3 /* directories up from the program */
#define REPORT_MAX (64u << 20)

/* schema/ lies beside the directory of this program, build/; that of a variant, build/san/, is one
 * level deeper. */
static FILE *open_checks(void)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 32);
    FILE *file = NULL;
    for (int up = 0; file == NULL && len > 0 && up < LEVELS_MAX; len--) {
        if (path[len - 1] != '/' || ++up < 2) continue;
        memcpy(path + len - 1, CHECKS, sizeof(CHECKS)); /* room was left above */
        file = fopen(path, "rb");
    }
    return file;
}

static status read_checks(struct buffer *sql)
{
    FILE *file = open_checks();
    if (file == NULL) {
        fprintf(stderr, "bourse: schema/audit.sql is not beside the directory of this program.\n");
        return FAIL(IO);
    }
    char *room = buffer_reserve(sql, SQL_MAX - 1);
    sql->len = room == NULL ? 0 : fread(room, 1, SQL_MAX - 1, file);
    fclose(file);
    buffer_append_char(sql, '\0');
    return buffer_finish(sql);
}

static PGconn *connect_reader(void)
{
    static struct config config;
    char connection[CONFIG_TEXT_SIZE + 64];
    config_defaults(&config);
    if (!status_ok(config_read_file(&config, "bourse.conf"))) return NULL;
    snprintf(connection, sizeof(connection), "%s user=bourse_reader", config.database);
    PGconn *pg = PQconnectdb(connection);
    if (PQstatus(pg) == CONNECTION_OK) return pg;
    fprintf(stderr, "bourse: the database does not answer: %s", PQerrorMessage(pg));
    PQfinish(pg);
    return NULL;
}

/* What the checks found: printed as it comes, or collected for --json. */
struct findings {
    long violations;
    bool json;
    struct buffer text;
    struct json_writer rows;
};

/* Every check selects (rule, detail), without names for them. */
static void collect_rows(const PGresult *rows, struct json_writer *w)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        json_object_begin(w);
        json_key_string(w, SLICE("rule"), slice_of(PQgetvalue(rows, row, 0)));
        json_key_string(w, SLICE("detail"), slice_of(PQgetvalue(rows, row, 1)));
        json_object_end(w);
    }
}

static void print_rows(const PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        for (int column = 0; column < PQnfields(rows); column++) {
            printf("%s%s", column == 0 ? "" : ": ", PQgetvalue(rows, row, column));
        }
        printf("\n");
    }
}

static int run_checks(PGconn *pg, const char *sql, struct findings *found)
{
    int code = PQsendQuery(pg, sql) ? 0 : 1;
    for (PGresult *rows; (rows = PQgetResult(pg)) != NULL; PQclear(rows)) {
        ExecStatusType result = PQresultStatus(rows);
        if (result == PGRES_TUPLES_OK) {
            found->violations += PQntuples(rows);
            if (found->json) {
                collect_rows(rows, &found->rows);
            } else {
                print_rows(rows);
            }
        } else if (result != PGRES_COMMAND_OK) {
            fprintf(stderr, "bourse: a check did not run: %s", PQresultErrorMessage(rows));
            code = 1;
        }
    }
    return code;
}

static void print_findings(const struct findings *found)
{
    if (!found->json) {
        printf("audit: %ld violations\n", found->violations);
        return;
    }
    struct buffer text;
    struct json_writer w;
    buffer_init(&text, REPORT_MAX);
    json_write_init(&w, &text);
    json_object_begin(&w);
    json_key_i64(&w, SLICE("violations"), found->violations);
    json_key_raw(&w, SLICE("data"), buffer_slice(&found->text));
    json_object_end(&w);
    fwrite(text.data, 1, text.len, stdout);
    fputc('\n', stdout);
    buffer_free(&text);
}

/* 0: every check ran. */
static int check_books(const char *sql, struct findings *found)
{
    PGconn *pg = connect_reader();
    if (pg == NULL) return 1;
    json_array_begin(&found->rows);
    int code = run_checks(pg, sql, found);
    json_array_end(&found->rows);
    PQfinish(pg);
    if (code == 0 && !status_ok(buffer_finish(&found->text))) {
        fprintf(stderr, "bourse: %ld violations are too many for --json.\n", found->violations);
        code = 1;
    }
    if (code == 0) print_findings(found);
    return code;
}

int audit_run(const struct command *command, int argc, char **argv)
{
    struct buffer sql;
    struct findings found = {.json = argc == 1 && strcmp(argv[0], "--json") == 0};
    if (argc > (found.json ? 1 : 0)) {
        command_help(command);
        return 2;
    }
    buffer_init(&sql, SQL_MAX + 1);
    buffer_init(&found.text, REPORT_MAX);
    json_write_init(&found.rows, &found.text);
    int code = 1;
    if (status_ok(read_checks(&sql)) && status_ok(http_enter_instance()))
        code = check_books(sql.data, &found);
    buffer_free(&found.text);
    buffer_free(&sql);
    return code != 0 || found.violations > 0 ? 1 : 0;
}
