/* SPDX-License-Identifier: Apache-2.0 */
/* The network a client's address is in, which is all that is ever told or kept of it: the first 24
 * bits of an IPv4 address, the first 48 of an IPv6 one. A number, so that it travels in a frame and
 * a record like any other: the family in the highest byte, the address's first six bytes below. */
#pragma once

#include "shared/buffer.h"

struct sockaddr; /* of <sys/socket.h> */

typedef uint64_t client_prefix;

#define CLIENT_PREFIX_NONE    ((client_prefix)0) /* nobody says where from: a sender from before */
#define CLIENT_PREFIX_UNKNOWN ((client_prefix)1) /* of no family that is known here */

/* NULL, or not an IP address: UNKNOWN. An IPv4 address mapped into IPv6 counts as what it is. */
client_prefix client_prefix_of(const struct sockaddr *address);

/* "203.0.113.0/24" or "2001:db8:1::/48"; nothing for NONE, UNKNOWN and what is no prefix. */
#define CLIENT_PREFIX_TEXT_MAX 32
void client_prefix_append(struct buffer *out, client_prefix prefix);
