/* SPDX-License-Identifier: Apache-2.0 */
/* Carries out one row of the table: reads its options, asks the service, prints the answer. */
#include <stdio.h>
#include <stdlib.h>

#include "shared/descriptor.h"
#include "shared/json/write.h"
#include "shared/secret.h"
#include "tools/bourse/command.h"
#include "tools/bourse/http.h"
#include "tools/bourse/print.h"

#define BODY_MAX   (64u << 20)
#define ANSWER_MAX (256u << 20)
#define VALUES_MAX 4000000
#define SECRET_MAX 4096

struct arguments {
    const char *positional;
    const char *values[OPTIONS_MAX]; /* "" for a switch that was given */
    bool json;
};

/* ---- arguments */

static size_t find_option(const struct command *command, const char *name, size_t len)
{
    for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
        const struct option *option = &command->options[i];
        if (strlen(option->name) == len && memcmp(option->name, name, len) == 0) return i;
    }
    return OPTIONS_MAX;
}

static bool refuse(const struct command *command, const char *what, const char *name)
{
    fprintf(stderr, "bourse %s %s: %s %s. See `bourse %s %s --help`.\n", command->noun,
            command->verb, what, name, command->noun, command->verb);
    return false;
}

static bool read_option(const struct command *command, int argc, char **argv, int *at,
                        struct arguments *arguments)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals == NULL ? strlen(name) : (size_t)(equals - name);
    size_t index = find_option(command, name, len);
    if (index == OPTIONS_MAX) return refuse(command, "does not know", argv[*at]);
    if (command->options[index].kind == OPTION_SWITCH) {
        arguments->values[index] = "";
    } else if (equals != NULL) {
        arguments->values[index] = equals + 1;
    } else if (*at + 1 < argc) {
        arguments->values[index] = argv[++*at];
    } else {
        return refuse(command, "needs a value behind", argv[*at]);
    }
    return true;
}

static bool read_arguments(const struct command *command, int argc, char **argv,
                           struct arguments *arguments)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            arguments->json = true;
        } else if (strncmp(argv[i], "--", 2) == 0) {
            if (!read_option(command, argc, argv, &i, arguments)) return false;
        } else if (command->argument != NULL && arguments->positional == NULL) {
            arguments->positional = argv[i];
        } else {
            return refuse(command, "does not take", argv[i]);
        }
    }
    if (command->argument != NULL && arguments->positional == NULL)
        return refuse(command, "needs", command->argument);
    for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
        if (command->options[i].required && arguments->values[i] == NULL) {
            return refuse(command, "needs the option --", command->options[i].name);
        }
    }
    return true;
}

/* ---- the request */

static status read_file(const char *path, struct buffer *out)
{
    status result = descriptor_read_file(path, out);
    if (result.code == ERROR_OVERFLOW) {
        fprintf(stderr, "bourse: %s is larger than 64 MiB.\n", path);
    } else if (!status_ok(result)) {
        fprintf(stderr, "bourse: cannot read %s.\n", path);
    }
    return result;
}

static status write_secret(const char *path, struct json_writer *w)
{
    SCOPED(secret_free) struct secret secret = {0};
    status result = secret_read_file(path, SECRET_MAX, true, &secret);
    if (!status_ok(result)) {
        fprintf(stderr, "bourse: cannot read a key from %s (at most 4096 bytes).\n", path);
        return result;
    }
    json_string(w, secret_slice(&secret));
    return OK;
}

static status write_value(const struct option *option, const char *value, struct json_writer *w)
{
    json_key(w, slice_of(option->field));
    switch (option->kind) {
    case OPTION_NUMBER: {
        money checked;
        if (!status_ok(money_parse_dollars(slice_of(value), false, &checked))) {
            fprintf(stderr, "bourse: --%s must be a number of dollars, as 5 or 0.25.\n",
                    option->name);
            return FAIL(BAD_REQUEST);
        }
        json_money(w, checked);
        return OK;
    }
    case OPTION_SWITCH: json_bool(w, true); return OK;
    case OPTION_SECRET: return write_secret(value, w);
    case OPTION_STRING: json_string(w, slice_of(value)); return OK;
    }
    return FAIL(INTERNAL);
}

static status write_body(const struct command *command, const struct arguments *arguments,
                         struct buffer *body)
{
    if (command->body_is_file) return read_file(arguments->positional, body);
    if (strcmp(command->method, "GET") == 0 || strcmp(command->method, "DELETE") == 0) return OK;
    struct json_writer w;
    json_write_init(&w, body);
    json_object_begin(&w);
    for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
        if (command->options[i].place != IN_BODY || arguments->values[i] == NULL) continue;
        TRY(write_value(&command->options[i], arguments->values[i], &w));
    }
    if (command->fixed != NULL) {
        if (body->data[body->len - 1] != '{') buffer_append_char(body, ',');
        buffer_append(body, slice_of(command->fixed));
    }
    json_object_end(&w);
    return buffer_finish(body);
}

/* Everything but unreserved characters is percent-encoded, so a value can never become another
 * parameter or path. */
static void append_encoded(struct buffer *out, slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.data[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     strchr("-._~", c) != NULL;
        if (plain && c != 0) {
            buffer_append_char(out, (char)c);
            continue;
        }
        buffer_append_char(out, '%');
        buffer_append_hex(out, &c, 1);
    }
}

static const char *path_value(const struct command *command, const struct arguments *arguments)
{
    for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
        if (command->options[i].place == IN_PATH && arguments->values[i] != NULL)
            return arguments->values[i];
    }
    return arguments->positional == NULL ? "" : arguments->positional;
}

static void write_path(const struct command *command, const struct arguments *arguments,
                       struct buffer *path)
{
    slice head;
    slice tail;
    bool has_query = strchr(command->path, '?') != NULL;
    if (slice_split(slice_of(command->path), '{', &head, &tail)) {
        buffer_append(path, head);
        append_encoded(path, slice_of(path_value(command, arguments)));
        buffer_append(path, slice_from(tail, 1));
    } else {
        buffer_append(path, slice_of(command->path));
    }
    for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
        const struct option *option = &command->options[i];
        if (option->place != IN_QUERY || arguments->values[i] == NULL) continue;
        buffer_append_char(path, has_query ? '&' : '?');
        has_query = true;
        buffer_append(path, slice_of(option->field));
        buffer_append_char(path, '=');
        append_encoded(path,
                       slice_of(option->kind == OPTION_SWITCH ? "true" : arguments->values[i]));
    }
    buffer_append_char(path, '\0');
}

/* ---- asking */

static int ask(const struct command *command, const struct arguments *arguments,
               struct buffer *body, struct buffer *answer, struct json_document *document)
{
    char path_memory[2048];
    struct buffer path;
    long http_status = 0;
    buffer_init_fixed(&path, path_memory, sizeof(path_memory));
    if (!status_ok(write_body(command, arguments, body))) return 1;
    write_path(command, arguments, &path);
    if (!status_ok(buffer_finish(&path)) || !status_ok(http_enter_instance())) return 1;
    const struct http_request request = {.service = command->service,
                                         .method = command->method,
                                         .path = path.data,
                                         .body = buffer_slice(body),
                                         .idempotent_key = command->moves_money};
    if (!status_ok(http_ask(&request, answer, &http_status))) return 1;
    if (!status_ok(json_parse(document, buffer_slice(answer)))) {
        fprintf(stderr, "bourse: the %s answered something that is not JSON (%ld).\n",
                command->service, http_status);
        return 1;
    }
    if (http_status < 400) return 0;
    print_error(document, http_status);
    return 1;
}

int command_run(const struct command *command, int argc, char **argv)
{
    struct arguments arguments = {0};
    struct buffer body, answer;
    struct json_document document;
    if (!read_arguments(command, argc, argv, &arguments)) return 2;
    buffer_init(&body, BODY_MAX);
    buffer_init(&answer, ANSWER_MAX);
    json_document_init(&document, VALUES_MAX);
    int code = ask(command, &arguments, &body, &answer, &document);
    if (code == 0 && arguments.json) print_json(command, &document);
    if (code == 0 && !arguments.json) print_text(command, &document);
    json_document_free(&document);
    buffer_free(&answer);
    buffer_free(&body);
    return code;
}

/* Two steps of the manual method in one: the customer's purchase, then the operator's confirmation.
 */
static int confirm(const struct http_request *confirmation, const struct command *command,
                   bool json)
{
    struct buffer answer;
    struct json_document document;
    long http_status = 0;
    int code = 1;
    buffer_init(&answer, ANSWER_MAX);
    json_document_init(&document, VALUES_MAX);
    if (status_ok(http_ask(confirmation, &answer, &http_status)) &&
        status_ok(json_parse(&document, buffer_slice(&answer)))) {
        code = http_status < 400 ? 0 : 1;
        if (code != 0) print_error(&document, http_status);
        if (code == 0 && json) print_json(command, &document);
        if (code == 0 && !json) print_text(command, &document);
    }
    json_document_free(&document);
    buffer_free(&answer);
    return code;
}

static slice value_of(const struct arguments *arguments, size_t option)
{
    const char *value = arguments->values[option];
    return value == NULL ? SLICE_NONE : slice_of(value);
}

int buy_run(const struct command *command, int argc, char **argv)
{
    struct arguments arguments = {0};
    struct buffer body, answer, path, note;
    struct json_document document;
    char path_memory[512], note_memory[512];
    if (!read_arguments(command, argc, argv, &arguments)) return 2;
    buffer_init(&body, BODY_MAX);
    buffer_init(&answer, ANSWER_MAX);
    json_document_init(&document, VALUES_MAX);
    buffer_init_fixed(&path, path_memory, sizeof(path_memory));
    buffer_init_fixed(&note, note_memory, sizeof(note_memory));
    int code = ask(command, &arguments, &body, &answer, &document);
    if (code == 0) {
        struct json_value id = json_get(json_get(json_root(&document), SLICE("data")), SLICE("id"));
        slice raw = json_raw(id);
        struct json_writer w;
        buffer_append(&path, SLICE("/operator/purchases/"));
        if (raw.len > 2) append_encoded(&path, (slice){raw.data + 1, raw.len - 2});
        buffer_append(&path, SLICE("/confirm?org="));
        append_encoded(&path, value_of(&arguments, 0));
        buffer_append_char(&path, '\0');
        json_write_init(&w, &note);
        json_object_begin(&w);
        json_key_string(&w, SLICE("reference"),
                        arguments.values[2] == NULL ? SLICE("bourse credit buy")
                                                    : value_of(&arguments, 2));
        json_object_end(&w);
        const struct http_request confirmation = {.service = command->service,
                                                  .method = "POST",
                                                  .path = path.data,
                                                  .body = buffer_slice(&note)};
        code = confirm(&confirmation, command, arguments.json);
    }
    json_document_free(&document);
    buffer_free(&answer);
    buffer_free(&body);
    return code;
}
