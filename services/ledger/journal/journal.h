/* SPDX-License-Identifier: Apache-2.0 */
/* The journal on disk: segment files of one size, prepared ahead (allocated, filled with zeros,
 * synced, named), written by the core's thread, synced by a thread of their own, deleted when
 * posted. Names are <incarnation>-<number>.seg. */
#pragma once

#include "services/ledger/journal/records.h"

struct journal;

struct journal_settings {
    const char *directory;
    uint16_t cell;
    uint32_t incarnation;
    uint64_t segment_size;
    uint32_t segments_ready; /* kept prepared */
    uint32_t sync_interval_ms;
    bool strict;
    uint64_t number_next; /* of the first segment that will be written */
    uint64_t seq_last;    /* of the last record that is on disk */
    const struct journal_file
        *old; /* segments of this incarnation from before; deleted when nothing needs them */
    size_t old_count;
    /* Called on the journal's thread after every sync. */
    void (*synced)(void *context);
    /* Fills in the core's part of a new segment's head; called on the core's thread. */
    void (*describe)(void *context, struct segment_head *head, struct buffer *marks);
    void *context;
};

/* Waits until the first segment is prepared. IO when the directory cannot be written to. */
status journal_open(const struct journal_settings *settings, struct journal **journal);
/* Syncs what was written, ends the threads, closes. */
void journal_close(struct journal **journal);

/* Whole records, in order. Returns when they are written, not synced. On a failing disk the process
 * ends, because a record that is neither written nor refused must not exist. */
struct journal_written {
    uint64_t seq_last;
    uint64_t seq_ending_last; /* what has to be synced soon; holds alone do not */
    uint64_t seq_oldest_open; /* nothing at or above it is deleted */
};
void journal_write(struct journal *journal, slice records, const struct journal_written *written);

/* Strict mode: from journal_let_sync_here() on, the writer's thread calls journal_sync_here()
 * before it waits for anything, and may find itself syncing what it wrote, which spares two
 * hand-overs between threads. Left to it is only what the journal's thread, being idle, would sync
 * at once; only while the last syncs covered one request each, because others would have their
 * holds wait behind the disk; and only on a fast disk: while the average of the syncs, the last one
 * counting a sixteenth, is below JOURNAL_FAST_US. A single one counts JOURNAL_SLOW_US at most and
 * an unknown disk as much. So on a fast disk that gets slow the writer waits for one sync of 6 ms
 * or more, or for few that are shorter, and syncs again only after three to eight fast ones (by the
 * formula, from an average of 0.1 ms). On a slow disk it never does. false: there was nothing to
 * do. `synced` is not called for it. */
#define JOURNAL_FAST_US 400
#define JOURNAL_SLOW_US 8000
void journal_let_sync_here(struct journal *journal);
bool journal_sync_here(struct journal *journal);

uint64_t journal_synced(const struct journal *journal);
/* Bytes of records that are sure to find room. */
uint64_t journal_room(struct journal *journal);
/* From the poster: everything up to it is in PostgreSQL. */
void journal_set_posted(struct journal *journal, uint64_t seq);

/* ---- files ---- */

#define JOURNAL_PATH_MAX 256
struct journal_file {
    uint32_t incarnation;
    uint64_t number;
    uint64_t first_seq; /* 0: prepared, never used */
    uint64_t marks_seq;
    uint8_t boot_id[BOOT_ID_SIZE];
    bool damaged; /* its head cannot be read, or does not fit name and cell */
};
struct journal_files {
    struct journal_file *items; /* ascending by (incarnation, number) */
    size_t count;
};
/* All segments of a directory, which is made when it is not there. A segment whose head cannot be
 * read has first_seq 0, too. */
status journal_files_list(const char *directory, uint16_t cell, struct journal_files *files);
void journal_files_free(struct journal_files *files);
status journal_file_path(const char *directory, uint32_t incarnation, uint64_t number,
                         char path[JOURNAL_PATH_MAX]);
status journal_file_delete(const char *directory, uint32_t incarnation, uint64_t number);
/* Puts every segment of an incarnation aside: renamed to .old, never read again. */
status journal_files_set_aside(const char *directory, const struct journal_files *files,
                               uint32_t incarnation);
/* A new segment: allocated, zeroed, synced under a temporary name, then renamed. */
status journal_file_prepare(const struct journal_settings *settings, uint64_t number, int *fd);
void journal_boot_id(uint8_t boot_id[BOOT_ID_SIZE]);

/* ---- reading ---- */

struct journal_reader;
/* Starts before the first record of a segment. */
status journal_reader_open(const char *directory, uint32_t incarnation, uint64_t number,
                           struct journal_reader **reader);
void journal_reader_free(struct journal_reader **reader);
const struct segment_head *journal_reader_head(
    const struct journal_reader *reader); /* of the segment at hand */
uint64_t journal_reader_number(const struct journal_reader *reader);
uint64_t journal_reader_next_seq(const struct journal_reader *reader);
/* The next record; its payload lives until the next call. END: no more for now (a later call may
 * find some). */
status journal_reader_next(struct journal_reader *reader, struct record *record);
/* After END at the end of the journal: MALFORMED when something in it or in a segment up to
 * `number_max` proves that a synced record is damaged or missing. The reader is of no more use. */
status journal_reader_check_tail(struct journal_reader *reader, uint64_t number_max);
