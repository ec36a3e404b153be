/* SPDX-License-Identifier: Apache-2.0 */
/* What the writer puts into its buffer, byte for byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared/json/read.h"
#include "shared/json/write.h"

static struct buffer out;
static struct json_writer w;

static int set_up(void **state)
{
    (void)state;
    buffer_init(&out, 1024 * 1024);
    json_write_init(&w, &out);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_free(&out);
    return 0;
}

/* Each test writes one value after another and looks at each. */
static void assert_written(slice expected)
{
    assert_int_equal(buffer_finish(&out).code, ERROR_NONE);
    assert_int_equal(out.len, expected.len);
    assert_memory_equal(out.data, expected.data, expected.len);
    buffer_clear(&out);
    json_write_init(&w, &out);
}

static void commas_stand_between_members_and_items_only(void **state)
{
    (void)state;
    json_object_begin(&w);
    json_key(&w, SLICE("a"));
    json_array_begin(&w);
    json_i64(&w, 1);
    json_array_begin(&w);
    json_array_end(&w);
    json_object_begin(&w);
    json_object_end(&w);
    json_string(&w, SLICE("x"));
    json_array_end(&w);
    json_key(&w, SLICE("b"));
    json_object_begin(&w);
    json_key(&w, SLICE("c"));
    json_null(&w);
    json_object_end(&w);
    json_key(&w, SLICE("d"));
    json_bool(&w, true);
    json_object_end(&w);
    assert_written(SLICE("{\"a\":[1,[],{},\"x\"],\"b\":{\"c\":null},\"d\":true}"));
}

static void a_value_may_stand_alone(void **state)
{
    (void)state;
    json_bool(&w, false);
    assert_written(SLICE("false"));
    json_string(&w, SLICE(""));
    assert_written(SLICE("\"\""));
    json_array_begin(&w);
    json_array_end(&w);
    assert_written(SLICE("[]"));
}

static void integers_are_written_to_their_ends(void **state)
{
    (void)state;
    json_array_begin(&w);
    json_i64(&w, INT64_MIN);
    json_i64(&w, -1);
    json_i64(&w, INT64_MAX);
    json_u64(&w, 0);
    json_u64(&w, UINT64_MAX);
    json_array_end(&w);
    assert_written(SLICE("[-9223372036854775808,-1,9223372036854775807,0,18446744073709551615]"));
}

static void money_is_an_exact_number_and_a_price_a_string(void **state)
{
    (void)state;
    json_array_begin(&w);
    json_money(&w, (money){262650});
    json_money(&w, (money){5000000000});
    json_money(&w, (money){-1});
    json_price_string(&w, (price){37500000});
    json_array_end(&w);
    assert_written(SLICE("[0.00026265,5,-0.000000001,\"0.0000000375\"]"));
}

static void a_time_is_an_iso_string(void **state)
{
    (void)state;
    json_time(&w, (wall_time){0});
    assert_written(SLICE("\"1970-01-01T00:00:00.000Z\""));
}

static void each_key_call_writes_key_and_value(void **state)
{
    (void)state;
    json_object_begin(&w);
    json_key_string(&w, SLICE("a"), SLICE(""));
    json_key_string_or_null(&w, SLICE("b"), SLICE(""));
    json_key_string_or_null(&w, SLICE("c"), SLICE("x"));
    json_key_i64(&w, SLICE("d"), -2);
    json_key_u64(&w, SLICE("e"), 3);
    json_key_bool(&w, SLICE("f"), true);
    json_key_null(&w, SLICE("g"));
    json_key_money(&w, SLICE("h"), (money){1});
    json_key_raw(&w, SLICE("i"), SLICE("[1, 2]"));
    json_object_end(&w);
    assert_written(
        SLICE("{\"a\":\"\",\"b\":null,\"c\":\"x\",\"d\":-2,\"e\":3,\"f\":true,\"g\":null,"
              "\"h\":0.000000001,\"i\":[1, 2]}"));
}

static void what_must_be_escaped_is_and_nothing_else(void **state)
{
    (void)state;
    json_string(&w, SLICE("\"\\/\b\f\n\r\t\x1F\x7F"));
    assert_written(SLICE("\"\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\x7F\""));
    json_string(&w, SLICE("\0\x01\v"));
    assert_written(SLICE("\"\\u0000\\u0001\\u000b\""));
    json_string(&w, SLICE("\xC3\xA9\xE2\x80\xA8\xF0\x9F\x98\x80"));
    assert_written(SLICE("\"\xC3\xA9\xE2\x80\xA8\xF0\x9F\x98\x80\""));
}

#define TEXT_LEN_MAX 80

/* A string of `len` bytes that begins with `first`. */
static void check_escape_at(slice first, size_t len, size_t at, char special, slice escape)
{
    char text[TEXT_LEN_MAX];
    char expected[TEXT_LEN_MAX + 20];
    memset(text, 'x', sizeof(text));
    memcpy(text, first.data, first.len);
    text[at] = special;

    memset(expected, 'x', sizeof(expected));
    memcpy(expected + 1, first.data, first.len);
    memcpy(expected + 1 + at, escape.data, escape.len);
    size_t expected_len = len - 1 + escape.len + 2;
    expected[0] = expected[expected_len - 1] = '"';
    json_string(&w, (slice){text, len});
    assert_written((slice){expected, expected_len});
}

/* Eight or sixteen bytes are looked at at a time, and four of a very short string. */
static void check_escape_at_every_place(slice first, char special, slice escape)
{
    for (size_t len = first.len + 1; len <= TEXT_LEN_MAX; len++)
        for (size_t at = first.len; at < len; at++)
            check_escape_at(first, len, at, special, escape);
}

static void an_escape_is_found_at_every_place_of_a_string_of_any_length(void **state)
{
    (void)state;
    /* ASCII, and not ASCII but valid. */
    static const slice firsts[] = {SLICE(""), SLICE("\xC3\xA9")};
    for (int i = 0; i < 2; i++) {
        check_escape_at_every_place(firsts[i], '\n', SLICE("\\n"));
        check_escape_at_every_place(firsts[i], '"', SLICE("\\\""));
        check_escape_at_every_place(firsts[i], '\\', SLICE("\\\\"));
        check_escape_at_every_place(firsts[i], '\x1F', SLICE("\\u001f"));
        check_escape_at_every_place(firsts[i], '\0', SLICE("\\u0000"));
        check_escape_at_every_place(firsts[i], ' ', SLICE(" "));
        check_escape_at_every_place(firsts[i], '!', SLICE("!"));
        check_escape_at_every_place(firsts[i], '#', SLICE("#"));
        check_escape_at_every_place(firsts[i], '\x7F', SLICE("\x7F"));
        check_escape_at_every_place(firsts[i], '\xFF', SLICE("\xEF\xBF\xBD"));
    }
}

#define REPLACEMENT "\xEF\xBF\xBD"
/* The first and last characters of every range of the standard's table of well-formed UTF-8. */
#define EDGES_TO_3  "\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80"
#define EDGES_OF_4  "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"

static const struct {
    slice text;
    slice expected;
} invalid[] = {
    {SLICE("\xFF"), SLICE("\"" REPLACEMENT "\"")},
    {SLICE("a\x80z"), SLICE("\"a" REPLACEMENT "z\"")},
    {SLICE("\xC3"), SLICE("\"" REPLACEMENT "\"")},
    {SLICE("\xC3\xA9\xC3"), SLICE("\"\xC3\xA9" REPLACEMENT "\"")},
    {SLICE("\xC3\n\xC3\xA9"), SLICE("\"" REPLACEMENT "\\n\xC3\xA9\"")},
    {SLICE("\xC0\xAF"), SLICE("\"" REPLACEMENT REPLACEMENT "\"")},
    {SLICE("\xE2\x82"), SLICE("\"" REPLACEMENT REPLACEMENT "\"")},
    {SLICE("\xE0\x9F\xBF"), SLICE("\"" REPLACEMENT REPLACEMENT REPLACEMENT "\"")},
    {SLICE("\xED\xA0\x80"), SLICE("\"" REPLACEMENT REPLACEMENT REPLACEMENT "\"")},
    {SLICE("\xF0\x8F\xBF\xBF"), SLICE("\"" REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT "\"")},
    {SLICE("\xF4\x90\x80\x80"), SLICE("\"" REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT "\"")},
    {SLICE("\xF5"), SLICE("\"" REPLACEMENT "\"")},
    {SLICE("\xF5\x80\x80\x80"), SLICE("\"" REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT "\"")},
    /* The end of the slice counts, not the byte that happens to follow it in memory. */
    {{"\xE2\x82\xAC", 2}, SLICE("\"" REPLACEMENT REPLACEMENT "\"")},
    /* The good characters of a bad string stay. */
    {SLICE("\xFF" EDGES_TO_3 EDGES_OF_4), SLICE("\"" REPLACEMENT EDGES_TO_3 EDGES_OF_4 "\"")},
};

static void invalid_utf8_becomes_the_replacement_character(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        json_string(&w, invalid[i].text);
        assert_written(invalid[i].expected);
    }
}

static void sixty_four_levels_can_be_written_and_read(void **state)
{
    (void)state;
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        json_array_begin(&w);
        json_i64(&w, i);
    }
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        json_i64(&w, i);
        json_array_end(&w);
    }
    SCOPED(json_document_free) struct json_document document;
    json_document_init(&document, 1000);
    assert_int_equal(json_parse(&document, buffer_slice(&out)).code, ERROR_NONE);
    /* Each level but the innermost holds a number, an array and a number. */
    assert_int_equal(document.node_count, 64 + 128);
    assert_int_equal(json_count(json_root(&document)), 3);
}

static void what_passes_the_cap_is_reported_by_the_buffer(void **state)
{
    (void)state;
    char memory[8];
    struct buffer small;
    buffer_init_fixed(&small, memory, sizeof(memory));
    struct json_writer writer;
    json_write_init(&writer, &small);
    json_string(&writer, SLICE("123456"));
    assert_int_equal(buffer_finish(&small).code, ERROR_NONE);
    buffer_clear(&small);
    json_write_init(&writer, &small);
    json_string(&writer, SLICE("1234567"));
    assert_int_equal(buffer_finish(&small).code, ERROR_OVERFLOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_stand_between_members_and_items_only),
        cmocka_unit_test(a_value_may_stand_alone),
        cmocka_unit_test(integers_are_written_to_their_ends),
        cmocka_unit_test(money_is_an_exact_number_and_a_price_a_string),
        cmocka_unit_test(a_time_is_an_iso_string),
        cmocka_unit_test(each_key_call_writes_key_and_value),
        cmocka_unit_test(what_must_be_escaped_is_and_nothing_else),
        cmocka_unit_test(an_escape_is_found_at_every_place_of_a_string_of_any_length),
        cmocka_unit_test(invalid_utf8_becomes_the_replacement_character),
        cmocka_unit_test(sixty_four_levels_can_be_written_and_read),
        cmocka_unit_test(what_passes_the_cap_is_reported_by_the_buffer),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
