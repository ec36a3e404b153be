/* SPDX-License-Identifier: Apache-2.0 */
/* Reading records in sequence, over the ends of segments. The same reader serves recovery, where
 * the first thing that is no record is the end, and the poster, which follows a journal that is
 * being written and only asks for what was synced. */
#include "services/ledger/journal/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/log.h"

#define WINDOW_SIZE   ((size_t)256 << 10)
#define HEAD_SIZE_MAX ((size_t)1 << 20) /* 58,000 streams */

struct journal_reader {
    char directory[JOURNAL_PATH_MAX];
    uint32_t incarnation;
    uint64_t number;
    uint64_t next_seq;
    int fd;
    uint64_t offset; /* in the file, of the window's first byte */
    size_t window_len;
    size_t at; /* in the window */
    char *window;
    char *head_bytes;
    struct segment_head head;
};

/* A segment that was opened but not yet entered. */
struct opened_segment {
    int fd;
    char *bytes;
    struct segment_head head;
    size_t head_len;
};

static ssize_t read_at(int fd, char *bytes, size_t size, uint64_t offset)
{
    size_t len = 0;
    while (len < size) {
        ssize_t count = pread(fd, bytes + len, size - len, (off_t)(offset + len));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return -1;
        if (count == 0) break;
        len += (size_t)count;
    }
    return (ssize_t)len;
}

static void close_segment(struct opened_segment *segment)
{
    if (segment->fd >= 0) (void)close(segment->fd);
    free(segment->bytes);
    *segment = (struct opened_segment){.fd = -1};
}

/* END: no such file, or never used. */
static status open_segment(const char *directory, uint32_t incarnation, uint64_t number,
                           struct opened_segment *segment)
{
    char path[JOURNAL_PATH_MAX];
    *segment = (struct opened_segment){.fd = -1};
    TRY(journal_file_path(directory, incarnation, number, path));
    segment->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (segment->fd < 0) return errno == ENOENT ? FAIL(END) : FAIL(IO);
    segment->bytes = malloc(HEAD_SIZE_MAX);
    if (segment->bytes == NULL) abort();
    ssize_t len = read_at(segment->fd, segment->bytes, HEAD_SIZE_MAX, 0);
    status done = len < 0 ? FAIL(IO)
                          : segment_head_read((slice){segment->bytes, (size_t)len}, &segment->head,
                                              &segment->head_len);
    if (!status_ok(done)) close_segment(segment);
    return done;
}

/* Takes the segment over. */
static void enter_segment(struct journal_reader *reader, struct opened_segment *segment,
                          uint64_t number)
{
    if (reader->fd >= 0) (void)close(reader->fd);
    free(reader->head_bytes);
    reader->fd = segment->fd;
    reader->head_bytes = segment->bytes;
    reader->head = segment->head;
    reader->number = number;
    reader->next_seq = segment->head.first_seq;
    reader->offset = segment->head_len;
    reader->window_len = 0;
    reader->at = 0;
}

status journal_reader_open(const char *directory, uint32_t incarnation, uint64_t number,
                           struct journal_reader **out)
{
    struct opened_segment segment;
    TRY(open_segment(directory, incarnation, number, &segment));
    struct journal_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) abort();
    reader->fd = -1;
    reader->incarnation = incarnation;
    reader->window = malloc(WINDOW_SIZE);
    if (reader->window == NULL) abort();
    enter_segment(reader, &segment, number);
    status done =
        slice_to_c_string(slice_of(directory), reader->directory, sizeof(reader->directory));
    if (!status_ok(done)) {
        journal_reader_free(&reader);
        return done;
    }
    *out = reader;
    return OK;
}

void journal_reader_free(struct journal_reader **pointer)
{
    struct journal_reader *reader = TAKE(*pointer);
    if (reader == NULL) return;
    if (reader->fd >= 0) (void)close(reader->fd);
    free(reader->head_bytes);
    free(reader->window);
    free(reader);
}

const struct segment_head *journal_reader_head(const struct journal_reader *reader)
{
    return &reader->head;
}

uint64_t journal_reader_number(const struct journal_reader *reader)
{
    return reader->number;
}

uint64_t journal_reader_next_seq(const struct journal_reader *reader)
{
    return reader->next_seq;
}

/* ---- records -------------------------------------------------------------------------------- */

static status refill(struct journal_reader *reader)
{
    reader->offset += reader->at;
    reader->at = 0;
    ssize_t len = read_at(reader->fd, reader->window, WINDOW_SIZE, reader->offset);
    if (len < 0) return FAIL(IO);
    reader->window_len = (size_t)len;
    return OK;
}

static status record_at(struct journal_reader *reader, struct record *record, size_t *taken)
{
    slice rest = {reader->window + reader->at, reader->window_len - reader->at};
    status done = record_next(rest, record, taken);
    if (status_ok(done) && record->seq != reader->next_seq) return FAIL(MALFORMED);
    return done;
}

static status next_in_segment(struct journal_reader *reader, struct record *record)
{
    size_t taken = 0;
    status done = record_at(reader, record, &taken);
    if (!status_ok(
            done)) { /* the window may end amid a record, or be older than what was written since */
        TRY(refill(reader));
        done = record_at(reader, record, &taken);
    }
    if (!status_ok(done)) return FAIL(END);
    reader->at += taken;
    reader->next_seq++;
    return OK;
}

status journal_reader_next(struct journal_reader *reader, struct record *record)
{
    status done = next_in_segment(reader, record);
    if (done.code != ERROR_END) return done;
    struct opened_segment next;
    status opened = open_segment(reader->directory, reader->incarnation, reader->number + 1, &next);
    if (opened.code == ERROR_MALFORMED) return FAIL(END); /* check_tail looks closer */
    TRY(opened);
    if (next.head.first_seq != reader->next_seq) {
        close_segment(&next);
        return FAIL(END);
    }
    enter_segment(reader, &next, reader->number + 1);
    return next_in_segment(reader, record);
}

/* ---- tail ----------------------------------------------------------------------------------- */

/* Looks at every byte offset behind the end for a valid record that says that a record at or behind
 * the end had been synced. */
static status search_proof(struct journal_reader *reader)
{
    reader->at = 0;
    reader->window_len = 0;
    for (;;) {
        TRY(refill(reader));
        if (reader->window_len < RECORD_HEAD_SIZE) return OK;
        bool last = reader->window_len < WINDOW_SIZE;
        size_t end = last ? reader->window_len : reader->window_len - RECORD_SIZE_MAX;
        for (reader->at = 0; reader->at < end; reader->at++) {
            struct record record;
            size_t taken;
            slice rest = {reader->window + reader->at, reader->window_len - reader->at};
            if (!status_ok(record_next(rest, &record, &taken))) continue;
            if (record.synced < reader->next_seq || record.seq <= record.synced) continue;
            log_error("journal_damaged", FN(number, segment, reader->number),
                      FN(number, seq, reader->next_seq), FN(number, found, record.seq));
            return FAIL(MALFORMED);
        }
        if (last) return OK;
    }
}

status journal_reader_check_tail(struct journal_reader *reader, uint64_t number_max)
{
    uint64_t next_seq = reader->next_seq;
    TRY(search_proof(reader));
    for (uint64_t number = reader->number + 1; number <= number_max; number++) {
        struct opened_segment segment;
        status opened = open_segment(reader->directory, reader->incarnation, number, &segment);
        if (opened.code == ERROR_END) continue;
        bool torn = opened.code == ERROR_MALFORMED;
        if (!status_ok(opened) && !torn) return opened;
        if (!torn) {
            /* A used segment that does not continue here: records in between are missing. It may
             * only be one whose records were never synced. */
            enter_segment(reader, &segment, number);
        } else {
            char path[JOURNAL_PATH_MAX];
            TRY(journal_file_path(reader->directory, reader->incarnation, number, path));
            (void)close(reader->fd);
            reader->fd = open(path, O_RDONLY | O_CLOEXEC);
            if (reader->fd < 0) return FAIL(IO);
            reader->number = number;
            reader->offset = 0;
        }
        reader->next_seq = next_seq;
        TRY(search_proof(reader));
    }
    return OK;
}
