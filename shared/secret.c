/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets lie in libsodium's guarded pages: wiped when freed, and a read past their end stops the process.
 * Locking them into memory is tried and may fail (a container's limit on locked memory is small): a
 * secret in the swap space is a smaller harm than a service that does not start. */
#include "shared/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/log.h"

status secret_init(void)
{
    if (sodium_init() < 0) {
        log_error("sodium_unusable");
        return FAIL(CRYPTO);
    }
    const struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0) {
        log_error("core_dumps_not_off", F(errno, errno));
        return FAIL(IO);
    }
    return OK;
}

struct secret secret_new(size_t len)
{
    /* Repeated calls cost nothing; without the first, the guarded pages would be set up wrongly. */
    bool ready = sodium_init() >= 0;
    struct secret secret = {ready ? sodium_malloc(len) : NULL, len};
    if (secret.bytes == NULL) {
        static const char message[] = "secret: no guarded memory\n";
        (void)!write(STDERR_FILENO, message, sizeof(message) - 1);
        abort();
    }
    return secret;
}

struct secret secret_copy(slice bytes)
{
    struct secret secret = secret_new(bytes.len);
    if (bytes.len > 0)
        memcpy(secret.bytes, bytes.data, bytes.len);
    return secret;
}

void secret_free(struct secret *secret)
{
    sodium_free(secret->bytes);
    *secret = (struct secret){0};
}

static status read_whole(int fd, struct secret *room, size_t *len)
{
    *len = 0;
    while (*len < room->len) {
        ssize_t n = read(fd, room->bytes + *len, room->len - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return FAIL(IO);
        if (n == 0)
            break;
        *len += (size_t)n;
    }
    return OK;
}

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static status unreadable(const char *path)
{
    log_error("secret_unreadable", FN(name, file, slice_of(path)), F(errno, errno));
    return FAIL(IO);
}

status secret_read_file(const char *path, size_t size_max, bool text, struct secret *secret)
{
    SCOPED(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return unreadable(path);
    /* One byte more than allowed, so that a file that is too large is seen as such. */
    SCOPED(secret_free) struct secret room = secret_new(size_max + 1);
    size_t len = 0;
    if (!status_ok(read_whole(fd, &room, &len)))
        return unreadable(path);
    if (len > size_max) {
        log_error("secret_too_large", FN(name, file, slice_of(path)),
                  FN(number, bytes_max, size_max));
        return FAIL(TOO_LARGE);
    }
    if (text && len > 0 && room.bytes[len - 1] == '\n')
        len--;
    *secret = secret_copy((slice){(const char *)room.bytes, len});
    return OK;
}

slice secret_slice(const struct secret *secret)
{
    return (slice){secret->bytes == NULL ? "" : (const char *)secret->bytes, secret->len};
}

bool secret_equal(slice a, slice b)
{
    return a.len == b.len && (a.len == 0 || sodium_memcmp(a.data, b.data, a.len) == 0);
}
