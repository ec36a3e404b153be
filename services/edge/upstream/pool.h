/* SPDX-License-Identifier: Apache-2.0 */
/* Where connections lead: one pool per (scheme, host name, port, address), each with a TLS context
 * of its own that demands the host's name in the certificate, with the connections it keeps, and
 * with a bound on the calls that use it. Inside of the upstream client only. */
#pragma once

#include <sys/un.h>

#include "services/edge/resolve.h"
#include "shared/config.h"

union upstream_address {
    struct sockaddr any;
    union resolved_address ip; /* with the port */
    struct sockaddr_un local;
};

/* Where a connection leads. */
struct upstream_place {
    slice host; /* as in the URL; for TLS and for telling pools apart */
    bool tls;
    union upstream_address address;
    socklen_t address_len;
};

struct upstream_pool {
    h2o_linklist_t use;         /* by last use */
    struct upstream_pool *next; /* of the same hash */
    uint64_t hash;
    char *host;
    size_t host_len;
    SSL_CTX *tls; /* NULL: plain */
    union upstream_address address;
    socklen_t address_len;
    h2o_loop_t *loop;
    h2o_linklist_t kept;         /* connections; the one used last is the first */
    h2o_timeout_t *kept_timeout; /* of each of them */
    uint32_t active;             /* calls that run; a pool with one is never thrown away */
};

struct upstream_pools;
status upstream_pools_new(h2o_loop_t *loop, const struct config *config,
                          struct upstream_pools **pools);
void upstream_pools_free(struct upstream_pools **pools); /* no call runs any more */

/* Takes one of the places for calls. OVERLOADED: upstream_connections calls run to there, or
 * every pool is busy. CRYPTO. */
status upstream_pools_enter(struct upstream_pools *pools, const struct upstream_place *place,
                            struct upstream_pool **pool);
void upstream_pool_leave(struct upstream_pool *pool);
