/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a statements.sql at its `-- name:` lines. SQL itself is not looked at, so a statement may
 * hold comments; only a line that begins with the marker ends it. */
#include "shared/db_statements.h"

#include <stdlib.h>

#include "shared/log.h"

#define STATEMENTS_SIZE_MAX ((size_t)1 << 20)

static const slice marker = {"-- name:", 8};
static const slice listen_word = {"LISTEN ", 7};

static size_t count_names(slice text);
static status take_statement(struct db_statement_list *list, slice name, slice *rest);
static slice take_body(slice *rest);
static slice trim_statement(slice sql);
static bool name_is_valid(slice name);
static int compare_names(const void *left, const void *right);

status db_statements_parse(const char *text, struct db_statement_list *list)
{
    *list = (struct db_statement_list){0};
    arena_init(&list->arena, STATEMENTS_SIZE_MAX);
    slice rest = slice_of(text);
    size_t count = count_names(rest);
    list->items = arena_alloc_array(&list->arena, count + 1, sizeof(list->items[0]));
    if (list->items == NULL) return FAIL(CONFIGURATION);
    while (rest.len > 0) {
        slice line;
        (void)slice_split(rest, '\n', &line, &rest);
        if (!slice_starts_with(line, marker)) continue;
        TRY(take_statement(list, slice_trim(slice_from(line, marker.len)), &rest));
    }
    qsort(list->items, list->count, sizeof(list->items[0]), compare_names);
    for (size_t i = 1; i < list->count; i++) {
        if (strcmp(list->items[i - 1].name, list->items[i].name) != 0) continue;
        log_error("statement_twice", FN(name, statement, slice_of(list->items[i].name)));
        return FAIL(CONFIGURATION);
    }
    return OK;
}

void db_statements_free(struct db_statement_list *list)
{
    arena_free(&list->arena);
    list->items = NULL;
    list->count = 0;
}

const struct db_statement *db_statements_find(const struct db_statement_list *list,
                                              const char *name)
{
    struct db_statement wanted = {.name = name};
    return bsearch(&wanted, list->items, list->count, sizeof(list->items[0]), compare_names);
}

static size_t count_names(slice text)
{
    size_t count = 0;
    while (text.len > 0) {
        slice line;
        (void)slice_split(text, '\n', &line, &text);
        count += slice_starts_with(line, marker);
    }
    return count;
}

static status take_statement(struct db_statement_list *list, slice name, slice *rest)
{
    slice sql = trim_statement(take_body(rest));
    if (!name_is_valid(name) || sql.len == 0) {
        log_error("statement_unusable", FN(name, statement, name));
        return FAIL(CONFIGURATION);
    }
    struct db_statement *statement = &list->items[list->count++];
    statement->name = arena_copy(&list->arena, name).data;
    statement->sql = arena_copy(&list->arena, sql).data;
    statement->is_listen = slice_equal_nocase(slice_first(sql, listen_word.len), listen_word);
    return statement->name == NULL || statement->sql == NULL ? FAIL(CONFIGURATION) : OK;
}

/* Everything before the next marker line, which stays in *rest. */
static slice take_body(slice *rest)
{
    const char *start = rest->data;
    while (rest->len > 0 && !slice_starts_with(*rest, marker)) {
        slice line;
        (void)slice_split(*rest, '\n', &line, rest);
    }
    size_t len = rest->len > 0 ? (size_t)(rest->data - start) : strlen(start);
    return (slice){start, len};
}

static slice trim_statement(slice sql)
{
    static const char blanks[] = " \t\r\n;";
    while (sql.len > 0 && strchr(blanks, sql.data[sql.len - 1]) != NULL)
        sql.len--;
    while (sql.len > 0 && strchr(blanks, sql.data[0]) != NULL)
        sql = slice_from(sql, 1);
    return sql;
}

static bool name_is_valid(slice name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '\0' || strchr(allowed, name.data[i]) == NULL) return false;
    }
    return name.len > 0;
}

static int compare_names(const void *left, const void *right)
{
    const struct db_statement *a = left;
    const struct db_statement *b = right;
    return strcmp(a->name, b->name);
}
