/* SPDX-License-Identifier: Apache-2.0 */
/* The runner of *.table files: the rules of money as lines an accountant can read. One world per
 * file; each line is a statement or a check, and its result is compared with what stands behind the
 * arrow, or at the end of a check. */
#pragma once

#include "tests/unit/ledger/world.h"

#define WORDS_MAX 24
#define NAMES_MAX 64

struct names { /* h1, h2, … to hold numbers; org1, key1 carry their number in their name */
    char text[NAMES_MAX][16];
    uint64_t hold[NAMES_MAX];
    uint64_t n[NAMES_MAX]; /* of the frame that ended it */
    size_t count;
};

struct run {
    const char *file;
    int line;
    int failures;
    struct world world; /* made and freed by the caller */
    struct names holds;
    slice words[WORDS_MAX];
    size_t count;
    char result[160];
};

void table_run_line(struct run *run, slice line);
/* Answers the number of lines that did not hold, each of which was printed. */
int tables_run(struct run *run, const char *path);
/* Every table of this directory. */
int tables_run_all(int (*run_one)(const char *path));
