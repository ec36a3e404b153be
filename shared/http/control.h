/* SPDX-License-Identifier: Apache-2.0 */
/* The control plane of a service: HTTP/1.1 on its Unix sockets, a table of routes, a pool of worker
 * threads each with one database connection. Handlers read top to bottom and may block; the event
 * loop never waits on SQL. Authentication, body limit, JSON parsing and the error envelope are done
 * once here, from the route's row. */
#pragma once

#include "shared/arena.h"
#include "shared/config.h"
#include "shared/db.h"
#include "shared/json/read.h"
#include "shared/json/write.h"
#include "shared/token.h"

enum control_access {
    ACCESS_PUBLIC,     /* no principal needed */
    ACCESS_ANY_KEY,    /* inference or management key; an operator has none */
    ACCESS_KEY,        /* inference key */
    ACCESS_MANAGEMENT, /* management key; an operator passes too */
    ACCESS_OPERATOR,   /* only on the operator socket, without a token */
};

struct control_request {
    slice method;
    slice path;      /* decoded as a whole, without the query; a token binds the raw one */
    slice params[4]; /* the {…} parts of the route's path, percent-decoded */
    slice body;
    struct json_value json;     /* parsed body when the route wants one; missing otherwise */
    struct principal principal; /* an operator's org is 0: the handler reads ?org= */
    struct arena *arena;        /* of this request */
    struct db *db;         /* this worker's connection; NULL for a service without a database */
    void *service;         /* the service's own struct */
    slice query;           /* raw */
    slice idempotency_key; /* header; empty when absent */
    slice signature;       /* header Stripe-Signature, of a webhook; empty when absent */
    slice request_id;      /* X-Bourse-Request header from the edge, for logs */
};

/* Query parameter, percent-decoded into the arena; empty when absent. */
slice control_query(const struct control_request *request, slice name);

struct control_response {
    int http_status;         /* 200 unless set */
    struct buffer body;      /* JSON unless content_type is set */
    struct json_writer json; /* writes into body */
    slice content_type;      /* "application/json" unless set */
    slice header_names[4];   /* extra headers */
    slice header_values[4];
    size_t header_count;
    slice message; /* on failure: instead of the row's sentence (arena) */
    /* on failure: a JSON object with more facts, without error_type (arena) */
    slice metadata;
};
/* CR, LF or NUL in a value is refused (BAD_REQUEST). */
status control_header(struct control_response *response, slice name, slice value);
/* Sets message and returns the failure, for:
 * return control_fail(response, FAIL(WRONG_TYPE), SLICE("limit must be a number")); */
status control_fail(struct control_response *response, status failure, slice message);

typedef status (*control_handler)(struct control_request *request,
                                  struct control_response *response);

struct control_route {
    const char *method;
    /* "/api/v1/keys/{hash}"; {…} matches one segment, a trailing {…+} the rest */
    const char *path;
    enum control_access access;
    uint32_t body_max; /* 0: no body accepted */
    /* body is parsed and checked (top level unique); MISSING body → BAD_JSON */
    bool wants_json;
    bool needs_idempotency_key;
    control_handler handler;
};

struct control_settings {
    const char *service; /* "ledger": sockets run/ledger.sock and run/ledger-operator.sock */
    const struct control_route *routes;
    size_t route_count;
    int64_t workers;
    const char *database; /* NULL: no database */
    const char *database_role;
    const struct db_statements *statements;
    struct token_verifier *verifier;
    void *context; /* handed to handlers as request->service */
};

/* Starts the socket thread and the workers. Every request below the service also answers GET
 * /healthz and GET /metrics. */
struct control;
status control_start(const struct control_settings *settings, struct control **control);
void control_stop(struct control **control); /* lets running handlers end */
