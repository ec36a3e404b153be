/* SPDX-License-Identifier: Apache-2.0 */
/* From a method and a path to a row of the table of routes. */
#include "tests/unit/test.h"

#include "shared/http/routes.h"

static const struct control_route routes[] = {
    {.method = "GET", .path = "/public"},
    {.method = "GET", .path = "/keys/{hash}"},
    {.method = "PATCH", .path = "/keys/{hash}"},
    {.method = "GET", .path = "/keys/current"},
    {.method = "GET", .path = "/models/{author}/{slug}/endpoints"},
    {.method = "GET", .path = "/model/{model+}"},
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

static struct arena arena;

static status find(const char *method, const char *path, struct route_match *match)
{
    arena_reset(&arena);
    return route_find(routes, ROUTE_COUNT, slice_of(method), slice_of(path), &arena, match);
}

TEST(a_literal_segment_wins_over_a_parameter)
{
    struct route_match match;
    assert_ok(find("GET", "/keys/current", &match));
    assert_string_equal(match.route->path, "/keys/current");
    assert_ok(find("GET", "/keys/currents", &match));
    assert_string_equal(match.route->path, "/keys/{hash}");
    assert_slice(match.params[0], "currents");
    /* Only the parameter's row takes this method. */
    assert_ok(find("PATCH", "/keys/current", &match));
    assert_string_equal(match.route->path, "/keys/{hash}");
}

TEST(a_parameter_is_one_whole_segment)
{
    struct route_match match;
    assert_fails(find("GET", "/keys", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "/keys/", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "/keys/a/b", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "/keys/a/", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "keys/a", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "//keys/a", &match), UNKNOWN_ROUTE);
    assert_ok(find("GET", "/keys/a%20b%2Fc", &match));
    assert_slice(match.params[0], "a b/c");
    assert_slice(match.path, "/keys/a b/c");
}

TEST(an_encoded_slash_is_part_of_a_segment_or_else_a_slash)
{
    struct route_match match;
    assert_ok(find("GET", "/model/openai%2Fgpt-4o-mini", &match));
    assert_slice(match.params[0], "openai/gpt-4o-mini");
    assert_ok(find("GET", "/model/openai/gpt-4o-mini", &match));
    assert_slice(match.params[0], "openai/gpt-4o-mini");
    assert_ok(find("GET", "/models/openai%2Fgpt-4o-mini/endpoints", &match));
    assert_slice(match.params[0], "openai");
    assert_slice(match.params[1], "gpt-4o-mini");
    assert_fails(find("GET", "/model/", &match), UNKNOWN_ROUTE);
    assert_fails(find("GET", "/model", &match), UNKNOWN_ROUTE);
}

TEST(a_path_that_exists_for_other_methods_says_which)
{
    struct route_match match;
    assert_fails(find("DELETE", "/keys/current", &match), METHOD_NOT_ALLOWED);
    assert_slice(match.allow, "GET, PATCH");
    assert_fails(find("get", "/public", &match), METHOD_NOT_ALLOWED);
    assert_slice(match.allow, "GET");
}

TEST(broken_escapes_and_endless_paths_are_refused)
{
    struct route_match match;
    static const char *const broken[] = {"/keys/%", "/keys/%4", "/keys/%zz", "/keys/%00", "/%"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_fails(find("GET", broken[i], &match), BAD_REQUEST);
    char path[4000];
    for (size_t i = 0; i < sizeof(path); i++)
        path[i] = i % 2 == 0 ? '/' : 'a';
    path[sizeof(path) - 1] = '\0';
    assert_fails(find("GET", path, &match), UNKNOWN_ROUTE);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_literal_segment_wins_over_a_parameter),
        cmocka_unit_test(a_parameter_is_one_whole_segment),
        cmocka_unit_test(an_encoded_slash_is_part_of_a_segment_or_else_a_slash),
        cmocka_unit_test(a_path_that_exists_for_other_methods_says_which),
        cmocka_unit_test(broken_escapes_and_endless_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
