/* SPDX-License-Identifier: Apache-2.0 */
/* Control workers hand their changes to the core's thread and wait. A worker that gives up leaves
 * its number behind, so that the late answer finds nobody. */
#include "services/ledger/apply.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "services/ledger/ledger.h"
#include "shared/clock.h"

#define TAKEN_WAIT_MS 1000

void changes_init(struct changes *changes)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&changes->done, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&changes->lock, NULL);
}

void changes_done(struct changes *changes, struct change_ticket ticket, struct change_answer answer)
{
    (void)pthread_mutex_lock(&changes->lock);
    struct change *change = &changes->items[ticket.slot];
    if (change->in_use && change->number == ticket.number) {
        change->done = true;
        change->answer = answer;
        (void)pthread_cond_broadcast(&changes->done);
    }
    (void)pthread_mutex_unlock(&changes->lock);
}

static status take_ticket(struct changes *changes, struct change_ticket *ticket)
{
    for (uint32_t slot = 0; slot < CHANGE_TICKETS; slot++) {
        struct change *change = &changes->items[slot];
        if (change->in_use) continue;
        *change = (struct change){.in_use = true, .number = change->number + 1};
        *ticket = (struct change_ticket){slot, change->number};
        return OK;
    }
    return FAIL(OVERLOADED);
}

static status hand_over(struct ledger *ledger, struct inbox_item *item,
                        struct change_answer *answer)
{
    struct changes *changes = &ledger->changes;
    uint64_t until_ms = clock_monotonic_ms() + TAKEN_WAIT_MS;
    struct timespec at = {.tv_sec = (time_t)(until_ms / 1000),
                          .tv_nsec = (long)(until_ms % 1000) * 1000000};
    (void)pthread_mutex_lock(&changes->lock);
    status done = take_ticket(changes, &item->change.ticket);
    if (!status_ok(done)) {
        (void)pthread_mutex_unlock(&changes->lock);
        return done;
    }
    struct change *change = &changes->items[item->change.ticket.slot];
    inbox_put(&ledger->inbox, item);
    int waited = 0;
    while (!change->done && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&changes->done, &changes->lock, &at);
    if (!change->done) done = FAIL(DEADLINE);
    if (answer != NULL && change->done) *answer = change->answer;
    change->in_use = false;
    (void)pthread_mutex_unlock(&changes->lock);
    return done;
}

status apply_key_changed(struct ledger *ledger, int64_t org, struct key_hash stored)
{
    struct inbox_item item = {.kind = INBOX_KEY_CHANGED, .change = {.stored = stored, .org = org}};
    return hand_over(ledger, &item, NULL);
}

status apply_limits_changed(struct ledger *ledger, int64_t org)
{
    struct inbox_item item = {.kind = INBOX_LIMITS_CHANGED, .change = {.org = org}};
    return hand_over(ledger, &item, NULL);
}

status apply_plan_changed(struct ledger *ledger, const struct plan_terms *plan)
{
    struct inbox_item item = {.kind = INBOX_PLAN_CHANGED, .change = {.plan = *plan}};
    return hand_over(ledger, &item, NULL);
}

status apply_credit_changed(struct ledger *ledger, int64_t org)
{
    struct inbox_item item = {.kind = INBOX_CREDIT_CHANGED, .change = {.org = org}};
    return hand_over(ledger, &item, NULL);
}

status apply_credit_recall(struct ledger *ledger, int64_t org, money *held)
{
    struct inbox_item item = {.kind = INBOX_CREDIT_RECALLED, .change = {.org = org}};
    struct change_answer answer;
    TRY(hand_over(ledger, &item, &answer));
    if (held != NULL) *held = answer.held;
    return OK;
}

static status read_figures(struct ledger *ledger, int64_t org, struct change_answer *answer)
{
    struct inbox_item item = {.kind = INBOX_READ_FIGURES, .change = {.org = org}};
    return hand_over(ledger, &item, answer);
}

status apply_read_held(struct ledger *ledger, int64_t org, money *held)
{
    struct change_answer answer;
    TRY(read_figures(ledger, org, &answer));
    *held = answer.held;
    return OK;
}

status apply_read_free_requests(struct ledger *ledger, int64_t org, int64_t *requests)
{
    struct change_answer answer;
    TRY(read_figures(ledger, org, &answer));
    *requests = answer.free_requests;
    return OK;
}

bool apply_wait_posted(struct ledger *ledger, int64_t wait_ms)
{
    return poster_wait(ledger->poster, atomic_load(&ledger->ending_seq), wait_ms);
}
