/* SPDX-License-Identifier: Apache-2.0 */
/* Makes facts part of the market, in one transaction, and says what changed. A row is written only
 * when something in it differs, so loading the same file twice changes nothing and raises no
 * revision. */
#pragma once

#include "services/catalog/store.h"

struct apply_report {
    uint32_t providers, models, endpoints;             /* in the file */
    uint32_t providers_new, models_new, endpoints_new; /* not known before */
    uint32_t prices_new, prices_unchanged;
    uint32_t prices_kept; /* an operator's own price stands, or the file names none */
    uint64_t revision;    /* after it; that of before when nothing changed */
    bool changed;
};

struct apply_settings {
    struct market_settings market;
    bool dry_run; /* everything is tried and rolled back */
};

/* Adds to facts->dropped what only the database can tell. */
status apply_facts(struct db *db, struct facts *facts, struct arena *arena,
                   const struct apply_settings *settings, struct apply_report *report);
