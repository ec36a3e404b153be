/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Two equal requests at once meet on the primary key of the row: the loser finds
 * the winner's answer. */
#include "services/ledger/api/idempotency.h"

#include <sodium.h>

#define HASH_SIZE    32
#define TWIN_RETRIES 3

struct run {
    struct control_request *request;
    struct control_response *response;
    int64_t org;
    slice scope;
    uint8_t hash[HASH_SIZE];
    status (*effect)(struct control_request *, struct control_response *, void *);
    void *context;
};

static void hash_request(const struct control_request *request, uint8_t hash[HASH_SIZE])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
    crypto_generichash_update(&state, (const uint8_t *)request->path.data, request->path.len);
    crypto_generichash_update(&state, (const uint8_t *)"", 1);
    crypto_generichash_update(&state, (const uint8_t *)request->body.data, request->body.len);
    crypto_generichash_final(&state, hash, HASH_SIZE);
}

static void start_answer(struct control_response *response)
{
    buffer_clear(&response->body);
    json_write_init(&response->json, &response->body);
}

static status replay(const struct run *run, const struct db_result *row)
{
    slice hash = {(const char *)run->hash, HASH_SIZE};
    if (!slice_equal(db_bytes(row, 0, 0), hash)) return FAIL(IDEMPOTENCY_MISMATCH);
    run->response->http_status = (int)db_i64(row, 0, 1);
    buffer_append(&run->response->body, db_bytes(row, 0, 2));
    return control_header(run->response, SLICE("idempotent-replay"), SLICE("true"));
}

static status run_once(struct db *db, void *context)
{
    struct run *run = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    const struct db_param place[] = {DB_P_I64(run->org), DB_P_TEXT(run->scope),
                                     DB_P_TEXT(run->request->idempotency_key)};
    start_answer(run->response);
    TRY(db_run(db, "find_idempotency", place, 3, &row));
    if (db_row_count(row) > 0) return replay(run, row);
    TRY(run->effect(run->request, run->response, run->context));
    TRY(buffer_finish(&run->response->body));
    return db_run(
        db, "insert_idempotency",
        (const struct db_param[]){
            place[0], place[1], place[2], DB_P_BYTES(((slice){(const char *)run->hash, HASH_SIZE})),
            DB_P_I64(run->response->http_status), DB_P_BYTES(buffer_slice(&run->response->body))},
        6, NULL);
}

/* The effect of a twin that was faster may be why ours was refused. */
static status find_twin(struct db *db, void *context)
{
    struct run *run = context;
    SCOPED(db_result_free) struct db_result *row = NULL;
    start_answer(run->response);
    TRY(db_run(db, "find_idempotency",
               (const struct db_param[]){DB_P_I64(run->org), DB_P_TEXT(run->scope),
                                         DB_P_TEXT(run->request->idempotency_key)},
               3, &row));
    return db_row_count(row) > 0 ? replay(run, row) : FAIL(NOT_FOUND);
}

status idempotency_run(
    struct control_request *request, struct control_response *response, int64_t org, slice scope,
    status (*effect)(struct control_request *, struct control_response *, void *), void *context)
{
    struct run run = {.request = request,
                      .response = response,
                      .org = org,
                      .scope = scope,
                      .effect = effect,
                      .context = context};
    hash_request(request, run.hash);
    if (request->idempotency_key.len > 255) {
        return control_fail(response, FAIL(OUT_OF_RANGE),
                            SLICE("An Idempotency-Key has at most 255 bytes."));
    }
    status result = FAIL(DATABASE_CONFLICT);
    for (int i = 0; i < TWIN_RETRIES && result.code == ERROR_DATABASE_CONFLICT; i++) {
        result = db_transaction(request->db, org, run_once, &run);
    }
    if (status_ok(result) || result.code == ERROR_IDEMPOTENCY_MISMATCH) return result;
    status twin = db_transaction(request->db, org, find_twin, &run);
    if (status_ok(twin) || twin.code == ERROR_IDEMPOTENCY_MISMATCH) return twin;
    start_answer(response);
    return result;
}
