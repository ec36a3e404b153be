/* SPDX-License-Identifier: Apache-2.0 */
/* One slot counts for a key, or for an organization and a class of models. A slot is used again
 * when its minute is over, nothing of it runs and it does not remember a day that goes on. What
 * runs while a slot begins is found by one walk over the open holds: after a restart, and when a
 * limit is set on a key that had none. */
#include "services/ledger/core/rates.h"

#include "services/ledger/core/state.h"
#include "shared/billing.h"

#define MINUTE_NS           ((int64_t)60 * 1000000000)
/* Nobody knows when the next request ends; who is refused may come back after this. */
#define CONCURRENT_RETRY_NS ((int64_t)1000000000)
#define TURN_NONE           0

struct rate_key {
    int64_t org;
    int64_t key; /* 0: of a class */
    uint8_t class;
};
struct day_count {
    int32_t day; /* since 1970 */
    uint32_t requests;
};
struct rate {
    struct rate_key whose;
    uint64_t turn; /* that requests and tokens are of */
    uint64_t tokens;
    uint32_t requests;
    uint32_t concurrent;
    struct day_count today, left; /* the day that was left last, should the clock go back to it */
};
/* Beside each hold that is counted: where, and the tokens that were counted there in which turn;
 * none of an owner whose limit came while the hold ran. */
struct rate_share {
    uint32_t slot;
    uint64_t turn;
    uint64_t tokens;
};
struct rate_hold {
    struct rate_share shares[RATES_PER_HOLD];
};
/* Beside each caller. */
struct rate_caller {
    struct caller_rates limits;
    uint64_t asked_boot_ns; /* last, with or without an answer */
    uint64_t known_boot_ns; /* when what is known was asked for */
};

/* Slots that remember a day wait longer to be used again, so they stand in a list of their own. */
enum { LIST_MINUTES, LIST_DAYS, LIST_COUNT };

struct rates {
    /* A turn is what is counted as one minute. It ends when the clock goes on into another minute,
     * and not when it steps back: the minute it comes to then goes on with the counts there are. */
    uint64_t turn;
    int64_t minute; /* since 1970, that the clock says */
    int32_t day;    /* likewise */
    struct rate *slots;
    struct slot_link *links;
    struct slot_index index;
    struct slot_list by_age[LIST_COUNT]; /* by the minute of the last use */
    struct slot_list unused;
    struct rate_hold *holds;     /* by slot of the hold */
    struct rate_caller *callers; /* by slot of the caller */
    uint64_t bought_boot_ns;     /* when anybody last bought credits */
};

/* ---- life ----------------------------------------------------------------------------------- */

static void *new_rows(size_t count, size_t size)
{
    void *rows = calloc(count, size); /* pages that are not used are not taken */
    if (rows == NULL) abort();
    return rows;
}

struct rates *rates_new(const struct core_settings *settings)
{
    struct rates *rates = new_rows(1, sizeof(*rates));
    rates->turn = TURN_NONE + 1;
    rates->slots = new_rows(settings->rates_max, sizeof(*rates->slots));
    rates->links = new_rows(settings->rates_max, sizeof(*rates->links));
    rates->holds = new_rows(settings->holds_max, sizeof(*rates->holds));
    rates->callers = new_rows(settings->callers_max, sizeof(*rates->callers));
    slot_index_init(&rates->index, settings->rates_max);
    for (size_t i = 0; i < LIST_COUNT; i++)
        rates->by_age[i] = SLOT_LIST_EMPTY;
    rates->unused = SLOT_LIST_EMPTY;
    for (uint32_t i = 0; i < settings->rates_max; i++)
        slot_list_append(&rates->unused, rates->links, i);
    return rates;
}

void rates_free(struct rates **pointer)
{
    struct rates *rates = TAKE(*pointer);
    if (rates == NULL) return;
    free(rates->slots);
    free(rates->links);
    free(rates->holds);
    free(rates->callers);
    free(rates->index.cells);
    free(rates);
}

/* ---- callers -------------------------------------------------------------------------------- */

void rates_note_asked(struct step *step, uint32_t caller)
{
    step->core->rates->callers[caller].asked_boot_ns = step->now.boot_ns;
}

void rates_note_bought(struct step *step)
{
    step->core->rates->bought_boot_ns = step->now.boot_ns;
}

static bool has_limit(const struct rate_limits *limits)
{
    return (limits->requests | limits->tokens | limits->concurrent | limits->day) != 0;
}

static struct rate_key key_of(const struct caller *caller, size_t owner, enum model_class class)
{
    if (owner == RATE_KEY) return (struct rate_key){.org = caller->org, .key = caller->key};
    return (struct rate_key){.org = caller->org, .class = (uint8_t) class};
}

static uint32_t find(const struct rates *rates, struct rate_key key);
static void adopt(struct core *core, uint32_t slot);

void rates_learn(struct step *step, uint32_t slot, const struct caller_rates *limits)
{
    struct core *core = step->core;
    struct caller_slot *caller = &core->callers[slot];
    uint8_t before = caller->rated;
    struct rate_caller *known = &core->rates->callers[slot];
    known->limits = *limits;
    known->known_boot_ns = known->asked_boot_ns;
    caller->rated = RATED_CLASS(MODEL_FREE);
    if (has_limit(&limits->key)) caller->rated |= RATED_KEY;
    if (has_limit(&limits->classes[MODEL_PAID])) caller->rated |= RATED_CLASS(MODEL_PAID);
    /* What ran while there was no limit runs under the new one. */
    uint8_t gained = (uint8_t)(caller->rated & ~before);
    if ((gained & RATED_KEY) != 0) {
        uint32_t rate = find(core->rates, key_of(&caller->caller, RATE_KEY, MODEL_PAID));
        if (rate != SLOT_NONE) adopt(core, rate);
    }
    if ((gained & RATED_CLASS(MODEL_PAID)) != 0) {
        uint32_t rate = find(core->rates, key_of(&caller->caller, RATE_PAID_MODELS, MODEL_PAID));
        if (rate != SLOT_NONE) adopt(core, rate);
    }
}

/* ---- slots ---------------------------------------------------------------------------------- */

static int64_t minute_of(wall_time at)
{
    return at.ns / MINUTE_NS;
}

static uint32_t tag_of(struct rate_key key)
{
    return (uint32_t)slot_mix((uint64_t)key.org ^ slot_mix((uint64_t)key.key + key.class + 1));
}

static bool same_key(struct rate_key a, struct rate_key b)
{
    return a.org == b.org && a.key == b.key && a.class == b.class;
}

static bool remembers_day(const struct rate_key *key)
{
    return key->key == 0 && key->class == MODEL_FREE;
}

static struct slot_list *list_of(struct rates *rates, uint32_t slot)
{
    return &rates->by_age[remembers_day(&rates->slots[slot].whose) ? LIST_DAYS : LIST_MINUTES];
}

static uint32_t find(const struct rates *rates, struct rate_key key)
{
    uint32_t tag = tag_of(key);
    uint32_t at = slot_index_home(&rates->index, tag);
    uint32_t slot;
    while ((slot = slot_index_next(&rates->index, tag, &at)) != SLOT_NONE) {
        if (same_key(rates->slots[slot].whose, key)) break;
    }
    return slot;
}

static void turn_day(struct rate *rate, int32_t day)
{
    if (rate->today.day == day) return;
    struct day_count left = rate->today;
    rate->today = rate->left.day == day ? rate->left : (struct day_count){.day = day};
    rate->left = left;
}

void rates_follow_clock(struct core *core, wall_time now)
{
    struct rates *rates = core->rates;
    int64_t minute = minute_of(now);
    if (minute == rates->minute) return;
    if (minute > rates->minute) rates->turn++;
#ifdef BUG_MINUTE_ANEW /* planted by a test: a step back begins a minute, too */
    if (minute < rates->minute) rates->turn++;
#endif
    rates->minute = minute;
    rates->day = clock_period(CADENCE_DAY, now);
}

/* The counts are those of this turn and this day from here on. */
static void turn(struct rates *rates, uint32_t slot)
{
    struct rate *rate = &rates->slots[slot];
    turn_day(rate, rates->day);
    if (rate->turn == rates->turn) return;
    rate->turn = rates->turn;
    rate->requests = 0;
    rate->tokens = 0;
    slot_list_remove(list_of(rates, slot), rates->links, slot);
    slot_list_append(list_of(rates, slot), rates->links, slot);
}

/* Its minute, or the day it remembers, is not over. */
static bool is_young(const struct rates *rates, const struct rate *rate)
{
    if (!remembers_day(&rate->whose)) return rate->turn == rates->turn;
    return rate->today.day == rates->day || rate->left.day == rates->day;
}

/* The oldest of each list, unless it is needed. One whose requests run goes to the end, so that the
 * next look finds another. */
static uint32_t reuse(struct rates *rates)
{
    for (size_t i = 0; i < LIST_COUNT; i++) {
        struct slot_list *list = &rates->by_age[i];
        for (uint32_t left = list->count; left > 0; left--) {
            uint32_t slot = list->first;
            const struct rate *rate = &rates->slots[slot];
            if (is_young(rates, rate)) break;
            slot_list_remove(list, rates->links, slot);
            if (rate->concurrent == 0) {
                slot_index_remove(&rates->index, tag_of(rate->whose), slot);
                return slot;
            }
            slot_list_append(list, rates->links, slot);
        }
    }
    return SLOT_NONE;
}

/* Nothing needs it any more: it is the next to be looked at. */
static void offer(struct rates *rates, uint32_t slot)
{
    slot_list_remove(list_of(rates, slot), rates->links, slot);
    slot_list_prepend(list_of(rates, slot), rates->links, slot);
}

static uint32_t touch(struct core *core, struct rate_key key)
{
    struct rates *rates = core->rates;
    uint32_t slot = find(rates, key);
    if (slot == SLOT_NONE) {
        slot = slot_list_take(&rates->unused, rates->links);
        if (slot == SLOT_NONE) slot = reuse(rates);
        if (slot == SLOT_NONE) return SLOT_NONE;
        rates->slots[slot] =
            (struct rate){.whose = key, .turn = rates->turn, .today = {.day = rates->day}};
        slot_index_add(&rates->index, tag_of(key), slot);
        slot_list_append(list_of(rates, slot), rates->links, slot);
        adopt(core, slot);
    }
    turn(rates, slot);
    return slot;
}

/* Where in a hold a slot is noted. */
static size_t owner_of(const struct rate_key *key)
{
    return key->key != 0 ? RATE_KEY : RATE_PAID_MODELS;
}

static bool belongs(const struct hold *hold, const struct rate_key *key)
{
    if (hold->caller.org != key->org) return false;
    return key->key != 0 ? hold->caller.key == key->key : hold->model_class == key->class;
}

/* Open holds that are not counted here yet. Their tokens are of a turn that is not known. */
static void adopt(struct core *core, uint32_t slot)
{
    struct rate *rate = &core->rates->slots[slot];
    size_t owner = owner_of(&rate->whose);
    for (uint32_t i = core->holds_open.first; i != SLOT_NONE; i = core->hold_links[i].after) {
        struct hold *hold = &core->holds[i];
        struct rate_hold *counted = &core->rates->holds[i];
        if (!belongs(hold, &rate->whose)) continue;
        if (hold->rated && counted->shares[owner].slot != SLOT_NONE) continue;
        for (size_t j = 0; j < RATES_PER_HOLD && !hold->rated; j++)
            counted->shares[j].slot = SLOT_NONE;
        hold->rated = true;
        counted->shares[owner] = (struct rate_share){.slot = slot, .turn = TURN_NONE};
        rate->concurrent++;
        if (clock_period(CADENCE_DAY, (wall_time){hold->created_ns}) == rate->today.day)
            rate->today.requests++;
    }
}

/* ---- the check ------------------------------------------------------------------------------ */

static const struct rate_limits *limits_of(const struct core *core, const struct rate_check *check,
                                           size_t owner)
{
    const struct caller_rates *limits = &core->rates->callers[check->caller].limits;
    if (owner == RATE_KEY) return &limits->key;
    bool is_free = (check->rated & RATED_CLASS(MODEL_FREE)) != 0;
    return &limits->classes[is_free ? MODEL_FREE : MODEL_PAID];
}

static uint8_t shown_owner(const struct rate_check *check, size_t owner)
{
    if (owner == RATE_KEY) return RATE_KEY;
    bool is_free = (check->rated & RATED_CLASS(MODEL_FREE)) != 0;
    return is_free ? RATE_FREE_MODELS : RATE_PAID_MODELS;
}

static uint32_t left_of(uint32_t limit, uint64_t used)
{
    return used < limit ? limit - (uint32_t)used : 0;
}

/* One of the four limits, and what of it is used. Tokens come last: a hold can shrink for them. */
struct rate_limit {
    uint16_t error;
    uint32_t limit;
    uint32_t left;
    int64_t resets_ns;
};
enum { LIMITS = 4, LIMIT_OF_TOKENS = LIMITS - 1 };

static void read_limits(const struct rate *rate, const struct rate_limits *limits, wall_time now,
                        struct rate_limit read[LIMITS])
{
    int64_t minute_end_ns = (minute_of(now) + 1) * MINUTE_NS;
    const struct rate_limit all[LIMITS] = {
        {ERROR_RATE_DAY, limits->day, left_of(limits->day, rate->today.requests),
         clock_period_end(CADENCE_DAY, now).ns},
        {ERROR_RATE_REQUESTS, limits->requests, left_of(limits->requests, rate->requests),
         minute_end_ns},
        {ERROR_RATE_CONCURRENT, limits->concurrent, left_of(limits->concurrent, rate->concurrent),
         now.ns + CONCURRENT_RETRY_NS},
        {ERROR_RATE_TOKENS, limits->tokens, left_of(limits->tokens, rate->tokens), minute_end_ns},
    };
    memcpy(read, all, sizeof(all));
}

/* Whether the hold fits the tokens that are left, made smaller if it may be. */
static bool fits_tokens(struct message_hold *hold, uint32_t left)
{
    uint64_t input = hold->input_tokens;
    if (input + hold->output_want <= left) return true;
    if (!hold->may_shrink || input + hold->output_min > left) return false;
    hold->output_want = left - hold->input_tokens;
    return true;
}

static bool passes(const struct rate_limit *limit, size_t i, struct message_hold *hold)
{
    if (limit->limit == 0) return true;
    return i == LIMIT_OF_TOKENS ? fits_tokens(hold, limit->left) : limit->left > 0;
}

static enum rate_verdict refuse(struct message_held *held, uint8_t owner,
                                const struct rate_limit *limit, wall_time now)
{
    held->error = limit->error;
    held->rate_owner = owner;
    held->rate_limit = limit->limit;
    held->rate_remaining = limit->left;
    held->resets_ns = limit->resets_ns;
    held->created_ns = now.ns;
    return RATES_REFUSED;
}

enum rate_verdict rates_check(struct step *step, struct rate_check *check, struct waiting *waiting,
                              struct message_held *held)
{
    struct core *core = step->core;
    const struct rate_caller *caller = &core->rates->callers[check->caller];
    enum model_class class = rates_class_of_hold(&waiting->hold);
    for (size_t owner = 0; owner < RATES_PER_HOLD; owner++) {
        check->slots[owner] = SLOT_NONE;
        unsigned bit = owner == RATE_KEY ? RATED_KEY : RATED_CLASS(class);
        if ((check->rated & bit) == 0) continue;
        struct rate_key key = key_of(&core->callers[check->caller].caller, owner, class);
        uint32_t slot = touch(core, key);
        if (slot == SLOT_NONE) {
            held->error = ERROR_LEDGER_FULL;
            return RATES_REFUSED;
        }
        check->slots[owner] = slot;
        struct rate_limit limits[LIMITS];
        read_limits(&core->rates->slots[slot], limits_of(core, check, owner), step->now.wall,
                    limits);
        for (size_t i = 0; i < LIMITS; i++) {
            if (passes(&limits[i], i, &waiting->hold)) continue;
            bool outdated = limits[i].error == ERROR_RATE_DAY && !waiting->rates_tried &&
                            caller->known_boot_ns <= core->rates->bought_boot_ns;
            if (!outdated)
                return refuse(held, shown_owner(check, owner), &limits[i], step->now.wall);
            waiting->rates_tried = true;
            return RATES_OUTDATED;
        }
    }
    return RATES_PASS;
}

/* ---- counting ------------------------------------------------------------------------------- */

void rates_take(struct step *step, const struct rate_check *check, uint32_t hold, uint64_t tokens)
{
    struct rates *rates = step->core->rates;
    struct rate_hold *counted = &rates->holds[hold];
    for (size_t owner = 0; owner < RATES_PER_HOLD; owner++) {
        counted->shares[owner] = (struct rate_share){.slot = check->slots[owner], .tokens = tokens};
        if (check->slots[owner] == SLOT_NONE) continue;
        struct rate *rate = &rates->slots[check->slots[owner]];
        counted->shares[owner].turn = rate->turn;
        rate->requests++;
        rate->today.requests++;
        rate->concurrent++;
        rate->tokens += tokens;
    }
}

void rates_describe(const struct step *step, const struct rate_check *check,
                    struct message_held *held)
{
    const struct core *core = step->core;
    for (size_t owner = 0; owner < RATES_PER_HOLD; owner++) {
        if (check->slots[owner] == SLOT_NONE) continue;
        const struct rate *rate = &core->rates->slots[check->slots[owner]];
        uint32_t limit = limits_of(core, check, owner)->requests;
        if (limit == 0) continue;
        uint32_t left = left_of(limit, rate->requests);
        if (held->rate_limit != 0 && held->rate_remaining <= left) continue;
        held->rate_owner = shown_owner(check, owner);
        held->rate_limit = limit;
        held->rate_remaining = left;
        held->resets_ns = (core->rates->minute + 1) * MINUTE_NS;
    }
}

void rates_end(struct step *step, uint32_t hold, const struct usage_vector *usage)
{
    struct rates *rates = step->core->rates;
    const struct rate_hold *counted = &rates->holds[hold];
    uint64_t used = billing_input_tokens(usage) + billing_output_tokens(usage);
    for (size_t owner = 0; owner < RATES_PER_HOLD; owner++) {
        const struct rate_share *share = &counted->shares[owner];
        if (share->slot == SLOT_NONE) continue;
        struct rate *rate = &rates->slots[share->slot];
        rate->concurrent--;
        if (rate->concurrent == 0 && !is_young(rates, rate)) offer(rates, share->slot);
        if (rate->turn == share->turn) rate->tokens = rate->tokens - share->tokens + used;
    }
}

/* ---- start ---------------------------------------------------------------------------------- */

/* Where there is no slot, the table is full of organizations whose day goes on: until it is over,
 * nobody else is admitted to a free model, so that nothing that was not counted is given away. */
void rates_replayed(struct core *core, struct core_now now)
{
    rates_follow_clock(core, now.wall);
    for (uint32_t i = core->holds_open.first; i != SLOT_NONE; i = core->hold_links[i].after) {
        const struct hold *hold = &core->holds[i];
        if (hold->model_class != MODEL_FREE || hold->rated) continue;
        struct rate_key key = key_of(&hold->caller, RATE_FREE_MODELS, MODEL_FREE);
        if (touch(core, key) == SLOT_NONE) return;
    }
}

status core_add_free_requests(struct core *core, struct core_now now, int64_t org,
                              uint32_t requests)
{
    rates_follow_clock(core, now.wall);
    struct rate_key key = {.org = org, .class = MODEL_FREE};
    uint32_t slot = touch(core, key);
    if (slot == SLOT_NONE) return FAIL(LEDGER_FULL);
    core->rates->slots[slot].today.requests += requests;
    return OK;
}

uint32_t core_free_requests(const struct core *core, struct core_now now, int64_t org)
{
    uint32_t slot = find(core->rates, (struct rate_key){.org = org, .class = MODEL_FREE});
    if (slot == SLOT_NONE) return 0;
    struct rate rate = core->rates->slots[slot];
    turn_day(&rate, clock_period(CADENCE_DAY, now.wall));
    return rate.today.requests;
}
