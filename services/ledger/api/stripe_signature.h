/* SPDX-License-Identifier: Apache-2.0 */
/* Whether bytes come from Stripe: HMAC-SHA256 over "TIME.BODY", compared in constant time, not
 * older than the tolerance, under any of the secrets. */
#pragma once

#include "shared/slice.h"

#define STRIPE_TOLERANCE_S 300

/* header: "t=1492774577,v1=5257a8…,v1=…". secrets: one per line. FORBIDDEN. */
status stripe_signature_check(slice header, slice body, slice secrets, int64_t now_s);
