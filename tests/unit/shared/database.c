/* SPDX-License-Identifier: Apache-2.0 */
/* Runs initdb and pg_ctl of the installed PostgreSQL. */
#include "tests/unit/shared/database.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INITDB "/usr/lib/postgresql/15/bin/initdb"
#define PG_CTL "/usr/lib/postgresql/15/bin/pg_ctl"

static void demand(int right, const char *what)
{
    if (right) return;
    (void)fprintf(stderr, "private PostgreSQL: %s failed\n", what);
    abort();
}

static void become_unprivileged(void)
{
    if (geteuid() != 0) return;
    const struct passwd *user = getpwnam("postgres");
    demand(user != NULL && setgroups(0, NULL) == 0 && setgid(user->pw_gid) == 0 &&
               setuid(user->pw_uid) == 0,
           "becoming the user postgres");
}

/* The first argument is the whole path: PostgreSQL's programs find each other by it. */
static void run(const char *const *arguments)
{
    pid_t pid = fork();
    if (pid == 0) {
        int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
        demand(dup2(nowhere, 0) == 0 && dup2(nowhere, 1) == 1 && dup2(nowhere, 2) == 2, "dup2");
        become_unprivileged();
        demand(chdir("/") == 0, "chdir");
        (void)execv(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    int code = -1;
    demand(pid > 0 && waitpid(pid, &code, 0) == pid && code == 0, arguments[0]);
}

static const char *data_directory(const struct database *database)
{
    return scratch_path(&database->scratch, "pg/data");
}

void database_create(struct database *database)
{
    scratch_make(&database->scratch);
    const char *home = scratch_path(&database->scratch, "pg");
    demand(chmod(database->scratch.path, 0755) == 0 && mkdir(home, 0755) == 0,
           "making directories");
    if (geteuid() == 0) {
        const struct passwd *user = getpwnam("postgres");
        demand(user != NULL && chown(home, user->pw_uid, user->pw_gid) == 0, "chown");
    }
    (void)snprintf(database->connection, sizeof(database->connection), "host=%s dbname=postgres",
                   home);
    const char *const arguments[] = {
        INITDB,   "-D",        data_directory(database), "-A", "trust", "-U",
        "tester", "--no-sync", "--no-instructions",      "-E", "UTF8",  "--locale=C",
        NULL};
    run(arguments);
    database_start(database);
}

void database_start(struct database *database)
{
    char options[256];
    (void)snprintf(options, sizeof(options),
                   "-c listen_addresses= -c unix_socket_directories=%s -c fsync=off "
                   "-c shared_buffers=1MB -c max_connections=20",
                   scratch_path(&database->scratch, "pg"));
    const char *const arguments[] = {
        PG_CTL, "-D", data_directory(database), "-w", "-s", "-o", options, "start", NULL};
    run(arguments);
}

void database_stop(struct database *database)
{
    const char *const arguments[] = {
        PG_CTL, "-D", data_directory(database), "-m", "immediate", "-s", "stop", NULL};
    run(arguments);
}

void database_remove(struct database *database)
{
    database_stop(database);
    scratch_remove(&database->scratch);
}
