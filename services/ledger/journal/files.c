/* SPDX-License-Identifier: Apache-2.0 */
/* Segment files by name: listing, preparing, deleting. A file gets its name only when it is whole
 * and synced, and the directory is synced after that, so that a power cut never leaves half a
 * segment. */
#include "services/ledger/journal/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/daemon.h"
#include "shared/log.h"

#define BOOT_ID_FILE       "/proc/sys/kernel/random/boot_id"
#define INCARNATION_DIGITS 10
#define NUMBER_DIGITS      16
#define NAME_LEN           (INCARNATION_DIGITS + 1 + NUMBER_DIGITS + 4)
#define ZERO_SIZE          65536

static void append_padded(struct buffer *out, uint64_t value, size_t digits)
{
    char text[20];
    for (size_t i = digits; i > 0; i--) {
        text[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    buffer_append_bytes(out, text, digits);
}

static status path_with_suffix(const char *directory, uint32_t incarnation, uint64_t number,
                               const char *suffix, char path[JOURNAL_PATH_MAX])
{
    struct buffer out;
    buffer_init_fixed(&out, path, JOURNAL_PATH_MAX);
    buffer_append(&out, slice_of(directory));
    buffer_append_char(&out, '/');
    append_padded(&out, incarnation, INCARNATION_DIGITS);
    buffer_append_char(&out, '-');
    append_padded(&out, number, NUMBER_DIGITS);
    buffer_append(&out, slice_of(suffix));
    buffer_append_char(&out, '\0');
    return buffer_finish(&out);
}

status journal_file_path(const char *directory, uint32_t incarnation, uint64_t number,
                         char path[JOURNAL_PATH_MAX])
{
    return path_with_suffix(directory, incarnation, number, ".seg", path);
}

static status sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return FAIL(IO);
    bool synced = fsync(fd) == 0;
    (void)close(fd);
    return synced ? OK : FAIL(IO);
}

status journal_file_delete(const char *directory, uint32_t incarnation, uint64_t number)
{
    char path[JOURNAL_PATH_MAX];
    TRY(journal_file_path(directory, incarnation, number, path));
    return unlink(path) == 0 || errno == ENOENT ? OK : FAIL(IO);
}

/* ---- listing -------------------------------------------------------------------------------- */

static bool parse_name(const char *name, struct journal_file *file)
{
    slice text = slice_of(name);
    slice incarnation, number;
    uint64_t value;
    if (text.len != NAME_LEN || !slice_ends_with(text, SLICE(".seg"))) return false;
    if (!slice_split(slice_first(text, NAME_LEN - 4), '-', &incarnation, &number)) return false;
    if (!status_ok(slice_to_u64(incarnation, &value)) || value > UINT32_MAX) return false;
    file->incarnation = (uint32_t)value;
    return status_ok(slice_to_u64(number, &file->number));
}

static int compare_files(const void *a, const void *b)
{
    const struct journal_file *left = a;
    const struct journal_file *right = b;
    if (left->incarnation != right->incarnation)
        return left->incarnation < right->incarnation ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

static status list_names(const char *directory, struct journal_files *files)
{
    DIR *handle = opendir(directory);
    if (handle == NULL) return FAIL(IO);
    size_t size = 0;
    const struct dirent *entry;
    while ((entry = readdir(handle)) != NULL) {
        struct journal_file file = {0};
        if (!parse_name(entry->d_name, &file)) continue;
        if (files->count == size) {
            size = size == 0 ? 64 : 2 * size;
            files->items = realloc(files->items, size * sizeof(file));
            if (files->items == NULL) abort();
        }
        files->items[files->count++] = file;
    }
    (void)closedir(handle);
    if (files->count > 0) qsort(files->items, files->count, sizeof(files->items[0]), compare_files);
    return OK;
}

/* END: never used. */
static status read_head(const char *directory, uint16_t cell, struct journal_file *file)
{
    struct journal_reader *reader = NULL;
    TRY(journal_reader_open(directory, file->incarnation, file->number, &reader));
    const struct segment_head *head = journal_reader_head(reader);
    bool fits = head->cell == cell && head->incarnation == file->incarnation &&
                head->number == file->number;
    file->first_seq = head->first_seq;
    file->marks_seq = head->marks_seq;
    memcpy(file->boot_id, head->boot_id, BOOT_ID_SIZE);
    journal_reader_free(&reader);
    return fits ? OK : FAIL(MALFORMED);
}

/* A head that cannot be read is most often that of a segment which was begun when the power went;
 * whether it hides synced records is found out by the reader's look at the tail. */
static status read_heads(const char *directory, uint16_t cell, struct journal_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        struct journal_file *file = &files->items[i];
        status done = read_head(directory, cell, file);
        bool unused = done.code == ERROR_END || done.code == ERROR_MALFORMED;
        if (!status_ok(done) && !unused) return done;
        if (!status_ok(done)) file->first_seq = 0;
        file->damaged = done.code == ERROR_MALFORMED;
    }
    return OK;
}

status journal_files_list(const char *directory, uint16_t cell, struct journal_files *files)
{
    *files = (struct journal_files){0};
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) return FAIL(IO);
    TRY(list_names(directory, files));
    return read_heads(directory, cell, files);
}

void journal_files_free(struct journal_files *files)
{
    free(files->items);
    *files = (struct journal_files){0};
}

status journal_files_set_aside(const char *directory, const struct journal_files *files,
                               uint32_t incarnation)
{
    for (size_t i = 0; i < files->count; i++) {
        if (files->items[i].incarnation != incarnation) continue;
        char from[JOURNAL_PATH_MAX];
        char to[JOURNAL_PATH_MAX];
        TRY(journal_file_path(directory, incarnation, files->items[i].number, from));
        TRY(path_with_suffix(directory, incarnation, files->items[i].number, ".old", to));
        if (rename(from, to) != 0) return FAIL(IO);
    }
    return sync_directory(directory);
}

/* ---- preparing ------------------------------------------------------------------------------ */

/* Zeros are written out: a sync of allocated but unwritten blocks would have to change the file's
 * metadata each time. In pieces, because the kernel keeps what is written at once as one folio and
 * goes through all of its blocks with each record and sync: a twentieth of the ledger's CPU with
 * pieces of 1 MB. */
static status fill_with_zeros(int fd, uint64_t size)
{
    errno = posix_fallocate(fd, 0, (off_t)size);
    if (errno != 0) return FAIL(IO);
    static const char zeros[ZERO_SIZE];
    for (uint64_t at = 0; at < size;) {
        size_t len = size - at < ZERO_SIZE ? (size_t)(size - at) : ZERO_SIZE;
        ssize_t count = pwrite(fd, zeros, len, (off_t)at);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return FAIL(IO);
        at += (uint64_t)count;
    }
    return fdatasync(fd) == 0 && fsync(fd) == 0 ? OK : FAIL(IO);
}

status journal_file_prepare(const struct journal_settings *settings, uint64_t number, int *fd)
{
    char path[JOURNAL_PATH_MAX];
    char new_path[JOURNAL_PATH_MAX];
    TRY(journal_file_path(settings->directory, settings->incarnation, number, path));
    TRY(path_with_suffix(settings->directory, settings->incarnation, number, ".new", new_path));
    int opened = open(new_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (opened < 0) return FAIL(IO);
    status done = fill_with_zeros(opened, settings->segment_size);
    if (status_ok(done) && rename(new_path, path) != 0) done = FAIL(IO);
    if (status_ok(done)) done = sync_directory(settings->directory);
    if (!status_ok(done)) {
        int cause = errno;
        (void)unlink(new_path);
        (void)close(opened);
        errno = cause;
        return done;
    }
    *fd = opened;
    return OK;
}

/* Changes with every start of the machine. All zero when the kernel does not tell: then every start
 * counts as the same. */
void journal_boot_id(uint8_t boot_id[BOOT_ID_SIZE])
{
    memset(boot_id, 0, BOOT_ID_SIZE);
    int fd = open(fault_path("BOURSE_BOOT_ID", BOOT_ID_FILE), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    char text[64];
    ssize_t len = read(fd, text, sizeof(text));
    (void)close(fd);
    char digits[2 * BOOT_ID_SIZE];
    size_t count = 0;
    for (ssize_t i = 0; i < len && count < sizeof(digits); i++) {
        if (text[i] != '-') digits[count++] = text[i];
    }
    status done = slice_from_hex((slice){digits, count}, boot_id, BOOT_ID_SIZE);
    if (!status_ok(done)) memset(boot_id, 0, BOOT_ID_SIZE);
}
