/* SPDX-License-Identifier: Apache-2.0 */
/* What every function that can fail returns, and the three control macros of this code base. The
 * codes, their HTTP status, public type and sentence are the rows of errors.def. A status carries a
 * code only: whoever detects a fault logs its details there and returns the code. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __clang__
#define MUST_USE __attribute__((warn_unused_result))
#else
#define MUST_USE [[nodiscard]]
#endif

typedef struct MUST_USE {
    uint16_t code;
} status;

enum error_code {
#define ERROR(name, code, http, type, sentence) ERROR_##name = code,
#include "shared/errors.def"
#undef ERROR
};

#define OK         ((status){ERROR_NONE})
#define FAIL(name) ((status){ERROR_##name})

static inline bool status_ok(status s)
{
    return s.code == ERROR_NONE;
}

/* One row of errors.def. An unknown code answers with the row of INTERNAL. */
struct error_row {
    uint16_t code;
    uint16_t http;        /* HTTP status a client sees */
    const char *name;     /* HOLD_TOO_LARGE */
    const char *type;     /* error.metadata.error_type on the wire */
    const char *sentence; /* default message, one short sentence that says what to do */
};
const struct error_row *error_row_of(uint16_t code);

/* Return the failure of an expression of type status to the caller. */
#define TRY(expression)                                  \
    do {                                                 \
        status try_status_ = (expression);               \
        if (!status_ok(try_status_)) return try_status_; \
    } while (0)

/* Run free_fn(&variable) when the variable leaves its scope: SCOPED(buffer_free) struct buffer b =
 * …; */
#define SCOPED(free_fn) __attribute__((cleanup(free_fn)))

/* Move a pointer out of a variable and leave NULL behind, so that its cleanup does nothing. */
#define TAKE(pointer)                           \
    ({                                          \
        __typeof__(pointer) taken_ = (pointer); \
        (pointer) = NULL;                       \
        taken_;                                 \
    })
