/* SPDX-License-Identifier: Apache-2.0 */
/* The chat completions protocol: one chunk per event while it streams, or everything collected
 * into one body. Which member must stand where, and which must never be null, is what the
 * strictest of the clients demands: chunks leave out what they do not have, the body has
 * system_fingerprint even when it is null, counts are whole numbers and error codes too. */
#include "services/edge/skins/skin.h"

#define CHOICES_MAX 128
#define COLLECTED_MAX \
    ((size_t)1 << 30) /* of one text of a collected answer; the reading side is bounded closer */
#define CALL_ID_LEN_MAX 64

/* A tool call of a collected answer. */
struct chat_call {
    struct chat_call *next;
    uint32_t index;
    slice id, name;
    struct buffer arguments;
};
/* A member passed on untouched. */
struct chat_extra {
    struct chat_extra *next;
    slice name, json;
};

struct chat_choice {
    struct chat_choice *next; /* ascending by index */
    uint32_t index;
    bool role_sent;
    enum finish_reason finish;
    slice native_finish;
    /* collected; unused in a stream */
    struct buffer text, reasoning, refusal;
    struct chat_call *calls; /* in the order they came */
    struct chat_extra *extras;
    slice logprobs;
};

struct chat_skin {
    struct arena *arena;
    struct buffer *out;
    struct skin_head head;
    struct chat_choice *choices;
    struct chat_choice *recent; /* the choice of the last event: mostly that of the next */
    uint64_t delivered_bytes;
};

typedef status (*event_handler)(struct chat_skin *skin, struct chat_choice *choice,
                                const struct event *event);
struct event_row {
    event_handler stream, collect;
};

static const slice finish_names[] = {
    [FINISH_NONE] = {"stop", 4},
    [FINISH_STOP] = {"stop", 4},
    [FINISH_LENGTH] = {"length", 6},
    [FINISH_TOOL_CALLS] = {"tool_calls", 10},
    [FINISH_CONTENT_FILTER] = {"content_filter", 14},
    [FINISH_ERROR] = {"error", 5},
};

static const struct event_row *event_row_of(enum event_kind kind);
static status find_choice(struct chat_skin *skin, uint32_t index, struct chat_choice **found);
static void write_usage(struct json_writer *w, const struct skin_bill *bill);
static void write_body(struct chat_skin *skin, const struct skin_bill *bill);
static void write_error(struct json_writer *w, status failure, slice message);
static void chunk_begin(struct chat_skin *skin, struct json_writer *w);
static void chunk_end(struct chat_skin *skin, struct json_writer *w);
static uint64_t text_bytes(const struct event *event);

/* ---- life ------------------------------------------------------------------------------------ */

struct chat_skin *chat_skin_new(struct arena *arena, const struct skin_head *head,
                                struct buffer *out)
{
    struct chat_skin *skin = ARENA_NEW(arena, struct chat_skin);
    if (skin == NULL) return NULL;
    skin->arena = arena;
    skin->out = out;
    skin->head = *head;
    return skin;
}

void chat_skin_free(struct chat_skin **skin)
{
    struct chat_skin *s = TAKE(*skin);
    if (s == NULL) return;
    for (struct chat_choice *choice = s->choices; choice != NULL; choice = choice->next) {
        buffer_free(&choice->text);
        buffer_free(&choice->reasoning);
        buffer_free(&choice->refusal);
        for (struct chat_call *call = choice->calls; call != NULL; call = call->next) {
            buffer_free(&call->arguments);
        }
    }
}

uint64_t chat_skin_delivered_bytes(const struct chat_skin *skin)
{
    return skin->delivered_bytes;
}

status chat_skin_event(struct chat_skin *skin, const struct event *event)
{
    const struct event_row *row = event_row_of(event->kind);
    event_handler handler = skin->head.stream ? row->stream : row->collect;
    if (handler == NULL) return OK;
    struct chat_choice *choice;
    TRY(find_choice(skin, event->choice, &choice));
    TRY(handler(skin, choice, event));
    skin->delivered_bytes += text_bytes(event);
    return buffer_finish(skin->out);
}

status chat_skin_finish(struct chat_skin *skin, const struct skin_bill *bill)
{
    if (!skin->head.stream) {
        write_body(skin, bill);
        return buffer_finish(skin->out);
    }
    struct json_writer w;
    chunk_begin(skin, &w);
    json_key(&w, SLICE("choices"));
    json_array_begin(&w);
    json_array_end(&w);
    json_key(&w, SLICE("usage"));
    write_usage(&w, bill);
    chunk_end(skin, &w);
    buffer_append(skin->out, SLICE("data: [DONE]\n\n"));
    return buffer_finish(skin->out);
}

status chat_skin_error(struct chat_skin *skin, status failure, slice message)
{
    struct json_writer w;
    if (!skin->head.stream) {
        json_write_init(&w, skin->out);
        json_object_begin(&w);
        write_error(&w, failure, message);
        json_object_end(&w);
        return buffer_finish(skin->out);
    }
    chunk_begin(skin, &w);
    write_error(&w, failure, message);
    json_key(&w, SLICE("choices"));
    json_array_begin(&w);
    json_object_begin(&w);
    json_key_u64(&w, SLICE("index"), 0);
    json_key(&w, SLICE("delta"));
    json_object_begin(&w);
    json_key_string(&w, SLICE("role"), SLICE("assistant"));
    json_key_string(&w, SLICE("content"), SLICE_NONE);
    json_object_end(&w);
    json_key_string(&w, SLICE("finish_reason"), SLICE("error"));
    json_object_end(&w);
    json_array_end(&w);
    chunk_end(skin, &w);
    buffer_append(skin->out, SLICE("data: [DONE]\n\n"));
    return buffer_finish(skin->out);
}

void chat_skin_comment(struct chat_skin *skin)
{
    if (skin->head.stream) buffer_append(skin->out, SLICE(": BOURSE PROCESSING\n\n"));
}

/* ---- choices --------------------------------------------------------------------------------- */

static status find_choice(struct chat_skin *skin, uint32_t index, struct chat_choice **found)
{
    if (skin->recent != NULL && skin->recent->index == index) {
        *found = skin->recent;
        return OK;
    }
    if (index >= CHOICES_MAX) return FAIL(MALFORMED);
    struct chat_choice **place = &skin->choices;
    while (*place != NULL && (*place)->index < index) {
        place = &(*place)->next;
    }
    if (*place == NULL || (*place)->index != index) {
        struct chat_choice *choice = ARENA_NEW(skin->arena, struct chat_choice);
        if (choice == NULL) return FAIL(TOO_LARGE);
        choice->index = index;
        choice->next = *place;
        buffer_init(&choice->text, COLLECTED_MAX);
        buffer_init(&choice->reasoning, COLLECTED_MAX);
        buffer_init(&choice->refusal, COLLECTED_MAX);
        *place = choice;
    }
    skin->recent = *place;
    *found = *place;
    return OK;
}

/* What an estimate counts as output. */
static uint64_t text_bytes(const struct event *event)
{
    switch (event->kind) {
    case EVENT_TEXT:
    case EVENT_REASONING:
    case EVENT_REFUSAL:
    case EVENT_TOOL_ARGS: return event->text.len;
    case EVENT_TOOL_START: return event->name.len;
    default: return 0;
    }
}

/* Clients join a tool's result with its call by this id, so a provider's empty one is replaced
 * by one of ours. */
static status call_id(struct chat_skin *skin, const struct event *event, slice *id)
{
    if (event->text.len > 0) {
        *id = event->text;
        return OK;
    }
    char *memory = arena_alloc(skin->arena, CALL_ID_LEN_MAX);
    if (memory == NULL) return FAIL(TOO_LARGE);
    struct buffer text;
    buffer_init_fixed(&text, memory, CALL_ID_LEN_MAX);
    buffer_append(&text, SLICE("call-"));
    buffer_append(&text, slice_first(skin->head.generation, CALL_ID_LEN_MAX / 2));
    buffer_append_char(&text, '-');
    buffer_append_u64(&text, event->index);
    *id = buffer_slice(&text);
    return OK;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static void write_head(struct chat_skin *skin, struct json_writer *w, slice object)
{
    json_key_string(w, SLICE("id"), skin->head.generation);
    json_key_string(w, SLICE("object"), object);
    json_key_i64(w, SLICE("created"), skin->head.created_s);
    json_key_string(w, SLICE("model"), skin->head.model);
    json_key_string(w, SLICE("provider"), skin->head.provider);
}

static void chunk_begin(struct chat_skin *skin, struct json_writer *w)
{
    buffer_append(skin->out, SLICE("data: "));
    json_write_init(w, skin->out);
    json_object_begin(w);
    write_head(skin, w, SLICE("chat.completion.chunk"));
}

static void chunk_end(struct chat_skin *skin, struct json_writer *w)
{
    json_object_end(w);
    buffer_append(skin->out, SLICE("\n\n"));
}

/* A chunk of one choice, up to and with the opening of its delta. The first of a choice says the
 * role. */
static void delta_begin(struct chat_skin *skin, struct chat_choice *choice, struct json_writer *w)
{
    chunk_begin(skin, w);
    json_key(w, SLICE("choices"));
    json_array_begin(w);
    json_object_begin(w);
    json_key_u64(w, SLICE("index"), choice->index);
    json_key(w, SLICE("delta"));
    json_object_begin(w);
    if (choice->role_sent) return;
    json_key_string(w, SLICE("role"), SLICE("assistant"));
    choice->role_sent = true;
}

static void delta_end(struct chat_skin *skin, struct json_writer *w)
{
    json_object_end(w);
    json_array_end(w);
    chunk_end(skin, w);
}

/* A delta of one text member; everything but the finish has finish_reason null, which must be
 * there. */
static void send_text(struct chat_skin *skin, struct chat_choice *choice, slice name, slice text)
{
    struct json_writer w;
    delta_begin(skin, choice, &w);
    json_key_string(&w, name, text);
    json_object_end(&w);
    json_key_null(&w, SLICE("finish_reason"));
    delta_end(skin, &w);
}

static status stream_text(struct chat_skin *skin, struct chat_choice *choice,
                          const struct event *event)
{
    send_text(skin, choice, SLICE("content"), event->text);
    return OK;
}

static status stream_reasoning(struct chat_skin *skin, struct chat_choice *choice,
                               const struct event *event)
{
    send_text(skin, choice, SLICE("reasoning"), event->text);
    return OK;
}

static status stream_refusal(struct chat_skin *skin, struct chat_choice *choice,
                             const struct event *event)
{
    send_text(skin, choice, SLICE("refusal"), event->text);
    return OK;
}

static void write_function(struct json_writer *w, slice name, slice arguments)
{
    json_key(w, SLICE("function"));
    json_object_begin(w);
    if (name.len > 0) json_key_string(w, SLICE("name"), name);
    json_key_string(w, SLICE("arguments"), arguments);
    json_object_end(w);
}

static void send_call(struct chat_skin *skin, struct chat_choice *choice, const struct event *event,
                      slice id)
{
    bool start = event->kind == EVENT_TOOL_START;
    struct json_writer w;
    delta_begin(skin, choice, &w);
    json_key(&w, SLICE("tool_calls"));
    json_array_begin(&w);
    json_object_begin(&w);
    json_key_u64(&w, SLICE("index"), event->index);
    if (start) {
        json_key_string(&w, SLICE("id"), id);
        json_key_string(&w, SLICE("type"), SLICE("function"));
    }
    write_function(&w, start ? event->name : SLICE_NONE, start ? SLICE_NONE : event->text);
    json_object_end(&w);
    json_array_end(&w);
    json_object_end(&w);
    json_key_null(&w, SLICE("finish_reason"));
    delta_end(skin, &w);
}

static status stream_tool_start(struct chat_skin *skin, struct chat_choice *choice,
                                const struct event *event)
{
    slice id;
    TRY(call_id(skin, event, &id));
    send_call(skin, choice, event, id);
    return OK;
}

static status stream_tool_args(struct chat_skin *skin, struct chat_choice *choice,
                               const struct event *event)
{
    send_call(skin, choice, event, SLICE_NONE);
    return OK;
}

static status stream_extra(struct chat_skin *skin, struct chat_choice *choice,
                           const struct event *event)
{
    struct json_writer w;
    delta_begin(skin, choice, &w);
    json_key_raw(&w, event->name, event->text);
    json_object_end(&w);
    json_key_null(&w, SLICE("finish_reason"));
    delta_end(skin, &w);
    return OK;
}

static status stream_logprobs(struct chat_skin *skin, struct chat_choice *choice,
                              const struct event *event)
{
    struct json_writer w;
    delta_begin(skin, choice, &w);
    json_key_string(&w, SLICE("content"), SLICE_NONE);
    json_object_end(&w);
    json_key_null(&w, SLICE("finish_reason"));
    json_key_raw(&w, SLICE("logprobs"), event->text);
    delta_end(skin, &w);
    return OK;
}

static void write_finish(struct json_writer *w, enum finish_reason finish, slice native)
{
    json_key_string(w, SLICE("finish_reason"), finish_names[finish]);
    if (native.len > 0) json_key_string(w, SLICE("native_finish_reason"), native);
}

static status stream_finish(struct chat_skin *skin, struct chat_choice *choice,
                            const struct event *event)
{
    struct json_writer w;
    delta_begin(skin, choice, &w);
    json_key_string(&w, SLICE("content"), SLICE_NONE);
    json_object_end(&w);
    write_finish(&w, event->finish, event->name);
    delta_end(skin, &w);
    return OK;
}

/* ---- collecting ------------------------------------------------------------------------------ */

static status keep(struct chat_skin *skin, slice text, slice *kept)
{
    *kept = arena_copy(skin->arena, text);
    return kept->data == NULL ? FAIL(TOO_LARGE) : OK;
}

static status collect_text(struct chat_skin *skin __attribute__((unused)),
                           struct chat_choice *choice, const struct event *event)
{
    buffer_append(&choice->text, event->text);
    return buffer_finish(&choice->text);
}

static status collect_reasoning(struct chat_skin *skin __attribute__((unused)),
                                struct chat_choice *choice, const struct event *event)
{
    buffer_append(&choice->reasoning, event->text);
    return buffer_finish(&choice->reasoning);
}

static status collect_refusal(struct chat_skin *skin __attribute__((unused)),
                              struct chat_choice *choice, const struct event *event)
{
    buffer_append(&choice->refusal, event->text);
    return buffer_finish(&choice->refusal);
}

static status collect_tool_start(struct chat_skin *skin, struct chat_choice *choice,
                                 const struct event *event)
{
    struct chat_call *call = ARENA_NEW(skin->arena, struct chat_call);
    if (call == NULL) return FAIL(TOO_LARGE);
    call->index = event->index;
    buffer_init(&call->arguments, COLLECTED_MAX);
    slice id;
    TRY(call_id(skin, event, &id));
    TRY(keep(skin, id, &call->id));
    TRY(keep(skin, event->name, &call->name));
    struct chat_call **place = &choice->calls;
    while (*place != NULL) {
        place = &(*place)->next;
    }
    *place = call;
    return OK;
}

static status collect_tool_args(struct chat_skin *skin __attribute__((unused)),
                                struct chat_choice *choice, const struct event *event)
{
    struct chat_call *call = choice->calls;
    while (call != NULL && call->index != event->index) {
        call = call->next;
    }
    if (call == NULL) return FAIL(MALFORMED);
    buffer_append(&call->arguments, event->text);
    return buffer_finish(&call->arguments);
}

/* The last one of a name stands. */
static status collect_extra(struct chat_skin *skin, struct chat_choice *choice,
                            const struct event *event)
{
    struct chat_extra **place = &choice->extras;
    while (*place != NULL && !slice_equal((*place)->name, event->name)) {
        place = &(*place)->next;
    }
    if (*place == NULL) {
        struct chat_extra *extra = ARENA_NEW(skin->arena, struct chat_extra);
        if (extra == NULL) return FAIL(TOO_LARGE);
        TRY(keep(skin, event->name, &extra->name));
        *place = extra;
    }
    return keep(skin, event->text, &(*place)->json);
}

static status collect_logprobs(struct chat_skin *skin, struct chat_choice *choice,
                               const struct event *event)
{
    return keep(skin, event->text, &choice->logprobs);
}

static status collect_finish(struct chat_skin *skin, struct chat_choice *choice,
                             const struct event *event)
{
    choice->finish = event->finish;
    return keep(skin, event->name, &choice->native_finish);
}

/* ---- the body -------------------------------------------------------------------------------- */

static void write_calls(struct json_writer *w, const struct chat_call *call)
{
    json_key(w, SLICE("tool_calls"));
    json_array_begin(w);
    for (; call != NULL; call = call->next) {
        json_object_begin(w);
        json_key_string(w, SLICE("id"), call->id);
        json_key_string(w, SLICE("type"), SLICE("function"));
        write_function(w, call->name, buffer_slice(&call->arguments));
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_message(struct json_writer *w, const struct chat_choice *choice)
{
    json_object_begin(w);
    json_key_string(w, SLICE("role"), SLICE("assistant"));
    json_key(w, SLICE("content"));
    if (choice->text.len == 0 && choice->calls != NULL)
        json_null(w);
    else
        json_string(w, buffer_slice(&choice->text));
    json_key_string_or_null(w, SLICE("refusal"), buffer_slice(&choice->refusal));
    if (choice->reasoning.len > 0)
        json_key_string(w, SLICE("reasoning"), buffer_slice(&choice->reasoning));
    if (choice->calls != NULL) write_calls(w, choice->calls);
    for (const struct chat_extra *extra = choice->extras; extra != NULL; extra = extra->next) {
        json_key_raw(w, extra->name, extra->json);
    }
    json_object_end(w);
}

static void write_body(struct chat_skin *skin, const struct skin_bill *bill)
{
    struct json_writer w;
    json_write_init(&w, skin->out);
    json_object_begin(&w);
    write_head(skin, &w, SLICE("chat.completion"));
    json_key_null(&w, SLICE("system_fingerprint"));
    json_key(&w, SLICE("choices"));
    json_array_begin(&w);
    for (const struct chat_choice *choice = skin->choices; choice != NULL; choice = choice->next) {
        json_object_begin(&w);
        json_key_u64(&w, SLICE("index"), choice->index);
        write_finish(&w, choice->finish, choice->native_finish);
        json_key(&w, SLICE("message"));
        write_message(&w, choice);
        if (choice->logprobs.len > 0) json_key_raw(&w, SLICE("logprobs"), choice->logprobs);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_key(&w, SLICE("usage"));
    write_usage(&w, bill);
    json_object_end(&w);
}

/* ---- the bill -------------------------------------------------------------------------------- */

static void write_token_details(struct json_writer *w, const uint32_t *units)
{
    uint64_t written = (uint64_t)units[BILLING_cache_write] + units[BILLING_cache_write_1h];
    json_key(w, SLICE("prompt_tokens_details"));
    json_object_begin(w);
    json_key_u64(w, SLICE("cached_tokens"), units[BILLING_cache_read]);
    json_key_u64(w, SLICE("cache_write_tokens"), written);
    json_key_u64(w, SLICE("audio_tokens"), units[BILLING_audio_in]);
    json_object_end(w);
    json_key(w, SLICE("completion_tokens_details"));
    json_object_begin(w);
    json_key_u64(w, SLICE("reasoning_tokens"), units[BILLING_reasoning]);
    json_key_u64(w, SLICE("audio_tokens"), units[BILLING_audio_out]);
    json_object_end(w);
}

/* Counts in the sense of OpenAI: prompt holds what was read from a cache, completion holds
 * reasoning. */
static void write_usage(struct json_writer *w, const struct skin_bill *bill)
{
    const uint32_t *units = bill->usage.units;
    uint64_t prompt = billing_input_tokens(&bill->usage);
    uint64_t completion = billing_output_tokens(&bill->usage);
    json_object_begin(w);
    json_key_u64(w, SLICE("prompt_tokens"), prompt);
    json_key_u64(w, SLICE("completion_tokens"), completion);
    json_key_u64(w, SLICE("total_tokens"), prompt + completion);
    write_token_details(w, units);
    json_key_money(w, SLICE("cost"), bill->cost);
    json_key_bool(w, SLICE("is_byok"), bill->byok);
    json_key(w, SLICE("cost_details"));
    json_object_begin(w);
    json_key_money(w, SLICE("upstream_inference_prompt_cost"), bill->input_cost);
    json_key_money(w, SLICE("upstream_inference_completions_cost"), bill->output_cost);
    json_object_end(w);
    json_object_end(w);
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* Internal codes are masked: what went wrong inside is for the log. */
static void write_error(struct json_writer *w, status failure, slice message)
{
    bool internal = failure.code < ERROR_BAD_REQUEST;
    const struct error_row *row = error_row_of(internal ? (uint16_t)ERROR_INTERNAL : failure.code);
    json_key(w, SLICE("error"));
    json_object_begin(w);
    json_key_u64(w, SLICE("code"), row->http);
    json_key_string(w, SLICE("message"),
                    message.len == 0 || internal ? slice_of(row->sentence) : message);
    json_key(w, SLICE("metadata"));
    json_object_begin(w);
    json_key_string(w, SLICE("error_type"), slice_of(row->type));
    json_object_end(w);
    json_object_end(w);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct event_row event_rows[] = {
    [EVENT_TEXT] = {stream_text, collect_text},
    [EVENT_REASONING] = {stream_reasoning, collect_reasoning},
    [EVENT_REFUSAL] = {stream_refusal, collect_refusal},
    [EVENT_TOOL_START] = {stream_tool_start, collect_tool_start},
    [EVENT_TOOL_ARGS] = {stream_tool_args, collect_tool_args},
    [EVENT_EXTRA] = {stream_extra, collect_extra},
    [EVENT_LOGPROBS] = {stream_logprobs, collect_logprobs},
    [EVENT_FINISH] = {stream_finish, collect_finish},
    [EVENT_DONE] = {NULL, NULL},
};

static const struct event_row *event_row_of(enum event_kind kind)
{
    return &event_rows[kind];
}
