/* SPDX-License-Identifier: Apache-2.0 */
/* The core with everything around it made of plain memory: one edge thread, a journal of bytes, the
 * model database, a clock that only moves when told. Questions are answered at once; nothing is
 * lost unless a test loses it. */
#pragma once

#include "tests/unit/ledger/model_database.h"

#define WORLD_QUESTIONS_MAX 256
#define WORLD_EDGE          7001

/* Prices of the world. 1: a nano-dollar per prompt token, a tenth of a cent per completion token,
 * so that any amount can be settled exactly. */
#define WORLD_PRICE         1
/* A list price, $1 and $2 a million, and what customers pay where its margin is 10 %. */
#define WORLD_LIST          2
#define WORLD_MARKED        3

struct world;

/* Who plays PostgreSQL: the model, or PostgreSQL itself. */
enum book_figure { BOOK_PAID, BOOK_PROMO, BOOK_ESCROW, BOOK_OWED, BOOK_BYOK_FEES };
/* The platform's own: what providers are owed, and what of it nobody pays. */
enum book_cost { BOOK_PAYABLE, BOOK_ABSORBED };
struct book {
    void (*answer_caller)(struct world *world, const struct key_hash *stored,
                          struct caller_answer *answer);
    void (*answer_lease)(struct world *world, const struct lease_request *request,
                         struct lease_answer *answer);
    uint64_t (*begin_epoch)(struct world *world);
    void (*move)(struct world *world); /* leases of older epochs */
    void (*post)(struct world *world, const struct record *record);
    void (*posted)(struct world *world); /* after the last record of a run */
    uint64_t (*cursor)(struct world *world);
    void (*credit)(struct world *world, int64_t org, int64_t nano, bool promo);
    void (*freeze)(struct world *world, int64_t org, bool frozen);
    void (*key)(struct world *world, const struct model_key *key);       /* is new, or changed */
    void (*limit)(struct world *world, const struct model_limit *limit); /* is new, or changed */
    struct plan_terms (*plan)(struct world *world, int64_t org, const struct model_plan *plan);
    int64_t (*figure)(struct world *world, int64_t org, enum book_figure figure);
    int64_t (*spent)(struct world *world, int64_t org, int64_t meter, int64_t period);
    int64_t (*byok_spent)(struct world *world, int64_t org, int64_t meter, int64_t period);
    int64_t (*cost)(struct world *world, enum book_cost cost);
    void (*load_free)(struct world *world, int64_t day); /* into the core */
    int64_t (*free_requests)(struct world *world, int64_t org, int64_t day);
};
extern const struct book model_book;

struct world_question {
    enum core_action_type type;
    bool stranger;
    struct key_hash stored;
    struct lease_request lease;
};

struct world {
    struct core_settings settings;
    struct core *core;
    struct prices *prices;
    struct model_database model; /* keys always; the rest when the model is the book */
    const struct book *book;
    void *book_context;
    struct core_now now;
    struct buffer records; /* of the step */
    struct buffer disk;
    size_t synced_len;
    uint64_t synced_seq;
    struct core_actions out;
    uint32_t link;
    uint64_t n;
    struct world_question questions[WORLD_QUESTIONS_MAX];
    size_t question_count;
    bool database_down;      /* questions fail */
    struct core_action last; /* answer of the last question the edge asked */
    bool answered;
    bool closed; /* the core closed the connection */
    uint32_t settled_count;
};

void world_init(struct world *world);
void world_init_with(struct world *world, const struct book *book, void *context);
void world_free(struct world *world);

/* One event, everything that follows from it, and a sync. */
void world_step(struct world *world, const struct core_event *event);
/* The same without writing, syncing or answering questions. */
void world_step_only(struct world *world, const struct core_event *event);
void world_write(struct world *world); /* records of the last steps go to the disk */
void world_sync(struct world *world);
void world_pump(struct world *world); /* answers all questions */
void world_post(struct world *world); /* synced records into the model */
void world_wait(struct world *world, uint64_t ns);

struct message_held world_hold(struct world *world, int64_t key,
                               const struct message_hold *message);
struct generation_place world_place(const struct world *world, uint64_t hold);
/* A usage that costs exactly this at WORLD_PRICE. */
struct usage_vector world_usage(int64_t nano);
/* n 0: the next number. Answers what the client is told; -1 when there was no answer. */
int64_t world_settle(struct world *world, uint64_t n, uint64_t hold, int64_t nano);
int64_t world_release(struct world *world, uint64_t n, uint64_t hold);
/* Ends a hold with this usage at WORLD_MARKED: as a customer's, or as work that nobody pays for. */
int64_t world_settle_marked(struct world *world, uint64_t hold, const struct usage_vector *usage);
int64_t world_absorb_marked(struct world *world, uint64_t hold, const struct usage_vector *usage);

/* kill -9 of the ledger: the next run replays what is on the disk; `keep` bytes of it when the
 * power went. The edge connects again when told. */
void world_crash(struct world *world, size_t keep);
void world_connect(struct world *world, const uint64_t *holds, size_t count);
void world_add_free(struct world *world, int64_t org, uint32_t requests);

/* ---- one key of one organization, which most tests are about ---- */

#define CENT   ((int64_t)10000000)
#define DOLLAR ((int64_t)1000000000)

void world_with_credit(struct world *world, int64_t nano); /* key 1 of organization 1 */
/* What costs this much before any output, at WORLD_PRICE. */
struct message_hold world_hold_of(int64_t nano);
struct message_held world_take(struct world *world, int64_t nano); /* for key 1 */
