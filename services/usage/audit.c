/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that mostly sleeps. Each second it says how old the last audit is, also while one runs,
 * so that an audit that hangs is seen as one that is old. */
#include "services/usage/audit.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "services/usage/store_audit.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define FIRST_AFTER_MS 60000 /* a start has enough to do */
#define LOOK_EACH_MS   1000
#define LOGGED_MAX     100 /* violations of one audit; more are counted only */

struct audit {
    const struct config *config;
    pthread_t thread;
    int stop_fd;
    uint64_t ended_ms; /* the last whole audit, or the start */
    int64_t violations;
};

static void note_violation(void *context, slice rule, slice detail)
{
    struct audit *audit = context;
    audit->violations++;
    if (audit->violations > LOGGED_MAX) return;
    log_error("audit_violation", FN(name, rule, rule), FN(reason, detail, detail));
}

/* Until the descriptor is readable (-1: none) or a time is over; false: the end is asked for. */
static bool wait_until(struct audit *audit, int descriptor, uint64_t at_ms)
{
    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();
        metric_set(audit_age_seconds, (now_ms - audit->ended_ms) / 1000);
        if (now_ms >= at_ms) return true;
        struct pollfd waits[] = {{.fd = audit->stop_fd, .events = POLLIN},
                                 {.fd = descriptor, .events = POLLIN}};
        uint64_t left_ms = at_ms - now_ms;
        (void)poll(waits, 2, (int)(left_ms < LOOK_EACH_MS ? left_ms : LOOK_EACH_MS));
        if (waits[0].revents != 0) return false;
        if (waits[1].revents != 0) return true;
    }
}

static void note_whole(struct audit *audit, uint64_t began_ms)
{
    audit->ended_ms = clock_monotonic_ms();
    metric_set(audit_violations, audit->violations);
    metric_set(audit_age_seconds, 0);
    log_info("audited", FN(count, violations, audit->violations),
             FN(ms, elapsed, audit->ended_ms - began_ms));
}

/* false: the end is asked for. */
static bool audit_once(struct audit *audit)
{
    uint64_t began_ms = clock_monotonic_ms();
    struct store_audit *run = store_audit_begin(audit->config->database);
    if (run == NULL) return true;
    audit->violations = 0;
    bool goes_on = true;
    enum audit_progress progress = AUDIT_WAITS;
    while (goes_on && progress == AUDIT_WAITS) {
        goes_on = wait_until(audit, store_audit_descriptor(run), UINT64_MAX);
        if (goes_on) progress = store_audit_go_on(run, note_violation, audit);
    }
    store_audit_end(&run);
    if (progress == AUDIT_ENDED) note_whole(audit, began_ms);
    return goes_on;
}

static void *run_audits(void *context)
{
    struct audit *audit = context;
    uint64_t interval_ms = (uint64_t)audit->config->audit_interval * 1000;
    uint64_t first_ms = interval_ms < FIRST_AFTER_MS ? interval_ms : FIRST_AFTER_MS;
    uint64_t at_ms = audit->ended_ms + first_ms;
    while (wait_until(audit, -1, at_ms)) {
        at_ms = clock_monotonic_ms() + interval_ms;
        if (!audit_once(audit)) break;
    }
    return NULL;
}

struct audit *audit_start(const struct config *config)
{
    struct audit *audit = calloc(1, sizeof(*audit));
    if (audit == NULL) abort();
    audit->config = config;
    audit->ended_ms = clock_monotonic_ms();
    audit->stop_fd = eventfd(0, EFD_CLOEXEC);
    assert(audit->stop_fd >= 0);
    if (pthread_create(&audit->thread, NULL, run_audits, audit) != 0) abort();
    return audit;
}

void audit_stop(struct audit **pointer)
{
    struct audit *audit = TAKE(*pointer);
    uint64_t one = 1;
    ssize_t written = write(audit->stop_fd, &one, sizeof(one));
    assert(written == sizeof(one));
    (void)pthread_join(audit->thread, NULL);
    (void)close(audit->stop_fd);
    free(audit);
}
