/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the catalog into one immutable snapshot. While it is built, rows stand in growing
 * tables found by id; at the end they move into one arena: models with their endpoints beside
 * each other, and a hash table of slugs. The complication: rows point at each other, so nothing
 * points at anything before the tables have stopped growing. Health is in health_board.c. */
#include "services/edge/market.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#define MARKET_SIZE_MAX \
    ((size_t)512 << 20) /* bytes of one snapshot; 2,600 models with 5,000 endpoints take 4 MiB */
#define MARKET_ROWS_MAX (1u << 20) /* of one kind */

struct market {
    _Atomic uint32_t references;
    uint64_t revision;
    struct arena arena;
    const struct market_model *models;
    size_t model_count;
    uint32_t *slots; /* open addressing: index of a model + 1, or 0 */
    size_t slot_mask;
};

/* Rows of one kind, and where the row with an id stands. */
struct table {
    struct buffer rows;
    size_t row_size;
    uint32_t count;
    uint32_t *slots; /* row + 1, or 0; a power of two, at most half full */
    size_t slot_count;
};

/* Every row begins with its id. */
struct provider_draft {
    uint32_t id;
    struct market_provider row;
};
struct model_draft {
    uint32_t id;
    struct market_model row;
};
struct endpoint_draft {
    uint32_t id;
    uint32_t model;    /* row of the table, not its id */
    uint32_t provider; /* row */
    uint32_t price;    /* row + 1, or 0 */
    struct market_endpoint row;
};

struct market_builder {
    uint64_t revision;
    uint32_t frames;
    struct arena arena; /* texts at first, everything at the end */
    struct table providers, models, prices, endpoints;
};

static status add_provider(struct market_builder *builder, slice body);
static status add_model(struct market_builder *builder, slice body);
static status add_price(struct market_builder *builder, slice body);
static status add_endpoint(struct market_builder *builder, slice body);
static status assemble(struct market_builder *builder, struct market *market);
static uint64_t hash_slug(slice slug);

enum dialect market_endpoint_dialect(const struct market_endpoint *endpoint)
{
    return endpoint->provider->simulated ? DIALECT_OPENAI : endpoint->provider->dialect;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void table_init(struct table *table, size_t row_size)
{
    *table = (struct table){.row_size = row_size};
    buffer_init(&table->rows, row_size * MARKET_ROWS_MAX);
}

static void table_free(struct table *table)
{
    buffer_free(&table->rows);
    free(table->slots);
}

static void *table_row(const struct table *table, uint32_t row)
{
    return table->rows.data + row * table->row_size;
}

static uint32_t row_id(const struct table *table, uint32_t row)
{
    uint32_t id;
    memcpy(&id, table_row(table, row), sizeof(id));
    return id;
}

/* The slot that holds this id, or the empty one where it belongs. */
static size_t table_slot(const struct table *table, uint32_t id)
{
    /* Knuth's multiplicative hash: ids are dense, and neighbours land far from each other. */
    size_t slot = (id * 2654435761u) & (table->slot_count - 1);
    while (table->slots[slot] != 0 && row_id(table, table->slots[slot] - 1) != id) {
        slot = (slot + 1) & (table->slot_count - 1);
    }
    return slot;
}

static bool table_find(const struct table *table, uint32_t id, uint32_t *row)
{
    if (table->slot_count == 0) return false;
    uint32_t found = table->slots[table_slot(table, id)];
    *row = found - 1;
    return found != 0;
}

static void table_grow(struct table *table)
{
    if (table->count * 2 < table->slot_count) return;
    size_t count = table->slot_count == 0 ? 256 : table->slot_count * 2;
    free(table->slots);
    table->slots = calloc(count, sizeof(uint32_t));
    if (table->slots == NULL) abort();
    table->slot_count = count;
    for (uint32_t row = 0; row < table->count; row++) {
        table->slots[table_slot(table, row_id(table, row))] = row + 1;
    }
}

/* MALFORMED: an id twice, or 0, which everywhere means none. */
static status table_add(struct table *table, const void *row, uint32_t id)
{
    uint32_t present;
    if (id == 0 || table_find(table, id, &present)) return FAIL(MALFORMED);
    table_grow(table);
    buffer_append_bytes(&table->rows, row, table->row_size);
    if (!status_ok(buffer_finish(&table->rows))) return FAIL(MALFORMED);
    size_t slot = table_slot(table, id);
    table->slots[slot] = ++table->count;
    return OK;
}

/* ---- the builder ----------------------------------------------------------------------------- */

static const struct frame_row {
    uint16_t type;
    status (*add)(struct market_builder *builder, slice body);
} frame_rows[] = {
    {MESSAGE_provider, add_provider},
    {MESSAGE_model, add_model},
    {MESSAGE_market_price, add_price},
    {MESSAGE_endpoint, add_endpoint},
};

struct market_builder *market_builder_new(uint64_t revision)
{
    struct market_builder *builder = calloc(1, sizeof(*builder));
    if (builder == NULL) abort();
    builder->revision = revision;
    arena_init(&builder->arena, MARKET_SIZE_MAX);
    table_init(&builder->providers, sizeof(struct provider_draft));
    table_init(&builder->models, sizeof(struct model_draft));
    table_init(&builder->prices, sizeof(struct price_row));
    table_init(&builder->endpoints, sizeof(struct endpoint_draft));
    return builder;
}

void market_builder_free(struct market_builder **builder)
{
    struct market_builder *b = TAKE(*builder);
    if (b == NULL) return;
    table_free(&b->providers);
    table_free(&b->models);
    table_free(&b->prices);
    table_free(&b->endpoints);
    arena_free(&b->arena);
    free(b);
}

status market_builder_add(struct market_builder *builder, const struct frame *frame)
{
    builder->frames++;
    for (size_t i = 0; i < sizeof(frame_rows) / sizeof(frame_rows[0]); i++) {
        if (frame_rows[i].type == frame->type) return frame_rows[i].add(builder, frame->body);
    }
    return FAIL(MALFORMED);
}

status market_builder_finish(struct market_builder **builder,
                             const struct message_market_ready *ready, struct market **market)
{
    SCOPED(market_builder_free) struct market_builder *b = TAKE(*builder);
    if (ready->rows != b->frames || ready->revision != b->revision) return FAIL(MALFORMED);

    struct market *m = calloc(1, sizeof(*m));
    if (m == NULL) abort();
    atomic_init(&m->references, 1);
    m->revision = b->revision;
    status assembled = assemble(b, m);
    /* The arena goes with whoever needs it; the builder keeps an empty one. */
    m->arena = b->arena;
    arena_init(&b->arena, 0);
    if (!status_ok(assembled)) {
        market_release(&m);
        return assembled;
    }
    *market = m;
    return OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static status keep(struct market_builder *builder, slice text, slice *kept)
{
    *kept = arena_copy(&builder->arena, text);
    return kept->data == NULL ? FAIL(MALFORMED) : OK;
}

static status add_provider(struct market_builder *builder, slice body)
{
    struct message_provider message;
    TRY(message_decode_provider(body, &message));
    struct provider_draft draft = {.id = message.id};
    draft.row = (struct market_provider){
        .id = message.id,
        .dialect = (enum dialect)message.dialect,
        .simulated = message.simulated != 0,
        .key_version = message.key_version,
    };
    TRY(keep(builder, message.slug, &draft.row.slug));
    TRY(keep(builder, message.name, &draft.row.name));
    slice base;
    TRY(keep(builder, message.base_url, &base));
    if (!status_ok(url_parse(base, &draft.row.base))) draft.row.base = (struct url){0};
    return table_add(&builder->providers, &draft, message.id);
}

static status add_model(struct market_builder *builder, slice body)
{
    struct message_model message;
    TRY(message_decode_model(body, &message));
    struct model_draft draft = {.id = message.id};
    draft.row = (struct market_model){
        .id = message.id,
        .context_length = message.context_length,
        .output_max = message.output_max,
        .input_modalities = message.input_modalities,
        .image_tokens_max = message.image_tokens_max,
    };
    TRY(keep(builder, message.slug, &draft.row.slug));
    TRY(keep(builder, message.name, &draft.row.name));
    return table_add(&builder->models, &draft, message.id);
}

static status add_price(struct market_builder *builder, slice body)
{
    struct message_market_price message;
    TRY(message_decode_market_price(body, &message));
    _Static_assert(offsetof(struct price_row, id) == 0, "a row begins with its id");
    return table_add(&builder->prices, &message.row, message.row.id);
}

static status add_endpoint(struct market_builder *builder, slice body)
{
    struct message_endpoint message;
    TRY(message_decode_endpoint(body, &message));
    struct endpoint_draft draft = {.id = message.id};
    uint32_t price_row = 0;
    bool known =
        table_find(&builder->models, message.model, &draft.model) &&
        table_find(&builder->providers, message.provider, &draft.provider) &&
        (message.price_id == 0 || table_find(&builder->prices, message.price_id, &price_row));
    if (!known) return FAIL(MALFORMED);
    draft.price = message.price_id == 0 ? 0 : price_row + 1;
    draft.row = (struct market_endpoint){
        .id = message.id,
        .upstream_context = message.context_length,
        .output_max = message.output_max,
        .disabled = message.disabled != 0,
    };
    TRY(keep(builder, message.upstream_model, &draft.row.upstream_model));
    return table_add(&builder->endpoints, &draft, message.id);
}

/* ---- the snapshot ---------------------------------------------------------------------------- */

static int compare_endpoints(const void *left, const void *right)
{
    const struct endpoint_draft *a = left;
    const struct endpoint_draft *b = right;
    if (a->model != b->model) return a->model < b->model ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static status assemble_endpoints(struct market_builder *builder,
                                 const struct market_provider *providers,
                                 const struct price_row *prices, struct market_model *models)
{
    uint32_t count = builder->endpoints.count;
    struct market_endpoint *endpoints =
        arena_alloc_array(&builder->arena, count, sizeof(struct market_endpoint));
    if (endpoints == NULL) return FAIL(MALFORMED);
    if (count > 0)
        qsort(builder->endpoints.rows.data, count, sizeof(struct endpoint_draft),
              compare_endpoints);
    for (uint32_t i = 0; i < count; i++) {
        const struct endpoint_draft *draft = table_row(&builder->endpoints, i);
        endpoints[i] = draft->row;
        endpoints[i].provider = &providers[draft->provider];
        endpoints[i].price = draft->price == 0 ? NULL : &prices[draft->price - 1];
        struct market_model *model = &models[draft->model];
        if (model->endpoint_count++ == 0) model->endpoints = &endpoints[i];
        model->live |= !endpoints[i].provider->simulated;
    }
    return OK;
}

static status index_models(struct market_builder *builder, struct market *market)
{
    size_t slot_count = 16;
    while (slot_count < market->model_count * 2) {
        slot_count *= 2;
    }
    market->slots = arena_alloc_array(&builder->arena, slot_count, sizeof(uint32_t));
    if (market->slots == NULL) return FAIL(MALFORMED);
    market->slot_mask = slot_count - 1;
    for (uint32_t i = 0; i < market->model_count; i++) {
        if (market_find(market, market->models[i].slug) != NULL) return FAIL(MALFORMED);
        size_t slot = hash_slug(market->models[i].slug) & market->slot_mask;
        while (market->slots[slot] != 0) {
            slot = (slot + 1) & market->slot_mask;
        }
        market->slots[slot] = i + 1;
    }
    return OK;
}

static status assemble(struct market_builder *builder, struct market *market)
{
    struct arena *arena = &builder->arena;
    uint32_t provider_count = builder->providers.count;
    uint32_t model_count = builder->models.count;
    uint32_t price_count = builder->prices.count;
    struct market_provider *providers =
        arena_alloc_array(arena, provider_count, sizeof(struct market_provider));
    struct market_model *models =
        arena_alloc_array(arena, model_count, sizeof(struct market_model));
    struct price_row *prices = arena_alloc_array(arena, price_count, sizeof(struct price_row));
    if (providers == NULL || models == NULL || prices == NULL) return FAIL(MALFORMED);

    for (uint32_t i = 0; i < provider_count; i++) {
        providers[i] = ((struct provider_draft *)table_row(&builder->providers, i))->row;
    }
    for (uint32_t i = 0; i < model_count; i++) {
        models[i] = ((struct model_draft *)table_row(&builder->models, i))->row;
    }
    if (price_count > 0)
        memcpy(prices, builder->prices.rows.data, price_count * sizeof(struct price_row));
    TRY(assemble_endpoints(builder, providers, prices, models));
    market->models = models;
    market->model_count = model_count;
    return index_models(builder, market);
}

struct market *market_retain(struct market *market)
{
    atomic_fetch_add_explicit(&market->references, 1, memory_order_relaxed);
    return market;
}

void market_release(struct market **market)
{
    struct market *m = TAKE(*market);
    if (m == NULL) return;
    if (atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) > 1) return;
    arena_free(&m->arena);
    free(m);
}

uint64_t market_revision(const struct market *market)
{
    return market->revision;
}

size_t market_model_count(const struct market *market)
{
    return market->model_count;
}

/* FNV-1a. The catalog chose the slugs in the table; a caller can only ask for one that is not
 * there. */
static uint64_t hash_slug(slice slug)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < slug.len; i++) {
        hash = (hash ^ (uint8_t)slug.data[i]) * 0x100000001b3u;
    }
    return hash;
}

const struct market_model *market_find(const struct market *market, slice slug)
{
    size_t slot = hash_slug(slug) & market->slot_mask;
    while (market->slots[slot] != 0) {
        const struct market_model *model = &market->models[market->slots[slot] - 1];
        if (slice_equal(model->slug, slug)) return model;
        slot = (slot + 1) & market->slot_mask;
    }
    return NULL;
}
