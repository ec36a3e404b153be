/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to a head that the library's parser cannot read: there is no request then. */
#pragma once

#include "shared/buffer.h"

/* The bytes with which the library closes such a connection. */
bool unreadable_is_refusal(slice written);
/* Head and envelope that take their place. */
void unreadable_append(struct buffer *out, slice request_id);
