/* SPDX-License-Identifier: Apache-2.0 */
/* What every daemon does first and last. Signals are blocked for the whole process and read from a
 * descriptor, so no code of ours ever runs in a signal handler. */
#include "shared/daemon.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "shared/descriptor.h"
#include "shared/log.h"
#include "shared/secret.h"

#define LISTEN_BACKLOG 1024
#define DESCRIPTORS_PER_CONNECTION \
    4 /* client, provider, and room for files, pipes and the others */

static status read_log_level(const char *text, enum log_level *level);
static void block_signals(void);
static status raise_descriptor_limit(int64_t connections_min);

status daemon_start(const char *program, int argc, char **argv, int64_t connections_min,
                    struct config *config)
{
    enum log_level level;
    config_defaults(config);
    if (!status_ok(config_read_arguments(config, program, argc, argv)) ||
        !status_ok(read_log_level(config->log_level, &level))) {
        exit(EXIT_FAILURE);
    }
    log_init(program, level);
    block_signals();
    TRY(secret_init());
    return raise_descriptor_limit(connections_min);
}

static status read_log_level(const char *text, enum log_level *level)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *level = (enum log_level)i;
            return OK;
        }
    }
    fprintf(stderr, "log_level: \"%s\" is not a level; write error, warning, info or debug.\n",
            text);
    return FAIL(CONFIGURATION);
}

static sigset_t ending_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

static void block_signals(void)
{
    sigset_t set = ending_signals();
    sigaddset(&set, SIGHUP);
    int failed = pthread_sigmask(SIG_BLOCK, &set, NULL);
    assert(failed == 0);
    /* A peer that is gone is an error of write(2), seen where it happens. */
    signal(SIGPIPE, SIG_IGN);
}

static status raise_descriptor_limit(int64_t connections_min)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        log_error("descriptor_limit_unreadable", F(errno, errno));
        return FAIL(IO);
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        log_error("descriptor_limit_unchangeable", F(errno, errno));
        return FAIL(IO);
    }
    rlim_t needed = (rlim_t)connections_min * DESCRIPTORS_PER_CONNECTION;
    if (limit.rlim_cur < needed) {
        log_error(
            "descriptor_limit_too_low", FN(number, limit, limit.rlim_cur),
            FN(number, needed, needed),
            F(reason, SLICE("raise the hard limit of open files or configure fewer connections")));
        return FAIL(CONFIGURATION);
    }
    return OK;
}

int daemon_signal_fd(void)
{
    static int fd = -1;
    if (fd < 0) {
        sigset_t set = ending_signals();
        fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        assert(fd >= 0);
    }
    return fd;
}

int daemon_signal_wait(void)
{
    sigset_t set = ending_signals();
    int number;
    do {
        number = sigwaitinfo(&set, NULL);
    } while (number < 0);
    return number;
}

/* ---- listening ------------------------------------------------------------------------------- */

static status listen_failed(const char *what, const char *path, int error)
{
    log_error(what, FN(name, path, slice_of(path)), F(errno, error));
    return FAIL(IO);
}

/* Whether somebody answers at that address. A socket file without a listener refuses the
 * connection. */
static bool is_in_use(const struct sockaddr_un *address)
{
    SCOPED(descriptor_close)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0) return true;
    return errno == EAGAIN; /* its queue is full, so it lives */
}

/* Removes what a killed process left behind; never a file of another kind, never a living
 * socket. */
static status remove_stale(const struct sockaddr_un *address)
{
    const char *path = address->sun_path;
    struct stat found;
    if (lstat(path, &found) != 0) {
        return errno == ENOENT ? OK : listen_failed("socket_path_unusable", path, errno);
    }
    if (!S_ISSOCK(found.st_mode)) return listen_failed("socket_path_is_a_file", path, EEXIST);
    if (is_in_use(address)) {
        (void)listen_failed("socket_in_use", path, EADDRINUSE).code;
        return FAIL(CONFLICT);
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        return listen_failed("stale_socket_stays", path, errno);
    }
    return OK;
}

status daemon_listen_unix(const char *path, unsigned mode, int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!status_ok(slice_to_c_string(slice_of(path), address.sun_path, sizeof(address.sun_path)))) {
        return listen_failed("socket_path_too_long", path, ENAMETOOLONG);
    }
    TRY(remove_stale(&address));
    SCOPED(descriptor_close)
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The mode is set before bind, so that the file never exists with wider rights, and after it,
     * because bind takes the umask away. */
    if (made < 0 || fchmod(made, mode) != 0 ||
        bind(made, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(path, mode) != 0 || listen(made, LISTEN_BACKLOG) != 0) {
        return listen_failed("socket_not_bound", path, errno);
    }
    *fd = made;
    made = -1; /* the cleanup reads it: NOLINT(clang-analyzer-deadcode.DeadStores) */
    return OK;
}

/* ---- fault points ---------------------------------------------------------------------------- */

#ifdef BOURSE_FAULT_POINTS
/* What a file in the directory of BOURSE_STRIKE_IN may want at a point, by the end of its name. */
static const struct {
    const char *suffix;
    int signal_number;
} strikes[] = {{"crash", SIGKILL}, {"stop", SIGSTOP}};

/* Whether BOURSE_CRASH_AT wants this passage: "name", or "name:n" at the n-th. */
static bool is_wanted(const char *name)
{
    static _Atomic uint64_t passages;
    const char *wanted = getenv("BOURSE_CRASH_AT");
    slice wanted_name, wanted_passage;
    uint64_t passage_number = 1;
    if (wanted == NULL) return false;
    if (slice_split(slice_of(wanted), ':', &wanted_name, &wanted_passage) &&
        !status_ok(slice_to_u64(wanted_passage, &passage_number))) {
        return false;
    }
    return slice_equal(wanted_name, slice_of(name)) &&
           atomic_fetch_add(&passages, 1) + 1 == passage_number;
}

/* Whoever takes the file away is struck: one of all threads and programs that pass. */
static bool is_armed(const char *name, const char *suffix)
{
    char file[PATH_MAX];
    const char *directory = getenv("BOURSE_STRIKE_IN");
    if (directory == NULL) return false;
    int len = snprintf(file, sizeof(file), "%s/%s.%s", directory, name, suffix);
    return len > 0 && (size_t)len < sizeof(file) && unlink(file) == 0;
}

void fault_point(const char *name)
{
    /* Sent to this thread, so it takes hold before the thread could go on. */
    if (is_wanted(name)) (void)raise(SIGKILL);
    for (size_t i = 0; i < sizeof(strikes) / sizeof(strikes[0]); i++) {
        if (is_armed(name, strikes[i].suffix)) (void)raise(strikes[i].signal_number);
    }
}

/* Whether the variable has a file for this name: "name:path". */
static bool names_file(const char *variable, const char *name, char file[PATH_MAX])
{
    const char *wanted = getenv(variable);
    slice wanted_name, path;
    return wanted != NULL && slice_split(slice_of(wanted), ':', &wanted_name, &path) &&
           slice_equal(wanted_name, slice_of(name)) &&
           status_ok(slice_to_c_string(path, file, PATH_MAX));
}

void fault_stand(const char *name)
{
    static const struct timespec moment = {.tv_nsec = 10000000};
    char file[PATH_MAX];
    if (!names_file("BOURSE_STAND_AT", name, file)) return;
    while (access(file, F_OK) == 0)
        (void)nanosleep(&moment, NULL);
}

void fault_note(const char *name, uint64_t number)
{
    char file[PATH_MAX];
    if (!names_file("BOURSE_NOTE_AT", name, file)) return;
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    /* A test that believed an old number would take back what was promised. */
    if (fd < 0 || pwrite(fd, &number, sizeof(number), 0) != (ssize_t)sizeof(number)) abort();
    (void)close(fd);
}

const char *fault_path(const char *variable, const char *path)
{
    const char *other = getenv(variable);
    return other != NULL ? other : path;
}
#endif
