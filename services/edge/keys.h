/* SPDX-License-Identifier: Apache-2.0 */
/* The platform's keys of providers, opened by the catalog and kept by one thread for less than a
 * minute. */
#pragma once

#include "services/edge/market.h"
#include "shared/secret.h"

/* An opened key is used this long and wiped by the next sweep: under 60 s in all. */
#define KEY_USE_MS 55000

struct thread;
struct request;
struct provider_keys;
struct provider_keys *keys_new(struct thread *thread);
void keys_free(struct provider_keys **keys);
/* OK with *key (empty: the provider needs none); END: asked for, attempt_key_ready() will run for
 * this request; otherwise why not. */
status keys_get(struct provider_keys *keys, const struct market_provider *provider,
                struct request *request, slice *key);
void keys_stop_waiting(struct provider_keys *keys, struct request *request);
void keys_sweep(struct provider_keys *keys, uint64_t now_ms);
