/* SPDX-License-Identifier: Apache-2.0 */
/* bourse, the operator's command line. Changes things only through the services' operator sockets,
 * never by SQL. */
#include <stdio.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/secret.h"
#include "tools/bourse/command.h"

static void print_usage(const struct command *command)
{
    printf("bourse %s%s%s", command->noun, command->verb[0] == '\0' ? "" : " ", command->verb);
    if (command->argument != NULL) printf(" %s", command->argument);
    for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
        const struct option *option = &command->options[i];
        const char *value = option->kind == OPTION_SWITCH   ? ""
                            : option->kind == OPTION_NUMBER ? " USD"
                            : option->kind == OPTION_COUNT  ? " N"
                            : option->kind == OPTION_FLAG   ? " true|false"
                            : option->kind == OPTION_SECRET ? " FILE"
                                                            : " TEXT";
        printf(option->required ? " --%s%s" : " [--%s%s]", option->name, value);
    }
    printf(" [--json]\n");
}

void command_help(const struct command *command)
{
    if (command != NULL) {
        print_usage(command);
        printf("    %s\n", command->help);
        for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
            printf("    --%-14s %s\n", command->options[i].name, command->options[i].help);
        }
        return;
    }
    printf("bourse: the operator's command line of a running instance (found by BOURSE_VAR, "
           "default var)\n\n");
    for (size_t i = 0; i < command_count; i++) {
        printf("  ");
        print_usage(&commands[i]);
        printf("        %s\n", commands[i].help);
    }
    printf("\n`bourse NOUN VERB --help` explains one of them. --json prints for scripts.\n");
}

static const struct command *find(const char *noun, const char *verb)
{
    for (size_t i = 0; i < command_count; i++) {
        bool lone = commands[i].verb[0] == '\0';
        if (strcmp(commands[i].noun, noun) != 0) continue;
        if (lone || (verb != NULL && strcmp(commands[i].verb, verb) == 0)) return &commands[i];
    }
    return NULL;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    }
    return false;
}

/* The verbs of one noun, or everything when the noun is unknown; whether there was one. */
static bool help_noun(const char *noun)
{
    bool any = false;
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].noun, noun) != 0) continue;
        command_help(&commands[i]);
        any = true;
    }
    return any;
}

int main(int argc, char **argv)
{
    log_init("bourse", LOG_LEVEL_ERROR);
    if (!status_ok(secret_init())) return 1;
    const struct command *command = argc < 2 ? NULL : find(argv[1], argc < 3 ? NULL : argv[2]);
    if (argc < 2 || strcmp(argv[1], "help") == 0 || (command == NULL && wants_help(argc, argv))) {
        if (argc < 3 || !help_noun(argv[1])) command_help(NULL);
        return argc < 2 ? 2 : 0;
    }
    if (command == NULL) {
        fprintf(stderr, "bourse: there is no command %s%s%s.\n", argv[1], argc < 3 ? "" : " ",
                argc < 3 ? "" : argv[2]);
        if (!help_noun(argv[1])) fprintf(stderr, "See `bourse --help`.\n");
        return 2;
    }
    int words = command->verb[0] == '\0' ? 2 : 3;
    if (wants_help(argc, argv)) {
        command_help(command);
        return 0;
    }
    int (*run)(const struct command *, int, char **) =
        command->special != NULL ? command->special : command_run;
    return run(command, argc - words, argv + words);
}
