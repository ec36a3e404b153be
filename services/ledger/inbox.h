/* SPDX-License-Identifier: Apache-2.0 */
/* What other threads tell the core's thread: a ring of fixed size and a wake-up of its loop. The
 * ring is larger than all questions that can be in flight, so an answer always finds room. */
#pragma once

#include <pthread.h>

#include "services/ledger/core/core.h"
#include "shared/h2o.h"
#include "shared/token.h"

/* A control worker that waits for the core to take its change. */
struct change_ticket {
    uint32_t slot;
    uint64_t number;
};

enum inbox_kind {
    INBOX_CALLER,
    INBOX_LEASE,
    INBOX_PRICES,
    INBOX_TOKEN,
    INBOX_KEY_CHANGED,
    INBOX_LIMITS_CHANGED,
    INBOX_PLAN_CHANGED,
    INBOX_CREDIT_CHANGED,
    INBOX_CREDIT_RECALLED,
    INBOX_READ_FIGURES
};
struct inbox_item {
    enum inbox_kind kind;
    union {
        struct caller_answer caller;
        struct lease_answer lease;
        struct prices *prices; /* NULL: could not be read */
        struct {
            uint32_t slot; /* of the front's pending tokens */
            uint16_t error;
        } token;
        struct {
            struct change_ticket ticket;
            struct key_hash stored;
            int64_t org;
            struct plan_terms plan;
        } change;
    };
};

struct inbox {
    pthread_mutex_t lock;
    struct inbox_item *items;
    uint32_t size, first, count;
    h2o_multithread_receiver_t *receiver; /* woken; NULL: nobody yet */
};

void inbox_init(struct inbox *inbox, uint32_t size);
void inbox_free(struct inbox *inbox);
void inbox_set_receiver(struct inbox *inbox, h2o_multithread_receiver_t *receiver);
void inbox_put(struct inbox *inbox, const struct inbox_item *item);
bool inbox_take(struct inbox *inbox, struct inbox_item *item);
/* Wakes the loop without an item. */
void inbox_wake(struct inbox *inbox);
