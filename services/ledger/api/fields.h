/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a body as a table: what a route takes, in which bounds, and the sentence that says
 * so when a body does not keep to it. A field that is not in the table is refused, because a
 * setting that is silently dropped would look like one that took effect. */
#pragma once

#include "shared/db.h"
#include "shared/http/control.h"

enum field_kind {
    FIELD_INTEGER, /* min to max */
    FIELD_DOLLARS, /* a number of dollars; as nano-dollars min to max, at most 9 decimals */
    FIELD_CENTS,   /* a number of dollars in whole cents; as cents min to max */
    FIELD_TEXT,    /* min to max bytes of UTF-8 without control characters but line feed */
    FIELD_TIME,    /* ISO 8601; as nanoseconds since 1970, within min and max seconds of now */
    FIELD_FLAG,    /* true or false; as 1 or 0 */
    FIELD_OTHER    /* read by the route itself */
};

struct field {
    slice name;
    enum field_kind kind;
    int64_t min, max;
    bool nullable;
    bool required;
    const char *must_be; /* the rest of "NAME must be …" */
};

struct field_value {
    bool given; /* the body names it, perhaps as null */
    bool is_null;
    int64_t number; /* of every kind but FIELD_TEXT */
    slice text;     /* in the request's arena */
};

/* values has a place for each field. BAD_REQUEST or OUT_OF_RANGE with a sentence. */
status fields_read(struct control_request *request, struct control_response *response,
                   const struct field *fields, size_t count, struct field_value *values);

/* For a body that is read by hand: it is an object and names nothing but these. */
status fields_check_names(struct control_request *request, struct control_response *response,
                          const struct field *fields, size_t count);
/* The refusal of a value that the route read itself. */
status field_refuse(struct control_request *request, struct control_response *response,
                    const struct field *field);

/* NULL unless given and not null. */
struct db_param field_number(const struct field_value *value);
struct db_param field_text(const struct field_value *value);
