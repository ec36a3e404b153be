/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include "shared/client_prefix.h"

#include <netinet/in.h>
#include <string.h>

#define FAMILY_SHIFT  56
#define FAMILY_4      4u
#define FAMILY_6      6u
#define PREFIX_BYTES  6 /* room for the longer of the two */
#define PREFIX_4      3
#define MAPPED_OFFSET 12 /* of an IPv4 address inside of an IPv6 one */

static client_prefix prefix_of(unsigned family, const uint8_t *bytes, size_t count)
{
    client_prefix prefix = (client_prefix)family << FAMILY_SHIFT;
    for (size_t i = 0; i < count; i++)
        prefix |= (client_prefix)bytes[i] << (8 * (PREFIX_BYTES - 1 - i));
    return prefix;
}

client_prefix client_prefix_of(const struct sockaddr *address)
{
    if (address == NULL) return CLIENT_PREFIX_UNKNOWN;
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        return prefix_of(FAMILY_4, (const uint8_t *)&v4.sin_addr, PREFIX_4);
    }
    if (address->sa_family != AF_INET6) return CLIENT_PREFIX_UNKNOWN;
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof(v6));
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
        return prefix_of(FAMILY_4, v6.sin6_addr.s6_addr + MAPPED_OFFSET, PREFIX_4);
    return prefix_of(FAMILY_6, v6.sin6_addr.s6_addr, PREFIX_BYTES);
}

static unsigned byte_at(client_prefix prefix, size_t i)
{
    return (unsigned)(prefix >> (8 * (PREFIX_BYTES - 1 - i))) & 0xff;
}

static void append_4(struct buffer *out, client_prefix prefix)
{
    for (size_t i = 0; i < PREFIX_4; i++) {
        buffer_append_u64(out, byte_at(prefix, i));
        buffer_append_char(out, '.');
    }
    buffer_append(out, SLICE("0/24"));
}

static void append_6(struct buffer *out, client_prefix prefix)
{
    for (size_t i = 0; i < PREFIX_BYTES; i += 2) {
        const uint8_t group[2] = {(uint8_t)byte_at(prefix, i), (uint8_t)byte_at(prefix, i + 1)};
        buffer_append_hex(out, group, sizeof(group));
        buffer_append(out, i + 2 < PREFIX_BYTES ? SLICE(":") : SLICE("::/48"));
    }
}

void client_prefix_append(struct buffer *out, client_prefix prefix)
{
    unsigned family = (unsigned)(prefix >> FAMILY_SHIFT);
    if (family == FAMILY_4) append_4(out, prefix);
    if (family == FAMILY_6) append_6(out, prefix);
}
