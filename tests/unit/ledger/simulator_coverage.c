/* SPDX-License-Identifier: Apache-2.0 */
/* What the core answered and asked for, counted, and every count printed. The states in which it
 * met its events are another file's. */
#include "tests/unit/ledger/simulator_coverage.h"

#include <assert.h>

#include "tests/unit/test.h"

/* What the core answers with; anything else would be a new way to refuse, and belongs here. */
static const uint16_t held_errors[] = {
    ERROR_NONE,         ERROR_STOPPING,       ERROR_CLOSED,          ERROR_LEDGER_FULL,
    ERROR_LEDGER_DOWN,  ERROR_BAD_KEY,        ERROR_KEY_DISABLED,    ERROR_KEY_EXPIRED,
    ERROR_STALE,        ERROR_NO_CREDIT,      ERROR_UNKNOWN_PRICE,   ERROR_INFERENCE_KEY_NEEDED,
    ERROR_KEY_LIMIT,    ERROR_ACCOUNT_FROZEN, ERROR_ORG_LIMIT,       ERROR_WORKSPACE_BUDGET,
    ERROR_MEMBER_LIMIT, ERROR_RATE_REQUESTS,  ERROR_RATE_CONCURRENT, ERROR_RATE_DAY,
    ERROR_RATE_TOKENS,
};
static const uint16_t identified_errors[] = {
    ERROR_NONE,    ERROR_LEDGER_FULL,  ERROR_LEDGER_DOWN,
    ERROR_BAD_KEY, ERROR_KEY_DISABLED, ERROR_KEY_EXPIRED,
};
static const char *const action_names[] = {
    [ACTION_WELCOME] = "welcome",
    [ACTION_IDENTIFIED] = "identified",
    [ACTION_HELD] = "held",
    [ACTION_SETTLED] = "settled",
    [ACTION_CLOSE] = "close",
    [ACTION_LOAD_CALLER] = "load caller",
    [ACTION_LOAD_PRICES] = "load prices",
    [ACTION_LEASE] = "lease",
};
static const char *const token_names[] = {
    [TOKENS_GRANTED] = "granted",
    [TOKENS_MADE_TO_FIT] = "made to fit",
    [TOKENS_REFUSED_BY_KEY] = "refused by a key's limit",
    [TOKENS_REFUSED_BY_PAID_MODELS] = "refused by the paid models' limit",
    [TOKENS_REFUSED_BY_FREE_MODELS] = "refused by the free models' limit",
    [TOKENS_CORRECTED_DOWN] = "corrected down",
    [TOKENS_CORRECTED_UP] = "corrected up",
    [TOKENS_ENDED_LATER] = "ended in a later minute",
};

void coverage_note_action(struct coverage *coverage, const struct core_action *action)
{
    assert(action->type <= ACTION_LEASE);
    coverage->actions[action->type]++;
    if (action->type == ACTION_HELD) coverage->held[action->held.error]++;
    if (action->type == ACTION_IDENTIFIED) coverage->identified[action->identified.error]++;
}

void coverage_note_tokens(struct coverage *coverage, enum coverage_tokens what)
{
    assert(what < TOKENS_COUNT);
    coverage->tokens[what]++;
}

static uint32_t print_count(const char *kind, const char *name, uint64_t count, bool everything)
{
    if (everything || count == 0)
        print_message("%12llu  %s%s%s\n", (unsigned long long)count, kind, name,
                      count == 0 ? "   <- NEVER MET" : "");
    return count == 0;
}

/* Errors that are listed have to be met; one that is met and not listed is new. */
static uint32_t print_errors(const char *kind, const uint64_t *counts, const uint16_t *listed,
                             size_t listed_count, bool everything)
{
    uint32_t missing = 0;
    for (size_t i = 0; i < listed_count; i++)
        missing += print_count(kind, error_row_of(listed[i])->name, counts[listed[i]], everything);
    for (uint16_t code = 0; code < COVERAGE_ERRORS_MAX; code++) {
        bool known = counts[code] == 0;
        for (size_t i = 0; i < listed_count; i++)
            known = known || listed[i] == code;
        if (known) continue;
        print_message("%12llu  %s%s   <- NOT LISTED\n", (unsigned long long)counts[code], kind,
                      error_row_of(code)->name);
        missing++;
    }
    return missing;
}

uint32_t coverage_print(const struct coverage *coverage, bool everything)
{
    uint32_t missing = 0;
    const char *state;
    for (size_t i = 0; (state = coverage_state_name(i)) != NULL; i++)
        missing += print_count("", state, coverage->states[i], everything);
    missing += print_errors("held: ", coverage->held, held_errors,
                            sizeof(held_errors) / sizeof(held_errors[0]), everything);
    missing += print_errors("identified: ", coverage->identified, identified_errors,
                            sizeof(identified_errors) / sizeof(identified_errors[0]), everything);
    for (size_t i = 0; i <= ACTION_LEASE; i++)
        missing += print_count("action: ", action_names[i], coverage->actions[i], everything);
    for (size_t i = 0; i < TOKENS_COUNT; i++)
        missing += print_count("tokens: ", token_names[i], coverage->tokens[i], everything);
    return missing;
}
