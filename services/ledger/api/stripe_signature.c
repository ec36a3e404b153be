/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Every signature is compared with every secret, and the time is checked like the
 * rest: what fails first cannot be told from outside. */
#include "services/ledger/api/stripe_signature.h"

#include <sodium.h>

#define SIGNATURES_MAX 8 /* Stripe sends one per secret that it still knows */
#define MAC_SIZE       crypto_auth_hmacsha256_BYTES

struct signatures {
    slice time; /* as it stands: it is part of what is signed */
    size_t count;
    uint8_t macs[SIGNATURES_MAX][MAC_SIZE];
};

static void read_header(slice header, struct signatures *signatures)
{
    slice part, name, value;
    *signatures = (struct signatures){.time = SLICE_NONE};
    while (header.len > 0) {
        (void)slice_split(header, ',', &part, &header);
        if (!slice_split(slice_trim(part), '=', &name, &value)) continue;
        if (slice_equal(name, SLICE("t")) && signatures->time.len == 0) signatures->time = value;
        if (!slice_equal(name, SLICE("v1")) || signatures->count == SIGNATURES_MAX) continue;
        if (status_ok(slice_from_hex(value, signatures->macs[signatures->count], MAC_SIZE)))
            signatures->count++;
    }
}

static void sign(slice secret, slice time, slice body, uint8_t mac[MAC_SIZE])
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const uint8_t *)secret.data, secret.len);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)time.data, time.len);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)".", 1);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)body.data, body.len);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof(state));
}

status stripe_signature_check(slice header, slice body, slice secrets, int64_t now_s)
{
    struct signatures signatures;
    int64_t at_s = 0;
    bool known = false;
    read_header(header, &signatures);
    while (secrets.len > 0) {
        slice secret;
        (void)slice_split(secrets, '\n', &secret, &secrets);
        secret = slice_trim(secret);
        if (secret.len == 0) continue;
        uint8_t mac[MAC_SIZE];
        sign(secret, signatures.time, body, mac);
        for (size_t i = 0; i < signatures.count; i++)
            known |= sodium_memcmp(mac, signatures.macs[i], MAC_SIZE) == 0;
    }
    if (!status_ok(slice_to_i64(signatures.time, &at_s)) || at_s < 0) return FAIL(FORBIDDEN);
    bool fresh = at_s <= now_s + STRIPE_TOLERANCE_S && at_s >= now_s - STRIPE_TOLERANCE_S;
    return known && fresh ? OK : FAIL(FORBIDDEN);
}
