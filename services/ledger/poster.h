/* SPDX-License-Identifier: Apache-2.0 */
/* Synced journal records into PostgreSQL, in order, exactly once: a thread with its own connection
 * that reads the segments back. */
#pragma once

#include "services/ledger/journal/journal.h"
#include "services/ledger/store.h"

struct poster;

struct poster_settings {
    const char *directory; /* of the journal */
    const char *database;  /* connection string */
    uint16_t cell;
    uint32_t incarnation;
    uint64_t number; /* segment to begin reading at: one whose first record is at or below the
                        cursor's next */
    struct store_stream stream;
    uint32_t batch_max; /* records per transaction */
    uint32_t interval_ms;
    /* Called on the poster's thread after each commit. */
    void (*posted)(void *context, uint64_t seq);
    void *context;
};

/* Nothing runs yet. */
status poster_new(const struct poster_settings *settings, struct poster **poster);
/* Posts everything up to `seq` on the caller's thread: the start waits for it, and so does an
 * orderly end. DATABASE: the database does not answer; call again. */
status poster_catch_up(struct poster *poster, uint64_t seq);
void poster_start(struct poster *poster);
/* Records up to `seq` are on disk. From any thread. */
void poster_wake(struct poster *poster, uint64_t synced_seq, uint64_t ending_seq);
void poster_stop(struct poster *poster); /* the transaction at hand ends first */
void poster_free(struct poster **poster);

uint64_t poster_posted(const struct poster *poster);
/* false: not within wait_ms. */
bool poster_wait(struct poster *poster, uint64_t seq, int64_t wait_ms);
