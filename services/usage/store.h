/* SPDX-License-Identifier: Apache-2.0 */
/* The usage service's reads: rows of generations as a struct. The only file of the service that
 * knows SQL. */
#pragma once

#include "services/usage/waiting.h"
#include "shared/arena.h"
#include "shared/db.h"
#include "shared/ipc/codec.h"

/* States of a generation's row, as schema/0002_ledger.sql lists them. */
enum generation_state { GENERATION_SETTLED = 1, GENERATION_RELEASED = 2, GENERATION_ABSORBED = 3 };

struct generation_row {
    enum generation_state state;
    uint16_t reason; /* enum error_code that ended a release */
    int64_t created_ns;
    int64_t workspace;
    int64_t price_id;
    money charge;
    money charge_told;
    money held;
    bool byok;       /* with the customer's own provider key: the charge is a fee */
    money byok_list; /* then: what it cost by list price */
    struct usage_vector usage;
    slice model;    /* slug; empty when the catalog does not know it */
    slice provider; /* name; empty when none answered */
    struct generation_facts facts;
    struct {
        slice provider, model;
    } attempt_names[ATTEMPTS_MAX];
};

/* Texts live in the arena. NOT_FOUND when the organization has no such generation (yet). */
status store_find_generation(struct db *db, struct arena *arena, int64_t org,
                             struct generation_place place, struct generation_row *row);
/* The present stream of a cell. NOT_FOUND when there is no such cell. */
status store_find_stream(struct db *db, uint16_t cell, struct stream_end *end);
