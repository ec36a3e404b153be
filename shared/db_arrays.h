/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters in the forms PostgreSQL reads: one-dimensional arrays in its binary format, integers
 * as text. The element type is part of the array, so a statement casts: $1::bigint[], $1::bytea[],
 * $1::text[]. All of them: TOO_LARGE when the arena's cap would be passed. */
#pragma once

#include "shared/arena.h"

status db_array_of_numbers(struct arena *arena, const int64_t *numbers, size_t count, slice *array);
/* Items are never NULL; a statement that wants NULL for an empty one says nullif(). */
status db_array_of_slices(struct arena *arena, bool bytea, const slice *items, size_t count,
                          slice *array);
status db_array_integer_text(struct arena *arena, int64_t number, slice *text);
