/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of providers and of our own services, and request heads. Both are made of texts that
 * others wrote, so nothing gets in that could end a line early: one header more would be a
 * request more. */
#include "services/edge/upstream_url.h"

/* Request line and our own headers without the texts in them. */
#define HEAD_LEN_FIXED 128

static bool is_clean(slice text);
static bool is_line(slice line);

/* ---- URLs ------------------------------------------------------------------------------------ */

static status parse_local(slice text, struct upstream_url *url)
{
    bool has_target = slice_split(text, ':', &url->host, &url->target);
    if (url->host.len == 0 || (has_target && !slice_starts_with(url->target, SLICE("/"))))
        return FAIL(BAD_REQUEST);
    url->local = true;
    url->authority = SLICE("localhost");
    return OK;
}

static status parse_port(slice text, uint16_t *port)
{
    uint64_t number;
    if (!status_ok(slice_to_u64(text, &number)) || number == 0 || number > UINT16_MAX)
        return FAIL(BAD_REQUEST);
    *port = (uint16_t)number;
    return OK;
}

/* host, host:port, [v6] or [v6]:port. */
static status parse_authority(slice authority, struct upstream_url *url)
{
    url->authority = authority;
    slice port;
    bool has_port;
    if (slice_starts_with(authority, SLICE("["))) {
        slice rest;
        if (!slice_split(slice_from(authority, 1), ']', &url->host, &rest))
            return FAIL(BAD_REQUEST);
        has_port = rest.len > 0;
        if (has_port && rest.data[0] != ':') return FAIL(BAD_REQUEST);
        port = slice_from(rest, 1);
    } else {
        has_port = slice_split(authority, ':', &url->host, &port);
    }
    if (url->host.len == 0) return FAIL(BAD_REQUEST);
    url->port = url->tls ? 443 : 80;
    return has_port ? parse_port(port, &url->port) : OK;
}

status upstream_url_parse(slice text, struct upstream_url *url)
{
    *url = (struct upstream_url){0};
    if (!is_clean(text)) return FAIL(BAD_REQUEST);
    if (slice_starts_with(text, SLICE("unix:"))) {
        TRY(parse_local(slice_from(text, 5), url));
    } else {
        url->tls = slice_starts_with(text, SLICE("https://"));
        if (!url->tls && !slice_starts_with(text, SLICE("http://"))) return FAIL(BAD_REQUEST);
        slice rest = slice_from(text, url->tls ? 8 : 7);
        size_t end = 0;
        while (end < rest.len && rest.data[end] != '/' && rest.data[end] != '?') {
            end++;
        }
        slice authority = slice_first(rest, end);
        /* "https://api.example.com@elsewhere" must not lead anywhere. */
        if (memchr(authority.data, '@', authority.len) != NULL) return FAIL(BAD_REQUEST);
        TRY(parse_authority(authority, url));
        url->target = slice_from(rest, end);
    }
    if (url->target.len == 0) url->target = SLICE("/");
    return url->target.data[0] == '/' ? OK : FAIL(BAD_REQUEST);
}

/* Visible ASCII only, and no fragment. */
static bool is_clean(slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '#') return false;
    }
    return true;
}

/* ---- heads ----------------------------------------------------------------------------------- */

size_t upstream_head_len_max(const struct upstream_request *request)
{
    /* Target and host are both parts of the URL. */
    size_t len = HEAD_LEN_FIXED + request->method.len + 2 * request->url.len;
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
    memcpy(at, text.data, text.len);
    return at + text.len;
}

/* The bound is reserved once and counts every text that is put here; a dozen checked appends would
 * cost more than all else that happens to a request's head. */
status upstream_head_write(const struct upstream_request *request, const struct upstream_url *url,
                           struct buffer *head)
{
    if (request->method.len == 0 || !is_clean(request->method)) return FAIL(BAD_REQUEST);
    for (size_t i = 0; i < request->header_count; i++) {
        if (!is_line(request->headers[i])) return FAIL(BAD_REQUEST);
    }
    char *at = buffer_reserve(head, upstream_head_len_max(request));
    if (at == NULL) return FAIL(OVERFLOW);
    at = put(at, request->method);
    at = put(at, SLICE(" "));
    at = put(at, url->target);
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
