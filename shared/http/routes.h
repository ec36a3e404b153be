/* SPDX-License-Identifier: Apache-2.0 */
/* From a method and a path to a row of the route table. Pure; only the control plane uses it. */
#pragma once

#include "shared/http/control.h"

#define ROUTE_PARAMS_MAX 4

struct route_match {
    const struct control_route *route;
    slice params[ROUTE_PARAMS_MAX];
    slice path;  /* percent-decoded */
    slice allow; /* on METHOD_NOT_ALLOWED: "GET, POST" */
};

/* Each segment of the path is decoded by itself, so that a%2Fb is one segment; when no route
 * matches then, the path is decoded as a whole and matched again. Of several matches the one whose
 * first differing segment is literal wins, then {one}, then {rest+}. UNKNOWN_ROUTE,
 * METHOD_NOT_ALLOWED, BAD_REQUEST (broken escapes), TOO_LARGE. */
status route_find(const struct control_route *routes, size_t count, slice method, slice raw_path,
                  struct arena *arena, struct route_match *match);

/* %XX, and + as a space where form encoding says so. A view of `text` when nothing is encoded.
 * BAD_REQUEST on a broken escape and on a NUL; TOO_LARGE. */
status percent_decode(struct arena *arena, slice text, bool plus_is_space, slice *decoded);
