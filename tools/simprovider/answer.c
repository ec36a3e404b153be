/* SPDX-License-Identifier: Apache-2.0 */
/* Plans and writes answers of the openai dialect. Everything is a function of the request, so a
 * check can work out by hand what must be billed: prompt tokens are a quarter of the text's bytes,
 * rounded up. */
#include "tools/simprovider/answer.h"

#define TOKENS_DEFAULT  12
#define TOKENS_MAX      1000000
#define CHOICES_MAX     128 /* as the openai dialect has it */
#define TOKEN_BYTES_MAX 65536

static const char *const words[] = {"Every",   " request", " is",      " held", ",",
                                    " served", ",",        " settled", " and",  " audited",
                                    " once",   ".",        " "};
#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

/* ---- planning */

static uint32_t text_bytes_of_message(struct json_value message)
{
    struct json_value content = json_get(message, SLICE("content"));
    if (json_kind_of(content) != JSON_ARRAY) return (uint32_t)json_string_len(content);
    uint32_t bytes = 0;
    for (struct json_iterator i = json_iterate(content); json_next(&i);) {
        bytes += (uint32_t)json_string_len(json_get(i.value, SLICE("text")));
    }
    return bytes;
}

static struct json_value text_of_message(struct json_value message)
{
    struct json_value content = json_get(message, SLICE("content"));
    if (json_kind_of(content) != JSON_ARRAY) return content;
    struct json_value text = {0};
    for (struct json_iterator i = json_iterate(content); json_next(&i);) {
        if (json_exists(json_get(i.value, SLICE("text")))) text = json_get(i.value, SLICE("text"));
    }
    return text;
}

static void read_word(slice word, struct plan *plan)
{
    const struct {
        slice name;
        uint32_t *value;
        uint32_t max;
    } settings[] = {
        {SLICE("tokens"), &plan->text_tokens, TOKENS_MAX},
        {SLICE("reasoning"), &plan->reasoning_tokens, TOKENS_MAX},
        {SLICE("cached"), &plan->cached_tokens, TOKENS_MAX},
        {SLICE("bytes"), &plan->token_bytes, TOKEN_BYTES_MAX},
        {SLICE("chunk_ms"), &plan->chunk_ms, 60000},
        {SLICE("first_ms"), &plan->first_ms, 600000},
    };
    slice name;
    slice text;
    int64_t number;
    if (!slice_starts_with(word, SLICE("sim:"))) return;
    if (!slice_split(slice_from(word, 4), '=', &name, &text)) return;
    if (!status_ok(slice_to_i64(text, &number)) || number < 0) return;
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (!slice_equal(name, settings[i].name)) continue;
        *settings[i].value = number > settings[i].max ? settings[i].max : (uint32_t)number;
    }
    if (slice_equal(name, SLICE("tool")) && number == 1) plan->tool[0] = '?';
}

/* Directives are plain words, so the raw text of the JSON string serves: no escapes needed. */
static void read_words(struct json_value text, struct plan *plan)
{
    if (json_kind_of(text) != JSON_STRING) return;
    slice raw = json_raw(text);
    slice rest = {raw.data + 1, raw.len - 2};
    while (rest.len > 0) {
        slice word;
        slice_split(rest, ' ', &word, &rest);
        read_word(word, plan);
    }
}

static status plan_messages(struct json_value request, struct plan *plan)
{
    struct json_value messages = json_get(request, SLICE("messages"));
    if (json_kind_of(messages) != JSON_ARRAY || json_count(messages) == 0) return FAIL(BAD_REQUEST);
    uint64_t bytes = 0;
    for (struct json_iterator i = json_iterate(messages); json_next(&i);) {
        bytes += text_bytes_of_message(i.value);
        if (json_string_equal(json_get(i.value, SLICE("role")), SLICE("user"))) {
            read_words(text_of_message(i.value), plan);
        }
    }
    plan->prompt_tokens = (uint32_t)((bytes + 3) / 4);
    if (plan->cached_tokens > plan->prompt_tokens) plan->cached_tokens = plan->prompt_tokens;
    return OK;
}

static void plan_tool(struct json_value request, struct plan *plan)
{
    bool wanted = plan->tool[0] == '?' ||
                  json_string_equal(json_get(request, SLICE("tool_choice")), SLICE("required")) ||
                  json_kind_of(json_get(request, SLICE("tool_choice"))) == JSON_OBJECT;
    plan->tool[0] = '\0';
    struct json_value tools = json_get(request, SLICE("tools"));
    if (!wanted) return;
    for (struct json_iterator i = json_iterate(tools); json_next(&i);) {
        struct json_value name = json_get(json_get(i.value, SLICE("function")), SLICE("name"));
        if (json_kind_of(name) != JSON_STRING) continue;
        slice raw = json_raw(name);
        if (!status_ok(slice_to_c_string((slice){raw.data + 1, raw.len - 2}, plan->tool,
                                         sizeof(plan->tool)))) {
            plan->tool[0] = '\0';
        }
        plan->text_tokens = 8; /* what the call counts for */
        return;
    }
}

static status plan_limit(struct json_value request, struct plan *plan)
{
    struct json_value limit = json_get(request, SLICE("max_completion_tokens"));
    if (!json_exists(limit)) limit = json_get(request, SLICE("max_tokens"));
    if (!json_exists(limit)) return OK;
    int64_t max;
    TRY(json_read_i64(limit, &max));
    if (max < 1) return FAIL(BAD_REQUEST);
    uint64_t total = (uint64_t)plan->reasoning_tokens + plan->text_tokens;
    if (total <= (uint64_t)max) return OK;
    plan->cut_by_limit = true;
    if (plan->reasoning_tokens > max) plan->reasoning_tokens = (uint32_t)max;
    plan->text_tokens = (uint32_t)max - plan->reasoning_tokens;
    return OK;
}

static status plan_choices(struct json_value request, struct plan *plan)
{
    struct json_value n = json_get(request, SLICE("n"));
    int64_t choices = 1;
    if (json_exists(n) && json_kind_of(n) != JSON_NULL) TRY(json_read_i64(n, &choices));
    if (choices < 1 || choices > CHOICES_MAX) return FAIL(BAD_REQUEST);
    plan->choices = (uint32_t)choices;
    return OK;
}

status answer_plan(struct json_value request, struct plan *plan, slice *problem)
{
    plan->text_tokens = TOKENS_DEFAULT;
    *problem = SLICE("'messages' must be a non-empty array");
    TRY(plan_messages(request, plan));
    *problem = SLICE("'model' must be a string");
    struct json_value model = json_get(request, SLICE("model"));
    if (json_kind_of(model) != JSON_STRING) return FAIL(BAD_REQUEST);
    slice raw = json_raw(model);
    TRY(slice_to_c_string((slice){raw.data + 1, raw.len - 2}, plan->model, sizeof(plan->model)));
    plan_tool(request, plan);
    *problem = SLICE("'max_tokens' must be a positive integer");
    TRY(plan_limit(request, plan));
    *problem = SLICE("'n' must be an integer from 1 to 128");
    TRY(plan_choices(request, plan));
    plan->stream = json_kind_of(json_get(request, SLICE("stream"))) == JSON_TRUE;
    struct json_value options = json_get(request, SLICE("stream_options"));
    plan->include_usage = json_kind_of(json_get(options, SLICE("include_usage"))) == JSON_TRUE;
    return OK;
}

/* ---- writing */

uint32_t answer_token_count(const struct plan *plan)
{
    return plan->choices * (plan->text_tokens + plan->reasoning_tokens);
}

static slice token_text(const struct plan *plan, uint32_t i)
{
    static char letters[TOKEN_BYTES_MAX];
    if (plan->token_bytes == 0) return slice_of(words[i % WORD_COUNT]);
    if (letters[0] == '\0') memset(letters, 'x', sizeof(letters));
    return (slice){letters, plan->token_bytes};
}

static void write_usage_object(const struct plan *plan, enum fault_usage fault,
                               struct json_writer *w)
{
    int64_t prompt = plan->prompt_tokens;
    int64_t completion = answer_token_count(plan);
    int64_t reasoning = plan->choices * plan->reasoning_tokens;
    if (fault == USAGE_NEGATIVE) completion = -completion;
    if (fault == USAGE_HUGE) completion = 4000000000000;
    if (fault == USAGE_ZERO) prompt = completion = 0;
    json_object_begin(w);
    json_key_i64(w, SLICE("prompt_tokens"), prompt);
    if (fault == USAGE_TEXT) {
        json_key_string(w, SLICE("completion_tokens"), SLICE("many"));
    } else {
        json_key_i64(w, SLICE("completion_tokens"), completion);
    }
    json_key_i64(w, SLICE("total_tokens"), prompt + completion);
    json_key(w, SLICE("prompt_tokens_details"));
    json_object_begin(w);
    json_key_i64(w, SLICE("cached_tokens"), fault == USAGE_ZERO ? 0 : plan->cached_tokens);
    json_object_end(w);
    json_key(w, SLICE("completion_tokens_details"));
    json_object_begin(w);
    json_key_i64(w, SLICE("reasoning_tokens"), fault == USAGE_ZERO ? 0 : reasoning);
    json_object_end(w);
    json_object_end(w);
}

static void write_head(const struct plan *plan, slice object, struct json_writer *w)
{
    char id[32] = "chatcmpl-sim-";
    struct buffer text;
    buffer_init_fixed(&text, id + 13, sizeof(id) - 13);
    buffer_append_u64(&text, plan->number);
    json_object_begin(w);
    json_key_string(w, SLICE("id"), (slice){id, 13 + text.len});
    json_key_string(w, SLICE("object"), object);
    json_key_i64(w, SLICE("created"), plan->created_s);
    json_key_string(w, SLICE("model"), slice_of(plan->model));
}

static slice finish_of(const struct plan *plan)
{
    if (plan->tool[0] != '\0') return SLICE("tool_calls");
    return plan->cut_by_limit ? SLICE("length") : SLICE("stop");
}

static void write_tool_call(const struct plan *plan, bool indexed, struct json_writer *w)
{
    json_key(w, SLICE("tool_calls"));
    json_array_begin(w);
    json_object_begin(w);
    if (indexed) json_key_i64(w, SLICE("index"), 0);
    json_key_string(w, SLICE("id"), SLICE("call_sim_1"));
    json_key_string(w, SLICE("type"), SLICE("function"));
    json_key(w, SLICE("function"));
    json_object_begin(w);
    json_key_string(w, SLICE("name"), slice_of(plan->tool));
    json_key_string(w, SLICE("arguments"), SLICE("{\"city\":\"Paris\"}"));
    json_object_end(w);
    json_object_end(w);
    json_array_end(w);
}

static void write_message(const struct plan *plan, struct json_writer *w)
{
    struct buffer text;
    buffer_init(&text, 256u << 20);
    json_object_begin(w);
    json_key_string(w, SLICE("role"), SLICE("assistant"));
    if (plan->reasoning_tokens > 0) {
        for (uint32_t i = 0; i < plan->reasoning_tokens; i++)
            buffer_append(&text, token_text(plan, i));
        json_key_string(w, SLICE("reasoning_content"), buffer_slice(&text));
        buffer_clear(&text);
    }
    if (plan->tool[0] != '\0') {
        json_key_null(w, SLICE("content"));
        write_tool_call(plan, false, w);
    } else {
        for (uint32_t i = 0; i < plan->text_tokens; i++)
            buffer_append(&text, token_text(plan, i));
        json_key_string(w, SLICE("content"), buffer_slice(&text));
    }
    json_object_end(w);
    buffer_free(&text);
}

void answer_write_body(const struct plan *plan, enum fault_usage usage, struct buffer *out)
{
    struct json_writer w;
    json_write_init(&w, out);
    write_head(plan, SLICE("chat.completion"), &w);
    json_key(&w, SLICE("choices"));
    json_array_begin(&w);
    for (uint32_t choice = 0; choice < plan->choices; choice++) {
        json_object_begin(&w);
        json_key_i64(&w, SLICE("index"), choice);
        json_key(&w, SLICE("message"));
        write_message(plan, &w);
        json_key_null(&w, SLICE("logprobs"));
        json_key_string(&w, SLICE("finish_reason"), finish_of(plan));
        json_object_end(&w);
    }
    json_array_end(&w);
    if (usage != USAGE_MISSING) {
        json_key(&w, SLICE("usage"));
        write_usage_object(plan, usage, &w);
    }
    json_object_end(&w);
}

enum part { PART_REASONING, PART_TEXT, PART_TOOL, PART_FINISH, PART_USAGE, PART_DONE };

/* What a chunk is: the choices take turns, step by step. */
struct chunk {
    enum part part;
    uint32_t choice;
    uint32_t step;      /* of the choice */
    bool spoiled_usage; /* of two usage objects the last one counts: the first is made wrong */
};

static uint32_t usage_chunks(const struct plan *plan, enum fault_usage usage)
{
    if (!plan->include_usage || usage == USAGE_MISSING) return 0;
    return usage == USAGE_TWICE ? 2 : 1;
}

/* Without the finish chunk. */
static uint32_t steps_of_choice(const struct plan *plan)
{
    return plan->reasoning_tokens + (plan->tool[0] != '\0' ? 1 : plan->text_tokens);
}

static uint32_t choice_chunks(const struct plan *plan)
{
    return plan->choices * (steps_of_choice(plan) + 1);
}

uint32_t answer_chunk_count(const struct plan *plan, enum fault_usage usage)
{
    return choice_chunks(plan) + usage_chunks(plan, usage) + 1;
}

static struct chunk chunk_at(const struct plan *plan, enum fault_usage usage, uint32_t i)
{
    struct chunk chunk = {PART_DONE, i % plan->choices, i / plan->choices, false};
    uint32_t usage_at = choice_chunks(plan);
    if (i < usage_at) {
        chunk.part = chunk.step < plan->reasoning_tokens   ? PART_REASONING
                     : chunk.step == steps_of_choice(plan) ? PART_FINISH
                     : plan->tool[0] != '\0'               ? PART_TOOL
                                                           : PART_TEXT;
    } else if (i < usage_at + usage_chunks(plan, usage)) {
        chunk.part = PART_USAGE;
        chunk.spoiled_usage = usage == USAGE_TWICE && i == usage_at;
    }
    return chunk;
}

static void write_delta(const struct plan *plan, struct chunk chunk, struct json_writer *w)
{
    json_key(w, SLICE("delta"));
    json_object_begin(w);
    if (chunk.step == 0) json_key_string(w, SLICE("role"), SLICE("assistant"));
    if (chunk.part == PART_REASONING) {
        json_key_string(w, SLICE("reasoning_content"), token_text(plan, chunk.step));
    }
    if (chunk.part == PART_TEXT) {
        json_key_string(w, SLICE("content"), token_text(plan, chunk.step - plan->reasoning_tokens));
    }
    if (chunk.part == PART_TOOL) write_tool_call(plan, true, w);
    json_object_end(w);
}

static void write_choice(const struct plan *plan, struct chunk chunk, struct json_writer *w)
{
    json_object_begin(w);
    json_key_i64(w, SLICE("index"), chunk.choice);
    write_delta(plan, chunk, w);
    json_key_null(w, SLICE("logprobs"));
    json_key(w, SLICE("finish_reason"));
    if (chunk.part == PART_FINISH) {
        json_string(w, finish_of(plan));
    } else {
        json_null(w);
    }
    json_object_end(w);
}

static void write_event(const struct plan *plan, enum fault_usage usage, struct chunk chunk,
                        struct buffer *out)
{
    struct json_writer w;
    buffer_append(out, SLICE("data: "));
    json_write_init(&w, out);
    write_head(plan, SLICE("chat.completion.chunk"), &w);
    json_key(&w, SLICE("choices"));
    json_array_begin(&w);
    if (chunk.part != PART_USAGE) write_choice(plan, chunk, &w);
    json_array_end(&w);
    if (chunk.part == PART_USAGE) {
        json_key(&w, SLICE("usage"));
        write_usage_object(plan, chunk.spoiled_usage ? USAGE_ZERO : usage, &w);
    } else if (plan->include_usage) {
        json_key_null(&w, SLICE("usage"));
    }
    json_object_end(&w);
    buffer_append(out, SLICE("\n\n"));
}

uint32_t answer_write_chunk(const struct plan *plan, enum fault_usage usage, uint32_t i,
                            struct buffer *out)
{
    struct chunk chunk = chunk_at(plan, usage, i);
    if (chunk.part == PART_DONE) {
        buffer_append(out, SLICE("data: [DONE]\n\n"));
        return 0;
    }
    write_event(plan, usage, chunk, out);
    if (chunk.part == PART_TOOL) return plan->text_tokens;
    return chunk.part == PART_REASONING || chunk.part == PART_TEXT ? 1 : 0;
}

void answer_write_token(const struct plan *plan, uint32_t i, struct buffer *out)
{
    const struct chunk chunk = {.part = PART_TEXT,
                                .choice = i % plan->choices,
                                .step = i / plan->choices + plan->reasoning_tokens};
    write_event(plan, USAGE_RIGHT, chunk, out);
}

void answer_write_error(int64_t http_status, struct buffer *out)
{
    struct json_writer w;
    json_write_init(&w, out);
    json_object_begin(&w);
    json_key(&w, SLICE("error"));
    json_object_begin(&w);
    json_key_string(&w, SLICE("message"), SLICE("The simulated provider was told to fail."));
    json_key_string(&w, SLICE("type"),
                    http_status == 429 ? SLICE("rate_limit_error") : SLICE("api_error"));
    json_key_null(&w, SLICE("param"));
    json_key_string(&w, SLICE("code"),
                    http_status == 429 ? SLICE("rate_limit_exceeded") : SLICE("simulated"));
    json_object_end(&w);
    json_object_end(&w);
}
