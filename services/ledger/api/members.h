/* SPDX-License-Identifier: Apache-2.0 */
/* Members' ids as customers see them: mem-<number>. */
#pragma once

#include "shared/json/write.h"
#include "shared/status.h"

void members_write_id(struct json_writer *w, slice name, int64_t member);
status members_parse_id(slice text, int64_t *member); /* NOT_FOUND */
