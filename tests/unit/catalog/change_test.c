/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the market through the operator's routes: loading, importing, prices, providers. */
#include <stdio.h>
#include <unistd.h>

#include "services/catalog/api/api.h"
#include "tests/unit/catalog/operator_calls.h"

static int64_t count_rows(const char *statement_table)
{
    struct market *market = present();
    int64_t count =
        strcmp(statement_table, "models") == 0 ? market->model_count : market->endpoint_count;
    market_release(&market);
    return count;
}

TEST(a_loaded_file_is_the_market)
{
    load(CATALOG("0.000002"));
    assert_int_equal(number("providers"), 2);
    assert_int_equal(number("models"), 1);
    assert_int_equal(number("endpoints"), 2);
    assert_int_equal(number("prices_new"), 2);
    assert_int_equal(number("prices_unchanged"), 0);
    assert_int_equal(number("revision"), 1);
    struct market *market = present();
    assert_int_equal(market->revision, 1);
    assert_int_equal(market->models_for_sale, 1);
    const struct market_endpoint *endpoint = endpoint_of(market, "openai/gpt-x", "openai");
    assert_slice(endpoint->upstream_model, "gpt-x-1");
    assert_slice(endpoint->price_source, "catalog");
    assert_int_equal(endpoint->output_max, 100);
    assert_int_equal(endpoint->price->tiers[0].prices[BILLING_cache_write].nano_per_million,
                     2 * DOLLAR);
    market_release(&market);
}

TEST(loading_the_same_file_again_changes_nothing)
{
    load(CATALOG("0.000002"));
    load(CATALOG("0.000002"));
    assert_int_equal(number("prices_new"), 0);
    assert_int_equal(number("prices_unchanged"), 2);
    assert_int_equal(number("models_new"), 0);
    assert_int_equal(number("revision"), 1);
}

TEST(a_changed_price_is_a_new_row_and_the_old_one_stays)
{
    load(CATALOG("0.000002"));
    struct market *before = present();
    uint32_t old_id = endpoint_of(before, "openai/gpt-x", "openai")->price->id;
    market_release(&before);
    load(CATALOG("0.0000025"));
    assert_int_equal(number("prices_new"), 1);
    assert_int_equal(number("prices_unchanged"), 1);
    assert_int_equal(number("revision"), 2);
    assert_int_equal(prompt_price("openai/gpt-x", "openai"), 2 * DOLLAR + DOLLAR / 2);
    before = present();
    assert_true(endpoint_of(before, "openai/gpt-x", "openai")->price->id > old_id);
    market_release(&before);
    run_psql("-c",
             "do $$ begin assert (select array_agg(prompt order by price) from price_tier join "
             "price on id = price where model = 1 and provider = 1) = "
             "'{2000000000,2500000000}'; end $$");
}

TEST(a_dry_run_reports_and_changes_nothing)
{
    assert_ok(call((struct call){
        .handler = api_catalog_load, .body = CATALOG("0.000002"), .query = "dry_run=true"}));
    assert_int_equal(number("prices_new"), 2);
    assert_int_equal(number("revision"), 0);
    load(CATALOG("0.000002"));
    assert_int_equal(number("prices_new"), 2); /* they were not there */
    assert_int_equal(number("revision"), 1);
}

TEST(a_price_in_a_wrong_unit_makes_an_endpoint_that_is_never_served)
{
    load(CATALOG("2"));
    assert_int_equal(number("dropped_total"), 1);
    assert_int_equal(number("prices_new"), 1);
    assert_int_equal(prompt_price("openai/gpt-x", "openai"), -1);
}

TEST(a_bad_file_changes_nothing_and_says_why)
{
    assert_fails(call((struct call){.handler = api_catalog_load, .body = CATALOG("1e-7000")}),
                 OUT_OF_RANGE);
    assert_slice(response.message,
                 "model openai/gpt-x: prices: prompt: must be a decimal with at most 15 digits "
                 "behind the point");
    assert_fails(call((struct call){.handler = api_catalog_load, .body = "{}"}), BAD_REQUEST);
    run_psql("-c", "do $$ begin assert (select count(*) from provider) = 0; end $$");
}

/* ---- price maps ------------------------------------------------------------------------------ */

#define MAP(id, prompt)                                                             \
    "{'" id "':{'litellm_provider':'openai','mode':'chat','max_input_tokens':5000," \
    "'input_cost_per_token':" prompt ",'output_cost_per_token':1e-05}}"

static void import(const char *text)
{
    assert_ok(call((struct call){
        .handler = api_catalog_import, .body = text, .query = "source_date=2026-08-01"}));
}

TEST(a_map_changes_the_price_of_a_known_endpoint_and_nothing_else_of_it)
{
    load(CATALOG("0.000002"));
    import(MAP("gpt-x-1", "4e-06"));
    assert_int_equal(number("prices_new"), 1);
    assert_int_equal(number("models_new"), 0);
    assert_int_equal(prompt_price("openai/gpt-x", "openai"), 4 * DOLLAR);
    struct market *market = present();
    const struct market_endpoint *endpoint = endpoint_of(market, "openai/gpt-x", "openai");
    assert_slice(endpoint->price_source, "price-map");
    assert_int_equal(endpoint->context_length, 1000);
    market_release(&market);
    import(MAP("gpt-x-1", "4e-06"));
    assert_int_equal(number("prices_unchanged"), 1);
    assert_int_equal(number("revision"), 2);
}

TEST(a_map_adds_models_of_known_providers)
{
    load(CATALOG("0.000002"));
    import(MAP("gpt-new", "4e-06"));
    assert_int_equal(number("models_new"), 1);
    assert_int_equal(prompt_price("openai/gpt-new", "openai"), 4 * DOLLAR);
    assert_int_equal(count_rows("models"), 2);
}

TEST(a_map_adds_nothing_for_providers_that_the_market_lacks)
{
    load(CATALOG("0.000002"));
    import("{'groq/x':{'litellm_provider':'groq','mode':'chat','max_input_tokens':9,"
           "'input_cost_per_token':1e-06,'output_cost_per_token':1e-06}}");
    assert_int_equal(number("skipped"), 1);
    assert_int_equal(count_rows("models"), 1);
    assert_int_equal(number("revision"), 1);
}

TEST(an_unknown_price_makes_an_endpoint_that_is_never_served)
{
    load(CATALOG("0.000002"));
    import(MAP("gpt-new", "0"));
    assert_int_equal(number("models_new"), 1);
    assert_int_equal(prompt_price("openai/gpt-new", "openai"), -1);
}

TEST(a_map_without_a_price_leaves_a_known_price_alone)
{
    load(CATALOG("0.000002"));
    import(MAP("gpt-x-1", "0.4")); /* a wrong unit */
    assert_int_equal(number("prices_kept"), 1);
    assert_int_equal(prompt_price("openai/gpt-x", "openai"), 2 * DOLLAR);
}

TEST(two_entries_of_one_new_model_make_one_endpoint)
{
    load(CATALOG("0.000002"));
    import("{'GPT-New':{'litellm_provider':'openai','mode':'chat','max_input_tokens':9,"
           "'input_cost_per_token':1e-06,'output_cost_per_token':1e-06},"
           "'gpt-new':{'litellm_provider':'openai','mode':'chat','max_input_tokens':9,"
           "'input_cost_per_token':2e-06,'output_cost_per_token':2e-06}}");
    assert_int_equal(number("models_new"), 1);
    assert_int_equal(number("endpoints_new"), 1);
    assert_int_equal(number("dropped_total"), 1);
    assert_int_equal(prompt_price("openai/gpt-new", "openai"), DOLLAR);
}

TEST(a_catalog_file_is_no_price_map_nor_the_other_way_round)
{
    assert_fails(call((struct call){.handler = api_catalog_import, .body = CATALOG("0.000002")}),
                 BAD_REQUEST);
    assert_fails(call((struct call){.handler = api_catalog_load, .body = MAP("a", "1e-6")}),
                 BAD_REQUEST);
    assert_fails(call((struct call){.handler = api_catalog_import,
                                    .body = MAP("a", "1e-6"),
                                    .query = "source_date=soon"}),
                 BAD_REQUEST);
}

/* ---- the operator's prices ------------------------------------------------------------------- */

static status set_price(const char *body)
{
    return call((struct call){
        .handler = api_operator_price_set, .body = body, .params = {"openai", "gpt-x", "openai"}});
}

TEST(an_operators_price_stands_until_he_takes_it_back)
{
    load(CATALOG("0.000002"));
    assert_ok(set_price("{'prices':{'prompt':'0.000007','completion':'0.00002'}}"));
    assert_int_equal(prompt_price("openai/gpt-x", "openai"), 7 * DOLLAR);
    load(CATALOG("0.0000025"));
    assert_int_equal(number("prices_kept"), 1);
    assert_int_equal(prompt_price("openai/gpt-x", "openai"), 7 * DOLLAR);
    assert_ok(call((struct call){.handler = api_operator_price_reset,
                                 .params = {"openai", "gpt-x", "openai"}}));
    assert_int_equal(prompt_price("openai/gpt-x", "openai"), 2 * DOLLAR);
    assert_fails(call((struct call){.handler = api_operator_price_reset,
                                    .params = {"openai", "gpt-x", "openai"}}),
                 CONFLICT);
}

TEST(an_operators_price_is_exact_or_refused)
{
    load(CATALOG("0.000002"));
    assert_fails(set_price("{'prices':{'prompt':'0.0000000000000001','completion':'1'}}"),
                 OUT_OF_RANGE);
    assert_fails(set_price("{'prices':{'prompt':0.1,'completion':'0.1'}}"), WRONG_TYPE);
    assert_fails(set_price("{'prices':{'prompt':'0.1'}}"), MISSING_FIELD);
    assert_fails(set_price("{}"), MISSING_FIELD);
    assert_fails(set_price("{'prices':{'prompt':'3','completion':'15'}}"), OUT_OF_RANGE);
    assert_fails(call((struct call){.handler = api_operator_price_set,
                                    .body = "{'prices':{'prompt':'0.1','completion':'0.1'}}",
                                    .params = {"openai", "gpt-x", "nobody"}}),
                 OUT_OF_RANGE); /* $100,000 per million is refused before the tag is looked up */
    assert_int_equal(prompt_price("openai/gpt-x", "openai"), 2 * DOLLAR);
}

/* ---- providers and endpoints ----------------------------------------------------------------- */

static status go_live(const char *provider, const char *body)
{
    return call(
        (struct call){.handler = api_operator_provider_live, .body = body, .params = {provider}});
}

static uint32_t opened_key(const char *provider, char text[64])
{
    struct market *market = present();
    struct secret key;
    uint32_t version;
    const struct market_provider *row = market_find_provider(market, slice_of(provider));
    assert_ok(catalog_open_key(&catalog, market, row->id, &key, &version));
    assert_ok(slice_to_c_string(secret_slice(&key), text, 64));
    secret_free(&key);
    market_release(&market);
    return version;
}

TEST(a_provider_goes_live_with_a_sealed_key_and_back)
{
    char key[64];
    load(CATALOG("0.000002"));
    assert_int_equal(opened_key("openai", key), 1);
    assert_string_equal(key, "sim-openai");
    assert_ok(go_live("openai", "{'key':'sk-real-1','base_url':'https://proxy.example/v1'}"));
    assert_null(memmem(response.body.data, response.body.len, "sk-real-1", 9));
    assert_int_equal(opened_key("openai", key), 2);
    assert_string_equal(key, "sk-real-1");
    struct market *market = present();
    const struct market_provider *provider = market_find_provider(market, SLICE("openai"));
    assert_true(provider->live);
    assert_false(provider->simulated);
    assert_slice(market_base_url(provider), "https://proxy.example/v1");
    assert_null(memmem(provider->key_sealed.data, provider->key_sealed.len, "sk-real", 7));
    market_release(&market);
    assert_ok(go_live("openai", "{'key':'sk-real-2'}"));
    assert_int_equal(opened_key("openai", key), 3);
    assert_string_equal(key, "sk-real-2");
    assert_ok(
        call((struct call){.handler = api_operator_provider_simulated, .params = {"openai"}}));
    assert_int_equal(opened_key("openai", key), 1);
    assert_ok(go_live("openai", "{}")); /* the sealed key is still there */
    assert_int_equal(opened_key("openai", key), 3);
}

/* Where openai is called, and what the catalog's address and the operator's own are. */
static void assert_addresses(const char *called, const char *of_catalog, const char *own)
{
    struct market *market = present();
    const struct market_provider *provider = market_find_provider(market, SLICE("openai"));
    assert_slice(market_base_url(provider), called);
    assert_slice(provider->base_url, of_catalog);
    assert_slice(provider->base_url_override, own);
    market_release(&market);
}

#define REAL_URL  "https://openai.example/v1"
#define PROXY_URL "https://proxy.example/v1"
#define PROXY     "'base_url':'" PROXY_URL "'"

TEST(an_address_of_the_operators_own_lasts_until_the_next_word_about_live)
{
    load(CATALOG("0.000002"));
    assert_ok(go_live("openai", "{'key':'sk-real'," PROXY "}"));
    assert_addresses(PROXY_URL, REAL_URL, PROXY_URL);
    struct json_value data = json_get(answer(), SLICE("data"));
    assert_slice(json_raw(json_get(data, SLICE("base_url"))), "\"" PROXY_URL "\"");
    assert_slice(json_raw(json_get(data, SLICE("base_url_override"))), "\"" PROXY_URL "\"");
    assert_ok(go_live("openai", "{'key':'sk-real-2'}")); /* a plain live is the real provider */
    assert_addresses(REAL_URL, REAL_URL, "");
    data = json_get(answer(), SLICE("data"));
    assert_slice(json_raw(json_get(data, SLICE("base_url"))), "\"" REAL_URL "\"");
    assert_slice(json_raw(json_get(data, SLICE("base_url_override"))), "null");
    assert_ok(go_live("openai", "{" PROXY "}"));
    assert_ok(
        call((struct call){.handler = api_operator_provider_simulated, .params = {"openai"}}));
    assert_addresses(REAL_URL, REAL_URL, "");
}

TEST(loading_changes_the_catalogs_address_and_not_the_operators_own)
{
    static const char moved[] =
        "{'id':'openai','name':'openai','dialect':'openai','base_url':'https://moved.example/v1'}";
    load(CATALOG("0.000002"));
    assert_ok(go_live("openai", "{'key':'sk-real'," PROXY "}"));
    load(CATALOG("0.000002"));
    assert_int_equal(number("prices_unchanged"), 2);
    assert_addresses(PROXY_URL, REAL_URL, PROXY_URL);
    assert_ok(call((struct call){.handler = api_operator_provider_put, .body = moved}));
    assert_addresses(PROXY_URL, "https://moved.example/v1", PROXY_URL);
    assert_ok(go_live("openai", "{}"));
    assert_addresses("https://moved.example/v1", "https://moved.example/v1", "");
    load(CATALOG("0.000002"));
    assert_addresses(REAL_URL, REAL_URL, "");
}

/* The database as it was left by the migrations before: one column for both addresses. */
TEST(a_live_provider_is_called_at_the_same_address_after_the_migration)
{
    load(CATALOG("0.000002"));
    assert_ok(go_live("openai", "{'key':'sk-real'," PROXY "}"));
    run_psql("-c", "update provider set base_url = base_url_override where slug = 'openai';"
                   "alter table provider drop column base_url_override");
    assert_int_equal(chdir(checkout), 0);
    run_psql("-f", "schema/0004_provider_address.sql");
    load(CATALOG("0.000002"));
    assert_addresses(PROXY_URL, REAL_URL, PROXY_URL);
    struct market *market = present();
    assert_slice(market_find_provider(market, SLICE("anthropic"))->base_url_override, "");
    market_release(&market);
}

TEST(a_provider_that_cannot_be_live_says_why)
{
    load(CATALOG("0.000002"));
    assert_fails(go_live("anthropic", "{'key':'sk-ant'}"), CONFLICT);
    assert_true(memmem(response.message.data, response.message.len, "openai", 6) != NULL);
    assert_fails(go_live("openai", "{}"), MISSING_FIELD);
    assert_fails(go_live("nobody", "{'key':'x'}"), NOT_FOUND);
    assert_fails(go_live("openai", "{'key':'two\\r\\nlines'}"), WRONG_TYPE);
    assert_fails(go_live("openai", "{'key':''}"), WRONG_TYPE);
    assert_fails(go_live("openai", "{'key':7}"), WRONG_TYPE);
    static const char *const urls[] = {"ftp://x",     "unix:x:/",      "http://",    "http://[::1",
                                       "http://a:b/", "http://u@a/",   "http://a?q", "http://a/#f",
                                       "http://a/?q", "http://a:70000"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        char body[64];
        snprintf(body, sizeof(body), "{'key':'x','base_url':'%s'}", urls[i]);
        assert_fails(go_live("openai", body), BAD_REQUEST);
    }
}

/* Whether openai's endpoint of the one model is served, and what the operator reads if not. */
static bool is_offered(const char *reason)
{
    struct market *market = present();
    const struct market_endpoint *endpoint = endpoint_of(market, "openai/gpt-x", "openai");
    bool served = market_is_served(endpoint);
    assert_slice(market_reason_not_served(endpoint), reason);
    market_release(&market);
    return served;
}

TEST(an_endpoint_on_responses_only_is_simulated_and_not_offered_live)
{
    static const char only[] =
        "{'format':'bourse-catalog-1','date':'2026-07-24','providers':[" PROVIDERS "],'models':[" //
        MODEL("{'provider':'openai','upstream_model':'gpt-x-1','context_length':1000,"
              "'max_output':100,'quantization':'unknown','responses_only':true,"
              "'prices':{'prompt':'0.000002','completion':'0.00001'}}") "]}";
    load(CATALOG("0.000002"));
    assert_ok(go_live("openai", "{'key':'sk-real'}"));
    assert_true(is_offered(""));
    assert_false(json_exists(json_get(answer(), SLICE("note"))));
    load(only); /* of a known endpoint, too, the fact is taken over */
    assert_false(is_offered("its provider answers it on /responses only, which is not spoken yet"));
    assert_ok(go_live("openai", "{}"));
    assert_slice(
        json_raw(json_get(answer(), SLICE("note"))),
        "\"1 of its endpoints answer on /responses only, which is not spoken yet: they are "
        "not offered while it is live\"");
    struct json_value data = json_get(answer(), SLICE("data"));
    assert_slice(json_raw(json_get(data, SLICE("responses_only"))), "1");
    assert_ok(
        call((struct call){.handler = api_operator_provider_simulated, .params = {"openai"}}));
    assert_true(is_offered(""));
    assert_false(json_exists(json_get(answer(), SLICE("note"))));
}

TEST(the_operator_sees_every_endpoint_with_its_number)
{
    load(CATALOG("2")); /* a wrong unit: without a price */
    assert_ok(
        call((struct call){.handler = api_operator_endpoints, .params = {"openai", "gpt-x"}}));
    struct json_iterator i = json_iterate(json_get(answer(), SLICE("data")));
    assert_int_equal(json_count(i.container), 2);
    assert_true(json_next(&i));
    assert_slice(json_raw(json_get(i.value, SLICE("id"))), "1");
    assert_slice(json_raw(json_get(i.value, SLICE("served"))), "false");
    assert_slice(json_raw(json_get(i.value, SLICE("reason_not_served"))), "\"it has no price\"");
    assert_slice(json_raw(json_get(i.value, SLICE("pricing"))), "null");
    assert_slice(json_raw(json_get(i.value, SLICE("price_source"))), "null");
    assert_slice(json_raw(json_get(i.value, SLICE("health"))), "\"stable\"");
    assert_true(json_next(&i));
    assert_slice(json_raw(json_get(i.value, SLICE("served"))), "true");
    assert_slice(json_raw(json_get(i.value, SLICE("reason_not_served"))), "null");
    assert_fails(call((struct call){.handler = api_operator_endpoints, .params = {"a", "b"}}),
                 NOT_FOUND);
}

TEST(an_endpoint_is_switched_off_and_on)
{
    load(CATALOG("0.000002"));
    struct call off = {
        .handler = api_operator_endpoint_change, .body = "{'disabled':true}", .params = {"1"}};
    assert_ok(call(off));
    assert_int_equal(number("revision"), 2);
    struct market *market = present();
    assert_true(endpoint_of(market, "openai/gpt-x", "openai")->disabled);
    assert_slice(market->models[0].cheapest->tag, "anthropic");
    market_release(&market);
    assert_ok(call(off));
    assert_int_equal(number("revision"), 2); /* it was off already */
    off.params[0] = "99";
    assert_fails(call(off), NOT_FOUND);
    off.params[0] = "x";
    assert_fails(call(off), NOT_FOUND);
    off.params[0] = "1";
    off.body = "{'disabled':'yes'}";
    assert_fails(call(off), WRONG_TYPE);
}

TEST(a_provider_of_the_operators_own_is_added)
{
    struct call put = {.handler = api_operator_provider_put, .body = PROVIDER("mine", "openai")};
    assert_ok(call(put));
    struct market *market = present();
    assert_slice(market_find_provider(market, SLICE("mine"))->base_url, "https://mine.example/v1");
    market_release(&market);
    put.body = "{'id':'mine'}";
    assert_fails(call(put), WRONG_TYPE);
}

TEST(without_the_database_the_last_market_stays)
{
    load(CATALOG("0.000002"));
    database_stop(&database);
    assert_fails(call((struct call){.handler = api_catalog_load, .body = CATALOG("0.000003")}),
                 DATABASE);
    assert_int_equal(prompt_price("openai/gpt-x", "openai"), 2 * DOLLAR);
    database_start(&database);
    /* Reconnecting is paced, so the first attempts may come too early. */
    status loaded = FAIL(DATABASE);
    for (uint64_t until_ms = clock_monotonic_ms() + 5000;
         !status_ok(loaded) && clock_monotonic_ms() < until_ms;) {
        loaded = call((struct call){.handler = api_catalog_load, .body = CATALOG("0.000003")});
    }
    assert_ok(loaded);
    assert_int_equal(prompt_price("openai/gpt-x", "openai"), 3 * DOLLAR);
}

#define CHANGE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHANGE_TEST(a_loaded_file_is_the_market),
        CHANGE_TEST(loading_the_same_file_again_changes_nothing),
        CHANGE_TEST(a_changed_price_is_a_new_row_and_the_old_one_stays),
        CHANGE_TEST(a_dry_run_reports_and_changes_nothing),
        CHANGE_TEST(a_price_in_a_wrong_unit_makes_an_endpoint_that_is_never_served),
        CHANGE_TEST(a_bad_file_changes_nothing_and_says_why),
        CHANGE_TEST(a_map_changes_the_price_of_a_known_endpoint_and_nothing_else_of_it),
        CHANGE_TEST(a_map_adds_models_of_known_providers),
        CHANGE_TEST(a_map_adds_nothing_for_providers_that_the_market_lacks),
        CHANGE_TEST(an_unknown_price_makes_an_endpoint_that_is_never_served),
        CHANGE_TEST(a_map_without_a_price_leaves_a_known_price_alone),
        CHANGE_TEST(two_entries_of_one_new_model_make_one_endpoint),
        CHANGE_TEST(a_catalog_file_is_no_price_map_nor_the_other_way_round),
        CHANGE_TEST(an_operators_price_stands_until_he_takes_it_back),
        CHANGE_TEST(an_operators_price_is_exact_or_refused),
        CHANGE_TEST(a_provider_goes_live_with_a_sealed_key_and_back),
        CHANGE_TEST(an_address_of_the_operators_own_lasts_until_the_next_word_about_live),
        CHANGE_TEST(loading_changes_the_catalogs_address_and_not_the_operators_own),
        CHANGE_TEST(a_live_provider_is_called_at_the_same_address_after_the_migration),
        CHANGE_TEST(a_provider_that_cannot_be_live_says_why),
        CHANGE_TEST(an_endpoint_on_responses_only_is_simulated_and_not_offered_live),
        CHANGE_TEST(the_operator_sees_every_endpoint_with_its_number),
        CHANGE_TEST(an_endpoint_is_switched_off_and_on),
        CHANGE_TEST(a_provider_of_the_operators_own_is_added),
        CHANGE_TEST(without_the_database_the_last_market_stays),
    };
    return cmocka_run_group_tests_name("change", tests, group_set_up, group_tear_down);
}
