/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as a person writes them, and what is kept of them, by hand. */
#include "tests/unit/test.h"

#include <arpa/inet.h>

#include "shared/client_prefix.h"

static client_prefix of_text(const char *text)
{
    struct sockaddr_storage room = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&room;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&room;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        v6->sin6_family = AF_INET6;
    }
    return client_prefix_of((const struct sockaddr *)&room);
}

static void expect(client_prefix prefix, const char *wanted)
{
    char text[CLIENT_PREFIX_TEXT_MAX];
    struct buffer out;
    buffer_init_fixed(&out, text, sizeof(text));
    client_prefix_append(&out, prefix);
    assert_ok(buffer_finish(&out));
    assert_slice(buffer_slice(&out), wanted);
}

TEST(of_an_ipv4_address_24_bits_are_kept)
{
    expect(of_text("203.0.113.77"), "203.0.113.0/24");
    expect(of_text("255.255.255.255"), "255.255.255.0/24");
    expect(of_text("0.0.0.0"), "0.0.0.0/24");
    assert_int_equal(of_text("203.0.113.1"), of_text("203.0.113.254"));
    assert_int_not_equal(of_text("203.0.113.1"), of_text("203.0.112.1"));
}

TEST(of_an_ipv6_address_48_bits_are_kept)
{
    expect(of_text("2001:db8:1:2:3:4:5:6"), "2001:0db8:0001::/48");
    expect(of_text("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "ffff:ffff:ffff::/48");
    expect(of_text("::1"), "0000:0000:0000::/48");
    assert_int_equal(of_text("2001:db8:1::1"), of_text("2001:db8:1:ffff::"));
    assert_int_not_equal(of_text("2001:db8:1::1"), of_text("2001:db8:2::1"));
}

TEST(an_ipv4_address_mapped_into_ipv6_is_an_ipv4_address)
{
    expect(of_text("::ffff:203.0.113.77"), "203.0.113.0/24");
    assert_int_equal(of_text("::ffff:203.0.113.77"), of_text("203.0.113.1"));
    expect(of_text("::203.0.113.77"), "0000:0000:0000::/48"); /* not mapped */
}

TEST(what_is_no_ip_address_has_no_text)
{
    const struct sockaddr local = {.sa_family = AF_UNIX};
    assert_int_equal(client_prefix_of(&local), CLIENT_PREFIX_UNKNOWN);
    assert_int_equal(client_prefix_of(NULL), CLIENT_PREFIX_UNKNOWN);
    expect(CLIENT_PREFIX_UNKNOWN, "");
    expect(CLIENT_PREFIX_NONE, "");
    /* From a peer that talks nonsense: families that nobody has. */
    expect((client_prefix)77 << 56 | 0x123456, "");
    expect(UINT64_MAX, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_an_ipv4_address_24_bits_are_kept),
        cmocka_unit_test(of_an_ipv6_address_48_bits_are_kept),
        cmocka_unit_test(an_ipv4_address_mapped_into_ipv6_is_an_ipv4_address),
        cmocka_unit_test(what_is_no_ip_address_has_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
