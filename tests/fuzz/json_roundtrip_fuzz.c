/* SPDX-License-Identifier: Apache-2.0 */
/* The writer against the reader. What was parsed, written and parsed again is the same document;
 * and any bytes at all, written as a string, make valid JSON that holds them unless they were
 * bad UTF-8. */

#include <stdio.h>
#include <stdlib.h>

#include "shared/json/read.h"
#include "shared/json/walk.h"
#include "shared/json/write.h"

#define VALUES_MAX   100000
#define OUT_SIZE_MAX (16 * 1024 * 1024)

static struct arena arena;

static void require(bool held, const char *what)
{
    if (held) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static slice read_string(struct json_value v)
{
    slice text = SLICE_NONE;
    require(status_ok(json_read_string(v, &arena, &text)), "a string is read");
    return text;
}

/* Of a member, as it was written between its quotes: the writer puts names down as they are. */
static slice name_of(struct json_value key)
{
    slice quoted = json_raw(key);
    return (slice){quoted.data + 1, quoted.len - 2};
}

/* At most JSON_DEPTH_MAX deep, like the document. */
static void write_value(struct json_writer *w, struct json_value v)
{
    enum json_kind kind = json_kind_of(v);
    if (kind == JSON_STRING) {
        json_string(w, read_string(v));
        return;
    }
    if (kind != JSON_ARRAY && kind != JSON_OBJECT) {
        json_raw_value(w, json_raw(v));
        return;
    }
    if (kind == JSON_OBJECT)
        json_object_begin(w);
    else
        json_array_begin(w);
    for (struct json_iterator i = json_iterate(v); json_next(&i);) {
        if (json_exists(i.key)) json_key(w, name_of(i.key));
        write_value(w, i.value);
    }
    if (kind == JSON_OBJECT)
        json_object_end(w);
    else
        json_array_end(w);
}

static void check_same(const struct json_document *a, const struct json_document *b)
{
    require(a->node_count == b->node_count, "as many nodes");
    for (uint32_t node = 0; node < a->node_count; node++) {
        struct json_value left = {a, node};
        struct json_value right = {b, node};
        require(json_kind_of(left) == json_kind_of(right), "the same kind");
        require(json_count(left) == json_count(right), "the same count");
        require(a->nodes[node].next == b->nodes[node].next, "the same shape");
        if (json_kind_of(left) == JSON_STRING)
            require(json_string_equal(right, read_string(left)), "the same string");
        if (json_kind_of(left) == JSON_NUMBER)
            require(slice_equal(json_raw(left), json_raw(right)), "the same number");
    }
}

static void write_document(const struct json_document *document, struct buffer *out)
{
    struct json_writer w;
    buffer_clear(out);
    json_write_init(&w, out);
    write_value(&w, json_root(document));
    require(status_ok(buffer_finish(out)), "it fits");
}

static void check_document(slice text)
{
    SCOPED(json_document_free) struct json_document first;
    SCOPED(json_document_free) struct json_document second;
    SCOPED(buffer_free) struct buffer out;
    SCOPED(buffer_free) struct buffer again;
    json_document_init(&first, VALUES_MAX);
    json_document_init(&second, VALUES_MAX);
    buffer_init(&out, OUT_SIZE_MAX);
    buffer_init(&again, OUT_SIZE_MAX);

    if (!status_ok(json_parse(&first, text))) return;
    write_document(&first, &out);
    require(status_ok(json_parse(&second, buffer_slice(&out))), "what was written is JSON");
    check_same(&first, &second);
    write_document(&second, &again);
    require(slice_equal(buffer_slice(&out), buffer_slice(&again)), "writing again changes nothing");
}

static void check_bytes(slice bytes)
{
    SCOPED(json_document_free) struct json_document document;
    SCOPED(buffer_free) struct buffer out;
    json_document_init(&document, VALUES_MAX);
    buffer_init(&out, OUT_SIZE_MAX);
    struct json_writer w;
    json_write_init(&w, &out);
    json_object_begin(&w);
    json_key_string(&w, SLICE("text"), bytes);
    json_object_end(&w);
    require(status_ok(buffer_finish(&out)), "it fits");
    require(status_ok(json_parse(&document, buffer_slice(&out))), "any bytes make a string");
    if (!json_walk_utf8_valid(bytes)) return;
    struct json_value text = json_get(json_root(&document), SLICE("text"));
    require(json_string_equal(text, bytes), "the string holds the bytes");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena_init(&arena, OUT_SIZE_MAX);
    check_document((slice){(const char *)data, size});
    check_bytes((slice){(const char *)data, size});
    arena_free(&arena);
    return 0;
}
