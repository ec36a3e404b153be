/* SPDX-License-Identifier: Apache-2.0 */
/* The most that a request can cost, from what was read and the candidates that may serve it: the
 * figures of a HOLD. Pure. */
#pragma once

#include "services/edge/choose.h"
#include "services/edge/read.h"
#include "shared/ipc/message.h"

/* A chat template wraps every message in a few tokens of its own and the whole in a few more. */
#define TEMPLATE_TOKENS_PER_MESSAGE 8
#define TEMPLATE_TOKENS             16
/* The prompt's tokens are guessed on the safe side: where they seem to leave less than this of the
 * context, so much is asked for all the same. */
#define OUTPUT_ROOM_MIN             256u

/* Upper bound of the prompt for this model. UNSUPPORTED_CONTENT: an image and neither a token
 * maximum nor a price per image. */
uint64_t bound_input_tokens(const struct wish *wish, const struct market_model *model);
/* UNSUPPORTED_CONTENT when the wish holds images and neither the model has a maximum nor every
 * candidate a price per image. */
status bound_check_content(const struct wish *wish, const struct market_model *model,
                           const struct choose_result *choice);
/* Tokens one choice may have at this endpoint when the hold allows `held` in all. */
uint32_t bound_output(const struct wish *wish, const struct market_model *model,
                      const struct market_endpoint *endpoint, uint32_t held);
/* Bytes of text beyond which no stream is within the hold's tokens, however long those are. */
uint64_t bound_text_bytes(uint32_t output_max);
/* Fills fixed, output_price, output_want, output_min, may_shrink, price_ids, model_class,
 * input_tokens and choices. Where the wish names no max_tokens, output_want is all that a candidate
 * gives: the ledger knows the plan and takes its part of it. OVERFLOW on hostile prices. */
status bound_hold(const struct wish *wish, const struct market_model *model,
                  const struct choose_result *choice, struct message_hold *hold);
