/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON reader's outside: a document's memory, ways through the tape of nodes, and typed
 * reads. The parsing itself is in walk.cc and tape.c, escapes in text.c. Everything here works
 * on a document that was accepted, so only kinds and ranges can be wrong. */

#include <stdlib.h>

#include "shared/json/read.h"
#include "shared/json/text.h"
#include "shared/json/walk.h"

/* Memory of nodes kept between texts: 1 MiB is some 50,000 of them, a body of a megabyte of
 * tools. */
#define NODES_KEPT_MAX  (1024u * 1024 / sizeof(struct json_node))
#define NODES_FIRST     256u
#define KEYS_PAIRED_MAX 24 /* up to here each key is compared with each: at most 276 comparisons */

static const struct json_node *node_of(struct json_value v);
static slice string_inside(const struct json_node *node, const char *text);
static bool inside_equal(slice inside, slice text);
static bool node_equal(const struct json_node *node, const char *text, slice name);

/* ---- documents ------------------------------------------------------------------------------- */

void json_document_init(struct json_document *document, uint32_t values_max)
{
    *document = (struct json_document){.values_max = values_max};
}

void json_document_free(struct json_document *document)
{
    free(document->nodes);
    json_document_init(document, document->values_max);
}

/* Room for `count` nodes. What the last text needed is given back when this one needs far less. */
static void document_reserve(struct json_document *document, uint64_t count)
{
    bool too_large = document->nodes_size > NODES_KEPT_MAX && count <= NODES_KEPT_MAX;
    if (count <= document->nodes_size && !too_large) return;
    uint64_t doubled = too_large ? 0 : 2 * (uint64_t)document->nodes_size;
    uint64_t size = count > NODES_FIRST ? count : NODES_FIRST;
    if (size < doubled && doubled <= NODES_KEPT_MAX) size = doubled;
    free(document->nodes);
    document->nodes = malloc(size * sizeof(struct json_node));
    if (document->nodes == NULL) abort();
    document->nodes_size = (uint32_t)size;
}

status json_parse(struct json_document *document, slice text)
{
    document->text = text.data;
    document->node_count = 0;
    if (text.len > UINT32_MAX) return FAIL(TOO_MANY_VALUES);

    struct json_index index;
    status parsed = json_walk_bytes(text, &index);
    if (status_ok(parsed)) {
        document_reserve(document, json_tape_room(index.count, document->values_max));
        parsed = json_tape_write(document, index);
    }
    json_walk_trim();
    return parsed;
}

/* ---- ways through the nodes ------------------------------------------------------------------ */

struct json_value json_root(const struct json_document *document)
{
    return document->node_count == 0 ? (struct json_value){0} : (struct json_value){document, 0};
}

bool json_exists(struct json_value v)
{
    return v.document != NULL;
}

enum json_kind json_kind_of(struct json_value v)
{
    return json_exists(v) ? (enum json_kind)node_of(v)->kind : JSON_NULL;
}

slice json_raw(struct json_value v)
{
    if (!json_exists(v)) return SLICE_NONE;
    return (slice){v.document->text + node_of(v)->offset, node_of(v)->len};
}

uint32_t json_count(struct json_value v)
{
    return json_exists(v) ? node_of(v)->count : 0;
}

struct json_value json_get(struct json_value object, slice name)
{
    if (json_kind_of(object) != JSON_OBJECT) return (struct json_value){0};
    const struct json_document *document = object.document;
    uint32_t key = object.node + 1;
    for (uint32_t left = json_count(object); left > 0; left--) {
        if (node_equal(&document->nodes[key], document->text, name))
            return (struct json_value){document, key + 1};
        key = document->nodes[key + 1].next;
    }
    return (struct json_value){0};
}

void json_find_members(struct json_value object, const struct json_member_row *rows, size_t count,
                       void *members)
{
    if (json_kind_of(object) != JSON_OBJECT) return;
    struct json_value key = {object.document, object.node + 1};
    for (uint32_t left = json_count(object); left > 0; left--) {
        const slice name = json_raw(key);
        const struct json_value value = {key.document, key.node + 1};
        for (size_t i = 0; i < count; i++) {
            if (!slice_equal(name, rows[i].name)) continue;
            memcpy((char *)members + rows[i].offset, &value, sizeof(value));
            break;
        }
        key.node = node_of(value)->next;
    }
}

struct json_iterator json_iterate(struct json_value container)
{
    return (struct json_iterator){
        .container = container, .node = container.node + 1, .left = json_count(container)};
}

bool json_next(struct json_iterator *i)
{
    if (i->left == 0) return false;
    i->left--;
    i->key = (struct json_value){0};
    if (node_of(i->container)->kind == JSON_OBJECT)
        i->key = (struct json_value){i->container.document, i->node++};
    i->value = (struct json_value){i->container.document, i->node};
    i->node = node_of(i->value)->next;
    return true;
}

/* ---- typed reads ----------------------------------------------------------------------------- */

static status require_kind(struct json_value v, enum json_kind kind)
{
    if (!json_exists(v)) return FAIL(MISSING_FIELD);
    return json_kind_of(v) == kind ? OK : FAIL(WRONG_TYPE);
}

status json_read_string(struct json_value v, struct arena *arena, slice *text)
{
    TRY(require_kind(v, JSON_STRING));
    const struct json_node *node = node_of(v);
    slice inside = string_inside(node, v.document->text);
    if (!node->escaped) {
        *text = inside;
        return OK;
    }
    /* No escape is shorter than what it stands for. */
    char *out = arena_alloc(arena, inside.len);
    if (out == NULL) return FAIL(TOO_LARGE);
    size_t len = 0;
    while (inside.len > 0) {
        char character[JSON_CHARACTER_LEN_MAX];
        slice piece = json_text_next(&inside, character);
        memcpy(out + len, piece.data, piece.len);
        len += piece.len;
    }
    *text = (slice){out, len};
    return OK;
}

status json_read_bool(struct json_value v, bool *value)
{
    if (!json_exists(v)) return FAIL(MISSING_FIELD);
    enum json_kind kind = json_kind_of(v);
    if (kind != JSON_TRUE && kind != JSON_FALSE) return FAIL(WRONG_TYPE);
    *value = kind == JSON_TRUE;
    return OK;
}

status json_read_i64(struct json_value v, int64_t *value)
{
    TRY(require_kind(v, JSON_NUMBER));
    return json_text_to_i64(json_raw(v), value);
}

status json_read_u32(struct json_value v, uint32_t *value)
{
    int64_t wide = 0;
    TRY(json_read_i64(v, &wide));
    if (wide < 0 || wide > UINT32_MAX) return FAIL(OUT_OF_RANGE);
    *value = (uint32_t)wide;
    return OK;
}

status json_read_number_text(struct json_value v, slice *digits)
{
    TRY(require_kind(v, JSON_NUMBER));
    *digits = json_raw(v);
    return OK;
}

bool json_string_equal(struct json_value v, slice text)
{
    return json_kind_of(v) == JSON_STRING && node_equal(node_of(v), v.document->text, text);
}

size_t json_string_len(struct json_value v)
{
    if (json_kind_of(v) != JSON_STRING) return 0;
    const struct json_node *node = node_of(v);
    slice inside = string_inside(node, v.document->text);
    if (!node->escaped) return inside.len;
    size_t len = 0;
    while (inside.len > 0) {
        char character[JSON_CHARACTER_LEN_MAX];
        len += json_text_next(&inside, character).len;
    }
    return len;
}

/* ---- the top level --------------------------------------------------------------------------- */

static int compare_slices(slice a, slice b)
{
    if (a.len != b.len) return a.len < b.len ? -1 : 1;
    return memcmp(a.data, b.data, a.len);
}

static int compare_keys(const void *a, const void *b)
{
    return compare_slices(*(const slice *)a, *(const slice *)b);
}

/* Sorts, so that a body of 100,000 keys costs no more than reading it did. */
static status check_many_keys(struct json_value object)
{
    uint32_t count = json_count(object);
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, count * sizeof(slice) + 64);
    slice *keys = arena_alloc_array(&arena, count, sizeof(slice));
    if (keys == NULL) return FAIL(TOO_LARGE);

    slice *key = keys;
    for (struct json_iterator i = json_iterate(object); json_next(&i);)
        *key++ = json_raw(i.key);
    qsort(keys, count, sizeof(slice), compare_keys);
    for (uint32_t i = 1; i < count; i++)
        if (slice_equal(keys[i - 1], keys[i])) return FAIL(DUPLICATE_KEY);
    return OK;
}

static status check_few_keys(struct json_value object)
{
    slice keys[KEYS_PAIRED_MAX];
    uint32_t count = 0;
    for (struct json_iterator i = json_iterate(object); json_next(&i); count++) {
        keys[count] = json_raw(i.key);
        for (uint32_t before = 0; before < count; before++)
            if (slice_equal(keys[before], keys[count])) return FAIL(DUPLICATE_KEY);
    }
    return OK;
}

status json_check_top_level(const struct json_document *document)
{
    struct json_value root = json_root(document);
    if (json_kind_of(root) != JSON_OBJECT) return FAIL(WRONG_TYPE);
    for (struct json_iterator i = json_iterate(root); json_next(&i);)
        if (node_of(i.key)->escaped) return FAIL(ESCAPED_KEY);
    return json_count(root) > KEYS_PAIRED_MAX ? check_many_keys(root) : check_few_keys(root);
}

/* ---- below ----------------------------------------------------------------------------------- */

static const struct json_node *node_of(struct json_value v)
{
    return &v.document->nodes[v.node];
}

/* The text between the quotes, escapes as they stand. */
static slice string_inside(const struct json_node *node, const char *text)
{
    return (slice){text + node->offset + 1, node->len - 2};
}

static bool node_equal(const struct json_node *node, const char *text, slice name)
{
    const slice inside = string_inside(node, text);
    return node->escaped ? inside_equal(inside, name) : slice_equal(inside, name);
}

/* Piece by piece, so that a long escaped key needs no memory. */
static bool inside_equal(slice inside, slice text)
{
    while (inside.len > 0) {
        char character[JSON_CHARACTER_LEN_MAX];
        slice piece = json_text_next(&inside, character);
        if (!slice_starts_with(text, piece)) return false;
        text = slice_from(text, piece.len);
    }
    return text.len == 0;
}
