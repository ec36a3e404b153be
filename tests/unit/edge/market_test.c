/* SPDX-License-Identifier: Apache-2.0 */
/* The market from frames: what a good snapshot holds, and what drops a bad one; the board of
 * health beside it. */
#include <stdio.h>
#include <stdlib.h>

#include "services/edge/market.h"
#include "tests/unit/test.h"

/* ---- a snapshot as the catalog sends it ------------------------------------------------------ */

struct feed {
    struct market_builder *builder;
    struct buffer bytes;
    uint32_t rows;
    status last;
};

static void feed_open(struct feed *feed)
{
    *feed = (struct feed){.builder = market_builder_new(7)};
    buffer_init(&feed->bytes, 1 << 20);
}

static void feed_frame(struct feed *feed)
{
    struct frame frame;
    size_t taken;
    assert_ok(frame_next(buffer_slice(&feed->bytes), &frame, &taken));
    feed->last = market_builder_add(feed->builder, &frame);
    /* Texts are views of the frame, which is gone after this. */
    memset(feed->bytes.data, '#', feed->bytes.len);
    buffer_clear(&feed->bytes);
    feed->rows++;
}

#define SEND(feed, message, ...)                          \
    do {                                                  \
        struct message_##message m_ = {__VA_ARGS__};      \
        message_encode_##message(&(feed)->bytes, 0, &m_); \
        feed_frame(feed);                                 \
    } while (0)

static status feed_close(struct feed *feed, uint32_t rows, uint64_t revision,
                         struct market **market)
{
    const struct message_market_ready ready = {.revision = revision, .rows = rows};
    status finished = market_builder_finish(&feed->builder, &ready, market);
    assert_null(feed->builder);
    buffer_free(&feed->bytes);
    return finished;
}

static void send_provider(struct feed *feed, uint32_t id, slice slug)
{
    SEND(feed, provider, .id = id, .slug = slug, .name = SLICE("Name"),
         .dialect = DIALECT_ANTHROPIC, .base_url = SLICE("https://api.example.com/v1"),
         .key_version = 3);
}

static void send_model(struct feed *feed, uint32_t id, slice slug)
{
    SEND(feed, model, .id = id, .slug = slug, .name = SLICE("Model"), .context_length = 128000,
         .output_max = 16000, .input_modalities = MODALITY_TEXT | MODALITY_IMAGE,
         .image_tokens_max = 1100);
}

static void send_price(struct feed *feed, uint32_t id, int64_t prompt)
{
    struct price_row row = {.id = id, .tier_count = 1};
    row.tiers[0].prices[BILLING_prompt].nano_per_million = prompt;
    SEND(feed, market_price, .row = row);
}

static void send_endpoint(struct feed *feed, uint32_t id, uint32_t model, uint32_t provider,
                          uint32_t price_id)
{
    SEND(feed, endpoint, .id = id, .model = model, .provider = provider, .price_id = price_id,
         .upstream_model = SLICE("up-1"), .context_length = 64000, .output_max = 8000);
}

/* ---- good snapshots -------------------------------------------------------------------------- */

TEST(a_snapshot_joins_models_endpoints_providers_and_prices)
{
    struct feed feed;
    struct market *market = NULL;
    feed_open(&feed);
    send_provider(&feed, 11, SLICE("alpha"));
    send_provider(&feed, 12, SLICE("beta"));
    send_price(&feed, 21, 150000000);
    send_model(&feed, 31, SLICE("acme/large"));
    send_model(&feed, 32, SLICE("acme/small"));
    send_endpoint(&feed, 45, 31, 12, 21);
    send_endpoint(&feed, 43, 32, 11, 0);
    send_endpoint(&feed, 44, 31, 11, 21); /* ids of one model come in any order */
    assert_ok(feed.last);
    assert_ok(feed_close(&feed, 8, 7, &market));

    assert_int_equal(market_revision(market), 7);
    assert_int_equal(market_model_count(market), 2);
    const struct market_model *large = market_find(market, SLICE("acme/large"));
    assert_non_null(large);
    assert_int_equal(large->id, 31);
    assert_slice(large->name, "Model");
    assert_int_equal(large->context_length, 128000);
    assert_int_equal(large->output_max, 16000);
    assert_int_equal(large->input_modalities, 3);
    assert_int_equal(large->image_tokens_max, 1100);
    assert_int_equal(large->endpoint_count, 2);
    assert_int_equal(large->endpoints[0].id, 44);
    assert_int_equal(large->endpoints[1].id, 45);
    assert_slice(large->endpoints[0].provider->slug, "alpha");
    assert_slice(large->endpoints[1].provider->slug, "beta");
    assert_slice(large->endpoints[1].provider->base.host, "api.example.com");
    assert_slice(large->endpoints[1].provider->base.target, "/v1");
    assert_int_equal(large->endpoints[1].provider->key_version, 3);
    assert_slice(large->endpoints[0].upstream_model, "up-1");
    assert_int_equal(large->endpoints[0].upstream_context, 64000);
    assert_int_equal(large->endpoints[0].output_max, 8000);
    assert_int_equal(large->endpoints[0].price->id, 21);
    assert_int_equal(large->endpoints[0].price->tiers[0].prices[BILLING_prompt].nano_per_million,
                     150000000);
    const struct market_model *small = market_find(market, SLICE("acme/small"));
    assert_null(small->endpoints[0].price);
    assert_false(small->endpoints[0].disabled);
    assert_null(market_find(market, SLICE("acme/larg")));
    assert_null(market_find(market, SLICE("acme/large2")));
    assert_null(market_find(market, SLICE_NONE));
    market_release(&market);
    assert_null(market);
}

/* It serves all but the one who cannot be called, and that one's calls fail. */
TEST(a_provider_whose_address_is_none_has_no_host)
{
    struct feed feed;
    struct market *market;
    feed_open(&feed);
    SEND(&feed, provider, .id = 11, .slug = SLICE("alpha"), .name = SLICE("Name"),
         .base_url = SLICE("https://api.example.com@elsewhere/v1"));
    send_model(&feed, 31, SLICE("acme/large"));
    send_endpoint(&feed, 44, 31, 11, 0);
    assert_ok(feed_close(&feed, 3, 7, &market));
    const struct market_model *model = market_find(market, SLICE("acme/large"));
    assert_int_equal(model->endpoints[0].provider->base.host.len, 0);
    market_release(&market);
}

TEST(an_empty_snapshot_is_a_market_without_models)
{
    struct feed feed;
    struct market *market = NULL;
    feed_open(&feed);
    assert_ok(feed_close(&feed, 0, 7, &market));
    assert_int_equal(market_model_count(market), 0);
    assert_null(market_find(market, SLICE("acme/large")));
    market_release(&market);
}

TEST(every_one_of_many_models_is_found)
{
    enum { MODELS = 3000 };
    struct feed feed;
    struct market *market = NULL;
    feed_open(&feed);
    send_provider(&feed, 1, SLICE("alpha"));
    send_price(&feed, 1, 1);
    char slug[32];
    for (uint32_t i = 1; i <= MODELS; i++) {
        snprintf(slug, sizeof(slug), "author/model-%u", i);
        send_model(&feed, i * 977, slice_of(slug)); /* ids far apart */
        send_endpoint(&feed, i, i * 977, 1, 1);
        assert_ok(feed.last);
    }
    assert_ok(feed_close(&feed, feed.rows, 7, &market));
    for (uint32_t i = 1; i <= MODELS; i++) {
        snprintf(slug, sizeof(slug), "author/model-%u", i);
        const struct market_model *model = market_find(market, slice_of(slug));
        assert_non_null(model);
        assert_int_equal(model->id, i * 977);
        assert_int_equal(model->endpoint_count, 1);
        assert_int_equal(model->endpoints[0].id, i);
    }
    assert_null(market_find(market, SLICE("author/model-3001")));
    market_release(&market);
}

TEST(a_market_lives_until_its_last_reader_lets_go)
{
    struct feed feed;
    struct market *market = NULL;
    feed_open(&feed);
    send_model(&feed, 1, SLICE("a/b"));
    assert_ok(feed_close(&feed, 1, 7, &market));
    struct market *reader = market_retain(market);
    market_release(&market);
    assert_non_null(market_find(reader, SLICE("a/b")));
    market_release(&reader);
    market_release(&reader); /* of nothing */
}

TEST(a_simulated_provider_is_spoken_to_in_openai)
{
    struct market_provider provider = {.dialect = DIALECT_GEMINI};
    struct market_endpoint endpoint = {.provider = &provider};
    assert_int_equal(market_endpoint_dialect(&endpoint), DIALECT_GEMINI);
    provider.simulated = true;
    assert_int_equal(market_endpoint_dialect(&endpoint), DIALECT_OPENAI);
}

TEST(a_model_is_live_with_the_first_real_provider)
{
    struct feed feed;
    struct market *market = NULL;
    feed_open(&feed);
    SEND(&feed, provider, .id = 11, .slug = SLICE("alpha"), .simulated = 1);
    SEND(&feed, provider, .id = 12, .slug = SLICE("beta"));
    send_model(&feed, 31, SLICE("acme/simulated"));
    send_model(&feed, 32, SLICE("acme/both"));
    send_endpoint(&feed, 41, 31, 11, 0);
    send_endpoint(&feed, 42, 32, 12, 0);
    send_endpoint(&feed, 43, 32, 11, 0);
    assert_ok(feed_close(&feed, 7, 7, &market));
    assert_false(market_find(market, SLICE("acme/simulated"))->live);
    assert_true(market_find(market, SLICE("acme/both"))->live);
    market_release(&market);
}

/* ---- bad snapshots --------------------------------------------------------------------------- */

static void expect_refused(struct feed *feed)
{
    assert_fails(feed->last, MALFORMED);
    market_builder_free(&feed->builder);
    assert_null(feed->builder);
    buffer_free(&feed->bytes);
}

TEST(a_reference_to_nothing_is_malformed)
{
    static const struct {
        uint32_t model, provider, price;
    } rows[] = {{2, 1, 1}, {1, 2, 1}, {1, 1, 2}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct feed feed;
        feed_open(&feed);
        send_provider(&feed, 1, SLICE("alpha"));
        send_price(&feed, 1, 1);
        send_model(&feed, 1, SLICE("a/b"));
        send_endpoint(&feed, 1, rows[i].model, rows[i].provider, rows[i].price);
        expect_refused(&feed);
    }
}

TEST(an_id_twice_or_zero_is_malformed)
{
    struct feed feed;
    feed_open(&feed);
    send_provider(&feed, 1, SLICE("alpha"));
    send_provider(&feed, 1, SLICE("beta"));
    expect_refused(&feed);
    feed_open(&feed);
    send_model(&feed, 0, SLICE("a/b"));
    expect_refused(&feed);
}

TEST(a_slug_twice_drops_the_snapshot)
{
    struct feed feed;
    struct market *market = NULL;
    feed_open(&feed);
    send_model(&feed, 1, SLICE("a/b"));
    send_model(&feed, 2, SLICE("a/b"));
    assert_ok(feed.last);
    assert_fails(feed_close(&feed, 2, 7, &market), MALFORMED);
    assert_null(market);
}

TEST(a_wrong_count_or_revision_drops_the_snapshot)
{
    struct feed feed;
    struct market *market = NULL;
    feed_open(&feed);
    send_model(&feed, 1, SLICE("a/b"));
    assert_fails(feed_close(&feed, 2, 7, &market), MALFORMED);
    feed_open(&feed);
    send_model(&feed, 1, SLICE("a/b"));
    assert_fails(feed_close(&feed, 1, 8, &market), MALFORMED);
    assert_null(market);
}

TEST(a_frame_of_another_kind_is_malformed)
{
    struct feed feed;
    feed_open(&feed);
    SEND(&feed, health, .endpoint = 1);
    expect_refused(&feed);
}

/* ---- health ---------------------------------------------------------------------------------- */

TEST(health_is_what_the_catalog_said)
{
    struct health_board *board = health_board_new();
    assert_int_equal(health_board_read(board, 5, 0), HEALTH_STABLE);
    health_board_set(board, 5, HEALTH_DOWN);
    assert_int_equal(health_board_read(board, 5, 0), HEALTH_DOWN);
    assert_int_equal(health_board_read(board, 6, 0), HEALTH_STABLE);
    health_board_set(board, 5, HEALTH_DEGRADED);
    assert_int_equal(health_board_read(board, 5, 0), HEALTH_DEGRADED);
    free(board);
}

TEST(an_own_failure_counts_ten_seconds_and_a_success_clears_it)
{
    struct health_board *board = health_board_new();
    health_board_observe(board, 5, ATTEMPT_SERVER, 1000, 0);
    assert_int_equal(health_board_read(board, 5, 1000), HEALTH_DEGRADED);
    assert_int_equal(health_board_read(board, 5, 10999), HEALTH_DEGRADED);
    assert_int_equal(health_board_read(board, 5, 11000), HEALTH_STABLE);
    health_board_observe(board, 5, ATTEMPT_TIMEOUT, 20000, 0);
    health_board_observe(board, 5, ATTEMPT_OK, 20001, 0);
    assert_int_equal(health_board_read(board, 5, 20002), HEALTH_STABLE);
    free(board);
}

TEST(a_rate_limit_counts_as_long_as_the_provider_asks)
{
    struct health_board *board = health_board_new();
    health_board_observe(board, 5, ATTEMPT_RATE_LIMITED, 1000, 30000);
    assert_int_equal(health_board_read(board, 5, 30999), HEALTH_DOWN);
    assert_int_equal(health_board_read(board, 5, 31000), HEALTH_STABLE);
    /* A day is cut to ten minutes. */
    health_board_observe(board, 5, ATTEMPT_RATE_LIMITED, 0, 86400000);
    assert_int_equal(health_board_read(board, 5, 599999), HEALTH_DOWN);
    assert_int_equal(health_board_read(board, 5, 600000), HEALTH_STABLE);
    free(board);
}

TEST(the_worse_of_both_counts)
{
    struct health_board *board = health_board_new();
    health_board_set(board, 5, HEALTH_DOWN);
    health_board_observe(board, 5, ATTEMPT_SERVER, 0, 0);
    assert_int_equal(health_board_read(board, 5, 1), HEALTH_DOWN);
    health_board_observe(board, 5, ATTEMPT_OK, 0,
                         0); /* clears what we saw, not what the catalog says */
    assert_int_equal(health_board_read(board, 5, 1), HEALTH_DOWN);
    free(board);
}

TEST(what_the_client_caused_says_nothing_about_an_endpoint)
{
    struct health_board *board = health_board_new();
    health_board_observe(board, 5, ATTEMPT_BAD_REQUEST, 0, 0);
    health_board_observe(board, 5, ATTEMPT_CLIENT_GONE, 0, 0);
    assert_int_equal(health_board_read(board, 5, 1), HEALTH_STABLE);
    health_board_observe(board, 5, ATTEMPT_AUTH, 0, 0);
    health_board_observe(board, 5, ATTEMPT_BAD_REQUEST, 0, 0);
    assert_int_equal(health_board_read(board, 5, 1), HEALTH_DOWN);
    free(board);
}

TEST(endpoints_beyond_the_board_count_as_stable)
{
    struct health_board *board = health_board_new();
    health_board_set(board, 65535, HEALTH_DOWN);
    health_board_set(board, 65536, HEALTH_DOWN);
    health_board_observe(board, 4000000000u, ATTEMPT_SERVER, 0, 0);
    assert_int_equal(health_board_read(board, 65535, 1), HEALTH_DOWN);
    assert_int_equal(health_board_read(board, 65536, 1), HEALTH_STABLE);
    assert_int_equal(health_board_read(board, 4000000000u, 1), HEALTH_STABLE);
    free(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_joins_models_endpoints_providers_and_prices),
        cmocka_unit_test(a_provider_whose_address_is_none_has_no_host),
        cmocka_unit_test(an_empty_snapshot_is_a_market_without_models),
        cmocka_unit_test(every_one_of_many_models_is_found),
        cmocka_unit_test(a_market_lives_until_its_last_reader_lets_go),
        cmocka_unit_test(a_simulated_provider_is_spoken_to_in_openai),
        cmocka_unit_test(a_model_is_live_with_the_first_real_provider),
        cmocka_unit_test(a_reference_to_nothing_is_malformed),
        cmocka_unit_test(an_id_twice_or_zero_is_malformed),
        cmocka_unit_test(a_slug_twice_drops_the_snapshot),
        cmocka_unit_test(a_wrong_count_or_revision_drops_the_snapshot),
        cmocka_unit_test(a_frame_of_another_kind_is_malformed),
        cmocka_unit_test(health_is_what_the_catalog_said),
        cmocka_unit_test(an_own_failure_counts_ten_seconds_and_a_success_clears_it),
        cmocka_unit_test(a_rate_limit_counts_as_long_as_the_provider_asks),
        cmocka_unit_test(the_worse_of_both_counts),
        cmocka_unit_test(what_the_client_caused_says_nothing_about_an_endpoint),
        cmocka_unit_test(endpoints_beyond_the_board_count_as_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
