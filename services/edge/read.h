/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes of a chat request to what the edge needs to know of it: one validating parse, then
 * typed reads of every field we act on. Fields we do not know pass through to the provider
 * untouched. Pure. */
#pragma once

#include "services/edge/choose.h"
#include "shared/arena.h"
#include "shared/json/read.h"

#define JSON_VALUES_MAX 1000000u
#define MODEL_SLUG_MAX  160
#define CHOICES_MAX     8

/* What was asked. Slices are views of the body or of the arena. */
struct wish {
    slice model;
    bool stream;
    uint32_t output_want; /* tokens per choice; 0: not named */
    slice output_field;   /* the member that named it */
    uint32_t choices;     /* n */
    uint32_t messages;
    uint32_t images;
    uint64_t text_bytes; /* of all messages, tool definitions and response formats */
    struct choose_names order, only, ignore;
    bool no_fallbacks;
    bool by_price;
    slice session; /* session_id, else user; empty when absent */
};

/* Where and why a body was refused; message is empty when the error's own sentence says it all. */
struct fault {
    slice field;
    slice message;
};

/* BAD_JSON, JSON_TOO_DEEP, TOO_MANY_VALUES, DUPLICATE_KEY, ESCAPED_KEY, WRONG_TYPE, OUT_OF_RANGE,
 * MISSING_FIELD, UNSUPPORTED_CONTENT, TOO_LARGE. The document and the wish are valid only after
 * OK. */
status read_chat(slice body, struct json_document *document, struct arena *arena, struct wish *wish,
                 struct fault *fault);
