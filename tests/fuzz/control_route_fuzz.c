/* SPDX-License-Identifier: Apache-2.0 */
/* The path and the query of a request line as any client could write them: what the control plane
 * makes of them lies in its arena and holds no NUL, and a parameter that matched is not empty. */
#include <assert.h>

#include "shared/http/control.h"
#include "shared/http/routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct control_route routes[] = {
    {.method = "GET", .path = "/keys/{hash}"},
    {.method = "GET", .path = "/keys/current"},
    {.method = "POST", .path = "/keys"},
    {.method = "GET", .path = "/models/{author}/{slug}/endpoints"},
    {.method = "GET", .path = "/model/{model+}"},
};

static void check_text(slice text)
{
    assert(text.len == 0 || memchr(text.data, '\0', text.len) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice path, query;
    (void)slice_split((slice){(const char *)data, size}, '?', &path, &query);
    struct arena arena;
    arena_init(&arena, 1 << 16);
    struct route_match match;
    size_t count = sizeof(routes) / sizeof(routes[0]);
    if (status_ok(route_find(routes, count, SLICE("GET"), path, &arena, &match))) {
        check_text(match.path);
        bool has_parameter = strchr(match.route->path, '{') != NULL;
        assert(has_parameter == (match.params[0].len > 0));
        for (size_t i = 0; i < ROUTE_PARAMS_MAX; i++)
            check_text(match.params[i]);
    }
    slice decoded;
    struct control_request request = {.arena = &arena, .query = query};
    if (status_ok(percent_decode(&arena, query, true, &decoded))) {
        check_text(control_query(&request, SLICE("q")));
        assert(decoded.len <= query.len);
    }
    arena_free(&arena);
    return 0;
}
