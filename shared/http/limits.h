/* SPDX-License-Identifier: Apache-2.0 */
/* What the edge and the control plane behind it must agree on. */
#pragma once

#include <stddef.h>

/* No route that the edge forwards takes a larger body; the edge refuses one by itself. Routes for
 * operators alone may take more. */
#define CONTROL_FORWARDED_BODY_MAX ((size_t)16 * 1024)
/* But events of the payment processor, which carry the whole object they are about. */
#define CONTROL_WEBHOOK_BODY_MAX   ((size_t)256 * 1024)
