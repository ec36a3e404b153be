/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical encoding of a generation's row. It may never change: roots of batches that were
 * posted years ago depend on each byte. */
#include "shared/generation_row.h"

#include "shared/ipc/codec.h"

void generation_row_encode(const struct generation_row *row, struct buffer *out)
{
    codec_put_u16(out, &row->cell);
    codec_put_u32(out, &row->incarnation);
    for (size_t column = 0; column < GENERATION_BYOK_FIRST; column++)
        codec_put_i64(out, &row->numbers[column]);
    for (size_t column = 0; column < GENERATION_TEXT_COUNT; column++)
        codec_put_text(out, row->texts[column], UINT16_MAX);
    codec_put_text(out, row->attempts, UINT16_MAX);
    if (!generation_row_is_byok(row)) return;
    for (size_t column = GENERATION_BYOK_FIRST; column < GENERATION_NUMBER_COUNT; column++)
        codec_put_i64(out, &row->numbers[column]);
}

bool generation_row_is_byok(const struct generation_row *row)
{
    for (size_t column = GENERATION_BYOK_FIRST; column < GENERATION_NUMBER_COUNT; column++) {
        if (row->numbers[column] != 0) return true;
    }
    return false;
}
