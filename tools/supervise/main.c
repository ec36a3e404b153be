/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the programs of one instance running: starts the rows of a table in order, starts again
 * what dies, and at SIGTERM or SIGINT stops everything in reverse order. It knows nothing about
 * what the programs do. The complication: no program may outlive it, so each child asks the kernel
 * to be signalled when this process dies, however that happens. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/descriptor.h"
#include "shared/log.h"

#define PROGRAMS_MAX     16
#define ARGUMENTS_MAX    31
#define TABLE_SIZE_MAX   16384
#define PATH_SIZE        512

/* A program that lived this long had started well: its death is an accident and it is started again
 * at once. Shorter lives are counted; the first restarts at once, the next ones later, so that a
 * broken program does not eat the machine. */
#define STABLE_AFTER_MS  2000
#define QUICK_DEATHS_MAX 5
#define RESTART_SOON_MS  500
#define RESTART_LATE_MS  5000

/* Then the next row starts anyway: a slow program must not keep the others down. */
#define READY_WAIT_MS    30000
#define READY_POLL_MS    20
#define LOCK_TRIES_MAX   20
#define IDLE_WAIT_MS     60000

struct program {
    const char *name;
    bool once;        /* a step of the start that must end with 0, not a daemon */
    const char *user; /* to run as, when this process is root; "-" keeps the own user */
    int stop_signal;
    uint64_t stop_wait_ms;    /* then SIGKILL */
    const char *ready_socket; /* Unix socket that accepts connections once the program serves; "-"
                                 for none */
    char *arguments[ARGUMENTS_MAX + 1];

    pid_t pid; /* 0: not running */
    bool ready;
    uint64_t started_ms, restart_ms;
    int quick_deaths, deaths;
};

struct supervisor {
    struct program programs[PROGRAMS_MAX];
    size_t count;
    size_t next; /* first row that was never started */
    bool failed; /* a step of the start failed */
    sigset_t watched;
    struct buffer table; /* the programs' fields point into it */
};

static const int watched[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
static struct supervisor supervisor;

static void read_table(struct supervisor *s, const char *path);
static void take_lock(void);
static void run_until_signal(struct supervisor *s);
static void stop_all(struct supervisor *s);

static const char usage[] =
    "supervise --table FILE [--with-parent]\n"
    "Starts the programs of FILE in order and keeps them running until SIGTERM or SIGINT; then "
    "stops them in reverse.\n"
    "Works in the current directory: run/NAME.pid, log/NAME.log, and run/supervise.pid, which it "
    "keeps locked.\n"
    "  --with-parent   end when the process that started this one ends\n"
    "A line of FILE, fields separated by tabs; # starts a comment:\n"
    "  keep|once  NAME  USER|-  TERM|INT:SECONDS  READY-SOCKET|-  COMMAND  [ARGUMENT...]\n"
    "keep: start again whatever ends it. once: must end with 0 before the next line starts.\n"
    "The next line starts when READY-SOCKET accepts connections, after 30 s at the latest.\n"
    "A program that dies is started again at once; one that keeps dying within 2 s of its start, "
    "after 0.5 s, and\n"
    "from the fifth such death in a row on, unless by SIGKILL, after 5 s. Exit: 0 stopped by a "
    "signal,\n"
    "1 a `once` line failed, 2 wrong use, 3 already running here.\n";

static void fail(int code, const char *what, const char *subject)
{
    fprintf(stderr, "supervise: %s: %s\n", what, subject);
    exit(code);
}

int main(int argc, char **argv)
{
    const char *table = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        } else if (strcmp(argv[i], "--table") == 0 && i + 1 < argc) {
            table = argv[++i];
        } else if (strcmp(argv[i], "--with-parent") == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
        } else {
            fail(2, "unknown argument, see --help", argv[i]);
        }
    }
    if (table == NULL) fail(2, "missing, see --help", "--table FILE");

    log_init("supervise", LOG_LEVEL_INFO);
    umask(027);
    /* What a killed PostgreSQL leaves behind is reaped here, not by a lazy init. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    take_lock();
    read_table(&supervisor, table);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&supervisor.watched);
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++) {
        sigaddset(&supervisor.watched, watched[i]);
    }
    sigprocmask(SIG_BLOCK, &supervisor.watched, NULL);

    run_until_signal(&supervisor);
    stop_all(&supervisor);
    unlink("run/supervise.pid");
    return supervisor.failed ? 1 : 0;
}

/* The lock, not the number in the file, says that a supervisor runs here: it cannot be left behind
 * by a kill -9. */
static void take_lock(void)
{
    int fd = open("run/supervise.pid", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) fail(2, strerror(errno), "run/supervise.pid");
    /* Who asks whether a supervisor runs takes the lock for a moment; hence a few tries. */
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (tries == LOCK_TRIES_MAX)
            fail(3, "already running in this directory", "run/supervise.pid is locked");
        usleep(READY_POLL_MS * 1000);
    }
    if (ftruncate(fd, 0) != 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
        fail(2, strerror(errno), "run/supervise.pid");
}

/* "INT:60" → SIGINT and 60 s. */
static void read_stop(struct program *p, const char *field)
{
    const char *colon = strchr(field, ':');
    int64_t seconds = 0;
    if (colon == NULL || !status_ok(slice_to_i64(slice_of(colon + 1), &seconds)) || seconds < 0 ||
        seconds > 3600) {
        fail(2, "stop field is not SIGNAL:SECONDS", field);
    }
    if (strncmp(field, "TERM:", 5) != 0 && strncmp(field, "INT:", 4) != 0)
        fail(2, "signal is not TERM or INT", field);
    p->stop_signal = field[0] == 'I' ? SIGINT : SIGTERM;
    p->stop_wait_ms = (uint64_t)seconds * 1000;
}

static void read_row(struct program *p, char *line)
{
    char *fields[5];
    for (int i = 0; i < 5; i++) {
        fields[i] = strsep(&line, "\t");
        if (fields[i] == NULL || line == NULL)
            fail(2, "row of the table has too few fields", fields[0]);
    }
    p->once = strcmp(fields[0], "once") == 0;
    if (!p->once && strcmp(fields[0], "keep") != 0)
        fail(2, "row starts with neither keep nor once", fields[0]);
    p->name = fields[1];
    p->user = fields[2];
    read_stop(p, fields[3]);
    p->ready_socket = fields[4];
    size_t count = 0;
    while (line != NULL) {
        if (count == ARGUMENTS_MAX) fail(2, "too many arguments", p->name);
        p->arguments[count++] = strsep(&line, "\t");
    }
}

static void read_table(struct supervisor *s, const char *path)
{
    buffer_init(&s->table, TABLE_SIZE_MAX);
    status got = descriptor_read_file(path, &s->table);
    buffer_append_char(&s->table, '\0');
    if (!status_ok(got) || !status_ok(buffer_finish(&s->table)))
        fail(2, "unreadable or longer than 16 KiB", path);
    for (char *rest = s->table.data; rest != NULL;) {
        char *line = strsep(&rest, "\n");
        if (line[0] == '\0' || line[0] == '#') continue;
        if (s->count == PROGRAMS_MAX) fail(2, "more rows than 16", path);
        read_row(&s->programs[s->count++], line);
    }
    if (s->count == 0) fail(2, "names no program", path);
}

/* ---- one program ---- */

/* A reader never sees half a number: the file is written beside its place and moved there. */
static void write_pid_file(const struct program *p)
{
    char path[PATH_SIZE], fresh[PATH_SIZE];
    snprintf(path, PATH_SIZE, "run/%s.pid", p->name);
    snprintf(fresh, PATH_SIZE, "run/%s.pid.new", p->name);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return;
    dprintf(fd, "%d\n", (int)p->pid);
    close(fd);
    rename(fresh, path);
}

static void remove_pid_file(const struct program *p)
{
    char path[PATH_SIZE];
    snprintf(path, PATH_SIZE, "run/%s.pid", p->name);
    unlink(path);
}

/* Runs in the child: log, user, and the promise to die with the supervisor (in this order, a change
 * of user clears it). */
static void become_program(const struct program *p, pid_t parent)
{
    char path[PATH_SIZE];
    snprintf(path, PATH_SIZE, "log/%s.log", p->name);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log < 0 || null < 0) fail(127, strerror(errno), path);
    if (dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        fail(127, strerror(errno), "log");
    setpgid(0, 0); /* a Ctrl-C at the terminal is the supervisor's to handle */

    if (geteuid() == 0 && strcmp(p->user, "-") != 0) {
        const struct passwd *user = getpwnam(p->user);
        if (user == NULL) fail(127, strerror(errno), p->user);
        if (initgroups(p->user, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
            setuid(user->pw_uid) != 0) {
            fail(127, strerror(errno), p->user);
        }
    }
    /* SIGKILL is safe for every program of ours. PostgreSQL, the one stopped by SIGINT, gets its
     * fast shutdown. */
    prctl(PR_SET_PDEATHSIG, p->stop_signal == SIGINT ? SIGINT : SIGKILL);
    if (getppid() != parent) _exit(127);

    /* A shell starts background programs with SIGINT ignored, and that would be inherited. */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &supervisor.watched, NULL);
    /* A named point of a test build strikes once: the program that is started again recovers. */
    if (p->deaths > 0) unsetenv("BOURSE_CRASH_AT");
    execv(p->arguments[0], p->arguments);
    fail(127, strerror(errno), p->arguments[0]);
}

static void start_program(struct program *p)
{
    pid_t parent = getpid();
    p->ready = false;
    p->restart_ms = 0;
    p->started_ms = clock_monotonic_ms();
    p->pid = fork();
    if (p->pid == 0) become_program(p, parent);
    if (p->pid < 0) {
        log_error("fork_failed", F(name, slice_of(p->name)), F(errno, errno));
        p->pid = 0;
        p->restart_ms = p->started_ms + RESTART_SOON_MS;
        return;
    }
    write_pid_file(p);
    log_info("started", F(name, slice_of(p->name)), FN(number, pid, p->pid));
}

/* SIGKILL is not the program's own failure, it comes from outside: such a program is always back
 * within a second. */
static uint64_t restart_delay(struct program *p, uint64_t now_ms, bool was_killed)
{
    bool was_stable = now_ms - p->started_ms >= STABLE_AFTER_MS;
    p->quick_deaths = was_stable ? 0 : p->quick_deaths + 1;
    if (p->quick_deaths <= 1) return 0;
    return was_killed || p->quick_deaths < QUICK_DEATHS_MAX ? RESTART_SOON_MS : RESTART_LATE_MS;
}

static void note_death(struct supervisor *s, struct program *p, int wait_status)
{
    int code = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    slice how = WIFSIGNALED(wait_status) ? SLICE("signal") : SLICE("exit");
    p->pid = 0;
    if (p->once) {
        p->ready = wait_status == 0;
        s->failed = s->failed || !p->ready;
        remove_pid_file(p);
        log_info("ended", F(name, slice_of(p->name)), FN(name, by, how), FN(number, code, code));
        return;
    }
    p->deaths++;
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t delay_ms = restart_delay(p, now_ms, WIFSIGNALED(wait_status) && code == SIGKILL);
    p->restart_ms = now_ms + delay_ms;
    log_warning("died", F(name, slice_of(p->name)), FN(name, by, how), FN(number, code, code),
                FN(ms, restart_ms, delay_ms));
}

static bool accepts_connections(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(socket_path) >= sizeof address.sun_path)
        return true; /* cannot be asked; do not hold up the start */
    memcpy(address.sun_path, socket_path, strlen(socket_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool accepted = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) close(fd);
    return accepted;
}

/* Whether the row after this one may start. */
static bool is_ready(struct program *p, uint64_t now_ms)
{
    if (!p->ready && !p->once) {
        p->ready = now_ms - p->started_ms > READY_WAIT_MS || strcmp(p->ready_socket, "-") == 0 ||
                   accepts_connections(p->ready_socket);
    }
    return p->ready;
}

/* ---- all of them ---- */

static void reap(struct supervisor *s, bool stopping)
{
    int wait_status = 0;
    for (pid_t pid; (pid = waitpid(-1, &wait_status, WNOHANG)) > 0;) {
        for (size_t i = 0; i < s->count; i++) {
            if (s->programs[i].pid != pid) continue;
            if (stopping)
                s->programs[i].pid = 0;
            else
                note_death(s, &s->programs[i], wait_status);
        }
    }
}

static void start_due(struct supervisor *s)
{
    uint64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < s->next; i++) {
        struct program *p = &s->programs[i];
        if (p->pid == 0 && !p->once && now_ms >= p->restart_ms) start_program(p);
    }
    while (s->next < s->count && (s->next == 0 || is_ready(&s->programs[s->next - 1], now_ms))) {
        start_program(&s->programs[s->next++]);
    }
}

static uint64_t wait_time(const struct supervisor *s)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t wait_ms = s->next < s->count ? READY_POLL_MS : IDLE_WAIT_MS;
    for (size_t i = 0; i < s->next; i++) {
        const struct program *p = &s->programs[i];
        if (p->pid != 0 || p->once) continue;
        uint64_t due_ms = p->restart_ms > now_ms ? p->restart_ms - now_ms : 0;
        if (due_ms < wait_ms) wait_ms = due_ms;
    }
    return wait_ms;
}

static int wait_signal(const struct supervisor *s, uint64_t wait_ms)
{
    struct timespec wait = {.tv_sec = (time_t)(wait_ms / 1000),
                            .tv_nsec = (long)(wait_ms % 1000) * 1000000};
    return sigtimedwait(&s->watched, NULL, &wait);
}

static void run_until_signal(struct supervisor *s)
{
    int received = 0;
    while (!s->failed && received != SIGTERM && received != SIGINT && received != SIGHUP) {
        start_due(s);
        received = wait_signal(s, wait_time(s));
        reap(s, false);
    }
    log_info("stopping", FN(number, signal, received));
}

static void stop_program(struct supervisor *s, struct program *p)
{
    uint64_t asked_ms = clock_monotonic_ms();
    if (p->pid != 0) kill(p->pid, p->stop_signal);
    while (p->pid != 0) {
        wait_signal(s, READY_POLL_MS);
        reap(s, true);
        if (p->pid == 0 || clock_monotonic_ms() - asked_ms < p->stop_wait_ms) continue;
        log_warning("killed", F(name, slice_of(p->name)), FN(number, pid, p->pid));
        kill(-p->pid, SIGKILL);
    }
    remove_pid_file(p);
    if (!p->once)
        log_info("stopped", F(name, slice_of(p->name)),
                 FN(ms, after_ms, clock_monotonic_ms() - asked_ms));
}

static void stop_all(struct supervisor *s)
{
    for (size_t i = s->next; i > 0; i--)
        stop_program(s, &s->programs[i - 1]);
}
