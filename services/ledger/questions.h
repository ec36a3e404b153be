/* SPDX-License-Identifier: Apache-2.0 */
/* What the lender's thread is asked, in two lines: keys that nobody is known to have, which anybody
 * can make, and all else. They are taken from in turn, so that a lease waits for one stranger and
 * not for thousands, and new callers are read however many leases there are. No lock: the lender
 * has one. */
#pragma once

#include "services/ledger/core/core.h"

enum question_kind { QUESTION_LEASE, QUESTION_CALLER, QUESTION_PRICES, QUESTION_STRANGER };
struct question {
    enum question_kind kind;
    union {
        struct lease_request lease;
        struct key_hash stored; /* CALLER, STRANGER */
    };
};

struct questions;
struct questions *questions_new(uint32_t max); /* in each line; more are a broken promise */
void questions_free(struct questions **questions);
/* One for prices that is there already serves for a second one, too. */
void questions_put(struct questions *questions, const struct question *question);
bool questions_take(struct questions *questions, struct question *question); /* false: none */
uint32_t questions_count(const struct questions *questions);
