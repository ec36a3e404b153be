/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations are run as they lie in schema/, in order, by the superuser, so that what is tested is
 * what is shipped. */
#include "tests/unit/ledger/sql_book.h"

#include <assert.h>
#include <glob.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "services/ledger/posting.h"
#include "services/ledger/store.h"
#include "tests/unit/shared/database.h"
#include "tests/unit/test.h"

#define FILE_MAX  ((size_t)1 << 20)
#define ARENA_MAX ((size_t)64 << 20)
#define BATCH_MAX 64

struct sql_book {
    struct database database;
    PGconn *admin;
    struct db *db;
    struct arena arena;
    struct posting posting;
    bool gathering;
    uint32_t incarnation;
    uint64_t cursor;
    uint8_t link[HASH_SIZE];
    uint64_t hold_floor;
};

/* ---- plain SQL
 * ---------------------------------------------------------------------------------- */

static PGresult *ask(PGconn *pg, const char *sql)
{
    PGresult *result = PQexec(pg, sql);
    ExecStatusType kind = PQresultStatus(result);
    if (kind == PGRES_TUPLES_OK || kind == PGRES_COMMAND_OK) return result;
    print_error("%s\n%s\n", PQerrorMessage(pg), sql);
    abort();
}

void sql_book_run(struct sql_book *sql, const char *statements)
{
    PQclear(ask(sql->admin, statements));
}

int64_t sql_book_number(struct sql_book *sql, const char *query)
{
    PGresult *result = ask(sql->admin, query);
    assert(PQntuples(result) == 1);
    int64_t number = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return number;
}

/* printf-like, with numbers only. */
static void run_with(struct sql_book *sql, const char *format, int64_t a, int64_t b, int64_t c)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), format, (long long)a, (long long)b, (long long)c);
    sql_book_run(sql, text);
}

static char *read_file(const char *path)
{
    char *text = calloc(1, FILE_MAX);
    FILE *file = fopen(path, "r");
    assert(text != NULL && file != NULL);
    size_t len = fread(text, 1, FILE_MAX - 1, file);
    assert(len > 0);
    (void)fclose(file);
    return text;
}

static void run_file(struct sql_book *sql, const char *path)
{
    char *text = read_file(path);
    sql_book_run(sql, text);
    free(text);
}

/* ---- life
 * --------------------------------------------------------------------------------------- */

static void apply_schema(struct sql_book *sql)
{
    glob_t found = {0};
    run_file(sql, "deploy/database.sql");
    assert(glob("schema/[0-9]*.sql", 0, NULL, &found) == 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        run_file(sql, found.gl_pathv[i]);
    globfree(&found);
    run_file(sql, "schema/roles.sql");
}

struct sql_book *sql_book_new(void)
{
    struct sql_book *sql = calloc(1, sizeof(*sql));
    assert(sql != NULL);
    database_create(&sql->database);
    char connection[192];
    (void)snprintf(connection, sizeof(connection), "%s user=tester", sql->database.connection);
    sql->admin = PQconnectdb(connection);
    assert(PQstatus(sql->admin) == CONNECTION_OK);
    PQclear(ask(sql->admin, "set client_min_messages = error"));
    apply_schema(sql);
    arena_init(&sql->arena, ARENA_MAX);
    status opened = db_open(sql->database.connection, "bourse_ledger", &store_statements, &sql->db);
    assert(status_ok(opened));
    sql_book_clear(sql);
    return sql;
}

void sql_book_free(struct sql_book **pointer)
{
    struct sql_book *sql = TAKE(*pointer);
    db_close(&sql->db);
    PQfinish(sql->admin);
    arena_free(&sql->arena);
    database_remove(&sql->database);
    free(sql);
}

/* The world's prices: 1 is a nano-dollar per prompt token and a tenth of a cent per completion
 * token, 2 a list price of $1 and $2 a million, and 3 that with 10 % on top. */
void sql_book_clear(struct sql_book *sql)
{
    sql_book_run(
        sql,
        "truncate org, workspace, api_key, key_place, account, transfer, meter, "
        "meter_period, member, lease, stream, batch, generation, suspense, purchase, cell, "
        "free_requests, key_use, provider, model, price, price_tier, endpoint, promo_code cascade");
    sql_book_run(
        sql, "insert into provider (id, slug, name, dialect, base_url) overriding system value "
             "values (1, 'one', 'One', 'openai', 'http://one.invalid');"
             "insert into model (id, slug, name, created, context_length, input_modalities, "
             "output_modalities, source_date) overriding system value "
             "values (1, 'one/one', 'One', 0, 1000, '{text}', '{text}', '2026-01-01');"
             "insert into price (id, model, provider, source, source_date) overriding system value "
             "values (1, 1, 1, 'operator', '2026-01-01'), (2, 1, 1, 'operator', '2026-01-01');"
             "insert into price (id, model, provider, source, source_date, list, "
             "margin_basis_points) overriding system value "
             "values (3, 1, 1, 'operator', '2026-01-01', 2, 1000);"
             "insert into price_tier values (1, 0, 1000000, 0, 0, 0, 0, 0, 1000000000000, 0, 0, 0, "
             "0, 0), (2, 0, 1000000000, 0, 0, 0, 0, 0, 2000000000, 0, 0, 0, 0, 0), "
             "(3, 0, 1100000000, 0, 0, 0, 0, 0, 2200000000, 0, 0, 0, 0, 0)");
    status begun = store_new_stream(sql->db, 1, &sql->incarnation);
    assert(status_ok(begun));
    sql->gathering = false;
    sql->cursor = 0;
    sql->hold_floor = 1;
    memset(sql->link, 0, sizeof(sql->link));
}

struct db *sql_book_db(struct sql_book *sql)
{
    return sql->db;
}

uint32_t sql_book_incarnation(const struct sql_book *sql)
{
    return sql->incarnation;
}

const char *sql_book_connection(const struct sql_book *sql)
{
    return sql->database.connection;
}

/* ---- what the ledger does
 * ----------------------------------------------------------------------- */

static void answer_caller(struct world *world, const struct key_hash *stored,
                          struct caller_answer *answer)
{
    struct sql_book *sql = world->book_context;
    status done = store_load_caller(sql->db, stored, answer);
    assert(status_ok(done));
    /* Versions come from a sequence; the tables speak of the model's. */
    for (size_t i = 0; i < world->model.key_count; i++) {
        const struct model_key *key = &world->model.keys[i];
        if (key->caller.key == answer->caller.key) answer->caller.version = key->caller.version;
    }
}

static void answer_lease(struct world *world, const struct lease_request *request,
                         struct lease_answer *answer)
{
    struct sql_book *sql = world->book_context;
    struct store_cell cell = {world->settings.cell, world->settings.epoch};
    status done = store_lease(sql->db, &cell, request, answer);
    assert(status_ok(done));
}

static uint64_t begin_epoch(struct world *world)
{
    struct sql_book *sql = world->book_context;
    uint64_t epoch = 0;
    status done = store_begin_cell(sql->db, world->settings.cell, &epoch);
    assert(status_ok(done));
    world->settings.incarnation = sql->incarnation;
    return epoch;
}

static void kept(void *context, const struct lease_held *lease, money granted)
{
    struct world *world = context;
    core_set_granted(world->core, lease, granted);
}

static void move(struct world *world)
{
    struct sql_book *sql = world->book_context;
    struct lease_held held[256];
    struct store_move settings = {.cell = world->settings.cell,
                                  .epoch = world->settings.epoch,
                                  .held = held,
                                  .count = core_list_held(world->core, held, 256),
                                  .kept = kept,
                                  .context = world};
    status done = store_move_leases(sql->db, &settings);
    assert(status_ok(done));
}

static status free_counted(void *context, int64_t org, uint32_t requests)
{
    world_add_free(context, org, requests);
    return OK;
}

static void load_free(struct world *world, int64_t day)
{
    struct sql_book *sql = world->book_context;
    struct store_free_requests load = {.day = day, .counted = free_counted, .context = world};
    status done = store_load_free_requests(sql->db, &load);
    assert(status_ok(done));
}

static int64_t free_requests(struct world *world, int64_t org, int64_t day)
{
    char text[128];
    (void)snprintf(text, sizeof(text),
                   "select coalesce(sum(requests), 0) from free_requests where org = %lld and day "
                   "= %lld",
                   (long long)org, (long long)day);
    return sql_book_number(world->book_context, text);
}

/* ---- posting
 * ------------------------------------------------------------------------------------ */

static void post_gathered(struct sql_book *sql)
{
    if (!sql->gathering || sql->posting.hi == sql->posting.lo) return;
    status done = store_post(sql->db, &sql->posting);
    assert(status_ok(done));
    sql->cursor = sql->posting.hi;
    sql->hold_floor = sql->posting.hold_floor;
    memcpy(sql->link, sql->posting.link, sizeof(sql->link));
    sql->gathering = false;
}

static void post(struct world *world, const struct record *record)
{
    struct sql_book *sql = world->book_context;
    if (!sql->gathering) {
        sql->posting = (struct posting){.cell = 1,
                                        .incarnation = sql->incarnation,
                                        .lo = sql->cursor,
                                        .hi = sql->cursor,
                                        .hold_first = sql->hold_floor,
                                        .hold_floor = sql->hold_floor};
        memcpy(sql->posting.previous_link, sql->link, sizeof(sql->link));
        posting_begin(&sql->posting, &sql->arena, BATCH_MAX);
        sql->gathering = true;
    }
    status done = posting_add(&sql->posting, record);
    assert(status_ok(done));
    if (sql->posting.count == BATCH_MAX) post_gathered(sql);
}

static void posted(struct world *world)
{
    post_gathered(world->book_context);
}

static uint64_t cursor(struct world *world)
{
    const struct sql_book *sql = world->book_context;
    return sql->gathering ? sql->posting.hi : sql->cursor;
}

/* ---- what people do
 * ----------------------------------------------------------------------------- */

static void make_org(struct sql_book *sql, int64_t org)
{
    run_with(sql,
             "insert into org (org, name) values (%lld, 'Org') on conflict do nothing;"
             "insert into workspace (org, id, name, slug) values (%lld, 1, 'Default', 'default') "
             "on conflict do nothing",
             org, org, 0);
}

/* A plan of the organization's own, like the first one but for what is said here. */
static struct plan_terms plan(struct world *world, int64_t org, const struct model_plan *plan)
{
    struct sql_book *sql = world->book_context;
    struct plan_terms terms = plan->terms;
    const char *unit = terms.byok_unit == BYOK_REQUESTS ? "requests" : "list_price";
    char text[1024];
    make_org(sql, org);
    (void)snprintf(
        text, sizeof(text),
        "insert into plan select (jsonb_populate_record(p, jsonb_build_object('id', 100 + %lld, "
        "'name', 'of org %lld'))).* from plan p where id = 1 on conflict do nothing;"
        "update plan set byok_unit = '%s', byok_allowance = %lld, byok_fee_basis_points = %d, "
        "output_default = %u, output_min = %u, version = nextval('caller_version_seq') "
        "where id = 100 + %lld;"
        "update org set plan = 100 + %lld where org = %lld",
        (long long)org, (long long)org, unit, (long long)plan->allowance,
        terms.byok_fee_basis_points, terms.output_default, terms.output_min, (long long)org,
        (long long)org, (long long)org);
    sql_book_run(sql, text);
    (void)snprintf(text, sizeof(text), "select version from plan where id = 100 + %lld",
                   (long long)org);
    terms.plan = (uint16_t)(100 + org);
    terms.version = (uint64_t)sql_book_number(sql, text);
    return terms;
}

/* Bought: whole cents, no fee. A purchase per call. */
static void buy(struct sql_book *sql, int64_t org, int64_t nano)
{
    int64_t number = sql_book_number(sql, "select count(*) from purchase");
    assert(nano % NANO_PER_CENT == 0);
    run_with(sql,
             "insert into purchase (org, id, method, amount_cents, fee_cents, charged_cents, "
             "credited_cents, state, paid_at) select o, 'pur-' || n, 'manual', a, 0, a, a, 'paid', "
             "now() from (values (%lld, %lld, %lld)) v (o, a, n)",
             org, nano / NANO_PER_CENT, number);
    run_with(sql,
             "insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference) "
             "values (%lld, 101, 1, 1, %lld, 'purchase', 'pur-%lld')",
             org, nano, number);
}

static void credit(struct world *world, int64_t org, int64_t nano, bool promo)
{
    struct sql_book *sql = world->book_context;
    int64_t kind = promo ? 2 : 1;
    make_org(sql, org);
    run_with(sql,
             "insert into account (org, kind, cell, debits) values (0, %lld, 1, %lld) on conflict "
             "(org, kind, cell, detail) do update set debits = account.debits + excluded.debits",
             promo ? 131 : 101, nano, 0);
    run_with(sql,
             "insert into account (org, kind, credits) values (%lld, %lld, %lld) on conflict "
             "(org, kind, cell, detail) do update set credits = account.credits + excluded.credits",
             org, kind, nano);
    if (promo)
        run_with(sql,
                 "insert into transfer (org, debit_kind, credit_kind, cell, amount, code, "
                 "reference) values (%lld, 131, 2, 1, %lld, 'promo', 'grant %lld')",
                 org, nano, 0);
    else
        buy(sql, org, nano);
}

static void freeze(struct world *world, int64_t org, bool frozen)
{
    run_with(world->book_context, "update org set frozen = %lld > 0 where org = %lld",
             frozen ? 1 : 0, org, 0);
}

/* A new key with its meters, or the change of one, as the control plane makes them. */
static void key(struct world *world, const struct model_key *model)
{
    struct sql_book *sql = world->book_context;
    char text[2048], hash[2 * sizeof(model->stored.bytes) + 1], limit[32] = "null";
    struct buffer hex;
    long long org = model->caller.org, id = model->caller.key;
    const char *with_byok = model->include_byok ? "true" : "false";
    buffer_init_fixed(&hex, hash, sizeof(hash) - 1);
    buffer_append_hex(&hex, model->stored.bytes, sizeof(model->stored.bytes));
    hash[hex.len] = '\0';
    if (model->has_limit) (void)snprintf(limit, sizeof(limit), "%lld", (long long)model->limit);
    make_org(sql, org);
    if (model->caller.member != 0)
        run_with(sql,
                 "insert into member (org, id, name) values (%lld, %lld, 'm') on conflict do "
                 "nothing",
                 org, model->caller.member, 0);
    (void)snprintf(
        text, sizeof(text),
        "insert into api_key (org, id, hash, label, name, kind) values (%lld, %lld, '\\x%s', 'l', "
        "'n', 1) on conflict do nothing;"
        "insert into key_place values ('\\x%s', %lld, %lld) on conflict do nothing;"
        "insert into meter (org, id, owner_kind, owner, cadence) select %lld, 4 * %lld + c, 1, "
        "%lld, c from generate_series(0, 3) c on conflict do nothing;",
        org, id, hash, hash, org, id, org, id, id);
    sql_book_run(sql, text);
    (void)snprintf(
        text, sizeof(text),
        "update api_key set limit_nano = %s, limit_cadence = %d, disabled = %s, "
        "include_byok_in_limit = %s, version = nextval('caller_version_seq'), member = "
        "nullif(%lld, 0), workspace = %lld where org = %lld and id = %lld;"
        "update meter set limit_nano = case when cadence = %d then %s::bigint end, include_byok = "
        "%s where org = %lld and owner = %lld;"
        "update meter_period p set limit_nano = m.limit_nano, include_byok = m.include_byok, over "
        "= case when m.limit_nano is null then over else greatest(0, spent + case when "
        "m.include_byok then byok_spent else 0 end + leased - m.limit_nano) end from meter m where "
        "m.org = p.org and m.id = p.meter and m.org = %lld and m.owner = %lld",
        limit, (int)model->cadence, model->disabled ? "true" : "false", with_byok,
        (long long)model->caller.member, (long long)model->caller.workspace, org, id,
        (int)model->cadence, limit, with_byok, org, id, org, id);
    sql_book_run(sql, text);
    (void)snprintf(text, sizeof(text),
                   "update api_key set requests_per_minute = nullif(%u, 0), tokens_per_minute = "
                   "nullif(%u, 0), concurrent_requests = nullif(%u, 0) where org = %lld and id = "
                   "%lld",
                   model->rates.requests, model->rates.tokens, model->rates.concurrent, org, id);
    sql_book_run(sql, text);
}

/* A first limit begins with what the owner's keys have spent; the change of one looks at what is
 * beyond it. */
static void limit(struct world *world, const struct model_limit *limit)
{
    static const char *const keys_of[] = {[OWNER_KEY] = "id",
                                          [OWNER_MEMBER] = "member",
                                          [OWNER_WORKSPACE] = "workspace",
                                          [OWNER_ORG] = "org"};
    char text[2048], amount[32] = "null";
    long long org = limit->org, owner = limit->owner, meter = model_meter(limit);
    int cadence = (int)limit->cadence, period = clock_period(limit->cadence, world->now.wall);
    if (limit->limited) (void)snprintf(amount, sizeof(amount), "%lld", (long long)limit->limit);
    (void)snprintf(
        text, sizeof(text),
        "begin; select posting_pause();"
        "insert into meter (org, id, owner_kind, owner, cadence, since) values (%lld, %lld, %d, "
        "%lld, %d, %d) on conflict do nothing;"
        "insert into meter_period (org, meter, period, spent, requests, byok_spent) select %lld, "
        "%lld, %d, coalesce(sum(p.spent), 0), coalesce(sum(p.requests), 0), "
        "coalesce(sum(p.byok_spent), 0) from api_key k join meter_period "
        "p on p.org = k.org and p.meter = 4 * k.id + %d and p.period = %d where k.org = %lld and "
        "k.%s = %lld on conflict do nothing;"
        "update meter set limit_nano = %s, include_byok = %s, version = "
        "nextval('caller_version_seq') where org = %lld and id = %lld;"
        "update meter_period p set limit_nano = m.limit_nano, include_byok = m.include_byok, over "
        "= coalesce(greatest(0, spent + case when m.include_byok then byok_spent else 0 end + "
        "leased - m.limit_nano), 0) from meter m where m.org = p.org and m.id = p.meter and "
        "p.org = %lld and p.meter = %lld and p.period = %d; commit",
        org, meter, (int)limit->owner_kind, owner, cadence, period, org, meter, period, cadence,
        period, org, keys_of[limit->owner_kind], owner, amount,
        limit->include_byok ? "true" : "false", org, meter, org, meter, period);
    sql_book_run(world->book_context, text);
}

/* ---- what is looked at
 * -------------------------------------------------------------------------- */

static int64_t figure(struct world *world, int64_t org, enum book_figure figure)
{
    static const char *const sums[] = {
        [BOOK_PAID] = "credits - debits) from account where kind = 1",
        [BOOK_PROMO] = "credits - debits) from account where kind = 2",
        [BOOK_ESCROW] = "credits - debits) from account where kind = 3",
        [BOOK_OWED] = "debits - credits) from account where kind = 4",
        [BOOK_BYOK_FEES] = "amount) from transfer where code = 'byok_fee' and credit_kind = 113",
    };
    char text[160];
    (void)snprintf(text, sizeof(text), "select sum(%s and org = %lld", sums[figure],
                   (long long)org);
    return sql_book_number(world->book_context, text);
}

static int64_t cost(struct world *world, enum book_cost cost)
{
    return sql_book_number(world->book_context,
                           cost == BOOK_PAYABLE
                               ? "select sum(credits - debits) from account where kind = 122"
                               : "select sum(debits - credits) from account where kind = 133");
}

static int64_t in_period(struct world *world, const char *column, struct lease_held place)
{
    char text[200];
    (void)snprintf(text, sizeof(text),
                   "select sum(%s) from meter_period where org = %lld and meter = %lld and period "
                   "= %d",
                   column, (long long)place.org, (long long)place.meter, place.period);
    return sql_book_number(world->book_context, text);
}

static int64_t spent(struct world *world, int64_t org, int64_t meter, int64_t period)
{
    return in_period(world, "spent", (struct lease_held){org, meter, (int32_t)period, MONEY_ZERO});
}

static int64_t byok_spent(struct world *world, int64_t org, int64_t meter, int64_t period)
{
    return in_period(world, "byok_spent",
                     (struct lease_held){org, meter, (int32_t)period, MONEY_ZERO});
}

int sql_book_audit(struct sql_book *sql, const char *expected)
{
    char *text = read_file("schema/audit.sql");
    int violations = 0;
    assert(PQsendQuery(sql->admin, text) == 1);
    for (PGresult *rows; (rows = PQgetResult(sql->admin)) != NULL; PQclear(rows)) {
        if (PQresultStatus(rows) == PGRES_FATAL_ERROR) {
            print_error("%s", PQresultErrorMessage(rows));
            violations++;
        }
        for (int i = 0; i < PQntuples(rows); i++) {
            if (strstr(expected, PQgetvalue(rows, i, 0)) != NULL) continue;
            print_error("%s: %s\n", PQgetvalue(rows, i, 0), PQgetvalue(rows, i, 1));
            violations++;
        }
    }
    free(text);
    return violations;
}

const struct book sql_book = {
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
