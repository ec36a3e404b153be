/* SPDX-License-Identifier: Apache-2.0 */
/* How long one fdatasync takes here: the floor under every answer that waits for one. Writes one
 * record's worth of bytes after the other to a file of zeros, as the journal does, and syncs after
 * each; with a pause before each on demand, because a disk that is asked back to back is awake. The
 * file is made in the directory that is named, and has no name itself while it is used. Prints
 * {"samples","median_ns"}. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/json/write.h"

#define RECORD_SIZE  512 /* an ending record with its texts has about this many bytes */
#define WRITES_MAX   10000
#define PAUSE_US_MAX 999999
#define PATH_MAX_LEN 4000

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Zeros are written, not only reserved: a first write to a reserved block makes the file system
 * sync its own books, too. */
static int open_prepared(const char *directory, size_t size)
{
    char path[PATH_MAX_LEN + 32];
    if (strlen(directory) > PATH_MAX_LEN) return -1;
    strcpy(stpcpy(path, directory), "/.fdatasync-XXXXXX");
    int file = mkstemp(path);
    if (file < 0) return -1;
    unlink(path);
    static const char zeros[65536];
    for (size_t done = 0; done < size; done += sizeof(zeros)) {
        if (write(file, zeros, sizeof(zeros)) != (ssize_t)sizeof(zeros)) return -1;
    }
    return fsync(file) == 0 && lseek(file, 0, SEEK_SET) == 0 ? file : -1;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The pause is one of sleep, as a thread sleeps that waits for a request. */
static bool measure(int file, int64_t pause_us, uint64_t *durations_ns, size_t count)
{
    const struct timespec pause = {.tv_nsec = pause_us * 1000};
    char record[RECORD_SIZE];
    memset(record, 'r', sizeof(record));
    for (size_t i = 0; i < count; i++) {
        if (pause_us > 0) (void)nanosleep(&pause, NULL);
        if (write(file, record, sizeof(record)) != (ssize_t)sizeof(record)) return false;
        uint64_t begin_ns = now_ns();
        if (fdatasync(file) != 0) return false;
        durations_ns[i] = now_ns() - begin_ns;
    }
    return true;
}

static void report(uint64_t median_ns, size_t count)
{
    struct buffer out;
    struct json_writer w;
    buffer_init(&out, 4096);
    json_write_init(&w, &out);
    json_object_begin(&w);
    json_key_u64(&w, SLICE("samples"), count);
    json_key_u64(&w, SLICE("median_ns"), median_ns);
    json_object_end(&w);
    fwrite(out.data, 1, out.len, stdout);
    putchar('\n');
    buffer_free(&out);
}

int main(int argc, char **argv)
{
    static uint64_t durations_ns[WRITES_MAX];
    int64_t count = 0, pause_us = 0;
    bool good = argc == 4 && status_ok(slice_to_i64(slice_of(argv[2]), &count)) &&
                status_ok(slice_to_i64(slice_of(argv[3]), &pause_us));
    if (!good || count <= 0 || count > WRITES_MAX || pause_us < 0 || pause_us > PAUSE_US_MAX) {
        fprintf(stderr, "usage: fdatasync_bench DIRECTORY COUNT PAUSE_US (at most %d and %d)\n",
                WRITES_MAX, PAUSE_US_MAX);
        return 2;
    }
    int file = open_prepared(argv[1], (size_t)count * RECORD_SIZE);
    if (file < 0 || !measure(file, pause_us, durations_ns, (size_t)count)) {
        perror(argv[1]);
        return 1;
    }
    qsort(durations_ns, (size_t)count, sizeof(durations_ns[0]), compare);
    report(durations_ns[count / 2], (size_t)count);
    close(file);
    return 0;
}
