/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Numbers are read digit by digit, so nothing is rounded on the way in. */
#include "services/ledger/api/fields.h"

#include "services/ledger/api/api.h"

#define SENTENCE_MAX    640
#define FIELD_SHOWN_MAX 64
#define NANO_PER_SECOND INT64_C(1000000000)

status field_refuse(struct control_request *request, struct control_response *response,
                    const struct field *field)
{
    struct buffer text;
    char *memory = arena_alloc(request->arena, SENTENCE_MAX);
    if (memory == NULL) return FAIL(TOO_LARGE);
    buffer_init_fixed(&text, memory, SENTENCE_MAX);
    buffer_append(&text, field->name);
    buffer_append(&text, SLICE(" must be "));
    buffer_append(&text, slice_of(field->must_be));
    return control_fail(response, FAIL(OUT_OF_RANGE), buffer_slice(&text));
}

static status refuse_unknown(struct control_request *request, struct control_response *response,
                             slice name, const struct field *fields, size_t count)
{
    struct buffer text;
    char *memory = arena_alloc(request->arena, SENTENCE_MAX);
    if (memory == NULL) return FAIL(TOO_LARGE);
    buffer_init_fixed(&text, memory, SENTENCE_MAX);
    buffer_append(&text, SLICE("There is no such field here: "));
    buffer_append(&text, slice_first(name, FIELD_SHOWN_MAX));
    buffer_append(&text, SLICE(". This route takes "));
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buffer_append(&text, SLICE(", "));
        buffer_append(&text, fields[i].name);
    }
    buffer_append_char(&text, '.');
    return control_fail(response, FAIL(BAD_REQUEST), buffer_slice(&text));
}

static status within(const struct field *field, int64_t number)
{
    return number < field->min || number > field->max ? FAIL(OUT_OF_RANGE) : OK;
}

static status read_dollars(struct json_value json, const struct field *field, int64_t *number)
{
    slice digits;
    money amount;
    TRY(json_read_number_text(json, &digits));
    TRY(money_parse_dollars(digits, false, &amount));
    *number = amount.nano;
    if (field->kind == FIELD_DOLLARS) return within(field, *number);
    if (amount.nano % NANO_PER_CENT != 0) return FAIL(OUT_OF_RANGE);
    *number /= NANO_PER_CENT;
    return within(field, *number);
}

static status read_text(struct control_request *request, struct json_value json,
                        const struct field *field, slice *text)
{
    TRY(json_read_string(json, request->arena, text));
    TRY(within(field, (int64_t)text->len));
    for (size_t i = 0; i < text->len; i++) {
        uint8_t c = (uint8_t)text->data[i];
        if ((c < ' ' && c != '\n') || c == 0x7f) return FAIL(OUT_OF_RANGE);
    }
    return OK;
}

static status read_time(struct control_request *request, struct json_value json,
                        const struct field *field, int64_t *number)
{
    slice text;
    wall_time at;
    TRY(json_read_string(json, request->arena, &text));
    TRY(clock_parse_iso(text, &at));
    *number = at.ns;
    int64_t ahead_ns = at.ns - api_now().ns;
    /* Rounded down: what has just passed is not zero seconds ahead. */
    return within(field, ahead_ns / NANO_PER_SECOND - (ahead_ns % NANO_PER_SECOND < 0));
}

static status read_flag(struct json_value json, int64_t *number)
{
    bool value;
    TRY(json_read_bool(json, &value));
    *number = value;
    return OK;
}

static status read_value(struct control_request *request, struct json_value json,
                         const struct field *field, struct field_value *value)
{
    switch (field->kind) {
    case FIELD_INTEGER:
        TRY(json_read_i64(json, &value->number));
        return within(field, value->number);
    case FIELD_DOLLARS:
    case FIELD_CENTS: return read_dollars(json, field, &value->number);
    case FIELD_TEXT: return read_text(request, json, field, &value->text);
    case FIELD_TIME: return read_time(request, json, field, &value->number);
    case FIELD_FLAG: return read_flag(json, &value->number);
    case FIELD_OTHER: return OK;
    }
    return FAIL(INTERNAL);
}

status fields_check_names(struct control_request *request, struct control_response *response,
                          const struct field *fields, size_t count)
{
    if (!json_exists(request->json) || json_kind_of(request->json) != JSON_OBJECT)
        return control_fail(response, FAIL(WRONG_TYPE), SLICE("The body must be a JSON object."));
    for (struct json_iterator i = json_iterate(request->json); json_next(&i);) {
        bool known = false;
        for (size_t f = 0; f < count; f++)
            known |= json_string_equal(i.key, fields[f].name);
        if (!known) return refuse_unknown(request, response, json_raw(i.key), fields, count);
    }
    return OK;
}

status fields_read(struct control_request *request, struct control_response *response,
                   const struct field *fields, size_t count, struct field_value *values)
{
    TRY(fields_check_names(request, response, fields, count));
    for (size_t i = 0; i < count; i++) {
        struct json_value json = json_get(request->json, fields[i].name);
        values[i] = (struct field_value){.given = json_exists(json), .text = SLICE_NONE};
        if (!values[i].given && !fields[i].required) continue;
        values[i].is_null = values[i].given && json_kind_of(json) == JSON_NULL;
        if (values[i].is_null && fields[i].nullable) continue;
        if (!status_ok(read_value(request, json, &fields[i], &values[i])))
            return field_refuse(request, response, &fields[i]);
    }
    return OK;
}

struct db_param field_number(const struct field_value *value)
{
    return value->given && !value->is_null ? DB_P_I64(value->number) : DB_P_NULL;
}

struct db_param field_text(const struct field_value *value)
{
    return value->given && !value->is_null ? DB_P_TEXT(value->text) : DB_P_NULL;
}
