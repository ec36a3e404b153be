/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Any number may run beside each other: the lock of a purchase's row orders them,
 * and the second finds nothing left to do. */
#include "services/ledger/api/stripe_janitor.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "services/ledger/api/api.h"
#include "services/ledger/api/postings.h"
#include "services/ledger/api/stripe_purchase.h"
#include "services/ledger/api/stripe_reconcile.h"
#include "services/ledger/api/topups.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define PURCHASE_ID_SIZE 64
#define ROUND_MAX        20 /* purchases, or debtors, at a time; the next follow at once */
#define ARENA_SIZE_MAX   ((size_t)1 << 20)

struct stripe_janitor {
    struct api *api;
    struct db *db;
    struct arena arena;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool stopping;
};

static void *run(void *argument);

status stripe_janitor_start(struct api *api, const struct db_statements *statements,
                            struct stripe_janitor **out)
{
    struct stripe_janitor *janitor = calloc(1, sizeof(*janitor));
    if (janitor == NULL) abort();
    janitor->api = api;
    arena_init(&janitor->arena, ARENA_SIZE_MAX);
    (void)pthread_mutex_init(&janitor->mutex, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&janitor->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    status opened = db_open(api->config->database, "bourse_ledger_api", statements, &janitor->db);
    if (status_ok(opened)) db_bound_waits(janitor->db);
    if (status_ok(opened) && pthread_create(&janitor->thread, NULL, run, janitor) != 0)
        opened = FAIL(IO);
    if (!status_ok(opened)) {
        db_close(&janitor->db);
        free(janitor);
        return opened;
    }
    *out = janitor;
    return OK;
}

void stripe_janitor_stop(struct stripe_janitor **pointer)
{
    struct stripe_janitor *janitor = TAKE(*pointer);
    if (janitor == NULL) return;
    (void)pthread_mutex_lock(&janitor->mutex);
    janitor->stopping = true;
    (void)pthread_cond_broadcast(&janitor->changed);
    (void)pthread_mutex_unlock(&janitor->mutex);
    (void)pthread_join(janitor->thread, NULL);
    db_close(&janitor->db);
    arena_free(&janitor->arena);
    (void)pthread_cond_destroy(&janitor->changed);
    (void)pthread_mutex_destroy(&janitor->mutex);
    free(janitor);
}

/* ---- a round --------------------------------------------------------------------------------- */

static status look_at(void *context, int64_t org, slice purchase, slice intent)
{
    struct stripe_janitor *janitor = context;
    struct api *api = janitor->api;
    arena_reset(&janitor->arena);
    struct convergence convergence = {.stripe = &api->stripe,
                                      .db = janitor->db,
                                      .arena = &janitor->arena,
                                      .cell = api->config->cell,
                                      .org = org,
                                      .purchase = purchase,
                                      .intent = intent};
    bool probe;
    TRY(stripe_enter(&api->stripe, &probe));
    status done = stripe_converge(&convergence);
    stripe_leave(&api->stripe, probe);
    if (!status_ok(done)) log_warning("stripe_purchase_not_looked_at", F(error, done));
    TRY(done);
    api_converged(api, &convergence);
    return OK; /* also where Stripe said nothing: the row says when to ask again */
}

struct debt {
    struct stripe_janitor *janitor;
    int64_t org;
    bool paid;
};

/* Credit that a cell had on lease has come back, new credit was bought, or an account with credit
 * left owes what it used on a line. Promotional credit pays what was used alone; paid credit pays
 * what disputes and refunds left owing first, as a payment from outside does. */
static status pay_debt(struct db *db, void *context)
{
    struct debt *debt = context;
    SCOPED(db_result_free) struct db_result *own = NULL;
    const int64_t orgs[] = {debt->org, debt->org, debt->org};
    const int64_t kinds[] = {ACCOUNT_CREDIT_PAID, ACCOUNT_CREDIT_PROMO, ACCOUNT_RECEIVABLE};
    const int64_t cells[] = {0, 0, 0};
    const struct db_param org[] = {DB_P_I64(debt->org)};
    TRY(db_run(db, "lock_debts", org, 1, NULL));
    TRY(db_run(db, "lock_accounts",
               (const struct db_param[]){DB_P_I64_ARRAY(orgs, 3), DB_P_I64_ARRAY(kinds, 3),
                                         DB_P_I64_ARRAY(cells, 3)},
               3, NULL));
    TRY(db_run(db, "read_credit_and_debt", org, 1, &own));
    money owed = db_money(own, 0, 1);
    money promo = db_money(own, 0, 3);
    money paid = money_min(db_money(own, 0, 0), money_minus(owed, promo));
    debt->paid = money_is_positive(promo) || money_is_positive(paid);
    if (!debt->paid) return OK;
    const struct booking booking = {
        .org = debt->org,
        .cell = debt->janitor->api->config->cell,
        .reference = SLICE("debt"),
        .count = 2,
        .entries = {{ACCOUNT_CREDIT_PROMO, ACCOUNT_RECEIVABLE, promo, "dispute"},
                    {ACCOUNT_CREDIT_PAID, ACCOUNT_RECEIVABLE, paid, "dispute"}},
    };
    TRY(postings_make(db, &booking));
    TRY(db_run(db, "lower_debts", (const struct db_param[]){org[0], DB_P_MONEY(paid)}, 2, NULL));
    return db_run(db, "thaw_org", org, 1, NULL);
}

static void top_up(struct stripe_janitor *janitor)
{
    SCOPED(db_result_free) struct db_result *due = NULL;
    status listed = db_run(janitor->db, "list_topups_due",
                           (const struct db_param[]){DB_P_I64(ROUND_MAX)}, 1, &due);
    for (size_t i = 0; status_ok(listed) && i < db_row_count(due); i++) {
        char text[PURCHASE_ID_SIZE] = ""; /* the arena is emptied in between */
        slice purchase = SLICE_NONE;
        int64_t org = db_i64(due, i, 0);
        arena_reset(&janitor->arena);
        status begun = topups_begin(janitor->db, &janitor->arena, org, &purchase);
        if (status_ok(begun)) begun = slice_to_c_string(purchase, text, sizeof(text));
        if (!status_ok(begun)) log_warning("topup_not_begun", F(error, begun));
        if (text[0] != '\0') (void)look_at(janitor, org, slice_of(text), SLICE_NONE).code;
    }
}

static bool is_stopping(void *context)
{
    struct stripe_janitor *janitor = context;
    (void)pthread_mutex_lock(&janitor->mutex);
    bool stopping = janitor->stopping;
    (void)pthread_mutex_unlock(&janitor->mutex);
    return stopping;
}

/* true: there may be more that is due. What failed is still due, and does not count as progress. */
static bool look_around(struct stripe_janitor *janitor)
{
    SCOPED(db_result_free) struct db_result *due = NULL;
    status done = db_run(janitor->db, "list_purchases_due",
                         (const struct db_param[]){DB_P_I64(ROUND_MAX)}, 1, &due);
    bool more = status_ok(done) && db_row_count(due) == ROUND_MAX;
    for (size_t i = 0; status_ok(done) && i < db_row_count(due) && !is_stopping(janitor); i++) {
        status looked = look_at(janitor, db_i64(due, i, 0), db_text(due, i, 1), SLICE_NONE);
        more = more && status_ok(looked);
    }
    return more;
}

/* Those after one organization, which becomes the last of them. true: there may be more. */
static bool pay_some_debts(struct stripe_janitor *janitor, int64_t *after)
{
    SCOPED(db_result_free) struct db_result *debts = NULL;
    status listed =
        db_run(janitor->db, "list_orgs_in_debt",
               (const struct db_param[]){DB_P_I64(*after), DB_P_I64(ROUND_MAX)}, 2, &debts);
    if (!status_ok(listed)) return false;
    for (size_t i = 0; i < db_row_count(debts) && !is_stopping(janitor); i++) {
        struct debt debt = {janitor, db_i64(debts, i, 0), false};
        status paid = db_transaction(janitor->db, debt.org, pay_debt, &debt);
        if (!status_ok(paid)) log_warning("debt_not_paid", F(error, paid));
        if (status_ok(paid) && debt.paid) api_credit_moved(janitor->api, debt.org);
        *after = debt.org;
    }
    return db_row_count(debts) == ROUND_MAX;
}

/* Each once: one that fails is due in the next round, and keeps no other waiting. */
static void pay_debts(struct stripe_janitor *janitor)
{
    int64_t after = 0;
    while (pay_some_debts(janitor, &after) && !is_stopping(janitor)) {
    }
}

/* These are an operator's to decide: they are only counted. */
static void count_waiting(struct stripe_janitor *janitor)
{
    SCOPED(db_result_free) struct db_result *count = NULL;
    status counted = db_run(janitor->db, "count_refunds_waiting", NULL, 0, &count);
    if (status_ok(counted)) metric_set(refunds_waiting, db_i64(count, 0, 0));
}

static void reconcile(struct stripe_janitor *janitor)
{
    const struct reconciliation reconciliation = {&janitor->api->stripe, janitor->db, look_at,
                                                  is_stopping, janitor};
    status done = stripe_reconcile(&reconciliation);
    if (!status_ok(done)) log_warning("stripe_not_reconciled", F(error, done));
}

static void ask_stripe(struct stripe_janitor *janitor)
{
    while (look_around(janitor) && !is_stopping(janitor))
        pay_debts(janitor);
    top_up(janitor);
    reconcile(janitor);
}

static void *run(void *argument)
{
    struct stripe_janitor *janitor = argument;
    int64_t interval_ms = janitor->api->config->stripe_janitor_interval;
    (void)pthread_mutex_lock(&janitor->mutex);
    while (!janitor->stopping) {
        (void)pthread_mutex_unlock(&janitor->mutex);
        pay_debts(janitor);
        count_waiting(janitor);
        if (stripe_is_on(&janitor->api->stripe)) ask_stripe(janitor);
        (void)pthread_mutex_lock(&janitor->mutex);
        uint64_t until_ms = clock_monotonic_ms() + (uint64_t)interval_ms;
        struct timespec at = {.tv_sec = (time_t)(until_ms / 1000),
                              .tv_nsec = (long)(until_ms % 1000) * 1000000};
        if (!janitor->stopping)
            (void)pthread_cond_timedwait(&janitor->changed, &janitor->mutex, &at);
    }
    (void)pthread_mutex_unlock(&janitor->mutex);
    return NULL;
}
