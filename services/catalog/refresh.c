/* SPDX-License-Identifier: Apache-2.0 */
/* One loop: wait for a notification or a while, compare the revision, read the market anew if it is
 * another. The notification only shortens the wait; the revision is the truth. */
#include "services/catalog/refresh.h"

#include <stdlib.h>

#include "services/catalog/store.h"
#include "shared/log.h"

#define WAIT_MS         500 /* also how long a stop may take */
#define NOTICE_SIZE_MAX 16384

struct refresh {
    struct catalog *catalog;
    struct db *db;
    pthread_t thread;
    atomic_bool stopping;
};

static void *refresh_run(void *argument);
static status refresh_once(struct refresh *refresh);
static void refresh_wait(struct refresh *refresh);

status refresh_start(struct catalog *catalog, struct refresh **out)
{
    struct refresh *refresh = calloc(1, sizeof(*refresh));
    if (refresh == NULL) abort();
    refresh->catalog = catalog;
    status opened =
        db_open(catalog->config.database, "bourse_catalog", &store_statements, &refresh->db);
    if (status_ok(opened) && pthread_create(&refresh->thread, NULL, refresh_run, refresh) != 0)
        opened = FAIL(IO);
    if (!status_ok(opened)) {
        db_close(&refresh->db);
        free(refresh);
        return opened;
    }
    *out = refresh;
    return OK;
}

void refresh_stop(struct refresh **pointer)
{
    struct refresh *refresh = TAKE(*pointer);
    if (refresh == NULL) return;
    atomic_store(&refresh->stopping, true);
    (void)pthread_join(refresh->thread, NULL);
    db_close(&refresh->db);
    free(refresh);
}

static void *refresh_run(void *argument)
{
    struct refresh *refresh = argument;
    bool listening = false;
    bool failing = false;
    while (!atomic_load(&refresh->stopping)) {
        if (!listening) listening = status_ok(store_listen(refresh->db));
        status done = listening ? refresh_once(refresh) : FAIL(DATABASE);
        /* Said once per trouble, not twice a second. */
        if (!status_ok(done) && !failing) log_error("market_not_read", F(error, done));
        failing = !status_ok(done);
        refresh_wait(refresh);
    }
    return NULL;
}

static void refresh_wait(struct refresh *refresh)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, NOTICE_SIZE_MAX);
    slice channel;
    slice payload;
    /* Whatever ended the wait, the revision is looked at next. */
    status waited = db_wait_notification(refresh->db, WAIT_MS, &arena, &channel, &payload);
    (void)!status_ok(waited);
}

static status refresh_once(struct refresh *refresh)
{
    struct catalog *catalog = refresh->catalog;
    uint64_t revision;
    TRY(store_read_revision(refresh->db, &revision));
    SCOPED(market_release) struct market *present = catalog_market(catalog);
    if (present != NULL && present->revision == revision) return OK;
    struct market *market;
    TRY(store_read_market(refresh->db, &catalog->settings, &market));
    log_info("market_read", FN(number, revision, market->revision),
             FN(count, models, market->model_count), FN(count, for_sale, market->models_for_sale),
             FN(count, endpoints, market->endpoint_count),
             FN(count, frame_bytes, market->frames.len));
    catalog_swap_market(catalog, market);
    return OK;
}
