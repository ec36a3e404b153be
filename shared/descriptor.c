/* SPDX-License-Identifier: Apache-2.0 */
/* Reads until the end of a file or of the room, whichever comes first; when the room is full, one
 * more byte is asked for, because only the answer "none" proves that the file ended. */
#include "shared/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define READ_SIZE_MAX ((size_t)65536)

void descriptor_close(const int *fd)
{
    if (*fd >= 0) {
        int errno_before = errno;
        close(*fd);
        errno = errno_before;
    }
}

/* *count: bytes read, 0 at the end of the file. */
static status read_some(int fd, struct buffer *out, size_t *count)
{
    char beyond = 0;
    size_t room = out->size_max - out->len;
    size_t len = room < READ_SIZE_MAX ? room : READ_SIZE_MAX;
    char *memory = len == 0 ? &beyond : buffer_reserve(out, len);
    if (memory == NULL) return FAIL(OVERFLOW);
    ssize_t got;
    do {
        got = read(fd, memory, len == 0 ? 1 : len);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return FAIL(IO);
    if (got > 0 && len == 0) return FAIL(OVERFLOW);
    out->len += (size_t)got;
    *count = (size_t)got;
    return OK;
}

status descriptor_read_file(const char *path, struct buffer *out)
{
    SCOPED(descriptor_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return FAIL(IO);
    size_t count;
    do {
        TRY(read_some(fd, out, &count));
    } while (count > 0);
    return OK;
}
