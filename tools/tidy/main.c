/* SPDX-License-Identifier: Apache-2.0 */
/* tidy: holds every source to the rules of docs/STYLE.md; exit 1 when one is broken. */
#include <stdio.h>

#include "tools/tidy/tidy.h"

static size_t complaints;

void tidy_complain(const struct source *source, size_t line, const char *what, slice detail)
{
    complaints++;
    printf("%s:%zu: %s%s%.*s\n", source->path, line, what, detail.len > 0 ? ": " : "",
           (int)detail.len, detail.data);
}

size_t tidy_complaints(void)
{
    return complaints;
}

int main(int argc, char **argv)
{
    static struct sources sources;
    (void)argv;
    if (argc > 1) {
        printf(
            "tidy: holds the sources of this checkout to docs/STYLE.md. Run it in the checkout; it "
            "takes no arguments.\n");
        return 2;
    }
    if (!status_ok(sources_read(&sources)) || sources.count == 0) {
        fprintf(stderr, "tidy: no sources found; is this a git checkout?\n");
        return 1;
    }
    for (size_t i = 0; i < sources.count; i++)
        rules_check_file(&sources.items[i]);
    rules_check_functions(&sources);
    printf("tidy: %zu files, %zu complaints\n", sources.count, tidy_complaints());
    return tidy_complaints() == 0 ? 0 : 1;
}
