/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: who answers them, and what is refused. */
#include "services/edge/routes.h"

#include "tests/unit/test.h"

static status find(const char *method, const char *path, struct routes_match *match)
{
    return routes_find(slice_of(method), slice_of(path), match);
}

TEST(inference_is_served_here)
{
    struct routes_match match;
    assert_ok(find("POST", "/api/v1/chat/completions", &match));
    assert_int_equal(match.route->kind, ROUTE_CHAT);
    assert_false(match.route->public);
}

TEST(each_control_route_goes_to_the_service_that_owns_its_data)
{
    static const struct {
        const char *method, *path;
        enum route_service service;
        bool public;
    } rows[] = {
        {"GET", "/api/v1/key", SERVICE_LEDGER, false},
        {"POST", "/api/v1/keys", SERVICE_LEDGER, false},
        {"DELETE", "/api/v1/keys/0a1b", SERVICE_LEDGER, false},
        {"GET", "/api/v1/credits", SERVICE_LEDGER, false},
        {"GET", "/api/v1/purchases/pur-1", SERVICE_LEDGER, false},
        {"GET", "/api/v1/models", SERVICE_CATALOG, true},
        {"GET", "/api/v1/models/openai/gpt-4o-mini/endpoints", SERVICE_CATALOG, true},
        {"GET", "/api/v1/providers", SERVICE_CATALOG, true},
        {"GET", "/api/v1/generation", SERVICE_USAGE, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct routes_match match;
        assert_ok(find(rows[i].method, rows[i].path, &match));
        assert_int_equal(match.route->kind, ROUTE_FORWARD);
        assert_int_equal(match.route->service, rows[i].service);
        assert_int_equal(match.route->public, rows[i].public);
    }
}

TEST(an_encoded_slash_stays_inside_of_its_segment)
{
    struct routes_match match;
    assert_ok(find("GET", "/api/v1/models/openai%2Fgpt-4o-mini", &match));
    assert_string_equal(match.route->path, "/api/v1/models/{id}");
    assert_ok(find("GET", "/api/v1/models/openai/gpt-4o-mini", &match));
    assert_string_equal(match.route->path, "/api/v1/models/{author}/{slug}");
}

TEST(head_is_get_where_there_is_a_get)
{
    struct routes_match match;
    assert_ok(find("HEAD", "/api/v1/keys", &match));
    assert_string_equal(match.route->method, "GET");
    assert_fails(find("HEAD", "/api/v1/chat/completions", &match), METHOD_NOT_ALLOWED);
    assert_slice(match.allow, "POST");
}

TEST(a_literal_segment_wins_over_a_parameter)
{
    struct routes_match match;
    assert_ok(find("GET", "/api/v1/models/count", &match));
    assert_string_equal(match.route->path, "/api/v1/models/count");
}

TEST(a_path_that_climbs_is_unknown)
{
    struct routes_match match;
    assert_fails(find("GET", "/api/v1/models/../keys/endpoints", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "/api/v1/keys/..", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "/api/v1/keys/.", &match), UNKNOWN_ROUTE);
}

TEST(almost_an_address_is_none)
{
    struct routes_match match;
    assert_fails(find("GET", "/assets", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "/assets/../bourse.conf", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "/api/v1/keys/", &match), UNKNOWN_ROUTE);
    assert_fails(find("POST", "/api/v1/chat/completions/", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "/api/v1/keyss", &match), UNKNOWN_ROUTE);
    assert_fails(find("POST", "//api/v1/chat/completions", &match), UNKNOWN_ROUTE);
}

TEST(another_method_is_told_which_ones_there_are)
{
    struct routes_match match;
    assert_fails(find("PUT", "/api/v1/keys/0a1b", &match), METHOD_NOT_ALLOWED);
    assert_slice(match.allow, "GET, HEAD, PATCH, DELETE");
    assert_fails(find("GET", "/api/v1/chat/completions", &match), METHOD_NOT_ALLOWED);
    assert_slice(match.allow, "POST");
    /* Methods are compared as they are. */
    assert_fails(find("post", "/api/v1/chat/completions", &match), METHOD_NOT_ALLOWED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inference_is_served_here),
        cmocka_unit_test(each_control_route_goes_to_the_service_that_owns_its_data),
        cmocka_unit_test(an_encoded_slash_stays_inside_of_its_segment),
        cmocka_unit_test(head_is_get_where_there_is_a_get),
        cmocka_unit_test(a_literal_segment_wins_over_a_parameter),
        cmocka_unit_test(a_path_that_climbs_is_unknown),
        cmocka_unit_test(almost_an_address_is_none),
        cmocka_unit_test(another_method_is_told_which_ones_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
