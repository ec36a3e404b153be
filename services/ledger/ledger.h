/* SPDX-License-Identifier: Apache-2.0 */
/* The process as a whole: one struct, made by main.c, passed down. */
#pragma once

#include "services/ledger/core/core.h"
#include "services/ledger/inbox.h"
#include "services/ledger/journal/journal.h"
#include "services/ledger/lender.h"
#include "services/ledger/poster.h"
#include "shared/config.h"
#include "shared/secret.h"
#include "shared/token.h"

#define JOURNAL_DIRECTORY "journal"
#define CHANGE_TICKETS    64 /* control workers that can wait for the core at once */

/* What the core says of an organization: apply_read_… */
struct change_answer {
    money held;
    uint32_t free_requests;
};
/* A control worker waits here until the core's thread has taken its change. */
struct change {
    bool in_use;
    bool done;
    uint64_t number; /* of the present use; an answer for an older one is ignored */
    struct change_answer answer;
};
struct changes {
    pthread_mutex_t lock;
    pthread_cond_t done;
    struct change items[CHANGE_TICKETS];
};

struct front;

struct ledger {
    const struct config *config;
    uint16_t cell;
    uint64_t epoch;
    uint32_t incarnation;

    struct secret pepper;
    struct generation_cipher *cipher; /* the core's thread only */
    struct token_signer *signer;      /* the signer's thread only */

    struct core *core;     /* the core's thread only */
    struct buffer records; /* made by the core, not yet written */
    struct journal *journal;
    struct poster *poster;
    struct lender *lender;
    struct front *front;
    struct prices *prices; /* the set the core charges with */
    struct inbox inbox;
    struct changes changes;
    _Atomic uint64_t ending_seq; /* last record written that makes a row */
};

/* recovery.c: locks the journal, takes the next epoch, replays and posts what is there, moves the
 * leases. When it returns, core, journal, poster and lender stand, and nothing is admitted yet.
 * Waits for PostgreSQL as long as that takes. */
status ledger_recover(struct ledger *ledger);

/* apply.c: the core's thread took the change. */
void changes_init(struct changes *changes);
void changes_done(struct changes *changes, struct change_ticket ticket,
                  struct change_answer answer);
