/* SPDX-License-Identifier: Apache-2.0 */
/* A URL that is called, taken apart: who is called, and what for. One set of rules for whoever
 * stores an address and whoever calls it. */
#pragma once

#include "shared/slice.h"

#define URL_HOST_LEN_MAX 253 /* of a name in the DNS; a socket's path is shorter yet */

struct url {
    bool tls;
    bool local;      /* unix:PATH:/target */
    slice host;      /* without brackets; the socket's path when local */
    slice authority; /* what the Host header says */
    slice target;    /* path and query; empty when absent */
    uint16_t port;
};

/* BAD_REQUEST: another scheme than http, https and unix, no host or one too long, a user part, a
 * port that is none, or characters that do not belong into a request line. */
status url_parse(slice text, struct url *url);

/* Visible ASCII only, and no fragment: such a text cannot end a request line early. */
bool url_is_clean(slice text);
