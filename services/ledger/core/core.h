/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's pure core: who may spend what, right now. core_step(core, event, now, out) is the
 * only way anything changes; it reads no clock, does no I/O and allocates nothing after core_new().
 * What has to happen outside comes out as actions and as journal records. The order that makes it
 * crash-proof is its owner's: write the records, then send the answers; in strict mode the core
 * itself holds SETTLED back until EVENT_JOURNAL says that its record is synced. */
#pragma once

#include "services/ledger/prices.h"
#include "services/ledger/journal/records.h"
#include "shared/client_prefix.h"
#include "shared/clock.h"
#include "shared/ipc/message.h"

struct core;

/* Capacities are slots allocated at start. When none is free a hold is refused with LEDGER_FULL. */
struct core_settings {
    uint32_t leases_max; /* accounts and meters together */
    uint32_t callers_max;
    uint32_t holds_max;
    uint32_t rates_max;     /* keys with rate limits, and organizations that use free models */
    uint32_t waiting_max;   /* holds and callers that wait for PostgreSQL */
    uint32_t questions_max; /* to PostgreSQL, asked and not answered; half of them about callers */
    uint32_t streams_max;   /* (edge process, thread) pairs */
    uint16_t cell;
    uint32_t incarnation;
    uint64_t epoch;
    bool strict;
    int64_t lease_window_ns; /* a lease covers about this much traffic */
    int64_t lease_idle_ns;   /* and goes back after this long without any */
};

/* Wall time is PostgreSQL's clock carried on by the boot clock; deadlines use the boot clock
 * alone. */
struct core_now {
    wall_time wall;
    uint64_t boot_ns;
};

/* ---- questions to PostgreSQL and their answers ---- */

/* One grant or return for an account and some of its meters, the allowance of requests with own
 * keys among them, in one transaction. Item 0 is the account's credit (meter 0). `returned` is the
 * total this lease has given back, not a difference, so that a repeat changes nothing. */
#define LEASE_ITEMS_MAX (2 + METERS_MAX)
struct lease_item {
    int64_t meter;
    int32_t period;
    money need;     /* missing for the holds that wait */
    money want;     /* would be good to have, taken from at most half of what is there */
    money returned; /* raise the total given back to this */
};
struct lease_request {
    int64_t org;
    uint8_t count;
    struct lease_item items[LEASE_ITEMS_MAX];
};
/* The totals of the lease as they stand after the transaction. */
struct lease_total {
    int64_t meter;
    int32_t period;
    money granted;
    money settled; /* as far as it is posted */
    money returned;
    money available; /* what could still be granted */
};
struct lease_answer {
    int64_t org;
    bool failed; /* PostgreSQL did not answer; the outcome is not known */
    bool frozen; /* the account may not spend */
    uint8_t count;
    struct lease_total items[LEASE_ITEMS_MAX];
};

/* How fast may be asked; 0: no limit. Minutes and days are UTC's, fixed. */
struct rate_limits {
    uint32_t requests;   /* in a minute */
    uint32_t tokens;     /* in a minute */
    uint32_t concurrent; /* at once */
    uint32_t day;        /* requests in a day; of classes only */
};
struct caller_rates {
    struct rate_limits key;
    struct rate_limits classes[MODEL_CLASS_COUNT]; /* of all keys of the organization together */
};

/* What PostgreSQL knows of a key. error: NONE, BAD_KEY, KEY_DISABLED, or DATABASE when it could not
 * be asked. */
enum meter_owner { OWNER_KEY = 1, OWNER_MEMBER, OWNER_WORKSPACE, OWNER_ORG };
struct caller_meter {
    int64_t meter;
    uint8_t owner;     /* enum meter_owner */
    uint8_t cadence;   /* enum cadence */
    bool include_byok; /* its limit counts the list price of requests with own keys, too */
    uint64_t version;  /* raised by any change of its limit */
};
/* What the caller's plan says of holds. Its bounds are for requests that name no max_tokens, for
 * each choice. */
#define PLANS_MAX 32768u /* ids are positive 16-bit numbers */
struct plan_terms {
    uint64_t version; /* raised by any change of the plan; no two plans ever have the same */
    uint16_t plan;
    uint16_t byok_fee_basis_points;
    uint8_t byok_unit;       /* enum byok_unit, that the month's allowance counts */
    uint32_t output_default; /* tokens to hold for, where the candidates give as many */
    uint32_t output_min;     /* a hold shrunk below it is refused */
};
struct caller_answer {
    struct key_hash stored;
    uint16_t error;
    struct caller caller;
    uint8_t meter_count; /* that have a limit */
    struct caller_meter meters[METERS_MAX];
    struct caller_rates rates;
    struct plan_terms plan;
};

/* Meters of a key are numbered 4·key + cadence; an id is below 2⁵³. Those of other owners begin far
 * above, where schema/ puts them. */
static inline int64_t meter_of_key(int64_t key, enum cadence cadence)
{
    return (int64_t)((uint64_t)key * CADENCE_COUNT + (uint64_t)cadence);
}
/* The allowance of an organization is a meter of the month, one for each unit that a plan can count
 * in; numbered as in schema/0017_byok.sql. */
static inline int64_t meter_of_allowance(int64_t org, enum byok_unit unit)
{
    return ((int64_t)1 << 60) + 16 * org + 11 + (int64_t)unit;
}

/* ---- events ---- */

enum core_event_type {
    EVENT_HELLO,
    EVENT_HOLDS_OPEN,
    EVENT_LINK_GONE,
    EVENT_IDENTIFY,
    EVENT_HOLD,
    EVENT_SETTLE,
    EVENT_RELEASE,
    EVENT_CALLER,
    EVENT_LEASE,
    EVENT_PRICES,
    EVENT_JOURNAL,
    EVENT_TICK,
    EVENT_KEY_CHANGED,
    EVENT_LIMITS_CHANGED,
    EVENT_PLAN_CHANGED,
    EVENT_CREDIT_CHANGED,
    EVENT_CREDIT_RECALLED, /* what no hold needs of the lease goes back at once */
    EVENT_STOP,
    EVENT_COUNT,
};

/* `link` names a connection and is never used again for another one; `request` is echoed in the
 * answer. */
struct core_event {
    enum core_event_type type;
    uint32_t link;
    uint64_t request;
    client_prefix client; /* IDENTIFY: of the request that the key is used for; NONE: of none */
    union {
        const struct message_hello *hello;
        const struct message_holds_open *holds_open;
        struct key_hash stored; /* IDENTIFY, KEY_CHANGED */
        struct {
            struct key_hash stored;
            const struct message_hold *message;
        } hold;
        struct {
            const struct message_settle *message;
            struct generation_place place; /* of its generation id */
        } settle;
        struct {
            const struct message_release *message;
            struct generation_place place;
        } release;
        const struct caller_answer *caller;
        const struct lease_answer *lease;
        const struct prices
            *prices; /* NULL: could not be loaded. Must live until the next EVENT_PRICES */
        struct {
            uint64_t synced; /* last record known to be on disk */
            uint64_t posted; /* last record that is in PostgreSQL */
            uint64_t room;   /* bytes that can be written without new segments */
        } journal;
        int64_t org; /* LIMITS_CHANGED: those of any owner in it; CREDIT_CHANGED, CREDIT_RECALLED */
        const struct plan_terms *plan;
    };
};

/* ---- actions ---- */

enum core_action_type {
    ACTION_WELCOME,
    ACTION_IDENTIFIED,
    ACTION_HELD, /* .generation is filled in by whoever has the cipher */
    ACTION_SETTLED,
    ACTION_CLOSE, /* the peer broke the protocol */
    ACTION_LOAD_CALLER,
    ACTION_LOAD_PRICES,
    ACTION_LEASE,
};
struct core_action {
    enum core_action_type type;
    uint32_t link;
    uint64_t request;
    bool stranger; /* LOAD_CALLER: nobody is known to have the key; its question may wait */
    union {
        struct message_welcome welcome;
        struct message_identified identified;
        struct message_held held;
        struct message_settled settled;
        struct key_hash stored;
        struct lease_request lease;
    };
};

struct core_actions {
    void (*deliver)(void *context, const struct core_action *action); /* must not step the core */
    void *context;
    struct buffer *journal; /* records are appended here; must have CORE_STEP_BYTES_MAX free */
};

/* Most bytes of records that one step can append: a tick may release every hold of a lost edge, but
 * does at most CORE_RELEASES_PER_STEP of them. A lease answer may admit every waiting hold. */
#define CORE_RELEASES_PER_STEP 256
#define CORE_STEP_BYTES_MAX(settings) \
    ((size_t)RECORD_SIZE_MAX * (CORE_RELEASES_PER_STEP + (settings)->waiting_max + 1))

struct core *core_new(const struct core_settings *settings);
void core_free(struct core **core);
void core_step(struct core *core, const struct core_event *event, struct core_now now,
               struct core_actions *out);

/* ---- what its owner reads ---- */

struct core_view {
    uint64_t seq_last; /* last record made */
    uint64_t
        seq_ending_last; /* last record that is posted or acknowledged: what has to be synced */
    uint64_t seq_oldest_open; /* record of the oldest open hold; UINT64_MAX when none is open */
    uint32_t holds_open;
    uint32_t asking; /* lease requests that wait for their answer */
};
struct core_view core_view(const struct core *core);
money core_held(const struct core *core, int64_t org);
/* Requests of free models today, those that run included. */
uint32_t core_free_requests(const struct core *core, struct core_now now, int64_t org);

/* The core's part of a segment head: cell, incarnation, marks_seq, next_hold, marks. Marks are
 * appended to `marks`. */
void core_describe(const struct core *core, struct segment_head *head, struct buffer *marks);

/* ---- start ---- */

/* In the order of the journal: the first segment's head, then every record. MALFORMED when the
 * journal contradicts itself. */
status core_replay_head(struct core *core, const struct segment_head *head);
status core_replay_record(struct core *core, const struct record *record);
/* After the last record: streams count as lost. MALFORMED when records are missing that the head
 * spoke of. */
status core_replay_end(struct core *core, struct core_now now);

/* What replayed holds keep of each lease, for the move to the new epoch, and what the move
 * granted. */
struct lease_held {
    int64_t org;
    int64_t meter;
    int32_t period;
    money held;
};
uint32_t core_list_held(const struct core *core, struct lease_held *items, uint32_t items_max);
void core_set_granted(struct core *core, const struct lease_held *lease, money granted);

/* Called right before edges can connect: each has its time from now on. What came before, posting
 * and moving, may have waited for PostgreSQL much longer than an edge is waited for. */
void core_await_edges(struct core *core, struct core_now now);

/* Requests of free models that the organization made today, as posted; added to those of the
 * replayed holds. LEDGER_FULL: there are more such organizations than rates_max. */
status core_add_free_requests(struct core *core, struct core_now now, int64_t org,
                              uint32_t requests);

/* Ends every open hold as absorbed: the machine restarted, so no edge can settle them. Repeat until
 * it answers 0. */
uint32_t core_release_all(struct core *core, struct core_now now, struct core_actions *out);
