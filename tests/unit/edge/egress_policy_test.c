/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the other programs may call through the edge: by purpose, by address. */
#include "services/edge/egress_policy.h"

#include <arpa/inet.h>

#include "tests/unit/test.h"

static struct config config;
static bool simulated;

static status check(const char *purpose, const char *target)
{
    struct url url;
    assert_ok(url_parse(slice_of(target), &url));
    return egress_policy_check(&config, slice_of(purpose), &url, &simulated);
}

static bool is_public(const char *text)
{
    union resolved_address address = {0};
    assert_true(resolve_numeric(slice_of(text), &address));
    return egress_address_is_public(&address);
}

TEST(by_default_only_stripe_may_be_called_and_only_over_tls)
{
    config_defaults(&config);
    assert_ok(check("stripe", "https://api.stripe.com/v1/refunds"));
    assert_ok(check("stripe", "https://API.stripe.com:443/v1/refunds"));
    assert_false(simulated);
    assert_fails(check("stripe", "http://api.stripe.com/v1/refunds"), FORBIDDEN);
    assert_fails(check("stripe", "https://api.stripe.com:444/"), FORBIDDEN);
    assert_fails(check("stripe", "https://api.stripe.com.example.org/"), FORBIDDEN);
    assert_fails(check("stripe", "https://example.org/"), FORBIDDEN);
}

TEST(a_purpose_may_call_its_own_addresses_only)
{
    config_defaults(&config);
    strcpy(config.egress_allow, "stripe=https://api.stripe.com mail=https://mail.example.org:8443");
    assert_ok(check("mail", "https://mail.example.org:8443/send"));
    assert_fails(check("stripe", "https://mail.example.org:8443/send"), FORBIDDEN);
    assert_fails(check("mail", "https://api.stripe.com/"), FORBIDDEN);
    assert_fails(check("", "https://api.stripe.com/"), FORBIDDEN);
    assert_fails(check("strip", "https://api.stripe.com/"), FORBIDDEN);
}

TEST(plain_http_needs_the_operators_word)
{
    config_defaults(&config);
    strcpy(config.egress_allow, "stripe=http://127.0.0.1:9000");
    assert_fails(check("stripe", "http://127.0.0.1:9000/v1/refunds"), FORBIDDEN);
    strcpy(config.egress_simulated, "http://127.0.0.1:9000");
    assert_ok(check("stripe", "http://127.0.0.1:9000/v1/refunds"));
    assert_true(simulated);
    assert_fails(check("stripe", "http://127.0.0.1:9001/v1/refunds"), FORBIDDEN);
    strcpy(config.egress_allow, "stripe=https://api.stripe.com");
    assert_fails(check("stripe", "http://127.0.0.1:9000/v1/refunds"), FORBIDDEN);
}

TEST(sockets_of_this_host_are_never_called)
{
    config_defaults(&config);
    strcpy(config.egress_allow, "stripe=unix:run/ledger-operator.sock:/");
    assert_fails(check("stripe", "unix:run/ledger-operator.sock:/operator/grants"), FORBIDDEN);
}

TEST(addresses_that_are_not_public_are_refused)
{
    static const char *const refused[] = {
        "0.0.0.0",          "10.1.2.3",        "100.64.0.1",  "100.127.255.255",
        "127.0.0.1",        "169.254.169.254", "172.16.0.1",  "172.31.255.255",
        "192.0.0.8",        "192.168.1.1",     "198.18.0.1",  "198.19.255.255",
        "224.0.0.1",        "255.255.255.255", "::1",         "::",
        "::ffff:127.0.0.1", "64:ff9b::a00:1",  "fe80::1",     "fd00::1",
        "2002:7f00:1::",    "2001::1",         "2001:db8::1", "ff02::1",
        "3fff::1"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (is_public(refused[i])) fail_msg("%s counts as public", refused[i]);
    }
}

TEST(public_addresses_are_admitted)
{
    static const char *const admitted[] = {"9.9.9.9",    "100.63.255.255", "100.128.0.1",
                                           "172.15.0.1", "172.32.0.1",     "192.169.0.1",
                                           "198.17.0.1", "198.20.0.1",     "223.255.255.255"};
    for (size_t i = 0; i < sizeof(admitted) / sizeof(admitted[0]); i++) {
        if (!is_public(admitted[i])) fail_msg("%s counts as private", admitted[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_default_only_stripe_may_be_called_and_only_over_tls),
        cmocka_unit_test(a_purpose_may_call_its_own_addresses_only),
        cmocka_unit_test(plain_http_needs_the_operators_word),
        cmocka_unit_test(sockets_of_this_host_are_never_called),
        cmocka_unit_test(addresses_that_are_not_public_are_refused),
        cmocka_unit_test(public_addresses_are_admitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
