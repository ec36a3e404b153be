/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that sees a provider key in clear besides the request that brought it and the frame
 * that takes it to the edge. The nonce is random: 192 bits need no counter. */
#include "services/catalog/vault.h"

#include <sodium.h>
#include <stdlib.h>

#include "shared/log.h"
#include "shared/random.h"

#define NONCE_SIZE  crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE    crypto_aead_xchacha20poly1305_ietf_ABYTES
#define MASTER_SIZE crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define PLACE_MAX   128 /* two numbers, two colons, a slug of at most 63 */

_Static_assert(VAULT_SEALED_MAX == NONCE_SIZE + VAULT_KEY_MAX + TAG_SIZE, "VAULT_SEALED_MAX");

struct vault {
    struct secret master;
};

status vault_open_file(const char *path, struct vault **out)
{
    SCOPED(vault_free) struct vault *vault = calloc(1, sizeof(*vault));
    if (vault == NULL) abort();
    TRY(secret_read_file(path, MASTER_SIZE, false, &vault->master));
    if (vault->master.len != MASTER_SIZE) {
        log_error("master_key_unusable", FN(name, file, slice_of(path)),
                  F(reason, SLICE("it must hold exactly 32 bytes")));
        return FAIL(CRYPTO);
    }
    *out = TAKE(vault);
    return OK;
}

void vault_free(struct vault **pointer)
{
    struct vault *vault = TAKE(*pointer);
    if (vault == NULL) return;
    secret_free(&vault->master);
    free(vault);
}

/* "org:provider:version". A slug holds no colon, so no two places have the same text. */
static slice place_text(struct vault_place place, char memory[PLACE_MAX])
{
    struct buffer text;
    buffer_init_fixed(&text, memory, PLACE_MAX);
    buffer_append_i64(&text, place.org);
    buffer_append_char(&text, ':');
    buffer_append(&text, place.provider);
    buffer_append_char(&text, ':');
    buffer_append_u64(&text, place.version);
    return status_ok(buffer_finish(&text)) ? buffer_slice(&text) : (slice){NULL, 0};
}

status vault_seal(const struct vault *vault, struct vault_place place, slice key,
                  struct buffer *sealed)
{
    char memory[PLACE_MAX];
    slice place_bytes = place_text(place, memory);
    if (place_bytes.data == NULL || key.len == 0 || key.len > VAULT_KEY_MAX) return FAIL(TOO_LARGE);
    size_t len = NONCE_SIZE + key.len + TAG_SIZE;
    unsigned char *room = (unsigned char *)buffer_reserve(sealed, len);
    if (room == NULL) return FAIL(OVERFLOW);
    random_bytes(room, NONCE_SIZE);
    unsigned long long written = 0;
    int failed = crypto_aead_xchacha20poly1305_ietf_encrypt(
        room + NONCE_SIZE, &written, (const unsigned char *)key.data, key.len,
        (const unsigned char *)place_bytes.data, place_bytes.len, NULL, room, vault->master.bytes);
    if (failed != 0 || written != key.len + TAG_SIZE) return FAIL(CRYPTO);
    sealed->len += len;
    return OK;
}

status vault_unseal(const struct vault *vault, struct vault_place place, slice sealed,
                    struct secret *key)
{
    char memory[PLACE_MAX];
    slice place_bytes = place_text(place, memory);
    if (place_bytes.data == NULL || sealed.len <= NONCE_SIZE + TAG_SIZE ||
        sealed.len > VAULT_SEALED_MAX) {
        return FAIL(CRYPTO);
    }
    const unsigned char *nonce = (const unsigned char *)sealed.data;
    SCOPED(secret_free) struct secret opened = secret_new(sealed.len - NONCE_SIZE - TAG_SIZE);
    unsigned long long written = 0;
    int failed = crypto_aead_xchacha20poly1305_ietf_decrypt(
        opened.bytes, &written, NULL, nonce + NONCE_SIZE, sealed.len - NONCE_SIZE,
        (const unsigned char *)place_bytes.data, place_bytes.len, nonce, vault->master.bytes);
    if (failed != 0 || written != opened.len) return FAIL(CRYPTO);
    *key = (struct secret){TAKE(opened.bytes), opened.len};
    return OK;
}

void vault_append_label(struct buffer *out, slice key)
{
    /* Of a short key ten shown characters would be too much. */
    if (key.len >= 24) buffer_append(out, slice_first(key, 6));
    buffer_append(out, SLICE("\xE2\x80\xA6")); /* … */
    if (key.len >= 24) buffer_append(out, slice_from(key, key.len - 4));
}
