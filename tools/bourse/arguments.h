/* SPDX-License-Identifier: Apache-2.0 */
/* The words behind `bourse NOUN VERB`, sorted by the command's row. */
#pragma once

#include "tools/bourse/command.h"

struct arguments {
    const char *positional;
    const char *values[OPTIONS_MAX]; /* "" for a switch that was given */
    bool json;
};

/* false when they do not fit the row; what to do was printed. */
bool arguments_read(const struct command *command, int argc, char **argv,
                    struct arguments *arguments);
/* The value of the first option of that place; NULL when there is none. */
const char *arguments_at(const struct command *command, const struct arguments *arguments,
                         enum option_place place);
