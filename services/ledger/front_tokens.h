/* SPDX-License-Identifier: Apache-2.0 */
/* Principal tokens: a caller that is identified gets one signed on a thread of its own, because a
 * signature takes half a millisecond. A fixed number can be under way. */
#pragma once

#include "services/ledger/ledger.h"

#define FRONT_TOKENS_LINK UINT32_MAX /* the "connection" of identifications asked for here */

struct front_tokens;
struct front_token {
    uint32_t link;
    uint64_t request;
    slice method;
    slice path;
};

struct front_tokens *front_tokens_new(struct ledger *ledger);
void front_tokens_free(struct front_tokens **tokens);
/* Keeps a copy; *ticket is the request id to identify the caller with. OVERLOADED; TOO_LARGE. */
status front_tokens_park(struct front_tokens *tokens, const struct front_token *token,
                         uint64_t *ticket);
/* The caller is known, or is not: the signer goes on. Its end arrives in the inbox as
 * INBOX_TOKEN. */
void front_tokens_identified(struct front_tokens *tokens, uint64_t ticket,
                             const struct message_identified *identified);
void front_tokens_take(struct front_tokens *tokens, const struct inbox_item *item,
                       struct front_token *token, struct message_principal_token *answer);
void front_tokens_end(struct front_tokens *tokens, uint32_t slot);
