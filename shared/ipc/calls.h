/* SPDX-License-Identifier: Apache-2.0 */
/* The questions of one peer that wait for their answer: a table of slots, found in O(1) by request
 * id. An id names its slot and how many calls there were before, so an id is never used twice. Only
 * peer.c uses this. */
#pragma once

#include "shared/ipc/peer.h"

struct call;

struct calls {
    struct call *slots;
    uint32_t slot_count; /* allocated, a power of two */
    uint32_t free_head;  /* 1 + index of the first free slot; 0: none */
    uint32_t pending;
    uint64_t begun;       /* calls ever begun */
    uint64_t side;        /* bit 63 of every id: set on the accepting side, whose ids must differ */
    uint64_t earliest_ms; /* no pending call has an earlier deadline; UINT64_MAX without one */
};

void calls_init(struct calls *calls, bool accepting);
void calls_free(struct calls *calls); /* forgets; nothing runs */

/* 0 when PEER_CALLS_MAX are pending. */
uint64_t calls_begin(struct calls *calls, struct peer_call call, uint64_t now_ms);

/* Takes a pending call out of the table; false when it is not pending (any more). */
bool calls_take(struct calls *calls, uint64_t id, struct peer_call *call);

/* Whether this table ever handed the id out. */
bool calls_issued(const struct calls *calls, uint64_t id);

/* Ends every call whose deadline is not after now_ms; UINT64_MAX ends all. The answers may begin
 * new calls. */
void calls_fail(struct calls *calls, uint64_t now_ms, status reason);
