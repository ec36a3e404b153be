/* SPDX-License-Identifier: Apache-2.0 */
/* A naive PostgreSQL for tests of the core: accounts, leases, limits, keys and posted rows as plain
 * arrays, changed one call at a time. It follows the rules of docs/MONEY.md, not the code of the
 * ledger. */
#pragma once

#include "services/ledger/core/core.h"

#define MODEL_ORGS_MAX            32
#define MODEL_KEYS_MAX            128
#define MODEL_LEASES_MAX          8192
#define MODEL_PERIODS_MAX         8192
#define MODEL_ROWS_FIRST          1024
#define MODEL_LIMITS_MAX          64
#define MODEL_FREE_MAX            128

/* What the plan says of holds, free models and own keys, as the schema has it. */
#define MODEL_OUTPUT_DEFAULT      16384
#define MODEL_OUTPUT_MIN          256
#define MODEL_FREE_PER_MINUTE     20
#define MODEL_FREE_PER_DAY        50
#define MODEL_FREE_PER_DAY_BOUGHT 1000
#define MODEL_FREE_BOUGHT         ((int64_t)10000000000) /* $10 */
#define MODEL_BYOK_REQUESTS       1000000
#define MODEL_BYOK_FEE            500

/* Every organization has its own plan here, of its number. */
struct model_plan {
    struct plan_terms terms; /* its version and plan are set by the model */
    int64_t allowance;       /* of a month, in the unit */
};

struct model_org {
    int64_t org;
    int64_t paid, promo, escrow, receivable, income; /* nano-dollars */
    int64_t bought;                                  /* all that was ever credited */
    int64_t purchased;                               /* for money, not granted */
    int64_t fees; /* on requests with own keys; income is of all others */
    struct model_plan plan;
    bool frozen;
};
struct model_key {
    struct key_hash stored;
    struct caller caller;
    bool disabled;
    bool has_limit;
    enum cadence cadence;
    int64_t limit;
    bool include_byok; /* its limits count the list price of requests with own keys, too */
    struct rate_limits rates;
};
struct model_free { /* requests of free models, posted */
    int64_t org, day;
    uint32_t requests;
};
/* Beside the one that a key may carry itself. Taken away, it goes on counting. */
struct model_limit {
    int64_t org, owner;
    enum meter_owner owner_kind;
    enum cadence cadence;
    bool limited;
    int64_t limit;
    bool include_byok;   /* of another owner than a key, which says it for all its limits */
    uint64_t version;    /* set by the model */
    int32_t exact_after; /* a period; in later ones it was never lower, away or counting less */
};
struct model_lease {
    int64_t org, meter, period, epoch;
    int64_t granted, granted_promo, settled, returned;
};
struct model_period {
    int64_t org, meter, period;
    int64_t spent, leased;
    int64_t byok_spent; /* list price of requests with own keys */
    int64_t requests;
};
struct model_row {
    uint32_t incarnation;
    uint64_t seq, hold;
    uint8_t part, state;
    int64_t org, key;
    int64_t held, charge, told;
    int64_t created_ns;
    int64_t byok_list, byok_units, byok_fee_basis_points;
    uint8_t byok_unit;
};

struct model_database {
    struct model_org orgs[MODEL_ORGS_MAX];
    struct model_key keys[MODEL_KEYS_MAX];
    struct model_limit limits[MODEL_LIMITS_MAX];
    size_t limit_count;
    struct model_lease *leases;
    struct model_period *periods;
    struct model_row *rows;
    size_t org_count, key_count, lease_count, period_count, row_count, row_room;
    uint64_t epoch;
    uint32_t incarnation; /* of the journal that is posted */
    uint64_t cursor;
    int64_t late;                  /* charges that no lease covered */
    struct rate_limits free, paid; /* of the plan */
    uint32_t free_day_bought;
    struct model_free free_days[MODEL_FREE_MAX];
    size_t free_count;
    int64_t payable, absorbed; /* to providers, and of it what no customer paid */
};

void model_init(struct model_database *model);
void model_free(struct model_database *model);
struct model_org *model_org(struct model_database *model, int64_t org); /* made when absent */
struct model_key *model_key(struct model_database *model, int64_t key); /* NULL when absent */
struct model_key *model_add_key(struct model_database *model, int64_t org, int64_t key);
/* A first limit, begun with what the owner's keys have spent by `now`, or the change of one. */
void model_set_limit(struct model_database *model, const struct model_limit *limit, wall_time now);
int64_t model_meter(const struct model_limit *limit);
struct plan_terms model_set_plan(struct model_database *model, int64_t org,
                                 const struct model_plan *plan);
int64_t model_allowance_meter(int64_t org, enum byok_unit unit);
struct model_period *model_period(struct model_database *model, int64_t org, int64_t meter,
                                  int64_t period);

void model_answer_caller(const struct model_database *model, const struct key_hash *stored,
                         struct caller_answer *answer);
void model_answer_lease(struct model_database *model, uint64_t epoch,
                        const struct lease_request *request, struct lease_answer *answer);
/* The next record of the journal; asserts that the cursor stands right before it. */
void model_post(struct model_database *model, const struct record *record);
/* Requests of free models of a day; counted by model_post(). */
struct model_free *model_free_requests(struct model_database *model, int64_t org, int64_t day);
/* A new epoch: leases go back but for what is held. */
void model_move(struct model_database *model, struct core *core);

/* A key's hash in these tests: its number, spread. */
struct key_hash model_hash(int64_t key);
