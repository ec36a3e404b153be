/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of requests. They are made of texts that others wrote, so nothing gets in that could end a
 * line early: one header more would be a request more. */
#include "services/edge/upstream/head.h"

/* Request line and our own headers without the texts in them. */
#define HEAD_LEN_FIXED 128

static bool is_line(slice line);

size_t upstream_head_len_max(const struct upstream_request *request)
{
    const struct url *url = request->url;
    size_t len = HEAD_LEN_FIXED + request->method.len + url->authority.len + url->target.len +
                 request->path.len;
    for (size_t i = 0; i < request->header_count; i++) {
        len += request->headers[i].len + 2;
    }
    return len;
}

static bool takes_body(slice method)
{
    return slice_equal(method, SLICE("POST")) || slice_equal(method, SLICE("PUT")) ||
           slice_equal(method, SLICE("PATCH"));
}

static char *put(char *at, slice text)
{
    if (text.len > 0) memcpy(at, text.data, text.len);
    return at + text.len;
}

/* The bound is reserved once and counts every text that is put here; a dozen checked appends would
 * cost more than all else that happens to a request's head. */
status upstream_head_write(const struct upstream_request *request, struct buffer *head)
{
    const struct url *url = request->url;
    if (request->method.len == 0 || !url_is_clean(request->method)) return FAIL(BAD_REQUEST);
    if (!url_is_clean(request->path)) return FAIL(BAD_REQUEST);
    for (size_t i = 0; i < request->header_count; i++) {
        if (!is_line(request->headers[i])) return FAIL(BAD_REQUEST);
    }
    char *at = buffer_reserve(head, upstream_head_len_max(request));
    if (at == NULL) return FAIL(OVERFLOW);
    at = put(at, request->method);
    at = put(at, SLICE(" "));
    if (url->target.len + request->path.len == 0) at = put(at, SLICE("/"));
    at = put(at, url->target);
    at = put(at, request->path);
    at = put(at, SLICE(" HTTP/1.1\r\nhost: "));
    at = put(at, url->authority);
    at = put(at, SLICE("\r\n"));
    for (size_t i = 0; i < request->header_count; i++) {
        at = put(at, request->headers[i]);
        at = put(at, SLICE("\r\n"));
    }
    head->len = (size_t)(at - head->data);
    size_t body_len = 0;
    for (size_t i = 0; i < request->body_count; i++) {
        body_len += request->body[i].len;
    }
    if (body_len > 0 || takes_body(request->method)) {
        buffer_append(head, SLICE("content-length: "));
        buffer_append_u64(head, body_len);
        buffer_append(head, SLICE("\r\n"));
    }
    buffer_append(head, SLICE("\r\n"));
    return buffer_finish(head);
}

static bool is_line(slice line)
{
    return memchr(line.data, ':', line.len) != NULL && memchr(line.data, '\r', line.len) == NULL &&
           memchr(line.data, '\n', line.len) == NULL && memchr(line.data, '\0', line.len) == NULL;
}
