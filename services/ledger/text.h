/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that strangers sent, made fit for a database column. */
#pragma once

#include "shared/arena.h"

/* The text, or where it is not fit a copy, in which every byte that is not part of valid UTF-8, and
 * every NUL, is a '?': PostgreSQL refuses such texts, and a record must not fail for a client's odd
 * header. Never without data, but {NULL, 0} when the arena is full. */
slice text_clean(struct arena *arena, slice text);
