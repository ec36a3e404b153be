/* SPDX-License-Identifier: Apache-2.0 */
/* The posting loop. A batch that the database refuses is halved until the record at fault stands
 * alone; that one is tried as a late charge, and goes to suspense if even that is refused. What is
 * not the record's fault is waited for. Nothing is ever skipped: each way moves the cursor over the
 * record. When the outcome of a commit is not known the cursor tells. */
#include "services/ledger/poster.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/daemon.h"
#include "shared/log.h"
#include "shared/metrics.h"
#include "shared/scheduling.h"

#define ARENA_MAX      ((size_t)256 << 20)
/* Bytes of a batch, per record; every other one is a hold and makes no row. An ending takes about 3
 * KB for itself, its row and sums, and 800 bytes of parameters for the widest statement. */
#define ROW_MEMORY     2048
#define ROW_PARAMETERS 512
/* Of it for records, so that rows and sums of them fit, too. */
#define GATHER_MAX     (ARENA_MAX / 4)
#define RETRY_MS       200

struct poster {
    struct poster_settings settings;
    struct db *db;
    struct journal_reader *reader;
    struct arena arena;
    struct posting posting;  /* the batch being gathered */
    struct arena part_arena; /* of a batch that is posted in parts */
    uint8_t link[HASH_SIZE];
    uint64_t hold_floor;
    bool failed;         /* the batch was tried: it must not become another one */
    uint64_t unknown_hi; /* where the cursor may stand by a step whose answer we did not get; 0 */

    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t done;
    bool stopping;
    uint64_t synced_seq;
    uint64_t ending_seq; /* last synced record that makes a row */
    uint64_t wake_seq;   /* the thread need not be woken before ending_seq is this */
    uint64_t waited_seq; /* somebody waits for this record: post at once */
    _Atomic uint64_t posted_seq;
};

static void *run_poster(void *context);
static status post_gathered(struct poster *poster);
static status post_range(struct poster *poster, const struct posting *all, size_t from,
                         size_t count);

static void begin_batch(struct poster *poster)
{
    posting_begin(&poster->posting, &poster->arena, poster->settings.batch_max);
    poster->posting.lo = poster->posting.hi = atomic_load(&poster->posted_seq);
    poster->posting.hold_first = poster->posting.hold_floor = poster->hold_floor;
    memcpy(poster->posting.previous_link, poster->link, HASH_SIZE);
}

/* The reader stands at the start of a segment; what is posted already is passed over. */
static status skip_posted(struct poster *poster)
{
    while (journal_reader_next_seq(poster->reader) <= poster->settings.stream.last_seq) {
        struct record record;
        TRY(journal_reader_next(poster->reader, &record));
    }
    return OK;
}

status poster_new(const struct poster_settings *settings, struct poster **out)
{
    struct poster *poster = calloc(1, sizeof(*poster));
    if (poster == NULL) abort();
    poster->settings = *settings;
    arena_init(&poster->arena, ARENA_MAX);
    arena_reserve(&poster->arena, (size_t)settings->batch_max * ROW_MEMORY);
    arena_init(&poster->part_arena, ARENA_MAX);
    (void)pthread_mutex_init(&poster->lock, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&poster->work, &monotonic);
    (void)pthread_cond_init(&poster->done, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    memcpy(poster->link, settings->stream.link, HASH_SIZE);
    poster->hold_floor = settings->stream.hold_floor;
    atomic_store(&poster->posted_seq, settings->stream.last_seq);
    poster->synced_seq = poster->ending_seq = settings->stream.last_seq;
    poster->posting.cell = settings->cell;
    poster->posting.incarnation = settings->incarnation;
    *out = poster;
    TRY(db_open(settings->database, "bourse_ledger", &store_statements, &poster->db));
    db_serve_batches(poster->db, (size_t)settings->batch_max * ROW_PARAMETERS);
    return OK;
}

void poster_free(struct poster **pointer)
{
    struct poster *poster = TAKE(*pointer);
    if (poster == NULL) return;
    poster_stop(poster);
    db_close(&poster->db);
    journal_reader_free(&poster->reader);
    arena_free(&poster->arena);
    arena_free(&poster->part_arena);
    free(poster);
}

/* ---- gathering ------------------------------------------------------------------------------ */

static status open_reader(struct poster *poster)
{
    if (poster->reader != NULL) return OK;
    TRY(journal_reader_open(poster->settings.directory, poster->settings.incarnation,
                            poster->settings.number, &poster->reader));
    TRY(skip_posted(poster));
    begin_batch(poster);
    return OK;
}

/* Reads on until the batch is full or `seq` is reached. What is asked for was synced, so it has to
 * be there. A batch that failed may be there in spite of that, or may come to be there: so it is
 * tried again as it was, and the cursor then stands at its one or its other end. */
static status gather(struct poster *poster, uint64_t seq)
{
    if (poster->failed) return OK;
    TRY(open_reader(poster));
    struct posting *posting = &poster->posting;
    while (posting->hi < seq && posting->hi - posting->lo < poster->settings.batch_max &&
           poster->arena.used < GATHER_MAX) {
        struct record record;
        TRY(journal_reader_next(poster->reader, &record));
        TRY(posting_add(posting, &record));
    }
    return OK;
}

status poster_catch_up(struct poster *poster, uint64_t seq)
{
    while (atomic_load(&poster->posted_seq) < seq) {
        status done = gather(poster, seq);
        if (!status_ok(done)) {
            log_error("journal_unreadable", FN(number, seq, poster->posting.hi + 1),
                      F(error, done));
            return FAIL(MALFORMED);
        }
        /* Holds without an ending make no row, but the cursor has to get past the last record. */
        TRY(post_gathered(poster));
    }
    return OK;
}

/* ---- posting -------------------------------------------------------------------------------- */

/* Under the lock. What makes no row is no lag: it is posted with the next that does. */
static void note_lag(const struct poster *poster)
{
    uint64_t posted = atomic_load(&poster->posted_seq);
    metric_set(posting_lag_records, poster->ending_seq > posted ? poster->synced_seq - posted : 0);
}

static void note_posted(struct poster *poster, const struct store_stream *stream)
{
    memcpy(poster->link, stream->link, HASH_SIZE);
    poster->hold_floor = stream->hold_floor;
    poster->unknown_hi = 0;
    metric_add(posted_batches_total, 1);
    metric_add(posted_records_total, stream->last_seq - atomic_load(&poster->posted_seq));
    (void)pthread_mutex_lock(&poster->lock);
    atomic_store(&poster->posted_seq, stream->last_seq);
    note_lag(poster);
    (void)pthread_cond_broadcast(&poster->done);
    (void)pthread_mutex_unlock(&poster->lock);
    poster->settings.posted(poster->settings.context, stream->last_seq);
}

/* Where the cursor stands is the one truth about a step whose answer we did not get. When that
 * cannot be read either, the step may have been a part of the batch that is tried next. */
static status read_cursor(struct poster *poster, const struct posting *posting)
{
    struct store_stream stream;
    status read =
        store_read_stream(poster->db, poster->settings.cell, poster->settings.incarnation, &stream);
    if (!status_ok(read) && poster->unknown_hi == 0) poster->unknown_hi = posting->hi;
    TRY(read);
    if (stream.last_seq == posting->hi) return OK;
    if (stream.last_seq == posting->lo) return FAIL(DATABASE);
    if (stream.last_seq == poster->unknown_hi) {
        note_posted(poster, &stream);
        return FAIL(DATABASE); /* the rest is still to do */
    }
    /* Somebody else moves our cursor, or the database is another one: no way on. The next start
     * sorts it out. */
    log_error("cursor_gap", FN(number, cursor, stream.last_seq), FN(number, lo, posting->lo),
              FN(number, hi, posting->hi));
    _exit(1);
}

enum post_way { POST_NORMAL, POST_LATE, POST_SUSPENSE };

/* The status of one attempt; OK also when it turns out to be there already. */
static status post_once(struct poster *poster, struct posting *posting, enum post_way way,
                        const char *sqlstate)
{
    status done = way == POST_SUSPENSE ? store_suspend(poster->db, posting, sqlstate)
                                       : store_post(poster->db, posting);
    if (status_ok(done)) fault_point("after_commit");
    if (done.code == ERROR_DATABASE || done.code == ERROR_CONFLICT)
        done = read_cursor(poster, posting);
    if (!status_ok(done)) return done;
    struct store_stream stream = {.last_seq = posting->hi, .hold_floor = posting->hold_floor};
    memcpy(stream.link, posting->link, HASH_SIZE);
    note_posted(poster, &stream);
    return OK;
}

/* A new batch of a part of the records of another. Records without a row before the part's first
 * belong to it. */
static status copy_part(struct poster *poster, const struct posting *all, size_t from, size_t count,
                        struct posting *part)
{
    *part = (struct posting){.cell = all->cell, .incarnation = all->incarnation};
    posting_begin(part, &poster->part_arena, count + 1);
    part->lo = atomic_load(&poster->posted_seq);
    part->hi = from + count == all->count ? all->hi : all->seqs[from + count - 1];
    part->hold_first = poster->hold_floor;
    memcpy(part->previous_link, poster->link, HASH_SIZE);
    for (size_t i = 0; i < count; i++) {
        part->endings[i] = all->endings[from + i];
        part->seqs[i] = all->seqs[from + i];
        part->payloads[i] = all->payloads[from + i];
        part->hold_floor = part->endings[i].hold_floor;
    }
    /* All of them with each part: what is noted twice is noted once. */
    part->uses = all->uses;
    part->use_count = all->use_count;
    part->count = count;
    if (count == 0) part->hold_floor = poster->hold_floor;
    return OK;
}

/* Whether what was refused is at fault, and not the moment, the schema or a grant, which are waited
 * for. Class 22 is data that no column takes. */
static bool is_at_fault(const struct poster *poster, status refused)
{
    switch (refused.code) {
    case ERROR_DATABASE_CHECK:
    case ERROR_DATABASE_CONFLICT:
    case ERROR_BAD_REQUEST:
    case ERROR_OVERFLOW:
    case ERROR_TOO_LARGE: return true;
    case ERROR_INTERNAL: return strncmp(db_last_sqlstate(poster->db), "22", 2) == 0;
    default: return false;
    }
}

/* Only a rule about what is there can be met by leaving the lease and the meters out. */
static bool can_be_late(status refused)
{
    return refused.code == ERROR_DATABASE_CHECK || refused.code == ERROR_DATABASE_CONFLICT;
}

/* Everything of it as a late charge. */
static status post_late(struct poster *poster, const struct posting *all, size_t from)
{
    struct posting part;
    TRY(copy_part(poster, all, from, 1, &part));
    log_warning("posted_late", FN(number, seq, part.seqs[0]),
                FN(name, sqlstate, slice_of(db_last_sqlstate(poster->db))));
    part.endings[0].leased = MONEY_ZERO;
    part.endings[0].epoch = 0;
    part.endings[0].meter = 0;
    part.endings[0].meters.bytes = SLICE_NONE;
    return post_once(poster, &part, POST_LATE, NULL);
}

/* One record that was refused: late if that helps, else set aside for an operator. */
static status post_alone(struct poster *poster, const struct posting *all, size_t from,
                         status refused)
{
    if (can_be_late(refused)) {
        status late = post_late(poster, all, from);
        if (status_ok(late) || !is_at_fault(poster, late)) return late;
    }
    char sqlstate[8] = {0};
    struct posting part;
    (void)slice_to_c_string(slice_first(slice_of(db_last_sqlstate(poster->db)), 7), sqlstate,
                            sizeof(sqlstate))
        .code;
    TRY(copy_part(poster, all, from, 1, &part));
    log_error("posted_to_suspense", FN(number, seq, part.seqs[0]),
              FN(name, sqlstate, slice_of(sqlstate)));
    metric_add(suspense_total, 1);
    return post_once(poster, &part, POST_SUSPENSE, sqlstate);
}

static status post_range(struct poster *poster, const struct posting *all, size_t from,
                         size_t count)
{
    struct posting part;
    TRY(copy_part(poster, all, from, count, &part));
    status done = post_once(poster, &part, POST_NORMAL, NULL);
    if (status_ok(done) || !is_at_fault(poster, done)) return done;
    if (count <= 1) return post_alone(poster, all, from, done);
    TRY(post_range(poster, all, from, count / 2));
    return post_range(poster, all, from + count / 2, count - count / 2);
}

/* A batch that was posted in parts and not to its end: what is posted leaves it. */
static void drop_posted(struct poster *poster)
{
    struct posting *posting = &poster->posting;
    uint64_t posted = atomic_load(&poster->posted_seq);
    size_t gone = 0;
    while (gone < posting->count && posting->seqs[gone] <= posted)
        gone++;
    posting->count -= gone;
    memmove(posting->endings, posting->endings + gone, posting->count * sizeof(*posting->endings));
    memmove(posting->seqs, posting->seqs + gone, posting->count * sizeof(*posting->seqs));
    memmove(posting->payloads, posting->payloads + gone,
            posting->count * sizeof(*posting->payloads));
    posting->lo = posted;
    posting->hold_first = poster->hold_floor;
    memcpy(posting->previous_link, poster->link, HASH_SIZE);
}

/* A record that is refused is found by halving. A batch of holds alone has no row that could be set
 * aside: it is tried again. */
static status post_in_parts(struct poster *poster, struct posting *posting, status refused)
{
    if (posting->count == 0) return FAIL(DATABASE);
    return posting->count > 1 ? post_range(poster, posting, 0, posting->count)
                              : post_alone(poster, posting, 0, refused);
}

/* Posts the gathered batch and begins the next. */
static status post_gathered(struct poster *poster)
{
    struct posting *posting = &poster->posting;
    status done = post_once(poster, posting, POST_NORMAL, NULL);
    if (!status_ok(done) && is_at_fault(poster, done)) {
        log_warning("batch_refused", FN(number, lo, posting->lo), FN(number, hi, posting->hi),
                    F(error, done));
        done = post_in_parts(poster, posting, done);
    }
    poster->failed = !status_ok(done);
    if (status_ok(done))
        begin_batch(poster);
    else
        drop_posted(poster);
    return done;
}

/* ---- thread --------------------------------------------------------------------------------- */

static void wait_ms(struct poster *poster, pthread_cond_t *condition, uint64_t until_ms)
{
    struct timespec at = {.tv_sec = (time_t)(until_ms / 1000),
                          .tv_nsec = (long)(until_ms % 1000) * 1000000};
    (void)pthread_cond_timedwait(condition, &poster->lock, &at);
}

/* Until there is a whole batch, or something and the interval since the last start is over. Answers
 * up to where to read; 0: stop. */
static uint64_t wait_for_work(struct poster *poster, uint64_t last_start_ms)
{
    uint64_t seq = 0;
    (void)pthread_mutex_lock(&poster->lock);
    while (!poster->stopping) {
        uint64_t posted = atomic_load(&poster->posted_seq);
        if (poster->ending_seq <= posted) {
            poster->wake_seq = posted + 1;
            (void)pthread_cond_wait(&poster->work, &poster->lock);
            continue;
        }
        uint64_t at_ms = last_start_ms + poster->settings.interval_ms;
        poster->wake_seq = posted + poster->settings.batch_max;
        bool full = poster->ending_seq >= poster->wake_seq;
        bool is_waited_for = poster->waited_seq > posted;
        if (full || is_waited_for || clock_monotonic_ms() >= at_ms) {
            seq = poster->ending_seq;
            break;
        }
        wait_ms(poster, &poster->work, at_ms);
    }
    (void)pthread_mutex_unlock(&poster->lock);
    return seq;
}

static void pause_after_failure(struct poster *poster)
{
    uint64_t until_ms = clock_monotonic_ms() + RETRY_MS;
    (void)pthread_mutex_lock(&poster->lock);
    while (!poster->stopping && clock_monotonic_ms() < until_ms)
        wait_ms(poster, &poster->work, until_ms);
    (void)pthread_mutex_unlock(&poster->lock);
}

static void *run_poster(void *context)
{
    struct poster *poster = context;
    scheduling_give_way(true); /* who reads balances waits for it, no request does */
    uint64_t started_ms = 0;
    for (;;) {
        uint64_t seq = wait_for_work(poster, started_ms);
        if (seq == 0) return NULL;
        started_ms = clock_monotonic_ms();
        status done = gather(poster, seq);
        if (!status_ok(done)) {
            log_error("journal_unreadable", FN(number, seq, poster->posting.hi + 1),
                      F(error, done));
            _exit(1); /* a synced record cannot be read back: the start will say why */
        }
        done = post_gathered(poster);
        if (!status_ok(done)) pause_after_failure(poster);
    }
}

void poster_start(struct poster *poster)
{
    if (pthread_create(&poster->thread, NULL, run_poster, poster) != 0) abort();
    poster->started = true;
}

void poster_wake(struct poster *poster, uint64_t synced_seq, uint64_t ending_seq)
{
    (void)pthread_mutex_lock(&poster->lock);
    poster->synced_seq = synced_seq;
    poster->ending_seq = ending_seq < synced_seq ? ending_seq : synced_seq;
    note_lag(poster);
    bool wake = poster->ending_seq >= poster->wake_seq || poster->ending_seq <= poster->waited_seq;
    if (wake) (void)pthread_cond_signal(&poster->work);
    (void)pthread_mutex_unlock(&poster->lock);
}

void poster_stop(struct poster *poster)
{
    if (!poster->started) return;
    (void)pthread_mutex_lock(&poster->lock);
    poster->stopping = true;
    (void)pthread_cond_broadcast(&poster->work);
    (void)pthread_mutex_unlock(&poster->lock);
    (void)pthread_join(poster->thread, NULL);
    poster->started = false;
}

uint64_t poster_posted(const struct poster *poster)
{
    return atomic_load(&((struct poster *)(uintptr_t)poster)->posted_seq);
}

bool poster_wait(struct poster *poster, uint64_t seq, int64_t timeout_ms)
{
    uint64_t until_ms = clock_monotonic_ms() + (uint64_t)timeout_ms;
    (void)pthread_mutex_lock(&poster->lock);
    if (seq > poster->waited_seq) poster->waited_seq = seq;
    if (atomic_load(&poster->posted_seq) < seq) (void)pthread_cond_signal(&poster->work);
    while (atomic_load(&poster->posted_seq) < seq && clock_monotonic_ms() < until_ms)
        wait_ms(poster, &poster->done, until_ms);
    bool posted = atomic_load(&poster->posted_seq) >= seq;
    (void)pthread_mutex_unlock(&poster->lock);
    return posted;
}
