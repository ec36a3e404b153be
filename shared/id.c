/* SPDX-License-Identifier: Apache-2.0 */
/* Generation ids (one AES-128 block each way), random ids, and API keys with their hashes. Base32
 * is Crockford's alphabet (no i, l, o, u) in lower case; base62 is digits, capitals, small letters.
 * Key digits are made from secret bytes: every intermediate number is wiped. */
#include "shared/id.h"

#include <assert.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

#include "shared/crc32c.h"
#include "shared/random.h"

static const char base32_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
static const char base62_digits[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#define GENERATION_PREFIX   "gen-"
#define GENERATION_DIGITS   26 /* of 5 bits: 130 bits, the first two are 0 */
#define RANDOM_ID_DIGITS    20 /* 100 random bits */
#define KEY_RANDOM_BYTES    32
#define KEY_RANDOM_DIGITS   43 /* 62^43 > 2^256 */
#define KEY_CHECKSUM_DIGITS 6  /* 62^6 > 2^32 */
#define KEY_PREFIX_LEN      (sizeof(KEY_PREFIX) - 1)
#define KEY_CHECKED_LEN     (KEY_PREFIX_LEN + KEY_RANDOM_DIGITS)
#define KEY_LABEL_HEAD      16
#define KEY_LABEL_TAIL      4

static_assert(KEY_CHECKED_LEN + KEY_CHECKSUM_DIGITS == KEY_TEXT_LEN, "the parts make up the key");
static_assert(sizeof(GENERATION_PREFIX) - 1 + GENERATION_DIGITS == GENERATION_ID_TEXT_SIZE,
              "the parts make up the id");

/* ---- generation ids -------------------------------------------------------------------------- */

struct generation_cipher {
    EVP_CIPHER_CTX *sealing;
    EVP_CIPHER_CTX *opening;
};

status generation_cipher_new(const uint8_t key[16], struct generation_cipher **cipher)
{
    SCOPED(generation_cipher_free)
    struct generation_cipher *made = calloc(1, sizeof(*made));
    if (made == NULL) return FAIL(NO_MEMORY);
    made->sealing = EVP_CIPHER_CTX_new();
    made->opening = EVP_CIPHER_CTX_new();
    if (made->sealing == NULL || made->opening == NULL) return FAIL(NO_MEMORY);
    /* A single block under a secret key is a permutation of 128 bits; the usual fault of this mode,
     * equal blocks in one message, cannot arise, because the places are all different. */
    if (EVP_EncryptInit_ex(made->sealing, EVP_aes_128_ecb(), NULL, key, NULL) != 1 ||
        EVP_DecryptInit_ex(made->opening, EVP_aes_128_ecb(), NULL, key, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(made->sealing, 0) != 1 ||
        EVP_CIPHER_CTX_set_padding(made->opening, 0) != 1) {
        return FAIL(CRYPTO);
    }
    *cipher = TAKE(made);
    return OK;
}

void generation_cipher_free(struct generation_cipher **cipher)
{
    if (*cipher == NULL) return;
    EVP_CIPHER_CTX_free((*cipher)->sealing);
    EVP_CIPHER_CTX_free((*cipher)->opening);
    free(*cipher);
    *cipher = NULL;
}

static void put_number(uint8_t *out, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[len - 1 - i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get_number(const uint8_t *in, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        value = value << 8 | in[i];
    }
    return value;
}

struct generation_id generation_id_seal(struct generation_cipher *cipher,
                                        struct generation_place place)
{
    uint8_t plain[16];
    put_number(plain, place.day, 2);
    put_number(plain + 2, place.cell, 2);
    put_number(plain + 4, place.incarnation, 4);
    put_number(plain + 8, place.hold, 8);
    struct generation_id id;
    int len = 0;
    int done = EVP_EncryptUpdate(cipher->sealing, id.bytes, &len, plain, sizeof(plain));
    assert(done == 1 && len == (int)sizeof(id.bytes));
    return id;
}

struct generation_place generation_id_open(struct generation_cipher *cipher,
                                           struct generation_id id)
{
    uint8_t plain[16];
    int len = 0;
    int done = EVP_DecryptUpdate(cipher->opening, plain, &len, id.bytes, sizeof(id.bytes));
    assert(done == 1 && len == (int)sizeof(plain));
    return (struct generation_place){
        .day = (uint16_t)get_number(plain, 2),
        .cell = (uint16_t)get_number(plain + 2, 2),
        .incarnation = (uint32_t)get_number(plain + 4, 4),
        .hold = get_number(plain + 8, 8),
    };
}

void generation_id_append(struct buffer *out, struct generation_id id)
{
    unsigned __int128 number = 0;
    for (size_t i = 0; i < sizeof(id.bytes); i++) {
        number = number << 8 | id.bytes[i];
    }
    char digits[GENERATION_DIGITS];
    for (size_t i = GENERATION_DIGITS; i > 0; i--) {
        digits[i - 1] = base32_digits[number & 31];
        number >>= 5;
    }
    buffer_append(out, SLICE(GENERATION_PREFIX));
    buffer_append_bytes(out, digits, sizeof(digits));
}

status generation_id_parse(slice text, struct generation_id *id)
{
    if (text.len != GENERATION_ID_TEXT_SIZE || !slice_starts_with(text, SLICE(GENERATION_PREFIX))) {
        return FAIL(MALFORMED);
    }
    slice digits = slice_from(text, sizeof(GENERATION_PREFIX) - 1);
    /* Above 7 the two leading bits were not 0: a second text for the same id. */
    if (digits.data[0] > '7') return FAIL(MALFORMED);
    unsigned __int128 number = 0;
    for (size_t i = 0; i < digits.len; i++) {
        const char *digit = memchr(base32_digits, digits.data[i], sizeof(base32_digits) - 1);
        if (digit == NULL) return FAIL(MALFORMED);
        number = number << 5 | (unsigned)(digit - base32_digits);
    }
    for (size_t i = sizeof(id->bytes); i > 0; i--) {
        id->bytes[i - 1] = (uint8_t)number;
        number >>= 8;
    }
    return OK;
}

void id_append_random(struct buffer *out, slice prefix)
{
    uint8_t bytes[RANDOM_ID_DIGITS];
    random_bytes(bytes, sizeof(bytes));
    buffer_append(out, prefix);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        buffer_append_char(out, base32_digits[bytes[i] & 31]);
    }
}

/* ---- API keys -------------------------------------------------------------------------------- */

/* Divides a big-endian number by 62 in place and answers the remainder. */
static unsigned divide_by_62(uint8_t *number, size_t len)
{
    unsigned remainder = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned part = remainder << 8 | number[i];
        number[i] = (uint8_t)(part / 62);
        remainder = part % 62;
    }
    return remainder;
}

static void write_checksum(const char *checked, char *out)
{
    uint32_t checksum = crc32c(0, checked, KEY_CHECKED_LEN);
    for (size_t i = KEY_CHECKSUM_DIGITS; i > 0; i--) {
        out[i - 1] = base62_digits[checksum % 62];
        checksum /= 62;
    }
}

void key_generate(struct secret *text)
{
    *text = secret_new(KEY_TEXT_LEN);
    char *at = (char *)text->bytes;
    uint8_t number[KEY_RANDOM_BYTES];
    random_bytes(number, sizeof(number));
    memcpy(at, KEY_PREFIX, KEY_PREFIX_LEN);
    for (size_t i = KEY_RANDOM_DIGITS; i > 0; i--) {
        at[KEY_PREFIX_LEN + i - 1] = base62_digits[divide_by_62(number, sizeof(number))];
    }
    write_checksum(at, at + KEY_CHECKED_LEN);
    sodium_memzero(number, sizeof(number));
}

static bool is_base62(slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.data[i];
        const bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z')) return false;
    }
    return true;
}

bool key_checksum_ok(slice text)
{
    if (text.len != KEY_TEXT_LEN || !slice_starts_with(text, SLICE(KEY_PREFIX))) return false;
    if (!is_base62(slice_from(text, KEY_PREFIX_LEN))) return false;
    char expected[KEY_CHECKSUM_DIGITS];
    write_checksum(text.data, expected);
    return memcmp(expected, text.data + KEY_CHECKED_LEN, sizeof(expected)) == 0;
}

struct key_hash key_hash_outer(slice text)
{
    struct key_hash hash;
    int failed = crypto_generichash(hash.bytes, sizeof(hash.bytes), (const uint8_t *)text.data,
                                    text.len, NULL, 0);
    assert(failed == 0);
    return hash;
}

struct key_hash key_hash_stored(const struct secret *pepper, struct key_hash outer)
{
    assert(pepper->len >= crypto_generichash_KEYBYTES_MIN);
    assert(pepper->len <= crypto_generichash_KEYBYTES_MAX);
    struct key_hash hash;
    int failed = crypto_generichash(hash.bytes, sizeof(hash.bytes), outer.bytes,
                                    sizeof(outer.bytes), pepper->bytes, pepper->len);
    assert(failed == 0);
    return hash;
}

void key_append_label(struct buffer *out, slice text)
{
    if (text.len < KEY_LABEL_HEAD + KEY_LABEL_TAIL) return;
    buffer_append(out, slice_first(text, KEY_LABEL_HEAD));
    buffer_append(out, SLICE("…"));
    buffer_append(out, slice_from(text, text.len - KEY_LABEL_TAIL));
}
