/* SPDX-License-Identifier: Apache-2.0 */
/* What a statement answered, column by column, out of libpq's text form. */
#include "shared/db_result.h"

#include <assert.h>
#include <stdlib.h>

#include "shared/log.h"

struct db_result *db_result_of(PGresult *pg)
{
    struct db_result *result = calloc(1, sizeof(*result));
    if (result == NULL) abort();
    result->pg = pg;
    arena_init(&result->arena, SIZE_MAX);
    return result;
}

size_t db_row_count(const struct db_result *result)
{
    return (size_t)PQntuples(result->pg);
}

bool db_is_null(const struct db_result *result, size_t row, size_t column)
{
    assert(row < (size_t)PQntuples(result->pg) && column < (size_t)PQnfields(result->pg));
    return PQgetisnull(result->pg, (int)row, (int)column) == 1;
}

slice db_text(const struct db_result *result, size_t row, size_t column)
{
    if (db_is_null(result, row, column)) return SLICE_NONE;
    return (slice){PQgetvalue(result->pg, (int)row, (int)column),
                   (size_t)PQgetlength(result->pg, (int)row, (int)column)};
}

int64_t db_i64(const struct db_result *result, size_t row, size_t column)
{
    slice text = db_text(result, row, column);
    int64_t value = 0;
    if (text.len > 0 && !status_ok(slice_to_i64(text, &value))) {
        log_error("column_not_integer",
                  FN(name, column, slice_of(PQfname(result->pg, (int)column))));
        return 0;
    }
    return value;
}

money db_money(const struct db_result *result, size_t row, size_t column)
{
    return (money){db_i64(result, row, column)};
}

bool db_bool(const struct db_result *result, size_t row, size_t column)
{
    return slice_equal(db_text(result, row, column), SLICE("t"));
}

wall_time db_time(const struct db_result *result, size_t row, size_t column)
{
    return (wall_time){db_i64(result, row, column)};
}

/* PostgreSQL's text form of bytea: \x and two digits per byte. */
slice db_bytes(const struct db_result *result, size_t row, size_t column)
{
    slice text = db_text(result, row, column);
    if (!slice_starts_with(text, SLICE("\\x"))) return SLICE_NONE;
    size_t len = (text.len - 2) / 2;
    /* The memory is the result's; what the caller sees of it does not change. */
    struct arena *arena = &((struct db_result *)(uintptr_t)result)->arena;
    uint8_t *bytes = arena_alloc(arena, len + 1);
    if (bytes == NULL || !status_ok(slice_from_hex(slice_from(text, 2), bytes, len)))
        return SLICE_NONE;
    return (slice){(const char *)bytes, len};
}

int64_t db_affected(const struct db_result *result)
{
    int64_t count = 0;
    slice text = slice_of(PQcmdTuples(result->pg));
    return text.len > 0 && status_ok(slice_to_i64(text, &count)) ? count : 0;
}

void db_result_free(struct db_result **pointer)
{
    struct db_result *result = TAKE(*pointer);
    if (result == NULL) return;
    PQclear(result->pg);
    arena_free(&result->arena);
    free(result);
}
