/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/credits: what was credited and what was used; their difference is the balance at
 * every read. Whatever is booked here leaves both readable: counters are of 64 bits. And what is
 * left of the month's allowance of own provider keys. */
#include "services/ledger/api/credits.h"

#include <time.h>

#include "services/ledger/api/api.h"
#include "services/ledger/apply.h"
#include "shared/array.h"
#include "shared/clock.h"

#define RECALL_WAIT_MS             1000
#define RECALL_PAUSE_MS            10
#define NUMERIC_VALUE_OUT_OF_RANGE "22003" /* SQLSTATE: a counter or a sum left its column */

static status of_numbers(const struct db *db, status result)
{
    bool overflow = strcmp(db_last_sqlstate(db), NUMERIC_VALUE_OUT_OF_RANGE) == 0;
    return overflow ? FAIL(OVERFLOW) : result;
}

status credits_query(struct db *db, void *context)
{
    struct credits *credits = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(of_numbers(db, db_run(db, "read_credits", (const struct db_param[]){DB_P_I64(credits->org)},
                              1, &row)));
    credits->usage = db_money(row, 0, 1);
    TRY(money_subtract(db_money(row, 0, 0), db_money(row, 0, 2), &credits->balance));
    return money_add(credits->balance, credits->usage, &credits->total);
}

status credits_book(struct db *db, struct control_response *response, const struct booking *booking)
{
    struct credits after = {.org = booking->org};
    status result = of_numbers(db, postings_make(db, booking));
    if (status_ok(result)) result = credits_query(db, &after);
    if (result.code != ERROR_OVERFLOW) return result;
    return control_fail(response, FAIL(CONFLICT),
                        SLICE("An account would hold more than the books can count (about $9.2 "
                              "billion). Nothing was changed."));
}

struct leased {
    int64_t org;
    money amount;
};

static status read_leased(struct db *db, void *context)
{
    struct leased *leased = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(db_run(db, "read_leased", (const struct db_param[]){DB_P_I64(leased->org)}, 1, &row));
    leased->amount = db_money(row, 0, 0);
    return OK;
}

status credits_recall(struct control_request *request, struct control_response *response,
                      int64_t org)
{
    const struct api *api = request->service;
    uint64_t until_ms = clock_monotonic_ms() + RECALL_WAIT_MS;
    api_await_posted(request, response);
    for (;;) {
        struct leased leased = {.org = org};
        money held = MONEY_ZERO;
        if (!status_ok(apply_credit_recall(api->ledger, org, &held))) return OK;
        TRY(db_transaction(request->db, org, read_leased, &leased));
        if (!money_less(held, leased.amount) || clock_monotonic_ms() >= until_ms) return OK;
        const struct timespec pause = {.tv_nsec = RECALL_PAUSE_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
}

struct reading {
    struct credits credits;
    wall_time now;
    bool has_allowance; /* an organization that is not there has none */
    bool in_requests;   /* else in list price */
    int64_t limit, used;
};

static status read_body(struct db *db, void *context)
{
    struct reading *reading = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    TRY(credits_query(db, &reading->credits));
    TRY(db_run(db, "read_allowance",
               (const struct db_param[]){DB_P_I64(reading->credits.org),
                                         DB_P_I64(clock_period(CADENCE_MONTH, reading->now))},
               2, &row));
    reading->has_allowance = db_row_count(row) == 1;
    if (!reading->has_allowance) return OK;
    reading->in_requests = db_bool(row, 0, 0);
    reading->limit = db_i64(row, 0, 1);
    reading->used = db_i64(row, 0, 2);
    return OK;
}

/* What running requests may take is not taken off; a plan that was lowered may lie below what is
 * used. */
static void write_allowance(const struct reading *reading, struct json_writer *w)
{
    int64_t left = reading->limit < reading->used ? 0 : reading->limit - reading->used;
    const struct {
        slice name;
        int64_t units;
    } figures[] = {{SLICE("limit"), reading->limit},
                   {SLICE("used"), reading->used},
                   {SLICE("remaining"), left}};
    json_key(w, SLICE("byok_allowance"));
    if (!reading->has_allowance) {
        json_null(w);
        return;
    }
    json_object_begin(w);
    json_key_string(w, SLICE("unit"),
                    reading->in_requests ? SLICE("requests") : SLICE("list_price"));
    for (size_t i = 0; i < COUNT_OF(figures); i++) {
        if (reading->in_requests)
            json_key_i64(w, figures[i].name, figures[i].units);
        else
            json_key_money(w, figures[i].name, (money){figures[i].units});
    }
    json_key(w, SLICE("resets_at"));
    json_time(w, clock_period_end(CADENCE_MONTH, reading->now));
    json_object_end(w);
}

status credits_read(struct control_request *request, struct control_response *response)
{
    struct api *api = request->service;
    struct reading reading = {.now = api_now()};
    const struct credits *credits = &reading.credits;
    money held = MONEY_ZERO;
    TRY(api_org(request, response, &reading.credits.org));
    api_await_posted(request, response);
    TRY(db_transaction(request->db, credits->org, read_body, &reading));
    bool told = status_ok(apply_read_held(api->ledger, credits->org, &held));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    json_key_money(w, SLICE("total_credits"), credits->total);
    json_key_money(w, SLICE("total_usage"), credits->usage);
    json_key_money(w, SLICE("balance"), credits->balance);
    if (told)
        json_key_money(w, SLICE("held"), held);
    else
        json_key_null(w, SLICE("held"));
    write_allowance(&reading, w);
    json_object_end(w);
    json_object_end(w);
    return OK;
}
