/* SPDX-License-Identifier: Apache-2.0 */
/* The auditor of tokens per minute. It walks over the holds of the minute and counts each with its
 * prompt's estimate and the output that was allowed, and from its end on with what it used. A hold
 * beyond a limit is a violation; so is a refusal of what would have fitted, and one that is wrong
 * about the rest. */
#include "tests/unit/ledger/simulator.h"

static uint32_t limit_of(struct simulator *sim, int64_t key, enum rate_owner owner)
{
    if (owner == RATE_KEY) return model_key(&sim->model, key)->rates.tokens;
    return owner == RATE_FREE_MODELS ? sim->model.free.tokens : sim->model.paid.tokens;
}

static enum rate_owner owner_of_class(uint8_t model_class)
{
    return model_class == MODEL_FREE ? RATE_FREE_MODELS : RATE_PAID_MODELS;
}

/* Of the minute that runs, by whoever shares a limit with this one. */
static uint64_t count(const struct sim_rates *rates, const struct sim_rated *like,
                      enum rate_owner owner)
{
    uint64_t tokens = 0;
    for (size_t i = rates->minute_first; i < rates->count; i++) {
        const struct sim_rated *seen = &rates->items[i];
        bool same_class = seen->org == like->org && seen->model_class == like->model_class;
        bool same_key = seen->key == like->key && seen->key_counts;
        bool shares = owner == RATE_KEY ? same_key : same_class;
        tokens += shares ? seen->tokens : 0;
    }
    return tokens;
}

/* ---- what was let in ------------------------------------------------------------------------- */

static void check_held(struct simulator *sim, const struct sim_rated *made, enum rate_owner owner,
                       bool smaller)
{
    uint32_t limit = limit_of(sim, made->key, owner);
    if (limit == 0) return;
    uint64_t used = count(&sim->rates, made, owner);
    bool to_the_last = smaller && used == limit;
    coverage_note_tokens(&sim->run->coverage, to_the_last ? TOKENS_MADE_TO_FIT : TOKENS_GRANTED);
    if (made->tokens == 0 || used <= limit) return; /* who asks for none gets none */
    sim->violation = owner == RATE_KEY ? "a key has too many tokens in a minute"
                                       : "a class of models has too many tokens in a minute";
}

void sim_tokens_held(struct simulator *sim, const struct sim_request *request,
                     const struct message_held *held)
{
    struct sim_rates *rates = &sim->rates;
    struct sim_rated *made = rates->count > 0 ? &rates->items[rates->count - 1] : NULL;
    if (made == NULL || made->hold != held->hold) {
        sim->violation = "a hold was answered and has no record";
        return;
    }
    const struct rate_limits *limits = &model_key(&sim->model, made->key)->rates;
    made->key_counts = (limits->requests | limits->concurrent | limits->tokens) != 0;
    if (held->output_max > request->output ||
        (held->output_max < request->output && !request->may_shrink))
        sim->violation = "an answer allows another output than was asked for";
    made->tokens = (uint64_t)request->input + held->output_max;
    bool smaller = held->output_max < request->output;
    check_held(sim, made, RATE_KEY, smaller);
    check_held(sim, made, owner_of_class(made->model_class), smaller);
}

/* ---- what was refused ------------------------------------------------------------------------ */

/* With so many it would have been let in. */
static uint64_t fewest(const struct sim_request *request)
{
    uint64_t least = (uint64_t)request->least * (request->choices > 0 ? request->choices : 1);
    bool whole = !request->may_shrink || least > request->output;
    return request->input + (whole ? request->output : least);
}

void sim_tokens_refused(struct simulator *sim, const struct sim_request *request,
                        const struct message_held *held)
{
    enum rate_owner owner = (enum rate_owner)held->rate_owner;
    const struct sim_rated like = {
        .org = request->org, .key = request->key, .model_class = request->model_class};
    uint32_t limit = limit_of(sim, request->key, owner);
    uint64_t used = count(&sim->rates, &like, owner);
    uint64_t left = used < limit ? limit - used : 0;
    coverage_note_tokens(&sim->run->coverage, TOKENS_REFUSED_BY_KEY + owner);
    if (limit == 0 || (owner != RATE_KEY && owner != owner_of_class(request->model_class)))
        sim->violation = "a request was refused by a limit that it does not have";
    else if (fewest(request) <= left)
        sim->violation = "a request was refused below its limit";
    else if (held->rate_limit != limit || held->rate_remaining != left)
        sim->violation = "a refusal is wrong about the tokens that are left";
}

/* ---- what has ended -------------------------------------------------------------------------- */

static uint64_t tokens_in(const struct usage_vector *usage)
{
    const uint32_t *units =
        usage->units; /* of others these edges use none, or they are no tokens */
    return (uint64_t)units[BILLING_prompt] + units[BILLING_cache_read] + units[BILLING_completion] +
           units[BILLING_reasoning];
}

static void note_ending(struct simulator *sim, const struct sim_rated *seen, uint64_t used)
{
    uint32_t limits = limit_of(sim, seen->key, RATE_KEY) |
                      limit_of(sim, seen->key, owner_of_class(seen->model_class));
    if (limits == 0 || used == seen->tokens) return;
    enum coverage_tokens what = used < seen->tokens ? TOKENS_CORRECTED_DOWN : TOKENS_CORRECTED_UP;
    if (seen < &sim->rates.items[sim->rates.minute_first]) what = TOKENS_ENDED_LATER;
    coverage_note_tokens(&sim->run->coverage, what);
}

void sim_tokens_ended(struct simulator *sim, struct sim_rated *seen,
                      const struct usage_vector *usage, bool note)
{
    uint64_t used = tokens_in(usage);
    if (note) note_ending(sim, seen, used);
    seen->tokens = used;
}

/* ---- what a plan wants at the least ---------------------------------------------------------- */

/* The plan's least output decides whether a request is refused that may be made smaller. Mostly the
 * core is told of a change; until it is, and for who waited meanwhile, the greatest that there was
 * is what a refusal is judged by. */
void sim_tokens_plan_changed(struct simulator *sim, int64_t org, bool told)
{
    uint32_t now = model_org(&sim->model, org)->plan.terms.output_min;
    uint32_t *least = &sim->rates.least[org];
    if (told || *least < now) *least = now;
    for (uint64_t i = 1; i <= sim->request_last; i++) {
        struct sim_request *request = &sim->requests[i];
        if (request->org == org && request->least < now) request->least = now;
    }
}

void sim_tokens_asked(struct simulator *sim, uint64_t request)
{
    struct sim_request *asked = &sim->requests[request];
    asked->least = sim->rates.least[asked->org];
}

/* A ledger that begins reads every plan anew. */
void sim_tokens_restart(struct simulator *sim)
{
    for (int64_t org = 1; org <= SIM_ORGS; org++)
        sim->rates.least[org] = model_org(&sim->model, org)->plan.terms.output_min;
}
