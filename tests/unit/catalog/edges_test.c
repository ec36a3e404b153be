/* SPDX-License-Identifier: Apache-2.0 */
/* What an edge gets on run/catalog-ipc.sock: the market at once and after each change, health,
 * keys. Both ends are real peers on one loop. */
#include "tests/unit/test.h"

#include "services/catalog/edges.h"
#include "shared/clock.h"
#include "shared/ipc/peer.h"
#include "tests/unit/catalog/support.h"

#define DEADLINE_MS 5000

/* What the edge's side saw. */
struct seen {
    int opened, closed, welcomes, begins, readies, providers, models, prices, endpoints;
    uint64_t revision;
    bool rows_right;
    int rows;
    struct message_provider acme, beta;
    char acme_url[64], beta_url[64];
    uint32_t unpriced_price_id;
    bool thinker_disabled;
    int healths;
    uint32_t health_endpoint;
    uint8_t health_state;
    int answers;
    uint16_t key_error;
    uint32_t key_version;
    char key[64];
};

static struct scratch scratch;
static struct catalog catalog;
static h2o_loop_t *loop;
static struct edges *edges;
static struct peer_set *set;
static struct peer *peer;
static struct seen seen;

static void side_opened(struct peer *opened, void *context)
{
    (void)opened;
    (void)context;
    seen.opened++;
}

static void side_closed(struct peer *closed, void *context)
{
    (void)closed;
    (void)context;
    seen.closed++;
}

static status take_provider(slice body)
{
    struct message_provider m;
    TRY(message_decode_provider(body, &m));
    seen.providers++;
    seen.rows++;
    if (m.id == 1) {
        seen.acme = m;
        TRY(slice_to_c_string(m.base_url, seen.acme_url, sizeof(seen.acme_url)));
    } else if (m.id == 2) {
        seen.beta = m;
        TRY(slice_to_c_string(m.base_url, seen.beta_url, sizeof(seen.beta_url)));
    }
    return OK;
}

static status take_endpoint(slice body)
{
    struct message_endpoint m;
    TRY(message_decode_endpoint(body, &m));
    seen.endpoints++;
    seen.rows++;
    if (m.id == 15) seen.unpriced_price_id = m.price_id;
    if (m.id == 14) seen.thinker_disabled = m.disabled != 0;
    return OK;
}

static status take_ready(slice body)
{
    struct message_market_ready m;
    TRY(message_decode_market_ready(body, &m));
    seen.readies++;
    seen.revision = m.revision;
    seen.rows_right = (int)m.rows == seen.rows;
    return OK;
}

static status take_health(slice body)
{
    struct message_health m;
    TRY(message_decode_health(body, &m));
    seen.healths++;
    seen.health_endpoint = m.endpoint;
    seen.health_state = m.state;
    return OK;
}

static status side_received(struct peer *from, const struct frame *frame, void *context)
{
    (void)from;
    (void)context;
    switch (frame->type) {
    case MESSAGE_welcome: seen.welcomes++; return OK;
    case MESSAGE_market_begin:
        seen.begins++;
        seen.rows = 0;
        return OK;
    case MESSAGE_provider: return take_provider(frame->body);
    case MESSAGE_model:
        seen.models++;
        seen.rows++;
        return OK;
    case MESSAGE_market_price:
        seen.prices++;
        seen.rows++;
        return OK;
    case MESSAGE_endpoint: return take_endpoint(frame->body);
    case MESSAGE_market_ready: return take_ready(frame->body);
    case MESSAGE_health: return take_health(frame->body);
    default: return FAIL(MALFORMED);
    }
}

static const struct peer_callbacks side = {side_opened, side_received, side_closed};

static void turn(void)
{
    edges_flush(edges);
    peer_set_flush(set);
    (void)h2o_evloop_run(loop, 20);
}

#define wait_for(condition)                                   \
    do {                                                      \
        uint64_t until_ = clock_monotonic_ms() + DEADLINE_MS; \
        while (!(condition) && clock_monotonic_ms() < until_) \
            turn();                                           \
        assert_true(condition);                               \
    } while (0)

static int set_up(void **state)
{
    (void)state;
    assert_ok(secret_init());
    sample_catalog_open(&scratch, &catalog);
    seen = (struct seen){0};
    if (loop == NULL) loop = h2o_evloop_create(); /* it cannot be freed: one for all tests */
    assert_ok(edges_start(&catalog, loop, &edges));
    set = peer_set_new(loop);
    peer = peer_dial(set, "run/catalog-ipc.sock", &side, NULL);
    wait_for(seen.opened == 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_set_free(&set);
    edges_stop(&edges);
    (void)h2o_evloop_run(loop, 0); /* frees closed sockets */
    sample_catalog_close(&scratch, &catalog);
    return 0;
}

static void say_hello(bool wants_market)
{
    struct message_hello hello = {
        .version = MESSAGE_VERSION, .incarnation = 1, .threads = 1, .wants_market = wants_market};
    message_encode_hello(peer_out(peer), 0, &hello);
}

TEST(the_market_comes_whole_with_the_welcome)
{
    catalog_swap_market(&catalog, sample_market(9, true));
    say_hello(true);
    wait_for(seen.readies == 1);
    assert_int_equal(seen.welcomes, 1);
    assert_int_equal(seen.begins, 1);
    assert_int_equal(seen.revision, 9);
    assert_int_equal(seen.providers, 3);
    assert_int_equal(seen.models, 4);
    assert_int_equal(seen.prices, 4);
    assert_int_equal(seen.endpoints, 5);
    assert_true(seen.rows_right);
    assert_int_equal(seen.unpriced_price_id, 0);
}

TEST(a_simulated_provider_is_sent_with_the_address_and_dialect_of_the_simulator)
{
    catalog_swap_market(&catalog, sample_market(9, true));
    say_hello(true);
    wait_for(seen.readies == 1);
    assert_string_equal(seen.acme_url, "https://api.acme.example/v1");
    assert_false(seen.acme.simulated);
    assert_int_equal(seen.acme.key_version, 2);
    assert_string_equal(seen.beta_url, "http://127.0.0.1:9001/beta/v1");
    assert_true(seen.beta.simulated);
    assert_int_equal(seen.beta.dialect, DIALECT_OPENAI);
    assert_int_equal(seen.beta.key_version, 1);
    assert_false(seen.thinker_disabled);
}

TEST(without_the_simulator_endpoints_of_providers_that_are_not_live_are_disabled)
{
    catalog_swap_market(&catalog, sample_market(9, false));
    say_hello(true);
    wait_for(seen.readies == 1);
    assert_string_equal(seen.beta_url, "https://beta.example/v1");
    assert_int_equal(seen.beta.dialect, DIALECT_ANTHROPIC);
    assert_int_equal(seen.beta.key_version, 0);
    assert_true(seen.thinker_disabled);
}

TEST(each_new_market_is_pushed_and_the_same_one_is_not_sent_twice)
{
    say_hello(true);
    wait_for(seen.welcomes == 1);
    assert_int_equal(seen.readies, 0); /* there is none yet */
    catalog_swap_market(&catalog, sample_market(9, true));
    wait_for(seen.readies == 1);
    catalog_swap_market(&catalog, sample_market(10, true));
    wait_for(seen.readies == 2);
    assert_int_equal(seen.revision, 10);
    for (int i = 0; i < 30; i++) /* more than two ticks */
        turn();
    assert_int_equal(seen.readies, 2);
}

TEST(a_connection_that_wants_no_market_gets_none)
{
    catalog_swap_market(&catalog, sample_market(9, true));
    say_hello(false);
    wait_for(seen.welcomes == 1);
    for (int i = 0; i < 5; i++)
        turn();
    assert_int_equal(seen.begins, 0);
}

static void tell_outcome(enum attempt_result result)
{
    struct message_outcome outcome = {.endpoint = 13, .result = (uint8_t)result};
    message_encode_outcome(peer_out(peer), 0, &outcome);
}

TEST(outcomes_become_health_for_everybody)
{
    catalog_swap_market(&catalog, sample_market(9, true));
    say_hello(true);
    wait_for(seen.readies == 1);
    for (int i = 0; i < 5; i++)
        tell_outcome(ATTEMPT_SERVER);
    wait_for(seen.healths == 2); /* degraded, then down */
    assert_int_equal(seen.health_endpoint, 13);
    assert_int_equal(seen.health_state, HEALTH_DOWN);
    catalog_swap_market(&catalog, sample_market(10, true));
    wait_for(seen.readies == 2 && seen.healths == 3); /* again, behind the new market */
    assert_int_equal(seen.health_state, HEALTH_DOWN);
}

static void key_answered(void *context, status result, const struct frame *frame)
{
    (void)context;
    struct message_key_opened m;
    assert_ok(result);
    assert_ok(message_decode_key_opened(frame->body, &m));
    seen.answers++;
    seen.key_error = m.error;
    seen.key_version = m.key_version;
    assert_ok(slice_to_c_string(m.key, seen.key, sizeof(seen.key)));
}

static void ask_key(uint32_t provider)
{
    int before = seen.answers;
    struct peer_call question = {.answer = key_answered, .deadline_ms = DEADLINE_MS};
    uint64_t request = peer_call_begin(peer, question);
    message_encode_key_open(peer_out(peer), request,
                            &(struct message_key_open){.provider = provider});
    wait_for(seen.answers == before + 1);
}

/* A market whose live provider has a key that this catalog's vault sealed for version 2 of
 * `slug`. */
static struct market *market_with_key(slice slug)
{
    struct market *market = sample_market(9, true);
    char memory[VAULT_SEALED_MAX];
    struct buffer sealed;
    buffer_init_fixed(&sealed, memory, sizeof(memory));
    struct vault_place place = {.provider = slug, .version = 2};
    assert_ok(vault_seal(catalog.vault, place, SLICE("sk-real"), &sealed));
    assert_ok(market_copy(market, buffer_slice(&sealed), &market->providers[0].key_sealed));
    return market;
}

TEST(the_key_of_a_live_provider_is_opened)
{
    catalog_swap_market(&catalog, market_with_key(SLICE("acme")));
    say_hello(true);
    ask_key(1);
    assert_int_equal(seen.key_error, ERROR_NONE);
    assert_int_equal(seen.key_version, 2);
    assert_string_equal(seen.key, "sk-real");
}

TEST(a_key_that_was_sealed_for_another_provider_is_not_opened)
{
    catalog_swap_market(&catalog, market_with_key(SLICE("beta")));
    say_hello(true);
    ask_key(1);
    assert_int_equal(seen.key_error, ERROR_CRYPTO);
    assert_string_equal(seen.key, "");
}

TEST(a_simulated_provider_has_a_harmless_key)
{
    catalog_swap_market(&catalog, sample_market(9, true));
    say_hello(true);
    ask_key(2);
    assert_int_equal(seen.key_error, ERROR_NONE);
    assert_int_equal(seen.key_version, 1);
    assert_string_equal(seen.key, "sim-beta");
}

TEST(a_provider_without_a_key_is_not_found)
{
    catalog_swap_market(&catalog, sample_market(9, false));
    say_hello(true);
    ask_key(2);
    assert_int_equal(seen.key_error, ERROR_NOT_FOUND);
    ask_key(77);
    assert_int_equal(seen.key_error, ERROR_NOT_FOUND);
}

TEST(an_edge_that_does_not_greet_first_is_closed)
{
    tell_outcome(ATTEMPT_OK);
    wait_for(seen.closed == 1);
}

TEST(an_edge_of_a_later_version_is_closed)
{
    struct message_hello hello = {.version = MESSAGE_VERSION + 1, .threads = 1};
    message_encode_hello(peer_out(peer), 0, &hello);
    wait_for(seen.closed == 1);
}

TEST(a_second_greeting_closes_the_edge)
{
    say_hello(true);
    wait_for(seen.welcomes == 1);
    say_hello(true);
    wait_for(seen.closed == 1);
}

TEST(a_message_that_an_edge_may_not_send_closes_it)
{
    say_hello(true);
    wait_for(seen.welcomes == 1);
    message_encode_settled(peer_out(peer), 0, &(struct message_settled){0});
    wait_for(seen.closed == 1);
}

#define EDGES_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EDGES_TEST(the_market_comes_whole_with_the_welcome),
        EDGES_TEST(a_simulated_provider_is_sent_with_the_address_and_dialect_of_the_simulator),
        EDGES_TEST(without_the_simulator_endpoints_of_providers_that_are_not_live_are_disabled),
        EDGES_TEST(each_new_market_is_pushed_and_the_same_one_is_not_sent_twice),
        EDGES_TEST(a_connection_that_wants_no_market_gets_none),
        EDGES_TEST(outcomes_become_health_for_everybody),
        EDGES_TEST(the_key_of_a_live_provider_is_opened),
        EDGES_TEST(a_key_that_was_sealed_for_another_provider_is_not_opened),
        EDGES_TEST(a_simulated_provider_has_a_harmless_key),
        EDGES_TEST(a_provider_without_a_key_is_not_found),
        EDGES_TEST(an_edge_that_does_not_greet_first_is_closed),
        EDGES_TEST(an_edge_of_a_later_version_is_closed),
        EDGES_TEST(a_second_greeting_closes_the_edge),
        EDGES_TEST(a_message_that_an_edge_may_not_send_closes_it),
    };
    return cmocka_run_group_tests_name("edges", tests, NULL, NULL);
}
