/* SPDX-License-Identifier: Apache-2.0 */
/* The one JSON reader. json_parse() makes one validating walk: simdjson's SIMD stage finds the
 * structure and checks UTF-8, a walk over its index checks the grammar and writes a flat tape of
 * nodes. Accepted ⇔ JSON.parse accepts it, nesting ≤ 64, at most values_max values. Nothing is
 * copied: nodes are byte ranges of the caller's text, which must outlive the document. Numbers
 * stay raw text until asked for, so integers of any size survive. */
#pragma once

#include "shared/arena.h"
#include "shared/slice.h"

#define JSON_DEPTH_MAX 64

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_node {
    uint32_t offset; /* of the value's first byte in the text; a string's opening quote */
    uint32_t len;    /* bytes of the raw value; a string's with both quotes */
    uint32_t next;   /* index of the node after this value and all it holds */
    uint32_t count;  /* members of an object, items of an array; 0 otherwise */
    uint8_t kind;
    bool escaped; /* a string that holds a backslash */
};

/* Reusable: keeps its nodes between parses; the index of a parse is the thread's. Of what a huge
 * text needed all but 5 MiB is given back: the index at once, the nodes by the next parse. One per
 * thread or per connection, never shared. */
struct json_document {
    const char *text;
    struct json_node *nodes; /* [0] is the root; members of an object are key node, value node, … */
    uint32_t nodes_size;     /* allocated */
    uint32_t node_count;     /* 0 when nothing was accepted */
    uint32_t values_max;
};

/* values_max counts values at every level, the root among them; keys are none. */
void json_document_init(struct json_document *document, uint32_t values_max);
/* The document can be used again afterwards: so an idle owner gives all its memory back. */
void json_document_free(struct json_document *document);

/* BAD_JSON, JSON_TOO_DEEP, TOO_MANY_VALUES (also for text of 4 GiB and more). */
status json_parse(struct json_document *document, slice text);

/* A value is a document and the index of its node; a missing value has document NULL, and every
 * function below takes a missing value and answers that it is missing. */
struct json_value {
    const struct json_document *document;
    uint32_t node;
};
struct json_value json_root(
    const struct json_document *document); /* missing after a failed parse */
bool json_exists(struct json_value v);
enum json_kind json_kind_of(struct json_value v); /* JSON_NULL for a missing value */
/* Bytes as they stand; empty for a missing value. */
slice json_raw(struct json_value v);

/* Member by name (linear; the first of duplicates). Compares unescaped names. */
struct json_value json_get(struct json_value object, slice name);
uint32_t json_count(struct json_value v);

/* Members of an object by a table of their names, in one walk, into a struct of json_values that
 * are all missing at first. Of duplicates the last, as JSON.parse takes it; a name that is written
 * with escapes is none of the table's. */
struct json_member_row {
    slice name;    /* with its quotes */
    size_t offset; /* of its json_value in the struct */
};
#define JSON_MEMBER(type, name)                                  \
    {                                                            \
        SLICE_INIT("\"" #name "\""), offsetof(struct type, name) \
    }
void json_find_members(struct json_value object, const struct json_member_row *rows, size_t count,
                       void *members);

/* for (struct json_iterator i = json_iterate(v); json_next(&i);) … i.value, and i.key in objects: a
 * string value, missing in arrays. */
struct json_iterator {
    struct json_value container;
    struct json_value key;
    struct json_value value;
    uint32_t node;
    uint32_t left;
};
struct json_iterator json_iterate(struct json_value container);
bool json_next(struct json_iterator *iterator);

/* Typed reads: WRONG_TYPE when the kind differs (null does), MISSING_FIELD when missing, and
 * what each says. */

/* Unescaped; a view when there is no escape; lone surrogates become U+FFFD. TOO_LARGE. */
status json_read_string(struct json_value v, struct arena *arena, slice *text);
status json_read_bool(struct json_value v, bool *value);
/* Integers only: 1.0 and 1e3 are accepted, being exact; anything else is OUT_OF_RANGE. */
status json_read_i64(struct json_value v, int64_t *value);
status json_read_u32(struct json_value v, uint32_t *value);
/* Raw number text, for money_parse_dollars. */
status json_read_number_text(struct json_value v, slice *digits);
bool json_string_equal(struct json_value v, slice text); /* false for other kinds */

/* Byte length of the text a JSON string stands for (UTF-8, unescaped). 0 for other kinds. */
size_t json_string_len(struct json_value v);

/* Top-level keys of the root object are unique and written without escapes: DUPLICATE_KEY,
 * ESCAPED_KEY; WRONG_TYPE when the root is not an object. Edge and provider must never read two
 * different requests. */
status json_check_top_level(const struct json_document *document);
