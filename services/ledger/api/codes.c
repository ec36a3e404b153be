/* SPDX-License-Identifier: Apache-2.0 */
/* Codes that people redeem for promotional credit: made and stopped by an operator, redeemed once
 * per organization and as often in all as they allow. A code is found by its keyed hash, which is
 * all that is stored: whoever reads the table has no code, and how long a look takes tells nothing
 * about how much of a guess was right. */
#include "services/ledger/api/api.h"

#include <sodium.h>

#include "services/ledger/api/credit_line.h"
#include "services/ledger/api/credits.h"
#include "services/ledger/api/fields.h"
#include "services/ledger/api/idempotency.h"

#define CODE_LEN_MIN  6
#define CODE_LEN_MAX  64
#define LABEL_LEN     4
#define HASH_SIZE     32
#define USES_MAX      1000000
#define DAYS_MAX      36500
#define CODE_PAGE_MAX 100
#define SECONDS_MAX   INT64_C(3155760000) /* a hundred years */
#define REFERENCE_MAX 32

struct code {
    char text[CODE_LEN_MAX]; /* in capitals, as it is hashed */
    size_t len;
    uint8_t hash[HASH_SIZE];
};

/* Letters, digits, - and _; small letters are as good as capitals, blanks around it are a slip of
 * whoever copied it. */
static status read_code(const struct api *api, slice given, struct code *code)
{
    static const char domain[] = "code:"; /* no hash of a key is ever one of a code */
    slice trimmed = slice_trim(given);
    if (trimmed.len < CODE_LEN_MIN || trimmed.len > CODE_LEN_MAX) return FAIL(NOT_FOUND);
    code->len = trimmed.len;
    for (size_t i = 0; i < trimmed.len; i++) {
        char c = trimmed.data[i];
        if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
        bool fits = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!fits) return FAIL(NOT_FOUND);
        code->text[i] = c;
    }
    slice pepper = secret_slice(&api->pepper);
    crypto_generichash_state state;
    crypto_generichash_init(&state, (const uint8_t *)pepper.data, pepper.len, HASH_SIZE);
    crypto_generichash_update(&state, (const uint8_t *)domain, sizeof(domain) - 1);
    crypto_generichash_update(&state, (const uint8_t *)code->text, code->len);
    crypto_generichash_final(&state, code->hash, HASH_SIZE);
    return OK;
}

static struct db_param hash_of(const struct code *code)
{
    return DB_P_BYTES(((slice){(const char *)code->hash, HASH_SIZE}));
}

/* ---- the operator's ---- */

enum { FIELD_AMOUNT, FIELD_USES, FIELD_EXPIRES, FIELD_CREDIT_DAYS, FIELD_CODE, FIELD_COUNT };

static const struct field code_fields[FIELD_COUNT] = {
    {SLICE_INIT("amount"), FIELD_DOLLARS, 1, INT64_MAX, false, true,
     "a number of dollars above 0 with at most 9 decimals."},
    {SLICE_INIT("uses"), FIELD_INTEGER, 1, USES_MAX, false, true,
     "a whole number from 1 to 1,000,000."},
    {SLICE_INIT("expires_at"), FIELD_TIME, 0, SECONDS_MAX, true, false,
     "a time to come, as 2027-01-31T00:00:00Z."},
    {SLICE_INIT("credit_days"), FIELD_INTEGER, 0, DAYS_MAX, true, false,
     "a whole number of days, at most 36500; 0 or null: what it credits never expires."},
    {SLICE_INIT("code"), FIELD_TEXT, 1, 4 * CODE_LEN_MAX, false, false,
     "6 to 64 letters, digits, - or _."},
};

/* A mistyped amount must not become credit: the bound is the largest that any plan takes at
 * once. */
static status check_amount(struct control_request *request, struct control_response *response,
                           int64_t nano)
{
    SCOPED(db_result_free) struct db_result *largest = NULL;
    TRY(db_run(request->db, "largest_purchase", NULL, 0, &largest));
    if ((nano - 1) / NANO_PER_CENT < db_i64(largest, 0, 0)) return OK;
    return control_fail(response, FAIL(OUT_OF_RANGE),
                        SLICE("amount is above what any plan takes at once (by default $25,000)."));
}

static status choose_code(struct control_request *request, struct control_response *response,
                          const struct field_value *given, struct code *code)
{
    char made[CODE_LEN_MAX];
    struct buffer text;
    buffer_init_fixed(&text, made, sizeof(made));
    if (!given->given) id_append_random(&text, SLICE("bourse-"));
    slice chosen = given->given ? given->text : buffer_slice(&text);
    if (status_ok(read_code(request->service, chosen, code))) return OK;
    return control_fail(response, FAIL(OUT_OF_RANGE),
                        SLICE("code must be 6 to 64 letters, digits, - or _."));
}

static void write_bound(const struct field_value *value, struct control_response *response,
                        slice name)
{
    json_key(&response->json, name);
    if (!value->given || value->is_null) {
        json_null(&response->json);
    } else {
        json_time(&response->json, (wall_time){value->number});
    }
}

status codes_create(struct control_request *request, struct control_response *response)
{
    struct field_value values[FIELD_COUNT];
    struct code code;
    SCOPED(db_result_free) struct db_result *made = NULL;
    TRY(fields_read(request, response, code_fields, FIELD_COUNT, values));
    TRY(check_amount(request, response, values[FIELD_AMOUNT].number));
    TRY(choose_code(request, response, &values[FIELD_CODE], &code));
    if (values[FIELD_CREDIT_DAYS].number == 0) values[FIELD_CREDIT_DAYS].is_null = true;
    const struct db_param params[] = {
        hash_of(&code),
        DB_P_TEXT(((slice){code.text, LABEL_LEN})),
        field_number(&values[FIELD_AMOUNT]),
        field_number(&values[FIELD_USES]),
        field_number(&values[FIELD_EXPIRES]),
        field_number(&values[FIELD_CREDIT_DAYS]),
    };
    status result = db_run(request->db, "insert_code", params, 6, &made);
    if (result.code == ERROR_DATABASE_CONFLICT)
        return control_fail(response, FAIL(CONFLICT), SLICE("There is such a code already."));
    TRY(result);
    response->http_status = 201;
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    json_key_i64(w, SLICE("id"), db_i64(made, 0, 0));
    json_key_string(w, SLICE("code"), (slice){code.text, code.len}); /* shown this once */
    json_key_money(w, SLICE("amount"), (money){values[FIELD_AMOUNT].number});
    json_key_i64(w, SLICE("uses_max"), values[FIELD_USES].number);
    write_bound(&values[FIELD_EXPIRES], response, SLICE("expires_at"));
    json_object_end(w);
    json_object_end(w);
    return OK;
}

/* Columns of list_codes. */
enum {
    COLUMN_ID,
    COLUMN_LABEL,
    COLUMN_AMOUNT,
    COLUMN_USES_MAX,
    COLUMN_USES,
    COLUMN_EXPIRES,
    COLUMN_CREDIT_DAYS,
    COLUMN_DISABLED
};

static void write_code(const struct db_result *rows, size_t row, struct json_writer *w)
{
    json_object_begin(w);
    json_key_i64(w, SLICE("id"), db_i64(rows, row, COLUMN_ID));
    json_key_string(w, SLICE("label"), db_text(rows, row, COLUMN_LABEL));
    json_key_money(w, SLICE("amount"), db_money(rows, row, COLUMN_AMOUNT));
    json_key_i64(w, SLICE("uses_max"), db_i64(rows, row, COLUMN_USES_MAX));
    json_key_i64(w, SLICE("uses"), db_i64(rows, row, COLUMN_USES));
    api_write_time(rows, row, SLICE("expires_at"), COLUMN_EXPIRES, w);
    if (db_is_null(rows, row, COLUMN_CREDIT_DAYS)) {
        json_key_null(w, SLICE("credit_days"));
    } else {
        json_key_i64(w, SLICE("credit_days"), db_i64(rows, row, COLUMN_CREDIT_DAYS));
    }
    json_key_bool(w, SLICE("disabled"), db_bool(rows, row, COLUMN_DISABLED));
    json_object_end(w);
}

status codes_list(struct control_request *request, struct control_response *response)
{
    int64_t offset, limit;
    TRY(api_page(request, response, CODE_PAGE_MAX, &offset, &limit));
    SCOPED(db_result_free) struct db_result *rows = NULL;
    TRY(db_run(request->db, "list_codes",
               (const struct db_param[]){DB_P_I64(offset), DB_P_I64(limit)}, 2, &rows));
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_array_begin(w);
    for (size_t i = 0; i < db_row_count(rows); i++)
        write_code(rows, i, w);
    json_array_end(w);
    json_object_end(w);
    return OK;
}

status codes_disable(struct control_request *request, struct control_response *response)
{
    int64_t id = 0;
    SCOPED(db_result_free) struct db_result *changed = NULL;
    bool number = status_ok(slice_to_i64(request->params[0], &id));
    if (number)
        TRY(db_run(request->db, "disable_code", (const struct db_param[]){DB_P_I64(id)}, 1,
                   &changed));
    if (!number || db_row_count(changed) == 0)
        return control_fail(response, FAIL(NOT_FOUND),
                            SLICE("No code has this id. See `bourse code list`."));
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    write_code(changed, 0, &response->json);
    json_object_end(&response->json);
    return OK;
}

/* ---- the customer's ---- */

struct redeeming {
    int64_t org;
    struct code code;
};

/* Why the code was not taken: said plainly to whoever knows the code. */
static status refuse(struct control_request *request, struct control_response *response,
                     const struct redeeming *redeeming)
{
    SCOPED(db_result_free) struct db_result *found = NULL;
    const struct db_param params[] = {hash_of(&redeeming->code), DB_P_I64(redeeming->org)};
    TRY(db_run(request->db, "find_code", params, 2, &found));
    if (db_row_count(found) == 0)
        return control_fail(response, FAIL(NOT_FOUND), SLICE("There is no such code."));
    if (db_bool(found, 0, 0))
        return control_fail(response, FAIL(CONFLICT),
                            SLICE("Your organization has redeemed this code before."));
    if (db_bool(found, 0, 1))
        return control_fail(response, FAIL(CONFLICT), SLICE("This code has expired."));
    return control_fail(response, FAIL(CONFLICT),
                        SLICE("This code has been used as often as it may be."));
}

static status book_redemption(struct control_request *request, struct control_response *response,
                              int64_t org, const struct db_result *taken)
{
    struct api *api = request->service;
    char memory[REFERENCE_MAX];
    struct buffer reference;
    buffer_init_fixed(&reference, memory, sizeof(memory));
    buffer_append(&reference, SLICE("code "));
    buffer_append_i64(&reference, db_i64(taken, 0, 0));
    const struct booking booking = {
        .org = org,
        .cell = api->config->cell,
        .reference = buffer_slice(&reference),
        .count = 1,
        .entries = {{ACCOUNT_PROMO_EXPENSE, ACCOUNT_CREDIT_PROMO, db_money(taken, 0, 1), "promo"}},
    };
    TRY(credits_book(request->db, response, &booking));
    return lots_set_expiry(request->db, org, booking.reference,
                           db_is_null(taken, 0, 2) ? DB_P_NULL : DB_P_I64(db_i64(taken, 0, 2)));
}

/* The code's row is locked first, so of those who come at once one after the other is counted. */
static status redeem_effect(struct control_request *request, struct control_response *response,
                            void *context)
{
    const struct redeeming *redeeming = context;
    SCOPED(db_result_free) struct db_result *taken = NULL;
    SCOPED(db_result_free) struct db_result *first = NULL;
    const struct db_param hash[] = {hash_of(&redeeming->code)};
    TRY(credit_line_refuse(request->db, response, redeeming->org));
    TRY(db_run(request->db, "take_code", hash, 1, &taken));
    if (db_row_count(taken) == 0) return refuse(request, response, redeeming);
    TRY(db_run(request->db, "insert_redemption",
               (const struct db_param[]){DB_P_I64(redeeming->org), DB_P_I64(db_i64(taken, 0, 0)),
                                         DB_P_MONEY(db_money(taken, 0, 1))},
               3, &first));
    if (db_affected(first) == 0) return refuse(request, response, redeeming);
    TRY(book_redemption(request, response, redeeming->org, taken));
    response->http_status = 201;
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key(w, SLICE("data"));
    json_object_begin(w);
    json_key_money(w, SLICE("credited"), db_money(taken, 0, 1));
    api_write_time(taken, 0, SLICE("expires_at"), 2, w);
    json_object_end(w);
    json_object_end(w);
    return OK;
}

status credits_redeem(struct control_request *request, struct control_response *response)
{
    static const struct field fields[] = {
        {SLICE_INIT("code"), FIELD_TEXT, 1, 4 * CODE_LEN_MAX, false, true,
         "the text of a code, at most 64 letters and digits."},
    };
    struct field_value value;
    struct redeeming redeeming = {0};
    TRY(api_org(request, response, &redeeming.org));
    TRY(fields_read(request, response, fields, 1, &value));
    if (!status_ok(read_code(request->service, value.text, &redeeming.code)))
        return control_fail(response, FAIL(NOT_FOUND), SLICE("There is no such code."));
    TRY(idempotency_run(request, response, redeeming.org, SLICE("redeem"), redeem_effect,
                        &redeeming));
    api_credit_moved(request->service, redeeming.org);
    return OK;
}
