/* SPDX-License-Identifier: Apache-2.0 */
/* MARKET_BEGIN … MARKET_READY. A provider that is simulated is sent with the simulated provider's
 * address and dialect, so that everything behind the edge's choice is the same for both kinds. */
#include "services/catalog/frames.h"

#include "shared/log.h"

#define NO_REQUEST 0 /* these frames answer no question */

static void encode_provider(struct buffer *out, const struct market_provider *provider,
                            uint16_t sim_port);
static void encode_model(struct buffer *out, const struct market_model *model);
static void encode_endpoint(struct buffer *out, const struct market_endpoint *endpoint);

status frames_encode(struct market *market, uint16_t sim_port)
{
    struct buffer *out = &market->frames;
    message_encode_market_begin(out, NO_REQUEST,
                                &(struct message_market_begin){.revision = market->revision});
    for (uint32_t i = 0; i < market->provider_count; i++)
        encode_provider(out, &market->providers[i], sim_port);
    for (uint32_t i = 0; i < market->price_count; i++)
        message_encode_market_price(out, NO_REQUEST,
                                    &(struct message_market_price){.row = market->prices[i]});
    for (uint32_t i = 0; i < market->model_count; i++)
        encode_model(out, &market->models[i]);
    for (uint32_t i = 0; i < market->endpoint_count; i++)
        encode_endpoint(out, &market->endpoints[i]);
    struct message_market_ready ready = {
        .revision = market->revision,
        .rows = market->provider_count + market->price_count + market->model_count +
                market->endpoint_count,
    };
    message_encode_market_ready(out, NO_REQUEST, &ready);
    if (status_ok(buffer_finish(out))) return OK;
    log_error("market_too_large", FN(number, revision, market->revision),
              FN(count, endpoints, market->endpoint_count),
              FN(number, bytes_max, MARKET_FRAMES_MAX));
    return FAIL(OVERFLOW);
}

static void encode_provider(struct buffer *out, const struct market_provider *provider,
                            uint16_t sim_port)
{
    char memory[128]; /* "http://127.0.0.1:65535/" + a slug of at most 63 + "/v1" */
    struct buffer url;
    buffer_init_fixed(&url, memory, sizeof(memory));
    buffer_append(&url, SLICE("http://127.0.0.1:"));
    buffer_append_u64(&url, sim_port);
    buffer_append_char(&url, '/');
    buffer_append(&url, provider->slug);
    buffer_append(&url, SLICE("/v1"));
    struct message_provider message = {
        .id = provider->id,
        .slug = provider->slug,
        .name = provider->name,
        .dialect = (uint8_t)(provider->simulated ? DIALECT_OPENAI : provider->dialect),
        .simulated = provider->simulated,
        .base_url = provider->simulated ? buffer_slice(&url) : market_base_url(provider),
        .key_version = provider->simulated ? KEY_VERSION_SIMULATED
                       : provider->live    ? provider->key_version
                                           : 0,
    };
    message_encode_provider(out, NO_REQUEST, &message);
}

static uint32_t modality_bits(slice joined)
{
    static const struct {
        slice name;
        enum modality bit;
    } names[] = {
        {{"text", 4}, MODALITY_TEXT},   {{"image", 5}, MODALITY_IMAGE},
        {{"audio", 5}, MODALITY_AUDIO}, {{"file", 4}, MODALITY_FILE},
        {{"video", 5}, MODALITY_VIDEO},
    };
    uint32_t bits = 0;
    while (joined.len > 0) {
        slice name;
        (void)slice_split(joined, ',', &name, &joined);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            if (slice_equal(name, names[i].name)) bits |= names[i].bit;
        }
    }
    return bits;
}

static void encode_model(struct buffer *out, const struct market_model *model)
{
    struct message_model message = {
        .id = model->id,
        .slug = model->slug,
        .name = model->name,
        .context_length = model->context_length,
        .output_max = model->output_max,
        .input_modalities = modality_bits(model->input_modalities),
        .image_tokens_max = 0, /* no column holds it yet: images are refused unless priced each */
    };
    message_encode_model(out, NO_REQUEST, &message);
}

static void encode_endpoint(struct buffer *out, const struct market_endpoint *endpoint)
{
    struct message_endpoint message = {
        .id = endpoint->id,
        .model = endpoint->model->id,
        .provider = endpoint->provider->id,
        .price_id = endpoint->price == NULL ? 0 : endpoint->price->id,
        .upstream_model = endpoint->upstream_model,
        .context_length = endpoint->context_length,
        .output_max = endpoint->output_max,
        .disabled = endpoint->disabled || !market_is_reachable(endpoint),
    };
    message_encode_endpoint(out, NO_REQUEST, &message);
}
