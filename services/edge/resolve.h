/* SPDX-License-Identifier: Apache-2.0 */
/* Host names to addresses without stopping the loop: numeric addresses and localhost at once,
 * other names by getaddrinfo on a thread of their own, kept for 30 s. Single-threaded on the
 * outside: a resolver belongs to its loop. */
#pragma once

#include <netinet/in.h>

#include "shared/h2o.h"
#include "shared/http/url.h"
#include "shared/slice.h"

#define HOST_LEN_MAX           URL_HOST_LEN_MAX
#define RESOLVED_ADDRESSES_MAX 8

union resolved_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};
/* In the order in which they should be tried. Ports are 0. */
struct resolved {
    uint8_t count;
    union resolved_address items[RESOLVED_ADDRESSES_MAX];
};
static inline socklen_t resolved_address_len(const union resolved_address *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);
}

struct resolver;
struct resolver *resolver_new(h2o_multithread_queue_t *queue);
void resolver_free(
    struct resolver **resolver); /* on the loop's thread; nobody who waits is called */

/* Runs later on the loop's thread; addresses NULL: no such host, or no answer. */
typedef void (*resolve_done)(void *context, const struct resolved *addresses);
struct resolve_wait {
    h2o_linklist_t link;
    resolve_done done;
    void *context;
};

/* OK: *addresses is filled. END: `wait` will be called. BAD_REQUEST: not a host name. NOT_FOUND:
 * known not to exist. OVERLOADED: too many names at once. The wait is the caller's memory and
 * may be cancelled at any time. */
status resolver_find(struct resolver *resolver, slice host, struct resolve_wait *wait,
                     struct resolved *addresses);
void resolve_wait_cancel(struct resolve_wait *wait); /* nothing happens when it is not waiting */

/* None of the addresses could be reached: the next one who asks gets fresh ones. */
void resolver_forget(struct resolver *resolver, slice host);

/* A numeric IPv4 or IPv6 address (without brackets). */
bool resolve_numeric(slice host, union resolved_address *address);
