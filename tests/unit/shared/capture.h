/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a function in a child process and keeps what it wrote and how it ended. For functions that
 * exit, print or change the whole process. */
#pragma once

#include "shared/buffer.h"

struct captured {
    char text[65536]; /* standard output and standard error, in the order of their writing */
    int exit_code;    /* -1 when a signal ended it */
    int signal_number;
};

/* `function` gets `argument`; the child leaves with exit code 0 when it returns. */
void capture(void (*function)(void *argument), void *argument, struct captured *captured);
