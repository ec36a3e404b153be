/* SPDX-License-Identifier: Apache-2.0 */
/* tidy: the rules of docs/STYLE.md that a machine can hold us to and no other tool knows. */
#pragma once

#include "shared/arena.h"

struct source {
    const char *path;
    slice text; /* as it stands */
    slice code; /* same length, comments and string contents blanked */
};

struct sources {
    struct arena arena;
    struct source *items;
    size_t count;
};

/* Every C source that git knows or would add. */
status sources_read(struct sources *sources);

/* Prints path:line: what, and counts it. */
void tidy_complain(const struct source *source, size_t line, const char *what, slice detail);
size_t tidy_complaints(void);

void rules_check_file(const struct source *source);
/* Rules that need all files: functions nobody calls, bodies that stand twice. */
void rules_check_functions(const struct sources *sources);

/* Iterates over lines: false at the end. *rest starts as the whole text. */
bool tidy_next_line(slice *rest, slice *line);
/* Iterates over identifiers. */
bool tidy_next_word(slice *rest, slice *word);
bool tidy_path_starts(const struct source *source, const char *prefix);
