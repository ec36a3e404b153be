/* SPDX-License-Identifier: Apache-2.0 */
/* What a run of the simulator has met: which event came in which state of the core, which error
 * answered which question, which actions were asked for, what became of tokens that were counted. A
 * state that no seed reaches proves nothing about it, so a run in which something was never met
 * fails. */
#pragma once

#include "services/ledger/core/core.h"

#define COVERAGE_STATES_MAX 128
#define COVERAGE_ERRORS_MAX 1024 /* above every code of errors.def */

/* Under limits of tokens per minute. */
enum coverage_tokens {
    TOKENS_GRANTED,
    TOKENS_MADE_TO_FIT,    /* the output was bounded to the last token that was left */
    TOKENS_REFUSED_BY_KEY, /* in the order of enum rate_owner */
    TOKENS_REFUSED_BY_PAID_MODELS,
    TOKENS_REFUSED_BY_FREE_MODELS,
    TOKENS_CORRECTED_DOWN,
    TOKENS_CORRECTED_UP,
    TOKENS_ENDED_LATER, /* their minute was over */
    TOKENS_COUNT
};

struct coverage {
    uint64_t states[COVERAGE_STATES_MAX];
    uint64_t held[COVERAGE_ERRORS_MAX],
        identified[COVERAGE_ERRORS_MAX]; /* by the error of the answer */
    uint64_t actions[ACTION_LEASE + 1];
    uint64_t tokens[TOKENS_COUNT];
};

/* Before the step: the state in which the core meets the event. */
void coverage_note_event(struct coverage *coverage, const struct core *core,
                         const struct core_event *event, struct core_now now);
const char *coverage_state_name(size_t state); /* NULL: there are no more */
void coverage_note_action(struct coverage *coverage, const struct core_action *action);
void coverage_note_tokens(struct coverage *coverage, enum coverage_tokens what);
/* The number of things never met. Prints every count, or only what was never met. */
uint32_t coverage_print(const struct coverage *coverage, bool everything);
