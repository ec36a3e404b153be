/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes into the reader. Whether they are JSON is judged a second time by a recursive
 * validator that shares nothing with the reader, byte by byte; then every node of an accepted
 * text is walked and every read is held against a plainer way to the same answer. */

#include <stdio.h>
#include <stdlib.h>

#include "shared/json/read.h"

#define VALUES_MAX 2000

static void require(bool held, const char *what)
{
    if (held) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* ---- the second opinion ---------------------------------------------------------------------- */

struct judge {
    const uint8_t *at;
    const uint8_t *end;
    uint32_t values;
    bool too_deep;
};

static bool judge_value(struct judge *j, int depth);

static bool judge_byte(struct judge *j, uint8_t wanted)
{
    if (j->at == j->end || *j->at != wanted) return false;
    j->at++;
    return true;
}

static bool judge_range(struct judge *j, uint8_t low, uint8_t high)
{
    if (j->at == j->end || *j->at < low || *j->at > high) return false;
    j->at++;
    return true;
}

static void judge_blanks(struct judge *j)
{
    while (judge_byte(j, ' ') || judge_byte(j, '\t') || judge_byte(j, '\n') || judge_byte(j, '\r'))
        continue;
}

static bool judge_word(struct judge *j, const char *word)
{
    for (; *word != '\0'; word++)
        if (!judge_byte(j, (uint8_t)*word)) return false;
    return true;
}

static bool judge_tail(struct judge *j, int count)
{
    for (int i = 0; i < count; i++)
        if (!judge_range(j, 0x80, 0xBF)) return false;
    return true;
}

/* One character outside of ASCII: the rows of the Unicode standard's table of well-formed UTF-8. */
static bool judge_character(struct judge *j)
{
    if (judge_range(j, 0xC2, 0xDF)) return judge_tail(j, 1);
    if (judge_byte(j, 0xE0)) return judge_range(j, 0xA0, 0xBF) && judge_tail(j, 1);
    if (judge_byte(j, 0xED)) return judge_range(j, 0x80, 0x9F) && judge_tail(j, 1);
    if (judge_range(j, 0xE1, 0xEF)) return judge_tail(j, 2);
    if (judge_byte(j, 0xF0)) return judge_range(j, 0x90, 0xBF) && judge_tail(j, 2);
    if (judge_byte(j, 0xF4)) return judge_range(j, 0x80, 0x8F) && judge_tail(j, 2);
    return judge_range(j, 0xF1, 0xF3) && judge_tail(j, 3);
}

static bool judge_escape(struct judge *j)
{
    if (!judge_byte(j, 'u')) {
        if (j->at == j->end || *j->at == '\0' || strchr("\"\\/bfnrt", *j->at) == NULL) return false;
        j->at++;
        return true;
    }
    for (int i = 0; i < 4; i++)
        if (!judge_range(j, '0', '9') && !judge_range(j, 'a', 'f') && !judge_range(j, 'A', 'F'))
            return false;
    return true;
}

static bool judge_string(struct judge *j)
{
    if (!judge_byte(j, '"')) return false;
    while (!judge_byte(j, '"')) {
        bool good = judge_byte(j, '\\') ? judge_escape(j)
                    : j->at == j->end   ? false
                    : *j->at >= 0x80    ? judge_character(j)
                                        : judge_range(j, 0x20, 0x7F);
        if (!good) return false;
    }
    return true;
}

static bool judge_digits(struct judge *j)
{
    if (!judge_range(j, '0', '9')) return false;
    while (judge_range(j, '0', '9'))
        continue;
    return true;
}

static bool judge_number(struct judge *j)
{
    judge_byte(j, '-');
    if (!judge_byte(j, '0') && !judge_digits(j)) return false;
    if (judge_byte(j, '.') && !judge_digits(j)) return false;
    if (!judge_byte(j, 'e') && !judge_byte(j, 'E')) return true;
    if (!judge_byte(j, '+')) judge_byte(j, '-');
    return judge_digits(j);
}

static bool judge_member(struct judge *j, int depth)
{
    judge_blanks(j);
    if (!judge_string(j)) return false;
    judge_blanks(j);
    return judge_byte(j, ':') && judge_value(j, depth);
}

static bool judge_container(struct judge *j, int depth, uint8_t closing)
{
    if (depth > JSON_DEPTH_MAX) {
        j->too_deep = true;
        return false;
    }
    judge_blanks(j);
    if (judge_byte(j, closing)) return true;
    do {
        bool good = closing == '}' ? judge_member(j, depth) : judge_value(j, depth);
        if (!good) return false;
    } while (judge_byte(j, ','));
    return judge_byte(j, closing);
}

static bool judge_bare_value(struct judge *j, int depth)
{
    if (judge_byte(j, '{')) return judge_container(j, depth + 1, '}');
    if (judge_byte(j, '[')) return judge_container(j, depth + 1, ']');
    if (j->at == j->end) return false;
    switch (*j->at) {
    case '"': return judge_string(j);
    case 't': return judge_word(j, "true");
    case 'f': return judge_word(j, "false");
    case 'n': return judge_word(j, "null");
    default: return judge_number(j);
    }
}

static bool judge_value(struct judge *j, int depth)
{
    judge_blanks(j);
    j->values++;
    bool good = judge_bare_value(j, depth);
    judge_blanks(j);
    return good;
}

/* Is the whole of the text one value? */
static bool judge_text(slice text, struct judge *j)
{
    const uint8_t *bytes = (const uint8_t *)text.data;
    *j = (struct judge){.at = bytes, .end = bytes + text.len};
    return judge_value(j, 0) && j->at == j->end;
}

static bool judge_utf8(slice text)
{
    const uint8_t *bytes = (const uint8_t *)text.data;
    struct judge j = {.at = bytes, .end = bytes + text.len};
    while (j.at < j.end)
        if (*j.at < 0x80)
            j.at++;
        else if (!judge_character(&j))
            return false;
    return true;
}

/* ---- what an accepted document answers ------------------------------------------------------- */

static struct arena arena;

static slice read_string(struct json_value v)
{
    slice text = SLICE_NONE;
    require(status_ok(json_read_string(v, &arena, &text)), "a string is read");
    return text;
}

static void check_string(struct json_value v)
{
    slice raw = json_raw(v);
    slice text = read_string(v);
    const struct json_node *node = &v.document->nodes[v.node];
    require(raw.len >= 2 && raw.data[0] == '"' && raw.data[raw.len - 1] == '"', "quotes");
    require(node->escaped == (memchr(raw.data, '\\', raw.len) != NULL), "escaped");
    require(text.len <= raw.len - 2, "no text is longer than its raw form");
    require(node->escaped || text.len == raw.len - 2, "a text without escapes is its raw form");
    require(json_string_len(v) == text.len, "string length");
    require(json_string_equal(v, text), "a string equals itself");
    require(judge_utf8(text), "strings are UTF-8");
    require(!json_string_equal(v, slice_first(raw, text.len + 1)), "a string equals only itself");
}

/* Doubles are exact up to 2^53, and only a judge here. */
static void check_number(struct json_value v)
{
    slice digits = SLICE_NONE;
    require(status_ok(json_read_number_text(v, &digits)), "a number is read");
    char text[400];
    if (!status_ok(slice_to_c_string(digits, text, sizeof(text)))) return;
    double expected = strtod(text, NULL);
    int64_t value = 0;
    bool is_integer = status_ok(json_read_i64(v, &value));
    if (is_integer && value > -(1LL << 53) && value < 1LL << 53)
        require((double)value == expected, "the integer is the number");
    bool has_fraction =
        expected != (double)(int64_t)(expected > -1e15 && expected < 1e15 ? expected : 0);
    if (has_fraction && expected > -1e15 && expected < 1e15)
        require(!is_integer, "what has a fraction is no integer");
    if (expected > 1e19 || expected < -1e19) require(!is_integer, "what is too large is refused");
}

static void check_node(struct json_value v)
{
    const struct json_document *document = v.document;
    const struct json_node *node = &document->nodes[v.node];
    require(node->next > v.node && node->next <= document->node_count, "next is ahead");
    require(node->len > 0, "no value is empty");
    struct judge j;
    require(judge_text(json_raw(v), &j), "each raw value is JSON by itself");
    require(json_raw(v).data[0] > ' ', "a value begins with no blank");
    require(json_raw(v).data[json_raw(v).len - 1] > ' ', "a value ends with no blank");
    static const char *const firsts[] = {"n", "f", "t", "-0123456789", "\"", "[", "{"};
    require(strchr(firsts[node->kind], json_raw(v).data[0]) != NULL, "kind");
    if (node->kind == JSON_STRING) check_string(v);
    if (node->kind == JSON_NUMBER) check_number(v);
    if (node->kind < JSON_ARRAY) require(node->count == 0 && node->next == v.node + 1, "a leaf");
}

static void check_container(struct json_value v)
{
    const struct json_node *nodes = v.document->nodes;
    const struct json_node *node = &nodes[v.node];
    uint32_t end = node->offset + 1;
    uint32_t count = 0;
    struct json_iterator i = json_iterate(v);
    for (; json_next(&i); count++) {
        uint32_t first = json_exists(i.key) ? i.key.node : i.value.node;
        require(json_exists(i.key) == (node->kind == JSON_OBJECT), "members have keys");
        require(nodes[first].offset >= end, "values do not overlap");
        end = nodes[i.value.node].offset + nodes[i.value.node].len;
        if (!json_exists(i.key) || count > 50) continue;
        struct json_value found = json_get(v, read_string(i.key));
        require(json_exists(found) && found.node <= i.value.node, "each key is found");
    }
    require(count == node->count && count == json_count(v), "count");
    require(i.node == node->next, "the last value ends the container");
    require(end < node->offset + node->len, "values lie inside their container");
}

static uint16_t top_level_code_expected(const struct json_document *document)
{
    struct json_value root = json_root(document);
    if (json_kind_of(root) != JSON_OBJECT) return ERROR_WRONG_TYPE;
    bool duplicate = false;
    for (struct json_iterator i = json_iterate(root); json_next(&i);) {
        if (memchr(json_raw(i.key).data, '\\', json_raw(i.key).len) != NULL)
            return ERROR_ESCAPED_KEY;
        struct json_iterator other = json_iterate(root);
        while (json_next(&other) && other.key.node < i.key.node)
            duplicate = duplicate || slice_equal(json_raw(other.key), json_raw(i.key));
    }
    return duplicate ? ERROR_DUPLICATE_KEY : ERROR_NONE;
}

static void check_document(const struct json_document *document)
{
    for (uint32_t node = 0; node < document->node_count; node++) {
        struct json_value v = {document, node};
        check_node(v);
        if (json_kind_of(v) == JSON_ARRAY || json_kind_of(v) == JSON_OBJECT) check_container(v);
    }
    require(document->nodes[0].next == document->node_count, "the root holds everything");
    require(json_check_top_level(document).code == top_level_code_expected(document), "top level");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Kept from one input to the next, as a connection keeps it. */
    static struct json_document document;
    if (document.values_max == 0) {
        json_document_init(&document, VALUES_MAX);
        arena_init(&arena, 64 * 1024 * 1024);
    }
    slice text = {(const char *)data, size};
    struct judge j;
    bool good = judge_text(text, &j);
    uint16_t code = json_parse(&document, text).code;
    require(good || code != ERROR_NONE, "what is no JSON is refused");
    if (good && j.values > VALUES_MAX)
        require(code == ERROR_TOO_MANY_VALUES, "too many values are refused");
    else if (good)
        require(code == ERROR_NONE, "JSON is accepted");
    if (code == ERROR_JSON_TOO_DEEP) require(j.too_deep || !good, "deep enough is not too deep");
    if (code == ERROR_NONE)
        check_document(&document);
    else
        require(!json_exists(json_root(&document)), "what is refused leaves no root");
    arena_reset(&arena);
    return 0;
}
