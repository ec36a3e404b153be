/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of served requests. */
#include "tools/simprovider/record.h"

#include <stdlib.h>

void record_log_init(struct record_log *log)
{
    log->records = calloc(RECORD_COUNT, sizeof(struct record));
    if (log->records == NULL) abort();
    log->count = 0;
}

uint64_t record_new(struct record_log *log)
{
    uint64_t number = log->count++;
    memset(&log->records[number % RECORD_COUNT], 0, sizeof(struct record));
    return number;
}

struct record *record_at(struct record_log *log, uint64_t number)
{
    if (number >= log->count || log->count - number > RECORD_COUNT) return NULL;
    return &log->records[number % RECORD_COUNT];
}

void record_clear(struct record_log *log)
{
    log->count = 0;
}

static void write_one(const struct record *r, struct json_writer *w)
{
    static const char *const ends[] = {"open", "server", "client", "fault"};
    json_object_begin(w);
    json_key_string(w, SLICE("request_id"), slice_of(r->request));
    json_key_string(w, SLICE("provider"), slice_of(r->provider));
    json_key_string(w, SLICE("model"), slice_of(r->model));
    json_key_i64(w, SLICE("status"), r->http_status);
    json_key_bool(w, SLICE("stream"), r->stream);
    json_key_i64(w, SLICE("prompt_tokens"), r->prompt_tokens);
    json_key_i64(w, SLICE("cached_tokens"), r->cached_tokens);
    json_key_i64(w, SLICE("reasoning_tokens"), r->reasoning_tokens);
    json_key_i64(w, SLICE("tokens_generated"), r->tokens_generated);
    json_key_i64(w, SLICE("tokens_delivered"), r->tokens_delivered);
    json_key_string(w, SLICE("closed_by"), slice_of(ends[r->end]));
    json_object_end(w);
}

void record_write(const struct record_log *log, uint64_t after, uint64_t limit,
                  struct json_writer *w)
{
    uint64_t lost = log->count > RECORD_COUNT ? log->count - RECORD_COUNT : 0;
    uint64_t first = after > lost ? after : lost;
    uint64_t end = first < log->count && log->count - first > limit ? first + limit : log->count;
    json_object_begin(w);
    json_key_u64(w, SLICE("total"), log->count);
    json_key_u64(w, SLICE("lost"), lost);
    json_key_u64(w, SLICE("next"), end);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (uint64_t i = first; i < end; i++)
        write_one(&log->records[i % RECORD_COUNT], w);
    json_array_end(w);
    json_object_end(w);
}
