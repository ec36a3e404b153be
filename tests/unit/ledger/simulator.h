/* SPDX-License-Identifier: Apache-2.0 */
/* The core among faults, from one seed: edges that die, connections that break, answers that are
 * lost, a ledger that is killed, power that goes and takes what was not synced, a database that
 * fails and does not say whether it did. At the end everything heals, and an auditor that was
 * written apart compares what clients were told with what the database holds. */
#pragma once

#include "tests/unit/ledger/model_database.h"
#include "tests/unit/ledger/simulator_coverage.h"

#define SIM_EDGES    2
#define SIM_THREADS  2
#define SIM_STREAMS  (SIM_EDGES * SIM_THREADS)
#define SIM_QUEUE    512
#define SIM_OPEN     12
#define SIM_KEYS     8  /* that may spend; one more is a management key */
#define SIM_KEY_NONE 99 /* nobody has it, nor those after it */
#define SIM_ORGS     4
#define SIM_LOG_MAX  65536

struct sim_frame {
    uint16_t type; /* enum message_type */
    uint64_t request;
    union {
        struct message_hello hello;
        struct message_holds_open holds_open;
        struct message_hold hold;
        struct message_settle settle;
        struct message_release release;
    };
    struct generation_place place;
    int64_t key;
};

struct sim_up {
    struct sim_frame items[SIM_QUEUE];
    size_t first, count;
};
struct sim_down {
    struct core_action items[SIM_QUEUE];
    size_t first, count;
};

/* What a HOLD asked for; its place is the number of the request, and 0 nobody's. */
#define SIM_REQUESTS_MAX 4096
struct sim_request {
    int64_t org, key; /* org 0: the key is nobody's */
    uint32_t price;
    int64_t fixed, token_nano;       /* list price: without output; of each token of it */
    uint32_t input, output, choices; /* tokens; output is for all choices together */
    uint32_t least; /* output for each choice: all that the plan may have wanted since it asked */
    uint8_t model_class;
    bool byok, may_shrink;
};

/* A hold as the edge knows it. */
struct sim_hold {
    struct generation_place place;
    int64_t key;
    uint32_t price;
    uint64_t tokens; /* that were counted */
    int64_t amount;
    int64_t list; /* the most it can cost; where the key is the customer's, amount is the fee */
    bool byok;
};
struct sim_unacknowledged {
    struct sim_frame frame;
    int64_t charge; /* by the edge's computation */
};
/* One thread of an edge process with its connection. */
struct sim_stream {
    uint64_t edge;
    uint16_t thread;
    uint32_t link; /* 0: not connected */
    bool welcomed;
    uint64_t n;
    struct sim_hold open[SIM_OPEN];
    size_t open_count;
    struct sim_unacknowledged unacknowledged[SIM_OPEN * 8];
    size_t unacknowledged_count;
    size_t asked; /* HOLDs without an answer */
    struct sim_up up;
    struct sim_down down;
};

/* What the auditor gets: the clients' truth and the customers' purchases, nothing of the ledger. */
struct sim_entry {
    uint32_t incarnation;
    uint64_t hold;
    int64_t amount;
};
struct sim_log {
    struct sim_entry *told; /* the client was told this cost */
    struct sim_entry *sent; /* a SETTLE with this cost was made */
    struct sim_entry *held; /* a HELD of this amount arrived */
    size_t told_count, sent_count, held_count;
    int64_t bought[SIM_ORGS + 1];
    int64_t allowance_max[SIM_ORGS + 1][BYOK_LIST_PRICE + 1]; /* that a plan ever gave */
    bool overshoots; /* settles above their hold were sent */
    bool limits_lowered;
};

/* What the auditor of rates has seen. */
#define SIM_RATED_MAX 8192
struct sim_rated {
    uint32_t incarnation;
    uint64_t hold;
    int64_t org, key, created_ns;
    uint64_t tokens; /* that it may use; once it has ended, that it used */
    uint8_t model_class;
    bool key_counts; /* it had a limit, so that what this uses is counted for one that comes */
    bool ended;
};
struct sim_rates {
    struct sim_rated items[SIM_RATED_MAX];
    size_t count;
    size_t seen_len;              /* of the records of this step */
    int64_t minute, day_of_start; /* since 1970: that runs; on which this ledger began */
    size_t minute_first;          /* of the items, that may have been made in that minute */
    uint32_t least[SIM_ORGS + 1]; /* output that the plan wants, as far as the core knows it */
};

/* What the auditor of own keys has seen. */
#define SIM_ALLOWANCES_MAX 256
struct sim_byok_hold { /* open */
    uint32_t incarnation;
    uint64_t hold;
    uint8_t unit;
    int64_t list, units;
};
struct sim_allowance {
    int64_t org;
    uint8_t unit;
    int32_t period;
    uint32_t lacking; /* open holds that have less of it than they could use */
    int64_t free;     /* at least, while there are any */
    int64_t granted;  /* as the last answer said, if that is known */
    bool known;
};
struct sim_byok {
    struct sim_byok_hold holds[SIM_RATED_MAX];
    size_t hold_count;
    struct sim_allowance allowances[SIM_ALLOWANCES_MAX];
    size_t allowance_count;
};

/* How often each thing happens, drawn anew for each seed: some faults do not happen at all. */
enum sim_act {
    ACT_HOLD,
    ACT_END,
    ACT_UP,
    ACT_DOWN,
    ACT_ANSWER,
    ACT_SYNC,
    ACT_POST,
    ACT_TICK,
    ACT_CUT,
    ACT_CONNECT,
    ACT_KILL_LEDGER,
    ACT_POWER,
    ACT_KILL_EDGE,
    ACT_CREDIT,
    ACT_KEY,
    ACT_JUMP,
    ACT_CLOCK,
    ACT_OVERTAKE,
    ACT_IDENTIFY,
    ACT_STRANGER,
    ACT_FREEZE,
    ACT_LIMIT,
    ACT_PLAN,
    ACT_STOP,
    ACT_COUNT
};

/* Planted in the ledger's surroundings; those of the core are compiled into it. */
enum sim_bug {
    SIM_HONEST,
    SIM_POST_UNSYNCED, /* the poster reads what was not synced */
    SIM_RESET_JOB,     /* what a day has spent is not a row of its own but set to 0 by a job */
};

struct simulator {
    uint64_t random;
    uint32_t weights[ACT_COUNT];
    uint32_t database_fails; /* per cent */
    bool disk_fills;
    bool stopping; /* told to stop; soon it starts again */
    enum sim_bug bug;
    struct core_settings settings;
    struct core *core;
    struct prices *prices;       /* those of the database */
    struct prices *prices_older; /* what the first ledger begins with: one price is missing */
    struct core_now now;         /* as the ledger has it */
    int64_t clock_ns;            /* PostgreSQL's, which may */
    int64_t latest_ns;           /* that the core ever had */
    struct model_database model;
    struct buffer records, disk;
    size_t synced_len, posted_len;
    uint64_t synced_seq;
    struct core_actions out;
    struct sim_question {
        enum core_action_type type;
        bool stranger;
        struct key_hash stored;
        struct lease_request lease;
    } questions[SIM_QUEUE];
    size_t question_count;
    struct sim_request requests[SIM_REQUESTS_MAX];
    uint64_t request_last;
    struct sim_stream streams[SIM_STREAMS];
    uint64_t next_edge;
    uint32_t next_link;
    struct sim_log log;
    struct sim_rates rates;
    struct sim_byok byok;
    const char *violation; /* NULL: none so far */
    uint64_t strangers;
    struct sim_run *run;
};

/* What many seeds add up to. */
struct sim_run {
    uint32_t seeds;
    uint64_t events;
    uint64_t elapsed_ms;
    uint64_t
        told_lost; /* where durability is fast: charges that were told and went with the power */
    struct coverage coverage;
};

/* NULL: every check held. Otherwise what did not, a constant text. */
const char *simulate(uint64_t seed, uint32_t steps, enum sim_bug bug, struct sim_run *run);
/* Runs seeds from `first` until the time is over; prints and answers the first seed that fails, 0
 * when none does. */
uint64_t simulate_many(uint64_t first, uint32_t time_ms, enum sim_bug bug, struct sim_run *run);

/* simulator.c, for the acts of other files */
uint32_t sim_below(struct simulator *sim, uint32_t bound);
void sim_step(struct simulator *sim, const struct core_event *event);

/* simulator_requests.c */
void draw_hold(struct simulator *sim, struct sim_frame *frame);
struct sim_hold hold_of_answer(const struct simulator *sim, const struct core_action *action);
void draw_ending(struct simulator *sim, const struct sim_hold *hold, uint64_t n,
                 struct sim_unacknowledged *ending);

/* simulator_people.c */
void begin_key(struct simulator *sim, int64_t key);
void begin_rates(struct simulator *sim);
void buy_credit(struct simulator *sim);
void change_key(struct simulator *sim);
void change_limit(struct simulator *sim);
void begin_limits(struct simulator *sim);
void freeze_account(struct simulator *sim);
void jump_clock(struct simulator *sim);
void sim_set_clock(struct simulator *sim, int64_t ns);
void reset_days(struct simulator *sim);

/* simulator_strangers.c: what honest edges and quiet days do not do */
void strange_frame(struct simulator *sim);    /* a peer that breaks the protocol */
void strange_question(struct simulator *sim); /* IDENTIFY, of any key */
void stop_ledger(struct simulator *sim);
/* A hold as it should not be: of a key nobody has, of an older version, … */
void make_hold_strange(struct simulator *sim, struct sim_frame *frame);

/* simulator_rates.c: records that were just made; the answer to a hold; a ledger that begins. */
void sim_rates_see(struct simulator *sim);
void sim_rates_answered(struct simulator *sim, const struct sim_request *request,
                        const struct message_held *held);
void sim_rates_restart(struct simulator *sim);
void sim_rates_follow_clock(struct simulator *sim); /* before each step */

/* simulator_tokens.c: the same for tokens, of which records say nothing when a hold is made. */
void sim_tokens_asked(struct simulator *sim, uint64_t request);
void sim_tokens_held(struct simulator *sim, const struct sim_request *request,
                     const struct message_held *held);
void sim_tokens_refused(struct simulator *sim, const struct sim_request *request,
                        const struct message_held *held);
void sim_tokens_ended(struct simulator *sim, struct sim_rated *seen,
                      const struct usage_vector *usage, bool note);
void sim_tokens_plan_changed(struct simulator *sim, int64_t org, bool told);
void sim_tokens_restart(struct simulator *sim);

/* simulator_byok.c: the same for own keys, and the answers of PostgreSQL. */
void sim_byok_see_hold(struct simulator *sim, const struct record_hold *record, bool check);
void sim_byok_see_ending(struct simulator *sim, const struct record_ending *ending, bool check);
void sim_byok_granted(struct simulator *sim, const struct lease_answer *answer);
void sim_byok_restart(struct simulator *sim);
void begin_plan(struct simulator *sim, struct model_org *org);
void change_plan(struct simulator *sim);
const char *audit_byok(const struct model_database *model, const struct sim_log *log);

/* simulator_power.c: what was not synced is torn off anywhere, also amid a record. */
void sim_tear_disk(struct simulator *sim);

/* simulator_audit.c: written without looking at the ledger. */
const char *audit_now(const struct model_database *model, const struct sim_log *log);
const char *audit_end(const struct model_database *model, const struct sim_log *log);
