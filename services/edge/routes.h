/* SPDX-License-Identifier: Apache-2.0 */
/* Every address the edge answers: method, path, what it is, and whose data it is. A pure table. */
#pragma once

#include "shared/slice.h"

enum route_kind {
    ROUTE_CHAT,    /* inference, chat completions */
    ROUTE_FORWARD, /* control plane: answered by the service that owns the data */
    ROUTE_WEBHOOK, /* the same, with room for a larger body */
    ROUTE_HEALTH,  /* the process lives */
    ROUTE_READY,   /* it can serve */
    ROUTE_METRICS,
    ROUTE_PAGE, /* what a browser sees */
};
enum route_service { SERVICE_NONE, SERVICE_LEDGER, SERVICE_CATALOG, SERVICE_USAGE };

struct route {
    const char *method;
    const char *path; /* {…} matches one segment */
    enum route_kind kind;
    enum route_service service;
    bool public; /* no key needed, and one that is sent is not looked at */
};

struct routes_match {
    const struct route *route; /* NULL: none */
    slice allow;               /* with METHOD_NOT_ALLOWED: the methods this path takes */
    char allow_text[64];
};

/* path as the client sent it, without the query and not decoded: the openai client encodes the
 * slash inside of a model id, so an encoded slash does not separate segments. UNKNOWN_ROUTE,
 * METHOD_NOT_ALLOWED. */
status routes_find(slice method, slice path, struct routes_match *match);
