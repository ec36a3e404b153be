/* SPDX-License-Identifier: Apache-2.0 */
/* The second walk of the reader: over the index of tokens, not over the bytes. Checks the
 * grammar of RFC 8259, which is JSON.parse's, and writes the tape of nodes. The complication: a
 * token's end is not in the index. A number or literal is read to its end and only blanks may
 * follow up to the next token; a string is found from behind, since its closing quote is the
 * last byte before the next token that is no blank. Backslashes are searched for once over the
 * whole text, not string by string. */

#include "shared/json/walk.h"

struct tape {
    const char *text;
    const uint32_t *at;  /* the next token */
    const uint32_t *end; /* behind the last one; *end is the text's length */
    struct json_node *nodes;
    uint32_t node_count;
    uint32_t values_left;
    uint32_t backslash; /* the first one at or behind the last string's start; the length if none */
    uint32_t depth;
    uint32_t open[JSON_DEPTH_MAX]; /* nodes of the containers around this place */
};

/* What may follow a backslash. */
enum escape_kind { ESCAPE_NONE, ESCAPE_SHORT, ESCAPE_HEX };
static const uint8_t escape_kinds[256] = {
    ['"'] = ESCAPE_SHORT, ['\\'] = ESCAPE_SHORT, ['/'] = ESCAPE_SHORT,
    ['b'] = ESCAPE_SHORT, ['f'] = ESCAPE_SHORT,  ['n'] = ESCAPE_SHORT,
    ['r'] = ESCAPE_SHORT, ['t'] = ESCAPE_SHORT,  ['u'] = ESCAPE_HEX,
};
#define ESCAPE_HEX_LEN 6 /* \uXXXX */

static status tape_value(struct tape *t, bool *opened);
static status tape_after_value(struct tape *t, bool *finished);

/* A text of n tokens holds at most (n + 1) / 2 nodes: each one beyond the first of a container
 * brings a comma, each key a colon, each container its end. Containers still open when the walk
 * stops have not brought their end, hence the depth on top. */
uint64_t json_tape_room(uint32_t index_count, uint32_t values_max)
{
    uint64_t by_index = (uint64_t)index_count / 2;
    return (by_index < 2 * (uint64_t)values_max ? by_index : 2 * (uint64_t)values_max) +
           JSON_DEPTH_MAX + 2;
}

status json_tape_write(struct json_document *document, struct json_index index)
{
    struct tape t;
    t.text = document->text;
    t.at = index.positions;
    t.end = index.positions + index.count;
    t.nodes = document->nodes;
    t.node_count = 0;
    t.values_left = document->values_max;
    t.backslash = 0;
    t.depth = 0;

    document->node_count = 0;
    bool finished = false;
    while (!finished) {
        bool opened = false;
        TRY(tape_value(&t, &opened));
        if (!opened) TRY(tape_after_value(&t, &finished));
    }
    if (t.at != t.end) return FAIL(BAD_JSON);
    document->node_count = t.node_count;
    return OK;
}

static bool tape_is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool tape_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool tape_is_hex_digit(char c)
{
    return tape_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool tape_only_blanks(const char *from, const char *end)
{
    while (from < end && tape_is_blank(*from))
        from++;
    return from == end;
}

/* The byte the next token begins with; NUL, which begins none, at the end. */
static char tape_peek(const struct tape *t)
{
    return t->at < t->end ? t->text[*t->at] : '\0';
}

static void tape_add(struct tape *t, enum json_kind kind, uint32_t len, bool escaped)
{
    struct json_node *node = &t->nodes[t->node_count++];
    node->offset = *t->at++;
    node->len = len;
    node->next = t->node_count;
    node->count = 0;
    node->kind = (uint8_t)kind;
    node->escaped = escaped;
}

static uint32_t tape_find_backslash(const struct tape *t, uint32_t from)
{
    const char *found = memchr(t->text + from, '\\', *t->end - from);
    return found == NULL ? *t->end : (uint32_t)(found - t->text);
}

/* Checks the escapes between a string's quotes. */
static bool tape_check_escapes(struct tape *t, uint32_t first, uint32_t closing_quote,
                               bool *escaped)
{
    if (t->backslash < first) t->backslash = tape_find_backslash(t, first);
    *escaped = t->backslash < closing_quote;
    while (t->backslash < closing_quote) {
        const char *at = t->text + t->backslash;
        uint32_t left = closing_quote - t->backslash;
        uint8_t kind = escape_kinds[(uint8_t)at[1]];
        if (left < 2 || kind == ESCAPE_NONE) return false;
        if (kind == ESCAPE_HEX) {
            if (left < ESCAPE_HEX_LEN) return false;
            for (int i = 2; i < ESCAPE_HEX_LEN; i++)
                if (!tape_is_hex_digit(at[i])) return false;
        }
        t->backslash = tape_find_backslash(t, t->backslash + 2);
    }
    return true;
}

/* A string that is a value or a key. The walk over the bytes has seen that it is closed. */
static status tape_string(struct tape *t)
{
    uint32_t start = t->at[0];
    uint32_t last = t->at[1] - 1;
    while (last > start && tape_is_blank(t->text[last]))
        last--;
    if (last == start || t->text[last] != '"') return FAIL(BAD_JSON);
    bool escaped = false;
    if (!tape_check_escapes(t, start + 1, last, &escaped)) return FAIL(BAD_JSON);
    tape_add(t, JSON_STRING, last + 1 - start, escaped);
    return OK;
}

/* Behind a run of digits; NULL when there is none. */
static const char *tape_skip_digits(const char *p, const char *end)
{
    const char *first = p;
    while (p < end && tape_is_digit(*p))
        p++;
    return p == first ? NULL : p;
}

/* -? (0 | [1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)? of any length: what it means is asked
 * later. */
static const char *tape_skip_number(const char *p, const char *end)
{
    if (p < end && *p == '-') p++;
    const char *first = p;
    p = tape_skip_digits(p, end);
    if (p == NULL || (*first == '0' && p - first > 1)) return NULL;
    if (p < end && *p == '.') {
        p = tape_skip_digits(p + 1, end);
        if (p == NULL) return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        p = tape_skip_digits(p, end);
    }
    return p;
}

static status tape_number(struct tape *t)
{
    const char *start = t->text + t->at[0];
    const char *next = t->text + t->at[1];
    const char *end = tape_skip_number(start, next);
    if (end == NULL || !tape_only_blanks(end, next)) return FAIL(BAD_JSON);
    tape_add(t, JSON_NUMBER, (uint32_t)(end - start), false);
    return OK;
}

static status tape_literal(struct tape *t, enum json_kind kind, slice word)
{
    const char *start = t->text + t->at[0];
    const char *next = t->text + t->at[1];
    if ((size_t)(next - start) < word.len || memcmp(start, word.data, word.len) != 0)
        return FAIL(BAD_JSON);
    if (!tape_only_blanks(start + word.len, next)) return FAIL(BAD_JSON);
    tape_add(t, kind, (uint32_t)word.len, false);
    return OK;
}

static status tape_key(struct tape *t)
{
    if (tape_peek(t) != '"') return FAIL(BAD_JSON);
    TRY(tape_string(t));
    if (tape_peek(t) != ':') return FAIL(BAD_JSON);
    t->at++;
    return OK;
}

static char tape_closing_byte(enum json_kind kind)
{
    return kind == JSON_OBJECT ? '}' : ']';
}

static void tape_close(struct tape *t)
{
    struct json_node *node = &t->nodes[t->open[--t->depth]];
    node->len = *t->at++ + 1 - node->offset;
    node->next = t->node_count;
}

/* Stands before the first value inside afterwards (*opened), or behind an empty container. */
static status tape_open(struct tape *t, enum json_kind kind, bool *opened)
{
    if (t->depth == JSON_DEPTH_MAX) return FAIL(JSON_TOO_DEEP);
    t->open[t->depth++] = t->node_count;
    tape_add(t, kind, 0, false);
    *opened = tape_peek(t) != tape_closing_byte(kind);
    if (!*opened) {
        tape_close(t);
        return OK;
    }
    return kind == JSON_OBJECT ? tape_key(t) : OK;
}

static status tape_value(struct tape *t, bool *opened)
{
    char first = tape_peek(t);
    if (first == '\0') return FAIL(BAD_JSON);
    if (t->values_left == 0) return FAIL(TOO_MANY_VALUES);
    t->values_left--;
    switch (first) {
    case '"': return tape_string(t);
    case '{': return tape_open(t, JSON_OBJECT, opened);
    case '[': return tape_open(t, JSON_ARRAY, opened);
    case 't': return tape_literal(t, JSON_TRUE, SLICE("true"));
    case 'f': return tape_literal(t, JSON_FALSE, SLICE("false"));
    case 'n': return tape_literal(t, JSON_NULL, SLICE("null"));
    default: return tape_number(t);
    }
}

/* Takes the ends of all containers this value is the last of; stands before the next value
 * afterwards, or behind the root. */
static status tape_after_value(struct tape *t, bool *finished)
{
    while (t->depth > 0) {
        struct json_node *container = &t->nodes[t->open[t->depth - 1]];
        container->count++;
        char c = tape_peek(t);
        if (c == ',') {
            t->at++;
            return container->kind == JSON_OBJECT ? tape_key(t) : OK;
        }
        if (c != tape_closing_byte(container->kind)) return FAIL(BAD_JSON);
        tape_close(t);
    }
    *finished = true;
    return OK;
}
