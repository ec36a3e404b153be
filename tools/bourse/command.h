/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's command line as a table: what `bourse NOUN VERB` takes, which control-plane route
 * it calls, and how a person sees the answer. commands.c holds the rows; run.c is the one way they
 * are carried out. */
#pragma once

#include "shared/arena.h"
#include "shared/json/read.h"

enum option_kind {
    OPTION_STRING, /* a JSON string */
    OPTION_NUMBER, /* a JSON number of dollars, passed on digit by digit */
    OPTION_COUNT,  /* a whole number */
    OPTION_SWITCH, /* true when given */
    OPTION_FLAG,   /* true or false */
    OPTION_SECRET, /* a file whose content (without a trailing newline) is a JSON string */
};
enum option_place {
    IN_BODY,
    IN_QUERY,
    IN_PATH,
    IN_HEADER, /* the Idempotency-Key */
    ELSEWHERE  /* the command's own function takes it */
};
/* How a list goes on: by ?offset=, or by ?after= the last id. All of it is asked for. */
enum paging { PAGES_NONE, PAGES_BY_OFFSET, PAGES_BY_ID };

struct option {
    const char *name; /* --name */
    const char *help;
    const char *field; /* its name in the body or the query */
    enum option_kind kind;
    enum option_place place;
    bool required;
};

#define OPTIONS_MAX 12
#define COLUMNS_MAX 8

struct command {
    const char *noun, *verb;
    const char *help;
    const char *argument; /* name of a positional argument, e.g. "FILE" or "SLUG"; NULL: none */
    const char *service;  /* "ledger": its operator socket is asked */
    const char *method;
    const char *path;  /* {} stands for the positional argument or the IN_PATH option */
    const char *fixed; /* a member added to the body, e.g. "\"disabled\":true" */
    const char *columns[COLUMNS_MAX]; /* of a list, for people */
    bool body_is_file;                /* the positional argument's content is the body */
    bool is_page;                     /* the answer is no JSON: printed as it is */
    bool moves_money;                 /* an Idempotency-Key is made unless one is given */
    enum paging pages;
    const char *lift; /* --json prints this object of the answer instead of the whole: "data", or
                         "key" (see print.c) */
    int (*special)(const struct command *command, int argc, char **argv);
    struct option options[OPTIONS_MAX];
};

extern const struct command commands[];
extern const size_t command_count;

int command_run(const struct command *command, int argc, char **argv);
void command_help(const struct command *command); /* NULL: all of them */
int audit_run(const struct command *command, int argc, char **argv);
int verify_run(const struct command *command, int argc, char **argv);
int buy_run(const struct command *command, int argc, char **argv);
