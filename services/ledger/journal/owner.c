/* SPDX-License-Identifier: Apache-2.0 */
/* One line with a number, replaced as a whole. */
#include "services/ledger/journal/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "shared/slice.h"

#define OWNER_FILE "owner"
#define LINE_SIZE  32

static status write_line(const char *path, slice line)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return FAIL(IO);
    bool whole = write(fd, line.data, line.len) == (ssize_t)line.len && fsync(fd) == 0;
    (void)close(fd);
    return whole ? OK : FAIL(IO);
}

status journal_owner_set(const char *directory, int64_t database)
{
    char path[PATH_MAX], fresh[PATH_MAX], line[LINE_SIZE];
    (void)snprintf(path, sizeof(path), "%s/" OWNER_FILE, directory);
    (void)snprintf(fresh, sizeof(fresh), "%s/" OWNER_FILE ".new", directory);
    int len = snprintf(line, sizeof(line), "%" PRId64 "\n", database);
    TRY(write_line(fresh, (slice){line, (size_t)len}));
    return rename(fresh, path) == 0 ? OK : FAIL(IO);
}

status journal_owner_check(const char *directory, int64_t database)
{
    char path[PATH_MAX], line[LINE_SIZE];
    (void)snprintf(path, sizeof(path), "%s/" OWNER_FILE, directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? journal_owner_set(directory, database) : FAIL(IO);
    ssize_t len = read(fd, line, sizeof(line));
    (void)close(fd);
    if (len < 0) return FAIL(IO);
    slice number, rest;
    slice_split((slice){line, (size_t)len}, '\n', &number, &rest);
    int64_t found;
    bool same = status_ok(slice_to_i64(number, &found)) && found == database;
    return same ? OK : FAIL(CONFLICT);
}
