/* SPDX-License-Identifier: Apache-2.0 */
/* Slots with a free list. Deadlines are looked at only when the earliest one can have passed: under
 * steady traffic that is about once per deadline, not once per tick, so no timer wheel is
 * needed. */
#include "shared/ipc/calls.h"

#include <stdlib.h>

#define SLOT_BITS       16
#define SLOTS_FIRST     64u /* what an idle peer costs */
#define SIDE_ACCEPTING  (1ull << 63)
#define GENERATION_MASK ((1ull << (63 - SLOT_BITS)) - 1)

_Static_assert(PEER_CALLS_MAX <= 1 << SLOT_BITS, "an id must name every slot");

struct call {
    struct peer_call call; /* answer == NULL: free */
    uint64_t id;
    uint64_t deadline_ms;
    uint32_t free_next; /* like calls.free_head */
};

static bool grow(struct calls *calls);
static void release(struct calls *calls, uint32_t index);

void calls_init(struct calls *calls, bool accepting)
{
    *calls = (struct calls){.side = accepting ? SIDE_ACCEPTING : 0, .earliest_ms = UINT64_MAX};
}

void calls_free(struct calls *calls)
{
    free(calls->slots);
    calls->slots = NULL;
    calls->slot_count = calls->free_head = calls->pending = 0;
}

uint64_t calls_begin(struct calls *calls, struct peer_call call, uint64_t now_ms)
{
    if (calls->free_head == 0 && !grow(calls)) return 0;
    uint32_t index = calls->free_head - 1;
    struct call *slot = &calls->slots[index];
    calls->free_head = slot->free_next;
    calls->pending++;
    calls->begun++;
    slot->call = call;
    slot->deadline_ms = now_ms + call.deadline_ms;
    slot->id = calls->side | (calls->begun & GENERATION_MASK) << SLOT_BITS | index;
    if (slot->deadline_ms < calls->earliest_ms) calls->earliest_ms = slot->deadline_ms;
    return slot->id;
}

bool calls_take(struct calls *calls, uint64_t id, struct peer_call *call)
{
    uint32_t index = (uint32_t)(id & ((1u << SLOT_BITS) - 1));
    if (index >= calls->slot_count) return false;
    const struct call *slot = &calls->slots[index];
    if (slot->call.answer == NULL || slot->id != id) return false;
    *call = slot->call;
    release(calls, index);
    return true;
}

bool calls_issued(const struct calls *calls, uint64_t id)
{
    uint64_t generation = (id & ~SIDE_ACCEPTING) >> SLOT_BITS;
    uint32_t index = (uint32_t)(id & ((1u << SLOT_BITS) - 1));
    return (id & SIDE_ACCEPTING) == calls->side && generation >= 1 && generation <= calls->begun &&
           index < calls->slot_count;
}

void calls_fail(struct calls *calls, uint64_t now_ms, status reason)
{
    if (calls->pending == 0 || calls->earliest_ms > now_ms) return;
    /* Calls begun by the answers lower it again by themselves. */
    calls->earliest_ms = UINT64_MAX;
    for (uint32_t i = 0; i < calls->slot_count; i++) {
        struct call slot = calls->slots[i];
        if (slot.call.answer == NULL) continue;
        if (slot.deadline_ms > now_ms) {
            if (slot.deadline_ms < calls->earliest_ms) calls->earliest_ms = slot.deadline_ms;
            continue;
        }
        release(calls, i);
        slot.call.answer(slot.call.context, reason, NULL);
    }
}

static bool grow(struct calls *calls)
{
    if (calls->slot_count >= PEER_CALLS_MAX) return false;
    uint32_t count = calls->slot_count == 0 ? SLOTS_FIRST : calls->slot_count * 2;
    struct call *slots = realloc(calls->slots, count * sizeof(*slots));
    if (slots == NULL) abort();
    calls->slots = slots;
    for (uint32_t i = count; i-- > calls->slot_count;) {
        slots[i] = (struct call){.free_next = calls->free_head};
        calls->free_head = i + 1;
    }
    calls->slot_count = count;
    return true;
}

static void release(struct calls *calls, uint32_t index)
{
    calls->slots[index].call.answer = NULL;
    calls->slots[index].free_next = calls->free_head;
    calls->free_head = index + 1;
    calls->pending--;
}
