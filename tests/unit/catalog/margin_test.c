/* SPDX-License-Identifier: Apache-2.0 */
/* Margins: what customers pay is made from the list price once, as a price of its own, and
 * whatever brings another list price keeps the margin. $2.00 a million and 10 % is $2.20. */
#include "services/catalog/api/api.h"
#include "tests/unit/catalog/operator_calls.h"

#define MODEL_SLUG "openai/gpt-x"

struct seen {
    uint32_t price, list; /* ids */
    int64_t prompt, list_prompt, completion;
    uint32_t margin;
    uint32_t endpoint;
};

static struct seen seen_at(const char *tag)
{
    struct market *market = present();
    const struct market_endpoint *endpoint = endpoint_of(market, MODEL_SLUG, tag);
    struct seen seen = {.margin = endpoint->margin_basis_points, .endpoint = endpoint->id};
    if (endpoint->price != NULL) {
        const price *prices = endpoint->price->tiers[0].prices;
        seen.price = endpoint->price->id;
        seen.list = endpoint->list->id;
        seen.prompt = prices[BILLING_prompt].nano_per_million;
        seen.completion = prices[BILLING_completion].nano_per_million;
        seen.list_prompt = endpoint->list->tiers[0].prices[BILLING_prompt].nano_per_million;
    }
    market_release(&market);
    return seen;
}

static status set_margin(uint32_t endpoint, const char *body)
{
    char id[16];
    struct buffer text;
    buffer_init_fixed(&text, id, sizeof(id));
    buffer_append_u64(&text, endpoint);
    buffer_append_char(&text, '\0');
    return call((struct call){
        .handler = api_operator_endpoint_margin, .body = body, .params = {id, NULL, NULL}});
}

static status set_provider_margin(const char *provider, const char *body)
{
    return call((struct call){
        .handler = api_operator_provider_margin, .body = body, .params = {provider, NULL, NULL}});
}

static void load_with_margin(void)
{
    load(CATALOG("0.000002"));
    assert_ok(set_margin(seen_at("openai").endpoint, "{'basis_points':1000}"));
}

TEST(without_a_margin_the_list_price_is_what_customers_pay)
{
    load(CATALOG("0.000002"));
    struct seen seen = seen_at("openai");
    assert_int_equal(seen.margin, 0);
    assert_int_equal(seen.price, seen.list);
}

TEST(a_margin_makes_a_price_of_its_own_and_says_both)
{
    load(CATALOG("0.000002"));
    struct seen before = seen_at("openai");
    assert_ok(set_margin(before.endpoint, "{'basis_points':1000}"));
    struct json_value data = json_get(answer(), SLICE("data"));
    struct json_value shown = json_get(data, SLICE("pricing"));
    assert_slice(json_raw(json_get(shown, SLICE("prompt"))), "\"0.0000022\"");
    shown = json_get(data, SLICE("list_pricing"));
    assert_slice(json_raw(json_get(shown, SLICE("prompt"))), "\"0.000002\"");
    assert_slice(json_raw(json_get(data, SLICE("margin_basis_points"))), "1000");
    struct seen seen = seen_at("openai");
    assert_int_equal(seen.list, before.price);
    assert_true(seen.price > before.price);
    assert_int_equal(seen.prompt, 2200000000);
    assert_int_equal(seen.completion, 11000000000); /* of $10.00 */
    assert_int_equal(seen.list_prompt, 2000000000);
    assert_int_equal(seen_at("anthropic").margin, 0);
    assert_int_equal(number("revision"), 2);
    assert_ok(set_margin(before.endpoint, "{'basis_points':1000}"));
    assert_int_equal(number("revision"), 2); /* nothing new */
    assert_int_equal(seen_at("openai").price, seen.price);
}

TEST(a_margin_of_zero_goes_back_to_the_list_price_itself)
{
    load_with_margin();
    struct seen with = seen_at("openai");
    assert_ok(set_margin(with.endpoint, "{'basis_points':0}"));
    struct seen without = seen_at("openai");
    assert_int_equal(without.price, with.list);
    assert_int_equal(without.list, with.list);
    assert_int_equal(without.prompt, 2000000000);
}

TEST(a_loaded_file_keeps_margins_and_compares_with_the_list_price)
{
    load_with_margin();
    struct seen before = seen_at("openai");
    load(CATALOG("0.000002"));
    assert_int_equal(number("prices_new"), 0);
    assert_int_equal(number("prices_unchanged"), 2);
    assert_int_equal(seen_at("openai").price, before.price);
    load(CATALOG("0.000003"));
    assert_int_equal(number("prices_new"), 1);
    struct seen after = seen_at("openai");
    assert_int_equal(after.margin, 1000);
    assert_int_equal(after.prompt, 3300000000);
    assert_int_equal(after.list_prompt, 3000000000);
}

TEST(a_price_map_keeps_margins)
{
    load_with_margin();
    assert_ok(call((struct call){
        .handler = api_catalog_import,
        .body = "{'gpt-x-1':{'litellm_provider':'openai','mode':'chat','max_input_tokens':5000,"
                "'input_cost_per_token':4e-06,'output_cost_per_token':1e-05}}",
        .query = "source_date=2026-08-01"}));
    assert_int_equal(seen_at("openai").prompt, 4400000000);
    assert_int_equal(seen_at("openai").list_prompt, 4000000000);
}

TEST(an_operators_own_price_takes_the_place_of_the_list_price_under_the_margin)
{
    load_with_margin();
    struct seen before = seen_at("openai");
    assert_ok(call((struct call){.handler = api_operator_price_set,
                                 .body = "{'prices':{'prompt':'0.000005','completion':'0.00001'}}",
                                 .params = {"openai", "gpt-x", "openai"}}));
    struct seen own = seen_at("openai");
    assert_int_equal(own.prompt, 5500000000);
    assert_int_equal(own.list_prompt, 5000000000);
    load(CATALOG("0.000003")); /* it stands */
    assert_int_equal(number("prices_kept"), 1);
    assert_int_equal(seen_at("openai").price, own.price);
    assert_ok(call((struct call){.handler = api_operator_price_reset,
                                 .params = {"openai", "gpt-x", "openai"}}));
    struct seen after = seen_at("openai");
    assert_int_equal(after.list, before.list);
    assert_int_equal(after.prompt, 2200000000);
}

TEST(a_providers_margin_is_that_of_all_its_endpoints_and_of_those_that_come_later)
{
    load(CATALOG("0.000002"));
    assert_ok(set_provider_margin("openai", "{'basis_points':2500}"));
    assert_int_equal(seen_at("openai").prompt, 2500000000);
    assert_int_equal(seen_at("anthropic").margin, 0);
    assert_ok(call((struct call){
        .handler = api_catalog_import,
        .body = "{'gpt-new':{'litellm_provider':'openai','mode':'chat','max_input_tokens':5000,"
                "'input_cost_per_token':4e-06,'output_cost_per_token':1e-05}}",
        .query = "source_date=2026-08-01"}));
    assert_int_equal(prompt_price("openai/gpt-new", "openai"), 5 * DOLLAR);
    /* One endpoint may have another. */
    assert_ok(set_margin(seen_at("openai").endpoint, "{'basis_points':0}"));
    assert_int_equal(seen_at("openai").prompt, 2000000000);
    assert_ok(set_provider_margin("openai", "{'basis_points':2500}"));
    assert_int_equal(seen_at("openai").prompt, 2500000000);
}

TEST(an_endpoint_without_a_price_keeps_its_margin_for_the_first_one)
{
    load(CATALOG("2")); /* a wrong unit */
    assert_int_equal(seen_at("openai").price, 0);
    assert_ok(set_margin(seen_at("openai").endpoint, "{'basis_points':1000}"));
    assert_int_equal(seen_at("openai").price, 0);
    load(CATALOG("0.000002"));
    assert_int_equal(seen_at("openai").prompt, 2200000000);
}

TEST(a_margin_out_of_range_or_of_nothing_is_refused_and_changes_nothing)
{
    static const char *const bodies[] = {
        "{}",
        "{'basis_points':-1}",
        "{'basis_points':10001}",
        "{'basis_points':0.5}",
        "{'basis_points':'1000'}",
        "{'basis_points':null}",
    };
    load(CATALOG("0.000002"));
    uint32_t endpoint = seen_at("openai").endpoint;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_fails(set_margin(endpoint, bodies[i]), OUT_OF_RANGE);
        assert_fails(set_provider_margin("openai", bodies[i]), OUT_OF_RANGE);
    }
    assert_fails(set_margin(endpoint + 100, "{'basis_points':1}"), NOT_FOUND);
    assert_fails(set_provider_margin("nobody", "{'basis_points':1}"), NOT_FOUND);
    struct market *market = present();
    assert_int_equal(market->revision, 1);
    market_release(&market);
}

TEST(the_database_refuses_a_price_that_names_a_list_price_without_a_margin)
{
    load_with_margin();
    run_psql("-c", "do $$ begin"
                   "  insert into price (model, provider, source, source_date, list)"
                   "  values (1, 1, 'operator', '2026-01-01', 1);"
                   "  raise exception 'it was taken'; "
                   "exception when check_violation then null; end $$");
    run_psql("-c", "do $$ begin"
                   "  insert into price (model, provider, source, source_date, margin_basis_points)"
                   "  values (1, 1, 'operator', '2026-01-01', 5);"
                   "  raise exception 'it was taken'; "
                   "exception when check_violation then null; end $$");
}

#define MARGIN_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MARGIN_TEST(without_a_margin_the_list_price_is_what_customers_pay),
        MARGIN_TEST(a_margin_makes_a_price_of_its_own_and_says_both),
        MARGIN_TEST(a_margin_of_zero_goes_back_to_the_list_price_itself),
        MARGIN_TEST(a_loaded_file_keeps_margins_and_compares_with_the_list_price),
        MARGIN_TEST(a_price_map_keeps_margins),
        MARGIN_TEST(an_operators_own_price_takes_the_place_of_the_list_price_under_the_margin),
        MARGIN_TEST(a_providers_margin_is_that_of_all_its_endpoints_and_of_those_that_come_later),
        MARGIN_TEST(an_endpoint_without_a_price_keeps_its_margin_for_the_first_one),
        MARGIN_TEST(a_margin_out_of_range_or_of_nothing_is_refused_and_changes_nothing),
        MARGIN_TEST(the_database_refuses_a_price_that_names_a_list_price_without_a_margin),
    };
    return cmocka_run_group_tests_name("margins", tests, group_set_up, group_tear_down);
}
