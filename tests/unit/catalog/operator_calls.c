/* SPDX-License-Identifier: Apache-2.0 */
/* A private PostgreSQL with the market's tables, a refresher that reads it, and handlers called as
 * the control plane calls them. */
#include "tests/unit/catalog/operator_calls.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "services/catalog/api/api.h"
#include "services/catalog/refresh.h"
#include "services/catalog/store.h"

#define PSQL "/usr/lib/postgresql/15/bin/psql"

struct database database;
struct catalog catalog;
struct control_response response;
char checkout[512];
static struct scratch scratch;
static struct refresh *refresh;
static struct db *db;
static struct arena arena;
static struct json_document question;
static struct json_document document;

extern char **environ;

/* ---- a database with the market's tables ----------------------------------------------------- */

void run_psql(const char *option, const char *argument)
{
    char connection[256];
    struct buffer text;
    buffer_init_fixed(&text, connection, sizeof(connection));
    buffer_append(&text, slice_of(database.connection));
    buffer_append(&text, SLICE(" user=tester"));
    buffer_append_char(&text, '\0');
    const char *const arguments[] = {"psql", "-X",     "-q",       "-v", "ON_ERROR_STOP=1",
                                     option, argument, connection, NULL};
    pid_t pid;
    int code = -1;
    assert_int_equal(
        posix_spawn(&pid, PSQL, NULL, NULL, (char *const *)(uintptr_t)arguments, environ), 0);
    assert_int_equal(waitpid(pid, &code, 0), pid);
    assert_int_equal(code, 0);
}

int group_set_up(void **state)
{
    (void)state;
    assert_non_null(getcwd(checkout, sizeof(checkout)));
    assert_ok(secret_init());
    database_create(&database);
    run_psql("-f", "schema/0001_catalog.sql");
    run_psql("-f", "schema/0002_ledger.sql"); /* its plans are changed beside prices below */
    run_psql("-f", "schema/0004_provider_address.sql");
    run_psql("-f", "schema/0006_endpoint_responses.sql");
    run_psql("-f", "schema/0023_policy.sql");
    run_psql("-c", "create role bourse_catalog superuser login");
    return 0;
}

int group_tear_down(void **state)
{
    (void)state;
    database_remove(&database);
    return 0;
}

int set_up(void **state)
{
    (void)state;
    run_psql("-c", "truncate provider, model, price, price_tier, endpoint, provider_key "
                   "restart identity; update market set revision = 0");
    sample_catalog_open(&scratch, &catalog);
    memcpy(catalog.config.database, database.connection, sizeof(database.connection));
    catalog.settings = (struct market_settings){.simulated = true, .sim_port = 9001};
    assert_ok(db_open(database.connection, "tester", &store_statements, &db));
    assert_ok(refresh_start(&catalog, &refresh));
    arena_init(&arena, (size_t)4 << 20);
    json_document_init(&question, 100000);
    json_document_init(&document, 100000);
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    refresh_stop(&refresh);
    db_close(&db);
    buffer_free(&response.body);
    json_document_free(&question);
    json_document_free(&document);
    arena_free(&arena);
    sample_catalog_close(&scratch, &catalog);
    assert_int_equal(chdir(checkout), 0);
    return 0;
}

status call(struct call call)
{
    struct control_request request = {
        .query = slice_of(call.query == NULL ? "" : call.query),
        .arena = &arena,
        .db = db,
        .service = &catalog,
    };
    arena_reset(&arena);
    for (size_t i = 0; i < 3; i++)
        request.params[i] = call.params[i] == NULL ? SLICE_NONE : slice_of(call.params[i]);
    if (call.body != NULL) {
        request.body = sample_text(&arena, call.body);
        assert_ok(json_parse(&question, request.body));
        request.json = json_root(&question);
    }
    buffer_free(&response.body);
    response = (struct control_response){.http_status = 200};
    buffer_init(&response.body, (size_t)1 << 20);
    json_write_init(&response.json, &response.body);
    return call.handler(&request, &response);
}

struct json_value answer(void)
{
    assert_ok(json_parse(&document, buffer_slice(&response.body)));
    return json_root(&document);
}

int64_t number(const char *name)
{
    int64_t value = -1;
    assert_ok(json_read_i64(json_get(answer(), slice_of(name)), &value));
    return value;
}

struct market *present(void)
{
    struct market *market = catalog_market(&catalog);
    assert_non_null(market);
    return market;
}

const struct market_endpoint *endpoint_of(const struct market *market, const char *slug,
                                          const char *tag)
{
    const struct market_model *model = market_find_model(market, slice_of(slug));
    assert_non_null(model);
    const struct market_endpoint *endpoint = market_find_endpoint(model, slice_of(tag));
    assert_non_null(endpoint);
    return endpoint;
}

int64_t prompt_price(const char *slug, const char *tag)
{
    struct market *market = present();
    const struct market_endpoint *endpoint = endpoint_of(market, slug, tag);
    int64_t value = endpoint->price == NULL
                        ? -1
                        : endpoint->price->tiers[0].prices[BILLING_prompt].nano_per_million;
    market_release(&market);
    return value;
}

void load(const char *text)
{
    assert_ok(call((struct call){.handler = api_catalog_load, .body = text}));
}
