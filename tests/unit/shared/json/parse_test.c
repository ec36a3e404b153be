/* SPDX-License-Identifier: Apache-2.0 */
/* What json_parse() accepts and what it refuses, and the nodes it writes. A text is accepted
 * exactly when JSON.parse of a browser accepts it, apart from the limits on depth and number of
 * values. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/json/read.h"

#define VALUES_MAX 1000000

struct sample {
    const char *what;
    slice text;
};

static const struct sample accepted[] = {
    {"a literal alone", SLICE("true")},
    {"false", SLICE("false")},
    {"null", SLICE("null")},
    {"a number alone", SLICE("0")},
    {"a negative zero", SLICE("-0")},
    {"an exponent without a sign", SLICE("1e5")},
    {"an upper-case exponent with a plus", SLICE("1.5E+10")},
    {"a zero with a fraction", SLICE("0.0")},
    {"a zero with an exponent", SLICE("0e-1")},
    {"an exponent with leading zeros", SLICE("1e007")},
    {"a number no double holds", SLICE("1e400")},
    {"an integer beyond 64 bits", SLICE("123456789012345678901234567890")},
    {"a string alone", SLICE("\"a\"")},
    {"an empty string", SLICE("\"\"")},
    {"every short escape", SLICE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")},
    {"hexadecimal escapes of both cases", SLICE("\"\\u00e9\\u00E9\"")},
    {"an escaped NUL", SLICE("\"\\u0000\"")},
    {"a surrogate pair", SLICE("\"\\ud83d\\ude00\"")},
    {"a lone high surrogate", SLICE("\"\\ud800\"")},
    {"a lone low surrogate", SLICE("\"\\udc00x\"")},
    {"two backslashes before the closing quote", SLICE("\"\\\\\"")},
    {"an escaped quote before the closing quote", SLICE("\"\\\"\"")},
    {"structure inside a string", SLICE("\"{[,:]}\"")},
    {"a DEL in a string", SLICE("\"\x7F\"")},
    {"two bytes of UTF-8", SLICE("\"\xC3\xA9\"")},
    {"three bytes of UTF-8", SLICE("\"\xE2\x82\xAC\"")},
    {"four bytes of UTF-8", SLICE("\"\xF0\x9F\x98\x80\"")},
    {"a line separator in a string", SLICE("\"\xE2\x80\xA8\"")},
    {"a byte order mark in a string", SLICE("\"\xEF\xBB\xBF\"")},
    {"an empty object", SLICE("{}")},
    {"an empty array", SLICE("[]")},
    {"blanks of all four kinds around everything", SLICE(" \t\r\n{ \"a\" : [ 1 , 2 ] } \n")},
    {"an empty key", SLICE("{\"\":1}")},
    {"a key that stands twice", SLICE("{\"a\":1,\"a\":2}")},
    {"containers in containers", SLICE("[[],{},[{}],{\"a\":[]}]")},
    {"neighbours without blanks", SLICE("[true,false,null,1,\"a\"]")},
};

static const struct sample refused[] = {
    {"nothing", SLICE("")},
    {"only blanks", SLICE(" \n\t ")},
    {"a capital literal", SLICE("True")},
    {"a literal cut short", SLICE("fals")},
    {"a literal with a letter more", SLICE("nulls")},
    {"a literal with a quote behind", SLICE("null\"\"")},
    {"NaN", SLICE("NaN")},
    {"Infinity", SLICE("-Infinity")},
    {"undefined", SLICE("undefined")},
    {"a minus alone", SLICE("-")},
    {"a plus sign", SLICE("+1")},
    {"a leading zero", SLICE("01")},
    {"a leading zero behind a minus", SLICE("-01")},
    {"a fraction without a whole", SLICE(".5")},
    {"a point without a fraction", SLICE("1.")},
    {"a point before the exponent", SLICE("1.e5")},
    {"an exponent without digits", SLICE("1e")},
    {"an exponent sign without digits", SLICE("1e+")},
    {"a fractional exponent", SLICE("1e5.5")},
    {"a hexadecimal number", SLICE("0x10")},
    {"a digit separator", SLICE("1_000")},
    {"two numbers", SLICE("1 2")},
    {"a number with a string behind", SLICE("1\"a\"")},
    {"two minus signs", SLICE("--1")},
    {"an unclosed string", SLICE("\"a")},
    {"a quote alone", SLICE("\"")},
    {"a string closed by an escaped quote", SLICE("\"a\\\"")},
    {"a single-quoted string", SLICE("'a'")},
    {"two strings", SLICE("\"a\"\"b\"")},
    {"letters behind a string", SLICE("\"a\"b")},
    {"an unknown escape", SLICE("\"\\x41\"")},
    {"an escaped single quote", SLICE("\"\\'\"")},
    {"an escape of a high byte", SLICE("\"\\\xC3\xA9\"")},
    {"an escape with three digits", SLICE("\"\\u00e\"")},
    {"an escape with a letter past f", SLICE("\"\\u00eg\"")},
    {"an escape with a letter past F", SLICE("\"\\u00eG\"")},
    {"an escape with the byte before A", SLICE("\"\\u00e@\"")},
    {"an escape with the byte before a", SLICE("\"\\u00e`\"")},
    {"an escape with the byte before 0", SLICE("\"\\u/000\"")},
    {"an escape with the byte past 9", SLICE("\"\\u0:00\"")},
    {"an escape with a sign", SLICE("\"\\u+0e9\"")},
    {"a capital escape letter", SLICE("\"\\U00e9\"")},
    {"an escape without digits at the end", SLICE("\"\\u\"")},
    {"a raw newline in a string", SLICE("\"a\nb\"")},
    {"a raw tab in a string", SLICE("\"a\tb\"")},
    {"a raw NUL in a string", SLICE("\"a\0b\"")},
    {"a raw 0x1F in a string", SLICE("\"\x1F\"")},
    {"a raw newline in a key", SLICE("{\"a\n\":1}")},
    {"a NUL behind the value", SLICE("1\0")},
    {"a form feed as a blank", SLICE("[1,\f2]")},
    {"a vertical tab as a blank", SLICE("\v1")},
    {"a no-break space as a blank", SLICE("\xC2\xA0"
                                          "1")},
    {"the byte 0x1A for a colon", SLICE("{\"a\"\x1A"
                                        "1}")},
    {"the byte 0x0C for a comma", SLICE("[1\x0C"
                                        "2]")},
    {"a byte order mark in front", SLICE("\xEF\xBB\xBF{}")},
    {"a continuation byte alone", SLICE("\"\x80\"")},
    {"two bytes of UTF-8 cut short", SLICE("\"\xC3\"")},
    {"four bytes of UTF-8 cut short", SLICE("\"\xF0\x9F\x98\"")},
    {"an overlong slash", SLICE("\"\xC0\xAF\"")},
    {"an overlong three bytes", SLICE("\"\xE0\x80\xAF\"")},
    {"a surrogate in UTF-8", SLICE("\"\xED\xA0\x80\"")},
    {"a code point past U+10FFFF", SLICE("\"\xF4\x90\x80\x80\"")},
    {"the byte 0xFF", SLICE("\"\xFF\"")},
    {"bad UTF-8 outside of strings", SLICE("[\xFF]")},
    {"trailing garbage", SLICE("{} x")},
    {"a second document", SLICE("{}{}")},
    {"a second document on a line of its own", SLICE("{}\n[]")},
    {"a closing bracket too many", SLICE("[]]")},
    {"an unclosed object", SLICE("{\"a\":1")},
    {"an unclosed array", SLICE("[1,2")},
    {"an opening bracket alone", SLICE("[")},
    {"an array closed as an object", SLICE("[1}")},
    {"an object closed as an array", SLICE("{\"a\":1]")},
    {"a closing bracket alone", SLICE("]")},
    {"a trailing comma in an array", SLICE("[1,]")},
    {"a trailing comma in an object", SLICE("{\"a\":1,}")},
    {"a leading comma", SLICE("[,1]")},
    {"two commas", SLICE("[1,,2]")},
    {"a comma alone", SLICE(",")},
    {"a missing comma", SLICE("[1 2]")},
    {"a missing comma before a bracket", SLICE("[1[2]]")},
    {"a missing comma between members", SLICE("{\"a\":1\"b\":2}")},
    {"a missing colon", SLICE("{\"a\" 1}")},
    {"two colons", SLICE("{\"a\"::1}")},
    {"a colon in an array", SLICE("[1:2]")},
    {"a key without a value", SLICE("{\"a\":}")},
    {"a key alone", SLICE("{\"a\"}")},
    {"a key that is a number", SLICE("{1:2}")},
    {"a key without quotes", SLICE("{a:1}")},
    {"a line comment", SLICE("[1] // one")},
    {"a block comment", SLICE("[1/* one */]")},
    {"a backslash outside of strings", SLICE("[\\n]")},
};

static uint16_t parse_code(slice text)
{
    SCOPED(json_document_free) struct json_document document;
    json_document_init(&document, VALUES_MAX);
    return json_parse(&document, text).code;
}

/* A copy of exactly its size on the heap, so that the sanitizer sees a read past its end. */
static uint16_t parse_exact_code(slice text)
{
    char *copy = malloc(text.len + 1);
    assert_non_null(copy);
    char *exact = realloc(copy, text.len == 0 ? 1 : text.len);
    assert_non_null(exact);
    memcpy(exact, text.data, text.len);
    uint16_t code = parse_code((slice){exact, text.len});
    free(exact);
    return code;
}

static void every_text_json_parse_accepts_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++)
        if (parse_exact_code(accepted[i].text) != ERROR_NONE)
            fail_msg("refused: %s", accepted[i].what);
}

static void every_text_json_parse_refuses_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (parse_exact_code(refused[i].text) != ERROR_BAD_JSON)
            fail_msg("not refused as BAD_JSON: %s", refused[i].what);
}

/* Blocks of 64 bytes are looked at at a time: a fault must be seen wherever it falls in one. */
static void a_fault_is_seen_at_every_place_of_a_block(void **state)
{
    (void)state;
    for (size_t at = 0; at < 150; at++) {
        char text[160];
        memset(text, 'x', sizeof(text));
        text[0] = '"';
        text[at + 4] = '"';
        slice whole = {text, at + 5};
        assert_int_equal(parse_exact_code(whole), ERROR_NONE);
        text[at + 1] = '\x01';
        assert_int_equal(parse_exact_code(whole), ERROR_BAD_JSON);
        text[at + 1] = '\xC3';
        assert_int_equal(parse_exact_code(whole), ERROR_BAD_JSON);
        memcpy(text + at + 1, "\\\"x", 3);
        assert_int_equal(parse_exact_code(whole), ERROR_NONE);
        memcpy(text + at + 1, "\\\\\"", 3);
        assert_int_equal(parse_exact_code(whole), ERROR_BAD_JSON);
        memcpy(text + at + 1, "\\qx", 3);
        assert_int_equal(parse_exact_code(whole), ERROR_BAD_JSON);
    }
}

static void no_byte_behind_the_text_is_read(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + page, page, PROT_NONE), 0);

    for (size_t len = 2; len < 400; len++) {
        char *text = memory + page - len;
        memset(text, '1', len);
        assert_int_equal(parse_code((slice){text, len}), ERROR_NONE);
        text[0] = '"';
        assert_int_equal(parse_code((slice){text, len}), ERROR_BAD_JSON);
        text[len - 1] = '\\';
        assert_int_equal(parse_code((slice){text, len}), ERROR_BAD_JSON);
        text[len - 1] = '\xF0';
        assert_int_equal(parse_code((slice){text, len}), ERROR_BAD_JSON);
        text[len - 1] = '"';
        assert_int_equal(parse_code((slice){text, len}), ERROR_NONE);
    }
    munmap(memory, 2 * page);
}

/* `depth` opening brackets and as many closing ones. */
static uint16_t parse_nested_code(size_t depth)
{
    char *text = malloc(2 * depth);
    assert_non_null(text);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    uint16_t code = parse_code((slice){text, 2 * depth});
    free(text);
    return code;
}

static void nesting_of_64_is_accepted_and_65_is_too_deep(void **state)
{
    (void)state;
    assert_int_equal(parse_nested_code(64), ERROR_NONE);
    assert_int_equal(parse_nested_code(65), ERROR_JSON_TOO_DEEP);
}

static void depth_counts_what_is_open_and_not_what_was(void **state)
{
    (void)state;
    char text[3 * 200 + 2];
    size_t len = 0;
    text[len++] = '[';
    for (int i = 0; i < 200; i++) {
        memcpy(text + len, "{},", 3);
        len += 3;
    }
    text[len - 1] = ']';
    assert_int_equal(parse_code((slice){text, len}), ERROR_NONE);
}

static void a_depth_of_100000_is_refused_at_once(void **state)
{
    (void)state;
    clock_t before = clock();
    assert_int_equal(parse_nested_code(100000), ERROR_JSON_TOO_DEEP);
    assert_true(clock() - before < CLOCKS_PER_SEC / 4);
}

static uint16_t parse_limited_code(slice text, uint32_t values_max)
{
    SCOPED(json_document_free) struct json_document document;
    json_document_init(&document, values_max);
    return json_parse(&document, text).code;
}

static void values_are_counted_at_every_level_and_keys_are_not(void **state)
{
    (void)state;
    /* The root, its array, three items. */
    slice text = SLICE("{\"a\":[1,\"b\",null]}");
    assert_int_equal(parse_limited_code(text, 5), ERROR_NONE);
    assert_int_equal(parse_limited_code(text, 4), ERROR_TOO_MANY_VALUES);
    assert_int_equal(parse_limited_code(SLICE("1"), 0), ERROR_TOO_MANY_VALUES);
    assert_int_equal(parse_limited_code(SLICE("1"), 1), ERROR_NONE);
}

static void a_text_of_four_gibibytes_has_too_many_values(void **state)
{
    (void)state;
    /* The length alone decides: nothing is read. */
    assert_int_equal(parse_code((slice){"1", (size_t)1 << 32}), ERROR_TOO_MANY_VALUES);
}

static void assert_node(const struct json_document *document, uint32_t index,
                        struct json_node expected)
{
    const struct json_node *node = &document->nodes[index];
    assert_int_equal(node->kind, expected.kind);
    assert_int_equal(node->offset, expected.offset);
    assert_int_equal(node->len, expected.len);
    assert_int_equal(node->next, expected.next);
    assert_int_equal(node->count, expected.count);
    assert_int_equal(node->escaped, expected.escaped);
}

static void nodes_are_byte_ranges_in_the_order_of_the_text(void **state)
{
    (void)state;
    SCOPED(json_document_free) struct json_document document;
    json_document_init(&document, VALUES_MAX);
    /* Without the backslashes of C: a blank, {"a" : [-1.5 ,"\n" ],"b":{} } */
    slice text = SLICE(" {\"a\" : [-1.5 ,\"\\n\" ],\"b\":{} }");
    assert_int_equal(json_parse(&document, text).code, ERROR_NONE);

    assert_int_equal(document.node_count, 7);
    assert_node(&document, 0, (struct json_node){1, 29, 7, 2, JSON_OBJECT, false});
    assert_node(&document, 1, (struct json_node){2, 3, 2, 0, JSON_STRING, false});
    assert_node(&document, 2, (struct json_node){8, 13, 5, 2, JSON_ARRAY, false});
    assert_node(&document, 3, (struct json_node){9, 4, 4, 0, JSON_NUMBER, false});
    assert_node(&document, 4, (struct json_node){15, 4, 5, 0, JSON_STRING, true});
    assert_node(&document, 5, (struct json_node){22, 3, 6, 0, JSON_STRING, false});
    assert_node(&document, 6, (struct json_node){26, 2, 7, 0, JSON_OBJECT, false});
}

static void a_document_is_used_again_after_success_failure_and_free(void **state)
{
    (void)state;
    SCOPED(json_document_free) struct json_document document;
    json_document_init(&document, VALUES_MAX);
    assert_int_equal(json_parse(&document, SLICE("[1,2,3]")).code, ERROR_NONE);
    assert_int_equal(json_count(json_root(&document)), 3);

    assert_int_equal(json_parse(&document, SLICE("[1,2,3")).code, ERROR_BAD_JSON);
    assert_false(json_exists(json_root(&document)));

    assert_int_equal(json_parse(&document, SLICE("[7]")).code, ERROR_NONE);
    assert_int_equal(json_count(json_root(&document)), 1);

    json_document_free(&document);
    assert_false(json_exists(json_root(&document)));
    assert_int_equal(json_parse(&document, SLICE("[8,9]")).code, ERROR_NONE);
    assert_int_equal(json_count(json_root(&document)), 2);
}

static void a_huge_text_does_not_keep_its_memory(void **state)
{
    (void)state;
    SCOPED(json_document_free) struct json_document document;
    json_document_init(&document, VALUES_MAX);
    size_t len = 1000001;
    char *text = malloc(len);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = i % 2 == 0 ? ',' : '1';
    text[0] = '[';
    text[len - 1] = ']';
    assert_int_equal(json_parse(&document, (slice){text, len}).code, ERROR_NONE);
    assert_int_equal(json_count(json_root(&document)), 500000);
    assert_true(document.nodes_size >= 500001);

    assert_int_equal(json_parse(&document, SLICE("[1]")).code, ERROR_NONE);
    assert_true(document.nodes_size * sizeof(struct json_node) <= 1024 * 1024);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_json_parse_accepts_is_accepted),
        cmocka_unit_test(every_text_json_parse_refuses_is_refused),
        cmocka_unit_test(a_fault_is_seen_at_every_place_of_a_block),
        cmocka_unit_test(no_byte_behind_the_text_is_read),
        cmocka_unit_test(nesting_of_64_is_accepted_and_65_is_too_deep),
        cmocka_unit_test(depth_counts_what_is_open_and_not_what_was),
        cmocka_unit_test(a_depth_of_100000_is_refused_at_once),
        cmocka_unit_test(values_are_counted_at_every_level_and_keys_are_not),
        cmocka_unit_test(a_text_of_four_gibibytes_has_too_many_values),
        cmocka_unit_test(nodes_are_byte_ranges_in_the_order_of_the_text),
        cmocka_unit_test(a_document_is_used_again_after_success_failure_and_free),
        cmocka_unit_test(a_huge_text_does_not_keep_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
