/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocation from a list of chunks, each twice the one before up to a bound. Memory is cleared
 * when it is handed out, unless asked otherwise, because a chunk that outlives a reset holds old
 * bytes. The chunk that survives a reset is the oldest, so an arena that serves many small requests
 * settles without the allocator. */
#include "shared/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <unistd.h>

#define ARENA_ALIGNMENT      16
#define ARENA_CHUNK_SIZE_MIN ((size_t)4096)
#define ARENA_CHUNK_SIZE_MAX ((size_t)262144)

struct arena_chunk {
    struct arena_chunk *older;
    size_t size; /* of bytes */
    size_t used; /* of bytes */
    alignas(ARENA_ALIGNMENT) unsigned char bytes[];
};

static void add_chunk(struct arena *arena, size_t size);
static void free_chunks(struct arena_chunk *chunk, struct arena_chunk *end);

void arena_init(struct arena *arena, size_t size_max)
{
    *arena = (struct arena){.size_max = size_max};
}

void arena_reserve(struct arena *arena, size_t size)
{
    assert(arena->chunk == NULL);
    void *memory = arena_alloc(arena, size);
    (void)memory; /* given back */
    arena_reset(arena);
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *first = arena->chunk;
    if (first != NULL) {
        while (first->older != NULL) {
            first = first->older;
        }
        free_chunks(arena->chunk, first);
        first->used = 0;
    }
    arena->chunk = first;
    arena->used = 0;
}

void arena_free(struct arena *arena)
{
    free_chunks(arena->chunk, NULL);
    arena->chunk = NULL;
    arena->used = 0;
}

struct arena_mark arena_take_mark(const struct arena *arena)
{
    return (struct arena_mark){.chunk = arena->chunk,
                               .chunk_used = arena->chunk == NULL ? 0 : arena->chunk->used,
                               .used = arena->used};
}

void arena_rewind(struct arena *arena, struct arena_mark mark)
{
    free_chunks(arena->chunk, mark.chunk);
    arena->chunk = mark.chunk;
    if (mark.chunk != NULL) mark.chunk->used = mark.chunk_used;
    arena->used = mark.used;
}

/* *rounded: what it takes of the arena. */
static void *take(struct arena *arena, size_t size, size_t *rounded)
{
    /* Compared raw before it is rounded up: a hostile length must not wrap to a small one. */
    if (size > arena->size_max || size > SIZE_MAX - ARENA_ALIGNMENT) return NULL;
    *rounded = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (*rounded > arena->size_max - arena->used) return NULL;
    if (arena->chunk == NULL || *rounded > arena->chunk->size - arena->chunk->used) {
        add_chunk(arena, *rounded);
    }
    unsigned char *memory = arena->chunk->bytes + arena->chunk->used;
    arena->chunk->used += *rounded;
    arena->used += *rounded;
    return memory;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t rounded;
    void *memory = take(arena, size, &rounded);
    return memory == NULL ? NULL : memset(memory, 0, rounded);
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) return NULL;
    return arena_alloc(arena, total);
}

void *arena_alloc_unset(struct arena *arena, size_t count, size_t size)
{
    size_t total, rounded;
    if (__builtin_mul_overflow(count, size, &total)) return NULL;
    return take(arena, total, &rounded);
}

slice arena_copy(struct arena *arena, slice s)
{
    char *copy = s.len == SIZE_MAX ? NULL : arena_alloc_unset(arena, s.len + 1, 1);
    if (copy == NULL) return (slice){NULL, 0};
    if (s.len > 0) memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return (slice){copy, s.len};
}

static void add_chunk(struct arena *arena, size_t size)
{
    size_t chunk_size = ARENA_CHUNK_SIZE_MIN;
    if (arena->chunk != NULL && arena->chunk->size < ARENA_CHUNK_SIZE_MAX / 2) {
        chunk_size = arena->chunk->size * 2;
    } else if (arena->chunk != NULL) {
        chunk_size = ARENA_CHUNK_SIZE_MAX;
    }
    if (chunk_size < size) chunk_size = size;
    struct arena_chunk *chunk = malloc(sizeof(*chunk) + chunk_size);
    if (chunk == NULL) {
        static const char message[] = "arena: out of memory\n";
        (void)!write(STDERR_FILENO, message, sizeof(message) - 1);
        abort();
    }
    chunk->older = arena->chunk;
    chunk->size = chunk_size;
    chunk->used = 0;
    arena->chunk = chunk;
}

static void free_chunks(struct arena_chunk *chunk, struct arena_chunk *end)
{
    while (chunk != end) {
        struct arena_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
}
