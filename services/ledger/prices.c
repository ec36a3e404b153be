/* SPDX-License-Identifier: Apache-2.0 */
/* The look-up of price rows by id: ids are dense, so a plain array answers. */
#include "services/ledger/prices.h"

#include <stdlib.h>

struct prices *prices_new(struct price_row *rows, uint32_t count)
{
    struct prices *prices = calloc(1, sizeof(*prices));
    if (prices == NULL) abort();
    prices->rows = rows;
    prices->count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].id > prices->id_max) prices->id_max = rows[i].id;
    }
    prices->row_of_id = calloc((size_t)prices->id_max + 1, sizeof(*prices->row_of_id));
    if (prices->row_of_id == NULL) abort();
    for (uint32_t i = 0; i < count; i++)
        prices->row_of_id[rows[i].id] = i + 1;
    return prices;
}

void prices_free(struct prices **prices)
{
    if (*prices == NULL) return;
    free((*prices)->rows);
    free((*prices)->row_of_id);
    free(*prices);
    *prices = NULL;
}
