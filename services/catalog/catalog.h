/* SPDX-License-Identifier: Apache-2.0 */
/* What the threads of the catalog share: the present market, health, the vault. The market is
 * swapped by the refresher thread; everybody else retains it for as long as one answer takes. */
#pragma once

#include <pthread.h>

#include "services/catalog/health.h"
#include "services/catalog/market.h"
#include "services/catalog/vault.h"
#include "shared/config.h"

struct catalog {
    struct config config;
    struct market_settings settings;
    struct vault *vault;
    struct health *health;
    int wake_fd; /* eventfd: the IPC thread looks for a new market when it is written */
    pthread_mutex_t lock;
    pthread_cond_t swapped;
    struct market *market; /* NULL until PostgreSQL answered for the first time */
};

/* Opens the vault. What fails is logged. */
status catalog_open(struct catalog *catalog);
void catalog_close(struct catalog *catalog);

/* The present market, to be released; NULL when there is none yet. */
struct market *catalog_market(struct catalog *catalog);

/* Takes the caller's reference, wakes the IPC thread and whoever waits for this revision. */
void catalog_swap_market(struct catalog *catalog, struct market *market);

/* Blocks a worker until its own change is in the present market, so that the next question shows
 * it; gives up after 2 s, because the change is committed and will come. */
void catalog_await_revision(struct catalog *catalog, uint64_t revision);

/* What KEY_OPEN answers: the sealed key of a live provider; of a simulated one the text
 * "sim-<slug>" with KEY_VERSION_SIMULATED, so that the edge does the same for both. NOT_FOUND,
 * CRYPTO. */
status catalog_open_key(struct catalog *catalog, const struct market *market, uint32_t provider,
                        struct secret *key, uint32_t *version);
