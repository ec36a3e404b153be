/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits in SQL: what limits a caller has, and what else his plan says; and how many requests
 * of free models each organization made on a day. The count is a row per organization and day,
 * moved by the poster in the transaction of the rows it counts; nothing resets it. */
#include "services/ledger/store.h"

#include "shared/array.h"

#define LIMIT_COLUMNS 4
#define PLAN_COLUMN   (3 * LIMIT_COLUMNS)

static uint32_t limit_in(const struct db_result *result, size_t column)
{
    int64_t value = db_i64(result, 0, column);
    return value > INT32_MAX ? INT32_MAX : (uint32_t)value;
}

static struct rate_limits limits_in(const struct db_result *result, size_t group)
{
    size_t column = group * LIMIT_COLUMNS;
    return (struct rate_limits){.requests = limit_in(result, column),
                                .tokens = limit_in(result, column + 1),
                                .concurrent = limit_in(result, column + 2),
                                .day = limit_in(result, column + 3)};
}

struct plan_terms store_plan_terms(const struct db_result *result, size_t column)
{
    return (struct plan_terms){
        .plan = (uint16_t)db_i64(result, 0, column),
        .version = (uint64_t)db_i64(result, 0, column + 1),
        .output_default = (uint32_t)db_i64(result, 0, column + 2),
        .output_min = (uint32_t)db_i64(result, 0, column + 3),
        .byok_unit = (uint8_t)db_i64(result, 0, column + 4),
        .byok_fee_basis_points = (uint16_t)db_i64(result, 0, column + 5),
    };
}

status store_load_plan(struct db *db, struct caller_answer *answer)
{
    const struct caller *caller = &answer->caller;
    struct caller_rates *rates = &answer->rates;
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(caller->org), DB_P_I64(caller->key)};
    TRY(db_run(db, "caller_rates", params, COUNT_OF(params), &result));
    if (db_row_count(result) == 0) return OK;
    rates->key = limits_in(result, 0);
    rates->classes[MODEL_PAID] = limits_in(result, 1);
    rates->classes[MODEL_FREE] = limits_in(result, 2);
    answer->plan = store_plan_terms(result, PLAN_COLUMN);
    return OK;
}

status store_load_free_requests(struct db *db, const struct store_free_requests *load)
{
    SCOPED(db_result_free) struct db_result *result = NULL;
    const struct db_param params[] = {DB_P_I64(load->day)};
    TRY(db_run(db, "free_requests_load", params, COUNT_OF(params), &result));
    for (size_t i = 0; i < db_row_count(result); i++) {
        int64_t requests = db_i64(result, i, 1);
        uint32_t counted = requests > INT32_MAX ? INT32_MAX : (uint32_t)requests;
        TRY(load->counted(load->context, db_i64(result, i, 0), counted));
    }
    return OK;
}

status store_count_free_requests(struct db *db, struct posting *posting)
{
    int64_t *orgs = arena_alloc_array(posting->arena, posting->count + 1, sizeof(*orgs));
    int64_t *days = arena_alloc_array(posting->arena, posting->count + 1, sizeof(*days));
    if (orgs == NULL || days == NULL) return FAIL(TOO_LARGE);
    size_t count = 0;
    for (size_t i = 0; i < posting->count; i++) {
        const struct record_ending *ending = &posting->endings[i];
        if (ending->model_class != MODEL_FREE || ending->part != 0) continue;
        orgs[count] = ending->org;
        days[count] = posting->numbers[GENERATION_day][i];
        count++;
    }
    if (count == 0) return OK;
    const struct db_param params[] = {DB_P_I64_ARRAY(orgs, count), DB_P_I64_ARRAY(days, count)};
    return db_run(db, "free_requests_count", params, COUNT_OF(params), NULL);
}
