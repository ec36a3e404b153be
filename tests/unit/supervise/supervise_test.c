/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor as a process, with shell commands for programs: what it starts, in which order,
 * what it does with the dead, and that nothing outlives it. Each test works in a directory of its
 * own; its events are read from the supervisor's log. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/clock.h"
#include "tests/unit/test.h"

#define WAIT_MS  10000
#define POLL_US  5000
#define LOG_SIZE 65536

/* A program that runs until it is told to end, and says so when it ends. */
#define PATIENT  "/bin/sh\t-c\ttrap 'exit 0' TERM; while :; do sleep 0.05; done"

struct scene {
    char directory[64];
    char executable[4096];
    pid_t pid;
    char log[LOG_SIZE];
};

static struct scene scene;

/* ---- the steps the tests are written in ---- */

static int scene_open(void **state)
{
    (void)state;
    strcpy(scene.directory, "/tmp/supervise-test-XXXXXX");
    if (mkdtemp(scene.directory) == NULL || chdir(scene.directory) != 0) return -1;
    return mkdir("run", 0700) == 0 && mkdir("log", 0700) == 0 ? 0 : -1;
}

static int scene_close(void **state)
{
    (void)state;
    char command[128];
    if (scene.pid > 0) {
        kill(scene.pid, SIGKILL);
        waitpid(scene.pid, NULL, 0);
    }
    scene.pid = 0;
    snprintf(command, sizeof command, "rm -rf '%s'", scene.directory);
    return system(command) == 0 ? 0 : -1;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static pid_t launch(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int log = open("events", O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(log, 2);
        execl(scene.executable, "supervise", "--table", "table", (char *)NULL);
        _exit(126);
    }
    return pid;
}

static void supervise(const char *table)
{
    write_file("table", table);
    scene.pid = launch();
}

static int exit_code_of(pid_t pid)
{
    int wait_status = 0;
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_true(WIFEXITED(wait_status));
    return WEXITSTATUS(wait_status);
}

static int end_with(int signal_number)
{
    kill(scene.pid, signal_number);
    pid_t pid = scene.pid;
    scene.pid = 0;
    return exit_code_of(pid);
}

static const char *read_text(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, scene.log, LOG_SIZE - 1);
    if (fd >= 0) close(fd);
    scene.log[len < 0 ? 0 : len] = '\0';
    return scene.log;
}

static int count_events(const char *event)
{
    int count = 0;
    for (const char *at = read_text("events"); (at = strstr(at, event)) != NULL; at++)
        count++;
    return count;
}

/* Waits for the n-th event; the deadline is generous, for it only matters when the test fails. */
static void await_event(const char *event, int n)
{
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (count_events(event) < n) {
        if (clock_monotonic_ms() > end_ms)
            fail_msg("no %s (%d times) in:\n%s", event, n, scene.log);
        usleep(POLL_US);
    }
}

static pid_t pid_in(const char *path)
{
    return (pid_t)atol(read_text(path));
}

static size_t position_of(const char *event)
{
    const char *text = read_text("events");
    const char *at = strstr(text, event);
    if (at == NULL) fail_msg("no %s in:\n%s", event, text);
    return (size_t)(at - text);
}

static bool is_alive(pid_t pid)
{
    return kill(pid, 0) == 0 || errno != ESRCH;
}

/* ---- the tests ---- */

TEST(programs_start_in_the_order_of_the_table_and_stop_in_reverse)
{
    supervise("# a comment\n"
              "keep\tfirst\t-\tTERM:5\t-\t" PATIENT "\n"
              "once\tstep\t-\tTERM:5\t-\t/bin/sh\t-c\texit 0\n"
              "keep\tlast\t-\tTERM:5\t-\t" PATIENT "\n");
    await_event("event=started name=last", 1);
    assert_int_equal(end_with(SIGTERM), 0);
    assert_true(position_of("event=started name=first") < position_of("event=started name=step"));
    assert_true(position_of("event=ended name=step") < position_of("event=started name=last"));
    assert_true(position_of("event=stopped name=last") < position_of("event=stopped name=first"));
}

TEST(a_program_waits_for_the_socket_of_the_one_before)
{
    supervise("keep\tfirst\t-\tTERM:5\trun/first.sock\t" PATIENT "\n"
              "keep\tlast\t-\tTERM:5\t-\t" PATIENT "\n");
    await_event("event=started name=first", 1);
    /* Nobody listens yet: a kill and restart of the first shows that the supervisor went on working
     * meanwhile. */
    kill(pid_in("run/first.pid"), SIGKILL);
    await_event("event=started name=first", 2);
    assert_int_equal(count_events("event=started name=last"), 0);
    assert_int_equal(end_with(SIGINT), 0);
}

TEST(a_killed_program_is_back_within_a_second)
{
    supervise("keep\tone\t-\tTERM:5\t-\t" PATIENT "\n");
    await_event("event=started name=one", 1);
    pid_t before = pid_in("run/one.pid");
    uint64_t killed_ms = clock_monotonic_ms();
    kill(before, SIGKILL);
    await_event("event=started name=one", 2);
    assert_true(clock_monotonic_ms() - killed_ms < 1000);
    assert_int_not_equal(pid_in("run/one.pid"), before);
    assert_int_equal(end_with(SIGTERM), 0);
}

TEST(a_program_killed_again_and_again_is_back_within_a_second_each_time)
{
    supervise("keep\tone\t-\tTERM:5\t-\t" PATIENT "\n");
    await_event("event=started name=one", 1);
    for (int n = 1; n <= 7; n++) {
        uint64_t killed_ms = clock_monotonic_ms();
        kill(pid_in("run/one.pid"), SIGKILL);
        await_event("event=started name=one", n + 1);
        assert_true(clock_monotonic_ms() - killed_ms < 1000);
    }
    assert_int_equal(end_with(SIGTERM), 0);
}

TEST(a_program_that_keeps_dying_is_started_at_once_then_later_and_later)
{
    supervise("keep\tbroken\t-\tTERM:5\t-\t/bin/false\n");
    await_event("event=died name=broken", 5);
    assert_int_equal(count_events("restart_ms=0\n"), 1);
    assert_int_equal(count_events("restart_ms=500\n"), 3);
    assert_int_equal(count_events("restart_ms=5000\n"), 1);
    assert_int_equal(end_with(SIGTERM), 0);
}

TEST(a_step_that_fails_ends_the_start_and_stops_what_runs)
{
    supervise("keep\tfirst\t-\tTERM:5\t-\t" PATIENT "\n"
              "once\tstep\t-\tTERM:5\t-\t/bin/sh\t-c\texit 3\n"
              "keep\tlast\t-\tTERM:5\t-\t" PATIENT "\n");
    assert_int_equal(exit_code_of(scene.pid), 1);
    scene.pid = 0;
    assert_int_equal(count_events("event=stopped name=first"), 1);
    assert_int_equal(count_events("event=started name=last"), 0);
}

TEST(a_program_that_does_not_end_is_killed_after_its_time)
{
    supervise("keep\tdeaf\t-\tTERM:1\t-\t/bin/sh\t-c\ttrap '' TERM; echo deaf >&2; while :; do "
              "sleep 0.05; done\n");
    await_event("event=started name=deaf", 1);
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (strstr(read_text("log/deaf.log"), "deaf") == NULL && clock_monotonic_ms() < end_ms)
        usleep(POLL_US);
    assert_int_equal(end_with(SIGTERM), 0);
    assert_int_equal(count_events("event=killed name=deaf"), 1);
}

TEST(a_program_that_ends_when_told_is_not_killed)
{
    supervise("keep\tone\t-\tTERM:5\t-\t" PATIENT "\n");
    await_event("event=started name=one", 1);
    assert_int_equal(end_with(SIGTERM), 0);
    assert_int_equal(count_events("event=killed"), 0);
}

TEST(no_program_outlives_a_killed_supervisor)
{
    supervise("keep\tone\t-\tTERM:5\t-\t/bin/sleep\t1000\n"
              "keep\ttwo\t-\tINT:5\t-\t/bin/sleep\t1000\n"
              "once\tend\t-\tTERM:5\t-\t/bin/true\n");
    await_event("event=ended name=end", 1);
    pid_t one = pid_in("run/one.pid"), two = pid_in("run/two.pid");
    assert_true(is_alive(one) && is_alive(two));
    kill(scene.pid, SIGKILL);
    waitpid(scene.pid, NULL, 0);
    scene.pid = 0;
    /* They become children of this process (main made it their reaper), and their ends are the
     * event waited for. */
    int how_one = 0, how_two = 0;
    assert_int_equal(waitpid(one, &how_one, 0), one);
    assert_int_equal(waitpid(two, &how_two, 0), two);
    assert_int_equal(WTERMSIG(how_one), SIGKILL);
    assert_int_equal(WTERMSIG(how_two), SIGINT);
}

TEST(a_second_supervisor_in_the_same_directory_is_refused)
{
    supervise("keep\tone\t-\tTERM:5\t-\t" PATIENT "\n");
    await_event("event=started name=one", 1);
    assert_int_equal(exit_code_of(launch()), 3);
    assert_int_equal(end_with(SIGTERM), 0);
}

TEST(a_directory_is_free_again_after_a_kill)
{
    supervise("keep\tone\t-\tTERM:5\t-\t" PATIENT "\n");
    await_event("event=started name=one", 1);
    kill(scene.pid, SIGKILL);
    waitpid(scene.pid, NULL, 0);
    scene.pid = launch();
    await_event("event=started name=one", 2);
    assert_int_equal(end_with(SIGTERM), 0);
}

TEST(a_table_that_is_not_understood_starts_nothing)
{
    static const char *const tables[] = {
        "",
        "keep\n",
        "keep\tone\t-\tTERM:5\t-\n",
        "stop\tone\t-\tTERM:5\t-\t/bin/true\n",
        "keep\tone\t-\tHUP:5\t-\t/bin/true\n",
        "keep\tone\t-\tTERM:many\t-\t/bin/true\n",
        "keep\tone\t-\tTERM\t-\t/bin/true\n",
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        write_file("table", tables[i]);
        assert_int_equal(exit_code_of(launch()), 2);
    }
    assert_int_equal(count_events("event=started"), 0);
}

#define SCENE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    if (realpath("build/supervise", scene.executable) == NULL) return 1;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const struct CMUnitTest tests[] = {
        SCENE_TEST(programs_start_in_the_order_of_the_table_and_stop_in_reverse),
        SCENE_TEST(a_program_waits_for_the_socket_of_the_one_before),
        SCENE_TEST(a_killed_program_is_back_within_a_second),
        SCENE_TEST(a_program_killed_again_and_again_is_back_within_a_second_each_time),
        SCENE_TEST(a_program_that_keeps_dying_is_started_at_once_then_later_and_later),
        SCENE_TEST(a_step_that_fails_ends_the_start_and_stops_what_runs),
        SCENE_TEST(a_program_that_does_not_end_is_killed_after_its_time),
        SCENE_TEST(a_program_that_ends_when_told_is_not_killed),
        SCENE_TEST(no_program_outlives_a_killed_supervisor),
        SCENE_TEST(a_second_supervisor_in_the_same_directory_is_refused),
        SCENE_TEST(a_directory_is_free_again_after_a_kill),
        SCENE_TEST(a_table_that_is_not_understood_starts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
