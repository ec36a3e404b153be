/* SPDX-License-Identifier: Apache-2.0 */
/* The shared state and the few things done with it under its lock. */
#include "services/catalog/catalog.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/metrics.h"

#define AWAIT_S           2
#define SIMULATED_KEY_MAX 80 /* "sim-" and a slug of at most 63 */

status catalog_open(struct catalog *catalog)
{
    catalog->settings = (struct market_settings){
        .simulated = catalog->config.simulated,
        .sim_port = (uint16_t)catalog->config.sim_port,
    };
    TRY(vault_open_file("secrets/catalog/master.key", &catalog->vault));
    catalog->health = health_new(catalog->config.health_window);
    catalog->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (catalog->wake_fd < 0) {
        log_error("eventfd_failed", F(errno, errno));
        return FAIL(IO);
    }
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&catalog->swapped, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&catalog->lock, NULL);
    return OK;
}

void catalog_close(struct catalog *catalog)
{
    market_release(&catalog->market);
    health_free(&catalog->health);
    vault_free(&catalog->vault);
    (void)close(catalog->wake_fd);
    (void)pthread_cond_destroy(&catalog->swapped);
    (void)pthread_mutex_destroy(&catalog->lock);
}

struct market *catalog_market(struct catalog *catalog)
{
    pthread_mutex_lock(&catalog->lock);
    struct market *market = catalog->market == NULL ? NULL : market_retain(catalog->market);
    pthread_mutex_unlock(&catalog->lock);
    return market;
}

void catalog_swap_market(struct catalog *catalog, struct market *market)
{
    metric_set(market_revision, market->revision);
    metric_set(market_models, market->models_for_sale);
    pthread_mutex_lock(&catalog->lock);
    struct market *old = catalog->market;
    catalog->market = market;
    pthread_cond_broadcast(&catalog->swapped);
    pthread_mutex_unlock(&catalog->lock);
    market_release(&old);
    /* Full only when the IPC thread has not looked yet, and then it will. */
    (void)!write(catalog->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
}

void catalog_await_revision(struct catalog *catalog, uint64_t revision)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += AWAIT_S;
    int waited = 0;
    pthread_mutex_lock(&catalog->lock);
    while (waited == 0 && (catalog->market == NULL || catalog->market->revision < revision))
        waited = pthread_cond_timedwait(&catalog->swapped, &catalog->lock, &until);
    pthread_mutex_unlock(&catalog->lock);
    if (waited != 0) log_warning("market_late", FN(number, revision, revision));
}

static status simulated_key(const struct market_provider *provider, struct secret *key)
{
    char memory[SIMULATED_KEY_MAX];
    struct buffer text;
    buffer_init_fixed(&text, memory, sizeof(memory));
    buffer_append(&text, SLICE("sim-"));
    buffer_append(&text, provider->slug);
    TRY(buffer_finish(&text));
    *key = secret_copy(buffer_slice(&text));
    return OK;
}

status catalog_open_key(struct catalog *catalog, const struct market *market, uint32_t provider_id,
                        struct secret *key, uint32_t *version)
{
    const struct market_provider *provider = market_provider_by_id(market, provider_id);
    if (provider == NULL) return FAIL(NOT_FOUND);
    if (provider->simulated) {
        *version = KEY_VERSION_SIMULATED;
        return simulated_key(provider, key);
    }
    if (!provider->live || provider->key_version == 0) return FAIL(NOT_FOUND);
    struct vault_place place = {
        .org = 0, .provider = provider->slug, .version = provider->key_version};
    *version = provider->key_version;
    status opened = vault_unseal(catalog->vault, place, provider->key_sealed, key);
    if (!status_ok(opened))
        log_error("provider_key_does_not_open", FN(name, provider, provider->slug),
                  F(reason, SLICE("sealed with another master key; set it live again")));
    return opened;
}
