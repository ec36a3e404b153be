/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a URL, and what is none. */
#include "tests/unit/test.h"

#include "shared/http/url.h"

static struct url parsed(const char *text)
{
    struct url url;
    assert_ok(url_parse(slice_of(text), &url));
    return url;
}

TEST(a_url_is_taken_apart)
{
    struct url url = parsed("https://api.example.com/v1/chat?a=b");
    assert_true(url.tls);
    assert_false(url.local);
    assert_slice(url.host, "api.example.com");
    assert_slice(url.authority, "api.example.com");
    assert_slice(url.target, "/v1/chat?a=b");
    assert_int_equal(url.port, 443);
    url = parsed("http://localhost:65535");
    assert_false(url.tls);
    assert_slice(url.host, "localhost");
    assert_slice(url.authority, "localhost:65535");
    assert_slice(url.target, "");
    assert_int_equal(url.port, 65535);
    assert_int_equal(parsed("http://a").port, 80);
}

TEST(an_address_of_version_6_stands_in_brackets)
{
    struct url url = parsed("http://[::1]:8080/x");
    assert_slice(url.host, "::1");
    assert_slice(url.authority, "[::1]:8080");
    assert_slice(url.target, "/x");
    assert_int_equal(url.port, 8080);
    url = parsed("https://[fe80::1]");
    assert_slice(url.host, "fe80::1");
    assert_int_equal(url.port, 443);
}

TEST(a_socket_is_named_by_its_path)
{
    struct url url = parsed("unix:run/ledger.sock:/api/v1/key?a=b");
    assert_true(url.local);
    assert_slice(url.host, "run/ledger.sock");
    assert_slice(url.authority, "localhost");
    assert_slice(url.target, "/api/v1/key?a=b");
    assert_slice(parsed("unix:run/ledger.sock").target, "");
}

TEST(what_is_no_url_is_refused)
{
    static const char *const texts[] = {
        "",
        "a",
        "ftp://a/",
        "http:/a",
        "http://",
        "http:///x",
        "http://:80/",
        "http://a:/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:b/",
        "http://a:80:80/",
        "http://u:p@a/",
        "https://api.example.com@127.0.0.1/",
        "http://a/b c",
        "http://a/\r\nx: y",
        "http://a/\xc3\xa4",
        "http://a/#f",
        "http://a?q",
        "http://[::1",
        "http://[]/",
        "http://[::1]x/",
        "http://[::1]:0/",
        "unix::/x",
        "unix:p:x",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct url url;
        assert_fails(url_parse(slice_of(texts[i]), &url), BAD_REQUEST);
    }
}

TEST(a_host_is_as_long_as_a_name_can_be)
{
    char text[7 + URL_HOST_LEN_MAX + 2] = "http://";
    struct url url;
    memset(text + 7, 'a', URL_HOST_LEN_MAX);
    assert_ok(url_parse(slice_of(text), &url));
    assert_int_equal(url.host.len, 253);
    text[7 + URL_HOST_LEN_MAX] = 'a';
    assert_fails(url_parse(slice_of(text), &url), BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_taken_apart),
        cmocka_unit_test(an_address_of_version_6_stands_in_brackets),
        cmocka_unit_test(a_socket_is_named_by_its_path),
        cmocka_unit_test(what_is_no_url_is_refused),
        cmocka_unit_test(a_host_is_as_long_as_a_name_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
