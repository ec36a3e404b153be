/* SPDX-License-Identifier: Apache-2.0 */
/* What the edge and the control plane behind it must agree on. */
#pragma once

#include <stddef.h>

/* No route that the edge forwards takes a larger body; the edge refuses one by itself. Routes for
 * operators alone may take more. */
#define CONTROL_FORWARDED_BODY_MAX ((size_t)16 * 1024)
