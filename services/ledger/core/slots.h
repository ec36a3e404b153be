/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed tables without allocation: an index from hashes to slot numbers (open addressing,
 * backward-shift deletion), lists of slots linked by number, and chains of slots by a hash. The
 * slots themselves are arrays of their owners, who compare keys. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define SLOT_NONE UINT32_MAX

struct slot_cell {
    uint32_t tag;       /* low bits of the hash */
    uint32_t slot_plus; /* slot + 1; 0: empty */
};
struct slot_index {
    struct slot_cell *cells;
    uint32_t mask;
};

/* At most half full, so that a probe is short. */
static inline void slot_index_init(struct slot_index *index, uint32_t slots_max)
{
    uint32_t size = 16;
    while (size < 2 * slots_max)
        size *= 2;
    index->mask = size - 1;
    index->cells = calloc(size, sizeof(*index->cells));
    if (index->cells == NULL) abort();
}

/* Walks the slots whose hash has this tag: for (at = slot_index_home(…); (slot = slot_index_next(…,
 * &at)) != SLOT_NONE;) … */
static inline uint32_t slot_index_home(const struct slot_index *index, uint32_t tag)
{
    return tag & index->mask;
}
static inline uint32_t slot_index_next(const struct slot_index *index, uint32_t tag, uint32_t *at)
{
    for (;;) {
        struct slot_cell cell = index->cells[*at];
        if (cell.slot_plus == 0) return SLOT_NONE;
        *at = (*at + 1) & index->mask;
        if (cell.tag == tag) return cell.slot_plus - 1;
    }
}

static inline void slot_index_add(struct slot_index *index, uint32_t tag, uint32_t slot)
{
    uint32_t at = slot_index_home(index, tag);
    while (index->cells[at].slot_plus != 0)
        at = (at + 1) & index->mask;
    index->cells[at] = (struct slot_cell){tag, slot + 1};
}

/* Closes the gap: every later entry of the run that may not stand behind an empty cell moves up. */
static inline void slot_index_remove(struct slot_index *index, uint32_t tag, uint32_t slot)
{
    uint32_t gap = slot_index_home(index, tag);
    while (index->cells[gap].slot_plus != slot + 1) {
        assert(index->cells[gap].slot_plus != 0);
        gap = (gap + 1) & index->mask;
    }
    for (uint32_t at = (gap + 1) & index->mask; index->cells[at].slot_plus != 0;
         at = (at + 1) & index->mask) {
        uint32_t home = slot_index_home(index, index->cells[at].tag);
        if (((at - home) & index->mask) < ((at - gap) & index->mask)) continue;
        index->cells[gap] = index->cells[at];
        gap = at;
    }
    index->cells[gap] = (struct slot_cell){0};
}

/* The finalizer of splitmix64: spreads numbers that are dense or share low bits. */
static inline uint64_t slot_mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

/* A doubly linked list through `links`, one entry per slot of its table. */
struct slot_link {
    uint32_t before;
    uint32_t after;
};
struct slot_list {
    uint32_t first;
    uint32_t last;
    uint32_t count;
};
#define SLOT_LIST_EMPTY ((struct slot_list){SLOT_NONE, SLOT_NONE, 0})

static inline void slot_list_append(struct slot_list *list, struct slot_link *links, uint32_t slot)
{
    links[slot] = (struct slot_link){list->last, SLOT_NONE};
    if (list->last == SLOT_NONE)
        list->first = slot;
    else
        links[list->last].after = slot;
    list->last = slot;
    list->count++;
}

/* A free slot is put in front: the next to take it finds it in the processor's cache, and a table
 * never touches more memory than was in use at once. */
static inline void slot_list_prepend(struct slot_list *list, struct slot_link *links, uint32_t slot)
{
    links[slot] = (struct slot_link){SLOT_NONE, list->first};
    if (list->first == SLOT_NONE)
        list->last = slot;
    else
        links[list->first].before = slot;
    list->first = slot;
    list->count++;
}

static inline void slot_list_remove(struct slot_list *list, struct slot_link *links, uint32_t slot)
{
    struct slot_link link = links[slot];
    if (link.before == SLOT_NONE)
        list->first = link.after;
    else
        links[link.before].after = link.after;
    if (link.after == SLOT_NONE)
        list->last = link.before;
    else
        links[link.after].before = link.before;
    list->count--;
}

/* Slots by something that many of them share: a chain per hash, which has others of its hash, too.
 * for (slot = slot_chain_first(…); slot != SLOT_NONE; slot = chains.links[slot].after) … */
struct slot_chains {
    uint32_t *heads; /* slot + 1; 0: empty */
    struct slot_link *links;
    uint32_t mask;
};

static inline void slot_chains_init(struct slot_chains *chains, uint32_t slots_max)
{
    uint32_t size = 16;
    while (size < slots_max)
        size *= 2;
    chains->mask = size - 1;
    chains->heads = calloc(size, sizeof(*chains->heads));
    chains->links = calloc(slots_max, sizeof(*chains->links));
    if (chains->heads == NULL || chains->links == NULL) abort();
}

static inline uint32_t slot_chain_first(const struct slot_chains *chains, uint32_t tag)
{
    return chains->heads[tag & chains->mask] - 1; /* of none: SLOT_NONE */
}

static inline void slot_chain_add(struct slot_chains *chains, uint32_t tag, uint32_t slot)
{
    uint32_t first = slot_chain_first(chains, tag);
    chains->links[slot] = (struct slot_link){SLOT_NONE, first};
    if (first != SLOT_NONE) chains->links[first].before = slot;
    chains->heads[tag & chains->mask] = slot + 1;
}

static inline void slot_chain_remove(struct slot_chains *chains, uint32_t tag, uint32_t slot)
{
    struct slot_link link = chains->links[slot];
    if (link.before == SLOT_NONE)
        chains->heads[tag & chains->mask] = link.after + 1;
    else
        chains->links[link.before].after = link.after;
    if (link.after != SLOT_NONE) chains->links[link.after].before = link.before;
}

static inline uint32_t slot_list_take(struct slot_list *list, struct slot_link *links)
{
    uint32_t slot = list->first;
    if (slot != SLOT_NONE) slot_list_remove(list, links, slot);
    return slot;
}
