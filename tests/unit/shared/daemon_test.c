/* SPDX-License-Identifier: Apache-2.0 */
/* What every daemon does first and last. Whatever changes the process runs in a child. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/daemon.h"
#include "shared/log.h"
#include "tests/unit/shared/capture.h"

static struct captured captured;
static char directory[] = "/tmp/bourse-daemon-XXXXXX";

/* Sockets are named by relative paths, as the daemons do it. */
static int enter_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL ? -1 : chdir(directory);
}

static int leave_directory(void **state)
{
    (void)state;
    return chdir("/") != 0 ? -1 : rmdir(directory);
}

static status start(const char *argument, int64_t connections_min, struct config *config)
{
    char *argv[] = {(char *)"edge", (char *)argument, NULL};
    return daemon_start("edge", argument == NULL ? 1 : 2, argv, connections_min, config);
}

/* ---- start ----------------------------------------------------------------------------------- */

static void start_and_show(void *argument)
{
    struct config config;
    status started = start(argument, 10, &config);
    sigset_t blocked;
    struct rlimit files;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    getrlimit(RLIMIT_NOFILE, &files);
    printf("started=%d term=%d int=%d hup=%d usr1=%d pipe=%d dumpable=%d files=%d port=%d\n",
           status_ok(started), sigismember(&blocked, SIGTERM), sigismember(&blocked, SIGINT),
           sigismember(&blocked, SIGHUP), sigismember(&blocked, SIGUSR1),
           signal(SIGPIPE, SIG_DFL) == SIG_IGN, prctl(PR_GET_DUMPABLE),
           files.rlim_cur == files.rlim_max, (int)config.edge_port);
    fflush(stdout);
    log_info("shown");
}

TEST(a_daemon_starts_with_signals_limits_and_log_set_up)
{
    capture(start_and_show, (void *)"--edge_port=9", &captured);
    assert_non_null(strstr(captured.text, "started=1 term=1 int=1 hup=1 usr1=0 pipe=1 dumpable=0 "
                                          "files=1 port=9\n"));
    assert_non_null(strstr(captured.text, "level=info program=edge event=shown\n"));
}

TEST(the_log_has_the_configured_level)
{
    capture(start_and_show, (void *)"--log_level=warning", &captured);
    assert_non_null(strstr(captured.text, "started=1"));
    assert_null(strstr(captured.text, "event=shown"));
}

TEST(a_fault_in_the_configuration_ends_the_process_with_a_message)
{
    capture(start_and_show, (void *)"--edge_port=0", &captured);
    assert_int_equal(captured.exit_code, 1);
    assert_string_equal(captured.text, "--edge_port: \"0\" is out of range; "
                                       "write a whole number from 1 to 65535.\n");
    capture(start_and_show, (void *)"--log_level=loud", &captured);
    assert_int_equal(captured.exit_code, 1);
    assert_string_equal(captured.text, "log_level: \"loud\" is not a level; "
                                       "write error, warning, info or debug.\n");
}

static void start_with_few_descriptors(void *argument)
{
    const struct rlimit files = {64, 100};
    setrlimit(RLIMIT_NOFILE, &files);
    struct config config;
    _exit(status_ok(start(NULL, *(int64_t *)argument, &config)) ? 0 : 3);
}

TEST(a_daemon_refuses_to_start_without_four_descriptors_a_connection)
{
    int64_t connections = 25;
    capture(start_with_few_descriptors, &connections, &captured);
    assert_int_equal(captured.exit_code, 0);
    connections = 26;
    capture(start_with_few_descriptors, &connections, &captured);
    assert_int_equal(captured.exit_code, 3);
    assert_non_null(strstr(captured.text, "event=descriptor_limit_too_low limit=100 needed=104"));
}

/* ---- signals --------------------------------------------------------------------------------- */

static void wait_for_signal(void *argument)
{
    struct config config;
    if (!status_ok(start(NULL, 1, &config))) {
        _exit(3);
    }
    int fd = daemon_signal_fd();
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    int before = poll(&poller, 1, 0);
    kill(getpid(), SIGHUP); /* blocked, and not a reason to end */
    kill(getpid(), *(int *)argument);
    int after = poll(&poller, 1, 10000);
    printf("%d %d %d %d", before, after, fd == daemon_signal_fd(), daemon_signal_wait());
}

TEST(the_end_is_asked_for_through_a_descriptor)
{
    const int numbers[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        int number = numbers[i];
        char expected[32];
        snprintf(expected, sizeof(expected), "0 1 1 %d", number);
        capture(wait_for_signal, &number, &captured);
        assert_int_equal(captured.exit_code, 0);
        assert_string_equal(captured.text, expected);
    }
}

/* ---- listening ------------------------------------------------------------------------------- */

static bool connects(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_ok(slice_to_c_string(slice_of(path), address.sun_path, sizeof(address.sun_path)));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    int result = connect(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd);
    return result == 0;
}

static unsigned mode_of(const char *path)
{
    struct stat found;
    assert_int_equal(lstat(path, &found), 0);
    return found.st_mode & 07777;
}

TEST(a_socket_listens_with_its_mode_whatever_the_umask)
{
    const mode_t umasks[] = {0, 077, 0777};
    for (size_t i = 0; i < 3; i++) {
        int fd = -1;
        mode_t before = umask(umasks[i]);
        status listening = daemon_listen_unix("ledger.sock", 0660, &fd);
        umask(before);
        assert_ok(listening);
        assert_int_equal(mode_of("ledger.sock"), 0660);
        assert_true(connects("ledger.sock"));
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        close(fd);
        unlink("ledger.sock");
    }
}

TEST(a_socket_that_a_killed_process_left_is_replaced)
{
    int fd = -1;
    assert_ok(daemon_listen_unix("ledger.sock", 0600, &fd));
    close(fd); /* the file stays, as after kill -9 */
    assert_false(connects("ledger.sock"));
    assert_ok(daemon_listen_unix("ledger.sock", 0600, &fd));
    assert_true(connects("ledger.sock"));
    close(fd);
    unlink("ledger.sock");
}

TEST(a_socket_that_somebody_listens_on_is_left_alone)
{
    int first = -1;
    int second = -1;
    assert_ok(daemon_listen_unix("ledger.sock", 0600, &first));
    assert_fails(daemon_listen_unix("ledger.sock", 0600, &second), CONFLICT);
    assert_int_equal(second, -1);
    assert_true(connects("ledger.sock"));
    close(first);
    unlink("ledger.sock");
}

TEST(a_file_of_another_kind_is_never_removed)
{
    int fd = -1;
    FILE *file = fopen("precious", "w");
    assert_non_null(file);
    fclose(file);
    assert_fails(daemon_listen_unix("precious", 0600, &fd), IO);
    assert_int_equal(access("precious", F_OK), 0);
    assert_int_equal(symlink("precious", "link"), 0);
    assert_fails(daemon_listen_unix("link", 0600, &fd), IO);
    assert_int_equal(access("link", F_OK), 0);
    unlink("link");
    unlink("precious");
}

TEST(a_path_longer_than_an_address_holds_is_refused)
{
    char path[200];
    int fd = -1;
    memset(path, 'x', sizeof(path));
    path[107] = '\0'; /* the longest that fits with its end */
    assert_ok(daemon_listen_unix(path, 0600, &fd));
    close(fd);
    unlink(path);
    path[107] = 'x';
    path[108] = '\0';
    assert_fails(daemon_listen_unix(path, 0600, &fd), IO);
    assert_fails(daemon_listen_unix("nowhere/ledger.sock", 0600, &fd), IO);
}

/* ---- fault points ---------------------------------------------------------------------------- */

#ifdef BOURSE_FAULT_POINTS
static void pass_fault_points(void *crash_at)
{
    if (crash_at != NULL) {
        setenv("BOURSE_CRASH_AT", crash_at, 1);
    }
    for (int i = 1; i <= 3; i++) {
        printf("%d", i);
        fflush(stdout);
        fault_point("after_hold");
        fault_point("after_sync");
    }
}

TEST(a_process_dies_at_the_named_passage_of_its_fault_point)
{
    const struct {
        const char *crash_at;
        const char *passed;
    } rows[] = {
        {"after_hold", "1"},
        {"after_sync:2", "12"},
        {"after_hold:3", "123"},
        /* and not at another, nor without the variable */
        {"after_hold:4", "123"},
        {"after_ack", "123"},
        {"after", "123"},
        {NULL, "123"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        capture(pass_fault_points, (void *)rows[i].crash_at, &captured);
        assert_int_equal(captured.signal_number, i < 3 ? SIGKILL : 0);
        assert_string_equal(captured.text, rows[i].passed);
    }
}

/* Of the directory that we are in. */
static void arm(const char *file)
{
    int fd = open(file, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

TEST(a_process_dies_at_the_point_whose_file_it_takes_away)
{
    setenv("BOURSE_STRIKE_IN", ".", 1);
    arm("after_sync.crash");
    capture(pass_fault_points, NULL, &captured);
    assert_int_equal(captured.signal_number, SIGKILL);
    assert_string_equal(captured.text, "1");
    /* The next one does not, and another point's file is left to who passes that. */
    arm("after_ack.crash");
    capture(pass_fault_points, NULL, &captured);
    assert_int_equal(captured.signal_number, 0);
    assert_string_equal(captured.text, "123");
    assert_int_equal(unlink("after_ack.crash"), 0);
    unsetenv("BOURSE_STRIKE_IN");
}

TEST(a_process_stands_at_the_point_whose_file_it_takes_away_until_it_may_go_on)
{
    arm("after_hold.stop");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("BOURSE_STRIKE_IN", ".", 1);
        for (int i = 0; i < 3; i++)
            fault_point("after_hold");
        _exit(7); /* it stood once */
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, WUNTRACED), child);
    assert_true(WIFSTOPPED(how));
    assert_int_equal(WSTOPSIG(how), SIGSTOP);
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &how, WUNTRACED), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 7);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_daemon_starts_with_signals_limits_and_log_set_up),
        cmocka_unit_test(the_log_has_the_configured_level),
        cmocka_unit_test(a_fault_in_the_configuration_ends_the_process_with_a_message),
        cmocka_unit_test(a_daemon_refuses_to_start_without_four_descriptors_a_connection),
        cmocka_unit_test(the_end_is_asked_for_through_a_descriptor),
        cmocka_unit_test(a_socket_listens_with_its_mode_whatever_the_umask),
        cmocka_unit_test(a_socket_that_a_killed_process_left_is_replaced),
        cmocka_unit_test(a_socket_that_somebody_listens_on_is_left_alone),
        cmocka_unit_test(a_file_of_another_kind_is_never_removed),
        cmocka_unit_test(a_path_longer_than_an_address_holds_is_refused),
#ifdef BOURSE_FAULT_POINTS
        cmocka_unit_test(a_process_dies_at_the_named_passage_of_its_fault_point),
        cmocka_unit_test(a_process_dies_at_the_point_whose_file_it_takes_away),
        cmocka_unit_test(a_process_stands_at_the_point_whose_file_it_takes_away_until_it_may_go_on),
#endif
    };
    return cmocka_run_group_tests_name("daemon", tests, enter_directory, leave_directory);
}
