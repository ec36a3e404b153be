/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of errors.def as a table indexed by code. A code that appears twice there does not
 * compile: two initializers of one element are an error under the warnings of this project. */
#include "shared/status.h"

#include <stddef.h>

static const struct error_row error_rows[] = {
#define ERROR(name, code, http, type, sentence) [code] = {code, http, #name, type, sentence},
#include "shared/errors.def"
#undef ERROR
};

const struct error_row *error_row_of(uint16_t code)
{
    if (code >= sizeof(error_rows) / sizeof(error_rows[0]) || error_rows[code].name == NULL) {
        return &error_rows[ERROR_INTERNAL];
    }
    return &error_rows[code];
}
