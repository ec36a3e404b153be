/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of one program: defaults of options.def, then the file, then --name=value
 * arguments. */
#pragma once

#include "shared/slice.h"

#define CONFIG_TEXT_SIZE 512

struct config {
#define OPTION_INT(name, unit, min, max, initial, reloadable, sentence) int64_t name;
#define OPTION_TEXT(name, initial, sentence)                            char name[CONFIG_TEXT_SIZE];
#define OPTION_BOOL(name, initial, sentence)                            bool name;
#define OPTION_CHOICE(name, initial, words, sentence)                   char name[CONFIG_TEXT_SIZE];
#include "shared/options.def"
#undef OPTION_INT
#undef OPTION_TEXT
#undef OPTION_BOOL
#undef OPTION_CHOICE
};

void config_defaults(struct config *config);
/* `name = value` lines, # comments. CONFIGURATION after printing file, line and what to do on
 * stderr. */
status config_read_file(struct config *config, const char *path);
/* Understands --config FILE, --name=value, --help (prints and exits 0), --print-sample (prints and
 * exits 0), --version. */
status config_read_arguments(struct config *config, const char *program, int argc, char **argv);
