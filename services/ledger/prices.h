/* SPDX-License-Identifier: Apache-2.0 */
/* All price rows in memory, for the core to charge with. A set is built once, never changed, and
 * replaced as a whole; rows in PostgreSQL are never changed either, so an old set only lacks newer
 * ids. */
#pragma once

#include "shared/billing.h"

struct prices {
    uint32_t count;
    uint32_t id_max;
    uint32_t *row_of_id; /* index into rows + 1, by id up to id_max; 0: no such price */
    struct price_row *rows;
};

/* Takes the rows over. They may stand in any order. */
struct prices *prices_new(struct price_row *rows, uint32_t count);
void prices_free(struct prices **prices);

/* NULL when unknown. `prices` may be NULL. */
static inline const struct price_row *prices_find(const struct prices *prices, uint32_t id)
{
    if (prices == NULL || id > prices->id_max || prices->row_of_id[id] == 0) return NULL;
    return &prices->rows[prices->row_of_id[id] - 1];
}

/* The row by which the provider is owed: the same one where there is no margin. NULL when it is not
 * among them. */
static inline const struct price_row *prices_list_of(const struct prices *prices,
                                                     const struct price_row *row)
{
    return row->list == 0 ? row : prices_find(prices, row->list);
}
