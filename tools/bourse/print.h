/* SPDX-License-Identifier: Apache-2.0 */
/* Answers for people and for scripts. */
#pragma once

#include "tools/bourse/command.h"

/* --json: the answer, or the object the command lifts out of it. */
void print_json(const struct command *command, const struct json_document *answer);
/* For people: a list as aligned columns, an object as lines of name and value. */
void print_text(const struct command *command, const struct json_document *answer);
/* The error envelope's message on stderr. */
void print_error(const struct json_document *answer, long http_status);
