/* SPDX-License-Identifier: Apache-2.0 */
/* What every daemon does first and last: configuration, log, signals, limits, secrets, and an
 * orderly end. */
#pragma once

#include <signal.h>

#include "shared/config.h"

/* Reads the configuration (exits with a message on a fault), starts the log, initialises libsodium,
 * ignores SIGPIPE, blocks SIGTERM/SIGINT/SIGHUP in this and all later threads, turns core dumps
 * off, raises RLIMIT_NOFILE to its hard limit and refuses to start when that is below 4 ×
 * connections_min. */
status daemon_start(const char *program, int argc, char **argv, int64_t connections_min,
                    struct config *config);

/* A descriptor (signalfd) that becomes readable at SIGTERM or SIGINT; register it in a loop, or
 * wait blocking. */
int daemon_signal_fd(void);
int daemon_signal_wait(void); /* returns the signal's number */

/* Binds a Unix stream socket, mode as given whatever the umask, non-blocking, close-on-exec. A
 * socket file that nobody listens on is replaced; a living one (CONFLICT), a file of another kind
 * and a path above 107 bytes (IO) are errors, logged. */
status daemon_listen_unix(const char *path, unsigned mode, int *fd);

/* Named points of builds with -DBOURSE_FAULT_POINTS: kill -9 of oneself when BOURSE_CRASH_AT names
 * the point (the n-th passage with "name:n"). And who finds a file of the point's name in the
 * directory BOURSE_STRIKE_IN takes it away and is struck: by "name.crash" in the same manner, by
 * "name.stop" with SIGSTOP, and stands there until it gets SIGCONT. The environment reaches every
 * program, so a name stands in one place of all of them. Compiles to nothing in a release. */
#ifdef BOURSE_FAULT_POINTS
void fault_point(const char *name);
/* The thread stands still here while the file exists that BOURSE_STAND_AT names ("name:path"), like
 * one that has too much to do. */
void fault_stand(const char *name);
/* Keeps the number, eight bytes in the machine's order, in the file that BOURSE_NOTE_AT names
 * ("name:path"), over the one of before. */
void fault_note(const char *name, uint64_t number);
/* The path that the environment has in the place of this one. */
const char *fault_path(const char *variable, const char *path);
#else
#define fault_point(name)          ((void)0)
#define fault_stand(name)          ((void)0)
#define fault_note(name, number)   ((void)0)
#define fault_path(variable, path) (path)
#endif
