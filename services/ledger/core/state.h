/* SPDX-License-Identifier: Apache-2.0 */
/* The core's tables; included by core*.c only. Each table is an array of slots of fixed size with
 * an index by key and a list by age; a slot that nothing depends on is used again, oldest first. */
#pragma once

#include <stddef.h>

#include "services/ledger/core/core.h"
#include "services/ledger/core/rates.h"
#include "services/ledger/core/slots.h"
#include "shared/clock.h"

#define WAITING_DEADLINE_NS (2 * (uint64_t)1000000000)  /* a HOLD is answered within this */
#define STREAM_LOST_NS      (10 * (uint64_t)1000000000) /* then its holds are released */
#define STREAM_REPLACED_NS \
    (2 * (uint64_t)1000000000) /* sooner when the edge came back as another process */
#define CALLER_BAD_NS \
    (5 * (uint64_t)1000000000) /* an unknown key is asked for again after this \
                                * \ */
#define CALLER_REFRESH_NS \
    (60 * (uint64_t)1000000000) /* a known one is read again in the background */
#define CALLER_RETRY_NS ((uint64_t)1000000000)
#define LEASE_SHORT_NS \
    (100 * (uint64_t)1000000) /* PostgreSQL had nothing: not asked again for this long */
#define LEASE_RETRY_NS     (500 * (uint64_t)1000000)
/* An allowance that is used up stays so for the rest of its month, but for what other cells give
 * back: most requests with own keys of a large customer come then, and shall not wait for it. */
#define ALLOWANCE_SHORT_NS (60 * (uint64_t)1000000000)
/* Lease questions in flight that no hold waits for; and background reads of callers. A hold that
 * comes then may stand behind all of them, a commit of two or three milliseconds each. What is not
 * asked ahead now is asked with one of the account's next holds. */
#define ASKING_AHEAD_MAX   8
#define LEASE_NEEDS_AHEAD  8 /* times what is missing is wanted, within half of what is left */
#define LEASE_PREFETCH_NS  (20 * (uint64_t)1000000)
/* Moving a slot in its list costs as much memory traffic as all else that is done with it, so the
 * lists by age are exact to this: half of the minute after which a lease goes back, by default. */
#define AGE_GRAIN_NS       (30 * (uint64_t)1000000000)
static inline uint32_t age_grain(uint64_t boot_ns)
{
    return (uint32_t)(boot_ns / AGE_GRAIN_NS);
}

/* ---- callers ---- */

#define CACHE_LINE 64
#define CACHE_LINES(slot) \
    _Static_assert(sizeof(slot) % CACHE_LINE == 0, "a slot is a whole number of cache lines")

enum caller_state { CALLER_EMPTY, CALLER_LOADING, CALLER_READY };
/* Two cache lines, the first of which holds what is compared. */
struct caller_slot {
    struct key_hash stored;
    uint8_t state;       /* enum caller_state */
    bool refreshing;     /* READY, and being read again */
    bool changed;        /* READY: to be read before its next use; LOADING: once more */
    uint8_t meter_count; /* of its row in core->caller_meters */
    uint16_t error;
    uint16_t plan; /* its place in core->plans */
    struct slot_list waiting;
    uint32_t listed_grain; /* of AGE_GRAIN_NS, when it was put at the end of the list by age */
    uint8_t rated;         /* which of its requests have rates: see rates.h */
    bool chained;          /* in core->callers_by_org, under what caller.org says */
    uint32_t used_minute;  /* since 1970, of the last use that was noted */
    uint64_t loaded_boot_ns;
    struct caller caller;
} __attribute__((aligned(CACHE_LINE)));
CACHE_LINES(struct caller_slot);

/* PostgreSQL has not said that anybody has this key: not asked yet, or nobody has. */
static inline bool caller_is_stranger(const struct caller_slot *caller)
{
    return caller->caller.key == 0;
}

/* Beside the callers, because most have none. */
struct limit_meter {
    int64_t meter;
    uint64_t version;
    uint32_t hint;   /* slot of its lease when it was last used */
    uint8_t owner;   /* enum meter_owner */
    uint8_t cadence; /* enum cadence */
    bool include_byok;
};

/* ---- leases: an account's credit (meter 0) or the room under a limit ---- */

/* What a hold or a settle looks at comes first and fills two cache lines. */
struct lease {
    int64_t org;
    int64_t meter;
    int32_t period;
    uint32_t account;      /* slot of the org's meter 0; itself for meter 0 */
    uint32_t holds;        /* open holds that use it */
    uint32_t listed_grain; /* of AGE_GRAIN_NS, when it was put at the end of the list by age */
    money granted;         /* totals of this epoch, as PostgreSQL last said */
    money returned;        /* as this core decided; PostgreSQL follows */
    money settled;
    money held;
    money window; /* held in the running window of lease_window_ns, and in the one before it */
    money window_before;
    uint64_t window_boot_ns;
    uint64_t used_boot_ns;
    uint64_t settled_seq; /* record of the last settlement from it */
    bool fresh;           /* nothing is known of its totals yet */
    bool unconfirmed;     /* `returned` may not have reached PostgreSQL, or `granted` not us */
    bool in_use;
    bool
        limit_changed; /* holds from before a change of its limit: what they leave over goes back */
    /* of meter 0 only: */
    bool asking : 1;
    bool answer_failed : 1; /* while the waiting holds are tried after a failed question */
    bool frozen : 1;
    bool changed : 1;  /* while a question is in flight: its answer may be older than the change */
    bool must_ask : 1; /* something changed outside: the next hold waits for an answer */
    struct slot_list waiting;
    uint32_t meters; /* leases of the same org that point here */

    money available; /* what PostgreSQL could still have granted at its last answer */
    uint64_t short_until_boot_ns;
    uint64_t prefetch_boot_ns; /* not asked ahead of need before this */
    /* of meter 0 only: */
    uint32_t rounds_asked;
    uint32_t rounds_answered;
    uint64_t retry_boot_ns;
    /* of other meters, where limit_changed: number of the first hold after the change */
    uint64_t changed_before;
    uint64_t limit_version; /* of the limit it was lent under; not of a key's */
    /* of allowances: open holds that have less of it than they could use. None of it goes back as
     * long as there are any, for what becomes free is theirs. */
    uint32_t lacking;
} __attribute__((aligned(CACHE_LINE)));
_Static_assert(offsetof(struct lease, available) == 2 * CACHE_LINE,
               "what is seldom used stands apart");
CACHE_LINES(struct lease);

/* ---- holds ---- */

enum hold_state { HOLD_FREE, HOLD_OPEN, HOLD_GHOST };
struct hold {
    uint8_t state;       /* GHOST: released by the ledger itself; kept for a late SETTLE */
    bool undeclared;     /* its edge came back and did not name it */
    bool rated;          /* counted by rates.c */
    uint8_t model_class; /* enum model_class */
    uint64_t undeclared_boot_ns;
    uint64_t number;
    uint64_t seq;
    int64_t created_ns;
    struct caller caller; /* org, workspace, member, key */
    money amount;
    uint32_t account_lease;
    uint32_t stream;
    uint8_t meter_count; /* of its row in core->hold_meters */
    bool byok;           /* it has a row in core->hold_byok, and amount is the fee */
    struct u32_list price_ids;
};

/* Of a hold with an own key. Amounts of an allowance are requests or nano-dollars of list price;
 * leases count them as they count money. */
struct byok_hold {
    money list;           /* the most it can cost by list price */
    money units;          /* of the allowance that it has */
    uint32_t allowance;   /* slot of its lease */
    uint16_t list_meters; /* bit i: the limit of the i-th of its meters counts the list price */
    uint16_t fee_basis_points;
    uint8_t unit; /* enum byok_unit; NONE: not with an own key */
};

/* ---- streams of numbered frames, and the answers they wait for ---- */

#define LINK_NONE 0
struct stream {
    uint64_t edge;
    uint16_t thread;
    bool in_use;
    bool mark_known; /* false: nothing of it was ever seen, so the first number counts */
    uint64_t mark;   /* highest n with a record */
    uint64_t mark_synced;
    uint32_t link; /* LINK_NONE: not connected */
    uint32_t holds;
    uint64_t release_boot_ns; /* not connected: when its holds are released */
    uint64_t ack_last;        /* position + 1 of its newest answer in the ring; 0: none */
};

/* Ring of the last numbered records. Those not synced yet are answers to send; older ones answer
 * repeats. */
struct ack {
    uint64_t seq;
    uint64_t n;
    money charge;
    uint64_t request;
    uint32_t stream;
    uint32_t link;
    uint64_t before; /* position + 1 of the stream's ack before this one; 0: none */
};

/* ---- questions that wait ---- */

enum waiting_for { WAITING_NOTHING, WAITING_CALLER, WAITING_PRICES, WAITING_LEASE };
struct waiting {
    uint8_t on;    /* enum waiting_for */
    bool identify; /* else a hold */
    bool prices_tried;
    bool rates_tried; /* the caller was read again before this is refused */
    bool stranger;    /* waits for a caller who is one */
    uint32_t owner;   /* slot of the caller or account lease it waits for */
    uint32_t round;   /* of the lease request that answers for it; 0: not asked yet */
    uint32_t link;
    uint64_t plan_version; /* with an own key: of the terms it asked under; 0: not asked yet */
    uint64_t request;
    uint64_t deadline_boot_ns;
    client_prefix client; /* as the event has it, or a hold's message */
    struct key_hash stored;
    struct message_hold hold;
};

struct core {
    struct core_settings settings;
    const struct prices *prices;
    bool prices_loading;
    bool stopping;
    uint64_t seq_last;
    uint64_t seq_ending_last;
    uint64_t seq_use_last;
    uint64_t seq_synced;
    uint64_t seq_posted;
    uint64_t replay_marks_seq;
    uint64_t journal_room;
    uint64_t next_hold;
    uint32_t asking;        /* lease questions without an answer */
    uint32_t callers_asked; /* and those about callers */
    uint32_t refreshing;    /* callers */

    struct caller_slot *callers;
    /* By slot of a caller: that of the account's lease its last hold used. Apart from the callers
     * and dense, so that the lease is on its way from memory before its caller has arrived. */
    uint32_t *account_hints;
    struct limit_meter *caller_meters; /* METERS_MAX by slot of a caller */
    struct plan_terms *plans;          /* by id, as far as callers named them */
    uint32_t *allowance_hints;         /* as account_hints, for holds with own keys */
    struct slot_link *caller_links;
    struct slot_index caller_index;
    struct slot_chains callers_by_org; /* known ones; under 0 those that are being read */
    struct slot_list callers_by_age;
    struct slot_list callers_free;

    struct lease *leases;
    struct slot_link *lease_links;
    struct slot_index lease_index;
    struct slot_chains leases_by_org;
    struct slot_list leases_by_age;
    struct slot_list leases_free;
    uint32_t leases_unconfirmed;

    struct hold *holds;
    uint32_t *hold_meters; /* METERS_MAX by slot of a hold: slots of leases */
    struct byok_hold *hold_byok;
    struct byok_hold byok_at_hand; /* of the hold that is being tried */
    struct slot_link *hold_links;
    struct slot_index hold_index;
    struct slot_list holds_open;  /* by number */
    struct slot_list holds_ghost; /* by age */
    struct slot_list holds_free;
    uint32_t holds_undeclared;

    struct stream *streams;
    struct slot_link *stream_links;
    struct slot_index stream_index;
    struct slot_index link_index; /* connected streams by link */
    struct slot_list streams_by_age;
    struct slot_list streams_free;
    uint32_t streams_lost; /* not connected, with holds */

    struct ack *acks; /* ring; positions only grow */
    uint32_t acks_mask;
    uint64_t ack_next;
    uint64_t ack_sent; /* every ack before it was delivered */

    struct rates *rates;

    struct waiting *waiting;
    struct slot_link *waiting_links;
    struct slot_list waiting_free;
    struct slot_list waiting_prices;
    uint32_t strangers_waiting; /* places that are theirs */
};

/* In the chains by organization. */
static inline uint32_t org_tag(int64_t org)
{
    return (uint32_t)slot_mix((uint64_t)org);
}

/* core.c */
struct step {
    struct core *core;
    struct core_now now;
    struct core_actions *out;
    /* Slots of the leases touched for the hold at hand: not to be given to another. */
    uint8_t at_hand_count;
    uint32_t at_hand[LEASE_ITEMS_MAX];
};
void core_deliver(struct step *step, const struct core_action *action);
struct record_place core_place_next(struct core *core);

/* waiting.c */
uint32_t waiting_new(struct step *step, bool identify, const struct core_event *event);
bool waiting_has_room(const struct core *core, bool for_stranger);
/* false: there is no room to wait in; answer now. */
bool waiting_park(struct core *core, uint32_t slot, enum waiting_for on, uint32_t owner);
struct slot_list *waiting_list(struct core *core, const struct waiting *waiting);
void waiting_end(struct core *core, uint32_t slot); /* answered */
void waiting_run(struct step *step, uint32_t slot); /* try it again */
void waiting_expire(struct step *step);

/* callers.c */
uint32_t caller_find(const struct core *core, const struct key_hash *stored);
/* What a hold of this key will look at comes from memory while something else is done: first where
 * its caller stands, and when that is here, the caller itself and its lease. */
void caller_prefetch_place(const struct core *core, const struct key_hash *stored);
void caller_prefetch(const struct core *core, const struct key_hash *stored);
/* The slot, loading or loaded; SLOT_NONE when none is free, or it has to be asked for and there is
 * no room for the question or for whoever waits for it. */
uint32_t caller_touch(struct step *step, const struct key_hash *stored);
/* What is known of it is too old: its holds wait for what PostgreSQL says now. false: as above. */
bool caller_reload(struct step *step, uint32_t slot);
/* The key is used, from there: noted once a minute, which journal and poster hardly feel. */
void caller_note_use(struct step *step, uint32_t slot, client_prefix client);
/* What was noted is posted though no ending follows. */
void caller_post_uses(struct core *core);
void core_identify(struct step *step, const struct core_event *event);
bool identify_try(struct step *step, uint32_t waiting); /* false: waits */
void core_caller_answered(struct step *step, const struct core_event *event);
void core_key_changed(struct step *step, const struct core_event *event);
void core_limits_changed(struct step *step, const struct core_event *event);
void core_plan_changed(struct step *step, const struct core_event *event);
struct limit_meter *caller_meters(const struct core *core, const struct caller_slot *caller);
static inline const struct plan_terms *caller_plan(const struct core *core,
                                                   const struct caller_slot *caller)
{
    return &core->plans[caller->plan];
}

/* leases.c */
struct lease_key {
    int64_t org;
    int64_t meter;
    int32_t period;
};
uint32_t lease_find(const struct core *core, struct lease_key key);
/* SLOT_NONE: none is free. *hint is where it was last time, or anything; it is kept up. The slot is
 * at hand until the next hold is tried; at most LEASE_ITEMS_MAX are. */
uint32_t lease_touch(struct step *step, struct lease_key key, uint32_t *hint);
money lease_free_room(const struct lease *lease);
void lease_take(struct step *step, uint32_t slot, money amount);
/* Ends the hold of this number, which had `held` of the lease and cost `charge` of it; answers the
 * part of the charge that the lease covered. */
money lease_settle(struct step *step, uint32_t slot, money held, money charge, uint64_t hold);
/* The limit of a meter may be another one than it was lent under: what is free goes back, and what
 * open holds leave over as soon as they end. Also what a question in flight may bring. */
void lease_limit_changed(struct step *step, uint32_t slot);
/* Of a key, 0: of any owner in the organization; in every period, for the clock may go back to one
 * that it had left. */
void leases_limits_changed(struct step *step, int64_t org, int64_t key);
bool lease_can_ask(const struct core *core); /* else there are too many questions */
void lease_ask(struct step *step, uint32_t account);
void lease_prefetch(struct step *step, uint32_t slot);
void lease_give_back(struct step *step, uint32_t slot);
void leases_tick(struct step *step);
void core_lease_answered(struct step *step, const struct core_event *event);
void core_credit_changed(struct step *step, const struct core_event *event);
void core_credit_recalled(struct step *step, const struct core_event *event);

/* byok.c. What only holds with own keys need stays out of line, so that others do not pay for
 * it. */
#define RARE __attribute__((noinline, cold))
/* The terms and the lease of the allowance of now for a hold of this caller; false: no slot is
 * free. */
bool byok_find(struct step *step, uint32_t caller, struct byok_hold *byok);
/* As much of the allowance as is free and the hold can use. FULL: that is all it can use; SHORT: it
 * is not, and PostgreSQL has no more; ASK: it may have more. */
enum byok_fill { BYOK_FULL, BYOK_SHORT, BYOK_ASK };
enum byok_fill byok_fill(const struct step *step, struct byok_hold *byok);
/* The fee on the rest; OVERFLOW when a meter could not count fee and list price together. */
status byok_fee(const struct byok_hold *byok, money *fee);
/* For a question to PostgreSQL: the most that a hold which waits needs, and of which lease. */
struct byok_need {
    uint32_t allowance; /* SLOT_NONE: it is not known */
    money units, fee, with_list;
};
struct byok_need byok_need_of(const struct step *step, uint32_t caller, money list);
RARE void byok_take(struct step *step, uint32_t hold, const struct byok_hold *byok);
RARE void byok_prefetch(struct step *step, const struct byok_hold *byok);
/* Ends the use of the allowance: of a request that cost `list`, whatever is free of it is taken,
 * and *fee is due on the rest. Of one that failed (NULL) nothing is. Answers the units taken. */
money byok_end(struct step *step, uint32_t hold, const money *list, money *fee);
/* What the meter at this place has to cover of a hold or its end. */
RARE money byok_part(const struct byok_hold *byok, uint8_t place, money fee, money list);
/* It could use more of the allowance than it has. */
bool byok_lacks(const struct byok_hold *byok);

/* holds.c */
void core_hold(struct step *step, const struct core_event *event);
bool hold_try(struct step *step, uint32_t waiting); /* false: waits */
uint32_t *hold_meters(const struct core *core, const struct hold *hold);
/* What its meter at this place holds of it. */
static inline money hold_part(const struct core *core, const struct hold *hold, uint8_t place)
{
    if (!hold->byok) return hold->amount;
    const struct byok_hold *byok = &core->hold_byok[hold - core->holds];
    return byok_part(byok, place, hold->amount, byok->list);
}
void hold_refuse(struct step *step, const struct waiting *waiting, uint16_t error);
uint32_t hold_find(const struct core *core, uint64_t number);
void hold_index_add(struct core *core, uint32_t slot);
uint32_t hold_reuse_ghost(struct core *core); /* SLOT_NONE: there is none */
void hold_forget_ghost(struct core *core, uint32_t slot);
/* What a waiting hold wants at full size; OVERFLOW for hostile figures. */
status hold_amount(const struct message_hold *hold, uint32_t output_tokens, money *amount);

/* endings.c */
void core_settle(struct step *step, const struct core_event *event);
void core_release(struct step *step, const struct core_event *event);
void hold_release_by_ledger(struct step *step, uint32_t slot);
void hold_close(struct core *core, uint32_t slot, bool ghost);
uint64_t hold_floor(const struct core *core); /* every hold below it has ended */

/* streams.c */
void core_hello(struct step *step, const struct core_event *event);
void core_holds_open(struct step *step, const struct core_event *event);
void core_link_gone(struct step *step, const struct core_event *event);
void core_journal(struct step *step, const struct core_event *event);
void streams_tick(struct step *step);
uint32_t stream_of_link(const struct core *core, uint32_t link);
uint32_t stream_find(const struct core *core, uint64_t edge, uint16_t thread);
uint32_t stream_touch(struct core *core, uint64_t edge, uint16_t thread);
void stream_hold_added(struct core *core, uint32_t slot);
void stream_hold_ended(struct core *core, uint32_t slot);
/* NEW: has to be journalled. REPEAT: was acknowledged again. GAP: the link was closed. */
enum number_kind { NUMBER_NEW, NUMBER_REPEAT, NUMBER_GAP };
struct numbered {
    uint32_t stream;
    uint32_t link;
    uint64_t n;
    uint64_t request;
};
enum number_kind stream_check_number(struct step *step, struct numbered numbered,
                                     money charge_if_lost);
/* Puts a record of the stream into the ring of answers. */
void stream_note_ack(struct core *core, uint32_t stream, uint64_t n, const struct ack *ack);
/* After its record was appended: remembers the number and answers, now or when it is synced. */
void stream_acknowledge(struct step *step, struct numbered numbered, uint64_t seq, money charge);
