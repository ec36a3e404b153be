/* SPDX-License-Identifier: Apache-2.0 */
/* Everything is looked up by walking arrays, and every amount is a plain integer: slow and easy to
 * see through. */
#include "tests/unit/ledger/model_database.h"

#include <assert.h>
#include <stdlib.h>

#define HELD_MAX 4096

static void *new_array(size_t count, size_t size)
{
    void *array = calloc(count, size);
    assert(array != NULL);
    return array;
}

void model_init(struct model_database *model)
{
    *model = (struct model_database){
        .epoch = 1,
        .free = {.requests = MODEL_FREE_PER_MINUTE, .day = MODEL_FREE_PER_DAY},
        .free_day_bought = MODEL_FREE_PER_DAY_BOUGHT,
    };
    model->leases = new_array(MODEL_LEASES_MAX, sizeof(*model->leases));
    model->periods = new_array(MODEL_PERIODS_MAX, sizeof(*model->periods));
}

void model_free(struct model_database *model)
{
    free(model->leases);
    free(model->periods);
    free(model->rows);
    *model = (struct model_database){0};
}

struct key_hash model_hash(int64_t key)
{
    struct key_hash hash = {{0}};
    for (size_t i = 0; i < sizeof(hash.bytes); i++)
        hash.bytes[i] = (uint8_t)((uint64_t)key * 0x9e3779b97f4a7c15 >> (8 * (i % 8))) ^ (uint8_t)i;
    return hash;
}

static struct model_plan plan_of(const struct model_database *model, int64_t org)
{
    for (size_t i = 0; i < model->org_count; i++) {
        if (model->orgs[i].org == org) return model->orgs[i].plan;
    }
    return (struct model_plan){.terms = {.version = 1,
                                         .plan = (uint16_t)org,
                                         .byok_fee_basis_points = MODEL_BYOK_FEE,
                                         .byok_unit = BYOK_REQUESTS,
                                         .output_default = MODEL_OUTPUT_DEFAULT,
                                         .output_min = MODEL_OUTPUT_MIN},
                               .allowance = MODEL_BYOK_REQUESTS};
}

struct model_org *model_org(struct model_database *model, int64_t org)
{
    for (size_t i = 0; i < model->org_count; i++) {
        if (model->orgs[i].org == org) return &model->orgs[i];
    }
    assert(model->org_count < MODEL_ORGS_MAX);
    model->orgs[model->org_count] = (struct model_org){.org = org, .plan = plan_of(model, org)};
    return &model->orgs[model->org_count++];
}

struct model_key *model_key(struct model_database *model, int64_t key)
{
    for (size_t i = 0; i < model->key_count; i++) {
        if (model->keys[i].caller.key == key) return &model->keys[i];
    }
    return NULL;
}

struct model_key *model_add_key(struct model_database *model, int64_t org, int64_t key)
{
    assert(model->key_count < MODEL_KEYS_MAX);
    struct model_key *added = &model->keys[model->key_count++];
    *added = (struct model_key){
        .stored = model_hash(key),
        .caller = {.org = org, .workspace = 1, .key = key, .version = 1, .kind = CALLER_KEY}};
    return added;
}

struct model_period *model_period(struct model_database *model, int64_t org, int64_t meter,
                                  int64_t period)
{
    for (size_t i = 0; i < model->period_count; i++) {
        struct model_period *found = &model->periods[i];
        if (found->org == org && found->meter == meter && found->period == period) return found;
    }
    assert(model->period_count < MODEL_PERIODS_MAX);
    struct model_period *made = &model->periods[model->period_count++];
    *made = (struct model_period){.org = org, .meter = meter, .period = period};
    return made;
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* Numbered as schema/0007_limits.sql says. */
int64_t model_meter(const struct model_limit *limit)
{
    if (limit->owner_kind == OWNER_KEY) return meter_of_key(limit->owner, limit->cadence);
    return ((int64_t)1 << 60) + 16 * limit->owner + 4 * ((int64_t)limit->owner_kind - 2) +
           (int64_t)limit->cadence;
}

/* Numbered as schema/0017_byok.sql says. */
int64_t model_allowance_meter(int64_t org, enum byok_unit unit)
{
    return ((int64_t)1 << 60) + 16 * org + (unit == BYOK_REQUESTS ? 12 : 13);
}

struct plan_terms model_set_plan(struct model_database *model, int64_t org,
                                 const struct model_plan *plan)
{
    struct model_plan *known = &model_org(model, org)->plan;
    const struct plan_terms before = known->terms;
    *known = *plan;
    known->terms.plan = before.plan;
    known->terms.version = before.version + 1;
    return known->terms;
}

static bool owns(const struct model_limit *limit, const struct caller *caller)
{
    const int64_t owners[] = {[OWNER_KEY] = caller->key,
                              [OWNER_MEMBER] = caller->member,
                              [OWNER_WORKSPACE] = caller->workspace,
                              [OWNER_ORG] = caller->org};
    return limit->org == caller->org && limit->owner == owners[limit->owner_kind];
}

static struct model_limit *find_limit(struct model_database *model, int64_t org, int64_t meter)
{
    for (size_t i = 0; i < model->limit_count; i++) {
        if (model->limits[i].org == org && model_meter(&model->limits[i]) == meter)
            return &model->limits[i];
    }
    return NULL;
}

void model_set_limit(struct model_database *model, const struct model_limit *limit, wall_time now)
{
    struct model_limit *found = find_limit(model, limit->org, model_meter(limit));
    if (found != NULL) {
        uint64_t version = found->version + 1;
        *found = *limit;
        found->version = version;
        return;
    }
    assert(model->limit_count < MODEL_LIMITS_MAX);
    model->limits[model->limit_count++] = *limit;
    if (limit->owner_kind == OWNER_KEY) return; /* a key's four meters count from its beginning */
    int32_t number = clock_period(limit->cadence, now);
    int64_t spent = 0, requests = 0, byok_spent = 0;
    for (size_t i = 0; i < model->key_count; i++) {
        const struct caller *key = &model->keys[i].caller;
        if (!owns(limit, key)) continue;
        const struct model_period *of_key =
            model_period(model, key->org, meter_of_key(key->key, limit->cadence), number);
        spent += of_key->spent;
        requests += of_key->requests;
        byok_spent += of_key->byok_spent;
    }
    struct model_period *begun = model_period(model, limit->org, model_meter(limit), number);
    begun->spent = spent;
    begun->requests = requests;
    begun->byok_spent = byok_spent;
}

/* An allowance of the unit that the plan does not count in is none. */
static bool allowance_of(struct model_database *model, int64_t org, int64_t meter, int64_t *limit)
{
    const struct model_plan *plan = &model_org(model, org)->plan;
    bool requests = meter == model_allowance_meter(org, BYOK_REQUESTS);
    bool list_price = meter == model_allowance_meter(org, BYOK_LIST_PRICE);
    *limit = meter == model_allowance_meter(org, plan->terms.byok_unit) ? plan->allowance : 0;
    return requests || list_price;
}

/* What of a period counts in its meter's limit. */
static int64_t counted(struct model_database *model, const struct model_period *period)
{
    const struct model_key *key = model_key(model, period->meter / CADENCE_COUNT);
    const struct model_limit *limit = find_limit(model, period->org, period->meter);
    bool with_list = key != NULL ? key->include_byok : limit != NULL && limit->include_byok;
    return period->spent + (with_list ? period->byok_spent : 0);
}

/* Whether the meter has a limit now, and which. */
static bool limit_of(struct model_database *model, int64_t org, int64_t meter, int64_t *limit)
{
    if (allowance_of(model, org, meter, limit)) return true;
    const struct model_limit *found = find_limit(model, org, meter);
    const struct model_key *key = model_key(model, meter / CADENCE_COUNT);
    if (found != NULL && found->limited) {
        *limit = found->limit;
        return true;
    }
    bool of_key =
        key != NULL && key->has_limit && meter_of_key(key->caller.key, key->cadence) == meter;
    if (of_key) *limit = key->limit;
    return of_key;
}

static struct model_lease *find_lease(struct model_database *model, const struct model_lease *key)
{
    for (size_t i = 0; i < model->lease_count; i++) {
        struct model_lease *found = &model->leases[i];
        if (found->org == key->org && found->meter == key->meter && found->period == key->period &&
            found->epoch == key->epoch)
            return found;
    }
    assert(model->lease_count < MODEL_LEASES_MAX);
    model->leases[model->lease_count] = *key;
    return &model->leases[model->lease_count++];
}

static void add_meter(struct caller_answer *answer, const struct caller_meter *meter)
{
    answer->meters[answer->meter_count++] = *meter;
}

/* The widest owner first. */
static void add_limits(const struct model_database *model, const struct model_key *key,
                       struct caller_answer *answer)
{
    for (int kind = OWNER_ORG; kind >= OWNER_KEY; kind--) {
        for (size_t i = 0; i < model->limit_count; i++) {
            const struct model_limit *limit = &model->limits[i];
            if ((int)limit->owner_kind == kind && limit->limited && owns(limit, &answer->caller))
                add_meter(answer, &(struct caller_meter){.meter = model_meter(limit),
                                                         .owner = (uint8_t)limit->owner_kind,
                                                         .cadence = (uint8_t)limit->cadence,
                                                         .include_byok = kind == OWNER_KEY
                                                                             ? key->include_byok
                                                                             : limit->include_byok,
                                                         .version = limit->version});
        }
    }
}

static struct rate_limits free_limits(const struct model_database *model, int64_t org)
{
    struct rate_limits limits = model->free;
    for (size_t i = 0; i < model->org_count; i++) {
        bool bought = model->orgs[i].purchased >= MODEL_FREE_BOUGHT;
        if (model->orgs[i].org == org && bought) limits.day = model->free_day_bought;
    }
    return limits;
}

struct model_free *model_free_requests(struct model_database *model, int64_t org, int64_t day)
{
    for (size_t i = 0; i < model->free_count; i++) {
        if (model->free_days[i].org == org && model->free_days[i].day == day)
            return &model->free_days[i];
    }
    assert(model->free_count < MODEL_FREE_MAX);
    model->free_days[model->free_count] = (struct model_free){.org = org, .day = day};
    return &model->free_days[model->free_count++];
}

void model_answer_caller(const struct model_database *model, const struct key_hash *stored,
                         struct caller_answer *answer)
{
    *answer = (struct caller_answer){.stored = *stored, .error = ERROR_BAD_KEY};
    for (size_t i = 0; i < model->key_count; i++) {
        const struct model_key *key = &model->keys[i];
        if (memcmp(key->stored.bytes, stored->bytes, sizeof(stored->bytes)) != 0) continue;
        answer->error = key->disabled ? ERROR_KEY_DISABLED : ERROR_NONE;
        answer->caller = key->caller;
        add_limits(model, key, answer);
        if (key->has_limit)
            add_meter(answer,
                      &(struct caller_meter){.meter = meter_of_key(key->caller.key, key->cadence),
                                             .owner = OWNER_KEY,
                                             .cadence = (uint8_t)key->cadence,
                                             .include_byok = key->include_byok});
        answer->plan = plan_of(model, key->caller.org).terms;
        answer->rates.key = key->rates;
        answer->rates.classes[MODEL_FREE] = free_limits(model, key->caller.org);
        answer->rates.classes[MODEL_PAID] = model->paid;
    }
}

/* ---- leases ---------------------------------------------------------------------------------- */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Promotional money was spent first, so what is left of it is granted_promo - settled; it goes back
 * last. */
static void give_back(struct model_org *org, struct model_lease *lease, int64_t back)
{
    int64_t rest = lease->granted - lease->settled - lease->returned;
    int64_t promo_rest = larger(0, lease->granted_promo - lease->settled);
    int64_t paid_back = smaller(back, rest - promo_rest);
    assert(back >= 0 && back <= rest && paid_back >= 0);
    lease->returned += back;
    lease->granted_promo -= back - paid_back;
    org->escrow -= back;
    org->paid += paid_back;
    org->promo += back - paid_back;
}

static void lease_credit(struct model_org *org, struct model_lease *lease,
                         const struct lease_item *item, struct lease_total *total)
{
    int64_t rest = lease->granted - lease->settled - lease->returned;
    int64_t back = larger(0, item->returned.nano - lease->returned);
    give_back(org, lease, smaller(back, rest));
    int64_t available = org->paid + org->promo;
    int64_t chunk =
        smaller(available, larger(item->need.nano, smaller(item->want.nano, available / 2)));
    if (org->frozen) chunk = 0;
    int64_t promo = smaller(chunk, org->promo);
    org->promo -= promo;
    org->paid -= chunk - promo;
    org->escrow += chunk;
    lease->granted += chunk;
    if (promo > 0) lease->granted_promo = larger(lease->granted_promo, lease->settled) + promo;
    total->available.nano = available - chunk;
}

static void lease_room(struct model_database *model, struct model_lease *lease,
                       const struct lease_item *item, struct lease_total *total, bool frozen)
{
    struct model_period *period = model_period(model, lease->org, lease->meter, lease->period);
    int64_t limit = 0;
    int64_t rest = lease->granted - lease->settled - lease->returned;
    int64_t back = smaller(rest, larger(0, item->returned.nano - lease->returned));
    lease->returned += back;
    period->leased -= back;
    bool limited = limit_of(model, lease->org, lease->meter, &limit);
    int64_t available =
        limited ? larger(0, limit - counted(model, period) - period->leased) : INT64_MAX;
    int64_t chunk =
        smaller(available, larger(item->need.nano, smaller(item->want.nano, available / 2)));
    if (frozen) chunk = 0;
    lease->granted += chunk;
    period->leased += chunk;
    total->available.nano = limited ? available - chunk : INT64_MAX;
}

void model_answer_lease(struct model_database *model, uint64_t epoch,
                        const struct lease_request *request, struct lease_answer *answer)
{
    struct model_org *org = model_org(model, request->org);
    *answer =
        (struct lease_answer){.org = request->org, .frozen = org->frozen, .count = request->count};
    for (uint8_t i = 0; i < request->count; i++) {
        const struct lease_item *item = &request->items[i];
        struct lease_total *total = &answer->items[i];
        struct model_lease key = {.org = request->org,
                                  .meter = item->meter,
                                  .period = item->period,
                                  .epoch = (int64_t)epoch};
        struct model_lease *lease = find_lease(model, &key);
        if (item->meter == 0)
            lease_credit(org, lease, item, total);
        else
            lease_room(model, lease, item, total, org->frozen);
        total->meter = item->meter;
        total->period = item->period;
        total->granted.nano = lease->granted;
        total->settled.nano = lease->settled;
        total->returned.nano = lease->returned;
    }
}

void model_move(struct model_database *model, struct core *core)
{
    static struct lease_held held[HELD_MAX];
    uint32_t held_count = core_list_held(core, held, HELD_MAX);
    assert(held_count <= HELD_MAX);
    size_t old_count = model->lease_count;
    for (size_t i = 0; i < old_count; i++) {
        struct model_lease *old = &model->leases[i];
        int64_t rest = old->granted - old->settled - old->returned;
        if (rest == 0 || old->epoch == (int64_t)model->epoch) continue;
        int64_t keep = 0;
        for (uint32_t j = 0; j < held_count; j++) {
            bool same = held[j].org == old->org && held[j].meter == old->meter &&
                        held[j].period == old->period;
            if (same) keep = smaller(rest, held[j].held.nano);
        }
        if (old->meter == 0)
            give_back(model_org(model, old->org), old, rest - keep);
        else
            model_period(model, old->org, old->meter, old->period)->leased -= rest - keep;
        int64_t promo = larger(0, old->granted_promo - old->settled);
        old->returned = old->granted - old->settled;
        if (keep == 0) continue;
        struct model_lease key = {.org = old->org,
                                  .meter = old->meter,
                                  .period = old->period,
                                  .epoch = (int64_t)model->epoch,
                                  .granted = keep,
                                  .granted_promo = promo};
        (void)find_lease(model, &key);
        struct lease_held kept = {
            .org = key.org, .meter = key.meter, .period = (int32_t)key.period};
        core_set_granted(core, &kept, (money){keep});
    }
}

/* ---- posting --------------------------------------------------------------------------------- */

static void post_charge(struct model_database *model, const struct record_ending *ending)
{
    struct model_org *org = model_org(model, ending->org);
    struct model_lease key = {.org = ending->org, .epoch = (int64_t)ending->epoch};
    if (ending->leased.nano > 0) {
        struct model_lease *lease = find_lease(model, &key);
        lease->settled += ending->leased.nano;
        assert(lease->settled + lease->returned <= lease->granted);
        org->escrow -= ending->leased.nano;
    }
    int64_t late = ending->charge.nano - ending->leased.nano;
    int64_t promo = smaller(late, org->promo);
    int64_t paid = smaller(late - promo, org->paid);
    org->promo -= promo;
    org->paid -= paid;
    org->receivable += late - promo - paid;
    if (ending->byok_unit == BYOK_NONE)
        org->income += ending->charge.nano;
    else
        org->fees += ending->charge.nano;
    model->late += late;
    assert(org->escrow >= 0);
}

static void count(struct model_database *model, const struct record_ending *ending, int64_t meter,
                  enum cadence cadence)
{
    int64_t number = clock_period(cadence, (wall_time){ending->created_ns});
    struct model_period *period = model_period(model, ending->org, meter, number);
    period->spent += ending->charge.nano;
    period->byok_spent += ending->byok_list.nano;
    period->requests += ending->state == ENDING_SETTLED;
}

static void post_allowance(struct model_database *model, const struct record_ending *ending)
{
    if (ending->byok_unit == BYOK_NONE || ending->state != ENDING_SETTLED) return;
    int64_t number = clock_period(CADENCE_MONTH, (wall_time){ending->created_ns});
    int64_t meter = model_allowance_meter(ending->org, (enum byok_unit)ending->byok_unit);
    struct model_period *period = model_period(model, ending->org, meter, number);
    period->spent += ending->byok_units.nano;
    period->leased -= ending->byok_units.nano;
    period->requests++;
    if (ending->byok_units.nano == 0) return;
    struct model_lease key = {
        .org = ending->org, .meter = meter, .period = number, .epoch = (int64_t)ending->epoch};
    struct model_lease *lease = find_lease(model, &key);
    lease->settled += ending->byok_units.nano;
    assert(lease->settled + lease->returned <= lease->granted && period->leased >= 0);
}

static void post_periods(struct model_database *model, const struct record_ending *ending)
{
    const struct caller caller = {.org = ending->org,
                                  .workspace = ending->workspace,
                                  .member = ending->member,
                                  .key = ending->key};
    for (int cadence = 0; cadence < CADENCE_COUNT; cadence++)
        count(model, ending, meter_of_key(ending->key, (enum cadence)cadence),
              (enum cadence)cadence);
    for (size_t i = 0; i < model->limit_count; i++) {
        const struct model_limit *limit = &model->limits[i];
        if (limit->owner_kind != OWNER_KEY && owns(limit, &caller))
            count(model, ending, model_meter(limit), limit->cadence);
    }
    slice shares = ending->meters.bytes;
    struct meter_share share;
    while (meter_share_next(&shares, &share)) {
        if (share.leased.nano == 0) continue;
        struct model_lease key = {.org = ending->org,
                                  .meter = share.meter,
                                  .period = share.period,
                                  .epoch = (int64_t)ending->epoch};
        struct model_lease *lease = find_lease(model, &key);
        struct model_period *period = model_period(model, ending->org, share.meter, share.period);
        lease->settled += share.leased.nano;
        period->leased -= share.leased.nano;
        assert(lease->settled + lease->returned <= lease->granted && period->leased >= 0);
    }
}

/* Doubled when it is full: most runs post a few hundred. */
static void make_room_for_row(struct model_database *model)
{
    if (model->row_count < model->row_room) return;
    model->row_room = model->row_room == 0 ? MODEL_ROWS_FIRST : 2 * model->row_room;
    model->rows = realloc(model->rows, model->row_room * sizeof(*model->rows));
    assert(model->rows != NULL);
}

static void note_byok(struct model_row *row, const struct record_ending *ending)
{
    row->byok_unit = ending->byok_unit;
    row->byok_list = ending->byok_list.nano;
    row->byok_units = ending->byok_units.nano;
    row->byok_fee_basis_points = ending->byok_fee_basis_points;
}

void model_post(struct model_database *model, const struct record *record)
{
    assert(record->seq == model->cursor + 1);
    model->cursor = record->seq;
    if (record->type != RECORD_ending) return;
    struct record_ending ending;
    status done = record_decode_ending(record->payload, &ending);
    assert(status_ok(done));
    make_room_for_row(model);
    model->rows[model->row_count++] = (struct model_row){.incarnation = model->incarnation,
                                                         .seq = record->seq,
                                                         .hold = ending.hold,
                                                         .part = ending.part,
                                                         .state = ending.state,
                                                         .org = ending.org,
                                                         .key = ending.key,
                                                         .held = ending.held.nano,
                                                         .charge = ending.charge.nano,
                                                         .told = ending.charge_told.nano,
                                                         .created_ns = ending.created_ns};
    note_byok(&model->rows[model->row_count - 1], &ending);
    post_charge(model, &ending);
    post_allowance(model, &ending);
    model->payable += ending.provider_cost.nano;
    if (ending.state != ENDING_SETTLED) model->absorbed += ending.provider_cost.nano;
    post_periods(model, &ending);
    int64_t day = clock_period(CADENCE_DAY, (wall_time){ending.created_ns});
    if (ending.model_class == MODEL_FREE && ending.part == 0)
        model_free_requests(model, ending.org, day)->requests++;
}
