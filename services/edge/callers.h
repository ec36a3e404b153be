/* SPDX-License-Identifier: Apache-2.0 */
/* Who has which key, as the ledger last said: a bounded cache of one thread, least recently used
 * out first. A stale entry does no harm to money: every HOLD carries the caller's version and the
 * ledger refuses an old one. */
#pragma once

#include "shared/ipc/codec.h"

#define CALLERS_MAX    4096
#define CALLER_LIFE_MS 60000

struct callers;
struct callers *callers_new(void);
void callers_free(struct callers **callers);
/* False when unknown or older than CALLER_LIFE_MS. */
bool callers_find(struct callers *callers, const struct key_hash *key, uint64_t now_ms,
                  struct caller *caller);
void callers_put(struct callers *callers, const struct key_hash *key, const struct caller *caller,
                 uint64_t now_ms);
void callers_drop(struct callers *callers, const struct key_hash *key);
