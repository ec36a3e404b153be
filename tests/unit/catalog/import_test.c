/* SPDX-License-Identifier: Apache-2.0 */
/* Reading our own catalog file, which has to be right, and public price maps, which never are:
 * every kind of fault that is known of them, in small hand-written maps. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "services/catalog/import_catalog.h"
#include "services/catalog/import_map.h"
#include "tests/unit/catalog/support.h"

#define DOLLAR ((int64_t)1000000000) /* per million tokens */

static struct arena arena;
static struct facts facts;
static slice message;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void read_map(const char *text)
{
    assert_ok(import_map_read(sample_json(text), SLICE("2026-07-24"), &arena, &facts));
}

static const struct endpoint_facts *only_endpoint(const char *text)
{
    read_map(text);
    assert_int_equal(facts.endpoint_count, 1);
    return &facts.endpoints[0];
}

#define assert_price(endpoint, tier, class, value)                                           \
    assert_int_equal((endpoint)->price.tiers[tier].prices[BILLING_##class].nano_per_million, \
                     (value))

/* Whether a line of the report says so. */
static bool dropped(const char *model, const char *reason)
{
    for (uint32_t i = 0; i < facts.dropped_count; i++) {
        if (slice_equal(facts.dropped[i].model, slice_of(model)) &&
            slice_equal(facts.dropped[i].reason, slice_of(reason))) {
            return true;
        }
    }
    return false;
}

/* ---- price maps ------------------------------------------------------------------------------ */

TEST(an_entry_becomes_an_endpoint_of_its_provider)
{
    const struct endpoint_facts *endpoint = only_endpoint(
        "{'gpt-x':{'litellm_provider':'openai','mode':'chat','max_input_tokens':128000,"
        "'max_output_tokens':16384.0,'input_cost_per_token':1.5e-07,"
        "'output_cost_per_token':6e-07,'cache_read_input_token_cost':7.5e-08,"
        "'supports_function_calling':true,'supports_vision':true,'supports_pdf_input':false}}");
    const struct model_facts *model = &facts.models[0];
    assert_slice(endpoint->provider, "openai");
    assert_slice(endpoint->upstream_model, "gpt-x");
    assert_slice(endpoint->tag, "openai");
    assert_slice(model->slug, "openai/gpt-x");
    assert_slice(model->input_modalities, "text,image");
    assert_slice(model->supported_parameters, "max_tokens,temperature,top_p,stop,tools");
    assert_int_equal(model->context_length, 128000);
    assert_int_equal(model->output_max, 16384);
    assert_int_equal(model->created, 1784851200); /* 2026-07-24T00:00:00Z */
    assert_true(endpoint->has_price);
    assert_int_equal(endpoint->not_new.len, 0);
    assert_price(endpoint, 0, prompt, DOLLAR * 15 / 100);
    assert_price(endpoint, 0, completion, DOLLAR * 60 / 100);
    assert_price(endpoint, 0, cache_read, DOLLAR * 75 / 1000);
    assert_price(endpoint, 0, cache_write, DOLLAR * 15 / 100);
    assert_int_equal(facts.dropped_total, 0);
}

TEST(specials_other_modes_and_unknown_providers_are_skipped)
{
    read_map("{'sample_spec':{'mode':'one of: chat','litellm_provider':'one of'},"
             "'fallback_generalizations':{'rules':[]},"
             "'last_updated':'2026-07-24T18:23:43+00:00',"
             "'e':{'litellm_provider':'openai','mode':'embedding'},"
             "'m':{'litellm_provider':'openai'},"
             "'u':{'litellm_provider':'nobody','mode':'chat'},"
             "'n':7}");
    assert_int_equal(facts.endpoint_count, 0);
    assert_int_equal(facts.skipped, 4); /* e, m, u, n; specials are not counted */
    assert_int_equal(facts.dropped_total, 0);
}

TEST(a_price_in_a_wrong_unit_is_dropped)
{
    /* 0.055 per token is $55,000 per million. */
    const struct endpoint_facts *endpoint = only_endpoint(
        "{'wandb/zai-org/GLM-4.5':{'litellm_provider':'wandb','mode':'chat',"
        "'max_input_tokens':131072,'input_cost_per_token':0.055,'output_cost_per_token':0.2}}");
    assert_false(endpoint->has_price);
    assert_slice(facts.models[0].slug, "z-ai/glm-4.5");
    assert_true(dropped("wandb/zai-org/GLM-4.5",
                        "above $500 in or $1,000 out per million tokens: a wrong unit"));
}

TEST(the_dearest_real_price_is_taken)
{
    const struct endpoint_facts *endpoint =
        only_endpoint("{'o1-pro':{'litellm_provider':'openai','mode':'responses',"
                      "'max_input_tokens':200000,'input_cost_per_token':0.00015,"
                      "'output_cost_per_token':0.0006}}");
    assert_true(endpoint->has_price);
    assert_price(endpoint, 0, prompt, 150 * DOLLAR);
    assert_price(endpoint, 0, completion, 600 * DOLLAR);
}

static bool map_responses_only(const char *mode_and_paths)
{
    char text[256];
    snprintf(text, sizeof(text),
             "{'x':{'litellm_provider':'openai','max_input_tokens':9,'input_cost_per_token':1e-6,"
             "'output_cost_per_token':2e-6,%s}}",
             mode_and_paths);
    return only_endpoint(text)->responses_only;
}

TEST(a_map_says_which_entries_answer_on_responses_only)
{
    assert_false(map_responses_only("'mode':'chat'"));
    assert_true(map_responses_only("'mode':'responses'"));
    assert_true(map_responses_only("'mode':'responses','supported_endpoints':['/v1/responses']"));
    assert_false(map_responses_only(
        "'mode':'responses','supported_endpoints':['/v1/responses','/v1/chat/completions']"));
}

TEST(a_price_of_zero_is_unknown_rather_than_free)
{
    const struct endpoint_facts *endpoint = only_endpoint(
        "{'gemini/gemini-exp':{'litellm_provider':'gemini','mode':'chat',"
        "'max_input_tokens':1000,'input_cost_per_token':0,'output_cost_per_token':0.0}}");
    assert_false(endpoint->has_price);
    assert_true(
        dropped("gemini/gemini-exp", "the price is zero, which is unknown rather than free"));
}

TEST(an_entry_without_a_price_stays_without_one)
{
    const struct endpoint_facts *endpoint =
        only_endpoint("{'groq/llama':{'litellm_provider':'groq','mode':'chat','max_input_tokens':9,"
                      "'input_cost_per_token':null}}");
    assert_false(endpoint->has_price);
    assert_true(dropped("groq/llama", "no usable price for prompt or completion"));
}

TEST(noise_of_floating_point_is_rounded_with_a_line)
{
    const struct endpoint_facts *endpoint = only_endpoint(
        "{'groq/x':{'litellm_provider':'groq','mode':'chat','max_input_tokens':9,"
        "'input_cost_per_token':2.9999900000000002e-06,'output_cost_per_token':1e-05}}");
    assert_price(endpoint, 0, prompt, 2999990000);
    assert_true(dropped("groq/x", "a price was rounded to 15 decimals"));
}

TEST(a_price_that_cannot_be_rounded_is_left_out_with_a_line)
{
    const struct endpoint_facts *endpoint =
        only_endpoint("{'groq/x':{'litellm_provider':'groq','mode':'chat','max_input_tokens':9,"
                      "'input_cost_per_token':1e-06,'output_cost_per_token':2e-06,"
                      "'cache_read_input_token_cost':1.23456789e-12}}");
    assert_true(endpoint->has_price);
    assert_price(endpoint, 0, cache_read, DOLLAR); /* falls back to the prompt */
    assert_true(dropped("groq/x", "the price of cache_read cannot be used"));
}

TEST(negative_and_textual_prices_are_left_out)
{
    const struct endpoint_facts *endpoint =
        only_endpoint("{'groq/x':{'litellm_provider':'groq','mode':'chat','max_input_tokens':9,"
                      "'input_cost_per_token':-1e-06,'output_cost_per_token':'cheap'}}");
    assert_false(endpoint->has_price);
    assert_true(dropped("groq/x", "the price of prompt cannot be used"));
    assert_true(dropped("groq/x", "the price of completion cannot be used"));
}

TEST(prices_of_service_tiers_and_seconds_are_not_read)
{
    const struct endpoint_facts *endpoint =
        only_endpoint("{'gpt-x':{'litellm_provider':'openai','mode':'chat','max_input_tokens':9,"
                      "'input_cost_per_token':2e-06,'output_cost_per_token':8e-06,"
                      "'input_cost_per_token_batches':1e-06,'input_cost_per_token_priority':4e-06,"
                      "'input_cost_per_token_above_200k_tokens_priority':9e-06,"
                      "'output_cost_per_token_flex':4e-06,'input_cost_per_second':0.5}}");
    assert_int_equal(endpoint->price.tier_count, 1);
    assert_price(endpoint, 0, prompt, 2 * DOLLAR);
    assert_price(endpoint, 0, completion, 8 * DOLLAR);
}

TEST(tiers_in_the_names_of_fields_ascend_and_inherit)
{
    const struct endpoint_facts *endpoint =
        only_endpoint("{'claude-x':{'litellm_provider':'anthropic','mode':'chat',"
                      "'max_input_tokens':1000000,'output_cost_per_token_above_272k_tokens':4e-05,"
                      "'cache_creation_input_token_cost':3.75e-06,"
                      "'cache_creation_input_token_cost_above_1hr':6e-06,"
                      "'cache_creation_input_token_cost_above_1hr_above_200k_tokens':1.2e-05,"
                      "'input_cost_per_token':3e-06,'output_cost_per_token':1.5e-05,"
                      "'input_cost_per_token_above_200k_tokens':6e-06,"
                      "'output_cost_per_token_above_200k_tokens':2.25e-05}}");
    assert_int_equal(endpoint->price.tier_count, 3);
    assert_int_equal(endpoint->price.tiers[1].above_prompt_tokens, 200000);
    assert_int_equal(endpoint->price.tiers[2].above_prompt_tokens, 272000);
    assert_price(endpoint, 0, cache_write_1h, 6 * DOLLAR);
    assert_price(endpoint, 1, prompt, 6 * DOLLAR);
    assert_price(endpoint, 1, completion, 22 * DOLLAR + DOLLAR / 2);
    assert_price(endpoint, 1, cache_write_1h, 12 * DOLLAR);
    assert_price(endpoint, 1, cache_write, 3 * DOLLAR + DOLLAR * 3 / 4); /* the base's */
    assert_price(endpoint, 2, completion, 40 * DOLLAR);
    assert_price(endpoint, 2, prompt, 3 * DOLLAR); /* the base's */
}

TEST(tiers_as_an_array_of_ranges_need_no_prices_beside_it)
{
    const struct endpoint_facts *endpoint = only_endpoint(
        "{'dashscope/qwen-x':{'litellm_provider':'dashscope','mode':'chat',"
        "'max_input_tokens':997952,'tiered_pricing':["
        "{'range':[0,256000.0],'input_cost_per_token':5e-08,'output_cost_per_token':4e-07},"
        "{'range':[256000.0,1000000.0],'input_cost_per_token':2.5e-07,"
        "'output_cost_per_token':2e-06}]}}");
    assert_slice(facts.models[0].slug, "qwen/qwen-x");
    assert_int_equal(endpoint->price.tier_count, 2);
    assert_int_equal(endpoint->price.tiers[1].above_prompt_tokens, 256000);
    assert_price(endpoint, 0, prompt, DOLLAR * 5 / 100);
    assert_price(endpoint, 1, completion, 2 * DOLLAR);
}

TEST(ranges_in_disorder_and_too_many_tiers_are_dropped)
{
    assert_false(only_endpoint("{'dashscope/a':{'litellm_provider':'dashscope','mode':'chat',"
                               "'tiered_pricing':[{'range':[5,9],'input_cost_per_token':1e-6,"
                               "'output_cost_per_token':1e-6}]}}")
                     ->has_price);
    assert_true(dropped("dashscope/a", "its tiered_pricing is not a list of ascending ranges"));
    assert_false(only_endpoint("{'dashscope/b':{'litellm_provider':'dashscope','mode':'chat',"
                               "'input_cost_per_token':1e-6,'output_cost_per_token':1e-6,"
                               "'input_cost_per_token_above_32k_tokens':2e-6,"
                               "'input_cost_per_token_above_64k_tokens':3e-6,"
                               "'input_cost_per_token_above_128k_tokens':4e-6,"
                               "'input_cost_per_token_above_256k_tokens':5e-6,"
                               "'input_cost_per_token_above_512k_tokens':6e-6}}")
                     ->has_price);
    assert_true(dropped("dashscope/b", "more tiers than can be kept"));
}

TEST(older_and_zero_cache_prices_are_understood)
{
    const struct endpoint_facts *endpoint = only_endpoint(
        "{'deepseek/deepseek-x':{'litellm_provider':'deepseek','mode':'chat',"
        "'max_tokens':8192,'input_cost_per_token':2.8e-07,'output_cost_per_token':4.2e-07,"
        "'input_cost_per_token_cache_hit':2.8e-08,'cache_creation_input_token_cost':0.0,"
        "'output_cost_per_reasoning_token':0}}");
    assert_price(endpoint, 0, cache_read, DOLLAR * 28 / 1000);
    assert_price(endpoint, 0, cache_write, 0);               /* writing may cost nothing */
    assert_price(endpoint, 0, reasoning, DOLLAR * 42 / 100); /* zero is unknown here */
    assert_int_equal(facts.models[0].context_length, 8192);  /* the older field, alone */
}

TEST(a_model_that_always_searches_pays_the_search_with_every_request)
{
    const struct endpoint_facts *endpoint = only_endpoint(
        "{'perplexity/sonar':{'litellm_provider':'perplexity','mode':'chat',"
        "'max_input_tokens':9,'input_cost_per_token':1e-06,'output_cost_per_token':1e-06,"
        "'search_context_cost_per_query':{'search_context_size_low':0.005,"
        "'search_context_size_medium':0.008,'search_context_size_high':0.012}}}");
    assert_price(endpoint, 0, request, 5000 * DOLLAR); /* $0.005 each, a million of them */
    assert_price(endpoint, 0, web_search, 0);
    endpoint =
        only_endpoint("{'gpt-x':{'litellm_provider':'openai','mode':'chat','max_input_tokens':9,"
                      "'input_cost_per_token':1e-06,'output_cost_per_token':1e-06,"
                      "'search_context_cost_per_query':{'search_context_size_low':0.005,"
                      "'search_context_size_medium':0.01}}}");
    assert_price(endpoint, 0, request, 0);
    assert_price(endpoint, 0, web_search, 10000 * DOLLAR);
}

TEST(an_endpoint_that_is_named_twice_counts_once_in_its_usual_form)
{
    read_map("{'bedrock/anthropic.x':{'litellm_provider':'bedrock','mode':'chat',"
             "'input_cost_per_token':2e-06,'output_cost_per_token':2e-06},"
             "'anthropic.x':{'litellm_provider':'bedrock_converse','mode':'chat',"
             "'input_cost_per_token':3e-06,'output_cost_per_token':3e-06},"
             "'gemini/y':{'litellm_provider':'gemini','mode':'chat',"
             "'input_cost_per_token':4e-06,'output_cost_per_token':4e-06},"
             "'y':{'litellm_provider':'gemini','mode':'chat',"
             "'input_cost_per_token':5e-06,'output_cost_per_token':5e-06}}");
    assert_int_equal(facts.endpoint_count, 2);
    assert_price(&facts.endpoints[0], 0, prompt, 3 * DOLLAR);
    assert_price(&facts.endpoints[1], 0, prompt, 4 * DOLLAR);
    assert_true(dropped("bedrock/anthropic.x", "the map names this endpoint twice"));
    assert_true(dropped("y", "the map names this endpoint twice"));
}

TEST(what_is_retired_regional_or_of_unknown_length_is_not_added)
{
    read_map("{'gpt-old':{'litellm_provider':'openai','mode':'chat','max_input_tokens':9,"
             "'deprecation_date':'2026-07-24'},"
             "'gpt-soon':{'litellm_provider':'openai','mode':'chat','max_input_tokens':9,"
             "'deprecation_date':'2026-07-25'},"
             "'eu.amazon.nova':{'litellm_provider':'bedrock_converse','mode':'chat',"
             "'max_input_tokens':9},"
             "'bedrock/us-east-1/cohere.x':{'litellm_provider':'bedrock','mode':'chat',"
             "'max_input_tokens':9},"
             "'gpt-unknown':{'litellm_provider':'openai','mode':'chat'}}");
    assert_int_equal(facts.endpoint_count, 5);
    assert_slice(facts.endpoints[0].not_new, "its provider retired it");
    assert_slice(facts.endpoints[1].not_new, "");
    assert_slice(facts.endpoints[2].not_new, "a regional variant, which is not added by itself");
    assert_slice(facts.endpoints[3].not_new, "a regional variant, which is not added by itself");
    assert_slice(facts.endpoints[4].not_new, "its context length is not known");
}

TEST(ids_are_made_of_what_the_host_calls_the_model)
{
    static const struct {
        const char *map, *slug;
    } samples[] = {
        {"{'deepinfra/deepseek-ai/DeepSeek-R1':{'litellm_provider':'deepinfra','mode':'chat'}}",
         "deepseek/deepseek-r1"},
        {"{'fireworks_ai/accounts/fireworks/models/yi-34b':{'litellm_provider':'fireworks_ai',"
         "'mode':'chat'}}",
         "fireworks/yi-34b"},
        {"{'mistral/codestral-2508':{'litellm_provider':'mistral','mode':'chat'}}",
         "mistralai/codestral-2508"},
        {"{'cloudflare/@cf/meta/llama-2-7b':{'litellm_provider':'cloudflare','mode':'chat'}}",
         "meta-llama/llama-2-7b"},
        {"{'anthropic.claude-v1:0':{'litellm_provider':'bedrock','mode':'chat'}}",
         "amazon-bedrock/anthropic.claude-v1-0"},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        read_map(samples[i].map);
        assert_slice(facts.models[0].slug, samples[i].slug);
    }
}

TEST(a_map_that_is_no_object_is_refused)
{
    assert_fails(import_map_read(sample_json("[]"), SLICE("2026-07-24"), &arena, &facts),
                 WRONG_TYPE);
}

/* ---- our own file ---------------------------------------------------------------------------- */

#define PROVIDER                                                                       \
    "{'id':'acme','name':'Acme','dialect':'openai','base_url':'https://a.example/v1'," \
    "'headquarters':'US','privacy_policy_url':null,'terms_of_service_url':null,"       \
    "'status_page_url':null}"
#define MODEL_HEAD                                                                      \
    "{'id':'acme/large','name':'Acme: Large','description':'','created':1,"             \
    "'context_length':1000,'max_output':null,'input_modalities':['text','image'],"      \
    "'output_modalities':['text'],'tokenizer':'Other','supported_parameters':['stop']," \
    "'knowledge_cutoff':null,'deprecation_date':null,'endpoints':["
#define ENDPOINT(prices)                                                                  \
    "{'provider':'acme','upstream_model':'large-1','context_length':1000,'max_output':9," \
    "'quantization':'fp8','prices':" prices "}"
#define CATALOG(endpoint)                                                          \
    "{'format':'bourse-catalog-1','date':'2026-07-24','providers':[" PROVIDER "]," \
    "'models':[" MODEL_HEAD endpoint "]}]}"

static status read_catalog(const char *text)
{
    message = SLICE_NONE;
    return import_catalog_read(sample_json(text), &arena, &facts, &message);
}

TEST(a_catalog_file_is_read)
{
    assert_ok(read_catalog(
        CATALOG(ENDPOINT("{'prompt':'0.000002','completion':'0.00001','request':'0.005'},"
                         "'tiers':[{'above_prompt_tokens':500,'prompt':'0.000004'}]"))));
    assert_int_equal(facts.provider_count, 1);
    assert_int_equal(facts.model_count, 1);
    assert_int_equal(facts.endpoint_count, 1);
    assert_slice(facts.source_date, "2026-07-24");
    assert_slice(facts.providers[0].headquarters, "US");
    assert_slice(facts.providers[0].status_page_url, "");
    assert_slice(facts.models[0].input_modalities, "text,image");
    assert_int_equal(facts.models[0].output_max, 0);
    const struct endpoint_facts *endpoint = &facts.endpoints[0];
    assert_slice(endpoint->tag, "acme");
    assert_slice(endpoint->quantization, "fp8");
    assert_price(endpoint, 0, prompt, 2 * DOLLAR);
    assert_price(endpoint, 0, request, 5000 * DOLLAR);
    assert_int_equal(endpoint->price.tiers[1].above_prompt_tokens, 500);
    assert_price(endpoint, 1, prompt, 4 * DOLLAR);
    assert_price(endpoint, 1, completion, 10 * DOLLAR);
}

TEST(a_fault_of_a_catalog_file_is_said_with_its_place)
{
    assert_fails(read_catalog(CATALOG(ENDPOINT("{'prompt':'0.0000000000000001',"
                                               "'completion':'0.00001'}"))),
                 OUT_OF_RANGE); /* 16 decimals */
    assert_slice(
        message,
        "model acme/large: prices: prompt: must be a decimal with at most 15 digits behind "
        "the point");
    assert_fails(read_catalog(CATALOG(ENDPOINT("{'prompt':0.5,'completion':'0.00001'}"))),
                 WRONG_TYPE); /* a number went through floating point */
    assert_fails(read_catalog(CATALOG(ENDPOINT("{'prompt':'0.5'}"))), MISSING_FIELD);
    assert_fails(read_catalog(CATALOG(ENDPOINT("{'promt':'0.5'}"))), BAD_REQUEST);
    assert_slice(message, "model acme/large: prices: promt: is no class of prices");
    assert_fails(read_catalog("{'format':'bourse-catalog-2'}"), BAD_REQUEST);
    assert_fails(read_catalog("{'format':'bourse-catalog-1','date':'24 July'}"), BAD_REQUEST);
    assert_slice(message, "date: must be YYYY-MM-DD");
    assert_fails(read_catalog("[]"), BAD_REQUEST);
}

TEST(an_endpoint_says_when_its_provider_answers_it_on_responses_only)
{
#define PRICES "{'prompt':'0.000002','completion':'0.00001'}"
    assert_ok(read_catalog(CATALOG(ENDPOINT(PRICES))));
    assert_false(facts.endpoints[0].responses_only);
    assert_ok(read_catalog(CATALOG(ENDPOINT(PRICES ",'responses_only':false"))));
    assert_false(facts.endpoints[0].responses_only);
    assert_ok(read_catalog(CATALOG(ENDPOINT(PRICES ",'responses_only':true"))));
    assert_true(facts.endpoints[0].responses_only);
    assert_fails(read_catalog(CATALOG(ENDPOINT(PRICES ",'responses_only':'yes'"))), WRONG_TYPE);
    assert_slice(message, "model acme/large: responses_only: must be true or false");
}

TEST(a_catalog_price_of_zero_or_in_a_wrong_unit_is_not_served)
{
    assert_ok(read_catalog(CATALOG(ENDPOINT("{'prompt':'0','completion':'0'}"))));
    assert_false(facts.endpoints[0].has_price);
    assert_int_equal(facts.dropped_count, 1);
    assert_slice(facts.dropped[0].model, "acme/large");
    assert_ok(read_catalog(CATALOG(ENDPOINT("{'prompt':'0.06','completion':'0.2'}"))));
    assert_false(facts.endpoints[0].has_price);
}

TEST(a_provider_with_a_bad_field_is_refused)
{
    struct provider_facts provider;
    assert_ok(import_provider_read(sample_json(PROVIDER), &arena, &provider, &message));
    assert_fails(import_provider_read(sample_json("{'id':'Acme','name':'A','dialect':'openai',"
                                                  "'base_url':'https://a'}"),
                                      &arena, &provider, &message),
                 BAD_REQUEST);
    assert_slice(message, "provider Acme: id: takes lower-case letters, digits and hyphens");
    assert_fails(import_provider_read(sample_json("{'id':'acme','name':'A','dialect':'smoke',"
                                                  "'base_url':'https://a'}"),
                                      &arena, &provider, &message),
                 BAD_REQUEST);
    assert_fails(
        import_provider_read(sample_json("{'id':'acme','name':'A\\u0000','dialect':'openai',"
                                         "'base_url':'https://a'}"),
                             &arena, &provider, &message),
        OUT_OF_RANGE);
    assert_fails(import_provider_read(sample_json("{'id':'acme','name':'A','dialect':'openai',"
                                                  "'base_url':'file:///etc'}"),
                                      &arena, &provider, &message),
                 BAD_REQUEST);
}

#define IMPORT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IMPORT_TEST(an_entry_becomes_an_endpoint_of_its_provider),
        IMPORT_TEST(specials_other_modes_and_unknown_providers_are_skipped),
        IMPORT_TEST(a_price_in_a_wrong_unit_is_dropped),
        IMPORT_TEST(the_dearest_real_price_is_taken),
        IMPORT_TEST(a_map_says_which_entries_answer_on_responses_only),
        IMPORT_TEST(a_price_of_zero_is_unknown_rather_than_free),
        IMPORT_TEST(an_entry_without_a_price_stays_without_one),
        IMPORT_TEST(noise_of_floating_point_is_rounded_with_a_line),
        IMPORT_TEST(a_price_that_cannot_be_rounded_is_left_out_with_a_line),
        IMPORT_TEST(negative_and_textual_prices_are_left_out),
        IMPORT_TEST(prices_of_service_tiers_and_seconds_are_not_read),
        IMPORT_TEST(tiers_in_the_names_of_fields_ascend_and_inherit),
        IMPORT_TEST(tiers_as_an_array_of_ranges_need_no_prices_beside_it),
        IMPORT_TEST(ranges_in_disorder_and_too_many_tiers_are_dropped),
        IMPORT_TEST(older_and_zero_cache_prices_are_understood),
        IMPORT_TEST(a_model_that_always_searches_pays_the_search_with_every_request),
        IMPORT_TEST(an_endpoint_that_is_named_twice_counts_once_in_its_usual_form),
        IMPORT_TEST(what_is_retired_regional_or_of_unknown_length_is_not_added),
        IMPORT_TEST(ids_are_made_of_what_the_host_calls_the_model),
        IMPORT_TEST(a_map_that_is_no_object_is_refused),
        IMPORT_TEST(a_catalog_file_is_read),
        IMPORT_TEST(a_fault_of_a_catalog_file_is_said_with_its_place),
        IMPORT_TEST(an_endpoint_says_when_its_provider_answers_it_on_responses_only),
        IMPORT_TEST(a_catalog_price_of_zero_or_in_a_wrong_unit_is_not_served),
        IMPORT_TEST(a_provider_with_a_bad_field_is_refused),
    };
    return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
