/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and syncing. Three threads meet here: the core's writes records, the journal's syncs
 * them, the preparer's makes segments ahead and deletes posted ones. The lock is only ever held for
 * moments; no system call but write happens on the core's thread. */
#include "services/ledger/journal/journal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/daemon.h"
#include "shared/log.h"
#include "shared/metrics.h"
#include "shared/scheduling.h"

#define SEGMENTS_MAX    4096 /* in use at once; more and no hold is admitted */
#define READY_MAX       4096
#define LOADED_RECORDS  8  /* a sync that covered more means that the next can wait a little */
#define CROWDED_RECORDS 32 /* and more than these, that every processor is busy with requests */
#define ALONE_RECORDS   2  /* a hold and its ending */
#define ALONE_SYNCS     8  /* in a row that covered no more: one request after the other */
#define RETRY_S         1  /* the preparer's pause after a failure */

/* A segment that was begun; it is deleted when a later one exists and nothing needs it. */
struct segment {
    uint64_t number;
    uint64_t first_seq;
    uint64_t marks_seq;
    int fd; /* -1: synced and closed */
};
struct ready_segment {
    uint64_t number;
    int fd;
};

struct journal {
    struct journal_settings settings;
    pthread_mutex_t lock;
    pthread_cond_t to_sync;
    pthread_cond_t to_prepare;
    pthread_cond_t prepared;
    pthread_t sync_thread;
    pthread_t prepare_thread;
    bool stopping;

    /* The core's thread: */
    int fd;
    uint64_t offset;
    struct buffer head;
    struct buffer marks;

    /* Under the lock: */
    struct segment segments[SEGMENTS_MAX]; /* oldest first; the last is being written */
    size_t segment_count;
    struct ready_segment ready[READY_MAX];
    size_t ready_count;
    uint64_t number_prepare; /* of the segment that is prepared next */
    uint64_t room_here;      /* bytes left in the segment at hand */
    uint64_t written_seq;
    uint64_t wanted_seq;
    uint64_t oldest_open;
    uint64_t posted_seq;
    bool syncing;     /* the journal's thread, right now */
    bool sync_sleeps; /* the journal's thread, until it is woken */
    bool may_sync_here;
    bool sync_here_due;  /* journal_sync_here() is about to do it; the journal's thread keeps out */
    bool loaded;         /* the next sync waits until an interval after the start of the last */
    uint32_t alone;      /* syncs in a row that covered one request, at most ALONE_SYNCS */
    uint64_t started_ms; /* the last sync */
    uint64_t average_us; /* of a sync */

    int sync_fds[SEGMENTS_MAX]; /* of whoever syncs */
    _Atomic uint64_t synced_seq;
};

static void *run_sync(void *context);
static void *run_prepare(void *context);
static void begin_segment(struct journal *journal, uint64_t first_seq);
static status prepare_one(struct journal *journal);

/* ---- life ----------------------------------------------------------------------------------- */

status journal_open(const struct journal_settings *settings, struct journal **out)
{
    struct journal *journal = calloc(1, sizeof(*journal));
    if (journal == NULL) abort();
    journal->settings = *settings;
    journal->fd = -1;
    journal->number_prepare = settings->number_next;
    journal->written_seq = settings->seq_last;
    journal->wanted_seq = settings->seq_last;
    journal->oldest_open = UINT64_MAX;
    journal->loaded = !settings->strict;
    journal->average_us = JOURNAL_SLOW_US;
    atomic_store(&journal->synced_seq, settings->seq_last);
    fault_note("journal_synced", settings->seq_last);
    for (size_t i = 0; i < settings->old_count && i < SEGMENTS_MAX / 2; i++) {
        const struct journal_file *old = &settings->old[i];
        if (old->first_seq == 0) continue;
        journal->segments[journal->segment_count++] = (struct segment){.number = old->number,
                                                                       .first_seq = old->first_seq,
                                                                       .marks_seq = old->marks_seq,
                                                                       .fd = -1};
    }
    buffer_init(&journal->head, (size_t)1 << 20);
    buffer_init(&journal->marks, (size_t)1 << 20);
    (void)pthread_mutex_init(&journal->lock, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&journal->to_sync, &monotonic);
    (void)pthread_cond_init(&journal->to_prepare, &monotonic);
    (void)pthread_cond_init(&journal->prepared, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    status done = prepare_one(journal);
    if (!status_ok(done)) {
        free(journal);
        return done;
    }
    if (pthread_create(&journal->sync_thread, NULL, run_sync, journal) != 0) abort();
    if (pthread_create(&journal->prepare_thread, NULL, run_prepare, journal) != 0) abort();
    *out = journal;
    return OK;
}

void journal_close(struct journal **pointer)
{
    struct journal *journal = *pointer;
    if (journal == NULL) return;
    (void)pthread_mutex_lock(&journal->lock);
    journal->stopping = true;
    journal->wanted_seq = journal->written_seq;
    (void)pthread_cond_broadcast(&journal->to_sync);
    (void)pthread_cond_broadcast(&journal->to_prepare);
    (void)pthread_mutex_unlock(&journal->lock);
    (void)pthread_join(journal->sync_thread, NULL);
    (void)pthread_join(journal->prepare_thread, NULL);
    for (size_t i = 0; i < journal->ready_count; i++)
        (void)close(journal->ready[i].fd);
    for (size_t i = 0; i < journal->segment_count; i++) {
        if (journal->segments[i].fd >= 0) (void)close(journal->segments[i].fd);
    }
    buffer_free(&journal->head);
    buffer_free(&journal->marks);
    free(journal);
    *pointer = NULL; /* not before: the last sync's callback may look at it */
}

uint64_t journal_synced(const struct journal *journal)
{
    return atomic_load(&((struct journal *)(uintptr_t)journal)->synced_seq);
}

/* A new segment can lose a record's size at its end, and its head at the front. */
uint64_t journal_room(struct journal *journal)
{
    (void)pthread_mutex_lock(&journal->lock);
    uint64_t whole = journal->settings.segment_size - 2 * RECORD_SIZE_MAX - journal->head.size;
    uint64_t room = journal->room_here > RECORD_SIZE_MAX ? journal->room_here - RECORD_SIZE_MAX : 0;
    room += journal->ready_count * whole;
    (void)pthread_mutex_unlock(&journal->lock);
    return room;
}

void journal_set_posted(struct journal *journal, uint64_t seq)
{
    (void)pthread_mutex_lock(&journal->lock);
    journal->posted_seq = seq;
    if (journal->segment_count > 1) (void)pthread_cond_signal(&journal->to_prepare);
    (void)pthread_mutex_unlock(&journal->lock);
}

/* ---- writing (the core's thread) ------------------------------------------------------------ */

/* A half-written record would be the end of the journal, so there is no way on. */
static void write_or_die(int fd, slice bytes, uint64_t offset)
{
    while (bytes.len > 0) {
        ssize_t count = pwrite(fd, bytes.data, bytes.len, (off_t)offset);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            log_error("journal_write_failed", F(errno, errno));
            _exit(1);
        }
        bytes = slice_from(bytes, (size_t)count);
        offset += (uint64_t)count;
    }
}

/* Length and first sequence number of as many whole records as fit into `room`. */
static size_t take_fitting(slice records, uint64_t room)
{
    size_t len = 0;
    while (len < records.len) {
        struct record record;
        size_t taken;
        status done = record_next(slice_from(records, len), &record, &taken);
        assert(status_ok(done)); /* our own */
        if (len + taken > room) break;
        len += taken;
    }
    return len;
}

static uint64_t first_seq_of(slice records)
{
    struct record record;
    size_t taken;
    status done = record_next(records, &record, &taken);
    assert(status_ok(done));
    return record.seq;
}

/* Under the lock, before anything new is wanted. */
static bool can_sync_here(const struct journal *journal)
{
    bool idle = !journal->syncing && journal->wanted_seq <= atomic_load(&journal->synced_seq);
    return journal->may_sync_here && idle && journal->alone >= ALONE_SYNCS &&
           journal->average_us < JOURNAL_FAST_US;
}

void journal_write(struct journal *journal, slice records, const struct journal_written *written)
{
    fault_point("before_journal");
    metric_add(journal_bytes_total, records.len);
    while (records.len > 0) {
        uint64_t room = journal->fd < 0 ? 0 : journal->settings.segment_size - journal->offset;
        /* Mostly all fit, and then they need not be looked at. */
        size_t len = records.len <= room ? records.len : take_fitting(records, room);
        if (len == 0) {
            begin_segment(journal, first_seq_of(records));
            continue;
        }
        write_or_die(journal->fd, slice_first(records, len), journal->offset);
        journal->offset += len;
        records = slice_from(records, len);
    }
    fault_point("after_journal");
    (void)pthread_mutex_lock(&journal->lock);
    journal->room_here = journal->settings.segment_size - journal->offset;
    journal->written_seq = written->seq_last;
    journal->oldest_open = written->seq_oldest_open;
    if (written->seq_ending_last > journal->wanted_seq) {
        if (can_sync_here(journal)) journal->sync_here_due = true;
        journal->wanted_seq = written->seq_ending_last;
        /* A thread that syncs or waits for the interval to be over finds it by itself. */
        bool wake = journal->sync_sleeps && !journal->sync_here_due;
        if (wake) (void)pthread_cond_signal(&journal->to_sync);
    }
    (void)pthread_mutex_unlock(&journal->lock);
}

static struct ready_segment take_ready(struct journal *journal)
{
    (void)pthread_mutex_lock(&journal->lock);
    if (journal->ready_count == 0) log_error("journal_waits_for_segment");
    while (journal->ready_count == 0)
        (void)pthread_cond_wait(&journal->prepared, &journal->lock);
    struct ready_segment ready = journal->ready[0];
    journal->ready_count--;
    memmove(journal->ready, journal->ready + 1, journal->ready_count * sizeof(journal->ready[0]));
    (void)pthread_cond_signal(&journal->to_prepare);
    (void)pthread_mutex_unlock(&journal->lock);
    return ready;
}

static void begin_segment(struct journal *journal, uint64_t first_seq)
{
    struct ready_segment ready = take_ready(journal);
    struct segment_head head = {.number = ready.number, .first_seq = first_seq};
    buffer_clear(&journal->head);
    buffer_clear(&journal->marks);
    journal->settings.describe(journal->settings.context, &head, &journal->marks);
    journal_boot_id(head.boot_id);
    segment_head_append(&journal->head, &head);
    write_or_die(ready.fd, buffer_slice(&journal->head), 0);
    (void)pthread_mutex_lock(&journal->lock);
    assert(journal->segment_count < SEGMENTS_MAX);
    journal->segments[journal->segment_count++] = (struct segment){.number = ready.number,
                                                                   .first_seq = first_seq,
                                                                   .marks_seq = head.marks_seq,
                                                                   .fd = ready.fd};
    journal->fd = ready.fd;
    journal->offset = journal->head.len;
    (void)pthread_mutex_unlock(&journal->lock);
}

/* ---- syncing -------------------------------------------------------------------------------- */

static void wait_until_ms(struct journal *journal, pthread_cond_t *condition, uint64_t at_ms)
{
    struct timespec at = {.tv_sec = (time_t)(at_ms / 1000),
                          .tv_nsec = (long)(at_ms % 1000) * 1000000};
    (void)pthread_cond_timedwait(condition, &journal->lock, &at);
}

/* Descriptors that may hold unsynced records. All but the last are finished and closed after it. */
static size_t list_unsynced(struct journal *journal, int fds[SEGMENTS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < journal->segment_count; i++) {
        if (journal->segments[i].fd >= 0) fds[count++] = journal->segments[i].fd;
    }
    return count;
}

static void close_finished(struct journal *journal, const int *fds, size_t count)
{
    for (size_t i = 0; i < journal->segment_count; i++) {
        for (size_t j = 0; j + 1 < count; j++) {
            if (journal->segments[i].fd != fds[j]) continue;
            (void)close(journal->segments[i].fd);
            journal->segments[i].fd = -1;
            break;
        }
    }
}

static void note_duration(struct journal *journal, uint64_t took_us)
{
    uint64_t counted_us = took_us < JOURNAL_SLOW_US ? took_us : JOURNAL_SLOW_US;
    journal->average_us = (journal->average_us * 15 + counted_us) / 16;
}

/* Under the lock on entry and return. After a failed sync the kernel may have dropped the pages:
 * nothing can be trusted but a new start from what is on disk. How many records it covered. */
static uint64_t sync_once(struct journal *journal)
{
    int *fds = journal->sync_fds;
    uint64_t target = journal->written_seq;
    uint64_t covered = target - atomic_load(&journal->synced_seq);
    size_t count = list_unsynced(journal, fds);
    (void)pthread_mutex_unlock(&journal->lock);
    uint64_t started_us = clock_monotonic_us();
    for (size_t i = 0; i < count; i++) {
        if (fdatasync(fds[i]) == 0) continue;
        log_error("journal_sync_failed", F(errno, errno));
        _exit(1);
    }
    metric_add(journal_syncs_total, 1);
    uint64_t took_us = clock_monotonic_us() - started_us;
    metric_time(journal_sync, took_us);
    fault_note("journal_synced", target);
    fault_point("after_sync");
    atomic_store(&journal->synced_seq, target);
    (void)pthread_mutex_lock(&journal->lock);
    close_finished(journal, fds, count);
    journal->started_ms = started_us / 1000;
    note_duration(journal, took_us);
    journal->loaded = !journal->settings.strict || covered > LOADED_RECORDS;
    bool alone = journal->settings.strict && covered <= ALONE_RECORDS;
    journal->alone = !alone ? 0 : journal->alone + (journal->alone < ALONE_SYNCS);
    return covered;
}

void journal_let_sync_here(struct journal *journal)
{
    (void)pthread_mutex_lock(&journal->lock);
    journal->may_sync_here = true;
    (void)pthread_mutex_unlock(&journal->lock);
}

bool journal_sync_here(struct journal *journal)
{
    (void)pthread_mutex_lock(&journal->lock);
    bool due = journal->sync_here_due;
    if (due) (void)sync_once(journal);
    journal->sync_here_due = false;
    (void)pthread_mutex_unlock(&journal->lock);
    return due;
}

/* At once when idle or lightly loaded; under load, and in fast mode, the next sync waits until an
 * interval after the start of the last one, so that it covers more. */
static void *run_sync(void *context)
{
    struct journal *journal = context;
    (void)pthread_mutex_lock(&journal->lock);
    for (;;) {
        bool wanted = journal->wanted_seq > atomic_load(&journal->synced_seq);
        if (!wanted || journal->sync_here_due) {
            if (journal->stopping) break;
            journal->sync_sleeps = true;
            (void)pthread_cond_wait(&journal->to_sync, &journal->lock);
            journal->sync_sleeps = false;
            continue;
        }
        uint64_t at_ms = journal->started_ms + journal->settings.sync_interval_ms;
        if (journal->loaded && !journal->stopping && clock_monotonic_ms() < at_ms) {
            wait_until_ms(journal, &journal->to_sync, at_ms);
            continue;
        }
        journal->syncing = true;
        uint64_t covered = sync_once(journal);
        (void)pthread_mutex_unlock(&journal->lock);
        /* In a crowd who would be displaced is about to write what the next sync covers; else an
         * answer would wait for whatever else the machine has to do. */
        scheduling_give_way(covered > CROWDED_RECORDS);
        journal->settings.synced(journal->settings.context);
        (void)pthread_mutex_lock(&journal->lock);
        journal->syncing = false;
    }
    (void)pthread_mutex_unlock(&journal->lock);
    return NULL;
}

/* ---- preparing and deleting ----------------------------------------------------------------- */

static status prepare_one(struct journal *journal)
{
    int fd = -1;
    uint64_t number = journal->number_prepare;
    TRY(journal_file_prepare(&journal->settings, number, &fd));
    (void)pthread_mutex_lock(&journal->lock);
    journal->ready[journal->ready_count++] = (struct ready_segment){number, fd};
    journal->number_prepare++;
    (void)pthread_cond_signal(&journal->prepared);
    (void)pthread_mutex_unlock(&journal->lock);
    return OK;
}

/* The oldest segment, when the next one alone is enough for a start and the poster: all before it
 * is posted, no hold in it is open, and what its head says is posted, too. */
static bool oldest_is_done(const struct journal *journal)
{
    if (journal->segment_count < 2 || journal->segments[0].fd >= 0) return false;
    const struct segment *next = &journal->segments[1];
    return journal->posted_seq + 1 >= next->first_seq && journal->posted_seq >= next->marks_seq &&
           journal->oldest_open >= next->first_seq;
}

/* Under the lock on entry and return. */
static void delete_oldest(struct journal *journal)
{
    uint64_t number = journal->segments[0].number;
    journal->segment_count--;
    memmove(journal->segments, journal->segments + 1,
            journal->segment_count * sizeof(journal->segments[0]));
    (void)pthread_mutex_unlock(&journal->lock);
    status done =
        journal_file_delete(journal->settings.directory, journal->settings.incarnation, number);
    if (!status_ok(done)) log_warning("journal_delete_failed", F(number, number), F(errno, errno));
    (void)pthread_mutex_lock(&journal->lock);
}

/* Under the lock. Each posted batch wakes this thread, too: a full disk is not tried more often for
 * that, only when there is something to delete. */
static void pause_after_failure(struct journal *journal)
{
    uint64_t until_ms = clock_monotonic_ms() + RETRY_S * 1000;
    while (!journal->stopping && !oldest_is_done(journal) && clock_monotonic_ms() < until_ms)
        wait_until_ms(journal, &journal->to_prepare, until_ms);
}

static void *run_prepare(void *context)
{
    struct journal *journal = context;
    (void)pthread_mutex_lock(&journal->lock);
    while (!journal->stopping) {
        if (oldest_is_done(journal)) {
            delete_oldest(journal);
            continue;
        }
        uint32_t wanted = journal->settings.segments_ready;
        bool enough =
            journal->ready_count >= wanted || journal->segment_count + wanted >= SEGMENTS_MAX;
        if (enough) {
            (void)pthread_cond_wait(&journal->to_prepare, &journal->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&journal->lock);
        status done = prepare_one(journal);
        (void)pthread_mutex_lock(&journal->lock);
        if (status_ok(done)) continue;
        log_error("journal_segment_not_prepared", F(errno, errno));
        pause_after_failure(journal);
    }
    (void)pthread_mutex_unlock(&journal->lock);
    return NULL;
}
