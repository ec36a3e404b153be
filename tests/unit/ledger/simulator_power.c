/* SPDX-License-Identifier: Apache-2.0 */
/* The power goes. Where durability is fast a client may have been told a charge whose record goes
 * with it: exactly those are struck from the log that the auditor gets, so that it finds every
 * other loss. */
#include "tests/unit/ledger/simulator.h"

#include <assert.h>

static void strike_told(struct simulator *sim, const struct record *record)
{
    struct sim_log *log = &sim->log;
    struct record_ending ending;
    if (record->type != RECORD_ending) return;
    status read = record_decode_ending(record->payload, &ending);
    assert(status_ok(read));
    for (size_t i = 0; i < log->told_count; i++) {
        const struct sim_entry *told = &log->told[i];
        if (told->incarnation != sim->settings.incarnation || told->hold != ending.hold) continue;
        log->told[i] = log->told[--log->told_count];
        sim->run->told_lost++;
        return;
    }
}

void sim_tear_disk(struct simulator *sim)
{
    size_t at = sim->synced_len, end = sim->disk.len;
    if (at == end) return;
    sim->disk.len = at + sim_below(sim, (uint32_t)(end - at) + 1);
    while (!sim->settings.strict && at < end) {
        struct record record;
        size_t taken;
        status next = record_next((slice){sim->disk.data + at, end - at}, &record, &taken);
        assert(status_ok(next));
        at += taken;
        if (at > sim->disk.len) strike_told(sim, &record);
    }
}
