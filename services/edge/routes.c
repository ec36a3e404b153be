/* SPDX-License-Identifier: Apache-2.0 */
/* The table, and its reader. Segments are compared as they were sent; a {…} takes any one segment
 * that is not empty and does not climb, so a path that a service would resolve to another one never
 * gets through. */
#include "services/edge/routes.h"

#define API "/api/v1"

static const struct route routes[] = {
    {"POST", API "/chat/completions", ROUTE_CHAT, SERVICE_NONE, false},

    {"GET", API "/key", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/keys", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"POST", API "/keys", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/keys/{hash}", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"PATCH", API "/keys/{hash}", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"DELETE", API "/keys/{hash}", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"POST", API "/keys/{hash}/rotate", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/organization/members", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"POST", API "/organization/members", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/limits", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"PATCH", API "/limits", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/credits", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/credits/lots", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"POST", API "/credits/redeem", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/organization", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"PATCH", API "/organization", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/purchases", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"POST", API "/purchases", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/purchases/{id}", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/purchases/{id}/receipt", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/invoices/{month}", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"POST", API "/purchases/{id}/refund", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"GET", API "/auto-topup", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"PUT", API "/auto-topup", ROUTE_FORWARD, SERVICE_LEDGER, false},
    {"POST", "/webhooks/stripe", ROUTE_WEBHOOK, SERVICE_LEDGER, true},

    {"GET", API "/models", ROUTE_FORWARD, SERVICE_CATALOG, true},
    {"GET", API "/models/count", ROUTE_FORWARD, SERVICE_CATALOG, true},
    {"GET", API "/models/{id}", ROUTE_FORWARD, SERVICE_CATALOG, true},
    {"GET", API "/models/{id}/endpoints", ROUTE_FORWARD, SERVICE_CATALOG, true},
    {"GET", API "/models/{author}/{slug}", ROUTE_FORWARD, SERVICE_CATALOG, true},
    {"GET", API "/models/{author}/{slug}/endpoints", ROUTE_FORWARD, SERVICE_CATALOG, true},
    {"GET", API "/model/{author}/{slug}", ROUTE_FORWARD, SERVICE_CATALOG, true},
    {"GET", API "/providers", ROUTE_FORWARD, SERVICE_CATALOG, true},

    {"GET", API "/generation", ROUTE_FORWARD, SERVICE_USAGE, false},

    {"GET", "/healthz", ROUTE_HEALTH, SERVICE_NONE, true},
    {"GET", "/readyz", ROUTE_READY, SERVICE_NONE, true},
    {"GET", "/metrics", ROUTE_METRICS, SERVICE_NONE, true},
    {"GET", "/", ROUTE_PAGE, SERVICE_NONE, true},
    {"GET", "/assets/{file}", ROUTE_PAGE, SERVICE_NONE, true},
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

static bool takes(const struct route *route, slice method);
static bool path_fits(slice pattern, slice path);
static void add_allowed(struct routes_match *match, const char *method);

status routes_find(slice method, slice path, struct routes_match *match)
{
    *match = (struct routes_match){0};
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct route *route = &routes[i];
        if (!path_fits(slice_of(route->path), path)) continue;
        if (takes(route, method)) {
            match->route = route;
            return OK;
        }
        add_allowed(match, route->method);
        if (takes(route, SLICE("HEAD"))) add_allowed(match, "HEAD");
    }
    return match->allow.len > 0 ? FAIL(METHOD_NOT_ALLOWED) : FAIL(UNKNOWN_ROUTE);
}

/* HEAD is GET whose answer stays without its body. */
static bool takes(const struct route *route, slice method)
{
    const slice own = slice_of(route->method);
    return slice_equal(method, own) ||
           (slice_equal(method, SLICE("HEAD")) && slice_equal(own, SLICE("GET")));
}

static bool segment_fits(slice pattern, slice segment)
{
    if (pattern.len == 0 || pattern.data[0] != '{') return slice_equal(pattern, segment);
    return segment.len > 0 && !slice_equal(segment, SLICE(".")) &&
           !slice_equal(segment, SLICE(".."));
}

static bool path_fits(slice pattern, slice path)
{
    if (slice_equal(pattern, path)) return true; /* most have no {…} */
    bool more_pattern = true, more_path = true;
    while (more_pattern && more_path) {
        slice wanted, segment;
        more_pattern = slice_split(pattern, '/', &wanted, &pattern);
        more_path = slice_split(path, '/', &segment, &path);
        if (!segment_fits(wanted, segment)) return false;
    }
    return more_pattern == more_path;
}

static void add_allowed(struct routes_match *match, const char *method)
{
    slice name = slice_of(method);
    size_t len = match->allow.len;
    size_t comma = len > 0 ? 2 : 0;
    if (len + comma + name.len > sizeof(match->allow_text)) return;
    memcpy(match->allow_text + len, ", ", comma);
    memcpy(match->allow_text + len + comma, name.data, name.len);
    match->allow = (slice){match->allow_text, len + comma + name.len};
}
