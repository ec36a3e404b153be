/* SPDX-License-Identifier: Apache-2.0 */
/* The start. What the journal holds is read and synced, replayed into the core, and posted; only
 * then do all leases of earlier runs end, in one transaction that leaves to open holds what they
 * use. Because HOLD records are in this journal, nothing has to wait for the edge: what it does not
 * name when it comes back is released then.
 *
 * A new incarnation begins when the journal is new, when PostgreSQL is ahead of it (it is an old
 * copy), or when the machine was restarted: hold records are not synced, so their numbers may have
 * been given out and be gone. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/ledger/journal/owner.h"
#include "services/ledger/ledger.h"

#include "shared/clock.h"
#include "shared/log.h"

#define LOCK_FILE     JOURNAL_DIRECTORY "/lock"
#define WAIT_MS       500
#define WAITING_MAX   4096
#define STREAMS_MAX   4096
#define QUESTIONS_MAX 16384
#define INBOX_SIZE    32768

/* What an operator can do; also in docs/OPERATIONS.md. */
#define ADVICE_OTHER_DATABASE                                                                     \
    "this journal belongs to another database; put the one in its place that belongs to this "    \
    "database, or restore the database it belongs to, or move the directory away if its records " \
    "are lost for good"
#define ADVICE_DAMAGED_HEAD                                                                       \
    "the head of this segment is unreadable or of another cell; restore the journal from a copy " \
    "of this disk, or move the directory away and accept that what it held is lost"
#define ADVICE_DAMAGED                                                                  \
    "records that were synced are unreadable; restore the journal from a copy of this " \
    "disk, or move the directory away and accept that what it held is lost"

/* What was found. */
struct start {
    struct ledger *ledger;
    struct db *db;
    struct journal_files files;
    struct store_stream stream;
    bool has_journal;
    bool rebooted;      /* since the journal was written */
    uint64_t first;     /* number of the oldest segment */
    uint64_t next;      /* number of the segment to write next */
    size_t files_first; /* of this incarnation among files */
    struct core_now now;
};

static void wait_for_database(const char *what, status why)
{
    log_warning("waiting_for_database", FN(name, step, slice_of(what)), F(error, why));
    struct timespec pause = {.tv_nsec = WAIT_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
}

/* Repeats a call as long as the database is not there. */
#define WITH_DATABASE(call)                                       \
    for (;;) {                                                    \
        status with_done_ = (call);                               \
        if (status_ok(with_done_)) break;                         \
        if (with_done_.code != ERROR_DATABASE) return with_done_; \
        wait_for_database(#call, with_done_);                     \
    }

/* Held until the process ends: two ledgers of one journal would be the end of both. */
static status lock_journal(void)
{
    if (mkdir(JOURNAL_DIRECTORY, 0700) != 0 && errno != EEXIST) return FAIL(IO);
    int fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return FAIL(IO);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return OK;
    log_error("journal_locked",
              F(reason, SLICE("another ledger uses this journal; stop it first")));
    return FAIL(CONFIGURATION);
}

/* ---- which journal -------------------------------------------------------------------------- */

/* The segments of the newest incarnation that has any in use; the others are wholly posted
 * leftovers. */
static void find_newest(struct start *start)
{
    for (size_t i = 0; i < start->files.count; i++) {
        const struct journal_file *file = &start->files.items[i];
        if (file->first_seq == 0) continue;
        bool newer = !start->has_journal || file->incarnation > start->ledger->incarnation;
        if (newer) {
            start->ledger->incarnation = file->incarnation;
            start->first = file->number;
            start->files_first = i;
        }
        start->has_journal = true;
        uint8_t boot_id[BOOT_ID_SIZE];
        journal_boot_id(boot_id);
        start->rebooted |= memcmp(boot_id, file->boot_id, BOOT_ID_SIZE) != 0;
    }
}

/* Behind segments that can be read, a head that cannot be is looked into when those have been read.
 * Any other may hide all there is, or be of another cell's journal. */
static status refuse_damaged_heads(const struct start *start)
{
    for (size_t i = 0; i < start->files.count; i++) {
        const struct journal_file *file = &start->files.items[i];
        bool behind =
            start->has_journal &&
            (file->incarnation < start->ledger->incarnation ||
             (file->incarnation == start->ledger->incarnation && file->number > start->first));
        if (!file->damaged || behind) continue;
        log_error("journal_damaged", FN(number, incarnation, file->incarnation),
                  FN(number, segment, file->number), F(reason, SLICE(ADVICE_DAMAGED_HEAD)));
        return FAIL(CONFIGURATION);
    }
    return OK;
}

static status begin_incarnation(struct start *start)
{
    struct ledger *ledger = start->ledger;
    WITH_DATABASE(store_new_stream(start->db, ledger->cell, &ledger->incarnation));
    int64_t identity;
    WITH_DATABASE(store_read_identity(start->db, ledger->cell, &identity));
    TRY(journal_owner_set(JOURNAL_DIRECTORY, identity));
    start->stream = (struct store_stream){.hold_floor = 1};
    start->first = start->next = 1;
    start->has_journal = false;
    log_info("incarnation_begun", FN(number, incarnation, ledger->incarnation));
    return OK;
}

static status refuse_foreign(void)
{
    log_error("journal_of_another_database", F(reason, SLICE(ADVICE_OTHER_DATABASE)));
    return FAIL(CONFIGURATION);
}

static status read_cursor(struct start *start)
{
    int64_t identity;
    WITH_DATABASE(store_read_identity(start->db, start->ledger->cell, &identity));
    status ours = journal_owner_check(JOURNAL_DIRECTORY, identity);
    if (ours.code == ERROR_CONFLICT) return refuse_foreign();
    TRY(ours);
    status done;
    do {
        done = store_read_stream(start->db, start->ledger->cell, start->ledger->incarnation,
                                 &start->stream);
        if (done.code == ERROR_DATABASE) wait_for_database("read_cursor", done);
    } while (done.code == ERROR_DATABASE);
    return done.code == ERROR_NOT_FOUND ? refuse_foreign() : done;
}

/* ---- replay --------------------------------------------------------------------------------- */

static status sync_files(const struct start *start)
{
    for (size_t i = 0; i < start->files.count; i++) {
        char path[JOURNAL_PATH_MAX];
        const struct journal_file *file = &start->files.items[i];
        TRY(journal_file_path(JOURNAL_DIRECTORY, file->incarnation, file->number, path));
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) return FAIL(IO);
        bool synced = fdatasync(fd) == 0;
        (void)close(fd);
        if (!synced) return FAIL(IO);
    }
    return OK;
}

static status damaged(uint64_t seq, status why)
{
    log_error("journal_damaged", FN(number, seq, seq), F(error, why),
              F(reason, SLICE(ADVICE_DAMAGED)));
    return FAIL(CONFIGURATION);
}

static uint64_t last_number(const struct start *start)
{
    uint64_t number = 0;
    for (size_t i = start->files_first; i < start->files.count; i++) {
        if (start->files.items[i].incarnation == start->ledger->incarnation)
            number = start->files.items[i].number;
    }
    return number;
}

static status replay(struct start *start, struct core_now now)
{
    struct core *core = start->ledger->core;
    SCOPED(journal_reader_free) struct journal_reader *reader = NULL;
    TRY(journal_reader_open(JOURNAL_DIRECTORY, start->ledger->incarnation, start->first, &reader));
    status done = core_replay_head(core, journal_reader_head(reader));
    uint64_t seq = journal_reader_next_seq(reader);
    struct record record;
    while (status_ok(done)) {
        seq = journal_reader_next_seq(reader);
        status read = journal_reader_next(reader, &record);
        if (read.code == ERROR_END) break;
        done = status_ok(read) ? core_replay_record(core, &record) : read;
    }
    if (!status_ok(done)) return damaged(seq, done);
    start->next = journal_reader_number(reader) + 1;
    done = journal_reader_check_tail(reader, last_number(start));
    if (status_ok(done)) done = core_replay_end(core, now);
    return status_ok(done) ? OK : damaged(seq, done);
}

/* Prepared segments that were never used, and those behind a torn tail, whose records nobody was
 * told about. */
static status delete_unused(const struct start *start)
{
    for (size_t i = 0; i < start->files.count; i++) {
        const struct journal_file *file = &start->files.items[i];
        bool ours = start->has_journal && file->incarnation == start->ledger->incarnation;
        if (ours && file->number < start->next && file->number >= start->first) continue;
        TRY(journal_file_delete(JOURNAL_DIRECTORY, file->incarnation, file->number));
    }
    return OK;
}

/* ---- the parts ------------------------------------------------------------------------------ */

static void new_core(struct ledger *ledger)
{
    const struct config *config = ledger->config;
    struct core_settings settings = {
        .leases_max = (uint32_t)(config->ledger_accounts + config->ledger_meters),
        .callers_max = (uint32_t)config->ledger_callers,
        .rates_max = (uint32_t)config->ledger_callers,
        .holds_max = (uint32_t)config->ledger_holds,
        .waiting_max = WAITING_MAX,
        .questions_max = QUESTIONS_MAX,
        .streams_max = STREAMS_MAX,
        .cell = ledger->cell,
        .incarnation = ledger->incarnation,
        .epoch = ledger->epoch,
        .strict = strcmp(config->durability, "strict") == 0,
        .lease_window_ns = config->lease_seconds * 1000000000,
        .lease_idle_ns = config->lease_idle * 1000000000,
    };
    core_free(&ledger->core);
    buffer_free(&ledger->records);
    buffer_init(&ledger->records, CORE_STEP_BYTES_MAX(&settings) + ((size_t)16 << 20));
    ledger->core = core_new(&settings);
}

static void journal_was_synced(void *context)
{
    struct ledger *ledger = context;
    poster_wake(ledger->poster, journal_synced(ledger->journal), atomic_load(&ledger->ending_seq));
    inbox_wake(&ledger->inbox);
}

static void describe_segment(void *context, struct segment_head *head, struct buffer *marks)
{
    const struct ledger *ledger = context;
    core_describe(ledger->core, head, marks);
}

static void batch_was_posted(void *context, uint64_t seq)
{
    struct ledger *ledger = context;
    if (ledger->journal != NULL) journal_set_posted(ledger->journal, seq);
}

static status open_journal(struct start *start)
{
    struct ledger *ledger = start->ledger;
    const struct config *config = ledger->config;
    struct core_view view = core_view(ledger->core);
    atomic_store(&ledger->ending_seq, view.seq_ending_last);
    size_t old_count = 0;
    while (start->has_journal && start->files_first + old_count < start->files.count &&
           start->files.items[start->files_first + old_count].number < start->next)
        old_count++;
    struct journal_settings settings = {
        .directory = JOURNAL_DIRECTORY,
        .cell = ledger->cell,
        .incarnation = ledger->incarnation,
        .segment_size = (uint64_t)config->journal_segment_size,
        .segments_ready = (uint32_t)config->journal_segments,
        .sync_interval_ms = (uint32_t)config->journal_sync_interval,
        .strict = strcmp(config->durability, "strict") == 0,
        .number_next = start->next,
        .seq_last = view.seq_last,
        .old = start->files.items + start->files_first,
        .old_count = old_count,
        .synced = journal_was_synced,
        .describe = describe_segment,
        .context = ledger,
    };
    return journal_open(&settings, &ledger->journal);
}

static status open_poster(struct start *start)
{
    struct ledger *ledger = start->ledger;
    struct poster_settings settings = {
        .directory = JOURNAL_DIRECTORY,
        .database = ledger->config->database,
        .cell = ledger->cell,
        .incarnation = ledger->incarnation,
        .number = start->first,
        .stream = start->stream,
        .batch_max = (uint32_t)ledger->config->post_batch,
        .interval_ms = (uint32_t)ledger->config->post_interval,
        .posted = batch_was_posted,
        .context = ledger,
    };
    return poster_new(&settings, &ledger->poster);
}

static status open_lender(struct ledger *ledger)
{
    inbox_init(&ledger->inbox, INBOX_SIZE);
    struct lender_settings settings = {
        .database = ledger->config->database,
        .cell = {ledger->cell, ledger->epoch},
        .questions_max = QUESTIONS_MAX,
        .inbox = &ledger->inbox,
    };
    return lender_new(&settings, &ledger->lender);
}

/* ---- the order ------------------------------------------------------------------------------ */

static void lease_was_kept(void *context, const struct lease_held *lease, money granted)
{
    struct ledger *ledger = context;
    core_set_granted(ledger->core, lease, granted);
}

static status move_leases(struct start *start)
{
    struct ledger *ledger = start->ledger;
    uint32_t count = core_list_held(ledger->core, NULL, 0);
    struct lease_held *held = calloc((size_t)count + 1, sizeof(*held));
    if (held == NULL) abort();
    (void)core_list_held(ledger->core, held, count);
    struct store_move move = {.cell = ledger->cell,
                              .epoch = ledger->epoch,
                              .held = held,
                              .count = count,
                              .kept = lease_was_kept,
                              .context = ledger};
    status done;
    do {
        done = store_move_leases(start->db, &move);
        if (done.code == ERROR_DATABASE) wait_for_database("move_leases", done);
    } while (done.code == ERROR_DATABASE);
    free(held);
    return done;
}

static status free_requests_counted(void *context, int64_t org, uint32_t requests)
{
    struct start *start = context;
    return core_add_free_requests(start->ledger->core, start->now, org, requests);
}

static bool has_room(status loaded)
{
    if (loaded.code != ERROR_LEDGER_FULL) return true;
    log_error("free_models_have_no_room",
              F(reason, SLICE("more organizations used free models today than ledger_callers; the "
                              "others are refused until tomorrow, raise it")));
    return false;
}

/* Every ending in the journal is posted by now, so these and the open holds are all there were. */
static status load_free_requests(struct start *start)
{
    const struct store_free_requests load = {
        .day = clock_period(CADENCE_DAY, start->now.wall),
        .counted = free_requests_counted,
        .context = start,
    };
    status done;
    do {
        done = store_load_free_requests(start->db, &load);
        if (done.code == ERROR_DATABASE) wait_for_database("load_free_requests", done);
    } while (done.code == ERROR_DATABASE);
    return has_room(done) ? done : OK;
}

static status catch_up(struct start *start, uint64_t seq)
{
    WITH_DATABASE(poster_catch_up(start->ledger->poster, seq));
    return OK;
}

static void deliver_nothing(void *context, const struct core_action *action)
{
    (void)context;
    (void)action;
}

/* No edge survived the restart of the machine, so nobody will end these holds: they end here, in
 * the old incarnation. */
static status end_old_incarnation(struct start *start, struct core_now now)
{
    struct ledger *ledger = start->ledger;
    struct core_actions out = {.deliver = deliver_nothing, .journal = &ledger->records};
    TRY(open_journal(start));
    while (core_release_all(ledger->core, now, &out) > 0) {
        struct core_view view = core_view(ledger->core);
        struct journal_written written = {view.seq_last, view.seq_ending_last,
                                          view.seq_oldest_open};
        journal_write(ledger->journal, buffer_slice(&ledger->records), &written);
        buffer_clear(&ledger->records);
    }
    uint64_t seq = core_view(ledger->core).seq_last;
    journal_close(&ledger->journal); /* synced */
    TRY(catch_up(start, seq));
    poster_free(&ledger->poster);
    journal_files_free(&start->files);
    TRY(journal_files_list(JOURNAL_DIRECTORY, ledger->cell, &start->files));
    TRY(begin_incarnation(start));
    new_core(ledger);
    TRY(delete_unused(start)); /* all of the old one: it is posted */
    return open_poster(start);
}

/* The journal as it was left: replayed, posted. *seq_last is compared with the cursor first. */
static status take_over(struct start *start, struct core_now now)
{
    struct ledger *ledger = start->ledger;
    TRY(read_cursor(start));
    TRY(sync_files(start));
    new_core(ledger);
    TRY(replay(start, now));
    uint64_t seq = core_view(ledger->core).seq_last;
    if (seq < start->stream.last_seq) {
        log_warning("journal_is_old", FN(number, seq, seq),
                    FN(number, cursor, start->stream.last_seq));
        TRY(journal_files_set_aside(JOURNAL_DIRECTORY, &start->files, ledger->incarnation));
        journal_files_free(&start->files);
        TRY(journal_files_list(JOURNAL_DIRECTORY, ledger->cell, &start->files));
        TRY(begin_incarnation(start));
        new_core(ledger);
        return open_poster(start);
    }
    TRY(delete_unused(start));
    if (start->files.items[start->files_first].first_seq > start->stream.last_seq + 1) {
        return damaged(start->stream.last_seq + 1, FAIL(NOT_FOUND));
    }
    log_info("journal_replayed", FN(number, seq, seq), FN(number, cursor, start->stream.last_seq),
             FN(count, holds, core_view(ledger->core).holds_open));
    TRY(open_poster(start));
    TRY(catch_up(start, seq));
    return start->rebooted ? end_old_incarnation(start, now) : OK;
}

static status recover(struct start *start)
{
    struct ledger *ledger = start->ledger;
    WITH_DATABASE(store_begin_cell(start->db, ledger->cell, &ledger->epoch));
    WITH_DATABASE(store_ensure_partitions(start->db));
    TRY(open_lender(ledger));
    WITH_DATABASE(lender_read_clock(ledger->lender));
    struct core_now now = lender_now(ledger->lender);
    TRY(journal_files_list(JOURNAL_DIRECTORY, ledger->cell, &start->files));
    find_newest(start);
    TRY(refuse_damaged_heads(start));
    if (start->has_journal) {
        TRY(take_over(start, now));
    } else {
        TRY(begin_incarnation(start));
        new_core(ledger);
        TRY(delete_unused(start));
        TRY(open_poster(start));
    }
    TRY(move_leases(start));
    start->now = now;
    TRY(load_free_requests(start));
    TRY(open_journal(start));
    WITH_DATABASE(store_load_prices(start->db, &ledger->prices));
    struct core_actions out = {.deliver = deliver_nothing, .journal = &ledger->records};
    struct core_event loaded = {.type = EVENT_PRICES, .prices = ledger->prices};
    core_step(ledger->core, &loaded, now, &out);
    log_info("recovered", FN(number, epoch, ledger->epoch),
             FN(number, incarnation, ledger->incarnation),
             FN(count, holds, core_view(ledger->core).holds_open),
             FN(count, prices, ledger->prices->count));
    return OK;
}

status ledger_recover(struct ledger *ledger)
{
    struct start start = {.ledger = ledger, .next = 1};
    TRY(lock_journal());
    TRY(db_open(ledger->config->database, "bourse_ledger", &store_statements, &start.db));
    status done = recover(&start);
    db_close(&start.db);
    journal_files_free(&start.files);
    return done;
}
