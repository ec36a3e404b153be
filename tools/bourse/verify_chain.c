/* SPDX-License-Identifier: Apache-2.0 */
/* The chain over the batches of each stream: every link is the hash of the one before, the range of
 * records and the root; batches follow each other, and the stream stands where the last one ends.
 * And what each batch's rows charge is what its transfers moved. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/bourse/verify.h"

#define PLACE_SIZE 96

static void name_batch(const struct verify_batch *batch, char place[PLACE_SIZE])
{
    snprintf(place, PLACE_SIZE, "batch %" PRId64 "/%" PRId64 "/%" PRId64, batch->cell,
             batch->incarnation, batch->lo);
}

static bool same_stream(const struct verify_batch *a, const struct verify_batch *b)
{
    return a->cell == b->cell && a->incarnation == b->incarnation;
}

static void check_link(struct verify *verify, size_t at)
{
    static const uint8_t zeros[MERKLE_HASH_SIZE];
    const struct verify_batch *batch = &verify->batches[at];
    const struct verify_batch *before = at == 0 ? NULL : &verify->batches[at - 1];
    bool first = before == NULL || !same_stream(before, batch);
    char place[PLACE_SIZE];
    name_batch(batch, place);
    int64_t expected = first ? 0 : before->hi;
    if (batch->lo != expected)
        verify_found(verify, place, "does not follow record %" PRId64, expected);
    uint8_t link[MERKLE_HASH_SIZE];
    merkle_link(first ? zeros : before->link, (uint64_t)batch->lo, (uint64_t)batch->hi, batch->root,
                link);
    if (memcmp(link, batch->link, sizeof(link)) != 0)
        verify_found(verify, place,
                     "its link is not the hash of the one before, its range and root");
}

static const struct verify_batch *last_of(const struct verify *verify, int64_t cell,
                                          int64_t incarnation)
{
    const struct verify_batch *last = NULL;
    for (size_t i = 0; i < verify->batch_count; i++) {
        const struct verify_batch *batch = &verify->batches[i];
        if (batch->cell == cell && batch->incarnation == incarnation) last = batch;
    }
    return last;
}

status verify_chain(struct verify *verify)
{
    for (size_t i = 0; i < verify->batch_count; i++)
        check_link(verify, i);
    SCOPED(db_result_free) struct db_result *result = NULL;
    TRY(db_run(verify->db, "verify_streams", NULL, 0, &result));
    for (size_t row = 0; row < db_row_count(result); row++) {
        int64_t cell = db_i64(result, row, 0), incarnation = db_i64(result, row, 1);
        const struct verify_batch *last = last_of(verify, cell, incarnation);
        int64_t stands = db_i64(result, row, 2), ends = last == NULL ? 0 : last->hi;
        slice link = db_bytes(result, row, 3);
        char place[PLACE_SIZE];
        snprintf(place, sizeof(place), "stream %" PRId64 "/%" PRId64, cell, incarnation);
        if (stands != ends)
            verify_found(verify, place,
                         "stands at record %" PRId64 ", its last batch ends at %" PRId64, stands,
                         ends);
        bool linked = last == NULL || (link.len == MERKLE_HASH_SIZE &&
                                       memcmp(link.data, last->link, MERKLE_HASH_SIZE) == 0);
        if (!linked) verify_found(verify, place, "its link is not its last batch's");
    }
    return OK;
}

void verify_sums(struct verify *verify)
{
    for (size_t i = 0; i < verify->batch_count; i++) {
        const struct verify_batch *batch = &verify->batches[i];
        char place[PLACE_SIZE];
        name_batch(batch, place);
        if (batch->rows_charge.nano != batch->moved_charge.nano)
            verify_found(verify, place,
                         "its rows charge %" PRId64 " nano-dollars, its transfers moved %" PRId64,
                         batch->rows_charge.nano, batch->moved_charge.nano);
        if (batch->rows_owed.nano != batch->moved_owed.nano)
            verify_found(verify, place,
                         "its rows owe providers %" PRId64
                         " nano-dollars, its transfers booked %" PRId64,
                         batch->rows_owed.nano, batch->moved_owed.nano);
    }
}
