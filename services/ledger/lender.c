/* SPDX-License-Identifier: Apache-2.0 */
/* One loop over the questions. In between: the clock once a second, price changes as they are
 * announced, credit past its time, partitions for the days ahead once an hour. When the epoch of
 * the cell is not ours any more, another ledger has taken over: this one ends. */
#include "services/ledger/lender.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "services/ledger/cell_clock.h"
#include "services/ledger/questions.h"
#include "shared/daemon.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define IDLE_MS       1000
#define PARTITIONS_MS ((uint64_t)3600 * 1000)
#define ARENA_MAX     ((size_t)1 << 16)

struct lender {
    struct lender_settings settings;
    struct db *db;
    struct arena arena;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t work;
    bool stopping;
    struct questions *questions;
    uint64_t partitions_at_ms;
    int64_t expired_after; /* the organization at which the look for old credit goes on */
    bool listening;
    struct cell_clock clock;
};

static void *run_lender(void *context);
static void answer_lease(struct lender *lender, const struct question *question);
static void answer_caller(struct lender *lender, const struct question *question);
static void answer_prices(struct lender *lender, const struct question *question);

static void (*const answers[])(struct lender *, const struct question *) = {
    [QUESTION_LEASE] = answer_lease,
    [QUESTION_CALLER] = answer_caller,
    [QUESTION_PRICES] = answer_prices,
    [QUESTION_STRANGER] = answer_caller,
};

status lender_new(const struct lender_settings *settings, struct lender **out)
{
    struct lender *lender = calloc(1, sizeof(*lender));
    if (lender == NULL) abort();
    lender->settings = *settings;
    arena_init(&lender->arena, ARENA_MAX);
    lender->questions = questions_new(settings->questions_max);
    (void)pthread_mutex_init(&lender->lock, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&lender->work, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    *out = lender;
    return db_open(settings->database, "bourse_ledger", &store_statements, &lender->db);
}

void lender_free(struct lender **pointer)
{
    struct lender *lender = TAKE(*pointer);
    if (lender == NULL) return;
    lender_stop(lender);
    db_close(&lender->db);
    arena_free(&lender->arena);
    questions_free(&lender->questions);
    free(lender);
}

void lender_start(struct lender *lender)
{
    if (pthread_create(&lender->thread, NULL, run_lender, lender) != 0) abort();
    lender->started = true;
}

void lender_stop(struct lender *lender)
{
    if (!lender->started) return;
    (void)pthread_mutex_lock(&lender->lock);
    lender->stopping = true;
    (void)pthread_cond_signal(&lender->work);
    (void)pthread_mutex_unlock(&lender->lock);
    (void)pthread_join(lender->thread, NULL);
    lender->started = false;
}

/* ---- asking (the core's thread) ------------------------------------------------------------- */

/* The core keeps to questions_max. It asks for prices again after any that came, announced or
 * asked for. */
static void ask(struct lender *lender, const struct question *question)
{
    (void)pthread_mutex_lock(&lender->lock);
    questions_put(lender->questions, question);
    (void)pthread_cond_signal(&lender->work);
    (void)pthread_mutex_unlock(&lender->lock);
}

void lender_ask_lease(struct lender *lender, const struct lease_request *request)
{
    struct question question = {.kind = QUESTION_LEASE, .lease = *request};
    ask(lender, &question);
}

void lender_ask_caller(struct lender *lender, const struct key_hash *stored, bool stranger)
{
    struct question question = {.kind = stranger ? QUESTION_STRANGER : QUESTION_CALLER,
                                .stored = *stored};
    ask(lender, &question);
}

void lender_ask_prices(struct lender *lender)
{
    struct question question = {.kind = QUESTION_PRICES};
    ask(lender, &question);
}

/* ---- time ----------------------------------------------------------------------------------- */

status lender_read_clock(struct lender *lender)
{
    wall_time read;
    uint64_t asked_boot_ns = clock_boot_ns();
    TRY(store_clock(lender->db, &read));
    cell_clock_read(&lender->clock, read, asked_boot_ns, clock_boot_ns());
    return OK;
}

wall_time lender_wall(const struct lender *lender)
{
    return cell_clock_at(&lender->clock, clock_boot_ns());
}

struct core_now lender_now(struct lender *lender)
{
    uint64_t boot_ns = clock_boot_ns();
    return (struct core_now){.wall = cell_clock_live(&lender->clock, boot_ns), .boot_ns = boot_ns};
}

/* ---- answering (the lender's thread) -------------------------------------------------------- */

static void answer_lease(struct lender *lender, const struct question *question)
{
    struct inbox_item item = {.kind = INBOX_LEASE};
    status done = store_lease(lender->db, &lender->settings.cell, &question->lease, &item.lease);
    if (done.code == ERROR_CONFLICT) {
        log_error("epoch_taken_over", FN(number, epoch, lender->settings.cell.epoch));
        _exit(1);
    }
    if (status_ok(done)) {
        metric_add(lease_grants_total, 1);
        fault_point("lease_granted");
    } else {
        item.lease.failed = true;
    }
    inbox_put(lender->settings.inbox, &item);
}

static void answer_caller(struct lender *lender, const struct question *question)
{
    struct inbox_item item = {.kind = INBOX_CALLER};
    status done = store_load_caller(lender->db, &question->stored, &item.caller);
    if (!status_ok(done)) item.caller.error = ERROR_DATABASE;
    inbox_put(lender->settings.inbox, &item);
}

static void answer_prices(struct lender *lender, const struct question *question)
{
    (void)question;
    struct inbox_item item = {.kind = INBOX_PRICES};
    status done = store_load_prices(lender->db, &item.prices);
    if (!status_ok(done)) item.prices = NULL;
    inbox_put(lender->settings.inbox, &item);
}

/* Prices are announced by NOTIFY; a lost announcement costs a hold one reload. */
static void look_after(struct lender *lender)
{
    status read = lender_read_clock(lender);
    if (!status_ok(read)) log_debug("clock_not_read", F(error, read));
    if (!lender->listening) lender->listening = status_ok(store_listen(lender->db));
    slice channel, payload;
    bool news = false;
    arena_reset(&lender->arena);
    while (status_ok(db_wait_notification(lender->db, 0, &lender->arena, &channel, &payload)))
        news = true;
    if (news) answer_prices(lender, NULL);
    status ended =
        store_expire_lots(lender->db, lender->settings.cell.cell, &lender->expired_after);
    if (!status_ok(ended)) log_warning("credit_did_not_expire", F(error, ended));
    uint64_t now_ms = clock_monotonic_ms();
    if (now_ms < lender->partitions_at_ms) return;
    if (status_ok(store_ensure_partitions(lender->db)))
        lender->partitions_at_ms = now_ms + PARTITIONS_MS;
}

/* false: nothing came within the time, or the end is asked for (and then *stopping is set). */
static bool next_question(struct lender *lender, uint64_t until_ms, struct question *question,
                          bool *stopping)
{
    struct timespec at = {.tv_sec = (time_t)(until_ms / 1000),
                          .tv_nsec = (long)(until_ms % 1000) * 1000000};
    (void)pthread_mutex_lock(&lender->lock);
    while (questions_count(lender->questions) == 0 && !lender->stopping &&
           clock_monotonic_ms() < until_ms)
        (void)pthread_cond_timedwait(&lender->work, &lender->lock, &at);
    bool found = questions_take(lender->questions, question);
    *stopping = lender->stopping && !found;
    (void)pthread_mutex_unlock(&lender->lock);
    return found;
}

static void *run_lender(void *context)
{
    struct lender *lender = context;
    uint64_t look_at_ms = clock_monotonic_ms() + IDLE_MS;
    bool stopping = false;
    while (!stopping) {
        struct question question;
        if (next_question(lender, look_at_ms, &question, &stopping)) {
            answers[question.kind](lender, &question);
        }
        if (stopping || clock_monotonic_ms() < look_at_ms) continue;
        look_after(lender);
        look_at_ms = clock_monotonic_ms() + IDLE_MS;
    }
    return NULL;
}
