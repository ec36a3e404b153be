/* SPDX-License-Identifier: Apache-2.0 */
/* A line is built in an array on the stack and goes out with one write(2): lines of several threads
 * never mix, and at most PIPE_BUF bytes means that lines of several processes on one pipe do not
 * either. Every text is quoted and escaped where needed, so no value can end a line or start a
 * field. */
#include "shared/log.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "shared/clock.h"

#define LOG_LINE_SIZE PIPE_BUF
#define LOG_TEXT_MAX  512
#define LOG_TRUNCATED " truncated=true"
#define LOG_TAIL_SIZE (sizeof(LOG_TRUNCATED) - 1 + 1) /* and the newline */

/* Set once by log_init() before there are threads, read by all. */
static struct {
    slice program;
    enum log_level level;
} settings = {.program = {"unknown", 7}, .level = LOG_LEVEL_INFO};

static void append_quotable(struct buffer *line, slice text);
static void append_log_field(struct buffer *line, const struct log_field *field);

void log_init(const char *program, enum log_level level)
{
    settings.program = slice_of(program);
    settings.level = level;
}

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count)
{
    if (level > settings.level) return;
    int errno_before = errno;
    char memory[LOG_LINE_SIZE];
    struct buffer line;
    buffer_init_fixed(&line, memory, sizeof(memory) - LOG_TAIL_SIZE);
    buffer_append(&line, SLICE("time="));
    clock_append_iso(&line, clock_wall());
    buffer_append(&line, SLICE(" level="));
    buffer_append(&line, slice_of(level_names[level]));
    buffer_append(&line, SLICE(" program="));
    append_quotable(&line, settings.program);
    buffer_append(&line, SLICE(" event="));
    append_quotable(&line, slice_of(event));
    for (size_t i = 0; i < count; i++) {
        append_log_field(&line, &fields[i]);
    }
    /* The tail was kept out of the buffer's size, so these always fit. */
    if (line.overflowed) {
        memcpy(memory + line.len, LOG_TRUNCATED, sizeof(LOG_TRUNCATED) - 1);
        line.len += sizeof(LOG_TRUNCATED) - 1;
    }
    memory[line.len++] = '\n';
    /* Nobody is left to be told when stderr is gone. */
    (void)!write(STDERR_FILENO, memory, line.len);
    errno = errno_before;
}

/* Bytes that stand for themselves inside quotes: printable ASCII but the quote and the backslash.
 * Bytes of other alphabets are escaped too, for a terminal may take some of them as commands. */
static bool is_plain(char c)
{
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

static bool needs_quotes(slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_plain(text.data[i]) || text.data[i] == ' ' || text.data[i] == '=') return true;
    }
    return text.len == 0;
}

static void append_escape(struct buffer *line, char c)
{
    buffer_append_char(line, '\\');
    switch (c) {
    case '"':
    case '\\': buffer_append_char(line, c); return;
    case '\n': buffer_append_char(line, 'n'); return;
    case '\r': buffer_append_char(line, 'r'); return;
    case '\t': buffer_append_char(line, 't'); return;
    default: break;
    }
    buffer_append_char(line, 'x');
    buffer_append_hex(line, (const uint8_t *)&c, 1);
}

static void append_quotable(struct buffer *line, slice text)
{
    bool cut = text.len > LOG_TEXT_MAX;
    text = slice_first(text, LOG_TEXT_MAX);
    bool quotes = cut || needs_quotes(text);
    if (quotes) buffer_append_char(line, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (is_plain(text.data[i])) {
            buffer_append_char(line, text.data[i]);
        } else {
            append_escape(line, text.data[i]);
        }
    }
    if (cut) buffer_append(line, SLICE("..."));
    if (quotes) buffer_append_char(line, '"');
}

/* ENOENT: No such file or directory */
static void append_errno(struct buffer *line, int64_t number)
{
    char memory[128];
    struct buffer text;
    buffer_init_fixed(&text, memory, sizeof(memory));
    const char *name = strerrorname_np((int)number);
    const char *description = strerrordesc_np((int)number);
    if (name != NULL) {
        buffer_append(&text, slice_of(name));
        buffer_append(&text, SLICE(": "));
        buffer_append(&text, slice_of(description));
    } else {
        buffer_append_i64(&text, number);
    }
    append_quotable(line, buffer_slice(&text));
}

static void append_log_value(struct buffer *line, const struct log_field *field)
{
    switch (field->kind) {
    case LOG_TEXT: append_quotable(line, field->text); return;
    case LOG_INT: buffer_append_i64(line, field->number); return;
    case LOG_AMOUNT: money_append_dollars(line, (money){field->number}); return;
    case LOG_REQUEST: generation_id_append(line, field->request); return;
    case LOG_STATUS:
        append_quotable(line, slice_of(error_row_of((uint16_t)field->number)->name));
        return;
    case LOG_ERRNO: append_errno(line, field->number); return;
    }
}

/* A field that does not fit is left out as a whole, so that the line stays readable by machines. */
static void append_log_field(struct buffer *line, const struct log_field *field)
{
    size_t len_before = line->len;
    buffer_append_char(line, ' ');
    buffer_append(line, slice_of(field->name));
    buffer_append_char(line, '=');
    append_log_value(line, field);
    if (line->overflowed) line->len = len_before;
}
