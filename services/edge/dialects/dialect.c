/* SPDX-License-Identifier: Apache-2.0 */
/* The dialects this edge speaks, and the memory their decoders share. A row is added when its codec
 * is written; until then nobody is sent there. */
#include "services/edge/dialects/dialect.h"

/* What is read from the network is bounded closer. */
#define BODY_SIZE_MAX    ((size_t)1 << 30)
#define SCRATCH_SIZE_MAX ((size_t)1 << 30)

/* Of an ordinary answer; more is not kept. */
#define BODY_KEPT        ((size_t)64 * 1024)
#define SCRATCH_KEPT     ((size_t)4 * 1024)
#define NODES_KEPT       4096u

static const struct dialect_row *const rows[] = {
    [DIALECT_OPENAI] = &dialect_openai,
};

const struct dialect_row *dialect_of(enum dialect dialect)
{
    size_t index = (size_t)dialect;
    return index < sizeof(rows) / sizeof(rows[0]) ? rows[index] : NULL;
}

void decode_memory_init(struct decode_memory *memory)
{
    json_document_init(&memory->document, 0);
    arena_init(&memory->scratch, SCRATCH_SIZE_MAX);
    arena_reserve(&memory->scratch, SCRATCH_KEPT); /* what a reset keeps, whatever comes first */
    buffer_init(&memory->body, BODY_SIZE_MAX);
}

void decode_memory_trim(struct decode_memory *memory)
{
    if (memory->document.nodes_size > NODES_KEPT) json_document_free(&memory->document);
    arena_reset(&memory->scratch);
    buffer_trim(&memory->body, BODY_KEPT);
}

void decode_memory_free(struct decode_memory *memory)
{
    json_document_free(&memory->document);
    arena_free(&memory->scratch);
    buffer_free(&memory->body);
}
