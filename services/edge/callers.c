/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table with chains inside of a fixed array, and a list by last use through the same
 * entries. A key's hash is uniform, so its first bytes choose the bucket; nobody can aim at one,
 * because a made-up key fails its checksum before it gets here. */
#include "services/edge/callers.h"

#include <stdlib.h>

#define BUCKETS 8192u /* a power of two above CALLERS_MAX */
#define NONE    UINT16_MAX

struct entry {
    struct key_hash key;
    struct caller caller;
    uint64_t put_ms;
    uint16_t chain;        /* next of the same bucket, or of the free entries */
    uint16_t newer, older; /* by last use */
};

struct callers {
    uint16_t buckets[BUCKETS];
    uint16_t newest, oldest;
    uint16_t unused; /* first of the free entries */
    struct entry entries[CALLERS_MAX];
};

_Static_assert(CALLERS_MAX < NONE, "an index must fit");

static uint16_t *bucket_of(struct callers *callers, const struct key_hash *key)
{
    uint32_t number;
    memcpy(&number, key->bytes, sizeof(number));
    return &callers->buckets[number % BUCKETS];
}

struct callers *callers_new(void)
{
    struct callers *callers = calloc(1, sizeof(*callers));
    if (callers == NULL) abort();
    memset(callers->buckets, 0xff, sizeof(callers->buckets));
    callers->newest = callers->oldest = NONE;
    for (uint16_t i = 0; i < CALLERS_MAX; i++)
        callers->entries[i].chain = (uint16_t)(i + 1 < CALLERS_MAX ? i + 1 : NONE);
    return callers;
}

void callers_free(struct callers **callers)
{
    free(*callers);
    *callers = NULL;
}

static void unlink_use(struct callers *callers, uint16_t index)
{
    struct entry *entry = &callers->entries[index];
    if (entry->newer != NONE)
        callers->entries[entry->newer].older = entry->older;
    else
        callers->newest = entry->older;
    if (entry->older != NONE)
        callers->entries[entry->older].newer = entry->newer;
    else
        callers->oldest = entry->newer;
}

static void link_newest(struct callers *callers, uint16_t index)
{
    struct entry *entry = &callers->entries[index];
    entry->newer = NONE;
    entry->older = callers->newest;
    if (callers->newest != NONE)
        callers->entries[callers->newest].newer = index;
    else
        callers->oldest = index;
    callers->newest = index;
}

/* The place that holds the entry's index: its bucket, or the chain of the one before. */
static uint16_t *place_of(struct callers *callers, const struct key_hash *key)
{
    uint16_t *place = bucket_of(callers, key);
    while (*place != NONE && memcmp(&callers->entries[*place].key, key, sizeof(*key)) != 0)
        place = &callers->entries[*place].chain;
    return place;
}

static void remove_at(struct callers *callers, uint16_t *place)
{
    uint16_t index = *place;
    struct entry *entry = &callers->entries[index];
    *place = entry->chain;
    unlink_use(callers, index);
    entry->chain = callers->unused;
    callers->unused = index;
}

bool callers_find(struct callers *callers, const struct key_hash *key, uint64_t now_ms,
                  struct caller *caller)
{
    uint16_t *place = place_of(callers, key);
    if (*place == NONE) return false;
    uint16_t index = *place;
    if (now_ms - callers->entries[index].put_ms > CALLER_LIFE_MS) {
        remove_at(callers, place);
        return false;
    }
    unlink_use(callers, index);
    link_newest(callers, index);
    *caller = callers->entries[index].caller;
    return true;
}

void callers_put(struct callers *callers, const struct key_hash *key, const struct caller *caller,
                 uint64_t now_ms)
{
    callers_drop(callers, key);
    if (callers->unused == NONE)
        remove_at(callers, place_of(callers, &callers->entries[callers->oldest].key));
    uint16_t index = callers->unused;
    struct entry *entry = &callers->entries[index];
    callers->unused = entry->chain;
    entry->key = *key;
    entry->caller = *caller;
    entry->put_ms = now_ms;
    uint16_t *bucket = bucket_of(callers, key);
    entry->chain = *bucket;
    *bucket = index;
    link_newest(callers, index);
}

void callers_drop(struct callers *callers, const struct key_hash *key)
{
    uint16_t *place = place_of(callers, key);
    if (*place != NONE) remove_at(callers, place);
}
