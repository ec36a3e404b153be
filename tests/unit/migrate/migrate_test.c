/* SPDX-License-Identifier: Apache-2.0 */
/* The migrator as a process against a PostgreSQL of its own, started once for all tests: what it
 * applies, what it remembers, and what it refuses. Each test has a fresh database and a schema
 * directory that it writes itself, or copies from this release's: some fill the books half-way. As
 * root the server runs as the user postgres, which the package makes; who may log in as whom is not
 * under test here, so everybody may. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

#define PG_BIN      "/usr/lib/postgresql/15/bin"
#define OUTPUT_SIZE 16384

static const char roles_file[] =
    "CREATE TABLE IF NOT EXISTS granted (at timestamptz DEFAULT now());";

struct scene {
    char directory[64];
    char root[4096]; /* the checkout */
    int databases;
    char output[OUTPUT_SIZE]; /* of the last command, both streams */
};

static struct scene scene;

/* ---- the steps the tests are written in ---- */

/* Runs a shell command below the scene's directory; $S is that directory, $D the database of the
 * test. Its exit code. */
static int sh(const char *command)
{
    char line[8192];
    snprintf(
        line, sizeof line,
        "exec 2>&1; S='%s' R='%s' D=t%d; export PGHOST=$S PGUSER=postgres; cd $S || exit 99; %s",
        scene.directory, scene.root, scene.databases, command);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t len = fread(scene.output, 1, OUTPUT_SIZE - 1, pipe);
    scene.output[len] = '\0';
    int wait_status = pclose(pipe);
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
}

static void sh_ok(const char *command)
{
    int code = sh(command);
    if (code != 0) fail_msg("%s ended with %d:\n%s", command, code, scene.output);
}

static int server_start(void **state)
{
    (void)state;
    if (getcwd(scene.root, sizeof scene.root) == NULL) return -1;
    strcpy(scene.directory, "/tmp/migrate-test-XXXXXX");
    if (mkdtemp(scene.directory) == NULL) return -1;
    return sh(
        "if [ $(id -u) = 0 ]; then chown postgres $S; as='setpriv --reuid=postgres "
        "--regid=postgres --clear-groups'; fi;"
        "$as " PG_BIN "/initdb -D $S/pg -U postgres --auth=trust --no-sync -E UTF8 "
        "--locale=C.UTF-8 >initdb.log && "
        "$as " PG_BIN
        "/pg_ctl -D $S/pg -w -l $S/log -o \"-k $S -h '' -c fsync=off\" start >/dev/null && " PG_BIN
        "/psql -q -v ON_ERROR_STOP=1 -f \"$R/deploy/database.sql\" postgres");
}

static int server_stop(void **state)
{
    (void)state;
    return sh("if [ $(id -u) = 0 ]; then as='setpriv --reuid=postgres --regid=postgres "
              "--clear-groups'; fi;"
              "$as " PG_BIN "/pg_ctl -D $S/pg -m immediate stop; cd /; rm -rf $S");
}

static void write_schema(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/schema/%s", scene.directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int database_open(void **state)
{
    (void)state;
    scene.databases++;
    if (sh("rm -rf schema && mkdir schema && " PG_BIN "/createdb -O bourse_owner $D") != 0)
        return -1;
    write_schema("0001_first.sql", "CREATE TABLE first (id int);\n");
    write_schema("0002_second.sql",
                 "CREATE TABLE second (id int);\nINSERT INTO second VALUES (1);\n");
    write_schema("roles.sql", roles_file);
    return 0;
}

static int migrate(const char *arguments)
{
    char command[512];
    snprintf(command, sizeof command,
             "\"$R/build/migrate\" --database \"host=$S dbname=$D\" --schema schema %s", arguments);
    return sh(command);
}

/* What a query answers, columns apart by |, rows by a newline. */
static const char *query(const char *sql)
{
    char command[1024];
    snprintf(command, sizeof command, PG_BIN "/psql -XAtq -d $D -c \"%s\"", sql);
    sh_ok(command);
    return scene.output;
}

#define assert_says(text)                                                                          \
    do {                                                                                           \
        if (strstr(scene.output, text) == NULL) fail_msg("no \"%s\" in:\n%s", text, scene.output); \
    } while (0)

/* ---- the tests ---- */

TEST(every_migration_of_the_directory_is_applied_once_and_remembered)
{
    assert_int_equal(migrate(""), 0);
    assert_string_equal(scene.output, "applied 0001_first.sql\napplied 0002_second.sql\n"
                                      "2 migrations, 2 of them applied now\n");
    assert_int_equal(migrate(""), 0);
    assert_string_equal(scene.output, "2 migrations, 0 of them applied now\n");
    assert_string_equal(query("SELECT count(*) FROM second"), "1\n");
    /* sha256sum of the text of 0001_first.sql, computed apart */
    sh_ok("sha256sum schema/0001_first.sql | cut -c1-64 > expected; " PG_BIN
          "/psql -XAtq -d $D -c \"SELECT sha256 FROM schema_migration WHERE name = "
          "'0001_first.sql'\" | diff expected -");
}

TEST(a_later_migration_is_applied_alone)
{
    assert_int_equal(migrate(""), 0);
    write_schema("0003_third.sql", "CREATE TABLE third (id int);");
    assert_int_equal(migrate(""), 0);
    assert_string_equal(scene.output,
                        "applied 0003_third.sql\n3 migrations, 1 of them applied now\n");
}

TEST(the_grants_are_applied_every_time)
{
    write_schema("roles.sql",
                 "CREATE TABLE IF NOT EXISTS granted (id int); INSERT INTO granted VALUES (1);");
    assert_int_equal(migrate(""), 0);
    assert_int_equal(migrate(""), 0);
    assert_string_equal(query("SELECT count(*) FROM granted"), "2\n");
}

TEST(an_edited_migration_is_refused_and_nothing_is_applied)
{
    assert_int_equal(migrate(""), 0);
    write_schema("0001_first.sql", "CREATE TABLE first (id bigint);\n");
    write_schema("0003_third.sql", "CREATE TABLE third (id int);");
    assert_int_equal(migrate(""), 1);
    assert_says("0001_first.sql: was edited after it had been applied");
    assert_string_equal(query("SELECT to_regclass('third') IS NULL"), "t\n");
}

TEST(a_database_of_a_later_release_is_refused)
{
    assert_int_equal(migrate(""), 0);
    sh_ok("rm schema/0002_second.sql");
    assert_int_equal(migrate(""), 1);
    assert_says("0002_second.sql: was applied to this database but is not in the schema directory");
}

TEST(a_migration_that_fails_leaves_nothing_and_names_its_line)
{
    write_schema(
        "0002_second.sql",
        "CREATE TABLE second (id int);\n-- ä is one character\nSELECT nothing_of_this_name;\n");
    assert_int_equal(migrate(""), 1);
    assert_says("schema/0002_second.sql:3: ERROR:");
    assert_string_equal(query("SELECT to_regclass('first') IS NULL, to_regclass('second') IS NULL"),
                        "f|t\n");
    assert_string_equal(query("SELECT name FROM schema_migration"), "0001_first.sql\n");
    write_schema("0002_second.sql", "CREATE TABLE second (id int);\n");
    assert_int_equal(migrate(""), 0);
}

TEST(a_migration_that_ends_its_own_transaction_is_refused)
{
    write_schema("0002_second.sql", "CREATE TABLE second (id int);\nCOMMIT;\n");
    assert_int_equal(migrate(""), 1);
    assert_says("0002_second.sql: ended its transaction by itself");
}

TEST(a_gap_in_the_numbers_is_refused)
{
    sh_ok("mv schema/0002_second.sql schema/0003_second.sql");
    assert_int_equal(migrate(""), 1);
    assert_says("0003_second.sql: breaks the sequence");
}

TEST(a_number_that_appears_twice_is_refused)
{
    write_schema("0002_other.sql", "SELECT 1;");
    assert_int_equal(migrate(""), 1);
    assert_says("breaks the sequence");
}

TEST(status_changes_nothing)
{
    assert_int_equal(migrate("--status"), 0);
    assert_string_equal(scene.output, "pending  0001_first.sql\npending  0002_second.sql\n");
    assert_string_equal(query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0\n");
    assert_int_equal(migrate(""), 0);
    assert_int_equal(migrate("--status"), 0);
    assert_string_equal(scene.output, "applied  0001_first.sql\napplied  0002_second.sql\n");
}

TEST(json_says_the_same)
{
    assert_int_equal(migrate("--status --json | sed -E 's/[0-9a-f]{64}/HASH/g'"), 0);
    assert_string_equal(scene.output,
                        "{\"applied_now\":0,\"migrations\":["
                        "{\"name\":\"0001_first.sql\",\"sha256\":\"HASH\",\"applied\":false},"
                        "{\"name\":\"0002_second.sql\",\"sha256\":\"HASH\",\"applied\":false}]}\n");
    assert_int_equal(migrate("--json | cut -c1-17"), 0);
    assert_string_equal(scene.output, "{\"applied_now\":2,\n");
}

TEST(a_database_that_is_not_there_is_an_error_that_says_so)
{
    assert_int_equal(
        sh("\"$R/build/migrate\" --database 'host=/nonexistent dbname=x' --schema schema"), 1);
    assert_says("cannot connect to the database");
}

TEST(wrong_arguments_are_named)
{
    assert_int_equal(migrate("--stauts"), 2);
    assert_says("--stauts: unknown argument");
    assert_int_equal(migrate("--wait soon"), 2);
    assert_says("--wait: is not a number of seconds");
}

/* ---- what migrations make of books that are filled ---- */

/* The migrations of this release up to a number, by its first digits; grants speak of all of them,
 * so they come with the last. */
static void migrate_to(const char *last)
{
    char command[256];
    snprintf(command, sizeof command,
             "rm schema/*; cp \"$R\"/schema/0*.sql schema && cd schema && "
             "for f in *; do [ \"$f\" \\< '%s~' ] || rm $f; done; echo 'SELECT 1;' >roles.sql",
             last);
    sh_ok(command);
    assert_int_equal(migrate(""), 0);
}

static void migrate_to_the_end(void)
{
    assert_int_equal(
        sh("\"$R/build/migrate\" --database \"host=$S dbname=$D\" --schema \"$R/schema\""), 0);
}

TEST(the_schema_of_this_release_applies_and_its_grants_twice)
{
    migrate_to_the_end();
    migrate_to_the_end();
    assert_says(" 0 of them applied now");
}

static void run_file(const char *path)
{
    char command[256];
    snprintf(command, sizeof command,
             PG_BIN "/psql -XAtq -v ON_ERROR_STOP=1 -d $D -f \"$R/%s\" | grep .", path);
    (void)sh(command);
}

/* The books of books_0020.sql under this release; they had no violation before. */
static void fill_and_migrate(void)
{
    migrate_to("0020");
    assert_string_equal(query("SELECT max(name) FROM schema_migration"),
                        "0020_credit_under_a_line.sql\n");
    run_file("tests/unit/migrate/books_0020.sql");
    assert_string_equal(scene.output, "");
    assert_string_equal(query("SELECT count(*) FROM transfer"), "34\n");
    migrate_to_the_end();
    assert_says("applied 0021_disputes_end.sql\napplied 0022_line_spans.sql\n");
}

static void assert_audit_finds_nothing(void)
{
    run_file("schema/audit.sql");
    assert_string_equal(scene.output, "");
}

/* Whether a dispute is over no row says: all that still withdraw money are open until Stripe was
 * asked, which is due. What was won or never disputed is as it was. */
TEST(disputes_from_before_0021_are_open_and_stripe_is_asked_at_once)
{
    fill_and_migrate();
    assert_string_equal(query("SELECT id, dispute_open, look_at <= now(), look_at > now() - "
                              "interval '1 hour' FROM purchase WHERE org < 20 ORDER BY id"),
                        "pur-lost|t|t|t\npur-open|t|t|t\npur-quiet|f|f|t\npur-won|f||\n");
    assert_string_equal(query("SELECT look_at = '2026-12-24 00:00+00' FROM purchase "
                              "WHERE id = 'pur-quiet'"),
                        "t\n");
    assert_string_equal(query("SELECT id FROM purchases_due(10) ORDER BY id"),
                        "pur-lost\npur-open\n");
    assert_string_equal(query("SELECT org, frozen, operator_froze FROM org WHERE org < 20 "
                              "ORDER BY org"),
                        "11|t|f\n12|t|f\n13|f|f\n14|f|f\n15|t|f\n");
    assert_audit_finds_nothing();
}

/* A line from before began a minute before the first lease on it since credit last came in: 10
 * April for 22, which had leased credit in March; 10 March for 23, whose line of January is
 * another; 1 May for 24, however its line was changed. That of 21 begins with the migration, and
 * that of 25 is over. */
TEST(lines_from_before_0022_begin_with_their_first_lease_since_credit_last_came_in)
{
    fill_and_migrate();
    assert_string_equal(query("SELECT org, to_char(begun_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), "
                              "ended_at IS NULL FROM credit_line_span WHERE org <> 21 ORDER BY "
                              "org"),
                        "22|04-10 09:59|t\n23|03-10 08:29|t\n24|05-01 11:59|t\n");
    assert_string_equal(query("SELECT begun_at > now() - interval '1 hour', ended_at IS NULL FROM "
                              "credit_line_span WHERE org = 21"),
                        "t|t\n");
    assert_string_equal(query("SELECT org, line, over FROM account WHERE line IS NOT NULL AND org "
                              "= 24"),
                        "24|50000000000|10000000000\n");
    assert_audit_finds_nothing();
}

/* The audit that found nothing can find something in these very books. */
TEST(the_audit_of_migrated_books_sees_a_dispute_that_was_not_booked)
{
    fill_and_migrate();
    sh_ok(PG_BIN "/psql -XAtq -d $D -c \"UPDATE purchase SET disputed_cents = 1081 WHERE id = "
                 "'pur-lost'\"");
    run_file("schema/audit.sql");
    assert_string_equal(scene.output, "dispute_is_what_was_withdrawn|purchase pur-lost: disputed "
                                      "1081 + fee 0 cents, cleared 10800000000\n");
}

#define DATABASE_TEST(name) cmocka_unit_test_setup(name, database_open)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(every_migration_of_the_directory_is_applied_once_and_remembered),
        DATABASE_TEST(a_later_migration_is_applied_alone),
        DATABASE_TEST(the_grants_are_applied_every_time),
        DATABASE_TEST(an_edited_migration_is_refused_and_nothing_is_applied),
        DATABASE_TEST(a_database_of_a_later_release_is_refused),
        DATABASE_TEST(a_migration_that_fails_leaves_nothing_and_names_its_line),
        DATABASE_TEST(a_migration_that_ends_its_own_transaction_is_refused),
        DATABASE_TEST(a_gap_in_the_numbers_is_refused),
        DATABASE_TEST(a_number_that_appears_twice_is_refused),
        DATABASE_TEST(status_changes_nothing),
        DATABASE_TEST(json_says_the_same),
        DATABASE_TEST(a_database_that_is_not_there_is_an_error_that_says_so),
        DATABASE_TEST(wrong_arguments_are_named),
        DATABASE_TEST(the_schema_of_this_release_applies_and_its_grants_twice),
        DATABASE_TEST(disputes_from_before_0021_are_open_and_stripe_is_asked_at_once),
        DATABASE_TEST(
            lines_from_before_0022_begin_with_their_first_lease_since_credit_last_came_in),
        DATABASE_TEST(the_audit_of_migrated_books_sees_a_dispute_that_was_not_booked),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
