/* SPDX-License-Identifier: Apache-2.0 */
/* Principal tokens: who a forwarded control-plane request speaks for. ES256 JWTs of 60 s, bound to
 * a method and a path, signed by the ledger, checked by every service. The only file that calls
 * libjwt, whose defaults are not enough: after decoding, algorithm, kid, typ, iss, aud, exp and nbf
 * are required by hand. */
#pragma once

#include "shared/arena.h"
#include "shared/id.h"
#include "shared/secret.h"

#define TOKEN_LIFETIME_S 60
#define TOKEN_TEXT_MAX   2048

enum principal_kind {
    PRINCIPAL_NONE = 0,       /* public routes */
    PRINCIPAL_KEY = 1,        /* an inference key */
    PRINCIPAL_MANAGEMENT = 2, /* a management key */
    PRINCIPAL_OPERATOR = 3,   /* the operator's own socket; never in a token */
};

struct principal {
    enum principal_kind kind;
    int64_t org;
    int64_t workspace;
    int64_t member; /* 0: none */
    int64_t key;    /* row id of the key; 0 for an operator */
};

struct token_signer;
struct token_verifier;
status token_signer_open(const char *pem_path, struct token_signer **signer);
status token_verifier_open(const char *public_pem_path, struct token_verifier **verifier);
void token_signer_free(struct token_signer **signer);
void token_verifier_free(struct token_verifier **verifier);

/* method and path as they stand in the request line of the service (encoded as sent, without the
 * query). About 0.4 ms: call on a worker thread. */
status token_sign(struct token_signer *signer, const struct principal *principal, slice method,
                  slice path, struct buffer *text);
/* FORBIDDEN for anything that is not exactly such a token for this method and path, now. */
status token_verify(struct token_verifier *verifier, slice text, slice method, slice path,
                    struct principal *principal);
