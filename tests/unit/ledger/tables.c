/* SPDX-License-Identifier: Apache-2.0 */
/* Runs *.table files line by line. A line speaks of organizations, keys and holds by name and knows
 * nothing of the core; what it looks at is asked of the world's book. */
#include "tests/unit/ledger/tables.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/test.h"

#define TABLES "tests/unit/ledger/*.table"

/* ---- words ----------------------------------------------------------------------------------- */

static slice word(const struct run *run, size_t i)
{
    return i < run->count ? run->words[i] : SLICE_NONE;
}

static bool is(slice text, const char *c_string)
{
    return slice_equal(text, slice_of(c_string));
}

/* The word after a keyword; empty when the line does not have it. */
static slice after(const struct run *run, const char *keyword)
{
    for (size_t i = 0; i + 1 < run->count; i++) {
        if (is(run->words[i], keyword)) return run->words[i + 1];
    }
    return SLICE_NONE;
}

static bool has(const struct run *run, const char *keyword)
{
    for (size_t i = 0; i < run->count; i++) {
        if (is(run->words[i], keyword)) return true;
    }
    return false;
}

static void complain(struct run *run, const char *what, slice text)
{
    print_error("%s:%d: %s: %.*s\n", run->file, run->line, what, (int)text.len, text.data);
    run->failures++;
}

static int64_t dollars(struct run *run, slice text)
{
    money amount = MONEY_ZERO;
    if (!status_ok(money_parse_dollars(text, true, &amount))) complain(run, "not an amount", text);
    return amount.nano;
}

static int64_t number_in(struct run *run, slice name)
{
    int64_t value = 0;
    size_t at = 0;
    while (at < name.len && (name.data[at] < '0' || name.data[at] > '9'))
        at++;
    if (!status_ok(slice_to_i64(slice_from(name, at), &value)))
        complain(run, "a name ends in a number", name);
    return value;
}

static size_t hold_named(struct run *run, slice name)
{
    for (size_t i = 0; i < run->holds.count; i++) {
        if (is(name, run->holds.text[i])) return i;
    }
    assert_true(run->holds.count < NAMES_MAX && name.len < sizeof(run->holds.text[0]));
    memcpy(run->holds.text[run->holds.count], name.data, name.len);
    return run->holds.count++;
}

/* 60s, 3h, 2d */
static uint64_t duration_ns(struct run *run, slice text)
{
    int64_t value = 0;
    slice digits = slice_first(text, text.len - 1);
    if (text.len < 2 || !status_ok(slice_to_i64(digits, &value)))
        complain(run, "not a duration", text);
    char unit = text.len > 0 ? text.data[text.len - 1] : 's';
    int64_t seconds = unit == 'd' ? 86400 : unit == 'h' ? 3600 : unit == 'm' ? 60 : 1;
    return (uint64_t)(value * seconds) * 1000000000;
}

/* ---- results --------------------------------------------------------------------------------- */

static void say(struct run *run, const char *text)
{
    size_t len = strlen(run->result);
    (void)snprintf(run->result + len, sizeof(run->result) - len, "%s%s", len > 0 ? " " : "", text);
}

static void say_amount(struct run *run, int64_t nano)
{
    char text[48];
    struct buffer out;
    buffer_init_fixed(&out, text, sizeof(text) - 1);
    money_append_dollars(&out, (money){nano});
    text[out.len] = '\0';
    say(run, text);
}

static void say_error(struct run *run, uint16_t error)
{
    char text[48] = "ok";
    if (error != ERROR_NONE) {
        (void)snprintf(text, sizeof(text), "%s", error_row_of(error)->name);
        for (char *c = text; *c != '\0'; c++) {
            if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
        }
    }
    say(run, text);
}

static void say_time(struct run *run, int64_t ns)
{
    char text[40];
    struct buffer out;
    buffer_init_fixed(&out, text, sizeof(text) - 1);
    clock_append_iso(&out, (wall_time){ns});
    text[out.len] = '\0';
    say(run, text);
}

/* ---- statements: what happens ---------------------------------------------------------------- */

/* Nothing of the model may be read before the records so far are posted. */
static void settle_down(struct run *run)
{
    world_sync(&run->world);
    world_post(&run->world);
}

static void changed_credit(struct run *run, int64_t org)
{
    world_step(&run->world, &(struct core_event){.type = EVENT_CREDIT_CHANGED, .org = org});
}

static void changed_key(struct run *run, int64_t key)
{
    world_step(&run->world,
               &(struct core_event){.type = EVENT_KEY_CHANGED, .stored = model_hash(key)});
}

static void run_credit(struct run *run)
{
    int64_t org = number_in(run, word(run, 1));
    int64_t amount = dollars(run, word(run, 2));
    settle_down(run);
    run->world.book->credit(&run->world, org, amount, is(word(run, 0), "promo"));
    changed_credit(run, org);
}

static enum cadence cadence_in(const struct run *run)
{
    if (has(run, "daily")) return CADENCE_DAY;
    if (has(run, "weekly")) return CADENCE_WEEK;
    return has(run, "monthly") ? CADENCE_MONTH : CADENCE_LIFE;
}

static uint32_t count_after(struct run *run, const char *keyword)
{
    int64_t count = 0;
    slice text = after(run, keyword);
    if (text.len > 0 && !status_ok(slice_to_i64(text, &count))) complain(run, "not a number", text);
    return (uint32_t)count;
}

/* key key1 of org1 [limit 5.00 daily [include_byok]] [requests 3] [tokens 100] [concurrent 2] */
static void run_key(struct run *run)
{
    int64_t key = number_in(run, word(run, 1));
    struct model_key *model = model_key(&run->world.model, key);
    if (model == NULL)
        model = model_add_key(&run->world.model, number_in(run, after(run, "of")), key);
    slice limit = after(run, "limit");
    settle_down(run);
    model->has_limit = limit.len > 0 && !is(limit, "none");
    if (model->has_limit) model->limit = dollars(run, limit);
    model->cadence = cadence_in(run);
    model->disabled = has(run, "disabled");
    model->include_byok = has(run, "include_byok");
    if (after(run, "member").len > 0) model->caller.member = number_in(run, after(run, "member"));
    if (after(run, "workspace").len > 0)
        model->caller.workspace = number_in(run, after(run, "workspace"));
    model->rates = (struct rate_limits){.requests = count_after(run, "requests"),
                                        .tokens = count_after(run, "tokens"),
                                        .concurrent = count_after(run, "concurrent")};
    model->caller.version++;
    run->world.book->key(&run->world, model);
    changed_key(run, key);
}

/* The kind of owner that a name begins with. */
static enum meter_owner owner_in(struct run *run, slice name)
{
    static const char *const kinds[] = {[OWNER_KEY] = "key",
                                        [OWNER_MEMBER] = "member",
                                        [OWNER_WORKSPACE] = "workspace",
                                        [OWNER_ORG] = "org"};
    for (int kind = OWNER_KEY; kind <= OWNER_ORG; kind++) {
        if (slice_starts_with(name, slice_of(kinds[kind]))) return (enum meter_owner)kind;
    }
    complain(run, "not an owner", name);
    return OWNER_KEY;
}

static struct model_limit limit_in(struct run *run)
{
    slice name = word(run, 1), of = after(run, "of");
    return (struct model_limit){.org = number_in(run, of.len > 0 ? of : name),
                                .owner = number_in(run, name),
                                .owner_kind = owner_in(run, name),
                                .cadence = cadence_in(run)};
}

/* limit member7 of org1 5.00 daily [include_byok] | limit org1 none */
static void run_limit(struct run *run)
{
    struct model_limit limit = limit_in(run);
    slice amount = word(run, is(word(run, 2), "of") ? 4 : 2);
    limit.limited = !is(amount, "none");
    if (limit.limited) limit.limit = dollars(run, amount);
    limit.include_byok = has(run, "include_byok");
    settle_down(run);
    run->world.book->limit(&run->world, &limit);
    world_step(&run->world, &(struct core_event){.type = EVENT_LIMITS_CHANGED, .org = limit.org});
}

/* plan org1 [3 requests free fee 5%] [default 100 least 50] | plan org1 10.00 free fee 2.5%: what
 * is free of a month, with own keys; the tokens of holds whose requests name no max_tokens. What it
 * does not say is as before. An organization's first one comes before its first hold. */
static void run_plan(struct run *run)
{
    int64_t org = number_in(run, word(run, 1));
    struct model_plan plan = model_org(&run->world.model, org)->plan;
    bool requests = has(run, "requests");
    slice fee = after(run, "fee");
    if (has(run, "free")) {
        plan.terms.byok_unit = requests ? BYOK_REQUESTS : BYOK_LIST_PRICE;
        plan.terms.byok_fee_basis_points =
            (uint16_t)(dollars(run, slice_first(fee, fee.len - 1)) / (NANO_PER_DOLLAR / 100));
        plan.allowance = requests ? number_in(run, word(run, 2)) : dollars(run, word(run, 2));
    }
    if (has(run, "default")) {
        plan.terms.output_default = count_after(run, "default");
        plan.terms.output_min = count_after(run, "least");
    }
    settle_down(run);
    plan.terms = run->world.book->plan(&run->world, org, &plan);
    model_org(&run->world.model, org)->plan = plan;
    world_step(&run->world, &(struct core_event){.type = EVENT_PLAN_CHANGED, .plan = &plan.terms});
}

static void run_freeze(struct run *run)
{
    int64_t org = number_in(run, word(run, 1));
    run->world.book->freeze(&run->world, org, is(word(run, 0), "freeze"));
    changed_credit(run, org);
}

/* rate_requests key 3 left 0 until … */
static void say_rate(struct run *run, const struct message_held *held)
{
    static const char *const owners[] = {
        [RATE_KEY] = "key", [RATE_PAID_MODELS] = "paid", [RATE_FREE_MODELS] = "free"};
    char text[64];
    (void)snprintf(text, sizeof(text), "%s %u left %u until", owners[held->rate_owner],
                   held->rate_limit, held->rate_remaining);
    say(run, text);
    say_time(run, held->resets_ns);
}

/* hold h1 key1 0.40 [+ 1000 tokens at 0.60 [least 256] [choices 2]] [free|byok] [prompt 20]
 * [marked] → … */
static void run_hold(struct run *run)
{
    size_t hold = hold_named(run, word(run, 1));
    int64_t key = number_in(run, word(run, 2));
    const struct model_key *model = model_key(&run->world.model, key);
    struct message_hold message = {.caller_version = model == NULL ? 1 : model->caller.version,
                                   .fixed = {dollars(run, word(run, 3))},
                                   .price_ids = {1, {WORLD_PRICE}}};
    if (has(run, "old")) message.caller_version--; /* what the edge knew before the key changed */
    if (is(word(run, 4), "+")) {
        int64_t tokens = 0;
        if (!status_ok(slice_to_i64(word(run, 5), &tokens)))
            complain(run, "not a number", word(run, 5));
        message.output_want = (uint32_t)tokens;
        message.output_price.nano_per_million = dollars(run, after(run, "at"));
        slice least = after(run, "least");
        message.may_shrink = least.len > 0;
        if (least.len > 0 && status_ok(slice_to_i64(least, &tokens)))
            message.output_min = (uint32_t)tokens;
    }
    message.choices = count_after(run, "choices");
    if (has(run, "marked")) message.price_ids.items[0] = WORLD_MARKED;
    message.model_class = has(run, "free") ? MODEL_FREE : MODEL_PAID;
    message.input_tokens = count_after(run, "prompt");
    message.byok = has(run, "byok");
    struct message_held held = world_hold(&run->world, key, &message);
    run->holds.hold[hold] = held.hold;
    say_error(run, held.error);
    if (held.error != ERROR_NONE && held.rate_limit != 0) say_rate(run, &held);
    if (held.error == ERROR_NONE && message.output_want > 0 && has(run, "tokens")) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%u tokens", held.output_max);
        say(run, text);
    }
    if (held.limit_source == LIMIT_NONE) return;
    say_amount(run, held.available.nano);
    say(run, "left");
    if (message.output_want > 0) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%u tokens", held.output_affordable);
        say(run, text);
    }
    if (held.resets_ns == 0) return;
    say(run, "until");
    say_time(run, held.resets_ns);
}

/* burst 21 key1: that many free requests, one after the other, each released at once; how many were
 * admitted, and the last refusal */
static void run_burst(struct run *run)
{
    int64_t count = number_in(run, word(run, 1)), admitted = 0;
    int64_t key = number_in(run, word(run, 2));
    struct message_held refusal = {0};
    for (int64_t i = 0; i < count; i++) {
        struct message_hold message = {.caller_version =
                                           model_key(&run->world.model, key)->caller.version,
                                       .model_class = MODEL_FREE,
                                       .price_ids = {1, {WORLD_PRICE}}};
        struct message_held held = world_hold(&run->world, key, &message);
        if (held.error == ERROR_NONE) {
            admitted++;
            (void)world_release(&run->world, 0, held.hold);
        } else {
            refusal = held;
        }
    }
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)admitted);
    say(run, text);
    if (refusal.error == ERROR_NONE) return;
    say_error(run, refusal.error);
    say_rate(run, &refusal);
}

/* settle h1 0.31 [again] → what the client is told */
static void run_settle(struct run *run)
{
    size_t hold = hold_named(run, word(run, 1));
    uint64_t n = has(run, "again") ? run->holds.n[hold] : 0;
    int64_t told =
        is(word(run, 0), "release")
            ? world_release(&run->world, n, run->holds.hold[hold])
            : world_settle(&run->world, n, run->holds.hold[hold], dollars(run, word(run, 2)));
    if (n == 0) run->holds.n[hold] = run->world.n;
    if (told < 0)
        say(run, "no answer");
    else
        say_amount(run, told);
}

/* serve h1 1234 567 → what the client is told: tokens in and out at $1.10 and $2.20 a million, made
 * from $1 and $2. absorb h1 1234 567: the same for nobody. */
static void run_serve(struct run *run)
{
    uint64_t hold = run->holds.hold[hold_named(run, word(run, 1))];
    int64_t prompt = 0, completion = 0;
    if (!status_ok(slice_to_i64(word(run, 2), &prompt)) ||
        !status_ok(slice_to_i64(word(run, 3), &completion)))
        complain(run, "not a number", word(run, 2));
    const struct usage_vector usage = {
        .units = {
            [BILLING_prompt] = (uint32_t)prompt, [BILLING_completion] = (uint32_t)completion}};
    say_amount(run, is(word(run, 0), "serve") ? world_settle_marked(&run->world, hold, &usage)
                                              : world_absorb_marked(&run->world, hold, &usage));
}

static void run_wait(struct run *run)
{
    world_wait(&run->world, duration_ns(run, word(run, 1)));
}

/* at TIME: time passes between two lines of a story, and deadlines of the meantime with it.
 * clock TIME: no time passes, but PostgreSQL's clock says so. */
static void run_at(struct run *run)
{
    wall_time at = {0};
    if (!status_ok(clock_parse_iso(word(run, 1), &at))) complain(run, "not a time", word(run, 1));
    bool passes = is(word(run, 0), "at");
    if (passes) run->world.now.boot_ns += (uint64_t)(at.ns - run->world.now.wall.ns);
    run->world.now.wall = at;
    world_step(&run->world, &(struct core_event){.type = EVENT_TICK});
}

/* crash: the ledger is killed. crash unsynced: so is the machine, and what was not synced is
 * gone. */
static void run_crash(struct run *run)
{
    world_crash(&run->world, has(run, "unsynced") ? run->world.synced_len : run->world.disk.len);
}

/* edge lost | edge back [h1 h2 …] | edge new: another process */
static void run_edge(struct run *run)
{
    if (is(word(run, 1), "lost")) {
        world_step(&run->world,
                   &(struct core_event){.type = EVENT_LINK_GONE, .link = run->world.link});
        return;
    }
    uint64_t holds[WORDS_MAX];
    size_t count = 0;
    for (size_t i = 2; i < run->count; i++)
        holds[count++] = run->holds.hold[hold_named(run, word(run, i))];
    world_connect(&run->world, holds, count);
}

/* ---- statements: what is checked ------------------------------------------------------------- */

static void run_balance(struct run *run)
{
    settle_down(run);
    int64_t org = number_in(run, word(run, 1));
    const struct book *book = run->world.book;
    int64_t promo = book->figure(&run->world, org, BOOK_PROMO);
    int64_t escrow = book->figure(&run->world, org, BOOK_ESCROW);
    if (is(word(run, 0), "escrow"))
        say_amount(run, escrow);
    else if (is(word(run, 0), "owes"))
        say_amount(run, book->figure(&run->world, org, BOOK_OWED));
    else if (is(word(run, 0), "promo_left"))
        say_amount(run, promo);
    else if (is(word(run, 0), "byok_fees"))
        say_amount(run, book->figure(&run->world, org, BOOK_BYOK_FEES));
    else
        say_amount(run, book->figure(&run->world, org, BOOK_PAID) + promo + escrow);
}

/* payable 2.00: to providers. absorbed 1.00: of it what no customer paid */
static void run_cost(struct run *run)
{
    settle_down(run);
    enum book_cost cost = is(word(run, 0), "payable") ? BOOK_PAYABLE : BOOK_ABSORBED;
    say_amount(run, run->world.book->cost(&run->world, cost));
}

static void run_held(struct run *run)
{
    say_amount(run, core_held(run->world.core, number_in(run, word(run, 1))).nano);
}

/* spent key1|member7 of org1|… [daily|weekly|monthly] [at TIME] AMOUNT: in the period that holds
 * the time, or now */
static void run_spent(struct run *run)
{
    settle_down(run);
    struct model_limit owner = limit_in(run);
    wall_time at = run->world.now.wall;
    slice time = after(run, "at");
    if (time.len > 0 && !status_ok(clock_parse_iso(time, &at))) complain(run, "not a time", time);
    if (owner.owner_kind == OWNER_KEY)
        owner.org = model_key(&run->world.model, owner.owner)->caller.org;
    const struct book *book = run->world.book;
    bool byok = is(word(run, 0), "byok_spent");
    say_amount(run,
               (byok ? book->byok_spent : book->spent)(&run->world, owner.org, model_meter(&owner),
                                                       clock_period(owner.cadence, at)));
}

/* used_requests org1 [at TIME] 3 | used_list_price org1 [at TIME] 1.50: of the month's allowance */
static void run_allowance(struct run *run)
{
    settle_down(run);
    int64_t org = number_in(run, word(run, 1));
    bool requests = is(word(run, 0), "used_requests");
    wall_time at = run->world.now.wall;
    slice time = after(run, "at");
    if (time.len > 0 && !status_ok(clock_parse_iso(time, &at))) complain(run, "not a time", time);
    int64_t used = run->world.book->spent(
        &run->world, org, model_allowance_meter(org, requests ? BYOK_REQUESTS : BYOK_LIST_PRICE),
        clock_period(CADENCE_MONTH, at));
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)used);
    if (requests)
        say(run, text);
    else
        say_amount(run, used);
}

/* free_used org1 3: as the core counts; free_posted: as the books do */
static void run_free_used(struct run *run)
{
    settle_down(run);
    struct world *world = &run->world;
    int64_t org = number_in(run, word(run, 1));
    int64_t used = core_free_requests(world->core, world->now, org);
    if (is(word(run, 0), "free_posted"))
        used = world->book->free_requests(world, org, clock_period(CADENCE_DAY, world->now.wall));
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)used);
    say(run, text);
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* One verb of the tables. A check says its result itself; its last word is what is expected. */
struct statement {
    const char *verb;
    void (*run)(struct run *run);
    bool check;
};
static const struct statement statements[] = {
    {"credit", run_credit, false},
    {"promo", run_credit, false},
    {"key", run_key, false},
    {"limit", run_limit, false},
    {"plan", run_plan, false},
    {"freeze", run_freeze, false},
    {"unfreeze", run_freeze, false},
    {"hold", run_hold, false},
    {"settle", run_settle, false},
    {"release", run_settle, false},
    {"serve", run_serve, false},
    {"absorb", run_serve, false},
    {"wait", run_wait, false},
    {"at", run_at, false},
    {"clock", run_at, false},
    {"crash", run_crash, false},
    {"edge", run_edge, false},
    {"balance", run_balance, true},
    {"escrow", run_balance, true},
    {"owes", run_balance, true},
    {"promo_left", run_balance, true},
    {"byok_fees", run_balance, true},
    {"payable", run_cost, true},
    {"absorbed", run_cost, true},
    {"held", run_held, true},
    {"spent", run_spent, true},
    {"byok_spent", run_spent, true},
    {"used_requests", run_allowance, true},
    {"used_list_price", run_allowance, true},
    {"burst", run_burst, false},
    {"free_used", run_free_used, true},
    {"free_posted", run_free_used, true},
};

static void split(struct run *run, slice line)
{
    run->count = 0;
    slice text = slice_trim(line);
    while (text.len > 0) {
        slice head, rest;
        (void)slice_split(text, ' ', &head, &rest);
        assert_true(run->count < WORDS_MAX);
        run->words[run->count++] = head;
        text = slice_trim(rest);
    }
}

/* "0.40" and "0.4" are one amount. */
static bool same_word(slice a, slice b)
{
    money left, right;
    if (slice_equal(a, b)) return true;
    return status_ok(money_parse_dollars(a, true, &left)) &&
           status_ok(money_parse_dollars(b, true, &right)) && left.nano == right.nano;
}

static void compare(struct run *run, slice expected)
{
    slice actual = slice_of(run->result);
    slice left = slice_trim(expected), right = actual;
    while (left.len > 0 || right.len > 0) {
        slice a, b;
        (void)slice_split(left, ' ', &a, &left);
        (void)slice_split(right, ' ', &b, &right);
        left = slice_trim(left);
        if (same_word(a, b)) continue;
        print_error("%s:%d: expected %.*s, got %s\n", run->file, run->line, (int)expected.len,
                    expected.data, run->result);
        run->failures++;
        return;
    }
}

static const struct statement *find_statement(slice verb)
{
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        if (is(verb, statements[i].verb)) return &statements[i];
    }
    return NULL;
}

void table_run_line(struct run *run, slice line)
{
    static const slice arrow = {"→", sizeof("→") - 1};
    slice comment, command, expected = SLICE_NONE;
    (void)slice_split(line, '#', &line, &comment);
    command = line;
    for (size_t i = 0; i + arrow.len <= line.len; i++) {
        if (!slice_starts_with(slice_from(line, i), arrow)) continue;
        command = slice_first(line, i);
        expected = slice_from(line, i + arrow.len);
        break;
    }
    split(run, command);
    if (run->count == 0) return;
    const struct statement *statement = find_statement(word(run, 0));
    if (statement == NULL) {
        complain(run, "no such verb", word(run, 0));
        return;
    }
    if (statement->check) expected = run->words[--run->count];
    run->result[0] = '\0';
    statement->run(run);
    if (expected.len > 0) compare(run, expected);
}

int tables_run(struct run *run, const char *path)
{
    char line[512];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    run->file = path;
    while (fgets(line, sizeof(line), file) != NULL) {
        run->line++;
        line[strcspn(line, "\n")] = '\0';
        table_run_line(run, slice_of(line));
    }
    (void)fclose(file);
    return run->failures;
}

int tables_run_all(int (*run_one)(const char *path))
{
    glob_t found = {0};
    assert_int_equal(glob(TABLES, 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 7);
    int failures = 0;
    for (size_t i = 0; i < found.gl_pathc; i++)
        failures += run_one(found.gl_pathv[i]);
    globfree(&found);
    return failures;
}
