/* SPDX-License-Identifier: Apache-2.0 */
/* The public routes over the small market of support.h: shapes that client libraries insist on,
 * filters, orders, pages. Handlers are called as a worker calls them. */
#include "tests/unit/test.h"

#include "services/catalog/api/api.h"
#include "tests/unit/catalog/support.h"

static struct scratch scratch;
static struct catalog catalog;
static struct arena arena;
static struct control_response response;
static struct json_document document;

static int set_up(void **state)
{
    (void)state;
    assert_ok(secret_init());
    sample_catalog_open(&scratch, &catalog);
    catalog_swap_market(&catalog, sample_market(9, true));
    arena_init(&arena, (size_t)1 << 20);
    json_document_init(&document, 100000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_free(&response.body);
    json_document_free(&document);
    arena_free(&arena);
    sample_catalog_close(&scratch, &catalog);
    return 0;
}

struct call {
    control_handler handler;
    const char *path, *query, *first, *second;
};

static status call(struct call call)
{
    struct control_request request = {
        .path = slice_of(call.path == NULL ? "/api/v1/models" : call.path),
        .query = slice_of(call.query == NULL ? "" : call.query),
        .params = {slice_of(call.first == NULL ? "" : call.first),
                   slice_of(call.second == NULL ? "" : call.second)},
        .arena = &arena,
        .service = &catalog,
    };
    arena_reset(&arena);
    buffer_free(&response.body);
    response = (struct control_response){.http_status = 200};
    buffer_init(&response.body, (size_t)1 << 20);
    json_write_init(&response.json, &response.body);
    return call.handler(&request, &response);
}

/* The answer, parsed: an answer that is no JSON fails here. */
static struct json_value answer(void)
{
    assert_ok(json_parse(&document, buffer_slice(&response.body)));
    return json_root(&document);
}

static struct json_value member(struct json_value object, const char *name)
{
    struct json_value value = json_get(object, slice_of(name));
    if (!json_exists(value)) fail_msg("%s is missing", name);
    return value;
}

static struct json_value item(struct json_value array, uint32_t index)
{
    struct json_iterator i = json_iterate(array);
    for (uint32_t at = 0; json_next(&i); at++) {
        if (at == index) return i.value;
    }
    fail_msg("no item %u", index);
    return i.value;
}

#define assert_text(object, name, text) \
    assert_true(json_string_equal(member(object, name), SLICE(text)))
#define assert_raw(object, name, text) assert_slice(json_raw(member(object, name)), text)

/* The ids of a list, joined by blanks. */
static const char *listed(const char *query)
{
    static char ids[256];
    struct buffer text;
    buffer_init_fixed(&text, ids, sizeof(ids) - 1);
    assert_ok(call((struct call){api_models_list, .query = query}));
    for (struct json_iterator i = json_iterate(member(answer(), "data")); json_next(&i);) {
        slice id;
        assert_ok(json_read_string(member(i.value, "id"), &arena, &id));
        if (text.len > 0) buffer_append_char(&text, ' ');
        buffer_append(&text, id);
    }
    ids[text.len] = '\0';
    return ids;
}

TEST(the_list_shows_what_is_for_sale_and_nothing_without_a_price)
{
    assert_string_equal(listed(NULL), "acme/large acme/small beta/thinker");
    struct json_value list = answer();
    assert_text(list, "object", "list");
    assert_raw(list, "total_count", "3");
    assert_raw(member(list, "links"), "next", "null");
}

TEST(a_model_has_every_field_that_strict_clients_require)
{
    assert_ok(call((struct call){api_model_read_plain, .first = "acme/large"}));
    struct json_value model = answer();
    assert_text(model, "id", "acme/large");
    assert_text(model, "canonical_slug", "acme/large");
    assert_text(model, "object", "model");
    assert_text(model, "owned_by", "acme");
    assert_text(model, "name", "Acme: Large");
    assert_raw(model, "created", "2000");
    assert_raw(model, "context_length", "400000");
    struct json_value architecture = member(model, "architecture");
    assert_text(architecture, "modality", "text+image->text");
    assert_raw(architecture, "input_modalities", "[\"text\",\"image\"]");
    assert_raw(architecture, "output_modalities", "[\"text\"]");
    assert_raw(architecture, "instruct_type", "null");
    struct json_value top = member(model, "top_provider");
    assert_raw(top, "context_length", "100000");
    assert_raw(top, "max_completion_tokens", "4096");
    assert_raw(top, "is_moderated", "false");
    assert_raw(model, "per_request_limits", "null");
    assert_raw(model, "supported_parameters", "[\"max_tokens\",\"tools\",\"tool_choice\"]");
    assert_raw(model, "default_parameters", "null");
    assert_raw(model, "supported_voices", "null");
    assert_raw(model, "knowledge_cutoff", "null");
    assert_raw(model, "expiration_date", "null");
    assert_raw(model, "hugging_face_id", "null");
    assert_text(member(model, "links"), "details", "/api/v1/models/acme/large/endpoints");
}

TEST(the_cheapest_endpoint_gives_a_model_its_price)
{
    assert_ok(call((struct call){api_model_read_plain, .first = "acme/large"}));
    struct json_value pricing = member(answer(), "pricing");
    assert_text(pricing, "prompt", "0.000002"); /* beta's $2 per million, not acme's $3 */
    assert_text(pricing, "completion", "0.00001");
    assert_false(json_exists(json_get(pricing, SLICE("request"))));
    assert_false(json_exists(json_get(pricing, SLICE("input_cache_read"))));
}

TEST(prices_that_differ_from_what_they_follow_are_shown)
{
    assert_ok(call((struct call){api_model_read_plain, .first = "acme/small"}));
    struct json_value pricing = member(answer(), "pricing");
    assert_text(pricing, "prompt", "0.00000015");
    assert_text(pricing, "input_cache_read", "0.000000075");
    assert_false(json_exists(json_get(pricing, SLICE("internal_reasoning"))));
    assert_ok(call((struct call){api_model_read_plain, .first = "beta/thinker"}));
    assert_text(member(answer(), "pricing"), "internal_reasoning", "0.00003");
    assert_text(answer(), "knowledge_cutoff", "2025-12-01");
    assert_text(answer(), "expiration_date", "2027-01-01");
}

TEST(the_wrapped_form_of_a_model_is_the_same_object)
{
    assert_ok(call((struct call){api_model_read, .first = "acme", .second = "small"}));
    assert_text(member(answer(), "data"), "id", "acme/small");
}

TEST(an_unknown_or_unpriced_model_is_not_found)
{
    assert_fails(call((struct call){api_model_read_plain, .first = "acme/huge"}), NOT_FOUND);
    assert_fails(call((struct call){api_model_read_plain, .first = "acme"}), NOT_FOUND);
    assert_fails(call((struct call){api_model_read, .first = "beta", .second = "unpriced"}),
                 NOT_FOUND);
    assert_fails(call((struct call){api_model_endpoints, .first = "x", .second = "y"}), NOT_FOUND);
}

TEST(endpoints_show_price_tiers_and_health)
{
    assert_ok(call((struct call){api_model_endpoints, .first = "acme", .second = "large"}));
    struct json_value data = member(answer(), "data");
    assert_text(data, "id", "acme/large");
    assert_text(data, "description", "Large.");
    assert_int_equal(json_count(member(data, "endpoints")), 2);
    struct json_value endpoint = item(member(data, "endpoints"), 0);
    assert_text(endpoint, "name", "Acme | acme/large");
    assert_text(endpoint, "tag", "acme");
    assert_text(endpoint, "provider_name", "Acme");
    assert_text(endpoint, "model_id", "acme/large");
    assert_text(endpoint, "model_name", "Acme: Large");
    assert_raw(endpoint, "context_length", "100000");
    assert_raw(endpoint, "max_completion_tokens", "4096");
    assert_raw(endpoint, "max_prompt_tokens", "null");
    assert_text(endpoint, "quantization", "unknown");
    assert_raw(endpoint, "status", "0");
    assert_raw(endpoint, "supports_implicit_caching", "false");
    assert_raw(endpoint, "uptime_last_5m", "null");
    assert_raw(endpoint, "uptime_last_30m", "null");
    assert_raw(endpoint, "uptime_last_1d", "null");
    assert_raw(endpoint, "latency_last_30m", "null");
    assert_raw(endpoint, "throughput_last_30m", "null");
    assert_raw(member(endpoint, "supports_tool_choice"), "auto", "true");
    struct json_value tier = item(member(member(endpoint, "pricing"), "overrides"), 0);
    assert_raw(tier, "min_prompt_tokens", "200000");
    assert_text(tier, "prompt", "0.000006");
    assert_text(tier, "completion", "0.0000225");
}

static void ignore_change(void *context, uint32_t endpoint, enum endpoint_health state)
{
    (void)context;
    (void)endpoint;
    (void)state;
}

TEST(endpoints_show_what_outcomes_told)
{
    struct message_outcome outcome = {.endpoint = 13,
                                      .result = ATTEMPT_OK,
                                      .first_byte_ms = 250,
                                      .total_ms = 2000,
                                      .output_tokens = 100};
    struct health_listener listener = {ignore_change, NULL};
    for (int i = 0; i < 11; i++)
        health_record(catalog.health, &outcome, clock_monotonic_ms(), listener);
    outcome.result = ATTEMPT_SERVER;
    health_record(catalog.health, &outcome, clock_monotonic_ms(), listener);
    assert_ok(call((struct call){api_model_endpoints, .first = "acme", .second = "small"}));
    struct json_value endpoint = item(member(member(answer(), "data"), "endpoints"), 0);
    assert_raw(endpoint, "uptime_last_5m", "91.66"); /* 11 of 12, cut */
    assert_raw(endpoint, "status", "-1");
    assert_raw(member(endpoint, "latency_last_30m"), "p50", "250");
    assert_raw(member(endpoint, "throughput_last_30m"), "p99", "50"); /* 100 tokens in 2 s */
}

TEST(filters_keep_what_they_say)
{
    assert_string_equal(listed("q=LARGE"), "acme/large");
    assert_string_equal(listed("q=beta%3A"), "beta/thinker"); /* in the name */
    assert_string_equal(listed("q=nothing"), "");
    assert_string_equal(listed("supported_parameters=tools"), "acme/large");
    assert_string_equal(listed("supported_parameters=tools,reasoning"), "");
    assert_string_equal(listed("input_modalities=text,image"), "acme/large");
    assert_string_equal(listed("output_modalities=audio"), "beta/thinker");
    assert_string_equal(listed("output_modalities=all"), "acme/large acme/small beta/thinker");
    assert_string_equal(listed("context=200000"), "acme/large beta/thinker");
    assert_string_equal(listed("context=200001"), "acme/large");
    assert_string_equal(listed("providers=beta"), "acme/large beta/thinker");
    assert_string_equal(listed("providers=Beta+Labs"), "acme/large beta/thinker");
    assert_string_equal(listed("providers=gone"), "");
    assert_string_equal(listed("model_authors=beta,nobody"), "beta/thinker");
    assert_string_equal(listed("arch=gpt"), "acme/small");
}

TEST(price_filters_are_dollars_per_million_and_include_their_bounds)
{
    assert_string_equal(listed("max_price=0.15"), "acme/small");
    assert_string_equal(listed("max_price=0.149999999"), "");
    assert_string_equal(listed("min_price=2"), "acme/large beta/thinker");
    assert_string_equal(listed("min_price=2.000000001&max_price=5"), "beta/thinker");
    assert_string_equal(listed("max_output_price=10"), "acme/large acme/small");
}

TEST(orders_are_total)
{
    assert_string_equal(listed("sort=pricing-low-to-high"), "acme/small acme/large beta/thinker");
    assert_string_equal(listed("sort=pricing-high-to-low"), "beta/thinker acme/large acme/small");
    assert_string_equal(listed("sort=context-high-to-low"), "acme/large beta/thinker acme/small");
    assert_string_equal(listed("sort=newest"), "acme/small acme/large beta/thinker");
    assert_string_equal(listed("sort=most-popular"), "acme/large acme/small beta/thinker");
}

TEST(pages_link_to_the_next_and_end)
{
    assert_string_equal(listed("limit=2&sort=newest"), "acme/small acme/large");
    assert_raw(answer(), "total_count", "3");
    assert_text(member(answer(), "links"), "next", "/api/v1/models?offset=2&limit=2&sort=newest");
    assert_string_equal(listed("offset=2&limit=2&sort=newest"), "beta/thinker");
    assert_raw(member(answer(), "links"), "next", "null");
    assert_string_equal(listed("offset=3&limit=500"), "");
    assert_raw(member(answer(), "links"), "next", "null");
    assert_string_equal(listed("limit=500&offset=0"), "acme/large acme/small beta/thinker");
}

static void assert_bad(const char *query)
{
    status done = call((struct call){api_models_list, .query = query});
    assert_int_equal(error_row_of(done.code)->http, 400);
    assert_true(response.message.len > 0);
}

TEST(bad_filters_are_refused_with_a_sentence)
{
    assert_bad("limit=0");
    assert_bad("limit=1001");
    assert_bad("offset=-1");
    assert_bad("offset=many");
    assert_bad("max_price=cheap");
    assert_bad("min_price=-1");
    assert_bad("sort=best");
    assert_bad("context=1e3");
    assert_bad("zdr=true");
    assert_bad("region=eu");
}

TEST(the_count_is_that_of_the_list)
{
    assert_ok(call((struct call){.handler = api_models_count}));
    assert_raw(member(answer(), "data"), "count", "3");
    assert_ok(call((struct call){api_models_count, .query = "output_modalities=audio"}));
    assert_raw(member(answer(), "data"), "count", "1");
}

TEST(providers_have_every_field)
{
    assert_ok(call((struct call){.handler = api_providers_list}));
    struct json_value data = member(answer(), "data");
    assert_int_equal(json_count(data), 3);
    struct json_value acme = item(data, 0);
    assert_text(acme, "slug", "acme");
    assert_text(acme, "name", "Acme");
    assert_text(acme, "headquarters", "US");
    assert_raw(acme, "privacy_policy_url", "null");
    assert_raw(acme, "terms_of_service_url", "null");
    assert_raw(acme, "status_page_url", "null");
    assert_raw(acme, "datacenters", "null");
}

TEST(without_the_simulator_only_live_providers_sell)
{
    catalog_swap_market(&catalog, sample_market(10, false));
    assert_string_equal(listed(NULL), "acme/large acme/small");
    assert_ok(call((struct call){api_model_read_plain, .first = "acme/large"}));
    assert_text(member(answer(), "pricing"), "prompt", "0.000003"); /* beta is out of reach */
}

TEST(before_the_first_market_everything_is_503)
{
    market_release(&catalog.market);
    assert_fails(call((struct call){.handler = api_models_list}), CATALOG_DOWN);
    assert_fails(call((struct call){.handler = api_providers_list}), CATALOG_DOWN);
    assert_fails(call((struct call){.handler = api_operator_market}), CATALOG_DOWN);
}

#define API_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(the_list_shows_what_is_for_sale_and_nothing_without_a_price),
        API_TEST(a_model_has_every_field_that_strict_clients_require),
        API_TEST(the_cheapest_endpoint_gives_a_model_its_price),
        API_TEST(prices_that_differ_from_what_they_follow_are_shown),
        API_TEST(the_wrapped_form_of_a_model_is_the_same_object),
        API_TEST(an_unknown_or_unpriced_model_is_not_found),
        API_TEST(endpoints_show_price_tiers_and_health),
        API_TEST(endpoints_show_what_outcomes_told),
        API_TEST(filters_keep_what_they_say),
        API_TEST(price_filters_are_dollars_per_million_and_include_their_bounds),
        API_TEST(orders_are_total),
        API_TEST(pages_link_to_the_next_and_end),
        API_TEST(bad_filters_are_refused_with_a_sentence),
        API_TEST(the_count_is_that_of_the_list),
        API_TEST(providers_have_every_field),
        API_TEST(without_the_simulator_only_live_providers_sell),
        API_TEST(before_the_first_market_everything_is_503),
    };
    return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
