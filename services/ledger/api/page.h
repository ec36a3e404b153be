/* SPDX-License-Identifier: Apache-2.0 */
/* Receipts and invoices as HTML: one page without scripts or anything loaded, which prints well.
 * Whatever comes from outside goes through page_text, so no name can become markup. */
#pragma once

#include "shared/config.h"
#include "shared/db.h"
#include "shared/http/control.h"

struct page_party {
    slice name, address, tax_id; /* empty: left out */
};
struct page_head {
    slice kind;   /* "Receipt" */
    slice number; /* "pur-…" */
    slice date;   /* "2026-11-20" */
    struct page_party seller, buyer;
};

/* The response becomes a page: its type, and that nobody keeps it. */
status page_announce(struct control_response *response);
/* Everything above the tables; begins the body anew, because a transaction may be repeated. */
void page_begin(struct control_response *response, const struct page_head *head);
void page_end(struct control_response *response);

/* Columns by name; amounts and counts stand to the right. */
struct page_column {
    const char *name;
    bool right;
};
void page_table_begin(struct buffer *out, slice caption, const struct page_column *columns,
                      size_t count);
void page_table_end(struct buffer *out);
/* The last row: a label over all columns but the last, and an amount. */
void page_table_total(struct buffer *out, slice label, size_t columns, money amount);
void page_row_begin(struct buffer *out);
void page_row_end(struct buffer *out);
void page_cell_text(struct buffer *out, slice text);
void page_cell_count(struct buffer *out, int64_t count);
void page_cell_money(struct buffer *out, money amount);
void page_note(struct buffer *out, slice sentence); /* a paragraph of our own */

/* & < > " and ' become references. */
void page_text(struct buffer *out, slice text);
/* Exact, with two decimals at least: "$25.00", "$0.0006006". */
void page_money(struct buffer *out, money amount);

/* Who sells, as the configuration says. */
struct page_party page_seller(const struct config *config);
/* Columns of the statement read_buyer: name, billing name, address, tax id. */
struct page_party page_buyer(const struct db_result *row);
