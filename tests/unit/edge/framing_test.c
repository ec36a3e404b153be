/* SPDX-License-Identifier: Apache-2.0 */
/* Heads that two servers could read differently are refused, ordinary ones are not. */
#include "services/edge/framing.h"

#include <stdlib.h>

#include "tests/unit/test.h"

#define REQUEST "POST /api/v1/chat/completions HTTP/1.1\r\n"

TEST(an_ordinary_head_passes)
{
    assert_ok(framing_check(SLICE(REQUEST "Host: a\r\nContent-Length: 2\r\n\r\n{}"), true));
    assert_ok(framing_check(SLICE(REQUEST "host: a\r\ntransfer-encoding: chunked\r\n\r\n"), true));
    assert_ok(framing_check(SLICE("GET / HTTP/1.1\nHost: a\n\n"), true));
}

TEST(what_stands_in_the_body_is_no_header)
{
    assert_ok(framing_check(
        SLICE(REQUEST "Host: a\r\nContent-Length: 20\r\n\r\nHost: b\r\nHost: c\r\n\r\n"), true));
}

TEST(an_empty_line_before_the_request_line_is_skipped)
{
    assert_fails(framing_check(SLICE("\r\nGET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), true),
                 BAD_FRAMING);
    assert_ok(framing_check(SLICE("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), true));
}

TEST(a_length_and_an_encoding_together_are_refused)
{
    assert_fails(framing_check(SLICE(REQUEST "Host: a\r\nContent-Length: 5\r\n"
                                             "Transfer-Encoding: chunked\r\n\r\n"),
                               true),
                 BAD_FRAMING);
}

TEST(a_repeated_length_is_refused_even_when_both_say_the_same)
{
    assert_fails(
        framing_check(SLICE(REQUEST "Host: a\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\n"),
                      true),
        BAD_FRAMING);
    assert_fails(framing_check(SLICE(REQUEST "Host: a\r\nTransfer-Encoding: chunked\r\n"
                                             "TRANSFER-ENCODING: chunked\r\n\r\n"),
                               true),
                 BAD_FRAMING);
}

TEST(two_hosts_are_refused_and_none_only_where_one_is_needed)
{
    assert_fails(framing_check(SLICE(REQUEST "Host: a\r\nHost: a\r\n\r\n"), true), BAD_FRAMING);
    assert_fails(framing_check(SLICE(REQUEST "Accept: */*\r\n\r\n"), true), BAD_FRAMING);
    assert_ok(framing_check(SLICE("GET / HTTP/1.0\r\nAccept: */*\r\n\r\n"), false));
}

TEST(a_folded_line_is_refused)
{
    assert_fails(framing_check(SLICE(REQUEST "Host: a\r\nX: b\r\n c\r\n\r\n"), true), BAD_FRAMING);
    assert_fails(framing_check(SLICE(REQUEST "Host: a\r\nX: b\r\n\tc\r\n\r\n"), true), BAD_FRAMING);
}

TEST(a_line_without_a_colon_is_refused)
{
    assert_fails(framing_check(SLICE(REQUEST "Host: a\r\nnonsense\r\n\r\n"), true), BAD_FRAMING);
}

/* A head with one header of so many bytes. */
static status check_header_of(size_t len)
{
    static const char start[] = REQUEST "Host: a\r\nX: ";
    char *head = malloc(sizeof(start) + len + 4);
    assert_non_null(head);
    memcpy(head, start, sizeof(start) - 1);
    memset(head + sizeof(start) - 1, 'x', len);
    memcpy(head + sizeof(start) - 1 + len, "\r\n\r\n", 4);
    status result = framing_check((slice){head, sizeof(start) - 1 + len + 4}, true);
    free(head);
    return result;
}

TEST(a_key_of_ten_kilobytes_is_not_too_large_but_an_absurd_header_is)
{
    assert_ok(check_header_of(10240));
    assert_ok(check_header_of(HEADER_LINE_MAX - 3)); /* with "X: " exactly the bound */
    assert_fails(check_header_of(HEADER_LINE_MAX - 2), HEADERS_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_head_passes),
        cmocka_unit_test(what_stands_in_the_body_is_no_header),
        cmocka_unit_test(an_empty_line_before_the_request_line_is_skipped),
        cmocka_unit_test(a_length_and_an_encoding_together_are_refused),
        cmocka_unit_test(a_repeated_length_is_refused_even_when_both_say_the_same),
        cmocka_unit_test(two_hosts_are_refused_and_none_only_where_one_is_needed),
        cmocka_unit_test(a_folded_line_is_refused),
        cmocka_unit_test(a_line_without_a_colon_is_refused),
        cmocka_unit_test(a_key_of_ten_kilobytes_is_not_too_large_but_an_absurd_header_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
