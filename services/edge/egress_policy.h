/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the other programs may call through the edge. Pure but for one question to the kernel: which
 * addresses are our own. What is not listed is refused, and so is every address that is not a
 * public one, because a name may be made to mean any address. */
#pragma once

#include "services/edge/resolve.h"
#include "shared/config.h"
#include "shared/http/url.h"

/* FORBIDDEN: the purpose may not call there, or not without TLS. *simulated: any address will do.
 * */
status egress_policy_check(const struct config *config, slice purpose, const struct url *url,
                           bool *simulated);

/* Neither private, local, reserved, a tunnel to such, nor one of this host. */
bool egress_address_is_public(const union resolved_address *address);
