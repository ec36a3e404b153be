/* SPDX-License-Identifier: Apache-2.0 */
/* Everything here falls out of options.def: one table of options drives the reader, --help and the
 * sample file. The table holds the offset of each option's field, so that no name is written a
 * second time. Messages go to stderr as sentences, not as log lines: a person reads them at a start
 * that failed. */
#include "shared/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/descriptor.h"

#ifndef BOURSE_VERSION
#define BOURSE_VERSION "0.1.0"
#endif

#define CONFIG_FILE_SIZE_MAX 262144

enum option_kind { OPTION_KIND_INT, OPTION_KIND_TEXT, OPTION_KIND_BOOL, OPTION_KIND_CHOICE };

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset; /* of the field in struct config */
    const char *unit;
    int64_t min;
    int64_t max;
    int64_t default_number; /* of integers and switches */
    const char *default_text;
    const char *words; /* of a choice, separated by commas */
    bool reloadable;
    const char *sentence;
};

static const struct option options[] = {
#define OPTION_INT(name_, unit_, min_, max_, default_, reloadable_, sentence_) \
    {.name = #name_,                                                           \
     .kind = OPTION_KIND_INT,                                                  \
     .offset = offsetof(struct config, name_),                                 \
     .unit = unit_,                                                            \
     .min = min_,                                                              \
     .max = max_,                                                              \
     .default_number = default_,                                               \
     .reloadable = reloadable_,                                                \
     .sentence = sentence_},
#define OPTION_TEXT(name_, default_, sentence_) \
    {.name = #name_,                            \
     .kind = OPTION_KIND_TEXT,                  \
     .offset = offsetof(struct config, name_),  \
     .default_text = default_,                  \
     .sentence = sentence_},
#define OPTION_BOOL(name_, default_, sentence_) \
    {.name = #name_,                            \
     .kind = OPTION_KIND_BOOL,                  \
     .offset = offsetof(struct config, name_),  \
     .default_number = default_,                \
     .sentence = sentence_},
#define OPTION_CHOICE(name_, default_, words_, sentence_) \
    {.name = #name_,                                      \
     .kind = OPTION_KIND_CHOICE,                          \
     .offset = offsetof(struct config, name_),            \
     .default_text = default_,                            \
     .words = words_,                                     \
     .sentence = sentence_},
#include "shared/options.def"
#undef OPTION_INT
#undef OPTION_TEXT
#undef OPTION_BOOL
#undef OPTION_CHOICE
};
#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

/* Where a setting stands, for messages: "bourse.conf:12" or "--edge_port". */
struct origin {
    const char *file; /* NULL: the command line */
    unsigned line;
};

static status set_option(struct config *config, slice name, slice value, struct origin origin);
static void print_help(const char *program);
static void print_sample(void);

static int64_t *number_field(struct config *config, const struct option *option)
{
    return (int64_t *)(void *)((char *)config + option->offset);
}

static char *text_field(struct config *config, const struct option *option)
{
    return (char *)config + option->offset;
}

static bool *bool_field(struct config *config, const struct option *option)
{
    return (bool *)(void *)((char *)config + option->offset);
}

void config_defaults(struct config *config)
{
    memset(config, 0, sizeof(*config));
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &options[i];
        switch (option->kind) {
        case OPTION_KIND_INT: *number_field(config, option) = option->default_number; break;
        case OPTION_KIND_BOOL: *bool_field(config, option) = option->default_number != 0; break;
        case OPTION_KIND_CHOICE:
        case OPTION_KIND_TEXT:
            memcpy(text_field(config, option), option->default_text,
                   strlen(option->default_text) + 1);
            break;
        }
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

static status read_text(const char *path, struct buffer *text)
{
    status result = descriptor_read_file(path, text);
    if (status_ok(result)) return OK;
    if (result.code == ERROR_OVERFLOW) {
        fprintf(stderr, "%s: larger than %d bytes; this is not a configuration file.\n", path,
                CONFIG_FILE_SIZE_MAX);
    } else {
        fprintf(stderr, "%s: %s. Name a readable file with --config FILE.\n", path,
                strerror(errno));
    }
    return FAIL(CONFIGURATION);
}

/* A comment begins with # at the start of a line or after a blank; other # belong to their
 * value. */
static slice without_comment(slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        bool starts = i == 0 || line.data[i - 1] == ' ' || line.data[i - 1] == '\t';
        if (starts && line.data[i] == '#') return slice_first(line, i);
    }
    return line;
}

static status read_setting(struct config *config, slice line, struct origin origin)
{
    if (slice_ends_with(line, SLICE("\r"))) line.len--;
    line = slice_trim(without_comment(line));
    if (line.len == 0) return OK;
    slice name, value;
    if (!slice_split(line, '=', &name, &value)) {
        fprintf(
            stderr,
            "%s:%u: \"%.*s\" is not a setting; write \"name = value\", or # before a comment.\n",
            origin.file, origin.line, (int)line.len, line.data);
        return FAIL(CONFIGURATION);
    }
    return set_option(config, slice_trim(name), slice_trim(value), origin);
}

status config_read_file(struct config *config, const char *path)
{
    SCOPED(buffer_free) struct buffer text;
    buffer_init(&text, CONFIG_FILE_SIZE_MAX);
    TRY(read_text(path, &text));
    struct origin origin = {.file = path};
    slice rest = buffer_slice(&text);
    while (rest.len > 0) {
        slice line;
        (void)slice_split(rest, '\n', &line, &rest);
        origin.line++;
        TRY(read_setting(config, line, origin));
    }
    return OK;
}

/* ---- the command line ------------------------------------------------------------------------ */

/* --config FILE and --config=FILE; `*at` moves past what was taken. NULL when the argument is
 * another. */
static const char *config_path(int argc, char **argv, int *at)
{
    slice argument = slice_of(argv[*at]);
    if (slice_starts_with(argument, SLICE("--config="))) return argv[*at] + strlen("--config=");
    if (!slice_equal(argument, SLICE("--config")) || *at + 1 >= argc) return NULL;
    ++*at;
    return argv[*at];
}

/* The arguments that answer a question instead of starting the program. */
static void answer_questions(const char *program, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        slice argument = slice_of(argv[i]);
        if (slice_equal(argument, SLICE("--help"))) {
            print_help(program);
            exit(EXIT_SUCCESS);
        }
        if (slice_equal(argument, SLICE("--print-sample"))) {
            print_sample();
            exit(EXIT_SUCCESS);
        }
        if (slice_equal(argument, SLICE("--version"))) {
            printf("%s (bourse) " BOURSE_VERSION "\n", program);
            exit(EXIT_SUCCESS);
        }
    }
}

static status read_argument(struct config *config, const char *program, slice argument)
{
    slice name, value;
    if (!slice_starts_with(argument, SLICE("--")) ||
        !slice_split(slice_from(argument, 2), '=', &name, &value)) {
        fprintf(stderr,
                "%s: \"%.*s\" is not understood; options are written --name=value, see --help.\n",
                program, (int)argument.len, argument.data);
        return FAIL(CONFIGURATION);
    }
    return set_option(config, name, value, (struct origin){0});
}

status config_read_arguments(struct config *config, const char *program, int argc, char **argv)
{
    answer_questions(program, argc, argv);
    /* Twice over the arguments: the command line wins over the file wherever --config stands. */
    for (int i = 1; i < argc; i++) {
        const char *path = config_path(argc, argv, &i);
        if (path != NULL) TRY(config_read_file(config, path));
    }
    for (int i = 1; i < argc; i++) {
        if (config_path(argc, argv, &i) != NULL) continue;
        TRY(read_argument(config, program, slice_of(argv[i])));
    }
    return OK;
}

/* ---- one setting ----------------------------------------------------------------------------- */

static void begin_message(struct origin origin, const char *name)
{
    if (origin.file != NULL) {
        fprintf(stderr, "%s:%u: %s: ", origin.file, origin.line, name);
    } else {
        fprintf(stderr, "--%s: ", name);
    }
}

static status set_number(int64_t *field, const struct option *option, slice value,
                         struct origin origin)
{
    int64_t number = 0;
    status read = slice_to_i64(value, &number);
    if (status_ok(read) && number >= option->min && number <= option->max) {
        *field = number;
        return OK;
    }
    const char *fault = read.code == ERROR_BAD_REQUEST ? "not a number" : "out of range";
    begin_message(origin, option->name);
    fprintf(stderr, "\"%.*s\" is %s; write a whole number from %lld to %lld%s%s.\n", (int)value.len,
            value.data, fault, (long long)option->min, (long long)option->max,
            option->unit[0] == '\0' ? "" : " in ", option->unit);
    return FAIL(CONFIGURATION);
}

static status set_bool(bool *field, const struct option *option, slice value, struct origin origin)
{
    bool yes = slice_equal(value, SLICE("true")) || slice_equal(value, SLICE("yes")) ||
               slice_equal(value, SLICE("on"));
    bool no = slice_equal(value, SLICE("false")) || slice_equal(value, SLICE("no")) ||
              slice_equal(value, SLICE("off"));
    if (yes || no) {
        *field = yes;
        return OK;
    }
    begin_message(origin, option->name);
    fprintf(stderr, "\"%.*s\" is neither true nor false; write true or false.\n", (int)value.len,
            value.data);
    return FAIL(CONFIGURATION);
}

static status set_text(char *field, const struct option *option, slice value, struct origin origin)
{
    if (status_ok(slice_to_c_string(value, field, CONFIG_TEXT_SIZE))) return OK;
    begin_message(origin, option->name);
    fprintf(stderr, "the value is too long or holds a zero byte; write at most %d bytes of text.\n",
            CONFIG_TEXT_SIZE - 1);
    return FAIL(CONFIGURATION);
}

/* A word that nobody knows must not be taken for one of the others. */
static status set_choice(char *field, const struct option *option, slice value,
                         struct origin origin)
{
    slice word, rest = slice_of(option->words);
    while (rest.len > 0) {
        (void)slice_split(rest, ',', &word, &rest);
        if (slice_equal(slice_trim(word), value))
            return slice_to_c_string(value, field, CONFIG_TEXT_SIZE);
    }
    begin_message(origin, option->name);
    fprintf(stderr, "\"%.*s\" is none of its words; write one of: %s.\n", (int)value.len,
            value.data, option->words);
    return FAIL(CONFIGURATION);
}

static status set_option(struct config *config, slice name, slice value, struct origin origin)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &options[i];
        if (!slice_equal(name, slice_of(option->name))) continue;
        switch (option->kind) {
        case OPTION_KIND_INT:
            return set_number(number_field(config, option), option, value, origin);
        case OPTION_KIND_BOOL: return set_bool(bool_field(config, option), option, value, origin);
        case OPTION_KIND_TEXT: return set_text(text_field(config, option), option, value, origin);
        case OPTION_KIND_CHOICE:
            return set_choice(text_field(config, option), option, value, origin);
        }
    }
    char unknown[64];
    if (!status_ok(slice_to_c_string(name, unknown, sizeof(unknown)))) unknown[0] = '\0';
    begin_message(origin, unknown);
    fprintf(stderr, "no option has this name; --help lists them all.\n");
    return FAIL(CONFIGURATION);
}

/* ---- --help and the sample file -------------------------------------------------------------- */

static void print_default(const struct option *option)
{
    switch (option->kind) {
    case OPTION_KIND_INT: printf("%lld", (long long)option->default_number); break;
    case OPTION_KIND_BOOL: printf("%s", option->default_number != 0 ? "true" : "false"); break;
    case OPTION_KIND_CHOICE:
    case OPTION_KIND_TEXT: printf("%s", option->default_text); break;
    }
}

static void print_range(const struct option *option)
{
    if (option->kind == OPTION_KIND_BOOL) printf("true or false");
    if (option->kind == OPTION_KIND_TEXT) printf("text");
    if (option->kind == OPTION_KIND_CHOICE) printf("one of: %s", option->words);
    if (option->kind == OPTION_KIND_INT) {
        printf("%lld to %lld%s%s", (long long)option->min, (long long)option->max,
               option->unit[0] == '\0' ? "" : " ", option->unit);
    }
    if (option->reloadable) printf(", changes at a reload");
}

static void print_help(const char *program)
{
    printf("usage: %s [--config FILE] [--name=value ...]\n\n", program);
    printf(
        "  --config FILE    read settings, one \"name = value\" a line, # before comments\n"
        "  --print-sample   print a sample of that file with every option explained\n"
        "  --version        print the version\n"
        "  --help           print this\n\n"
        "Options; what the command line says wins over the file. One file serves all programs.\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        printf("\n  --%s=", options[i].name);
        print_default(&options[i]);
        printf("\n      %s\n      (", options[i].sentence);
        print_range(&options[i]);
        printf(")\n");
    }
}

static void print_sample(void)
{
    printf(
        "# The configuration of an instance. One file serves all programs; each reads what it\n"
        "# needs. Every option stands here with its default: take the # away before a setting to\n"
        "# change it.\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        printf("\n# %s\n# ", options[i].sentence);
        print_range(&options[i]);
        printf("\n#%s = ", options[i].name);
        print_default(&options[i]);
        printf("\n");
    }
}
