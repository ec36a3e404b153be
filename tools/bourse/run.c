/* SPDX-License-Identifier: Apache-2.0 */
/* Carries out one row of the table: asks the service, page by page where the answer is a list, and
 * prints what it said. */
#include <stdio.h>
#include <stdlib.h>

#include "shared/descriptor.h"
#include "shared/id.h"
#include "shared/json/write.h"
#include "shared/secret.h"
#include "tools/bourse/arguments.h"
#include "tools/bourse/http.h"
#include "tools/bourse/print.h"

#define BODY_MAX            (64u << 20)
#define VALUES_MAX          4000000
#define SECRET_MAX          4096
#define PATH_MAX_LEN        2000 /* http.c puts the host before it */
#define IDEMPOTENCY_KEY_MAX 255  /* as the services have it */

/* One question and its answer. */
struct exchange {
    struct buffer body, path, answer;
    struct json_document document; /* views of the answer */
    bool is_page;                  /* unless it is a page, or an error instead of one */
};

/* Where a list goes on. */
struct page {
    const char *name; /* of the parameter; NULL: from the start */
    char value[64];
};

static void exchange_open(struct exchange *exchange)
{
    exchange->is_page = false;
    buffer_init(&exchange->body, BODY_MAX);
    buffer_init(&exchange->path, PATH_MAX_LEN);
    buffer_init(&exchange->answer, HTTP_ANSWER_MAX);
    json_document_init(&exchange->document, VALUES_MAX);
}

static void exchange_close(struct exchange *exchange)
{
    json_document_free(&exchange->document);
    buffer_free(&exchange->answer);
    buffer_free(&exchange->path);
    buffer_free(&exchange->body);
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

static status refuse_amount(const struct option *option, status reason)
{
    char text[32];
    struct buffer largest;
    buffer_init_fixed(&largest, text, sizeof(text));
    money_append_dollars(&largest, MONEY_MAX);
    if (reason.code == ERROR_OUT_OF_RANGE) {
        fprintf(stderr, "bourse: --%s has at most 9 decimals and is at most %.*s.\n", option->name,
                (int)largest.len, largest.data);
    } else {
        fprintf(stderr, "bourse: --%s must be a number of dollars, as 5 or 0.25.\n", option->name);
    }
    return reason;
}

static status write_count(const struct option *option, const char *value, struct json_writer *w)
{
    int64_t number;
    status result = slice_to_i64(slice_of(value), &number);
    if (!status_ok(result)) {
        fprintf(stderr, "bourse: --%s must be a whole number.\n", option->name);
        return result;
    }
    json_i64(w, number);
    return OK;
}

static status write_flag(const struct option *option, const char *value, struct json_writer *w)
{
    bool is_true = strcmp(value, "true") == 0;
    if (!is_true && strcmp(value, "false") != 0) {
        fprintf(stderr, "bourse: --%s must be true or false.\n", option->name);
        return FAIL(BAD_REQUEST);
    }
    json_bool(w, is_true);
    return OK;
}

static status write_value(const struct option *option, const char *value, struct json_writer *w)
{
    json_key(w, slice_of(option->field));
    switch (option->kind) {
    case OPTION_NUMBER: {
        money checked;
        status result = money_parse_dollars(slice_of(value), false, &checked);
        if (!status_ok(result)) return refuse_amount(option, result);
        json_money(w, checked);
        return OK;
    }
    case OPTION_COUNT: return write_count(option, value, w);
    case OPTION_SWITCH: json_bool(w, true); return OK;
    case OPTION_FLAG: return write_flag(option, value, w);
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

static void append_parameter(struct buffer *path, const char *name, const char *value)
{
    bool first = path->len == 0 || memchr(path->data, '?', path->len) == NULL;
    buffer_append_char(path, first ? '?' : '&');
    buffer_append(path, slice_of(name));
    buffer_append_char(path, '=');
    append_encoded(path, slice_of(value));
}

static void write_path(const struct command *command, const struct arguments *arguments,
                       const struct page *page, struct buffer *path)
{
    slice head;
    slice tail;
    const char *named = arguments_at(command, arguments, IN_PATH);
    if (named == NULL) named = arguments->positional;
    if (slice_split(slice_of(command->path), '{', &head, &tail)) {
        buffer_append(path, head);
        append_encoded(path, slice_of(named == NULL ? "" : named));
        buffer_append(path, slice_from(tail, 1));
    } else {
        buffer_append(path, slice_of(command->path));
    }
    for (size_t i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
        const struct option *option = &command->options[i];
        if (option->place != IN_QUERY || arguments->values[i] == NULL) continue;
        if (page->name != NULL && strcmp(option->field, page->name) == 0) continue;
        append_parameter(path, option->field,
                         option->kind == OPTION_SWITCH ? "true" : arguments->values[i]);
    }
    if (page->name != NULL) append_parameter(path, page->name, page->value);
}

/* ---- asking */

static int send(const char *service, const char *method, slice idempotency_key,
                struct exchange *exchange)
{
    long http_status = 0;
    buffer_append_char(&exchange->path, '\0');
    if (!status_ok(buffer_finish(&exchange->path))) {
        fprintf(stderr, "bourse: the options are too long.\n");
        return 1;
    }
    const struct http_request request = {.service = service,
                                         .method = method,
                                         .path = exchange->path.data,
                                         .body = buffer_slice(&exchange->body),
                                         .idempotency_key = idempotency_key};
    buffer_clear(&exchange->answer);
    if (!status_ok(http_ask(&request, &exchange->answer, &http_status))) return 1;
    if (exchange->is_page && http_status < 400) return 0;
    if (!status_ok(json_parse(&exchange->document, buffer_slice(&exchange->answer)))) {
        fprintf(stderr, "bourse: the %s answered something that is not JSON (%ld).\n", service,
                http_status);
        return 1;
    }
    if (http_status < 400) return 0;
    print_error(&exchange->document, http_status);
    return 1;
}

/* The operator's own, so that a script may repeat a command, or a fresh one. */
static bool choose_idempotency_key(const struct command *command, const struct arguments *arguments,
                                   struct buffer *key)
{
    const char *given = arguments_at(command, arguments, IN_HEADER);
    if (given == NULL) {
        if (command->moves_money) id_append_random(key, SLICE("cli-"));
        return true;
    }
    buffer_append(key, slice_of(given));
    bool fits = status_ok(buffer_finish(key)) && key->len > 0;
    for (size_t i = 0; fits && i < key->len; i++)
        fits = key->data[i] > ' ' && key->data[i] <= '~';
    if (!fits)
        fprintf(stderr, "bourse: --idempotency-key has 1 to %d visible ASCII characters.\n",
                IDEMPOTENCY_KEY_MAX);
    return fits;
}

/* The body first: files are named from where the operator stands. */
static bool prepare(const struct command *command, const struct arguments *arguments,
                    struct exchange *exchange)
{
    exchange->is_page = command->is_page;
    return status_ok(write_body(command, arguments, &exchange->body)) &&
           status_ok(http_enter_instance());
}

static int ask(const struct command *command, const struct arguments *arguments,
               const struct page *page, struct exchange *exchange)
{
    char key_memory[IDEMPOTENCY_KEY_MAX];
    struct buffer key;
    buffer_init_fixed(&key, key_memory, sizeof(key_memory));
    buffer_clear(&exchange->path);
    if (!choose_idempotency_key(command, arguments, &key)) return 2;
    write_path(command, arguments, page, &exchange->path);
    return send(command->service, command->method, buffer_slice(&key), exchange);
}

/* Where the list goes on behind these rows; none when there are none. */
static void turn_page(const struct command *command, struct json_value rows, size_t row_count,
                      struct page *page)
{
    struct buffer value;
    slice id = SLICE_NONE;
    page->name = command->pages == PAGES_BY_ID ? "after" : "offset";
    buffer_init_fixed(&value, page->value, sizeof(page->value));
    for (struct json_iterator i = json_iterate(rows); json_next(&i);)
        id = json_raw(json_get(i.value, SLICE("id")));
    if (command->pages == PAGES_BY_OFFSET) {
        buffer_append_u64(&value, row_count);
    } else if (id.len > 2) {
        buffer_append(&value, (slice){id.data + 1, id.len - 2}); /* ids need no escapes */
    }
    buffer_append_char(&value, '\0');
}

/* A list as a whole, though the service answers a page at a time: until a page is empty. */
static int ask_pages(const struct command *command, const struct arguments *arguments,
                     struct exchange *exchange)
{
    struct page page = {0};
    struct buffer whole;
    struct json_writer w;
    size_t row_count = 0;
    size_t before;
    buffer_init(&whole, HTTP_ANSWER_MAX);
    json_write_init(&w, &whole);
    json_object_begin(&w);
    json_key(&w, SLICE("data"));
    json_array_begin(&w);
    int code;
    do {
        before = row_count;
        code = ask(command, arguments, &page, exchange);
        if (code != 0) break;
        struct json_value rows = json_get(json_root(&exchange->document), SLICE("data"));
        for (struct json_iterator i = json_iterate(rows); json_next(&i); row_count++)
            json_raw_value(&w, json_raw(i.value));
        turn_page(command, rows, row_count, &page);
    } while (row_count > before);
    json_array_end(&w);
    json_object_end(&w);
    buffer_clear(&exchange->answer);
    buffer_append(&exchange->answer, buffer_slice(&whole));
    bool fits = status_ok(buffer_finish(&whole)) && status_ok(buffer_finish(&exchange->answer));
    if (code == 0 &&
        !(fits && status_ok(json_parse(&exchange->document, buffer_slice(&exchange->answer))))) {
        fprintf(stderr, "bourse: the list is too long to be shown as a whole.\n");
        code = 1;
    }
    buffer_free(&whole);
    return code;
}

static void print_answer(const struct command *command, const struct arguments *arguments,
                         const struct exchange *exchange)
{
    if (exchange->is_page) {
        fwrite(exchange->answer.data, 1, exchange->answer.len, stdout);
    } else if (arguments->json) {
        print_json(command, &exchange->document);
    } else {
        print_text(command, &exchange->document);
    }
}

int command_run(const struct command *command, int argc, char **argv)
{
    static const struct page all = {0};
    struct arguments arguments = {0};
    struct exchange exchange;
    if (!arguments_read(command, argc, argv, &arguments)) return 2;
    exchange_open(&exchange);
    int code = 1;
    if (prepare(command, &arguments, &exchange)) {
        code = command->pages == PAGES_NONE ? ask(command, &arguments, &all, &exchange)
                                            : ask_pages(command, &arguments, &exchange);
    }
    if (code == 0) print_answer(command, &arguments, &exchange);
    exchange_close(&exchange);
    return code;
}

/* ---- two steps of the manual method in one: the customer's purchase, then the operator's word */

enum { BUY_ORG, BUY_AMOUNT, BUY_REFERENCE }; /* options of the row */

static int confirm(const struct command *command, const struct arguments *arguments, slice purchase,
                   struct exchange *exchange)
{
    const char *note = arguments->values[BUY_REFERENCE];
    struct json_writer w;
    buffer_append(&exchange->path, SLICE("/operator/purchases/"));
    append_encoded(&exchange->path, purchase);
    buffer_append(&exchange->path, SLICE("/confirm"));
    append_parameter(&exchange->path, "org", arguments->values[BUY_ORG]);
    json_write_init(&w, &exchange->body);
    json_object_begin(&w);
    json_key_string(&w, SLICE("reference"), slice_of(note == NULL ? "bourse credit buy" : note));
    json_object_end(&w);
    return send(command->service, "POST", SLICE_NONE, exchange);
}

int buy_run(const struct command *command, int argc, char **argv)
{
    static const struct page all = {0};
    struct arguments arguments = {0};
    struct exchange purchase, confirmation;
    if (!arguments_read(command, argc, argv, &arguments)) return 2;
    exchange_open(&purchase);
    exchange_open(&confirmation);
    int code = 1;
    if (prepare(command, &arguments, &purchase)) code = ask(command, &arguments, &all, &purchase);
    if (code == 0) {
        struct json_value data = json_get(json_root(&purchase.document), SLICE("data"));
        slice id = json_raw(json_get(data, SLICE("id"))); /* with its quotes */
        slice bare = id.len > 2 ? (slice){id.data + 1, id.len - 2} : SLICE_NONE;
        code = confirm(command, &arguments, bare, &confirmation);
    }
    if (code == 0) print_answer(command, &arguments, &confirmation);
    exchange_close(&confirmation);
    exchange_close(&purchase);
    return code;
}
