/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Values are shown as the service wrote them, so no digit of an amount is lost. */
#include "tools/bourse/print.h"

#include <stdio.h>
#include <stdlib.h>

#include "shared/json/write.h"

#define TEXT_MAX        4096
#define NAMES_WIDTH_MIN 22

static void put(slice text)
{
    fwrite(text.data, 1, text.len, stdout);
}

/* A value as a person reads it: strings without quotes, null as -. */
static slice shown(struct json_value value, struct arena *arena)
{
    slice text;
    if (!json_exists(value) || json_kind_of(value) == JSON_NULL) return SLICE("-");
    if (json_kind_of(value) == JSON_STRING && status_ok(json_read_string(value, arena, &text)))
        return text;
    return json_raw(value);
}

/* {"key":…,"hash":…} from the answer of a key's creation: what scripts want. */
static void write_key(struct json_value root, struct json_writer *w)
{
    json_object_begin(w);
    json_key_raw(w, SLICE("key"), json_raw(json_get(root, SLICE("key"))));
    json_key_raw(w, SLICE("hash"),
                 json_raw(json_get(json_get(root, SLICE("data")), SLICE("hash"))));
    json_object_end(w);
}

void print_json(const struct command *command, const struct json_document *answer)
{
    struct json_value root = json_root(answer);
    if (command->lift != NULL && slice_equal(slice_of(command->lift), SLICE("key"))) {
        struct buffer out;
        struct json_writer w;
        buffer_init(&out, TEXT_MAX);
        json_write_init(&w, &out);
        write_key(root, &w);
        put(buffer_slice(&out));
        buffer_free(&out);
    } else if (command->lift != NULL && json_exists(json_get(root, slice_of(command->lift)))) {
        put(json_raw(json_get(root, slice_of(command->lift))));
    } else {
        put(json_raw(root));
    }
    fputc('\n', stdout);
}

static size_t column_width(struct json_value list, const char *column, struct arena *arena)
{
    size_t width = strlen(column);
    for (struct json_iterator i = json_iterate(list); json_next(&i);) {
        size_t len = shown(json_get(i.value, slice_of(column)), arena).len;
        if (len > width) width = len;
    }
    return width;
}

static void print_cell(slice text, size_t width)
{
    put(text);
    for (size_t i = text.len; i < width + 2; i++)
        fputc(' ', stdout);
}

static void print_list(const struct command *command, struct json_value list, struct arena *arena)
{
    size_t widths[COLUMNS_MAX] = {0};
    size_t count = 0;
    for (; count < COLUMNS_MAX && command->columns[count] != NULL; count++) {
        widths[count] = column_width(list, command->columns[count], arena);
        print_cell(slice_of(command->columns[count]), widths[count]);
    }
    fputc('\n', stdout);
    for (struct json_iterator i = json_iterate(list); json_next(&i);) {
        for (size_t c = 0; c < count; c++) {
            print_cell(shown(json_get(i.value, slice_of(command->columns[c])), arena), widths[c]);
        }
        fputc('\n', stdout);
    }
    if (json_count(list) == 0) printf("(none)\n");
}

/* Rows inside an answer, a line each: a report of hundreds is to be read. */
static bool print_inner_rows(slice name, struct json_value list, struct arena *arena)
{
    struct json_iterator first = json_iterate(list);
    if (json_kind_of(list) != JSON_ARRAY || !json_next(&first)) return false;
    if (json_kind_of(first.value) != JSON_OBJECT) return false;
    put(name);
    for (struct json_iterator row = json_iterate(list); json_next(&row);) {
        fputc('\n', stdout);
        for (struct json_iterator cell = json_iterate(row.value); json_next(&cell);) {
            put(SLICE("  "));
            put(shown(cell.value, arena));
        }
    }
    fputc('\n', stdout);
    return true;
}

/* The longest name inside, so that all values begin in one column. */
static size_t names_width(struct json_value object, struct arena *arena)
{
    size_t width = NAMES_WIDTH_MIN;
    for (struct json_iterator i = json_iterate(object); json_next(&i);) {
        size_t len = shown(i.key, arena).len;
        if (len > width) width = len;
    }
    return width;
}

static void print_object(struct json_value object, struct arena *arena)
{
    size_t width = names_width(object, arena);
    for (struct json_iterator i = json_iterate(object); json_next(&i);) {
        slice name = shown(i.key, arena);
        if (json_kind_of(i.value) == JSON_OBJECT && slice_equal(name, SLICE("data"))) {
            print_object(i.value, arena);
            continue;
        }
        if (print_inner_rows(name, i.value, arena)) continue;
        print_cell(name, width);
        put(shown(i.value, arena));
        fputc('\n', stdout);
    }
}

void print_text(const struct command *command, const struct json_document *answer)
{
    struct arena arena;
    struct json_value root = json_root(answer);
    struct json_value data = json_get(root, SLICE("data"));
    arena_init(&arena, 64u << 20);
    if (command->columns[0] != NULL && json_kind_of(data) == JSON_ARRAY) {
        print_list(command, data, &arena);
    } else {
        print_object(root, &arena);
    }
    arena_free(&arena);
}

void print_error(const struct json_document *answer, long http_status)
{
    struct arena arena;
    arena_init(&arena, 1u << 20);
    slice message = SLICE("no reason was given");
    struct json_value text =
        json_get(json_get(json_root(answer), SLICE("error")), SLICE("message"));
    if (json_exists(text)) message = shown(text, &arena);
    fprintf(stderr, "bourse: refused (%ld): %.*s\n", http_status, (int)message.len, message.data);
    arena_free(&arena);
}
