/* SPDX-License-Identifier: Apache-2.0 */
/* The auditor: naive walks over what clients were told, what customers bought, and the rows and
 * balances in the database. */
#include "tests/unit/ledger/simulator.h"

#include <assert.h>
#include <stdlib.h>

static size_t count_rows(const struct model_database *model, uint32_t incarnation, uint64_t hold,
                         int64_t *charge)
{
    size_t found = 0;
    for (size_t i = 0; i < model->row_count; i++) {
        const struct model_row *row = &model->rows[i];
        if (row->part != 0 || row->incarnation != incarnation || row->hold != hold) continue;
        *charge = row->charge;
        found++;
    }
    return found;
}

/* Whatever happened, at any moment. */
const char *audit_now(const struct model_database *model, const struct sim_log *log)
{
    for (size_t i = 0; i < model->org_count; i++) {
        const struct model_org *org = &model->orgs[i];
        if (org->paid < 0 || org->promo < 0 || org->escrow < 0) return "a balance is negative";
        if (org->paid + org->promo + org->escrow + org->income + org->fees - org->receivable !=
            log->bought[org->org])
            return "money was made or lost";
        if (org->receivable > 0 && !log->overshoots)
            return "a customer owes though no answer exceeded its hold";
        int64_t leased = 0;
        for (size_t j = 0; j < model->lease_count; j++) {
            const struct model_lease *lease = &model->leases[j];
            if (lease->org != org->org || lease->meter != 0) continue;
            leased += lease->granted - lease->settled - lease->returned;
        }
        if (leased != org->escrow) return "the leases of an account are not its escrow";
    }
    for (size_t i = 0; i < model->key_count; i++) {
        const struct model_key *key = &model->keys[i];
        if (!key->has_limit || log->limits_lowered || log->overshoots) continue;
        int64_t meter = key->caller.key * CADENCE_COUNT + (int64_t)key->cadence;
        for (size_t j = 0; j < model->period_count; j++) {
            const struct model_period *period = &model->periods[j];
            int64_t list = key->include_byok ? period->byok_spent : 0;
            if (period->meter == meter && period->spent + list + period->leased > key->limit)
                return "a limit is exceeded";
        }
    }
    for (size_t i = 0; i < model->limit_count && !log->overshoots; i++) {
        const struct model_limit *limit = &model->limits[i];
        for (size_t j = 0; j < model->period_count; j++) {
            const struct model_period *period = &model->periods[j];
            if (period->meter != model_meter(limit) || period->org != limit->org) continue;
            int64_t list = limit->include_byok ? period->byok_spent : 0;
            if (period->period > limit->exact_after &&
                period->spent + list + period->leased > limit->limit)
                return "the limit of an owner of keys is exceeded";
        }
    }
    return NULL;
}

static const char *check_told(const struct model_database *model, const struct sim_log *log)
{
    for (size_t i = 0; i < log->told_count; i++) {
        const struct sim_entry *told = &log->told[i];
        int64_t charge = 0;
        size_t rows = count_rows(model, told->incarnation, told->hold, &charge);
        if (rows == 0) return "a client was told a cost and no row has it";
        if (rows > 1) return "a hold has two rows";
        if (charge != told->amount) return "a client was told another cost than was booked";
    }
    return NULL;
}

static const char *check_rows(const struct model_database *model, const struct sim_log *log)
{
    for (size_t i = 0; i < model->row_count; i++) {
        const struct model_row *row = &model->rows[i];
        int64_t cost = row->byok_unit == BYOK_NONE ? row->charge : row->byok_list;
        bool sent = cost == 0;
        for (size_t j = 0; !sent && j < log->sent_count; j++) {
            const struct sim_entry *entry = &log->sent[j];
            sent = entry->incarnation == row->incarnation && entry->hold == row->hold &&
                   entry->amount == cost;
        }
        if (!sent) return "a charge was booked that nobody sent";
        int64_t charge;
        if (row->part == 0 && count_rows(model, row->incarnation, row->hold, &charge) != 1)
            return "a hold has two rows";
        if (row->part > 0 && row->charge != 0) return "a correction charges";
    }
    return NULL;
}

/* Every hold that an edge was given ends in exactly one row. */
static const char *check_held(const struct model_database *model, const struct sim_log *log)
{
    for (size_t i = 0; i < log->held_count; i++) {
        int64_t charge;
        if (count_rows(model, log->held[i].incarnation, log->held[i].hold, &charge) != 1)
            return "a hold did not end in one row";
    }
    return NULL;
}

/* A request belongs to the period of its hold, whenever it ends and whatever the clock does. `left`
 * has what each period says it has spent, and loses the rows one by one. */
static const char *take_rows(const struct model_database *model, int64_t *left)
{
    for (size_t i = 0; i < model->row_count; i++) {
        const struct model_row *row = &model->rows[i];
        for (int cadence = 0; row->charge != 0 && cadence < CADENCE_COUNT; cadence++) {
            int64_t number = clock_period((enum cadence)cadence, (wall_time){row->created_ns});
            int64_t meter = row->key * CADENCE_COUNT + cadence;
            size_t at = 0;
            while (at < model->period_count &&
                   (model->periods[at].meter != meter || model->periods[at].period != number))
                at++;
            if (at == model->period_count) return "a charge has no period";
            left[at] -= row->charge;
        }
    }
    for (size_t i = 0; i < model->period_count; i++) {
        bool of_key = model->periods[i].meter < (int64_t)1
                                                    << 60; /* others may begin amid a period */
        if (of_key && left[i] != 0) return "what a period has spent is not the sum of its rows";
    }
    return NULL;
}

static const char *check_periods(const struct model_database *model)
{
    int64_t *left = calloc(model->period_count + 1, sizeof(*left));
    assert(left != NULL);
    for (size_t i = 0; i < model->period_count; i++)
        left[i] = model->periods[i].spent;
    const char *violation = take_rows(model, left);
    free(left);
    return violation;
}

static const char *check_sums(const struct model_database *model)
{
    for (size_t i = 0; i < model->key_count; i++) {
        int64_t key = model->keys[i].caller.key;
        int64_t rows = 0, spent = 0;
        for (size_t j = 0; j < model->row_count; j++)
            rows += model->rows[j].key == key ? model->rows[j].charge : 0;
        for (size_t j = 0; j < model->period_count; j++)
            spent += model->periods[j].meter == key * CADENCE_COUNT ? model->periods[j].spent : 0;
        if (rows != spent) return "a key's total is not the sum of its rows";
    }
    for (size_t i = 0; i < model->org_count; i++) {
        if (model->orgs[i].escrow != 0) return "money stays leased for ever";
    }
    for (size_t i = 0; i < model->period_count; i++) {
        if (model->periods[i].leased != 0) return "room under a limit stays leased for ever";
    }
    return NULL;
}

const char *audit_end(const struct model_database *model, const struct sim_log *log)
{
    const char *violation = audit_now(model, log);
    if (violation == NULL) violation = check_told(model, log);
    if (violation == NULL) violation = check_rows(model, log);
    if (violation == NULL) violation = check_held(model, log);
    if (violation == NULL) violation = check_sums(model);
    if (violation == NULL) violation = check_periods(model);
    return violation;
}
