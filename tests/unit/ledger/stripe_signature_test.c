/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of webhooks. The expected ones were made with openssl:
 * printf '%s' '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_first */
#include "services/ledger/api/stripe_signature.h"

#include "tests/unit/test.h"

#define BODY   "{\"id\":\"evt_1\"}"
#define FIRST  "1e3d4a587cb2a36f93d7444746133dcfcd077e60212c2413513da26d6ddb0cbb"
#define SECOND "431708173e431206d7e7fefa076fb3e9a58f00c55d14c6d35c292d63c0d5a43b"
#define NOW    1700000000

static status check(const char *header, int64_t now_s)
{
    return stripe_signature_check(slice_of(header), SLICE(BODY), SLICE("whsec_first\nwhsec_second"),
                                  now_s);
}

TEST(a_signature_of_any_of_the_secrets_passes)
{
    assert_ok(check("t=1700000000,v1=" FIRST, NOW));
    assert_ok(check("t=1700000000,v1=" SECOND, NOW));
    assert_ok(check("t=1700000000,v1=" SECOND ",v1=" FIRST ",v0=00", NOW));
}

TEST(another_body_time_or_secret_does_not_pass)
{
    assert_fails(check("t=1700000001,v1=" FIRST, NOW), FORBIDDEN);
    assert_fails(stripe_signature_check(SLICE("t=1700000000,v1=" FIRST), SLICE(BODY " "),
                                        SLICE("whsec_first"), NOW),
                 FORBIDDEN);
    assert_fails(stripe_signature_check(SLICE("t=1700000000,v1=" FIRST), SLICE(BODY),
                                        SLICE("whsec_third"), NOW),
                 FORBIDDEN);
    assert_fails(
        stripe_signature_check(SLICE("t=1700000000,v1=" FIRST), SLICE(BODY), SLICE("\n\n"), NOW),
        FORBIDDEN);
}

TEST(three_hundred_seconds_are_tolerated_and_not_one_more)
{
    assert_ok(check("t=1700000000,v1=" FIRST, NOW + 300));
    assert_ok(check("t=1700000000,v1=" FIRST, NOW - 300));
    assert_fails(check("t=1700000000,v1=" FIRST, NOW + 301), FORBIDDEN);
    assert_fails(check("t=1700000000,v1=" FIRST, NOW - 301), FORBIDDEN);
}

TEST(headers_that_say_nothing_do_not_pass)
{
    static const char *const headers[] = {
        "",
        "t=1700000000",
        "v1=" FIRST,
        "t=,v1=" FIRST,
        "t=x,v1=" FIRST,
        "t=-1700000000,v1=" FIRST,
        "t=1700000000,v0=" FIRST,
        "t=1700000000,v1=",
        "t=1700000000,v1=0",
        "t=1700000000,v1=" FIRST "00",
        "t=99999999999999999999,v1=" FIRST,
        ",,,=,=,",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (status_ok(check(headers[i], NOW))) fail_msg("'%s' passes", headers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_of_any_of_the_secrets_passes),
        cmocka_unit_test(another_body_time_or_secret_does_not_pass),
        cmocka_unit_test(three_hundred_seconds_are_tolerated_and_not_one_more),
        cmocka_unit_test(headers_that_say_nothing_do_not_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
