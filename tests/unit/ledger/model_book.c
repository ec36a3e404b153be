/* SPDX-License-Identifier: Apache-2.0 */
/* The model database as the book of a world. */
#include "tests/unit/ledger/world.h"

static void answer_caller(struct world *world, const struct key_hash *stored,
                          struct caller_answer *answer)
{
    model_answer_caller(&world->model, stored, answer);
}

static void answer_lease(struct world *world, const struct lease_request *request,
                         struct lease_answer *answer)
{
    model_answer_lease(&world->model, world->settings.epoch, request, answer);
}

static uint64_t begin_epoch(struct world *world)
{
    return ++world->model.epoch;
}

static void move(struct world *world)
{
    model_move(&world->model, world->core);
}

static void post(struct world *world, const struct record *record)
{
    model_post(&world->model, record);
}

static void posted(struct world *world)
{
    (void)world;
}

static uint64_t cursor(struct world *world)
{
    return world->model.cursor;
}

static void credit(struct world *world, int64_t org, int64_t nano, bool promo)
{
    struct model_org *account = model_org(&world->model, org);
    if (promo)
        account->promo += nano;
    else
        account->paid += nano;
    if (!promo) account->purchased += nano;
}

static void freeze(struct world *world, int64_t org, bool frozen)
{
    model_org(&world->model, org)->frozen = frozen;
}

/* The model's keys are the ones that tests change. */
static void key(struct world *world, const struct model_key *changed)
{
    (void)world;
    (void)changed;
}

static void limit(struct world *world, const struct model_limit *changed)
{
    model_set_limit(&world->model, changed, world->now.wall);
}

static struct plan_terms plan(struct world *world, int64_t org, const struct model_plan *changed)
{
    return model_set_plan(&world->model, org, changed);
}

static void load_free(struct world *world, int64_t day)
{
    for (size_t i = 0; i < world->model.free_count; i++) {
        const struct model_free *counted = &world->model.free_days[i];
        if (counted->day == day) world_add_free(world, counted->org, counted->requests);
    }
}

static int64_t free_requests(struct world *world, int64_t org, int64_t day)
{
    return model_free_requests(&world->model, org, day)->requests;
}

static int64_t figure(struct world *world, int64_t org, enum book_figure figure)
{
    const struct model_org *account = model_org(&world->model, org);
    switch (figure) {
    case BOOK_PAID: return account->paid;
    case BOOK_PROMO: return account->promo;
    case BOOK_ESCROW: return account->escrow;
    case BOOK_BYOK_FEES: return account->fees;
    case BOOK_OWED: break;
    }
    return account->receivable;
}

static int64_t cost(struct world *world, enum book_cost cost)
{
    return cost == BOOK_PAYABLE ? world->model.payable : world->model.absorbed;
}

static int64_t spent(struct world *world, int64_t org, int64_t meter, int64_t period)
{
    return model_period(&world->model, org, meter, period)->spent;
}

static int64_t byok_spent(struct world *world, int64_t org, int64_t meter, int64_t period)
{
    return model_period(&world->model, org, meter, period)->byok_spent;
}

const struct book model_book = {
    .answer_caller = answer_caller,
    .answer_lease = answer_lease,
    .begin_epoch = begin_epoch,
    .move = move,
    .post = post,
    .posted = posted,
    .cursor = cursor,
    .credit = credit,
    .freeze = freeze,
    .key = key,
    .limit = limit,
    .plan = plan,
    .figure = figure,
    .cost = cost,
    .spent = spent,
    .byok_spent = byok_spent,
    .load_free = load_free,
    .free_requests = free_requests,
};
