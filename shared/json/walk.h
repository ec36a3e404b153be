/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the reader only: the two walks of json_parse(). The first, walk.cc, goes over the bytes
 * and finds where tokens begin; the second, tape.c, goes over that index, checks the grammar and
 * writes the nodes. Nobody outside shared/json/ includes this file. */
#pragma once

#include "shared/json/read.h"

/* Where each token of the text begins: one of {}[]:, or the first byte of a string, number or
 * literal. Ascending; positions[count] is the text's length. The memory is the thread's, valid
 * until its next walk or trim. */
struct json_index {
    const uint32_t *positions;
    uint32_t count;
};

/* Fills the index. BAD_JSON on an empty text, invalid UTF-8, a raw control character in a string or
 * an unclosed string. Reads no byte past the text. text.len <= UINT32_MAX. */
status json_walk_bytes(slice text, struct json_index *index);

/* Gives the index's memory back when it is larger than one ordinary body needs. */
void json_walk_trim(void);

/* The writer asks this of strings that are not ASCII. */
bool json_walk_utf8_valid(slice text);

/* Writes document->nodes, which has room for json_tape_room() of them, and node_count.
 * BAD_JSON, JSON_TOO_DEEP, TOO_MANY_VALUES; node_count is 0 then. */
status json_tape_write(struct json_document *document, struct json_index index);
uint64_t json_tape_room(uint32_t index_count, uint32_t values_max);
