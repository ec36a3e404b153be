/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. What does not fit is named together with where to read how it should be. */
#include "tools/bourse/arguments.h"

#include <stdio.h>

static size_t find_option(const struct command *command, const char *name, size_t len)
{
    for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
        const struct option *option = &command->options[i];
        if (strlen(option->name) == len && memcmp(option->name, name, len) == 0) return i;
    }
    return OPTIONS_MAX;
}

static bool refuse(const struct command *command, const char *what, const char *name)
{
    fprintf(stderr, "bourse %s %s: %s%s. See `bourse %s %s --help`.\n", command->noun,
            command->verb, what, name, command->noun, command->verb);
    return false;
}

static bool read_option(const struct command *command, int argc, char **argv, int *at,
                        struct arguments *arguments)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals == NULL ? strlen(name) : (size_t)(equals - name);
    size_t index = find_option(command, name, len);
    if (index == OPTIONS_MAX) return refuse(command, "does not know ", argv[*at]);
    if (arguments->values[index] != NULL) return refuse(command, "takes only once ", argv[*at]);
    if (command->options[index].kind == OPTION_SWITCH) {
        arguments->values[index] = "";
    } else if (equals != NULL) {
        arguments->values[index] = equals + 1;
    } else if (*at + 1 < argc) {
        arguments->values[index] = argv[++*at];
    } else {
        return refuse(command, "needs a value behind ", argv[*at]);
    }
    return true;
}

bool arguments_read(const struct command *command, int argc, char **argv,
                    struct arguments *arguments)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            arguments->json = true;
        } else if (strncmp(argv[i], "--", 2) == 0) {
            if (!read_option(command, argc, argv, &i, arguments)) return false;
        } else if (command->argument != NULL && arguments->positional == NULL) {
            arguments->positional = argv[i];
        } else {
            return refuse(command, "does not take ", argv[i]);
        }
    }
    if (command->argument != NULL && arguments->positional == NULL)
        return refuse(command, "needs ", command->argument);
    for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
        if (command->options[i].required && arguments->values[i] == NULL) {
            return refuse(command, "needs the option --", command->options[i].name);
        }
    }
    return true;
}

const char *arguments_at(const struct command *command, const struct arguments *arguments,
                         enum option_place place)
{
    for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
        if (command->options[i].place == place && arguments->values[i] != NULL)
            return arguments->values[i];
    }
    return NULL;
}
