/* SPDX-License-Identifier: Apache-2.0 */
/* Signs and checks principal tokens. libjwt decides whether the bytes were signed; everything a
 * token says is then compared here, because libjwt takes an HS256 token whose secret is our public
 * key and never looks at times. Every way a token can be wrong has the same answer. */
#include "shared/token.h"

#include <errno.h>
#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "shared/clock.h"

#define PEM_SIZE_MAX   16384
#define KEY_ID_SIZE    17   /* 16 hexadecimal digits of the public key's SHA-256 and a NUL */
#define METHOD_MAX     16   /* as in messages.def */
#define PATH_MAX_LEN   1024 /* as in messages.def */
#define SIGNATURE_LEN  86   /* base64url digits of 64 bytes */
#define TOKEN_ISSUER   "bourse-ledger"
#define TOKEN_AUDIENCE "bourse"

struct token_signer {
    struct secret pem;
    char key_id[KEY_ID_SIZE];
};

struct token_verifier {
    struct secret pem; /* public, but the reader of credential files makes secrets */
    char key_id[KEY_ID_SIZE];
};

/* What a token binds, as C strings for libjwt. */
struct binding {
    char method[METHOD_MAX + 1];
    char path[PATH_MAX_LEN + 1];
};

static status key_open(const char *path, bool is_private, struct secret *pem, char *key_id);
static EVP_PKEY *key_parse(const struct secret *pem, bool is_private);
static status key_id_of(EVP_PKEY *key, char *key_id);
static bool is_written_as_ours(slice text);
static status binding_set(struct binding *binding, slice method, slice path);
static status claims_set(jwt_t *jwt, const struct token_signer *signer,
                         const struct principal *principal, const struct binding *binding);
static bool claims_are_right(jwt_t *jwt, const struct token_verifier *verifier,
                             const struct binding *binding, struct principal *principal);
static bool times_are_right(jwt_t *jwt);
static bool text_is(const char *text, const char *expected);
static bool integer_get(jwt_t *jwt, const char *name, int64_t *value);
static void jwt_release(jwt_t **jwt);

status token_signer_open(const char *pem_path, struct token_signer **signer)
{
    SCOPED(token_signer_free) struct token_signer *opened = calloc(1, sizeof(*opened));
    if (opened == NULL) abort();
    TRY(key_open(pem_path, true, &opened->pem, opened->key_id));
    *signer = TAKE(opened);
    return OK;
}

status token_verifier_open(const char *public_pem_path, struct token_verifier **verifier)
{
    SCOPED(token_verifier_free) struct token_verifier *opened = calloc(1, sizeof(*opened));
    if (opened == NULL) abort();
    TRY(key_open(public_pem_path, false, &opened->pem, opened->key_id));
    *verifier = TAKE(opened);
    return OK;
}

void token_signer_free(struct token_signer **signer)
{
    if (*signer != NULL) secret_free(&(*signer)->pem);
    free(TAKE(*signer));
}

void token_verifier_free(struct token_verifier **verifier)
{
    if (*verifier != NULL) secret_free(&(*verifier)->pem);
    free(TAKE(*verifier));
}

status token_sign(struct token_signer *signer, const struct principal *principal, slice method,
                  slice path, struct buffer *text)
{
    if (principal->kind != PRINCIPAL_KEY && principal->kind != PRINCIPAL_MANAGEMENT)
        return FAIL(FORBIDDEN);
    struct binding binding;
    TRY(binding_set(&binding, method, path));
    SCOPED(jwt_release) jwt_t *jwt = NULL;
    if (jwt_new(&jwt) != 0) return FAIL(CRYPTO);
    TRY(claims_set(jwt, signer, principal, &binding));
    slice pem = secret_slice(&signer->pem);
    if (jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)pem.data, (int)pem.len) != 0)
        return FAIL(CRYPTO);
    char *encoded = jwt_encode_str(jwt);
    if (encoded == NULL) return FAIL(CRYPTO);
    slice token = slice_of(encoded);
    if (token.len <= TOKEN_TEXT_MAX) buffer_append(text, token);
    bool fits = token.len <= TOKEN_TEXT_MAX;
    free(encoded);
    return fits ? buffer_finish(text) : FAIL(TOO_LARGE);
}

status token_verify(struct token_verifier *verifier, slice text, slice method, slice path,
                    struct principal *principal)
{
    *principal = (struct principal){0};
    char token[TOKEN_TEXT_MAX + 1];
    struct binding binding;
    if (!is_written_as_ours(text)) return FAIL(FORBIDDEN);
    if (!status_ok(slice_to_c_string(text, token, sizeof(token)))) return FAIL(FORBIDDEN);
    if (!status_ok(binding_set(&binding, method, path))) return FAIL(FORBIDDEN);
    slice pem = secret_slice(&verifier->pem);
    SCOPED(jwt_release) jwt_t *jwt = NULL;
    if (jwt_decode(&jwt, token, (const unsigned char *)pem.data, (int)pem.len) != 0)
        return FAIL(FORBIDDEN);
    struct principal named = {0};
    if (!claims_are_right(jwt, verifier, &binding, &named)) return FAIL(FORBIDDEN);
    *principal = named;
    return OK;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static status key_open(const char *path, bool is_private, struct secret *pem, char *key_id)
{
    TRY(secret_read_file(path, PEM_SIZE_MAX, false, pem));
    EVP_PKEY *key = key_parse(pem, is_private);
    if (key == NULL) return FAIL(CRYPTO);
    status done = key_id_of(key, key_id);
    EVP_PKEY_free(key);
    return done;
}

static EVP_PKEY *key_parse(const struct secret *pem, bool is_private)
{
    BIO *bio = BIO_new_mem_buf(pem->bytes, (int)pem->len);
    if (bio == NULL) return NULL;
    EVP_PKEY *key = is_private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL)
                               : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return key;
}

/* Both sides compute it from the public half, so no file has to carry it. */
static status key_id_of(EVP_PKEY *key, char *key_id)
{
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_bits(key) != 256)
        return FAIL(CRYPTO);
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    if (len <= 0) return FAIL(CRYPTO);
    uint8_t digest[EVP_MAX_MD_SIZE];
    int hashed = EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL);
    OPENSSL_free(der);
    if (hashed != 1) return FAIL(CRYPTO);
    struct buffer out;
    buffer_init_fixed(&out, key_id, KEY_ID_SIZE);
    buffer_append_hex(&out, digest, (KEY_ID_SIZE - 1) / 2);
    buffer_append_char(&out, '\0');
    return buffer_finish(&out);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Three runs of base64url digits. libjwt skips what is no digit and ignores what follows. The first
 * two are signed as they are spelled; the signature is not, and is held to its one spelling
 * here. */
static bool is_written_as_ours(slice text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    slice head, claims, signature, rest;
    bool three_parts =
        slice_split(text, '.', &head, &rest) && slice_split(rest, '.', &claims, &signature);
    if (!three_parts || signature.len != SIGNATURE_LEN) return false;
    for (size_t i = 0; i < signature.len; i++) {
        if (signature.data[i] == '\0' || strchr(digits, signature.data[i]) == NULL) return false;
    }
    /* 86 digits hold 516 bits, the signature 512: the last four must be zero. */
    return strchr("AQgw", signature.data[signature.len - 1]) != NULL;
}

/* ---- claims ---------------------------------------------------------------------------------- */

static status binding_set(struct binding *binding, slice method, slice path)
{
    TRY(slice_to_c_string(method, binding->method, sizeof(binding->method)));
    return slice_to_c_string(path, binding->path, sizeof(binding->path));
}

static status claims_set(jwt_t *jwt, const struct token_signer *signer,
                         const struct principal *principal, const struct binding *binding)
{
    long now_s = (long)(clock_wall().ns / 1000000000);
    const struct {
        const char *name;
        const char *value;
    } texts[] = {{"iss", TOKEN_ISSUER},
                 {"aud", TOKEN_AUDIENCE},
                 {"m", binding->method},
                 {"p", binding->path}};
    const struct {
        const char *name;
        int64_t value;
    } integers[] = {
        {"iat", now_s},
        {"nbf", now_s},
        {"exp", now_s + TOKEN_LIFETIME_S},
        {"org", principal->org},
        {"ws", principal->workspace},
        {"mem", principal->member},
        {"key", principal->key},
        {"kind", principal->kind},
    };
    int failures = jwt_add_header(jwt, "kid", signer->key_id);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        failures |= jwt_add_grant(jwt, texts[i].name, texts[i].value);
    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++)
        failures |= jwt_add_grant_int(jwt, integers[i].name, (long)integers[i].value);
    /* The only text from outside is the path: JSON cannot carry one that is not UTF-8. */
    return failures == 0 ? OK : FAIL(BAD_REQUEST);
}

static bool claims_are_right(jwt_t *jwt, const struct token_verifier *verifier,
                             const struct binding *binding, struct principal *principal)
{
    int64_t kind = 0;
    bool right = jwt_get_alg(jwt) == JWT_ALG_ES256 && text_is(jwt_get_header(jwt, "typ"), "JWT") &&
                 text_is(jwt_get_header(jwt, "kid"), verifier->key_id) &&
                 text_is(jwt_get_grant(jwt, "iss"), TOKEN_ISSUER) &&
                 text_is(jwt_get_grant(jwt, "aud"), TOKEN_AUDIENCE) &&
                 text_is(jwt_get_grant(jwt, "m"), binding->method) &&
                 text_is(jwt_get_grant(jwt, "p"), binding->path) && times_are_right(jwt) &&
                 integer_get(jwt, "org", &principal->org) &&
                 integer_get(jwt, "ws", &principal->workspace) &&
                 integer_get(jwt, "mem", &principal->member) &&
                 integer_get(jwt, "key", &principal->key) && integer_get(jwt, "kind", &kind);
    if (!right || (kind != PRINCIPAL_KEY && kind != PRINCIPAL_MANAGEMENT)) return false;
    principal->kind = (enum principal_kind)kind;
    return true;
}

/* Signer and verifier share one machine's clock, so there is no tolerance. */
static bool times_are_right(jwt_t *jwt)
{
    int64_t now_s = clock_wall().ns / 1000000000;
    int64_t issued_s = 0;
    int64_t from_s = 0;
    int64_t until_s = 0;
    return integer_get(jwt, "iat", &issued_s) && integer_get(jwt, "nbf", &from_s) &&
           integer_get(jwt, "exp", &until_s) && from_s <= now_s && issued_s <= now_s &&
           until_s > now_s && until_s <= now_s + TOKEN_LIFETIME_S;
}

static bool text_is(const char *text, const char *expected)
{
    return text != NULL && strcmp(text, expected) == 0;
}

/* A missing claim reads as 0 and sets errno; no claim may be missing. */
static bool integer_get(jwt_t *jwt, const char *name, int64_t *value)
{
    errno = 0;
    *value = jwt_get_grant_int(jwt, name);
    return errno == 0;
}

static void jwt_release(jwt_t **jwt)
{
    jwt_free(*jwt);
    *jwt = NULL;
}
