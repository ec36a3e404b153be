/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the sources and blanks what is not code, so that the rules may look for words. */
#include <stdio.h>
#include <string.h>

#include "shared/descriptor.h"
#include "tools/tidy/tidy.h"

#define SOURCES_MAX  4096
#define FILE_MAX     (4u << 20)
#define LIST_COMMAND "git ls-files -co --exclude-standard -- '*.c' '*.h' '*.cc' '*.def' | sort -u"

enum state { IN_CODE, IN_BLOCK, IN_LINE, IN_STRING, IN_CHARACTER };

static enum state step(enum state state, const char *at, const char *end, size_t *taken)
{
    bool pair = at + 1 < end;
    *taken = 1;
    switch (state) {
    case IN_CODE:
        if (pair && at[0] == '/' && at[1] == '*') return IN_BLOCK;
        if (pair && at[0] == '/' && at[1] == '/') return IN_LINE;
        if (at[0] == '"') return IN_STRING;
        return at[0] == '\'' ? IN_CHARACTER : IN_CODE;
    case IN_BLOCK:
        if (!pair || at[0] != '*' || at[1] != '/') return IN_BLOCK;
        *taken = 2;
        return IN_CODE;
    case IN_LINE: return at[0] == '\n' ? IN_CODE : IN_LINE;
    case IN_STRING:
    case IN_CHARACTER:
        if (at[0] == '\\') *taken = 2;
        return at[0] == (state == IN_STRING ? '"' : '\'') ? IN_CODE : state;
    }
    return IN_CODE;
}

/* Include lines keep their file names: the rules read them from the text. */
static slice blank(struct arena *arena, slice text)
{
    slice copy = arena_copy(arena, text);
    char *out = (char *)copy.data;
    enum state state = IN_CODE;
    for (size_t i = 0; i < text.len;) {
        size_t taken;
        enum state next = step(state, text.data + i, text.data + text.len, &taken);
        for (size_t j = i; j < i + taken && j < text.len; j++) {
            if ((state != IN_CODE || next != IN_CODE) && out[j] != '\n') out[j] = ' ';
        }
        state = next;
        i += taken;
    }
    return copy;
}

status sources_read(struct sources *sources)
{
    char line[1024];
    arena_init(&sources->arena, 512u << 20);
    sources->items = arena_alloc_array(&sources->arena, SOURCES_MAX, sizeof(struct source));
    FILE *list = popen(LIST_COMMAND, "r"); /* a constant text: NOLINT(cert-env33-c) */
    if (list == NULL || sources->items == NULL) return FAIL(IO);
    while (fgets(line, sizeof(line), list) != NULL && sources->count < SOURCES_MAX) {
        struct buffer content;
        line[strcspn(line, "\n")] = '\0';
        buffer_init(&content, FILE_MAX);
        if (status_ok(descriptor_read_file(line, &content))) {
            struct source *source = &sources->items[sources->count++];
            source->path = arena_copy(&sources->arena, slice_of(line)).data;
            source->text = arena_copy(&sources->arena, buffer_slice(&content));
            source->code = blank(&sources->arena, source->text);
        }
        buffer_free(&content);
    }
    return pclose(list) == 0 ? OK : FAIL(IO);
}

bool tidy_next_line(slice *rest, slice *line)
{
    if (rest->len == 0) return false;
    slice_split(*rest, '\n', line, rest);
    return true;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool tidy_next_word(slice *rest, slice *word)
{
    size_t begin = 0;
    while (begin < rest->len && !is_word(rest->data[begin]))
        begin++;
    size_t end = begin;
    while (end < rest->len && is_word(rest->data[end]))
        end++;
    *word = (slice){rest->data + begin, end - begin};
    *rest = slice_from(*rest, end);
    return word->len > 0;
}

bool tidy_path_starts(const struct source *source, const char *prefix)
{
    return strncmp(source->path, prefix, strlen(prefix)) == 0;
}
