/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a public price map: one object, model id → {litellm_provider, mode, prices in dollars per
 * unit as JSON numbers, …}. Such maps are kept by volunteers for other purposes, so nothing in them
 * is trusted: what is implausible is dropped with a line, what is of no concern is counted as
 * skipped. */
#pragma once

#include "services/catalog/facts.h"
#include "shared/json/read.h"

/* source_date: YYYY-MM-DD, the day the map is of. WRONG_TYPE unless the root is an object;
 * TOO_LARGE. */
status import_map_read(struct json_value root, slice source_date, struct arena *arena,
                       struct facts *facts);

/* The prices of one entry. *reason says why there are none (then FAIL(MISSING_FIELD)); a single
 * price that cannot be used is left out with a line for `model`. */
struct import_map_entry {
    struct json_value object;
    slice model;          /* for lines */
    bool always_searches; /* its search fee is taken for every request */
    slice search_size;    /* the provider's default search depth */
};
status import_map_prices(const struct import_map_entry *entry, struct arena *arena,
                         struct facts *facts, struct price_row *row, slice *reason);
