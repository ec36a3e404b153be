/* SPDX-License-Identifier: Apache-2.0 */
/* From a text that others wrote to the parts of a URL. Nothing is decoded and nothing is copied:
 * the parts are slices of the text. */
#include "shared/http/url.h"

static status parse_local(slice text, struct url *url)
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
static status parse_authority(slice authority, struct url *url)
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

status url_parse(slice text, struct url *url)
{
    *url = (struct url){0};
    if (!url_is_clean(text)) return FAIL(BAD_REQUEST);
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
    if (url->host.len > URL_HOST_LEN_MAX) return FAIL(BAD_REQUEST);
    return url->target.len == 0 || url->target.data[0] == '/' ? OK : FAIL(BAD_REQUEST);
}

bool url_is_clean(slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '#') return false;
    }
    return true;
}
