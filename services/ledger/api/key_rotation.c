/* SPDX-License-Identifier: Apache-2.0 */
/* Another secret for a key that stays the same: its id, limits, figures and name do not change, and
 * both secrets count on them. The old one goes on working until the overlap ends; a third never
 * does, so a rotation within an overlap ends the oldest. The complication is a lost answer: nobody
 * can show the secret a second time, so a repeat with the same Idempotency-Key makes another one in
 * the place of the first, and the old secret keeps the end it was given. */
#include "services/ledger/api/api.h"
#include "services/ledger/api/fields.h"
#include "services/ledger/api/key_secrets.h"

#define OVERLAP_S       86400
#define IDEMPOTENCY_MAX 255

static const struct field fields[] = {
    {SLICE_INIT("overlap_seconds"), FIELD_INTEGER, 0, 604800, false, false,
     "a whole number of seconds from 0 to 604800, which is seven days."},
};

struct rotation {
    const struct principal *principal;
    slice idempotency_key; /* empty: none */
    int64_t org, key;
    struct key_hash named; /* by the path: of either secret */
    const struct key_secret *secret;
    int64_t overlap_s;
    struct key_hashes hashes; /* answered */
};

/* CONFLICT: the secret that it made is the key's no more. */
static status find_repeat(struct db *db, const struct rotation *rotation, bool *repeated)
{
    SCOPED(db_result_free) struct db_result *row = NULL;
    const struct db_param params[] = {DB_P_I64(rotation->org), DB_P_I64(rotation->key),
                                      DB_P_TEXT(rotation->idempotency_key)};
    *repeated = false;
    if (rotation->idempotency_key.len == 0) return OK;
    TRY(db_run(db, "find_rotation", params, 3, &row));
    if (db_row_count(row) == 0) return OK;
    *repeated = db_bool(row, 0, 0);
    return *repeated ? OK : FAIL(CONFLICT);
}

static status replace_secret(struct db *db, const struct rotation *rotation, bool repeated)
{
    struct db_param hash = DB_P_BYTES(key_secret_hash(rotation->secret));
    const struct db_param org = DB_P_I64(rotation->org);
    const struct db_param key = DB_P_I64(rotation->key);
    TRY(db_run(
        db, "end_key_places",
        (const struct db_param[]){org, key, DB_P_I64(rotation->overlap_s), DB_P_BOOL(repeated)}, 4,
        NULL));
    TRY(db_run(db, "insert_key_place",
               (const struct db_param[]){hash, org, key, DB_P_TEXT(rotation->idempotency_key)}, 4,
               NULL));
    return db_run(db, "set_key_secret",
                  (const struct db_param[]){org, key, hash, DB_P_TEXT(rotation->secret->label)}, 4,
                  NULL);
}

/* A management key that leaked must not get at the secrets of the others. */
static bool may_rotate(const struct rotation *rotation, int64_t kind)
{
    const struct principal *who = rotation->principal;
    return kind != PRINCIPAL_MANAGEMENT || who->kind == PRINCIPAL_OPERATOR ||
           who->key == rotation->key;
}

static status rotate(struct db *db, void *context)
{
    struct rotation *rotation = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    slice hash = {(const char *)rotation->named.bytes, sizeof(rotation->named.bytes)};
    bool repeated;
    TRY(db_run(db, "lock_key_to_rotate",
               (const struct db_param[]){DB_P_I64(rotation->org), DB_P_BYTES(hash),
                                         DB_P_TEXT(rotation->idempotency_key)},
               3, &row));
    if (db_row_count(row) == 0) return FAIL(NOT_FOUND);
    rotation->key = db_i64(row, 0, KEY_LOCKED_ID);
    if (!may_rotate(rotation, db_i64(row, 0, KEY_LOCKED_KIND))) return FAIL(FORBIDDEN);
    TRY(find_repeat(db, rotation, &repeated));
    TRY(replace_secret(db, rotation, repeated));
    return key_rows_hashes(db, rotation->org, rotation->key, &rotation->hashes);
}

static status explain(struct control_response *response, status failure)
{
    static const struct {
        uint16_t code;
        slice sentence;
    } rows[] = {
        {ERROR_NOT_FOUND, SLICE_INIT("No key has this hash.")},
        {ERROR_FORBIDDEN,
         SLICE_INIT("A management key is rotated by itself or by an operator, not by another.")},
        {ERROR_CONFLICT,
         SLICE_INIT("The key was rotated again since the rotation with this Idempotency-Key.")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (failure.code == rows[i].code) return control_fail(response, failure, rows[i].sentence);
    }
    return failure;
}

status keys_rotate(struct control_request *request, struct control_response *response)
{
    struct field_value overlap;
    SCOPED(key_secret_free) struct key_secret secret = {0};
    struct rotation rotation = {.principal = &request->principal,
                                .idempotency_key = request->idempotency_key,
                                .secret = &secret};
    TRY(api_org(request, response, &rotation.org));
    TRY(key_hash_read(request, response, &rotation.named));
    TRY(fields_read(request, response, fields, 1, &overlap));
    if (request->idempotency_key.len > IDEMPOTENCY_MAX) {
        return control_fail(response, FAIL(OUT_OF_RANGE),
                            SLICE("An Idempotency-Key has at most 255 bytes."));
    }
    rotation.overlap_s = overlap.given ? overlap.number : OVERLAP_S;
    key_secret_make(request->service, &secret);
    status rotated = db_transaction(request->db, rotation.org, rotate, &rotation);
    if (!status_ok(rotated)) return explain(response, rotated);
    TRY(api_taken(response, key_hashes_changed(request->service, rotation.org, &rotation.hashes)));
    const struct key_filter filter = {
        .org = rotation.org, .key = rotation.key, .disabled_too = true, .limit = 1};
    api_await_posted(request, response);
    return key_secret_write(request, response, &secret, &filter);
}
