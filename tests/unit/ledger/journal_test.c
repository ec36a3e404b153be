/* SPDX-License-Identifier: Apache-2.0 */
/* The journal on a real disk: what was written is read back, a torn tail is an end, and damage to
 * what was synced is an alarm. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/ledger/journal/journal.h"
#include "shared/array.h"
#include "shared/clock.h"
#include "shared/log.h"

#define SEGMENT_SIZE 32768
#define DEADLINE_MS  5000

struct place {
    char directory[64];
    struct journal *journal;
    uint64_t seq, ending, hold;
    uint64_t oldest_open;
    pthread_mutex_t lock;
    pthread_cond_t synced;
    int policy; /* of the thread that syncs, after the last sync */
};

static void describe(void *context, struct segment_head *head, struct buffer *marks)
{
    struct place *place = context;
    stream_mark_append(marks, (struct stream_mark){.edge = 77, .thread = 1, .n = place->seq});
    head->cell = 1;
    head->incarnation = 1;
    head->marks_seq = place->seq;
    head->next_hold = place->hold + 1;
    head->mark_count = 1;
    head->marks = buffer_slice(marks);
}

static void was_synced(void *context)
{
    struct place *place = context;
    (void)pthread_mutex_lock(&place->lock);
    place->policy = sched_getscheduler(0);
    (void)pthread_cond_broadcast(&place->synced);
    (void)pthread_mutex_unlock(&place->lock);
}

static void open_journal(struct place *place, uint64_t number)
{
    struct journal_settings settings = {.directory = place->directory,
                                        .cell = 1,
                                        .incarnation = 1,
                                        .segment_size = SEGMENT_SIZE,
                                        .segments_ready = 2,
                                        .sync_interval_ms = 5,
                                        .strict = true,
                                        .number_next = number,
                                        .seq_last = place->seq,
                                        .synced = was_synced,
                                        .describe = describe,
                                        .context = place};
    assert_ok(journal_open(&settings, &place->journal));
}

static void begin_in(struct place *place, const char *parent)
{
    *place = (struct place){.oldest_open = UINT64_MAX, .policy = -1};
    (void)snprintf(place->directory, sizeof(place->directory), "%s/bourse-journal-XXXXXX", parent);
    log_init("journal_test", LOG_LEVEL_ERROR);
    assert_non_null(mkdtemp(place->directory));
    (void)pthread_mutex_init(&place->lock, NULL);
    (void)pthread_cond_init(&place->synced, NULL);
    open_journal(place, 1);
}

static void begin(struct place *place)
{
    begin_in(place, "/tmp");
}

static void end(struct place *place)
{
    char command[96];
    journal_close(&place->journal);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", place->directory);
    assert_int_equal(system(command), 0);
}

/* One ending record; the title says which, and is long enough that a few dozen fill a segment. */
static void append(struct place *place, struct buffer *records)
{
    static const char filling[64] =
        "sixty-four bytes of a title that nobody reads but the checksum..";
    struct record_ending ending = {.hold = ++place->hold,
                                   .state = ENDING_SETTLED,
                                   .charge = {(int64_t)place->hold},
                                   .facts = {.title = {filling, sizeof(filling)}}};
    struct record_place at = {.seq = ++place->seq, .synced = journal_synced(place->journal)};
    record_append_ending(records, at, &ending);
    place->ending = place->seq;
}

static void write_some(struct place *place, int count)
{
    struct buffer records;
    buffer_init(&records, (size_t)1 << 20);
    for (int i = 0; i < count; i++)
        append(place, &records);
    journal_write(place->journal, buffer_slice(&records),
                  &(struct journal_written){place->seq, place->ending, place->oldest_open});
    buffer_free(&records);
}

static struct timespec deadline(void)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_MS / 1000;
    return until;
}

static void wait_synced(struct place *place)
{
    struct timespec until = deadline();
    (void)pthread_mutex_lock(&place->lock);
    while (journal_synced(place->journal) < place->seq) {
        if (pthread_cond_timedwait(&place->synced, &place->lock, &until) != 0) break;
    }
    (void)pthread_mutex_unlock(&place->lock);
    assert_int_equal(journal_synced(place->journal), place->seq);
}

/* Reads from segment `number` to the end and answers the last sequence number. */
static uint64_t read_to_end(const struct place *place, uint64_t number, status *tail)
{
    struct journal_reader *reader = NULL;
    struct record record;
    status done;
    assert_ok(journal_reader_open(place->directory, 1, number, &reader));
    while (status_ok(done = journal_reader_next(reader, &record))) {
        struct record_ending ending;
        assert_ok(record_decode_ending(record.payload, &ending));
        assert_int_equal(ending.charge.nano, ending.hold);
    }
    assert_int_equal(done.code, ERROR_END);
    uint64_t last = journal_reader_next_seq(reader) - 1;
    *tail = journal_reader_check_tail(reader, number + 64);
    journal_reader_free(&reader);
    return last;
}

static int open_segment(const struct place *place, uint64_t number)
{
    char path[JOURNAL_PATH_MAX];
    assert_ok(journal_file_path(place->directory, 1, number, path));
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    return fd;
}

/* Byte offset of the n-th record of the first segment, counted from 0. */
static off_t offset_of(const struct place *place, int n)
{
    static char bytes[SEGMENT_SIZE];
    int fd = open_segment(place, 1);
    assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    (void)close(fd);
    struct segment_head head;
    size_t at;
    assert_ok(segment_head_read((slice){bytes, sizeof(bytes)}, &head, &at));
    for (int i = 0; i < n; i++) {
        struct record record;
        size_t taken;
        assert_ok(record_next((slice){bytes + at, sizeof(bytes) - at}, &record, &taken));
        at += taken;
    }
    return (off_t)at;
}

static void damage(const struct place *place, off_t at, const void *bytes, size_t len)
{
    int fd = open_segment(place, 1);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    (void)close(fd);
}

TEST(what_was_written_is_read_back_over_the_ends_of_segments)
{
    struct place place;
    status tail;
    begin(&place);
    for (int i = 0; i < 20; i++)
        write_some(&place, 50);
    wait_synced(&place);
    assert_int_equal(read_to_end(&place, 1, &tail), 1000);
    assert_ok(tail);
    struct journal_files files;
    assert_ok(journal_files_list(place.directory, 1, &files));
    assert_true(files.count > 5);
    assert_int_equal(files.items[0].first_seq, 1);
    assert_true(files.items[1].first_seq > 1);
    journal_files_free(&files);
    end(&place);
}

TEST(a_record_that_the_power_tore_is_the_end)
{
    struct place place;
    status tail;
    begin(&place);
    write_some(&place, 10);
    journal_close(&place.journal);
    static const char zeros[100];
    damage(&place, offset_of(&place, 10) - 100, zeros, sizeof(zeros));
    assert_int_equal(read_to_end(&place, 1, &tail), 9);
    assert_ok(tail);
    end(&place);
}

TEST(a_damaged_record_is_the_end_when_nothing_says_that_it_had_been_synced)
{
    struct place place;
    status tail;
    begin(&place);
    write_some(&place, 10); /* one write: none of them knows of a sync */
    wait_synced(&place);
    damage(&place, offset_of(&place, 5) + 40, "damage", 6);
    assert_int_equal(read_to_end(&place, 1, &tail), 5);
    assert_ok(tail);
    end(&place);
}

TEST(a_damaged_record_is_an_alarm_when_a_later_one_says_that_it_had_been_synced)
{
    struct place place;
    status tail;
    begin(&place);
    write_some(&place, 10);
    wait_synced(&place);
    write_some(&place, 1); /* made when ten were on disk */
    wait_synced(&place);
    damage(&place, offset_of(&place, 5) + 40, "damage", 6);
    assert_int_equal(read_to_end(&place, 1, &tail), 5);
    assert_fails(tail, MALFORMED);
    end(&place);
}

TEST(a_damaged_length_hides_nothing)
{
    struct place place;
    status tail;
    begin(&place);
    write_some(&place, 10);
    wait_synced(&place);
    write_some(&place, 1);
    wait_synced(&place);
    damage(&place, offset_of(&place, 5), "\xff\xff\xff\xff", 4);
    assert_int_equal(read_to_end(&place, 1, &tail), 5);
    assert_fails(tail, MALFORMED);
    damage(&place, offset_of(&place, 5), "\0\0\0\0", 4); /* reads as "never written" */
    assert_int_equal(read_to_end(&place, 1, &tail), 5);
    assert_fails(tail, MALFORMED);
    end(&place);
}

TEST(a_missing_segment_is_an_alarm)
{
    struct place place;
    status tail;
    begin(&place);
    for (int i = 0; i < 10; i++) {
        write_some(&place, 50);
        wait_synced(&place);
    }
    assert_ok(journal_file_delete(place.directory, 1, 2));
    assert_true(read_to_end(&place, 1, &tail) < 500);
    assert_fails(tail, MALFORMED); /* the records of segment 3 know of syncs beyond the gap */
    end(&place);
}

TEST(a_prepared_segment_that_was_never_used_is_no_segment_to_read)
{
    struct place place;
    struct journal_reader *reader = NULL;
    begin(&place);
    assert_fails(journal_reader_open(place.directory, 1, 1, &reader), END);
    write_some(&place, 1);
    assert_ok(journal_reader_open(place.directory, 1, 1, &reader));
    journal_reader_free(&reader);
    end(&place);
}

TEST(a_segment_with_a_damaged_head_is_found_out_by_its_records)
{
    struct place place;
    status tail;
    begin(&place);
    for (int i = 0; i < 4; i++) {
        write_some(&place, 50);
        wait_synced(&place);
    }
    char path[JOURNAL_PATH_MAX];
    assert_ok(journal_file_path(place.directory, 1, 2, path));
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "XXXXXXXX", 8, 0), 8);
    (void)close(fd);
    (void)read_to_end(&place, 1, &tail);
    assert_fails(tail, MALFORMED);
    end(&place);
}

static bool exists(const struct place *place, uint64_t number)
{
    char path[JOURNAL_PATH_MAX];
    struct stat found;
    assert_ok(journal_file_path(place->directory, 1, number, path));
    return stat(path, &found) == 0;
}

/* The preparer's thread deletes; this waits for it with a deadline. */
static bool comes_true(const struct place *place, uint64_t number, bool there)
{
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (exists(place, number) != there && clock_monotonic_ms() < until_ms)
        (void)usleep(1000);
    return exists(place, number) == there;
}

TEST(a_segment_is_deleted_when_it_is_posted_and_no_hold_of_it_is_open)
{
    struct place place;
    begin(&place);
    place.oldest_open = 1; /* a hold of the first segment is open */
    for (int i = 0; i < 6; i++)
        write_some(&place, 50);
    wait_synced(&place);
    journal_set_posted(place.journal, place.seq);
    write_some(&place, 1);
    wait_synced(&place);
    assert_true(exists(&place, 1));
    place.oldest_open = UINT64_MAX;
    write_some(&place, 1);
    wait_synced(&place);
    journal_set_posted(place.journal, place.seq);
    assert_true(comes_true(&place, 1, false));
    assert_true(comes_true(&place, 2, false));
    /* What is left is enough to start from; closed, so that nothing more is deleted meanwhile. */
    journal_close(&place.journal);
    struct journal_files files;
    status tail;
    assert_ok(journal_files_list(place.directory, 1, &files));
    assert_int_equal(read_to_end(&place, files.items[0].number, &tail), place.seq);
    assert_ok(tail);
    journal_files_free(&files);
    end(&place);
}

TEST(room_is_what_the_prepared_segments_hold)
{
    struct place place;
    begin(&place);
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (journal_room(place.journal) < SEGMENT_SIZE && clock_monotonic_ms() < until_ms)
        (void)usleep(1000);
    uint64_t room = journal_room(place.journal);
    assert_true(room <= 2 * SEGMENT_SIZE);
    write_some(&place, 10);
    assert_true(journal_room(place.journal) < room + SEGMENT_SIZE);
    end(&place);
}

/* Where a sync takes no time, so that only the count of them decides. */
static const char fast_disk[] = "/dev/shm";
/* 8 ms times 15/16 to the n-th is below 0.4 ms from n = 47 on; whole microseconds spare a few. */
#define FAST_RUN 40

static void the_writer_syncs_what_it_wrote_once_the_disk_is_known_to_be_fast(void **state)
{
    (void)state;
    struct place place;
    begin_in(&place, fast_disk);
    journal_let_sync_here(place.journal);
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    int writes = 0;
    bool here = false;
    while (!here && clock_monotonic_ms() < until_ms) {
        write_some(&place, 1);
        writes++;
        here = journal_sync_here(place.journal);
        if (!here) wait_synced(&place);
    }
    assert_true(here);
    assert_int_equal(journal_synced(place.journal), place.seq); /* without waiting */
    assert_true(writes > FAST_RUN);
    assert_false(journal_sync_here(place.journal)); /* nothing is left */
    end(&place);
}

static void the_writer_never_syncs_unless_it_said_that_it_may(void **state)
{
    (void)state;
    struct place place;
    begin_in(&place, fast_disk);
    for (int i = 0; i < 3 * FAST_RUN; i++) {
        write_some(&place, 1);
        assert_false(journal_sync_here(place.journal));
        wait_synced(&place);
    }
    end(&place);
}

/* A hold and its ending are two records; more than eight at once are load. */
static void while_several_requests_end_syncing_is_left_to_its_thread(void **state)
{
    (void)state;
    static const int records_at_once[] = {3, 20};
    for (size_t i = 0; i < COUNT_OF(records_at_once); i++) {
        struct place place;
        begin_in(&place, fast_disk);
        journal_let_sync_here(place.journal);
        for (int round = 0; round < 3 * FAST_RUN; round++) {
            write_some(&place, records_at_once[i]);
            assert_false(journal_sync_here(place.journal));
            wait_synced(&place);
        }
        end(&place);
    }
}

static void a_request_among_many_that_came_alone_is_synced_by_the_writer_for_the_last_time(
    void **state)
{
    (void)state;
    struct place place;
    begin_in(&place, fast_disk);
    journal_let_sync_here(place.journal);
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    bool here = false;
    while (!here && clock_monotonic_ms() < until_ms) {
        write_some(&place, 1);
        here = journal_sync_here(place.journal);
        if (!here) wait_synced(&place);
    }
    write_some(&place, 3);
    assert_true(journal_sync_here(place.journal)); /* nothing had said that more would come */
    write_some(&place, 1);
    assert_false(journal_sync_here(place.journal));
    wait_synced(&place);
    end(&place);
}

static void expect_policy(struct place *place, int policy)
{
    struct timespec until = deadline();
    (void)pthread_mutex_lock(&place->lock);
    while (place->policy != policy) {
        if (pthread_cond_timedwait(&place->synced, &place->lock, &until) != 0) break;
    }
    (void)pthread_mutex_unlock(&place->lock);
    assert_int_equal(place->policy, policy);
}

/* More than sixteen requests' records in one sync are a crowd. */
static void the_thread_that_syncs_gives_way_in_a_crowd_and_only_then(void **state)
{
    (void)state;
    struct place place;
    begin_in(&place, fast_disk);
    write_some(&place, 32);
    wait_synced(&place);
    expect_policy(&place, SCHED_OTHER);
    write_some(&place, 33);
    wait_synced(&place);
    expect_policy(&place, SCHED_BATCH);
    write_some(&place, 1);
    wait_synced(&place);
    expect_policy(&place, SCHED_OTHER);
    end(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back_over_the_ends_of_segments),
        cmocka_unit_test(a_record_that_the_power_tore_is_the_end),
        cmocka_unit_test(a_damaged_record_is_the_end_when_nothing_says_that_it_had_been_synced),
        cmocka_unit_test(
            a_damaged_record_is_an_alarm_when_a_later_one_says_that_it_had_been_synced),
        cmocka_unit_test(a_damaged_length_hides_nothing),
        cmocka_unit_test(a_missing_segment_is_an_alarm),
        cmocka_unit_test(a_prepared_segment_that_was_never_used_is_no_segment_to_read),
        cmocka_unit_test(a_segment_with_a_damaged_head_is_found_out_by_its_records),
        cmocka_unit_test(a_segment_is_deleted_when_it_is_posted_and_no_hold_of_it_is_open),
        cmocka_unit_test(room_is_what_the_prepared_segments_hold),
        cmocka_unit_test(the_writer_syncs_what_it_wrote_once_the_disk_is_known_to_be_fast),
        cmocka_unit_test(the_writer_never_syncs_unless_it_said_that_it_may),
        cmocka_unit_test(while_several_requests_end_syncing_is_left_to_its_thread),
        cmocka_unit_test(
            a_request_among_many_that_came_alone_is_synced_by_the_writer_for_the_last_time),
        cmocka_unit_test(the_thread_that_syncs_gives_way_in_a_crowd_and_only_then),
    };
    return cmocka_run_group_tests_name("ledger journal", tests, NULL, NULL);
}
