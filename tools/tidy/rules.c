/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of one file: lengths, include direction, words that have a better one. Tables, so that a
 * rule is a row. */
#include <stdio.h>
#include <string.h>

#include "tools/tidy/tidy.h"

#define FILE_LINES_MAX     700
#define FUNCTION_LINES_MAX 70
#define COLUMNS_MAX        100

static const struct {
    const char *word;
    const char *instead;
} banned[] = {
    {"strcpy", "slice_to_c_string or memcpy"},
    {"strncpy", "slice_to_c_string"},
    {"strcat", "a buffer"},
    {"strncat", "a buffer"},
    {"sprintf", "a buffer, or snprintf in a tool"},
    {"vsprintf", "a buffer"},
    {"atoi", "slice_to_i64"},
    {"atol", "slice_to_i64"},
    {"atoll", "slice_to_i64"},
    {"atof", "money_parse_dollars"},
    {"strtod", "money_parse_dollars"},
    {"strtok", "slice_split"},
    {"gets", "read"},
    {"rand", "random_u64"},
    {"system", "fork and exec"},
    {"alloca", "an arena"},
    {"goto", "TRY and SCOPED"},
    {"gmtime", "clock_append_iso"},
    {"localtime", "clock_append_iso: times are UTC"},
};

/* Words that are wrong in one place only. */
static const struct {
    const char *word;
    const char *place;
    const char *instead;
} banned_in[] = {
    {"clock_wall", "services/ledger/", "api_now: periods are those of PostgreSQL's clock"},
};

/* Where money is computed or carried, no binary fraction may appear. */
static const char *const exact[] = {"shared/", "services/"};

/* libpq's functions: the places that may call them. */
static const char *const database[] = {"shared/db",
                                       "services/ledger/store",
                                       "services/catalog/store",
                                       "services/usage/store",
                                       "tools/migrate/",
                                       "tools/bourse/audit.c",
                                       "tests/"};

static bool is_one_of(const struct source *source, const char *const *prefixes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (tidy_path_starts(source, prefixes[i])) return true;
    }
    return false;
}

#define IS_ONE_OF(source, list) is_one_of(source, list, sizeof(list) / sizeof((list)[0]))

static size_t columns(slice line)
{
    size_t count = 0;
    for (size_t i = 0; i < line.len; i++) {
        if (((uint8_t)line.data[i] & 0xc0) != 0x80)
            count++; /* UTF-8 continuation bytes take no column */
    }
    return count;
}

/* ---- lengths */

static void check_lengths(const struct source *source)
{
    slice rest = source->text;
    slice line;
    size_t number = 0;
    size_t opened = 0;
    /* A row of a catalogue is one line, however long its sentence. */
    bool catalogue = slice_ends_with(slice_of(source->path), SLICE(".def"));
    while (tidy_next_line(&rest, &line)) {
        number++;
        if (columns(line) > COLUMNS_MAX && !catalogue)
            tidy_complain(source, number, "a line has more than 100 columns", SLICE_NONE);
        if (slice_equal(line, SLICE("{"))) opened = number;
        if (slice_equal(line, SLICE("}")) && opened > 0) {
            if (number - opened - 1 > FUNCTION_LINES_MAX) {
                tidy_complain(source, opened, "a function has more than 70 lines", SLICE_NONE);
            }
            opened = 0;
        }
    }
    if (number > FILE_LINES_MAX)
        tidy_complain(source, number, "a file has more than 700 lines", SLICE_NONE);
}

static void check_head(const struct source *source)
{
    if (slice_starts_with(source->text, SLICE("/* SPDX-License-Identifier: Apache-2.0 */\n/*")))
        return;
    tidy_complain(source, 1, "a file begins with the SPDX line and a comment on what happens here",
                  SLICE_NONE);
}

/* ---- includes */

/* The part of a path that names its home: "shared/", "services/edge/", "tools/bourse/". */
static slice home_of(slice path)
{
    slice first, second, rest;
    slice_split(path, '/', &first, &rest);
    if (slice_equal(first, SLICE("shared"))) return (slice){path.data, first.len + 1};
    slice_split(rest, '/', &second, &rest);
    return (slice){path.data, first.len + second.len + 2};
}

static void check_include(const struct source *source, size_t number, slice name)
{
    slice path = slice_of(source->path);
    bool h2o = slice_starts_with(name, SLICE("h2o.h")) || slice_starts_with(name, SLICE("h2o/"));
    if (h2o && !slice_equal(path, SLICE("shared/h2o.h"))) {
        tidy_complain(source, number, "only shared/h2o.h includes h2o's headers", name);
    }
    bool ours =
        slice_starts_with(name, SLICE("services/")) || slice_starts_with(name, SLICE("tools/"));
    if (!ours || tidy_path_starts(source, "tests/")) return;
    slice home = home_of(path);
    if (!slice_starts_with(name, home)) {
        tidy_complain(source, number, "includes go to shared and to one's own directory only",
                      name);
    }
}

static void check_includes(const struct source *source)
{
    slice rest = source->text;
    slice line;
    for (size_t number = 1; tidy_next_line(&rest, &line); number++) {
        slice name, tail;
        if (!slice_starts_with(line, SLICE("#include "))) continue;
        name = slice_from(line, 10);
        slice_split(name, line.data[9] == '<' ? '>' : '"', &name, &tail);
        check_include(source, number, name);
    }
}

/* ---- words */

static bool is_call(slice rest)
{
    return slice_starts_with(slice_trim(rest), SLICE("("));
}

static void check_word(const struct source *source, size_t number, slice word, slice rest)
{
    for (size_t i = 0; i < sizeof(banned) / sizeof(banned[0]); i++) {
        if (!slice_equal(word, slice_of(banned[i].word))) continue;
        if (tidy_path_starts(source, "tests/")) continue;
        if (is_call(rest) || slice_equal(word, SLICE("goto"))) {
            tidy_complain(source, number, banned[i].word, slice_of(banned[i].instead));
        }
    }
    for (size_t i = 0; i < sizeof(banned_in) / sizeof(banned_in[0]); i++) {
        if (slice_equal(word, slice_of(banned_in[i].word)) &&
            tidy_path_starts(source, banned_in[i].place))
            tidy_complain(source, number, banned_in[i].word, slice_of(banned_in[i].instead));
    }
    bool binary = slice_equal(word, SLICE("float")) || slice_equal(word, SLICE("double"));
    if (binary && IS_ONE_OF(source, exact))
        tidy_complain(source, number, "money has no binary fractions", word);
    bool libpq = word.len > 2 && word.data[0] == 'P' && word.data[1] == 'Q' &&
                 word.data[2] >= 'a' && is_call(rest);
    if (libpq && !IS_ONE_OF(source, database))
        tidy_complain(source, number, "libpq is called in db.c and store.c only", word);
}

static void check_words(const struct source *source)
{
    slice rest = source->code;
    slice line;
    for (size_t number = 1; tidy_next_line(&rest, &line); number++) {
        slice word;
        while (tidy_next_word(&line, &word))
            check_word(source, number, word, line);
    }
}

static void check_marks(const struct source *source)
{
    slice rest = source->text;
    slice line;
    if (tidy_path_starts(source, "tests/")) return; /* names of time zones and other data */
    for (size_t number = 1; tidy_next_line(&rest, &line); number++) {
        slice word;
        while (tidy_next_word(&line, &word)) {
            bool mark = slice_equal(word, SLICE("FIX"
                                                "ME")) ||
                        slice_equal(word, SLICE("TO"
                                                "DO")) ||
                        slice_equal(word, SLICE("X"
                                                "XX"));
            if (mark)
                tidy_complain(source, number, "unfinished work is named in a plan, not in the code",
                              word);
        }
    }
}

void rules_check_file(const struct source *source)
{
    check_lengths(source);
    check_head(source);
    check_includes(source);
    check_words(source);
    check_marks(source);
}
