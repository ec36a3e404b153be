/* SPDX-License-Identifier: Apache-2.0 */
/* One entry per provider. The first request that needs a key asks; those that come meanwhile wait
 * with it. */
#include "services/edge/keys.h"

#include <stdlib.h>

#include "services/edge/attempt.h"
#include "services/edge/catalog_link.h"
#include "services/edge/edge.h"
#include "services/edge/thread.h"
#include "shared/clock.h"

#define KEY_ENTRIES_MAX     256
#define KEY_OPEN_TIMEOUT_MS 2000

struct key_entry {
    struct provider_keys *keys;
    uint32_t provider; /* 0: unused */
    uint32_t version;
    uint64_t opened_ms;
    struct secret key; /* no bytes: not open */
    bool asked;
    struct request *waiting; /* linked by key_next */
};

struct provider_keys {
    struct thread *thread;
    struct key_entry entries[KEY_ENTRIES_MAX];
};

static void key_opened(void *context, status result, const struct frame *frame);

struct provider_keys *keys_new(struct thread *thread)
{
    struct provider_keys *keys = calloc(1, sizeof(*keys));
    if (keys == NULL) abort();
    keys->thread = thread;
    return keys;
}

static void entry_close(struct key_entry *entry)
{
    if (entry->key.bytes != NULL) secret_free(&entry->key);
    entry->key = (struct secret){0};
}

void keys_free(struct provider_keys **keys)
{
    if (*keys == NULL) return;
    for (size_t i = 0; i < KEY_ENTRIES_MAX; i++)
        entry_close(&(*keys)->entries[i]);
    free(*keys);
    *keys = NULL;
}

void keys_sweep(struct provider_keys *keys, uint64_t now_ms)
{
    for (size_t i = 0; i < KEY_ENTRIES_MAX && keys->entries[i].provider != 0; i++) {
        struct key_entry *entry = &keys->entries[i];
        if (entry->key.bytes != NULL && now_ms - entry->opened_ms > KEY_USE_MS) entry_close(entry);
    }
}

static struct key_entry *entry_of(struct provider_keys *keys, uint32_t provider)
{
    for (size_t i = 0; i < KEY_ENTRIES_MAX; i++) {
        struct key_entry *entry = &keys->entries[i];
        if (entry->provider == provider) return entry;
        if (entry->provider != 0) continue;
        *entry = (struct key_entry){.keys = keys, .provider = provider};
        return entry;
    }
    return NULL;
}

status keys_get(struct provider_keys *keys, const struct market_provider *provider,
                struct request *request, slice *key)
{
    *key = SLICE_NONE;
    if (provider->key_version == 0) return FAIL(PROVIDER_AUTH); /* it could only answer 401 */
    struct key_entry *entry = entry_of(keys, provider->id);
    if (entry == NULL) return FAIL(OVERLOADED);
    uint64_t now_ms = thread_now_ms(request->thread);
    bool usable = entry->key.bytes != NULL && entry->version == provider->key_version &&
                  now_ms <= entry->opened_ms + KEY_USE_MS;
    if (usable) {
        *key = secret_slice(&entry->key);
        return OK;
    }
    entry_close(entry);
    if (!entry->asked) {
        struct buffer *out;
        const struct peer_call call = {key_opened, entry, KEY_OPEN_TIMEOUT_MS};
        uint64_t id = catalog_call(keys->thread->catalog, call, &out);
        if (id == 0) return FAIL(CATALOG_DOWN);
        const struct message_key_open message = {.provider = provider->id};
        message_encode_key_open(out, id, &message);
        entry->asked = true;
    }
    request->key_next = entry->waiting;
    request->key_provider = provider->id;
    entry->waiting = request;
    return FAIL(END);
}

void keys_stop_waiting(struct provider_keys *keys, struct request *request)
{
    if (request->key_provider == 0) return;
    struct key_entry *entry = entry_of(keys, request->key_provider);
    request->key_provider = 0;
    if (entry == NULL) return;
    for (struct request **place = &entry->waiting; *place != NULL; place = &(*place)->key_next) {
        if (*place != request) continue;
        *place = request->key_next;
        return;
    }
}

static status keep_key(struct key_entry *entry, const struct frame *frame)
{
    struct message_key_opened message;
    TRY(message_decode_key_opened(frame->body, &message));
    if (message.error != ERROR_NONE) return FAIL(PROVIDER_AUTH);
    entry_close(entry);
    entry->key = secret_copy(message.key);
    entry->version = message.key_version;
    entry->opened_ms = clock_monotonic_ms();
    return OK;
}

static void key_opened(void *context, status result, const struct frame *frame)
{
    struct key_entry *entry = context;
    entry->asked = false;
    if (!status_ok(result))
        result = FAIL(CATALOG_DOWN);
    else
        result = keep_key(entry, frame);
    struct request *waiting = TAKE(entry->waiting);
    while (waiting != NULL) {
        struct request *request = waiting;
        waiting = request->key_next;
        request->key_provider = 0;
        slice key = status_ok(result) ? secret_slice(&entry->key) : SLICE_NONE;
        attempt_key_ready(request, result, key);
    }
}
