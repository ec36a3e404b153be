/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include "services/ledger/api/key_secrets.h"

#include "services/ledger/api/api.h"
#include "services/ledger/apply.h"

void key_secret_make(const struct api *api, struct key_secret *secret)
{
    struct buffer label;
    key_generate(&secret->text);
    slice text = secret_slice(&secret->text);
    secret->stored = key_hash_stored(&api->pepper, key_hash_outer(text));
    buffer_init_fixed(&label, secret->label_text, sizeof(secret->label_text));
    key_append_label(&label, text);
    secret->label = buffer_slice(&label);
}

void key_secret_free(struct key_secret *secret)
{
    secret_free(&secret->text);
}

slice key_secret_hash(const struct key_secret *secret)
{
    return (slice){(const char *)secret->stored.bytes, sizeof(secret->stored.bytes)};
}

status key_secret_write(struct control_request *request, struct control_response *response,
                        const struct key_secret *secret, const struct key_filter *filter)
{
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(key_rows_read(request->db, filter, &rows));
    if (db_row_count(rows) == 0) return FAIL(NOT_FOUND);
    json_object_begin(&response->json);
    json_key_string(&response->json, SLICE("key"), secret_slice(&secret->text));
    json_key(&response->json, SLICE("data"));
    key_rows_write(rows, 0, &response->json);
    json_object_end(&response->json);
    return OK;
}

status key_hash_read(struct control_request *request, struct control_response *response,
                     struct key_hash *hash)
{
    if (status_ok(slice_from_hex(request->params[0], hash->bytes, sizeof(hash->bytes)))) return OK;
    return control_fail(response, FAIL(NOT_FOUND), SLICE("A key's hash is 64 hexadecimal digits."));
}

status key_hashes_changed(const struct api *api, int64_t org, const struct key_hashes *hashes)
{
    for (size_t i = 0; i < hashes->count; i++)
        TRY(apply_key_changed(api->ledger, org, hashes->items[i]));
    return OK;
}
