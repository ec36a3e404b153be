/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets lie in libsodium's guarded pages: wiped when freed, and a read past their end stops the
 * process. Locking them into memory is tried and may fail (a container's limit on locked memory is
 * small): a secret in the swap space is a smaller harm than a service that does not start. */
#include "shared/secret.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/descriptor.h"
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
    if (bytes.len > 0) memcpy(secret.bytes, bytes.data, bytes.len);
    return secret;
}

void secret_free(struct secret *secret)
{
    sodium_free(secret->bytes);
    *secret = (struct secret){0};
}

status secret_read_file(const char *path, size_t size_max, bool text, struct secret *secret)
{
    SCOPED(secret_free) struct secret room = secret_new(size_max);
    struct buffer read;
    buffer_init_fixed(&read, room.bytes, room.len);
    status result = descriptor_read_file(path, &read);
    if (result.code == ERROR_OVERFLOW) {
        log_error("secret_too_large", FN(name, file, slice_of(path)),
                  FN(number, bytes_max, size_max));
        return FAIL(TOO_LARGE);
    }
    if (!status_ok(result)) {
        log_error("secret_unreadable", FN(name, file, slice_of(path)), F(errno, errno));
        return result;
    }
    if (text && slice_ends_with(buffer_slice(&read), SLICE("\n"))) read.len--;
    *secret = secret_copy(buffer_slice(&read));
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
