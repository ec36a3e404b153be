/* SPDX-License-Identifier: Apache-2.0 */
/* Makes and removes directories below the system's place for temporary files. */
#include "tests/unit/shared/scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void scratch_make(struct scratch *scratch)
{
    static const char pattern[] = "/tmp/bourse-test-XXXXXX";
    memcpy(scratch->path, pattern, sizeof(pattern));
    if (mkdtemp(scratch->path) == NULL) {
        perror(scratch->path);
        abort();
    }
}

void scratch_remove(struct scratch *scratch)
{
    (void)nftw(scratch->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_path(const struct scratch *scratch, const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", scratch->path, name);
    return path;
}
