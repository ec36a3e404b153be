/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of openai providers into events: server-sent chunks, or one body. Both hold choices
 * with a delta or a message of the same members, so one reading serves both. What chunks say and
 * mean nothing to a client (null usage, empty roles, empty choices) ends here. The complication
 * is tool calls, which providers number in three ways; see take_tool_call(). */
#include "services/edge/dialects/openai.h"
#include "services/edge/sse.h"
#include "shared/array.h"

#define CHOICES_MAX      128
#define TOOL_CALLS_MAX   256 /* of one answer */
#define CHUNK_VALUES_MAX 200000
#define BODY_VALUES_MAX  8000000

/* What the answer is, known from its first byte. */
enum answer_form { FORM_UNKNOWN, FORM_EVENTS, FORM_BODY };

/* One tool call that was announced. */
struct tool_call {
    struct tool_call *older;
    uint32_t choice;
    uint32_t upstream_index;
    uint32_t index; /* ours: dense within its choice */
    slice id;
};

struct choice_set {
    uint64_t bits[CHOICES_MAX / 64];
};

struct decoder {
    event_sink sink;
    void *context;
    struct arena *arena; /* of the answer */
    struct decode_memory *memory;
    struct sse_parser events;
    enum answer_form form;
    bool started; /* EVENT_START went out */
    bool ended;   /* EVENT_DONE or EVENT_ERROR went out: the rest is not read */
    bool heard;   /* at least one chunk of JSON */
    struct choice_set seen, finished;
    struct tool_call *tool_calls; /* newest first */
    uint32_t tool_call_count;
};

/* Members that are read, by the object they are of. */
struct answer_members {
    struct json_value id, object, model, choices, usage, x_groq, error;
};
static const struct json_member_row answer_rows[] = {
    JSON_MEMBER(answer_members, choices), JSON_MEMBER(answer_members, id),
    JSON_MEMBER(answer_members, model),   JSON_MEMBER(answer_members, object),
    JSON_MEMBER(answer_members, usage),   JSON_MEMBER(answer_members, error),
    JSON_MEMBER(answer_members, x_groq),
};

struct choice_members {
    struct json_value index, delta, message, finish_reason, logprobs, usage, error;
};
static const struct json_member_row choice_rows[] = {
    JSON_MEMBER(choice_members, index),    JSON_MEMBER(choice_members, delta),
    JSON_MEMBER(choice_members, message),  JSON_MEMBER(choice_members, finish_reason),
    JSON_MEMBER(choice_members, logprobs), JSON_MEMBER(choice_members, usage),
    JSON_MEMBER(choice_members, error),
};

struct tool_members {
    struct json_value index, id, function;
};
static const struct json_member_row tool_rows[] = {JSON_MEMBER(tool_members, index),
                                                   JSON_MEMBER(tool_members, id),
                                                   JSON_MEMBER(tool_members, function)};

static const struct finish_row {
    slice native;
    enum finish_reason reason;
} finish_rows[] = {
    {{"stop", 4}, FINISH_STOP},
    {{"length", 6}, FINISH_LENGTH},
    {{"tool_calls", 10}, FINISH_TOOL_CALLS},
    {{"content_filter", 14}, FINISH_CONTENT_FILTER},
    {{"function_call", 13}, FINISH_TOOL_CALLS},
    {{"model_length", 12}, FINISH_LENGTH}, /* Mistral */
    {{"max_tokens", 10}, FINISH_LENGTH},
    {{"error", 5}, FINISH_ERROR},
    {{"insufficient_system_resource", 28}, FINISH_ERROR}, /* DeepSeek */
    {{"abort", 5}, FINISH_ERROR},                         /* vLLM */
};

static status take_event(void *context, const struct sse_event *event);
static status take_body(struct decoder *decoder);
static status take_answer(struct decoder *decoder, struct json_value root);
static status take_choice(struct decoder *decoder, struct json_value choice, uint32_t position);
static status take_message(struct decoder *decoder, uint32_t choice, struct json_value message);
static status take_tool_calls(struct decoder *decoder, uint32_t choice, struct json_value calls);
static status send_error(struct decoder *decoder, struct json_value root);
static status send_usage(struct decoder *decoder, struct json_value usage);
static status send_done(struct decoder *decoder);
static bool every_choice_finished(const struct decoder *decoder);

/* ---- the four functions of the row ----------------------------------------------------------- */

status openai_decoder_new(const struct decode_request *request, struct decoder **decoder)
{
    struct decoder *d = ARENA_NEW(request->arena, struct decoder);
    if (d == NULL) return FAIL(TOO_LARGE);
    d->sink = request->sink;
    d->context = request->context;
    d->arena = request->arena;
    d->memory = request->memory;
    d->form = request->stream ? FORM_UNKNOWN : FORM_BODY;
    d->memory->document.values_max = request->stream ? CHUNK_VALUES_MAX : BODY_VALUES_MAX;
    buffer_clear(&d->memory->body); /* the last answer may have been dropped in its middle */
    sse_init(&d->events, take_event, d);
    *decoder = d;
    return OK;
}

void openai_decoder_free(struct decoder **decoder)
{
    struct decoder *d = TAKE(*decoder);
    if (d == NULL) return;
    sse_free(&d->events);
}

static slice skip_blank(slice bytes)
{
    while (bytes.len > 0 && memchr(" \t\r\n", bytes.data[0], 4) != NULL) {
        bytes = slice_from(bytes, 1);
    }
    return bytes;
}

status openai_decoder_feed(struct decoder *decoder, slice bytes)
{
    if (decoder->form == FORM_UNKNOWN) {
        bytes = skip_blank(bytes);
        if (bytes.len == 0) return OK;
        /* Some providers answer a streaming request with a whole body, mostly an error's; a page
         * of HTML is nonsense. */
        if (bytes.data[0] == '<') return FAIL(MALFORMED);
        decoder->form = bytes.data[0] == '{' ? FORM_BODY : FORM_EVENTS;
    }
    if (decoder->ended) return OK;
    if (decoder->form == FORM_EVENTS) return sse_feed(&decoder->events, bytes);
    buffer_append(&decoder->memory->body, bytes);
    return status_ok(buffer_finish(&decoder->memory->body)) ? OK : FAIL(MALFORMED);
}

status openai_decoder_finish(struct decoder *decoder)
{
    if (decoder->ended) return OK;
    if (decoder->form == FORM_BODY) return take_body(decoder);
    TRY(sse_finish(&decoder->events));
    if (decoder->ended) return OK;
    if (!decoder->heard) return FAIL(MALFORMED);
    return every_choice_finished(decoder) ? send_done(decoder) : OK;
}

/* ---- chunks and bodies ----------------------------------------------------------------------- */

static status parse(struct decoder *decoder, slice text, struct json_value *root)
{
    arena_reset(&decoder->memory->scratch);
    if (!status_ok(json_parse(&decoder->memory->document, text))) return FAIL(MALFORMED);
    *root = json_root(&decoder->memory->document);
    return json_kind_of(*root) == JSON_OBJECT ? OK : FAIL(MALFORMED);
}

static status take_event(void *context, const struct sse_event *event)
{
    struct decoder *decoder = context;
    if (decoder->ended || event->data.len == 0) return OK;
    if (slice_equal(slice_trim(event->data), SLICE("[DONE]"))) {
        decoder->heard = true;
        return send_done(decoder);
    }
    struct json_value root;
    TRY(parse(decoder, event->data, &root));
    decoder->heard = true;
    if (slice_equal(event->name, SLICE("error"))) return send_error(decoder, root);
    return take_answer(decoder, root);
}

static status take_body(struct decoder *decoder)
{
    struct json_value root;
    TRY(parse(decoder, buffer_slice(&decoder->memory->body), &root));
    TRY(take_answer(decoder, root));
    if (decoder->ended) return OK;
    /* A body without a choice is no answer, whatever else it says. */
    return decoder->started ? send_done(decoder) : FAIL(MALFORMED);
}

static bool is_set(struct json_value value)
{
    return json_exists(value) && json_kind_of(value) != JSON_NULL;
}

/* Empty for other kinds than strings. */
static status read_text(struct decoder *decoder, struct json_value value, slice *text)
{
    *text = SLICE_NONE;
    if (json_kind_of(value) != JSON_STRING) return OK;
    return json_read_string(value, &decoder->memory->scratch, text);
}

static status send_start(struct decoder *decoder, const struct answer_members *members)
{
    struct event event = {.kind = EVENT_START};
    TRY(read_text(decoder, members->id, &event.text));
    TRY(read_text(decoder, members->model, &event.name));
    /* Azure begins with a chunk of empty fields and the verdict on the prompt: the answer has
     * not begun. */
    if (event.text.len == 0 && json_count(members->choices) == 0) return OK;
    decoder->started = true;
    return decoder->sink(decoder->context, &event);
}

static status take_answer(struct decoder *decoder, struct json_value root)
{
    struct answer_members members = {0};
    json_find_members(root, answer_rows, COUNT_OF(answer_rows), &members);
    if (is_set(members.error) || json_string_equal(members.object, SLICE("error")))
        return send_error(decoder, root);
    if (is_set(members.choices) && json_kind_of(members.choices) != JSON_ARRAY)
        return FAIL(MALFORMED);

    if (!decoder->started) TRY(send_start(decoder, &members));
    uint32_t position = 0;
    struct json_iterator choice = json_iterate(members.choices);
    while (!decoder->ended && json_next(&choice)) {
        TRY(take_choice(decoder, choice.value, position++));
    }
    if (decoder->ended) return OK;
    TRY(send_usage(decoder, json_get(members.x_groq, SLICE("usage"))));
    return send_usage(decoder, members.usage);
}

/* ---- choices --------------------------------------------------------------------------------- */

static void choice_set_add(struct choice_set *set, uint32_t choice)
{
    set->bits[choice / 64] |= (uint64_t)1 << (choice % 64);
}

static bool every_choice_finished(const struct decoder *decoder)
{
    const struct choice_set *seen = &decoder->seen;
    const struct choice_set *finished = &decoder->finished;
    return (seen->bits[0] | seen->bits[1]) != 0 && (seen->bits[0] & ~finished->bits[0]) == 0 &&
           (seen->bits[1] & ~finished->bits[1]) == 0;
}

static enum finish_reason finish_of(slice native)
{
    for (size_t i = 0; i < COUNT_OF(finish_rows); i++) {
        if (slice_equal(finish_rows[i].native, native)) return finish_rows[i].reason;
    }
    return FINISH_STOP; /* "eos", "stop_sequence", "end_turn" and what else is no fault */
}

static status send_finish(struct decoder *decoder, uint32_t choice, struct json_value reason)
{
    struct event event = {.kind = EVENT_FINISH, .choice = choice};
    TRY(read_text(decoder, reason, &event.name));
    if (event.name.len == 0) return OK; /* some servers write "" for not yet */
    event.finish = finish_of(event.name);
    choice_set_add(&decoder->finished, choice);
    if (event.finish == FINISH_ERROR) {
        bool overloaded = slice_equal(event.name, SLICE("insufficient_system_resource"));
        event.kind = EVENT_ERROR;
        event.result = overloaded ? ATTEMPT_OVERLOADED : ATTEMPT_SERVER;
        decoder->ended = true;
    }
    return decoder->sink(decoder->context, &event);
}

static status take_choice(struct decoder *decoder, struct json_value choice, uint32_t position)
{
    if (json_kind_of(choice) != JSON_OBJECT) return FAIL(MALFORMED);
    struct choice_members members = {0};
    json_find_members(choice, choice_rows, COUNT_OF(choice_rows), &members);
    if (is_set(members.error)) return send_error(decoder, choice);

    uint32_t index = position;
    if (is_set(members.index) && !status_ok(json_read_u32(members.index, &index)))
        return FAIL(MALFORMED);
    if (index >= CHOICES_MAX) return FAIL(MALFORMED);
    choice_set_add(&decoder->seen, index);

    TRY(take_message(decoder, index, is_set(members.delta) ? members.delta : members.message));
    if (is_set(members.logprobs)) {
        struct event event = {
            .kind = EVENT_LOGPROBS, .choice = index, .text = json_raw(members.logprobs)};
        TRY(decoder->sink(decoder->context, &event));
    }
    TRY(send_usage(decoder, members.usage)); /* Moonshot puts it here */
    return send_finish(decoder, index, members.finish_reason);
}

/* ---- messages and deltas --------------------------------------------------------------------- */

static status send_text(struct decoder *decoder, enum event_kind kind, uint32_t choice,
                        struct json_value value)
{
    struct event event = {.kind = kind, .choice = choice};
    TRY(read_text(decoder, value, &event.text));
    return event.text.len == 0 ? OK : decoder->sink(decoder->context, &event);
}

/* Content as an array of parts: {"type": "text", "text": …}, and Mistral's {"type": "thinking",
 * "thinking": [text parts]}. */
static status send_parts(struct decoder *decoder, enum event_kind kind, uint32_t choice,
                         struct json_value parts)
{
    for (struct json_iterator part = json_iterate(parts); json_next(&part);) {
        TRY(send_text(decoder, kind, choice, json_get(part.value, SLICE("text"))));
        struct json_value thinking = json_get(part.value, SLICE("thinking"));
        TRY(send_text(decoder, EVENT_REASONING, choice, thinking));
        struct json_iterator thought = json_iterate(thinking);
        while (json_kind_of(thinking) == JSON_ARRAY && json_next(&thought)) {
            TRY(send_text(decoder, EVENT_REASONING, choice,
                          json_get(thought.value, SLICE("text"))));
        }
    }
    return OK;
}

static status take_content(struct decoder *decoder, uint32_t choice, struct json_value value)
{
    if (json_kind_of(value) == JSON_ARRAY) return send_parts(decoder, EVENT_TEXT, choice, value);
    return send_text(decoder, EVENT_TEXT, choice, value);
}

/* What is passed on as it is, when it is there. */
static const slice extra_names[] = {
    {"annotations", 11},       {"audio", 5},          {"images", 6},
    {"reasoning_details", 17}, {"function_call", 13},
};

static status send_extra(struct decoder *decoder, uint32_t choice, slice name,
                         struct json_value value)
{
    for (size_t i = 0; i < COUNT_OF(extra_names); i++) {
        if (!slice_equal(extra_names[i], name)) continue;
        struct event event = {
            .kind = EVENT_EXTRA, .choice = choice, .name = extra_names[i], .text = json_raw(value)};
        return decoder->sink(decoder->context, &event);
    }
    return OK;
}

/* Members of a message that become events, in the order in which the events go out. */
struct message_members {
    struct json_value reasoning_content, reasoning, content, refusal, tool_calls;
};
static const struct json_member_row message_rows[] = {
    JSON_MEMBER(message_members, content),   JSON_MEMBER(message_members, reasoning_content),
    JSON_MEMBER(message_members, reasoning), JSON_MEMBER(message_members, tool_calls),
    JSON_MEMBER(message_members, refusal),
};

static status take_message(struct decoder *decoder, uint32_t choice, struct json_value message)
{
    if (json_kind_of(message) != JSON_OBJECT) return OK;
    struct message_members members = {0};
    json_find_members(message, message_rows, COUNT_OF(message_rows), &members);

    /* Servers that send both spellings send the same text twice. */
    bool newer = json_kind_of(members.reasoning) == JSON_STRING;
    TRY(send_text(decoder, EVENT_REASONING, choice,
                  newer ? members.reasoning : members.reasoning_content));
    TRY(take_content(decoder, choice, members.content));
    TRY(send_text(decoder, EVENT_REFUSAL, choice, members.refusal));
    if (is_set(members.tool_calls)) TRY(take_tool_calls(decoder, choice, members.tool_calls));

    for (struct json_iterator member = json_iterate(message); json_next(&member);) {
        slice name = json_raw(member.key);
        if (is_set(member.value) && name.len > 2)
            TRY(send_extra(decoder, choice, slice_first(slice_from(name, 1), name.len - 2),
                           member.value));
    }
    return OK;
}

/* ---- tool calls ------------------------------------------------------------------------------ */

static struct tool_call *find_tool_call(struct decoder *decoder, uint32_t choice,
                                        uint32_t upstream_index)
{
    struct tool_call *call = decoder->tool_calls;
    while (call != NULL && (call->choice != choice || call->upstream_index != upstream_index)) {
        call = call->older;
    }
    return call;
}

static status add_tool_call(struct decoder *decoder, struct tool_call new_call,
                            struct tool_call **added)
{
    if (decoder->tool_call_count == TOOL_CALLS_MAX) return FAIL(MALFORMED);
    struct tool_call *call = ARENA_NEW(decoder->arena, struct tool_call);
    slice id = arena_copy(decoder->arena, new_call.id);
    if (call == NULL || id.data == NULL) return FAIL(TOO_LARGE);
    for (struct tool_call *other = decoder->tool_calls; other != NULL; other = other->older) {
        if (other->choice == new_call.choice) new_call.index++;
    }
    *call = new_call;
    call->id = id;
    call->older = decoder->tool_calls;
    decoder->tool_calls = call;
    decoder->tool_call_count++;
    *added = call;
    return OK;
}

/* Providers number calls by index (OpenAI), not at all (some send each call whole), or give
 * index 0 to each call and a new id: a call begins where the index is new, or where an id stands
 * that is not the id of the call with this index. */
static status take_tool_call(struct decoder *decoder, uint32_t choice, uint32_t position,
                             struct json_value value)
{
    struct tool_members members = {0};
    json_find_members(value, tool_rows, COUNT_OF(tool_rows), &members);
    uint32_t upstream_index = position;
    if (is_set(members.index) && !status_ok(json_read_u32(members.index, &upstream_index)))
        return FAIL(MALFORMED);

    slice id;
    slice name;
    TRY(read_text(decoder, members.id, &id));
    TRY(read_text(decoder, json_get(members.function, SLICE("name")), &name));
    struct tool_call *call = find_tool_call(decoder, choice, upstream_index);
    if (call == NULL || (id.len > 0 && !slice_equal(id, call->id))) {
        struct tool_call new_call = {.choice = choice, .upstream_index = upstream_index, .id = id};
        TRY(add_tool_call(decoder, new_call, &call));
        struct event start = {.kind = EVENT_TOOL_START,
                              .choice = choice,
                              .index = call->index,
                              .text = call->id,
                              .name = name};
        TRY(decoder->sink(decoder->context, &start));
    }

    struct json_value arguments = json_get(members.function, SLICE("arguments"));
    struct event event = {.kind = EVENT_TOOL_ARGS, .choice = choice, .index = call->index};
    TRY(read_text(decoder, arguments, &event.text));
    if (json_kind_of(arguments) == JSON_OBJECT) /* some servers forget to make a string of it */
        event.text = json_raw(arguments);
    return event.text.len == 0 ? OK : decoder->sink(decoder->context, &event);
}

static status take_tool_calls(struct decoder *decoder, uint32_t choice, struct json_value calls)
{
    if (json_kind_of(calls) != JSON_ARRAY) return FAIL(MALFORMED);
    uint32_t position = 0;
    for (struct json_iterator call = json_iterate(calls); json_next(&call);) {
        TRY(take_tool_call(decoder, choice, position++, call.value));
    }
    return OK;
}

/* ---- usage, errors, the end ------------------------------------------------------------------ */

static status send_usage(struct decoder *decoder, struct json_value usage)
{
    if (json_kind_of(usage) != JSON_OBJECT) return OK;
    struct event event = {.kind = EVENT_USAGE};
    openai_read_usage(usage, &event);
    return decoder->sink(decoder->context, &event);
}

static status send_error(struct decoder *decoder, struct json_value root)
{
    struct event event = {.kind = EVENT_ERROR};
    event.result = openai_read_error(root, 0, &decoder->memory->scratch, &event.text);
    decoder->ended = true;
    return decoder->sink(decoder->context, &event);
}

static status send_done(struct decoder *decoder)
{
    struct event event = {.kind = EVENT_DONE};
    decoder->ended = true;
    return decoder->sink(decoder->context, &event);
}
