/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing and opening provider keys with the master key, XChaCha20-Poly1305-IETF. A sealed key is
 * bound to whose it is, to its provider and to its version: moved to another row, it does not
 * open. */
#pragma once

#include "shared/buffer.h"
#include "shared/secret.h"

#define VAULT_KEY_MAX    4096                      /* bytes of a provider key */
#define VAULT_SEALED_MAX (24 + VAULT_KEY_MAX + 16) /* nonce, ciphertext, tag */

struct vault; /* holds the master key in guarded pages */

/* The file holds exactly 32 random bytes. IO, CRYPTO for another length. */
status vault_open_file(const char *path, struct vault **vault);
void vault_free(struct vault **vault);

struct vault_place {
    int64_t org; /* 0: the operator's own key */
    slice provider;
    uint32_t version;
};

/* Appends nonce ‖ ciphertext. TOO_LARGE for an empty or longer key. */
status vault_seal(const struct vault *vault, struct vault_place place, slice key,
                  struct buffer *sealed);
/* CRYPTO when it was sealed for another place, with another master key, or changed since. */
status vault_unseal(const struct vault *vault, struct vault_place place, slice sealed,
                    struct secret *key);

/* The first 6 and the last 4 characters of a long key, for people to tell keys apart. */
void vault_append_label(struct buffer *out, slice key);
