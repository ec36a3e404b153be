/* SPDX-License-Identifier: Apache-2.0 */
/* Memory with one lifetime: everything allocated from an arena lives until it is reset or freed.
 * One per request or message, passed explicitly, with a cap. Out of memory aborts the process;
 * exceeding the cap is an error of the input (TOO_LARGE), not of the machine. */
#pragma once

#include "shared/slice.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunk; /* newest first */
    size_t used;               /* bytes handed out since the last reset */
    size_t size_max;           /* cap on `used` */
};

void arena_init(struct arena *arena, size_t size_max);

/* An empty arena gets a first chunk of so many bytes, touched now, for good: what fits into it
 * later costs the kernel nothing. Nothing when it exceeds the cap. */
void arena_reserve(struct arena *arena, size_t size);

/* Gives back everything but the first chunk. Pointers from before are dead. */
void arena_reset(struct arena *arena);
void arena_free(struct arena *arena);

/* What was allocated after the mark is given back; pointers to it are dead. A mark from before a
 * reset is worth nothing. */
struct arena_mark {
    struct arena_chunk *chunk;
    size_t chunk_used;
    size_t used;
};
struct arena_mark arena_take_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, struct arena_mark mark);

/* 16-byte aligned, zeroed. NULL when the cap would be exceeded. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((warn_unused_result));
void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
    __attribute__((warn_unused_result));

/* The same without the zeros, for what is written before it is read, every byte of it. */
void *arena_alloc_unset(struct arena *arena, size_t count, size_t size)
    __attribute__((warn_unused_result));

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))

/* A copy with a NUL behind it (not counted); {NULL, 0} when the cap would be exceeded. */
slice arena_copy(struct arena *arena, slice s);
