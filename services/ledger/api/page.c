/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. The page says itself that a browser must load and run nothing for it, because it
 * may be opened from a file, where no header goes with it. */
#include "services/ledger/api/page.h"

#define AMOUNT_SIZE 40

static const char head_html[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
    "@page { size: A4; margin: 20mm; }\n"
    "body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;"
    " max-width: 46em; margin: 2em auto; padding: 0 1em; }\n"
    "header { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 1em; }\n"
    "h1 { font-size: 1.6em; margin: 0; }\n"
    "dl { margin: 0; display: grid; grid-template-columns: auto auto; gap: 0 1em; }\n"
    "dt { color: #595959; } dd { margin: 0; text-align: right; overflow-wrap: anywhere; }\n"
    ".parties { display: grid; grid-template-columns: 1fr 1fr; gap: 2em; margin: 2em 0; }\n"
    ".parties h2 { font-size: .85em; color: #595959; margin: 0; font-weight: 600; }\n"
    ".parties p { margin: 0; white-space: pre-line; overflow-wrap: anywhere; }\n"
    "table { width: 100%; border-collapse: collapse; margin: 1.5em 0; }\n"
    "caption { text-align: left; font-weight: 600; padding-bottom: .3em; }\n"
    "th, td { text-align: left; padding: .35em .5em; border-bottom: 1px solid #d9d9d9;"
    " vertical-align: top; overflow-wrap: anywhere; }\n"
    "th:first-child, td:first-child { padding-left: 0; }\n"
    ".r { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap;"
    " padding-right: 0; padding-left: 1.2em; }\n"
    "tfoot td, tfoot th { font-weight: 700; border-bottom: 0; border-top: 2px solid #1a1a1a; }\n"
    "thead { display: table-header-group; } tr { break-inside: avoid; }\n"
    "@media print { body { margin: 0; padding: 0; max-width: none; font-size: 10.5pt; } }\n"
    "</style>\n<title>";

void page_text(struct buffer *out, slice text)
{
    static const struct {
        char plain;
        slice reference;
    } references[] = {
        {'&', SLICE_INIT("&amp;")},  {'<', SLICE_INIT("&lt;")},   {'>', SLICE_INIT("&gt;")},
        {'"', SLICE_INIT("&quot;")}, {'\'', SLICE_INIT("&#39;")},
    };
    for (size_t i = 0; i < text.len; i++) {
        slice written = {text.data + i, 1};
        for (size_t r = 0; r < sizeof(references) / sizeof(references[0]); r++) {
            if (text.data[i] == references[r].plain) written = references[r].reference;
        }
        buffer_append(out, written);
    }
}

void page_money(struct buffer *out, money amount)
{
    char memory[AMOUNT_SIZE];
    struct buffer digits;
    slice whole, decimals;
    buffer_init_fixed(&digits, memory, sizeof(memory));
    money_append_dollars(&digits, amount);
    slice text = buffer_slice(&digits);
    if (slice_take_char(&text, '-')) buffer_append(out, SLICE("\xe2\x88\x92")); /* minus sign */
    (void)slice_split(text, '.', &whole, &decimals);
    buffer_append_char(out, '$');
    buffer_append(out, whole);
    buffer_append_char(out, '.');
    buffer_append(out, decimals);
    for (size_t i = decimals.len; i < 2; i++)
        buffer_append_char(out, '0');
}

/* ---- head and end ---- */

static void append_party(struct buffer *out, slice title, const struct page_party *party)
{
    buffer_append(out, SLICE("<section><h2>"));
    buffer_append(out, title);
    buffer_append(out, SLICE("</h2><p><strong>"));
    page_text(out, party->name);
    buffer_append(out, SLICE("</strong>"));
    if (party->address.len > 0) {
        buffer_append_char(out, '\n');
        page_text(out, party->address);
    }
    if (party->tax_id.len > 0) {
        buffer_append(out, SLICE("\nTax id: "));
        page_text(out, party->tax_id);
    }
    buffer_append(out, SLICE("</p></section>\n"));
}

status page_announce(struct control_response *response)
{
    response->content_type = SLICE("text/html; charset=utf-8");
    return control_header(response, SLICE("cache-control"), SLICE("no-store"));
}

void page_begin(struct control_response *response, const struct page_head *head)
{
    struct buffer *out = &response->body;
    buffer_clear(out); /* the transaction around it may be repeated */
    buffer_append(out, (slice){head_html, sizeof(head_html) - 1});
    page_text(out, head->kind);
    buffer_append_char(out, ' ');
    page_text(out, head->number);
    buffer_append(out, SLICE("</title>\n</head>\n<body>\n<header><h1>"));
    page_text(out, head->kind);
    buffer_append(out, SLICE("</h1><dl><dt>Number</dt><dd>"));
    page_text(out, head->number);
    buffer_append(out, SLICE("</dd><dt>Date</dt><dd>"));
    page_text(out, head->date);
    buffer_append(out, SLICE("</dd></dl></header>\n<div class=\"parties\">\n"));
    append_party(out, SLICE("From"), &head->seller);
    append_party(out, SLICE("To"), &head->buyer);
    buffer_append(out, SLICE("</div>\n"));
}

void page_end(struct control_response *response)
{
    buffer_append(&response->body, SLICE("</body>\n</html>\n"));
}

/* ---- tables ---- */

void page_table_begin(struct buffer *out, slice caption, const struct page_column *columns,
                      size_t count)
{
    buffer_append(out, SLICE("<table><caption>"));
    page_text(out, caption);
    buffer_append(out, SLICE("</caption><thead><tr>"));
    for (size_t i = 0; i < count; i++) {
        buffer_append(out, columns[i].right ? SLICE("<th scope=\"col\" class=\"r\">")
                                            : SLICE("<th scope=\"col\">"));
        page_text(out, slice_of(columns[i].name));
        buffer_append(out, SLICE("</th>"));
    }
    buffer_append(out, SLICE("</tr></thead><tbody>\n"));
}

void page_table_end(struct buffer *out)
{
    buffer_append(out, SLICE("</tbody></table>\n"));
}

void page_table_total(struct buffer *out, slice label, size_t columns, money amount)
{
    buffer_append(out, SLICE("</tbody><tfoot><tr><th scope=\"row\" colspan=\""));
    buffer_append_u64(out, columns - 1);
    buffer_append(out, SLICE("\">"));
    page_text(out, label);
    buffer_append(out, SLICE("</th><td class=\"r\">"));
    page_money(out, amount);
    buffer_append(out, SLICE("</td></tr></tfoot></table>\n"));
}

void page_row_begin(struct buffer *out)
{
    buffer_append(out, SLICE("<tr>"));
}

void page_row_end(struct buffer *out)
{
    buffer_append(out, SLICE("</tr>\n"));
}

void page_cell_text(struct buffer *out, slice text)
{
    buffer_append(out, SLICE("<td>"));
    page_text(out, text);
    buffer_append(out, SLICE("</td>"));
}

void page_cell_count(struct buffer *out, int64_t count)
{
    buffer_append(out, SLICE("<td class=\"r\">"));
    buffer_append_i64(out, count);
    buffer_append(out, SLICE("</td>"));
}

void page_cell_money(struct buffer *out, money amount)
{
    buffer_append(out, SLICE("<td class=\"r\">"));
    page_money(out, amount);
    buffer_append(out, SLICE("</td>"));
}

void page_note(struct buffer *out, slice sentence)
{
    buffer_append(out, SLICE("<p>"));
    page_text(out, sentence);
    buffer_append(out, SLICE("</p>\n"));
}

/* ---- who ---- */

struct page_party page_seller(const struct config *config)
{
    slice name = slice_of(config->seller_name);
    return (struct page_party){
        .name = name.len > 0 ? name : slice_of(config->instance),
        .address = slice_of(config->seller_address),
        .tax_id = slice_of(config->seller_tax_id),
    };
}

struct page_party page_buyer(const struct db_result *row)
{
    slice name = db_text(row, 0, 1);
    return (struct page_party){
        .name = name.len > 0 ? name : db_text(row, 0, 0),
        .address = db_text(row, 0, 2),
        .tax_id = db_text(row, 0, 3),
    };
}
