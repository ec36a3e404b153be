/* SPDX-License-Identifier: Apache-2.0 */
/* Rules over all files: a function that nobody names, and a body that stands twice. A function is
 * known by its layout: its name stands on a line that begins in the first column, its body between
 * lines that are just { and }. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tidy/tidy.h"

#define FUNCTIONS_MAX  16384
#define WORDS_SIZE     (1u << 18) /* slots; the tree holds some ten thousand different words */
#define TWIN_LINES_MIN 5

struct function {
    const struct source *source;
    size_t line;
    slice name;
    slice body;
    size_t body_lines;
    bool is_static;
};

struct word_count {
    slice word;
    uint32_t count;
};

static struct function functions[FUNCTIONS_MAX];
static size_t function_count;
static struct word_count words[WORDS_SIZE];

/* ---- words of all files */

static struct word_count *count_of(slice word)
{
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < word.len; i++)
        hash = (hash ^ (uint8_t)word.data[i]) * 1099511628211u;
    for (size_t at = hash % WORDS_SIZE;; at = (at + 1) % WORDS_SIZE) {
        if (words[at].word.len == 0) words[at].word = word;
        if (slice_equal(words[at].word, word)) return &words[at];
    }
}

static void count_words(const struct source *source)
{
    slice rest = source->code;
    slice word;
    while (tidy_next_word(&rest, &word))
        count_of(word)->count++;
}

/* ---- functions of a file */

/* The identifier before the first parenthesis of a line that begins in column one. */
static slice name_on(slice line)
{
    slice head, tail;
    if (line.len == 0 || line.data[0] == ' ' || line.data[0] == '#' || line.data[0] == '}')
        return SLICE_NONE;
    if (!slice_split(line, '(', &head, &tail)) return SLICE_NONE;
    slice word = SLICE_NONE;
    slice last = SLICE_NONE;
    while (tidy_next_word(&head, &word))
        last = word;
    return last;
}

static void find_functions(const struct source *source)
{
    slice rest = source->code;
    slice line;
    struct function function = {.source = source};
    bool open = false;
    for (size_t number = 1; tidy_next_line(&rest, &line); number++) {
        slice name = name_on(line);
        if (!open && name.len > 0) {
            function.name = name;
            function.line = number;
            function.is_static = slice_starts_with(line, SLICE("static "));
        }
        if (slice_equal(line, SLICE("{")) && function.name.len > 0) {
            open = true;
            function.body = rest;
            function.body_lines = number;
        }
        if (!slice_equal(line, SLICE("}")) || !open) continue;
        open = false;
        function.body.len = (size_t)(line.data - function.body.data);
        function.body_lines = number - function.body_lines - 1;
        if (function_count < FUNCTIONS_MAX) functions[function_count++] = function;
        function.name = SLICE_NONE;
    }
}

/* ---- unused */

static uint32_t declarations_of(const struct sources *sources, slice name)
{
    uint32_t count = 0;
    for (size_t i = 0; i < sources->count; i++) {
        const struct source *source = &sources->items[i];
        if (!slice_ends_with(slice_of(source->path), SLICE(".h"))) continue;
        slice rest = source->code;
        slice line;
        while (tidy_next_line(&rest, &line))
            count += slice_equal(name_on(line), name) ? 1 : 0;
    }
    return count;
}

/* Called by the C library, by a fuzzer, or by a name that a catalogue's macro pastes together. */
static bool is_called_unseen(slice name)
{
    return slice_equal(name, SLICE("main")) || slice_equal(name, SLICE("LLVMFuzzerTestOneInput")) ||
           slice_starts_with(name, SLICE("__")) || slice_starts_with(name, SLICE("codec_"));
}

static void check_used(const struct sources *sources, const struct function *function)
{
    uint32_t count = count_of(function->name)->count;
    if (function->is_static || count > 4 || is_called_unseen(function->name)) return;
    if (count > 1 + declarations_of(sources, function->name)) return;
    tidy_complain(function->source, function->line, "nobody calls this function", function->name);
}

/* ---- twins */

static int compare_bodies(const void *a, const void *b)
{
    const struct function *x = a;
    const struct function *y = b;
    if (x->body.len != y->body.len) return x->body.len < y->body.len ? -1 : 1;
    return memcmp(x->body.data, y->body.data, x->body.len);
}

static void check_twins(void)
{
    qsort(functions, function_count, sizeof(functions[0]), compare_bodies);
    for (size_t i = 1; i < function_count; i++) {
        const struct function *f = &functions[i];
        if (f->body_lines < TWIN_LINES_MIN || compare_bodies(f, &functions[i - 1]) != 0) continue;
        if (tidy_path_starts(f->source, "tests/")) continue;
        tidy_complain(f->source, f->line, "the same body stands elsewhere",
                      slice_of(functions[i - 1].source->path));
    }
}

void rules_check_functions(const struct sources *sources)
{
    for (size_t i = 0; i < sources->count; i++) {
        count_words(&sources->items[i]);
        if (slice_ends_with(slice_of(sources->items[i].path), SLICE(".c")))
            find_functions(&sources->items[i]);
    }
    for (size_t i = 0; i < function_count; i++)
        check_used(sources, &functions[i]);
    check_twins();
}
