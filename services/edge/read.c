/* SPDX-License-Identifier: Apache-2.0 */
/* A table of the top-level members we read. What else is a string, an array or an object may end up
 * in the model's prompt at some provider, so its bytes count as text: the bound of a hold must
 * never be below what can be charged. An optional member that is null is absent. */
#include "services/edge/read.h"

#define OUTPUT_WANT_MAX 0x7fffffff
#define SESSION_MAX     256
#define SLUG_MAX        64

struct reading {
    struct arena *arena;
    struct wish *wish;
    struct fault *fault;
    bool has_messages;
    uint32_t max_tokens, max_completion_tokens;
};

typedef status (*member_reader)(struct reading *reading, slice name, struct json_value value);
struct member {
    slice name;
    member_reader read;
};

static status read_model(struct reading *reading, slice name, struct json_value value);
static status read_models(struct reading *reading, slice name, struct json_value value);
static status read_messages(struct reading *reading, slice name, struct json_value value);
static status read_stream(struct reading *reading, slice name, struct json_value value);
static status read_max_tokens(struct reading *reading, slice name, struct json_value value);
static status read_choices(struct reading *reading, slice name, struct json_value value);
static status read_provider(struct reading *reading, slice name, struct json_value value);
static status read_flags_object(struct reading *reading, slice name, struct json_value value);
static status read_text_array(struct reading *reading, slice name, struct json_value value);
static status read_text_object(struct reading *reading, slice name, struct json_value value);
static status read_modalities(struct reading *reading, slice name, struct json_value value);
static status read_session(struct reading *reading, slice name, struct json_value value);
static status read_priceless(struct reading *reading, slice name, struct json_value value);
static status read_tier(struct reading *reading, slice name, struct json_value value);
static status pass(struct reading *reading, slice name, struct json_value value);

#define MEMBER(name, reader)                \
    {                                       \
        {"" name, sizeof(name) - 1}, reader \
    }
static const struct member members[] = {
    MEMBER("model", read_model),
    MEMBER("models", read_models),
    MEMBER("messages", read_messages),
    MEMBER("stream", read_stream),
    MEMBER("max_tokens", read_max_tokens),
    MEMBER("max_completion_tokens", read_max_tokens),
    MEMBER("n", read_choices),
    MEMBER("provider", read_provider),
    MEMBER("stream_options", read_flags_object),
    MEMBER("usage", read_flags_object),
    MEMBER("tools", read_text_array),
    MEMBER("functions", read_text_array),
    MEMBER("response_format", read_text_object),
    MEMBER("modalities", read_modalities),
    MEMBER("session_id", read_session),
    MEMBER("user", read_session),
    MEMBER("plugins", read_priceless),
    MEMBER("web_search_options", read_priceless),
    MEMBER("service_tier", read_tier),
    /* Never part of a prompt. */
    MEMBER("metadata", pass),
    MEMBER("logit_bias", pass),
    MEMBER("stop", pass),
    MEMBER("tool_choice", pass),
    MEMBER("reasoning", pass),
    MEMBER("reasoning_effort", pass),
    MEMBER("route", pass),
    MEMBER("preset", pass),
    MEMBER("trace", pass),
};
#define MEMBER_COUNT (sizeof(members) / sizeof(members[0]))

static status read_member(struct reading *reading, slice name, struct json_value value);
static status fail_with(struct reading *reading, status cause, slice field, slice sentence);

status read_chat(slice body, struct json_document *document, struct arena *arena, struct wish *wish,
                 struct fault *fault)
{
    *wish = (struct wish){.choices = 1};
    *fault = (struct fault){SLICE_NONE, SLICE_NONE};
    struct reading reading = {.arena = arena, .wish = wish, .fault = fault};
    TRY(json_parse(document, body));
    struct json_value root = json_root(document);
    if (json_kind_of(root) != JSON_OBJECT)
        return fail_with(&reading, FAIL(WRONG_TYPE), SLICE_NONE,
                         SLICE("The body must be a JSON object."));
    TRY(json_check_top_level(document));
    for (struct json_iterator i = json_iterate(root); json_next(&i);) {
        slice quoted = json_raw(i.key);
        TRY(read_member(&reading, (slice){quoted.data + 1, quoted.len - 2}, i.value));
    }
    if (wish->model.len == 0)
        return fail_with(&reading, FAIL(MISSING_FIELD), SLICE("model"),
                         SLICE("model is required: the id of a model, see GET /api/v1/models."));
    if (!reading.has_messages)
        return fail_with(&reading, FAIL(MISSING_FIELD), SLICE("messages"),
                         SLICE("messages is required: an array of at least one message."));
    const bool newer = reading.max_completion_tokens != 0;
    wish->output_want = newer ? reading.max_completion_tokens : reading.max_tokens;
    wish->output_field = newer ? SLICE("max_completion_tokens") : SLICE("max_tokens");
    return OK;
}

/* What a value can add to a prompt, whatever its name. */
static uint64_t text_bytes(struct json_value value)
{
    enum json_kind kind = json_kind_of(value);
    if (kind == JSON_STRING) return json_string_len(value);
    return kind == JSON_ARRAY || kind == JSON_OBJECT ? json_raw(value).len : 0;
}

static status read_member(struct reading *reading, slice name, struct json_value value)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (slice_equal(members[i].name, name))
            return members[i].read(reading, members[i].name, value);
    }
    reading->wish->text_bytes += text_bytes(value);
    return OK;
}

/* ---- faults ---------------------------------------------------------------------------------- */

static status fail_with(struct reading *reading, status cause, slice field, slice sentence)
{
    *reading->fault = (struct fault){field, sentence};
    return cause;
}

/* "field must be …" */
static status fail_must(struct reading *reading, status cause, slice field, slice what)
{
    char *room = arena_alloc(reading->arena, field.len + what.len + 16);
    if (room == NULL) return cause;
    struct buffer text;
    buffer_init_fixed(&text, room, field.len + what.len + 16);
    buffer_append(&text, field);
    buffer_append(&text, SLICE(" must be "));
    buffer_append(&text, what);
    buffer_append_char(&text, '.');
    return fail_with(reading, cause, field, buffer_slice(&text));
}

/* "messages[3]" or "messages[3].role" */
static slice message_field(struct reading *reading, uint32_t index, slice member)
{
    size_t size = member.len + 32;
    char *room = arena_alloc(reading->arena, size);
    if (room == NULL) return SLICE("messages");
    struct buffer text;
    buffer_init_fixed(&text, room, size);
    buffer_append(&text, SLICE("messages["));
    buffer_append_u64(&text, index);
    buffer_append_char(&text, ']');
    if (member.len > 0) buffer_append_char(&text, '.');
    buffer_append(&text, member);
    return buffer_slice(&text);
}

static bool is_null(struct json_value value)
{
    return json_kind_of(value) == JSON_NULL;
}

/* ---- members --------------------------------------------------------------------------------- */

static status pass(struct reading *reading, slice name, struct json_value value)
{
    (void)reading, (void)name, (void)value;
    return OK;
}

static status read_model(struct reading *reading, slice name, struct json_value value)
{
    slice text;
    status result = json_read_string(value, reading->arena, &text);
    if (!status_ok(result)) return fail_must(reading, result, name, SLICE("a string"));
    if (text.len == 0 || text.len > MODEL_SLUG_MAX)
        return fail_must(reading, FAIL(OUT_OF_RANGE), name, SLICE("1 to 160 bytes long"));
    reading->wish->model = text;
    return OK;
}

/* The fallback list of the protocol: its first entry counts when there is no `model`. */
static status read_models(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    if (json_kind_of(value) != JSON_ARRAY)
        return fail_must(reading, FAIL(WRONG_TYPE), name, SLICE("an array of strings"));
    for (struct json_iterator i = json_iterate(value); json_next(&i);) {
        slice text;
        status result = json_read_string(i.value, reading->arena, &text);
        if (!status_ok(result))
            return fail_must(reading, result, name, SLICE("an array of strings"));
        if (text.len > MODEL_SLUG_MAX)
            return fail_must(reading, FAIL(OUT_OF_RANGE), name, SLICE("of ids up to 160 bytes"));
        if (reading->wish->model.len == 0) reading->wish->model = text;
    }
    return OK;
}

static status read_stream(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    status result = json_read_bool(value, &reading->wish->stream);
    return status_ok(result) ? OK : fail_must(reading, result, name, SLICE("true or false"));
}

static status read_whole(struct reading *reading, slice name, struct json_value value,
                         int64_t highest, uint32_t *number)
{
    int64_t read = 0;
    status result = json_read_i64(value, &read);
    if (status_ok(result) && (read < 1 || read > highest)) result = FAIL(OUT_OF_RANGE);
    if (status_ok(result)) {
        *number = (uint32_t)read;
        return OK;
    }
    char what[64];
    struct buffer text;
    buffer_init_fixed(&text, what, sizeof(what));
    buffer_append(&text, SLICE("a whole number from 1 to "));
    buffer_append_i64(&text, highest);
    return fail_must(reading, result, name, buffer_slice(&text));
}

static status read_max_tokens(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    bool old = slice_equal(name, SLICE("max_tokens"));
    return read_whole(reading, name, value, OUTPUT_WANT_MAX,
                      old ? &reading->max_tokens : &reading->max_completion_tokens);
}

static status read_choices(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    return read_whole(reading, name, value, CHOICES_MAX, &reading->wish->choices);
}

static status read_flags_object(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    if (json_kind_of(value) != JSON_OBJECT)
        return fail_must(reading, FAIL(WRONG_TYPE), name, SLICE("an object"));
    for (struct json_iterator i = json_iterate(value); json_next(&i);) {
        bool flag;
        bool ours = json_string_equal(i.key, SLICE("include_usage")) ||
                    json_string_equal(i.key, SLICE("include"));
        if (!ours || is_null(i.value)) continue;
        status result = json_read_bool(i.value, &flag);
        if (!status_ok(result))
            return fail_must(reading, result, name, SLICE("an object of switches"));
    }
    return OK;
}

static status read_text_array(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    if (json_kind_of(value) != JSON_ARRAY)
        return fail_must(reading, FAIL(WRONG_TYPE), name, SLICE("an array"));
    reading->wish->text_bytes += json_raw(value).len;
    return OK;
}

static status read_text_object(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    if (json_kind_of(value) != JSON_OBJECT)
        return fail_must(reading, FAIL(WRONG_TYPE), name, SLICE("an object"));
    reading->wish->text_bytes += json_raw(value).len;
    return OK;
}

/* Output that is not text is priced in units the hold knows no bound of. */
static status read_modalities(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    if (json_kind_of(value) != JSON_ARRAY)
        return fail_must(reading, FAIL(WRONG_TYPE), name, SLICE("an array of strings"));
    for (struct json_iterator i = json_iterate(value); json_next(&i);) {
        if (json_kind_of(i.value) != JSON_STRING)
            return fail_must(reading, FAIL(WRONG_TYPE), name, SLICE("an array of strings"));
        if (!json_string_equal(i.value, SLICE("text")))
            return fail_must(reading, FAIL(UNSUPPORTED_CONTENT), name,
                             SLICE("[\"text\"]: other output is not served yet"));
    }
    return OK;
}

/* Searches and file parsing cost by the piece, and how many there will be is not known
 * beforehand. */
static status read_priceless(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    enum json_kind kind = json_kind_of(value);
    if (kind != JSON_ARRAY && kind != JSON_OBJECT)
        return fail_must(reading, FAIL(WRONG_TYPE), name, SLICE("an object or an array"));
    if (kind == JSON_ARRAY && json_count(value) == 0) return OK;
    return fail_must(reading, FAIL(UNSUPPORTED_CONTENT), name,
                     SLICE("absent: what it starts has no known price bound yet"));
}

/* Other tiers have other prices, which no price row knows. What says the usual one is not passed
 * on: at some providers "auto" takes what the operator's account is set to. */
static status read_tier(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    if (json_kind_of(value) != JSON_STRING)
        return fail_must(reading, FAIL(WRONG_TYPE), name, SLICE("a string"));
    if (json_string_equal(value, SLICE("auto")) || json_string_equal(value, SLICE("default")))
        return OK;
    return fail_must(reading, FAIL(UNSUPPORTED_CONTENT), name,
                     SLICE("absent, \"auto\" or \"default\": other tiers have no known price yet"));
}

static status read_session(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    slice text;
    status result = json_read_string(value, reading->arena, &text);
    if (!status_ok(result)) return fail_must(reading, result, name, SLICE("a string"));
    bool user = slice_equal(name, SLICE("user"));
    if (!user && text.len > SESSION_MAX)
        return fail_must(reading, FAIL(OUT_OF_RANGE), name, SLICE("at most 256 bytes long"));
    if (user && reading->wish->session.len > 0) return OK;
    /* A copy: it is still needed when the body is gone. */
    reading->wish->session = arena_copy(reading->arena, slice_first(text, SESSION_MAX));
    return reading->wish->session.data == NULL ? FAIL(TOO_LARGE) : OK;
}

/* ---- messages -------------------------------------------------------------------------------- */

static status read_image(struct reading *reading, slice field, struct json_value part)
{
    enum json_kind kind = json_kind_of(json_get(part, SLICE("image_url")));
    if (kind != JSON_OBJECT && kind != JSON_STRING)
        return fail_must(reading, FAIL(WRONG_TYPE), field, SLICE("made of images with image_url"));
    reading->wish->images++;
    return OK;
}

static status read_part(struct reading *reading, slice field, struct json_value part)
{
    struct json_value type = {0};
    uint64_t bytes = 0;
    unsigned types = 0;
    if (json_kind_of(part) != JSON_OBJECT)
        return fail_must(reading, FAIL(WRONG_TYPE), field, SLICE("made of parts that are objects"));
    for (struct json_iterator i = json_iterate(part); json_next(&i);) {
        bool is_type = json_string_equal(i.key, SLICE("type"));
        if (is_type) type = i.value;
        types += is_type;
        if (!is_type) bytes += text_bytes(i.value);
    }
    /* With two of them edge and provider could read two different parts. */
    if (types != 1 || json_kind_of(type) != JSON_STRING)
        return fail_must(reading, types == 0 ? FAIL(MISSING_FIELD) : FAIL(WRONG_TYPE), field,
                         SLICE("made of parts with one type, a string"));
    if (json_string_equal(type, SLICE("image_url"))) return read_image(reading, field, part);
    bool text = json_string_equal(type, SLICE("text"));
    if (!text && !json_string_equal(type, SLICE("refusal")))
        return fail_must(reading, FAIL(UNSUPPORTED_CONTENT), field,
                         SLICE("text or images: other parts have no known price here"));
    if (json_kind_of(json_get(part, text ? SLICE("text") : SLICE("refusal"))) != JSON_STRING)
        return fail_must(reading, FAIL(WRONG_TYPE), field,
                         SLICE("made of parts whose text is a string"));
    reading->wish->text_bytes += bytes;
    return OK;
}

static status read_content(struct reading *reading, uint32_t index, struct json_value content)
{
    enum json_kind kind = json_kind_of(content);
    if (kind == JSON_NULL) return OK;
    if (kind == JSON_STRING) {
        reading->wish->text_bytes += json_string_len(content);
        return OK;
    }
    slice field = message_field(reading, index, SLICE("content"));
    if (kind != JSON_ARRAY)
        return fail_must(reading, FAIL(WRONG_TYPE), field,
                         SLICE("a string, an array of parts or null"));
    for (struct json_iterator i = json_iterate(content); json_next(&i);)
        TRY(read_part(reading, field, i.value));
    return OK;
}

static status read_message(struct reading *reading, uint32_t index, struct json_value message)
{
    if (json_kind_of(message) != JSON_OBJECT)
        return fail_must(reading, FAIL(WRONG_TYPE), message_field(reading, index, SLICE_NONE),
                         SLICE("an object with role and content"));
    bool has_role = false;
    for (struct json_iterator i = json_iterate(message); json_next(&i);) {
        if (json_string_equal(i.key, SLICE("role"))) {
            if (json_kind_of(i.value) != JSON_STRING)
                return fail_must(reading, FAIL(WRONG_TYPE),
                                 message_field(reading, index, SLICE("role")), SLICE("a string"));
            has_role = true;
        } else if (json_string_equal(i.key, SLICE("content"))) {
            TRY(read_content(reading, index, i.value));
        } else if (json_kind_of(i.value) == JSON_STRING) {
            reading->wish->text_bytes += json_string_len(i.value);
        } else if (json_kind_of(i.value) != JSON_NULL) {
            reading->wish->text_bytes += json_raw(i.value).len;
        }
    }
    if (has_role) return OK;
    slice field = message_field(reading, index, SLICE("role"));
    return fail_must(reading, FAIL(MISSING_FIELD), field, SLICE("present: who speaks"));
}

static status read_messages(struct reading *reading, slice name, struct json_value value)
{
    if (json_kind_of(value) != JSON_ARRAY)
        return fail_must(reading, FAIL(WRONG_TYPE), name, SLICE("an array of messages"));
    if (json_count(value) == 0)
        return fail_must(reading, FAIL(OUT_OF_RANGE), name,
                         SLICE("an array of at least one message"));
    for (struct json_iterator i = json_iterate(value); json_next(&i);)
        TRY(read_message(reading, reading->wish->messages++, i.value));
    reading->has_messages = true;
    return OK;
}

/* ---- provider -------------------------------------------------------------------------------- */

static status read_names(struct reading *reading, slice field, struct json_value value,
                         struct choose_names *names)
{
    *names = (struct choose_names){0};
    if (is_null(value)) return OK;
    if (json_kind_of(value) != JSON_ARRAY)
        return fail_must(reading, FAIL(WRONG_TYPE), field, SLICE("an array of provider slugs"));
    if (json_count(value) > CHOOSE_NAMES_MAX)
        return fail_must(reading, FAIL(OUT_OF_RANGE), field, SLICE("at most 16 provider slugs"));
    slice *items = arena_alloc_array(reading->arena, json_count(value), sizeof(*items));
    if (items == NULL) return FAIL(TOO_LARGE);
    uint8_t count = 0;
    for (struct json_iterator i = json_iterate(value); json_next(&i); count++) {
        status result = json_read_string(i.value, reading->arena, &items[count]);
        if (!status_ok(result))
            return fail_must(reading, result, field, SLICE("an array of provider slugs"));
        if (items[count].len > SLUG_MAX)
            return fail_must(reading, FAIL(OUT_OF_RANGE), field,
                             SLICE("slugs of at most 64 bytes"));
    }
    *names = (struct choose_names){items, count};
    return OK;
}

/* A string, or {"by": string}. Orders we do not know leave the usual one. */
static status read_sort(struct reading *reading, struct json_value value)
{
    if (json_kind_of(value) == JSON_OBJECT) value = json_get(value, SLICE("by"));
    if (is_null(value)) return OK;
    if (json_kind_of(value) != JSON_STRING)
        return fail_must(reading, FAIL(WRONG_TYPE), SLICE("provider.sort"), SLICE("a string"));
    reading->wish->by_price = json_string_equal(value, SLICE("price"));
    return OK;
}

static status read_fallbacks(struct reading *reading, struct json_value value)
{
    bool allowed = true;
    if (is_null(value)) return OK;
    status result = json_read_bool(value, &allowed);
    if (!status_ok(result))
        return fail_must(reading, result, SLICE("provider.allow_fallbacks"),
                         SLICE("true or false"));
    reading->wish->no_fallbacks = !allowed;
    return OK;
}

static status read_provider(struct reading *reading, slice name, struct json_value value)
{
    if (is_null(value)) return OK;
    if (json_kind_of(value) != JSON_OBJECT)
        return fail_must(reading, FAIL(WRONG_TYPE), name, SLICE("an object"));
    struct wish *wish = reading->wish;
    for (struct json_iterator i = json_iterate(value); json_next(&i);) {
        status result = OK;
        if (json_string_equal(i.key, SLICE("order")))
            result = read_names(reading, SLICE("provider.order"), i.value, &wish->order);
        else if (json_string_equal(i.key, SLICE("only")))
            result = read_names(reading, SLICE("provider.only"), i.value, &wish->only);
        else if (json_string_equal(i.key, SLICE("ignore")))
            result = read_names(reading, SLICE("provider.ignore"), i.value, &wish->ignore);
        else if (json_string_equal(i.key, SLICE("allow_fallbacks")))
            result = read_fallbacks(reading, i.value);
        else if (json_string_equal(i.key, SLICE("sort")))
            result = read_sort(reading, i.value);
        TRY(result);
    }
    return OK;
}
