/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits inside the core: requests and tokens in a fixed UTC minute, requests at once, and the
 * requests of free models in a UTC day; of a key, and of all keys of an organization per class of
 * models. Exact within a cell. A hold is counted when it is admitted, in the same step in which it
 * was checked, so a refused one has consumed nothing; its tokens are corrected when it ends.
 *
 * Nothing is reset: a count stands beside the number of its turn or day, and another number means
 * that nothing was counted yet. A turn is a minute, until the clock goes on into the next one; a
 * clock that steps back ends none: the step gives nobody anything. Counts of a minute begin anew
 * after a restart of the ledger; requests that run are known from the journal, and those of the day
 * from PostgreSQL. */
#pragma once

#include "services/ledger/core/core.h"

struct step;
struct waiting;
struct rates;

enum { RATES_PER_HOLD = 2 }; /* the key's and the class's */

struct rates *rates_new(const struct core_settings *settings);
void rates_free(struct rates **rates);
/* Before anything else that happens at this time. */
void rates_follow_clock(struct core *core, wall_time now);

/* ---- callers ---- */

/* Bits of a caller's `rated`: its key has limits, requests of that class have. A request of a
 * caller without them costs one branch. Requests of free models are always counted: the plan may
 * begin to limit a day in its midst. */
#define RATED_KEY          1u
#define RATED_CLASS(class) (2u << (class))

/* The edge says what it asks for; that it costs nothing is seen here. */
static inline enum model_class rates_class_of_hold(const struct message_hold *hold)
{
    if (hold->model_class != MODEL_FREE) return MODEL_PAID;
    bool costs = hold->fixed.nano != 0 || hold->output_price.nano_per_million != 0 || hold->byok;
    return costs ? MODEL_PAID : MODEL_FREE;
}
static inline uint8_t rates_of_hold(uint8_t rated, const struct message_hold *hold)
{
    return (uint8_t)(rated & (RATED_KEY | RATED_CLASS(rates_class_of_hold(hold))));
}

/* The caller in this slot is being asked for; is answered. */
void rates_note_asked(struct step *step, uint32_t caller);
void rates_learn(struct step *step, uint32_t caller, const struct caller_rates *limits);
/* Somebody bought credits: a day's limit that was asked for before may be too low. */
void rates_note_bought(struct step *step);

/* ---- holds ---- */

enum rate_verdict { RATES_PASS, RATES_REFUSED, RATES_OUTDATED };
struct rate_check {
    uint8_t rated; /* bits of RATED_… that apply; 0: none does */
    uint32_t caller;
    uint32_t slots[RATES_PER_HOLD]; /* found by the check; SLOT_NONE */
};
/* Counts nothing. A hold that may shrink is shrunk to the tokens that are left. REFUSED fills what
 * HELD says. OUTDATED: the caller has to be read again first, which is asked for once per hold. */
enum rate_verdict rates_check(struct step *step, struct rate_check *check, struct waiting *waiting,
                              struct message_held *held);
void rates_take(struct step *step, const struct rate_check *check, uint32_t hold, uint64_t tokens);
/* What is left of the tightest limit of requests per minute. */
void rates_describe(const struct step *step, const struct rate_check *check,
                    struct message_held *held);
/* The hold's place is free, and its tokens are those it used. */
void rates_end(struct step *step, uint32_t hold, const struct usage_vector *usage);

/* ---- start ---- */

/* Counts the replayed holds of free models, whose organizations might not ask again before these
 * end. */
void rates_replayed(struct core *core, struct core_now now);
