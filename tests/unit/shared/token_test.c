/* SPDX-License-Identifier: Apache-2.0 */
/* Principal tokens. A forger who holds the right private key makes tokens that are right but for
 * one thing, so that each refusal has one reason; the forger's untouched token is the control. */
#include "tests/unit/test.h"

#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/token.h"
#include "tests/unit/shared/scratch.h"

static struct scratch scratch;
static struct token_signer *signer;
static struct token_verifier *verifier;
static char private_pem[2048];
static char public_pem[2048];

static const struct principal somebody = {PRINCIPAL_MANAGEMENT, 11, 12, 13, INT64_MAX};

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(scratch_path(&scratch, name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void pem_of(EVP_PKEY *key, bool is_private, char *text, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int written = is_private ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                             : PEM_write_bio_PUBKEY(bio, key);
    assert_int_equal(written, 1);
    int len = BIO_read(bio, text, (int)size - 1);
    assert_true(len > 0);
    text[len] = '\0';
    BIO_free(bio);
}

static void make_keys(const char *name, EVP_PKEY *key)
{
    char file[64];
    pem_of(key, true, private_pem, sizeof(private_pem));
    pem_of(key, false, public_pem, sizeof(public_pem));
    (void)snprintf(file, sizeof(file), "%s.pem", name);
    write_file(file, private_pem);
    (void)snprintf(file, sizeof(file), "%s.pub.pem", name);
    write_file(file, public_pem);
    EVP_PKEY_free(key);
}

static int set_up(void **state)
{
    (void)state;
    log_init("token_test", LOG_LEVEL_ERROR);
    assert_ok(secret_init());
    scratch_make(&scratch);
    make_keys("p384", EVP_EC_gen("P-384"));
    make_keys("other", EVP_EC_gen("P-256"));
    make_keys("ledger",
              EVP_EC_gen("P-256")); /* last: its texts stay in private_pem and public_pem */
    assert_ok(token_signer_open(scratch_path(&scratch, "ledger.pem"), &signer));
    assert_ok(token_verifier_open(scratch_path(&scratch, "ledger.pub.pem"), &verifier));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    token_signer_free(&signer);
    token_verifier_free(&verifier);
    scratch_remove(&scratch);
    return 0;
}

static struct buffer signed_token(void)
{
    struct buffer text;
    buffer_init(&text, TOKEN_TEXT_MAX);
    assert_ok(token_sign(signer, &somebody, SLICE("GET"), SLICE("/api/v1/keys"), &text));
    return text;
}

static status verify(slice text)
{
    struct principal nobody = {.kind = PRINCIPAL_OPERATOR, .org = 99};
    status result = token_verify(verifier, text, SLICE("GET"), SLICE("/api/v1/keys"), &nobody);
    /* Whoever forgets to look at the status must not find somebody. */
    if (!status_ok(result)) assert_true(nobody.kind == PRINCIPAL_NONE && nobody.org == 0);
    return result;
}

TEST(a_token_says_who_was_signed_for)
{
    struct buffer text = signed_token();
    struct principal principal = {0};
    assert_ok(token_verify(verifier, buffer_slice(&text), SLICE("GET"), SLICE("/api/v1/keys"),
                           &principal));
    assert_int_equal(principal.kind, PRINCIPAL_MANAGEMENT);
    assert_true(principal.org == 11 && principal.workspace == 12 && principal.member == 13);
    assert_true(principal.key == INT64_MAX);
    buffer_free(&text);
}

TEST(a_token_is_for_one_method_and_one_path)
{
    struct buffer text = signed_token();
    struct principal principal;
    slice token = buffer_slice(&text);
    static const char *const wrong[][2] = {
        {"POST", "/api/v1/keys"},
        {"get", "/api/v1/keys"},
        {"GET", "/api/v1/key"},
        {"GET", "/api/v1/keys/"},
        {"GET", ""},
        {"", "/api/v1/keys"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_fails(
            token_verify(verifier, token, slice_of(wrong[i][0]), slice_of(wrong[i][1]), &principal),
            FORBIDDEN);
    }
    /* A C string would end at the NUL and be the right path. */
    assert_fails(token_verify(verifier, token, SLICE("GET"), SLICE("/api/v1/keys\0/x"), &principal),
                 FORBIDDEN);
    assert_ok(verify(token));
    buffer_free(&text);
}

TEST(a_token_of_another_key_is_refused)
{
    struct token_verifier *other = NULL;
    assert_ok(token_verifier_open(scratch_path(&scratch, "other.pub.pem"), &other));
    struct buffer text = signed_token();
    struct principal principal;
    assert_fails(
        token_verify(other, buffer_slice(&text), SLICE("GET"), SLICE("/api/v1/keys"), &principal),
        FORBIDDEN);
    buffer_free(&text);
    token_verifier_free(&other);
}

TEST(a_token_with_any_byte_changed_or_missing_is_refused)
{
    struct buffer text = signed_token();
    for (size_t i = 0; i < text.len; i += i + 90 < text.len ? 7 : 1) {
        char before = text.data[i];
        text.data[i] = before == 'A' ? 'B' : 'A';
        assert_fails(verify(buffer_slice(&text)), FORBIDDEN);
        text.data[i] = before;
        assert_fails(verify(slice_first(buffer_slice(&text), i)), FORBIDDEN);
    }
    assert_ok(verify(buffer_slice(&text)));
    buffer_append_char(&text, '.');
    assert_fails(verify(buffer_slice(&text)), FORBIDDEN);
    buffer_free(&text);
}

TEST(text_that_is_no_token_is_refused)
{
    static char large[100 * 1024];
    memset(large, 'a', sizeof(large));
    assert_fails(verify((slice){large, sizeof(large)}), FORBIDDEN);
    assert_fails(verify((slice){large, TOKEN_TEXT_MAX}), FORBIDDEN);
    static const char *const wrong[] = {"",      ".",        "..",       "...",
                                        "a.b.c", "e30.e30.", "Bearer x", "{}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_fails(verify(slice_of(wrong[i])), FORBIDDEN);
}

/* ---- forgeries ------------------------------------------------------------------------------- */

struct forgery {
    const char *missing;     /* claim or header left out */
    const char *text_name;   /* claim or header with another text … */
    const char *text;        /* … than the right one */
    const char *number_name; /* the same for numbers */
    long number;
    long issued; /* seconds from now of iat, nbf and exp - 60 */
    jwt_alg_t alg;
    const char *key; /* PEM to sign with; NULL: the right one */
};

static void forge_text(jwt_t *jwt, const struct forgery *forgery, const char *name,
                       const char *value)
{
    if (forgery->missing != NULL && strcmp(forgery->missing, name) == 0) return;
    bool other = forgery->text_name != NULL && strcmp(forgery->text_name, name) == 0;
    const char *text = other ? forgery->text : value;
    bool header = strcmp(name, "kid") == 0 || strcmp(name, "typ") == 0;
    assert_int_equal(header ? jwt_add_header(jwt, name, text) : jwt_add_grant(jwt, name, text), 0);
}

static void forge_number(jwt_t *jwt, const struct forgery *forgery, const char *name, long value)
{
    if (forgery->missing != NULL && strcmp(forgery->missing, name) == 0) return;
    bool other = forgery->number_name != NULL && strcmp(forgery->number_name, name) == 0;
    assert_int_equal(jwt_add_grant_int(jwt, name, other ? forgery->number : value), 0);
}

/* The key id as a signer writes it, cut out of a real token's head by libjwt. */
static const char *real_key_id(void)
{
    static char key_id[32];
    struct buffer text = signed_token();
    buffer_append_char(&text, '\0');
    jwt_t *jwt = NULL;
    assert_int_equal(jwt_decode(&jwt, text.data, NULL, 0), 0);
    (void)snprintf(key_id, sizeof(key_id), "%s", jwt_get_header(jwt, "kid"));
    assert_int_equal(strlen(key_id), 16);
    jwt_free(jwt);
    buffer_free(&text);
    return key_id;
}

static status verify_forgery(struct forgery forgery)
{
    jwt_t *jwt = NULL;
    long now_s = (long)(clock_wall().ns / 1000000000) + forgery.issued;
    assert_int_equal(jwt_new(&jwt), 0);
    forge_text(jwt, &forgery, "kid", real_key_id());
    forge_text(jwt, &forgery, "typ", "JWT");
    forge_text(jwt, &forgery, "iss", "bourse-ledger");
    forge_text(jwt, &forgery, "aud", "bourse");
    forge_text(jwt, &forgery, "m", "GET");
    forge_text(jwt, &forgery, "p", "/api/v1/keys");
    forge_number(jwt, &forgery, "iat", now_s);
    forge_number(jwt, &forgery, "nbf", now_s);
    forge_number(jwt, &forgery, "exp", now_s + 60);
    forge_number(jwt, &forgery, "org", 1);
    forge_number(jwt, &forgery, "ws", 2);
    forge_number(jwt, &forgery, "mem", 0);
    forge_number(jwt, &forgery, "key", 3);
    forge_number(jwt, &forgery, "kind", PRINCIPAL_KEY);
    jwt_alg_t alg = forgery.alg == JWT_ALG_NONE ? JWT_ALG_ES256 : forgery.alg;
    if (alg != JWT_ALG_TERM) {
        const char *key = forgery.key == NULL ? private_pem : forgery.key;
        assert_int_equal(jwt_set_alg(jwt, alg, (const unsigned char *)key, (int)strlen(key)), 0);
    }
    char *text = jwt_encode_str(jwt);
    assert_non_null(text);
    status result = verify(slice_of(text));
    free(text);
    jwt_free(jwt);
    return result;
}

TEST(the_forger_can_make_a_right_token)
{
    assert_ok(verify_forgery((struct forgery){0}));
}

TEST(a_token_signed_with_our_public_key_as_hmac_secret_is_refused)
{
    assert_fails(verify_forgery((struct forgery){.alg = JWT_ALG_HS256, .key = public_pem}),
                 FORBIDDEN);
    assert_fails(verify_forgery((struct forgery){.alg = JWT_ALG_HS512, .key = public_pem}),
                 FORBIDDEN);
}

TEST(a_token_without_a_signature_is_refused)
{
    assert_fails(verify_forgery((struct forgery){.alg = JWT_ALG_TERM}), FORBIDDEN);
}

TEST(a_token_lives_from_its_time_for_sixty_seconds)
{
    assert_ok(verify_forgery((struct forgery){.issued = -55}));
    assert_fails(verify_forgery((struct forgery){.issued = -61}), FORBIDDEN);
    assert_fails(verify_forgery((struct forgery){.issued = 5}), FORBIDDEN);
    long now_s = (long)(clock_wall().ns / 1000000000);
    assert_fails(verify_forgery((struct forgery){.number_name = "nbf", .number = now_s + 30}),
                 FORBIDDEN);
    assert_fails(verify_forgery((struct forgery){.number_name = "iat", .number = now_s + 30}),
                 FORBIDDEN);
    /* A signer cannot be talked into one that lives longer. */
    assert_fails(verify_forgery((struct forgery){.number_name = "exp", .number = now_s + 3600}),
                 FORBIDDEN);
}

TEST(a_token_without_any_one_of_its_claims_is_refused)
{
    static const char *const names[] = {"kid", "iss", "aud", "m",   "p",   "iat", "nbf",
                                        "exp", "org", "ws",  "mem", "key", "kind"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_fails(verify_forgery((struct forgery){.missing = names[i]}), FORBIDDEN);
}

TEST(a_token_with_another_issuer_audience_key_or_kind_is_refused)
{
    static const char *const texts[][2] = {
        {"kid", "0123456789abcdef"}, {"kid", ""},     {"iss", "bourse"},
        {"aud", "bourse-ledger"},    {"m", "DELETE"}, {"p", "/api/v1/credits"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_fails(
            verify_forgery((struct forgery){.text_name = texts[i][0], .text = texts[i][1]}),
            FORBIDDEN);
    }
    static const long kinds[] = {PRINCIPAL_NONE, PRINCIPAL_OPERATOR, 4, -1};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        assert_fails(verify_forgery((struct forgery){.number_name = "kind", .number = kinds[i]}),
                     FORBIDDEN);
    }
}

TEST(nobody_and_the_operator_get_no_token)
{
    struct buffer text;
    buffer_init(&text, TOKEN_TEXT_MAX);
    struct principal principal = somebody;
    principal.kind = PRINCIPAL_OPERATOR;
    assert_fails(token_sign(signer, &principal, SLICE("GET"), SLICE("/"), &text), FORBIDDEN);
    principal.kind = PRINCIPAL_NONE;
    assert_fails(token_sign(signer, &principal, SLICE("GET"), SLICE("/"), &text), FORBIDDEN);
    assert_int_equal(text.len, 0);
    buffer_free(&text);
}

TEST(a_path_that_a_token_cannot_carry_is_refused_when_signing)
{
    static char path[1025];
    struct buffer text;
    buffer_init(&text, TOKEN_TEXT_MAX);
    memset(path, 'p', sizeof(path));
    assert_ok(token_sign(signer, &somebody, SLICE("GET"), (slice){path, 1024}, &text));
    assert_true(text.len <= TOKEN_TEXT_MAX);
    size_t len = text.len;
    assert_fails(token_sign(signer, &somebody, SLICE("GET"), (slice){path, 1025}, &text), OVERFLOW);
    assert_fails(token_sign(signer, &somebody, SLICE("GET"), SLICE("/a\0b"), &text), OVERFLOW);
    assert_fails(token_sign(signer, &somebody, SLICE("GET"), SLICE("/\xff"), &text), BAD_REQUEST);
    assert_int_equal(text.len, len);
    buffer_free(&text);
}

TEST(files_that_hold_no_such_key_are_refused)
{
    struct token_signer *no_signer = NULL;
    struct token_verifier *no_verifier = NULL;
    write_file("empty.pem", "");
    write_file("text.pem", "-----BEGIN PUBLIC KEY-----\nnot base64\n-----END PUBLIC KEY-----\n");
    assert_fails(token_signer_open(scratch_path(&scratch, "empty.pem"), &no_signer), CRYPTO);
    assert_fails(token_verifier_open(scratch_path(&scratch, "text.pem"), &no_verifier), CRYPTO);
    assert_fails(token_signer_open(scratch_path(&scratch, "ledger.pub.pem"), &no_signer), CRYPTO);
    assert_fails(token_verifier_open(scratch_path(&scratch, "ledger.pem"), &no_verifier), CRYPTO);
    assert_fails(token_signer_open(scratch_path(&scratch, "p384.pem"), &no_signer), CRYPTO);
    assert_fails(token_verifier_open(scratch_path(&scratch, "p384.pub.pem"), &no_verifier), CRYPTO);
    assert_fails(token_verifier_open(scratch_path(&scratch, "missing.pem"), &no_verifier), IO);
    assert_null(no_signer);
    assert_null(no_verifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_says_who_was_signed_for),
        cmocka_unit_test(a_token_is_for_one_method_and_one_path),
        cmocka_unit_test(a_token_of_another_key_is_refused),
        cmocka_unit_test(a_token_with_any_byte_changed_or_missing_is_refused),
        cmocka_unit_test(text_that_is_no_token_is_refused),
        cmocka_unit_test(the_forger_can_make_a_right_token),
        cmocka_unit_test(a_token_signed_with_our_public_key_as_hmac_secret_is_refused),
        cmocka_unit_test(a_token_without_a_signature_is_refused),
        cmocka_unit_test(a_token_lives_from_its_time_for_sixty_seconds),
        cmocka_unit_test(a_token_without_any_one_of_its_claims_is_refused),
        cmocka_unit_test(a_token_with_another_issuer_audience_key_or_kind_is_refused),
        cmocka_unit_test(nobody_and_the_operator_get_no_token),
        cmocka_unit_test(a_path_that_a_token_cannot_carry_is_refused_when_signing),
        cmocka_unit_test(files_that_hold_no_such_key_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
