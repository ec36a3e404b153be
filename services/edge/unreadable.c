/* SPDX-License-Identifier: Apache-2.0 */
/* The library refuses what it cannot parse with bytes of its own, past every filter: no envelope,
 * no request id. It writes them as it writes everything, by h2o_socket_write(), so a function of
 * that name stands here: the dynamic linker lets the library call ours, and ours calls the
 * library's. Every write pays one comparison of lengths for it. */
#include "services/edge/unreadable.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "services/edge/edge.h"
#include "services/edge/serve.h"

#define ANSWER_MAX ((size_t)1024)

typedef void (*socket_write)(h2o_socket_t *socket, h2o_iovec_t *pieces, size_t count,
                             h2o_socket_cb done);
static socket_write library_write;

/* As of libh2o 2.2; one that says it in other words keeps its own. */
static const char refusal[] = "HTTP/1.1 400 Bad Request\r\n"
                              "Content-Type: text/plain; charset=utf-8\r\n"
                              "Connection: close\r\n"
                              "Content-Length: 11\r\n"
                              "\r\n"
                              "Bad Request";

__attribute__((constructor)) static void find_library_write(void)
{
    void *found = dlsym(RTLD_NEXT, "h2o_socket_write");
    if (found == NULL) abort();
    /* ISO C has no conversion from an object's address to a function's. */
    memcpy(&library_write, &found, sizeof(found));
}

bool unreadable_is_refusal(slice written)
{
    return slice_equal(written, (slice){refusal, sizeof(refusal) - 1});
}

void unreadable_append(struct buffer *out, slice request_id)
{
    char room[ANSWER_MAX];
    struct buffer body;
    buffer_init_fixed(&body, room, sizeof(room));
    const struct failure failure = {
        .cause = FAIL(BAD_REQUEST),
        .message = SLICE("The request's head is not HTTP/1.1, or has more than 100 lines."),
    };
    failure_append(&body, &failure);
    buffer_append(out, SLICE("HTTP/1.1 400 Bad Request\r\n"
                             "Connection: close\r\n"
                             "Server: bourse\r\n"
                             "content-type: application/json\r\n"
                             "x-bourse-request: "));
    buffer_append(out, request_id);
    buffer_append(out, SLICE("\r\ncontent-length: "));
    buffer_append_u64(out, body.len);
    buffer_append(out, SLICE("\r\n\r\n"));
    buffer_append(out, buffer_slice(&body));
}

/* False: something does not fit, and the library's words must do. */
static bool refuse(h2o_socket_t *socket, h2o_iovec_t *piece)
{
    const h2o_conn_t *connection = socket->data;
    char id_text[REQUEST_ID_SIZE], text[ANSWER_MAX];
    struct buffer id, answer;
    buffer_init_fixed(&id, id_text, sizeof(id_text));
    buffer_init_fixed(&answer, text, sizeof(text));
    serve_request_id(H2O_STRUCT_FROM_MEMBER(struct thread, http, connection->ctx), &id);
    unreadable_append(&answer, buffer_slice(&id));
    if (!status_ok(buffer_finish(&answer))) return false;
    const slice kept = listen_keep(socket, buffer_slice(&answer));
    *piece = (h2o_iovec_t){(char *)(uintptr_t)kept.data, kept.len};
    return true;
}

__attribute__((visibility("default"))) void h2o_socket_write(h2o_socket_t *socket,
                                                             h2o_iovec_t *pieces, size_t count,
                                                             h2o_socket_cb done)
{
    h2o_iovec_t ours;
    const bool refused = count == 1 && pieces[0].len == sizeof(refusal) - 1 &&
                         unreadable_is_refusal((slice){pieces[0].base, pieces[0].len});
    if (refused && refuse(socket, &ours)) pieces = &ours;
    library_write(socket, pieces, count, done);
}
