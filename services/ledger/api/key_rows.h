/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as rows: the transactions behind keys.c and the JSON of a row. Knows no HTTP. */
#pragma once

#include "services/ledger/api/key_rates.h"
#include "shared/clock.h"
#include "shared/db.h"
#include "shared/json/write.h"
#include "shared/token.h"

/* Which keys: key and hash narrow when given. */
struct key_filter {
    int64_t org;
    int64_t key;
    slice hash; /* 32 bytes, or empty */
    bool disabled_too;
    int64_t offset, limit;
};
struct key_query {
    struct db *db;
    const struct key_filter *filter;
    struct db_result **rows; /* the caller frees */
    bool wants_purchases;
    bool has_purchases;  /* answered when wanted: the organization ever bought credits */
    int64_t free_limit;  /* and how often it may ask free models in a day; -1: no limit */
    int64_t free_posted; /* and has, today */
};

/* The hashes by which the core may know a key: of two secrets that work at most, and of one that
 * has just ended. */
#define KEY_HASHES_MAX 3
struct key_hashes {
    size_t count;
    struct key_hash items[KEY_HASHES_MAX];
};

/* Columns of lock_key. */
enum { KEY_LOCKED_ID, KEY_LOCKED_LIMIT, KEY_LOCKED_CADENCE, KEY_LOCKED_KIND };

/* What a body may set; …_given tells what it named. */
struct key_change {
    bool limit_given, has_limit;
    money limit;
    bool cadence_given;
    enum cadence cadence;
    bool disabled_given, disabled;
    bool byok_given, include_byok;
    bool expiry_given;
    wall_time expires_at; /* 0: never */
    struct key_rates rates;
};
struct key_new {
    int64_t org, id;
    int64_t member; /* 0: of nobody in particular */
    slice name, label, hash;
    enum principal_kind kind;
    struct key_change change;
};
struct key_update {
    int64_t org;
    struct key_hash hash; /* of either secret */
    slice name;           /* empty: as it is */
    bool delete;
    struct key_change change;
    int64_t id; /* answered, as are these */
    struct key_hashes hashes;
};

/* As limit_reset says it; empty for a limit of the key's life. */
extern const slice key_rows_cadence_names[CADENCE_COUNT];

#define KEYS_MAX 10000 /* of an organization */

/* The rows, in a transaction of their own. */
status key_rows_read(struct db *db, const struct key_filter *filter, struct db_result **rows);
/* Bodies for db_transaction; the contexts are the structs above. */
status key_rows_query(struct db *db, void *query);
/* NOT_FOUND: no such member; CONFLICT: the organization has KEYS_MAX keys. */
status key_rows_insert(struct db *db, void *new);
status key_rows_update(struct db *db, void *update); /* NOT_FOUND */
/* Part of a transaction that changes the key. */
status key_rows_hashes(struct db *db, int64_t org, int64_t key, struct key_hashes *hashes);

void key_rows_write(const struct db_result *rows, size_t row, struct json_writer *w);
/* The answer of GET /api/v1/key. */
struct key_current {
    int64_t org;
    bool free_tier;     /* never bought credits */
    int64_t free_used;  /* requests of free models today */
    int64_t free_limit; /* -1: no limit */
};
void key_rows_write_current(const struct db_result *rows, const struct key_current *current,
                            struct json_writer *w);
