/* SPDX-License-Identifier: Apache-2.0 */
/* Whose journal a directory holds. A file in it names the database by a number that no other one
 * has, so that a journal that was copied from another machine is not taken for our own, whose
 * streams may well have the same numbers. */
#pragma once

#include "shared/status.h"

/* CONFLICT: the directory belongs to another database. A directory without the file, of an older
 * version or new, becomes this database's. */
status journal_owner_check(const char *directory, int64_t database);
/* What the directory held before is of no account any more. */
status journal_owner_set(const char *directory, int64_t database);
