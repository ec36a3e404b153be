/* SPDX-License-Identifier: Apache-2.0 */
/* What a key's secret is to the control plane: made and shown once, stored as a hash, and named by
 * that hash ever after. Which secrets of a key work is in the table key_place. */
#pragma once

#include "services/ledger/api/key_rows.h"
#include "shared/http/control.h"
#include "shared/secret.h"

struct api;

struct key_secret {
    struct secret text;
    struct key_hash stored;
    char label_text[64];
    slice label; /* its first and last characters */
};
void key_secret_make(const struct api *api, struct key_secret *secret);
void key_secret_free(struct key_secret *secret);
slice key_secret_hash(const struct key_secret *secret);
/* The one answer that holds it: {"key": …, "data": the key's row}. */
status key_secret_write(struct control_request *request, struct control_response *response,
                        const struct key_secret *secret, const struct key_filter *filter);

/* The hash in the route's path. */
status key_hash_read(struct control_request *request, struct control_response *response,
                     struct key_hash *hash);

/* A change of the key is committed: the core takes it, whichever secret it knows the key by. */
status key_hashes_changed(const struct api *api, int64_t org, const struct key_hashes *hashes);
