/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. The ranges are the special-purpose registries of IANA (RFC 6890 and its updates).
 * */
#include "services/edge/egress_policy.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

struct range {
    uint32_t base;
    uint8_t bits;
};

static const struct range special_v4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* carriers */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local, where clouds keep their credentials */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* relays to IPv6 */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarks */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 3},  /* multicast, reserved, broadcast */
};
#define SPECIAL_V4_COUNT (sizeof(special_v4) / sizeof(special_v4[0]))

/* First 32 bits. What is outside of 2000::/3 (loopback, mapped, local, multicast) is never public.
 * */
static const struct range special_v6[] = {
    {0x20010000, 23}, /* protocol assignments, tunnels */
    {0x20010db8, 32}, /* documentation */
    {0x20020000, 16}, /* tunnels to any IPv4 address */
    {0x3fff0000, 20}, /* documentation */
};
#define SPECIAL_V6_COUNT (sizeof(special_v6) / sizeof(special_v6[0]))

static bool same_base(slice text, const struct url *url)
{
    struct url base;
    if (!status_ok(url_parse(text, &base)) || base.local) return false;
    return base.tls == url->tls && base.port == url->port &&
           slice_equal_nocase(base.host, url->host);
}

static bool is_simulated(const struct config *config, const struct url *url)
{
    slice word, rest = slice_of(config->egress_simulated);
    while (rest.len > 0) {
        (void)slice_split(rest, ' ', &word, &rest);
        if (same_base(word, url)) return true;
    }
    return false;
}

status egress_policy_check(const struct config *config, slice purpose, const struct url *url,
                           bool *simulated)
{
    slice word, name, base, rest = slice_of(config->egress_allow);
    *simulated = false;
    if (url->local || purpose.len == 0) return FAIL(FORBIDDEN);
    while (rest.len > 0) {
        (void)slice_split(rest, ' ', &word, &rest);
        if (!slice_split(word, '=', &name, &base)) continue;
        if (!slice_equal(name, purpose) || !same_base(base, url)) continue;
        *simulated = is_simulated(config, url);
        return url->tls || *simulated ? OK : FAIL(FORBIDDEN);
    }
    return FAIL(FORBIDDEN);
}

static bool is_special(const struct range *ranges, size_t count, uint32_t address)
{
    for (size_t i = 0; i < count; i++) {
        if ((address ^ ranges[i].base) >> (32 - ranges[i].bits) == 0) return true;
    }
    return false;
}

/* Only an address of this host can be bound to. In doubt it counts as one. */
static bool is_ours(const union resolved_address *address)
{
    int fd = socket(address->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return true;
    bool bound = bind(fd, &address->any, resolved_address_len(address)) == 0;
    (void)close(fd);
    return bound;
}

bool egress_address_is_public(const union resolved_address *address)
{
    uint32_t first;
    if (address->any.sa_family == AF_INET) {
        first = ntohl(address->v4.sin_addr.s_addr);
        if (is_special(special_v4, SPECIAL_V4_COUNT, first)) return false;
    } else if (address->any.sa_family == AF_INET6) {
        memcpy(&first, &address->v6.sin6_addr, sizeof(first));
        first = ntohl(first);
        if (first >> 29 != 1 || is_special(special_v6, SPECIAL_V6_COUNT, first)) return false;
    } else {
        return false;
    }
    return !is_ours(address);
}
