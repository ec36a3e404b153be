/* SPDX-License-Identifier: Apache-2.0 */
/* What a simulated provider answers: planned from the request once, then written whole or chunk by
 * chunk in the openai dialect. Words of the last user message steer it: sim:tokens=100
 * sim:chunk_ms=5 sim:first_ms=50 sim:reasoning=10 sim:cached=8 sim:bytes=20 (per token) sim:tool=1
 */
#pragma once

#include "shared/json/read.h"
#include "shared/json/write.h"
#include "tools/simprovider/fault.h"

struct plan {
    char model[192];
    char tool[96]; /* name of the tool to call; empty: none */
    bool stream;
    bool include_usage;
    bool cut_by_limit; /* finish_reason length */
    uint32_t choices;  /* n; each has the tokens below */
    uint32_t prompt_tokens;
    uint32_t cached_tokens;
    uint32_t reasoning_tokens;
    uint32_t text_tokens;
    uint32_t token_bytes; /* 0: words */
    uint32_t chunk_ms;
    uint32_t first_ms;
    int64_t created_s;
    uint64_t number;
};

/* BAD_REQUEST with *problem set to a sentence when a provider would refuse it. */
status answer_plan(struct json_value request, struct plan *plan, slice *problem);

/* Of all choices together: what the usage counts as output. */
uint32_t answer_token_count(const struct plan *plan);

/* The whole non-streamed body. */
void answer_write_body(const struct plan *plan, enum fault_usage usage, struct buffer *out);

/* Chunks: reasoning tokens, text tokens (or one tool call), the finish chunk, each of every choice
 * in turn; the usage chunk if asked for, [DONE]. */
uint32_t answer_chunk_count(const struct plan *plan, enum fault_usage usage);
/* Appends chunk i as a server-sent event; answers how many tokens it carries. */
uint32_t answer_write_chunk(const struct plan *plan, enum fault_usage usage, uint32_t i,
                            struct buffer *out);
/* One more text token, past any plan (endless answers). */
void answer_write_token(const struct plan *plan, uint32_t i, struct buffer *out);
void answer_write_error(int64_t http_status, struct buffer *out);
