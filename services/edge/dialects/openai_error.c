/* SPDX-License-Identifier: Apache-2.0 */
/* What an error of an openai provider means for the choice of the next endpoint. The HTTP status
 * decides, except where a word in the body is known to mean something narrower. Errors come in
 * five shapes; every one is read. The message of a refused key is not passed on: providers quote
 * parts of the key in it. */
#include "services/edge/dialects/openai.h"
#include "shared/array.h"

#define MESSAGE_LEN_MAX  300
#define ERROR_VALUES_MAX 10000
#define BODY_SIZE_MAX    (256u * 1024) /* of an error page that is looked at */

static const struct status_row {
    int low, high;
    enum attempt_result result;
} status_rows[] = {
    {401, 403, ATTEMPT_AUTH}, /* 402: our account there is empty; its operator can mend it */
    {404, 405, ATTEMPT_NOT_FOUND},
    {408, 408, ATTEMPT_TIMEOUT},
    {410, 410, ATTEMPT_NOT_FOUND},
    {424, 424, ATTEMPT_SERVER},
    {429, 429, ATTEMPT_RATE_LIMITED},
    {498, 498, ATTEMPT_OVERLOADED}, /* Groq: flex capacity exceeded */
    {400, 499, ATTEMPT_BAD_REQUEST},
    {503, 503, ATTEMPT_OVERLOADED},
    {504, 504, ATTEMPT_TIMEOUT},
    {529, 529, ATTEMPT_OVERLOADED},
    {0, 999, ATTEMPT_SERVER},
};

/* Words of error.code, error.type and error.status. Specific ones overrule the HTTP status, the
 * others speak where there is none. */
static const struct word_row {
    slice word;
    enum attempt_result result;
    bool specific;
} word_rows[] = {
    {{"insufficient_quota", 18}, ATTEMPT_AUTH, true},
    {{"billing_hard_limit_reached", 26}, ATTEMPT_AUTH, true},
    {{"billing_not_active", 18}, ATTEMPT_AUTH, true},
    {{"invalid_api_key", 15}, ATTEMPT_AUTH, true},
    {{"API_KEY_INVALID", 15}, ATTEMPT_AUTH, true},
    {{"authentication_error", 20}, ATTEMPT_AUTH, true},
    {{"model_not_found", 15}, ATTEMPT_NOT_FOUND, true},
    {{"DeploymentNotFound", 18}, ATTEMPT_NOT_FOUND, true},
    {{"content_filter", 14}, ATTEMPT_BAD_REQUEST, true},
    {{"content_policy_violation", 24}, ATTEMPT_BAD_REQUEST, true},
    {{"context_length_exceeded", 23}, ATTEMPT_BAD_REQUEST, true},
    {{"insufficient_system_resource", 28}, ATTEMPT_OVERLOADED, true},
    {{"overloaded_error", 16}, ATTEMPT_OVERLOADED, true},
    {{"permission_error", 16}, ATTEMPT_AUTH, false},
    {{"PERMISSION_DENIED", 17}, ATTEMPT_AUTH, false},
    {{"UNAUTHENTICATED", 15}, ATTEMPT_AUTH, false},
    {{"rate_limit_exceeded", 19}, ATTEMPT_RATE_LIMITED, false},
    {{"rate_limit_error", 16}, ATTEMPT_RATE_LIMITED, false},
    {{"RESOURCE_EXHAUSTED", 18}, ATTEMPT_RATE_LIMITED, false},
    {{"overloaded", 10}, ATTEMPT_OVERLOADED, false},
    {{"UNAVAILABLE", 11}, ATTEMPT_OVERLOADED, false},
    {{"timeout", 7}, ATTEMPT_TIMEOUT, false},
    {{"DEADLINE_EXCEEDED", 17}, ATTEMPT_TIMEOUT, false},
    {{"invalid_request_error", 21}, ATTEMPT_BAD_REQUEST, false},
    {{"INVALID_ARGUMENT", 16}, ATTEMPT_BAD_REQUEST, false},
    {{"NOT_FOUND", 9}, ATTEMPT_NOT_FOUND, false},
};

/* The parts of an error, wherever they stand. */
struct error_parts {
    struct json_value message, code, type, state;
};

static struct error_parts find_parts(struct json_value root);
static enum attempt_result result_of_status(int http_status);
static bool result_of_words(const struct error_parts *parts, bool specific_only,
                            enum attempt_result *result);
static bool names_api_key(slice message);

enum attempt_result openai_classify(int http_status, slice body, struct arena *arena,
                                    slice *message)
{
    SCOPED(json_document_free) struct json_document document;
    json_document_init(&document, ERROR_VALUES_MAX);
    *message = SLICE_NONE;
    if (!status_ok(json_parse(&document, slice_first(body, BODY_SIZE_MAX))))
        return result_of_status(http_status);
    return openai_read_error(json_root(&document), http_status, arena, message);
}

static enum attempt_result judge(const struct error_parts *parts, int http_status, slice message)
{
    enum attempt_result result;
    if (result_of_words(parts, http_status != 0, &result)) return result;
    int64_t code = 0;
    if (http_status == 0 && status_ok(json_read_i64(parts->code, &code)) && code >= 100 &&
        code <= 599)
        http_status = (int)code;
    /* xAI and Gemini answer 400 to a bad key and say so in words only. */
    if (http_status == 400 && names_api_key(message)) return ATTEMPT_AUTH;
    return result_of_status(http_status);
}

enum attempt_result openai_read_error(struct json_value root, int http_status, struct arena *arena,
                                      slice *message)
{
    struct error_parts parts = find_parts(root);
    slice text = SLICE_NONE;
    if (!status_ok(json_read_string(parts.message, arena, &text))) text = SLICE_NONE;
    enum attempt_result result = judge(&parts, http_status, text);

    *message = SLICE_NONE;
    if (result != ATTEMPT_AUTH && text.len > 0) {
        slice copy = arena_copy(arena, slice_first(text, MESSAGE_LEN_MAX));
        *message = copy.data == NULL ? SLICE_NONE : copy;
    }
    return result;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static struct json_value first_item(struct json_value array)
{
    struct json_iterator item = json_iterate(array);
    if (json_kind_of(array) == JSON_ARRAY && json_next(&item)) return item.value;
    return (struct json_value){0};
}

/* FastAPI: {"detail": "…"} or {"detail": [{"msg": "…"}]}. */
static struct json_value detail_of(struct json_value root)
{
    struct json_value detail = json_get(root, SLICE("detail"));
    if (json_kind_of(detail) != JSON_ARRAY) return detail;
    return json_get(first_item(detail), SLICE("msg"));
}

static struct error_parts find_parts(struct json_value root)
{
    if (json_kind_of(root) == JSON_ARRAY) /* Gemini wraps its error in an array */
        root = first_item(root);
    struct json_value error = json_get(root, SLICE("error"));
    bool nested = json_kind_of(error) == JSON_OBJECT;
    struct json_value holder = nested ? error : root;
    struct error_parts parts = {
        .message = json_get(holder, SLICE("message")),
        .code = json_get(holder, SLICE("code")),
        .type = json_get(holder, SLICE("type")),
        .state = json_get(holder, SLICE("status")),
    };
    if (json_kind_of(error) == JSON_STRING) parts.message = error;
    if (!json_exists(parts.message)) parts.message = detail_of(root);
    return parts;
}

/* ---- meaning --------------------------------------------------------------------------------- */

static enum attempt_result result_of_status(int http_status)
{
    for (size_t i = 0; i < COUNT_OF(status_rows); i++) {
        if (http_status >= status_rows[i].low && http_status <= status_rows[i].high)
            return status_rows[i].result;
    }
    return ATTEMPT_SERVER;
}

static bool result_of_words(const struct error_parts *parts, bool specific_only,
                            enum attempt_result *result)
{
    const struct json_value places[] = {parts->code, parts->type, parts->state};
    for (size_t place = 0; place < COUNT_OF(places); place++) {
        for (size_t i = 0; i < COUNT_OF(word_rows); i++) {
            if (specific_only && !word_rows[i].specific) continue;
            if (!json_string_equal(places[place], word_rows[i].word)) continue;
            *result = word_rows[i].result;
            return true;
        }
    }
    return false;
}

static bool names_api_key(slice message)
{
    static const slice words[] = {{"api key", 7}, {"api_key", 7}};
    for (size_t at = 0; at < message.len; at++) {
        for (size_t i = 0; i < COUNT_OF(words); i++) {
            slice part = slice_first(slice_from(message, at), words[i].len);
            if (slice_equal_nocase(part, words[i])) return true;
        }
    }
    return false;
}
