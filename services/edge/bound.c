/* SPDX-License-Identifier: Apache-2.0 */
/* Sums and maxima. Output is bounded per choice and held for all choices together. */
#include "services/edge/bound.h"

/* Bytes per token when a guess on the safe side is needed: real text has about four. */
#define BYTES_PER_TOKEN_SAFE    3

/* The longest tokens there are stand for runs of 128 blanks. The slack is for what a provider does
 * not count as the answer's tokens: names of tools, a prefix of its own. */
#define BYTES_PER_TOKEN_LONGEST 128
#define TEXT_SLACK              4096

static uint32_t clamp_u32(uint64_t value)
{
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static uint64_t template_tokens(const struct wish *wish)
{
    return (uint64_t)wish->messages * TEMPLATE_TOKENS_PER_MESSAGE + TEMPLATE_TOKENS;
}

static uint64_t image_tokens(const struct wish *wish, const struct market_model *model)
{
    return (uint64_t)wish->images * model->image_tokens_max;
}

uint64_t bound_input_tokens(const struct wish *wish, const struct market_model *model)
{
    return wish->text_bytes + template_tokens(wish) + image_tokens(wish, model);
}

status bound_check_content(const struct wish *wish, const struct market_model *model,
                           const struct choose_result *choice)
{
    if (wish->images == 0) return OK;
    if ((model->input_modalities & MODALITY_IMAGE) == 0) return FAIL(UNSUPPORTED_CONTENT);
    if (model->image_tokens_max > 0) return OK;
    for (uint8_t i = 0; i < choice->count; i++) {
        const struct price_row *row = choice->candidates[i]->price;
        for (uint8_t tier = 0; tier < row->tier_count; tier++) {
            if (row->tiers[tier].prices[BILLING_image_in].nano_per_million <= 0)
                return FAIL(UNSUPPORTED_CONTENT);
        }
    }
    return OK;
}

uint32_t bound_output(const struct wish *wish, const struct market_model *model,
                      const struct market_endpoint *endpoint, uint32_t held)
{
    uint64_t output = held / wish->choices;
    if (wish->output_want != 0) return clamp_u32(output);
    /* Nobody named a number, so ours must fit: providers refuse a max_tokens above what they can
     * do. */
    uint32_t output_max = endpoint->output_max != 0 ? endpoint->output_max : model->output_max;
    if (output_max != 0 && output > output_max) output = output_max;
    uint64_t context =
        endpoint->upstream_context != 0 ? endpoint->upstream_context : model->context_length;
    if (context == 0) return clamp_u32(output);
    uint64_t prompt =
        wish->text_bytes / BYTES_PER_TOKEN_SAFE + template_tokens(wish) + image_tokens(wish, model);
    uint64_t room = context > prompt ? context - prompt : 0;
    if (room < OUTPUT_ROOM_MIN) room = OUTPUT_ROOM_MIN;
    return clamp_u32(output < room ? output : room);
}

uint64_t bound_text_bytes(uint32_t output_max)
{
    return (uint64_t)output_max * BYTES_PER_TOKEN_LONGEST + TEXT_SLACK;
}

static bool costs_nothing(const struct price_row *row)
{
    for (uint8_t tier = 0; tier < row->tier_count; tier++) {
        for (size_t class = 0; class < BILLING_CLASS_COUNT; class ++) {
            if (row->tiers[tier].prices[class].nano_per_million != 0) return false;
        }
    }
    return true;
}

/* Free is what costs nothing whoever answers. */
static uint8_t model_class(const struct choose_result *choice)
{
    for (uint8_t i = 0; i < choice->count; i++) {
        if (!costs_nothing(choice->candidates[i]->price)) return MODEL_PAID;
    }
    return choice->count > 0 ? MODEL_FREE : MODEL_PAID;
}

status bound_hold(const struct wish *wish, const struct market_model *model,
                  const struct choose_result *choice, struct message_hold *hold)
{
    const struct billing_bound bound = {
        .input_tokens_max = bound_input_tokens(wish, model),
        .images = wish->images,
        .requests = 1,
    };
    uint64_t output = (uint64_t)wish->output_want * wish->choices;
    for (uint8_t i = 0; i < choice->count; i++) {
        const struct market_endpoint *endpoint = choice->candidates[i];
        money fixed;
        TRY(billing_bound_fixed(endpoint->price, &bound, &fixed));
        hold->fixed = money_max(hold->fixed, fixed);
        hold->output_price =
            price_max(hold->output_price,
                      billing_bound_output_price(endpoint->price, bound.input_tokens_max));
        uint64_t here = wish->choices * (uint64_t)bound_output(wish, model, endpoint, UINT32_MAX);
        if (wish->output_want == 0 && here > output) output = here;
        hold->price_ids.items[hold->price_ids.count++] = endpoint->price->id;
    }
    hold->output_want = clamp_u32(output);
    hold->may_shrink = wish->output_want == 0;
    hold->choices = wish->choices;
    hold->output_min = hold->may_shrink ? wish->choices : hold->output_want; /* a token each */
    hold->model_class = model_class(choice);
    /* As usage_estimate() counts text: the bound above would use up a minute's tokens four times as
     * fast as the text does. */
    hold->input_tokens = clamp_u32((wish->text_bytes + 3) / 4 + image_tokens(wish, model));
    return OK;
}
