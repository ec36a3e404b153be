/* SPDX-License-Identifier: Apache-2.0 */
/* The one JSON writer: streams into a buffer, puts commas by itself, escapes what must be
 * escaped. Invalid UTF-8 in a string becomes U+FFFD byte by byte, so an answer is always valid
 * JSON. Nesting past JSON_DEPTH_MAX, a close without an open and two keys in a row are faults of
 * ours: they assert. */
#pragma once

#include "shared/buffer.h"
#include "shared/clock.h"
#include "shared/money.h"

struct json_writer {
    struct buffer *out;
    uint64_t has_items; /* bit per depth: a comma is due */
    uint8_t depth;
    bool after_key;
};

void json_write_init(struct json_writer *w, struct buffer *out);
void json_object_begin(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w);
void json_array_end(struct json_writer *w);
/* Names are ours, never somebody's text: they stand there as they are, not looked at. */
void json_key(struct json_writer *w, slice name);
void json_string(struct json_writer *w, slice text);
void json_i64(struct json_writer *w, int64_t value);
void json_u64(struct json_writer *w, uint64_t value);
void json_bool(struct json_writer *w, bool value);
void json_null(struct json_writer *w);
void json_money(struct json_writer *w, money amount); /* a JSON number in dollars, exact digits */
void json_price_string(struct json_writer *w, price value);   /* a string in dollars per unit */
void json_raw_value(struct json_writer *w, slice valid_json); /* spliced as it is */
void json_time(struct json_writer *w, wall_time at);          /* ISO string */

/* key and value in one call */
void json_key_string(struct json_writer *w, slice name, slice text);
/* null when text.len is 0 */
void json_key_string_or_null(struct json_writer *w, slice name, slice text);
void json_key_i64(struct json_writer *w, slice name, int64_t value);
void json_key_u64(struct json_writer *w, slice name, uint64_t value);
void json_key_bool(struct json_writer *w, slice name, bool value);
void json_key_null(struct json_writer *w, slice name);
void json_key_money(struct json_writer *w, slice name, money amount);
void json_key_raw(struct json_writer *w, slice name, slice valid_json);
