/* SPDX-License-Identifier: Apache-2.0 */
/* Slots that wait for an identification, then in a ring for the signer, then for the loop to send
 * them. */
#include "services/ledger/front_tokens.h"

#include <stdlib.h>

#include "services/ledger/core/slots.h"
#include "shared/log.h"

#define TOKENS_MAX 1024
#define METHOD_MAX 16
#define PATH_SIZE  1024

struct token_slot {
    uint32_t link;
    uint64_t request;
    struct principal principal;
    uint16_t error;
    char method[METHOD_MAX];
    size_t method_len;
    char path[PATH_SIZE];
    size_t path_len;
    char text[TOKEN_TEXT_MAX];
    size_t text_len;
};

struct front_tokens {
    struct ledger *ledger;
    struct token_slot slots[TOKENS_MAX];
    struct slot_link links[TOKENS_MAX];
    struct slot_list free; /* the core's thread only */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    bool stopping;
    uint32_t ring[TOKENS_MAX]; /* slots to sign */
    uint32_t first, count;
};

static void *run_signer(void *context);

struct front_tokens *front_tokens_new(struct ledger *ledger)
{
    struct front_tokens *tokens = calloc(1, sizeof(*tokens));
    if (tokens == NULL) abort();
    tokens->ledger = ledger;
    tokens->free = SLOT_LIST_EMPTY;
    for (uint32_t i = 0; i < TOKENS_MAX; i++)
        slot_list_append(&tokens->free, tokens->links, i);
    (void)pthread_mutex_init(&tokens->lock, NULL);
    (void)pthread_cond_init(&tokens->work, NULL);
    if (pthread_create(&tokens->thread, NULL, run_signer, tokens) != 0) abort();
    return tokens;
}

void front_tokens_free(struct front_tokens **pointer)
{
    struct front_tokens *tokens = TAKE(*pointer);
    if (tokens == NULL) return;
    (void)pthread_mutex_lock(&tokens->lock);
    tokens->stopping = true;
    (void)pthread_cond_signal(&tokens->work);
    (void)pthread_mutex_unlock(&tokens->lock);
    (void)pthread_join(tokens->thread, NULL);
    free(tokens);
}

status front_tokens_park(struct front_tokens *tokens, const struct front_token *token,
                         uint64_t *ticket)
{
    if (token->method.len > METHOD_MAX || token->path.len > PATH_SIZE) return FAIL(TOO_LARGE);
    uint32_t slot = slot_list_take(&tokens->free, tokens->links);
    if (slot == SLOT_NONE) return FAIL(OVERLOADED);
    struct token_slot *kept = &tokens->slots[slot];
    *kept = (struct token_slot){.link = token->link, .request = token->request};
    memcpy(kept->method, token->method.data, token->method.len);
    kept->method_len = token->method.len;
    memcpy(kept->path, token->path.data, token->path.len);
    kept->path_len = token->path.len;
    *ticket = slot;
    return OK;
}

static void report(struct front_tokens *tokens, uint32_t slot, uint16_t error)
{
    struct inbox_item item = {.kind = INBOX_TOKEN, .token = {slot, error}};
    inbox_put(&tokens->ledger->inbox, &item);
}

void front_tokens_identified(struct front_tokens *tokens, uint64_t ticket,
                             const struct message_identified *identified)
{
    uint32_t slot = (uint32_t)ticket;
    struct token_slot *kept = &tokens->slots[slot];
    if (identified->error != ERROR_NONE) {
        report(tokens, slot, identified->error);
        return;
    }
    const struct caller *caller = &identified->caller;
    kept->principal = (struct principal){
        .kind = caller->kind == CALLER_MANAGEMENT ? PRINCIPAL_MANAGEMENT : PRINCIPAL_KEY,
        .org = caller->org,
        .workspace = caller->workspace,
        .member = caller->member,
        .key = caller->key,
    };
    (void)pthread_mutex_lock(&tokens->lock);
    tokens->ring[(tokens->first + tokens->count) % TOKENS_MAX] = slot;
    tokens->count++;
    (void)pthread_cond_signal(&tokens->work);
    (void)pthread_mutex_unlock(&tokens->lock);
}

void front_tokens_take(struct front_tokens *tokens, const struct inbox_item *item,
                       struct front_token *token, struct message_principal_token *answer)
{
    const struct token_slot *kept = &tokens->slots[item->token.slot];
    *token = (struct front_token){.link = kept->link, .request = kept->request};
    *answer = (struct message_principal_token){.error = item->token.error,
                                               .token = (slice){kept->text, kept->text_len}};
}

void front_tokens_end(struct front_tokens *tokens, uint32_t slot)
{
    slot_list_append(&tokens->free, tokens->links, slot);
}

/* ---- the signer's thread -------------------------------------------------------------------- */

static uint32_t next_slot(struct front_tokens *tokens)
{
    uint32_t slot = SLOT_NONE;
    (void)pthread_mutex_lock(&tokens->lock);
    while (tokens->count == 0 && !tokens->stopping)
        (void)pthread_cond_wait(&tokens->work, &tokens->lock);
    if (tokens->count > 0 && !tokens->stopping) {
        slot = tokens->ring[tokens->first];
        tokens->first = (tokens->first + 1) % TOKENS_MAX;
        tokens->count--;
    }
    (void)pthread_mutex_unlock(&tokens->lock);
    return slot;
}

static void *run_signer(void *context)
{
    struct front_tokens *tokens = context;
    for (;;) {
        uint32_t slot = next_slot(tokens);
        if (slot == SLOT_NONE) return NULL;
        struct token_slot *kept = &tokens->slots[slot];
        struct buffer text;
        buffer_init_fixed(&text, kept->text, sizeof(kept->text));
        status done = token_sign(tokens->ledger->signer, &kept->principal,
                                 (slice){kept->method, kept->method_len},
                                 (slice){kept->path, kept->path_len}, &text);
        kept->text_len = status_ok(done) ? text.len : 0;
        if (!status_ok(done)) log_error("token_not_signed", F(error, done));
        report(tokens, slot, done.code);
    }
}
