/* SPDX-License-Identifier: Apache-2.0 */
/* The output goes to an unnamed file rather than a pipe, so that a child that writes much never
 * waits. */
#include "tests/unit/shared/capture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

static void run_child(void (*function)(void *argument), void *argument, int fd)
{
    if (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) {
        _exit(125);
    }
    /* The test framework catches these and would go on with the next test, in the child too. */
    const int fatal[] = {SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGBUS};
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
        signal(fatal[i], SIG_DFL);
    }
    function(argument);
    fflush(stdout);
    /* Not exit(): the parent's test framework must not report twice. */
    _exit(0);
}

void capture(void (*function)(void *argument), void *argument, struct captured *captured)
{
    int fd = memfd_create("captured", 0);
    assert_true(fd >= 0);
    /* Like a log file: each write goes to the end, whichever thread wrote last. */
    assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        run_child(function, argument, fd);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    captured->exit_code = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
    captured->signal_number = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    ssize_t len = pread(fd, captured->text, sizeof(captured->text) - 1, 0);
    assert_true(len >= 0);
    captured->text[len] = '\0';
    close(fd);
}
