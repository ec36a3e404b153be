/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. One connection per request, ended by the edge; what came is read when all is
 * there. Only our own edge writes what is parsed here, yet nothing in it is believed blindly. */
#include "services/ledger/egress.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/descriptor.h"

#define SOCKET_PATH   "run/egress.sock"
#define DEADLINE_MS   12000 /* the edge gives its calls 8 s, and has the last word */
#define REQUEST_MAX   ((size_t)256 * 1024)
#define ANSWER_MAX    ((size_t)5 * 1024 * 1024)
#define PIECE_SIZE    8192
#define HEADER_EGRESS SLICE("x-bourse-egress:")
#define HEADER_LENGTH SLICE("content-length:")

static status write_request(const struct egress_request *request, struct buffer *out);
static status dial(int *fd);
static status send_all(int fd, slice bytes, uint64_t until_ms);
static status read_all(int fd, struct buffer *in, uint64_t until_ms);
static status parse(slice answer, int *http_status, struct buffer *body);

status egress_ask(const struct egress_request *request, int *http_status, struct buffer *body)
{
    SCOPED(buffer_free) struct buffer out = {0};
    SCOPED(buffer_free) struct buffer in = {0};
    SCOPED(descriptor_close) int fd = -1;
    uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    buffer_init(&out, REQUEST_MAX);
    buffer_init(&in, ANSWER_MAX);
    status done = write_request(request, &out);
    if (status_ok(done)) done = dial(&fd);
    if (status_ok(done)) done = send_all(fd, buffer_slice(&out), until_ms);
    if (status_ok(done)) done = read_all(fd, &in, until_ms);
    if (status_ok(done)) done = parse(buffer_slice(&in), http_status, body);
    if (out.len > 0) explicit_bzero(out.data, out.len); /* the key is in it */
    return done;
}

static bool is_line(slice line)
{
    return memchr(line.data, '\r', line.len) == NULL && memchr(line.data, '\n', line.len) == NULL;
}

static status append_line(struct buffer *out, slice name, slice value)
{
    if (!is_line(value)) return FAIL(BAD_REQUEST);
    buffer_append(out, name);
    buffer_append(out, value);
    buffer_append(out, SLICE("\r\n"));
    return OK;
}

static status write_request(const struct egress_request *request, struct buffer *out)
{
    buffer_append(out, request->method);
    buffer_append(out, SLICE(" / HTTP/1.1\r\nhost: egress\r\nconnection: close\r\n"));
    TRY(append_line(out, SLICE("x-bourse-target: "), request->target));
    TRY(append_line(out, SLICE("x-bourse-purpose: "), request->purpose));
    for (size_t i = 0; i < request->header_count; i++)
        TRY(append_line(out, SLICE(""), request->headers[i]));
    buffer_append(out, SLICE("content-length: "));
    buffer_append_u64(out, request->body.len);
    buffer_append(out, SLICE("\r\n\r\n"));
    buffer_append(out, request->body);
    return buffer_finish(out);
}

static status dial(int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET_PATH};
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0) return FAIL(IO);
    return connect(*fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? OK : FAIL(IO);
}

static status wait_for(int fd, short what, uint64_t until_ms)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct pollfd poller = {.fd = fd, .events = what};
    if (now_ms >= until_ms) return FAIL(DEADLINE);
    return poll(&poller, 1, (int)(until_ms - now_ms)) == 0 ? FAIL(DEADLINE) : OK;
}

static status send_all(int fd, slice bytes, uint64_t until_ms)
{
    while (bytes.len > 0) {
        TRY(wait_for(fd, POLLOUT, until_ms));
        ssize_t sent = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (sent <= 0) return FAIL(CLOSED);
        bytes = slice_from(bytes, (size_t)sent);
    }
    return OK;
}

static status read_all(int fd, struct buffer *in, uint64_t until_ms)
{
    char piece[PIECE_SIZE];
    for (;;) {
        TRY(wait_for(fd, POLLIN, until_ms));
        ssize_t got = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got < 0) return FAIL(CLOSED);
        if (got == 0) return buffer_finish(in);
        buffer_append_bytes(in, piece, (size_t)got);
    }
}

static slice header_of(slice head, slice name)
{
    slice line;
    while (slice_split(head, '\n', &line, &head) || line.len > 0) {
        if (slice_ends_with(line, SLICE("\r"))) line.len--;
        if (slice_equal_nocase(slice_first(line, name.len), name))
            return slice_trim(slice_from(line, name.len));
    }
    return SLICE_NONE;
}

static status parse(slice answer, int *http_status, struct buffer *body)
{
    const char *end = memmem(answer.data, answer.len, "\r\n\r\n", 4);
    if (end == NULL) return FAIL(CLOSED);
    const slice head = slice_first(answer, (size_t)(end - answer.data));
    const slice content = slice_from(answer, head.len + 4);
    slice protocol, rest, number;
    (void)slice_split(head, ' ', &protocol, &rest);
    number = slice_first(rest, 3);
    int64_t code, len;
    if (!slice_equal(protocol, SLICE("HTTP/1.1")) || !status_ok(slice_to_i64(number, &code)))
        return FAIL(MALFORMED);
    if (!status_ok(slice_to_i64(header_of(head, HEADER_LENGTH), &len)) ||
        len != (int64_t)content.len)
        return FAIL(CLOSED);
    slice outcome = header_of(head, HEADER_EGRESS);
    if (slice_equal(outcome, SLICE("refused"))) return FAIL(FORBIDDEN);
    if (!slice_equal(outcome, SLICE("answered"))) return FAIL(DEADLINE);
    *http_status = (int)code;
    buffer_append(body, content);
    return buffer_finish(body);
}
