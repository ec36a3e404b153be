/* SPDX-License-Identifier: Apache-2.0 */
/* What the passes of `bourse ledger verify` share: the batches and prices as the database has them,
 * and what was found to differ. Everything is read in one snapshot. */
#pragma once

#include "shared/billing.h"
#include "shared/db.h"
#include "shared/json/write.h"
#include "shared/merkle.h"

#define VERIFY_PAGE     10000 /* rows asked for at once */
#define FOUND_SHOWN_MAX 1000  /* more are counted only */

struct verify_batch {
    int64_t cell, incarnation, lo, hi;
    int64_t rows; /* as the batch says */
    money charge;
    uint8_t root[MERKLE_HASH_SIZE], link[MERKLE_HASH_SIZE];
    money rows_charge, rows_owed;   /* of its generation rows */
    money moved_charge, moved_owed; /* of its transfers */
};

struct verify_price {
    struct price_row row; /* begins with its id */
    uint32_t margin_basis_points;
};

struct verify {
    struct db *db;
    struct verify_batch *batches; /* by cell, incarnation, lo */
    size_t batch_count;
    struct verify_price *prices; /* by id */
    size_t price_count;
    uint64_t generations, transfers, accounts; /* looked at */
    uint64_t found;
    bool json;
    struct json_writer out; /* the array of findings, with --json */
    uint64_t told_ms;       /* when progress was last told */
};

/* One thing that differs: where it is, and what it says against what it should. */
void verify_found(struct verify *verify, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A line on stderr every few seconds. */
void verify_progress(struct verify *verify, const char *what, uint64_t done);
/* NULL when there is none of that place. */
struct verify_batch *verify_batch_at(const struct verify *verify, int64_t cell, int64_t incarnation,
                                     int64_t lo);

/* The passes, in this order. They fail only when the database does not answer. */
status verify_read_batches(struct verify *verify); /* verify_rows.c */
status verify_read_prices(struct verify *verify);
status verify_rows(struct verify *verify);
status verify_transfers(struct verify *verify); /* verify_accounts.c */
void verify_sums(struct verify *verify);
status verify_chain(struct verify *verify); /* verify_chain.c */
