/* SPDX-License-Identifier: Apache-2.0 */
/* Pools in a hash table and in the order of their last use. The complication is TLS: the loop's
 * library compares the name in a certificate under TLS 1.2 only, so OpenSSL is told to. */
#include "services/edge/upstream/pool.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "services/edge/upstream/connection.h"
#include "shared/log.h"

#define POOLS_MAX          256
#define BUCKET_COUNT       512

/* A kept connection is closed by us after this time. Servers close theirs after 5 s and more; one
 * that closes first is noticed when it does, or else by a request that is sent again. */
#define CONNECTION_KEPT_MS 10000

struct upstream_pools {
    h2o_loop_t *loop;
    int64_t connections_max;
    X509_STORE *authorities;
    h2o_timeout_t kept_timeout; /* one list for the connections of all pools, oldest first */
    h2o_linklist_t by_use;      /* oldest first */
    struct upstream_pool *buckets[BUCKET_COUNT];
    size_t count;
};

static uint64_t hash_place(const struct upstream_place *place);
static bool is_place(const struct upstream_pool *pool, const struct upstream_place *place);
static status open_pool(struct upstream_pools *pools, const struct upstream_place *place,
                        struct upstream_pool **opened);
static void close_pool(struct upstream_pools *pools, struct upstream_pool *pool);
static struct upstream_pool *oldest_idle(struct upstream_pools *pools);
static status new_tls_context(const struct upstream_pools *pools, slice host, SSL_CTX **created);

/* ---- life ------------------------------------------------------------------------------------ */

static status load_authorities(const char *file, X509_STORE **authorities)
{
    X509_STORE *store = X509_STORE_new();
    if (store == NULL) return FAIL(CRYPTO);
    bool loaded = file[0] == '\0' ? X509_STORE_set_default_paths(store) == 1
                                  : X509_STORE_load_file(store, file) == 1;
    if (!loaded) {
        log_error("authorities_unreadable", F(name, slice_of(file)));
        X509_STORE_free(store);
        ERR_clear_error();
        return FAIL(CONFIGURATION);
    }
    *authorities = store;
    return OK;
}

status upstream_pools_new(h2o_loop_t *loop, const struct config *config,
                          struct upstream_pools **pools)
{
    X509_STORE *authorities;
    TRY(load_authorities(config->upstream_ca_file, &authorities));
    struct upstream_pools *p = calloc(1, sizeof(*p));
    if (p == NULL) abort();
    p->loop = loop;
    p->connections_max = config->upstream_connections;
    p->authorities = authorities;
    h2o_linklist_init_anchor(&p->by_use);
    h2o_timeout_init(loop, &p->kept_timeout, CONNECTION_KEPT_MS);
    *pools = p;
    return OK;
}

void upstream_pools_free(struct upstream_pools **pools)
{
    struct upstream_pools *p = TAKE(*pools);
    if (p == NULL) return;
    while (!h2o_linklist_is_empty(&p->by_use)) {
        close_pool(p, H2O_STRUCT_FROM_MEMBER(struct upstream_pool, use, p->by_use.next));
    }
    h2o_timeout_dispose(p->loop, &p->kept_timeout);
    X509_STORE_free(p->authorities);
    free(p);
}

/* ---- entering -------------------------------------------------------------------------------- */

status upstream_pools_enter(struct upstream_pools *pools, const struct upstream_place *place,
                            struct upstream_pool **pool)
{
    uint64_t hash = hash_place(place);
    struct upstream_pool *found = pools->buckets[hash % BUCKET_COUNT];
    while (found != NULL && (found->hash != hash || !is_place(found, place))) {
        found = found->next;
    }
    if (found == NULL) TRY(open_pool(pools, place, &found));
    if (found->active >= pools->connections_max) return FAIL(OVERLOADED);
    h2o_linklist_unlink(&found->use);
    h2o_linklist_insert(&pools->by_use, &found->use);
    found->active++;
    *pool = found;
    return OK;
}

void upstream_pool_leave(struct upstream_pool *pool)
{
    pool->active--;
}

/* FNV-1a over everything that tells places apart. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ at[i]) * 0x100000001b3u;
    }
    return hash;
}

static uint64_t hash_place(const struct upstream_place *place)
{
    uint64_t hash = hash_bytes(0xcbf29ce484222325u, &place->tls, sizeof(place->tls));
    hash = hash_bytes(hash, place->host.data, place->host.len);
    return hash_bytes(hash, &place->address, place->address_len);
}

static bool is_place(const struct upstream_pool *pool, const struct upstream_place *place)
{
    return (pool->tls != NULL) == place->tls &&
           slice_equal((slice){pool->host, pool->host_len}, place->host) &&
           pool->address_len == place->address_len &&
           memcmp(&pool->address, &place->address, place->address_len) == 0;
}

/* ---- pools ----------------------------------------------------------------------------------- */

static status open_pool(struct upstream_pools *pools, const struct upstream_place *place,
                        struct upstream_pool **opened)
{
    if (pools->count == POOLS_MAX) {
        struct upstream_pool *oldest = oldest_idle(pools);
        if (oldest == NULL) return FAIL(OVERLOADED);
        close_pool(pools, oldest);
    }
    SSL_CTX *tls = NULL;
    if (place->tls) TRY(new_tls_context(pools, place->host, &tls));

    struct upstream_pool *pool = calloc(1, sizeof(*pool));
    char *host = malloc(place->host.len + 1);
    if (pool == NULL || host == NULL) abort();
    memcpy(host, place->host.data, place->host.len);
    host[place->host.len] = '\0';
    pool->host = host;
    pool->host_len = place->host.len;
    pool->hash = hash_place(place);
    pool->tls = tls;
    pool->address = place->address;
    pool->address_len = place->address_len;
    pool->loop = pools->loop;
    pool->kept_timeout = &pools->kept_timeout;
    h2o_linklist_init_anchor(&pool->kept);

    struct upstream_pool **bucket = &pools->buckets[pool->hash % BUCKET_COUNT];
    pool->next = *bucket;
    *bucket = pool;
    h2o_linklist_insert(&pools->by_use, &pool->use);
    pools->count++;
    *opened = pool;
    return OK;
}

static void close_pool(struct upstream_pools *pools, struct upstream_pool *pool)
{
    struct upstream_pool **place = &pools->buckets[pool->hash % BUCKET_COUNT];
    while (*place != pool) {
        place = &(*place)->next;
    }
    *place = pool->next;
    h2o_linklist_unlink(&pool->use);
    pools->count--;
    struct upstream_connection *kept;
    while ((kept = upstream_connection_take(pool, NULL)) != NULL) {
        upstream_connection_close(&kept);
    }
    SSL_CTX_free(pool->tls);
    free(pool->host);
    free(pool);
}

static struct upstream_pool *oldest_idle(struct upstream_pools *pools)
{
    for (h2o_linklist_t *node = pools->by_use.next; node != &pools->by_use; node = node->next) {
        struct upstream_pool *pool = H2O_STRUCT_FROM_MEMBER(struct upstream_pool, use, node);
        if (pool->active == 0) return pool;
    }
    return NULL;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* The library compares the name itself, but under TLS 1.2 only. So the name is made part of the
 * verification of the chain, which every handshake goes through; hence a context for each host. */
static bool demand_name(SSL_CTX *context, const char *host)
{
    X509_VERIFY_PARAM *parameters = SSL_CTX_get0_param(context);
    union resolved_address address;
    if (resolve_numeric(slice_of(host), &address))
        return X509_VERIFY_PARAM_set1_ip_asc(parameters, host) == 1;
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(parameters, host, 0) == 1;
}

static status new_tls_context(const struct upstream_pools *pools, slice host, SSL_CTX **created)
{
    static const unsigned char protocols[] = "\x08http/1.1";
    char name[HOST_LEN_MAX + 1];
    TRY(slice_to_c_string(host, name, sizeof(name)));
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL) return FAIL(CRYPTO);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set1_cert_store(context, pools->authorities);
    bool ready = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
                 SSL_CTX_set_alpn_protos(context, protocols, sizeof(protocols) - 1) == 0 &&
                 demand_name(context, name);
    if (!ready) {
        ERR_clear_error();
        SSL_CTX_free(context);
        return FAIL(CRYPTO);
    }
    *created = context;
    return OK;
}
