/* SPDX-License-Identifier: Apache-2.0 */
/* The dialects this edge speaks. A row is added when its codec is written; until then nobody is
 * sent there. */
#include "services/edge/dialects/dialect.h"

static const struct dialect_row *const rows[] = {
    [DIALECT_OPENAI] = &dialect_openai,
};

const struct dialect_row *dialect_of(enum dialect dialect)
{
    size_t index = (size_t)dialect;
    return index < sizeof(rows) / sizeof(rows[0]) ? rows[index] : NULL;
}
