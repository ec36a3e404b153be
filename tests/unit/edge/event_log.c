/* SPDX-License-Identifier: Apache-2.0 */
/* The transcript of event_log.h. */
#include "tests/unit/edge/event_log.h"

static const char *const finish_names[] = {"none",       "stop",           "length",
                                           "tool_calls", "content_filter", "error"};
static const char *const result_names[] = {
    "ok",     "bad_request", "auth",      "rate_limited",  "overloaded",
    "server", "timeout",     "not_found", "broken_stream", "client_gone"};

void event_log_init(struct event_log *log)
{
    *log = (struct event_log){0};
    buffer_init(&log->text, 1 << 24);
    arena_init(&log->arena, 1 << 24);
    decode_memory_init(&log->memory);
}

void event_log_free(struct event_log *log)
{
    buffer_free(&log->text);
    arena_free(&log->arena);
    decode_memory_free(&log->memory);
}

const char *event_log_text(struct event_log *log)
{
    buffer_append_char(&log->text, '\0');
    log->text.len--;
    return log->text.data;
}

static void word(struct event_log *log, slice text)
{
    buffer_append_char(&log->text, ' ');
    buffer_append(&log->text, text);
}

static void number(struct event_log *log, char separator, uint64_t value)
{
    buffer_append_char(&log->text, separator);
    buffer_append_u64(&log->text, value);
}

static void usage(struct event_log *log, const struct event *event)
{
    if (!event->usage_valid) word(log, SLICE("invalid"));
    for (size_t i = 0; i < BILLING_CLASS_COUNT; i++) {
        if (event->usage.units[i] == 0) continue;
        word(log, slice_of(billing_class_name((enum billing_class)i)));
        number(log, '=', event->usage.units[i]);
    }
}

static void line(struct event_log *log, const struct event *event)
{
    static const char *const kinds[] = {
        [EVENT_START] = "start",     [EVENT_TEXT] = "text",         [EVENT_REASONING] = "reasoning",
        [EVENT_REFUSAL] = "refusal", [EVENT_TOOL_START] = "tool",   [EVENT_TOOL_ARGS] = "args",
        [EVENT_EXTRA] = "extra",     [EVENT_LOGPROBS] = "logprobs", [EVENT_FINISH] = "finish",
        [EVENT_USAGE] = "usage",     [EVENT_ERROR] = "error",       [EVENT_DONE] = "done",
    };
    buffer_append(&log->text, slice_of(kinds[event->kind]));
    bool of_choice = event->kind >= EVENT_TEXT && event->kind <= EVENT_FINISH;
    if (of_choice) number(log, ' ', event->choice);
    switch (event->kind) {
    case EVENT_START:
        word(log, event->text);
        word(log, event->name);
        break;
    case EVENT_TOOL_START:
        number(log, '.', event->index);
        word(log, event->text);
        word(log, event->name);
        break;
    case EVENT_TOOL_ARGS:
        number(log, '.', event->index);
        word(log, event->text);
        break;
    case EVENT_EXTRA:
        word(log, event->name);
        word(log, event->text);
        break;
    case EVENT_FINISH:
        word(log, slice_of(finish_names[event->finish]));
        word(log, event->name);
        break;
    case EVENT_USAGE: usage(log, event); break;
    case EVENT_ERROR:
        word(log, slice_of(result_names[event->result]));
        word(log, event->text);
        break;
    case EVENT_DONE: break;
    default: word(log, event->text); break;
    }
    buffer_append_char(&log->text, '\n');
}

status event_log_add(void *context, const struct event *event)
{
    struct event_log *log = context;
    if (++log->count == log->fail_at) return FAIL(TOO_LARGE);
    line(log, event);
    return OK;
}

status event_log_decode(struct event_log *log, bool stream, slice bytes, size_t piece)
{
    struct decoder *decoder;
    buffer_clear(&log->text);
    log->count = 0;
    const struct decode_request request = {.arena = &log->arena,
                                           .memory = &log->memory,
                                           .stream = stream,
                                           .sink = event_log_add,
                                           .context = log};
    TRY(dialect_openai.decoder_new(&request, &decoder));
    status result = OK;
    for (size_t at = 0; at < bytes.len && status_ok(result); at += piece) {
        result = dialect_openai.decoder_feed(decoder, slice_first(slice_from(bytes, at), piece));
    }
    if (status_ok(result)) result = dialect_openai.decoder_finish(decoder);
    dialect_openai.decoder_free(&decoder);
    return result;
}
