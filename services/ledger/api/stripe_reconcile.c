/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Stripe's balance transactions are the list; each leads to its payment, the
 * payment to our purchase, and that is converged like after an event. A payment that names a
 * purchase which is not here is counted and logged: money came in that nobody was credited for. */
#include "services/ledger/api/stripe_reconcile.h"

#include "services/ledger/api/api.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define PAGES_MAX   10000
#define ID_SIZE_MAX 256

struct window {
    int64_t from_s, until_s; /* UTC, whole days */
    int64_t movements, unknown;
    char after[ID_SIZE_MAX]; /* the last one seen; empty at first */
    bool more;
};

/* What fails for one purchase is due again by its row; only a silent Stripe stops all. */
static bool is_about_all(status looked)
{
    return looked.code == ERROR_PAYMENTS_DOWN;
}

static status of_row(const struct reconciliation *r, slice intent, bool *found)
{
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(r->db, "find_purchase_of_payment",
               (const struct db_param[]){DB_P_TEXT(SLICE("")), DB_P_TEXT(intent)}, 2, &row));
    *found = db_row_count(row) > 0;
    if (!*found) return OK;
    status looked = r->look_at(r->context, db_i64(row, 0, 0), db_text(row, 0, 1), intent);
    return is_about_all(looked) ? looked : OK;
}

/* The row does not know the payment yet: the payment names the row. */
static status of_metadata(const struct reconciliation *r, struct window *window,
                          struct json_value source, slice intent)
{
    int64_t org;
    struct json_value metadata = json_get(source, SLICE("metadata"));
    slice purchase = stripe_text(metadata, SLICE("purchase"));
    if (purchase.len == 0) return OK; /* not sold by us */
    if (status_ok(api_parse_org(stripe_text(metadata, SLICE("org")), &org))) {
        status looked = r->look_at(r->context, org, purchase, intent);
        if (looked.code != ERROR_NOT_FOUND) return is_about_all(looked) ? looked : OK;
    }
    log_error("stripe_payment_without_purchase", FN(name, payment, intent));
    metric_add(payments_unknown_total, 1);
    window->unknown++;
    return OK;
}

static status compare(const struct reconciliation *r, struct window *window,
                      struct json_value movement)
{
    bool found = false;
    struct json_value source = json_get(movement, SLICE("source"));
    slice intent = stripe_text(source, SLICE("payment_intent"));
    window->movements++;
    TRY(slice_to_c_string(stripe_text(movement, SLICE("id")), window->after,
                          sizeof(window->after)));
    if (intent.len == 0) return OK; /* a payout, a fee of Stripe's own */
    TRY(of_row(r, intent, &found));
    return found ? OK : of_metadata(r, window, source, intent);
}

static status compare_page(const struct reconciliation *r, struct window *window)
{
    SCOPED(stripe_reply_free) struct stripe_reply reply;
    const struct stripe_span span = {window->from_s, window->until_s, slice_of(window->after)};
    if (stripe_movements_read(r->stripe, &span, &reply) != STRIPE_DONE) return FAIL(PAYMENTS_DOWN);
    struct json_value list = json_get(reply.root, SLICE("data"));
    window->more = stripe_flag(reply.root, SLICE("has_more")) && json_count(list) > 0;
    for (struct json_iterator i = json_iterate(list); json_next(&i);) {
        if (r->is_stopping(r->context)) return FAIL(STOPPING);
        TRY(compare(r, window, i.value));
    }
    return OK;
}

status stripe_reconcile(const struct reconciliation *r)
{
    SCOPED(db_result_free) struct db_result *due = NULL;
    TRY(db_run(r->db, "find_days_to_reconcile", NULL, 0, &due));
    if (db_row_count(due) == 0) return OK;
    struct window window = {
        .from_s = db_i64(due, 0, 0), .until_s = db_i64(due, 0, 1), .more = true};
    for (int page = 0; window.more; page++) {
        if (page == PAGES_MAX) return FAIL(OVERFLOW);
        TRY(compare_page(r, &window));
    }
    log_info("stripe_reconciled", FN(count, movements, window.movements),
             FN(count, unknown, window.unknown));
    return db_run(r->db, "insert_reconciliation",
                  (const struct db_param[]){DB_P_I64(window.until_s), DB_P_I64(window.movements),
                                            DB_P_I64(window.unknown)},
                  3, NULL);
}
