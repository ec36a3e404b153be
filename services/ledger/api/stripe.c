/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Requests are form-encoded, as Stripe wants them; the version is pinned, so that
 * the answers stay what they are here. */
#include "services/ledger/api/stripe.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "services/ledger/api/api.h"
#include "services/ledger/egress.h"
#include "shared/log.h"

#define STRIPE_VERSION  SLICE("stripe-version: 2024-06-20")
#define KEY_SIZE_MAX    512
#define SECRETS_SIZE    4096
#define FORM_SIZE_MAX   16384
#define ANSWER_SIZE_MAX ((size_t)4 << 20)
#define VALUES_MAX      65536
#define LINE_SIZE       (KEY_SIZE_MAX + 64)

struct call {
    slice method;
    slice path; /* with the query */
    slice form;
    slice idempotency_key; /* empty: none */
};

status stripe_open(const struct config *config, struct stripe *stripe)
{
    *stripe = (struct stripe){.config = config};
    if (config->stripe_key_file[0] == '\0') return OK;
    stripe->line = calloc(1, sizeof(*stripe->line));
    if (stripe->line == NULL) return FAIL(NO_MEMORY);
    TRY(secret_read_file(config->stripe_key_file, KEY_SIZE_MAX, true, &stripe->key));
    TRY(secret_read_file(config->stripe_webhook_secrets_file, SECRETS_SIZE, true,
                         &stripe->secrets));
    slice key = secret_slice(&stripe->key);
    bool test =
        slice_starts_with(key, SLICE("sk_test_")) || slice_starts_with(key, SLICE("rk_test_"));
    stripe->livemode =
        slice_starts_with(key, SLICE("sk_live_")) || slice_starts_with(key, SLICE("rk_live_"));
    if (test != stripe->livemode && stripe->secrets.len > 0) return OK;
    log_error("stripe_files_unusable",
              F(reason, SLICE("stripe_key_file must hold one key (sk_live_…, rk_live_… or one for "
                              "tests), stripe_webhook_secrets_file at least one whsec_…")));
    return FAIL(CONFIGURATION);
}

void stripe_close(struct stripe *stripe)
{
    free(stripe->line);
    secret_free(&stripe->key);
    secret_free(&stripe->secrets);
}

status stripe_enter(const struct stripe *stripe, bool *probe)
{
    struct stripe_line *line = stripe->line;
    *probe = atomic_load(&line->silent);
    return *probe && atomic_exchange(&line->probing, true) ? FAIL(PAYMENTS_DOWN) : OK;
}

void stripe_leave(const struct stripe *stripe, bool probe)
{
    if (probe) atomic_store(&stripe->line->probing, false);
}

void stripe_reply_free(struct stripe_reply *reply)
{
    json_document_free(&reply->document);
    buffer_free(&reply->body);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static enum stripe_outcome outcome_of(int http_status)
{
    if (http_status >= 200 && http_status < 300) return STRIPE_DONE;
    /* 401 and 403 are our key's fault, 409 a twin under way, 429 haste: they may pass later. */
    bool refused = http_status == 400 || http_status == 402 || http_status == 404;
    return refused ? STRIPE_REFUSED : STRIPE_UNKNOWN;
}

static status ask(const struct stripe *stripe, const struct call *call, struct stripe_reply *reply,
                  int *http_status)
{
    char target_text[CONFIG_TEXT_SIZE + 512], key_text[LINE_SIZE], idempotency_text[LINE_SIZE];
    struct buffer target, key, idempotency;
    buffer_init_fixed(&target, target_text, sizeof(target_text));
    buffer_append(&target, slice_of(stripe->config->stripe_base_url));
    buffer_append(&target, call->path);
    buffer_init_fixed(&key, key_text, sizeof(key_text));
    buffer_append(&key, SLICE("authorization: Bearer "));
    buffer_append(&key, secret_slice(&stripe->key));
    buffer_init_fixed(&idempotency, idempotency_text, sizeof(idempotency_text));
    buffer_append(&idempotency, SLICE("idempotency-key: "));
    buffer_append(&idempotency, call->idempotency_key);
    const slice headers[] = {buffer_slice(&key), STRIPE_VERSION,
                             SLICE("content-type: application/x-www-form-urlencoded"),
                             buffer_slice(&idempotency)};
    status done = buffer_finish(&target);
    if (status_ok(done)) done = buffer_finish(&key);
    if (status_ok(done)) done = buffer_finish(&idempotency);
    const struct egress_request request = {
        .method = call->method,
        .target = buffer_slice(&target),
        .purpose = SLICE("stripe"),
        .headers = headers,
        .header_count = call->idempotency_key.len > 0 ? 4 : 3,
        .body = call->form,
    };
    if (status_ok(done)) done = egress_ask(&request, http_status, &reply->body);
    explicit_bzero(key_text, sizeof(key_text));
    return done;
}

static enum stripe_outcome run(const struct stripe *stripe, const struct call *call,
                               struct stripe_reply *reply)
{
    int http_status = 0;
    *reply = (struct stripe_reply){0};
    buffer_init(&reply->body, ANSWER_SIZE_MAX);
    json_document_init(&reply->document, VALUES_MAX);
    status asked = ask(stripe, call, reply, &http_status);
    atomic_store(&stripe->line->silent, !status_ok(asked));
    enum stripe_outcome outcome = status_ok(asked) ? outcome_of(http_status) : STRIPE_UNKNOWN;
    bool parsed =
        status_ok(asked) && status_ok(json_parse(&reply->document, buffer_slice(&reply->body)));
    if (parsed) reply->root = json_root(&reply->document);
    /* What is no JSON did not come from Stripe, whatever its status says. */
    if (!parsed) outcome = STRIPE_UNKNOWN;
    if (outcome != STRIPE_DONE) {
        log_warning("stripe_call_failed", FN(name, method, call->method), F(error, asked),
                    FN(number, http_status, http_status));
    }
    return outcome;
}

/* ---- forms ----------------------------------------------------------------------------------- */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

static void append_encoded(struct buffer *out, slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (is_plain(text.data[i])) {
            buffer_append_char(out, text.data[i]);
            continue;
        }
        buffer_append_char(out, '%');
        buffer_append_hex(out, (const uint8_t *)text.data + i, 1);
    }
}

static void add_text(struct buffer *form, slice name, slice value)
{
    if (form->len > 0) buffer_append_char(form, '&');
    append_encoded(form, name);
    buffer_append_char(form, '=');
    append_encoded(form, value);
}

static void add_number(struct buffer *form, slice name, int64_t value)
{
    add_text(form, name, SLICE(""));
    buffer_append_i64(form, value);
}

static void add_org(struct buffer *form, slice name, int64_t org)
{
    add_text(form, name, SLICE(""));
    api_append_org(form, org);
}

static void add_return_url(const struct stripe *stripe, struct buffer *form, slice name,
                           slice purchase)
{
    slice url = slice_of(stripe->config->stripe_return_url);
    bool has_query = memchr(url.data, '?', url.len) != NULL;
    add_text(form, name, url);
    append_encoded(form, has_query ? SLICE("&purchase=") : SLICE("?purchase="));
    append_encoded(form, purchase);
}

/* ---- the calls ------------------------------------------------------------------------------- */

enum stripe_outcome stripe_session_create(const struct stripe *stripe,
                                          const struct stripe_order *order,
                                          struct stripe_reply *reply)
{
    static const slice line_names[][4] = {
        {SLICE_INIT("line_items[0][quantity]"), SLICE_INIT("line_items[0][price_data][currency]"),
         SLICE_INIT("line_items[0][price_data][unit_amount]"),
         SLICE_INIT("line_items[0][price_data][product_data][name]")},
        {SLICE_INIT("line_items[1][quantity]"), SLICE_INIT("line_items[1][price_data][currency]"),
         SLICE_INIT("line_items[1][price_data][unit_amount]"),
         SLICE_INIT("line_items[1][price_data][product_data][name]")}};
    const struct {
        int64_t cents;
        slice name;
    } lines[] = {{order->amount_cents, SLICE("Credits")}, {order->fee_cents, SLICE("Fee")}};
    char text[FORM_SIZE_MAX];
    struct buffer form;
    buffer_init_fixed(&form, text, sizeof(text));
    add_text(&form, SLICE("mode"), SLICE("payment"));
    add_text(&form, SLICE("client_reference_id"), order->purchase);
    add_return_url(stripe, &form, SLICE("success_url"), order->purchase);
    add_return_url(stripe, &form, SLICE("cancel_url"), order->purchase);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (lines[i].cents == 0) continue;
        add_number(&form, line_names[i][0], 1);
        add_text(&form, line_names[i][1], SLICE("usd"));
        add_number(&form, line_names[i][2], lines[i].cents);
        add_text(&form, line_names[i][3], lines[i].name);
    }
    if (order->save_card) {
        add_text(&form, SLICE("customer_creation"), SLICE("always"));
        add_text(&form, SLICE("payment_intent_data[setup_future_usage]"), SLICE("off_session"));
    }
    add_org(&form, SLICE("metadata[org]"), order->org);
    add_text(&form, SLICE("metadata[purchase]"), order->purchase);
    add_org(&form, SLICE("payment_intent_data[metadata][org]"), order->org);
    add_text(&form, SLICE("payment_intent_data[metadata][purchase]"), order->purchase);
    const struct call call = {SLICE("POST"), SLICE("/v1/checkout/sessions"), buffer_slice(&form),
                              order->purchase};
    return run(stripe, &call, reply);
}

enum stripe_outcome stripe_intent_create(const struct stripe *stripe,
                                         const struct stripe_order *order,
                                         struct stripe_reply *reply)
{
    char text[FORM_SIZE_MAX];
    struct buffer form;
    buffer_init_fixed(&form, text, sizeof(text));
    add_number(&form, SLICE("amount"), order->amount_cents + order->fee_cents);
    add_text(&form, SLICE("currency"), SLICE("usd"));
    add_text(&form, SLICE("customer"), order->customer);
    add_text(&form, SLICE("payment_method"), order->card);
    add_text(&form, SLICE("off_session"), SLICE("true"));
    add_text(&form, SLICE("confirm"), SLICE("true"));
    add_org(&form, SLICE("metadata[org]"), order->org);
    add_text(&form, SLICE("metadata[purchase]"), order->purchase);
    const struct call call = {SLICE("POST"), SLICE("/v1/payment_intents"), buffer_slice(&form),
                              order->purchase};
    return run(stripe, &call, reply);
}

/* GET of a path whose middle is an id that Stripe gave. */
static enum stripe_outcome read_object(const struct stripe *stripe, slice before, slice id,
                                       slice behind, struct stripe_reply *reply)
{
    char text[512];
    struct buffer path;
    buffer_init_fixed(&path, text, sizeof(text));
    buffer_append(&path, before);
    append_encoded(&path, id);
    buffer_append(&path, behind);
    const struct call call = {SLICE("GET"), buffer_slice(&path), SLICE(""), SLICE("")};
    return run(stripe, &call, reply);
}

enum stripe_outcome stripe_session_read(const struct stripe *stripe, slice session,
                                        struct stripe_reply *reply)
{
    return read_object(stripe, SLICE("/v1/checkout/sessions/"), session,
                       SLICE("?expand%5B%5D=payment_intent"), reply);
}

enum stripe_outcome stripe_sessions_read(const struct stripe *stripe, slice intent,
                                         struct stripe_reply *reply)
{
    return read_object(stripe, SLICE("/v1/checkout/sessions?limit=1&payment_intent="), intent,
                       SLICE(""), reply);
}

enum stripe_outcome stripe_intent_read(const struct stripe *stripe, slice intent,
                                       struct stripe_reply *reply)
{
    return read_object(stripe, SLICE("/v1/payment_intents/"), intent, SLICE(""), reply);
}

enum stripe_outcome stripe_refunds_read(const struct stripe *stripe, slice intent,
                                        struct stripe_reply *reply)
{
    return read_object(stripe, SLICE("/v1/refunds?limit=100&payment_intent="), intent, SLICE(""),
                       reply);
}

enum stripe_outcome stripe_disputes_read(const struct stripe *stripe, slice intent,
                                         struct stripe_reply *reply)
{
    return read_object(stripe, SLICE("/v1/disputes?limit=100&payment_intent="), intent, SLICE(""),
                       reply);
}

enum stripe_outcome stripe_movements_read(const struct stripe *stripe,
                                          const struct stripe_span *span,
                                          struct stripe_reply *reply)
{
    char text[1024];
    struct buffer path;
    buffer_init_fixed(&path, text, sizeof(text));
    buffer_append(&path,
                  SLICE("/v1/balance_transactions?limit=100&expand%5B%5D=data.source&created%5Bgte"
                        "%5D="));
    buffer_append_i64(&path, span->from_s);
    buffer_append(&path, SLICE("&created%5Blt%5D="));
    buffer_append_i64(&path, span->until_s);
    if (span->after.len > 0) {
        buffer_append(&path, SLICE("&starting_after="));
        append_encoded(&path, span->after);
    }
    const struct call call = {SLICE("GET"), buffer_slice(&path), SLICE(""), SLICE("")};
    return run(stripe, &call, reply);
}

enum stripe_outcome stripe_refund_create(const struct stripe *stripe,
                                         const struct stripe_refund *refund,
                                         struct stripe_reply *reply)
{
    char text[1024];
    struct buffer form;
    buffer_init_fixed(&form, text, sizeof(text));
    add_text(&form, SLICE("payment_intent"), refund->intent);
    add_number(&form, SLICE("amount"), refund->amount_cents);
    add_text(&form, SLICE("metadata[refund]"), refund->refund);
    const struct call call = {SLICE("POST"), SLICE("/v1/refunds"), buffer_slice(&form),
                              refund->refund};
    return run(stripe, &call, reply);
}

/* ---- reading --------------------------------------------------------------------------------- */

slice stripe_text(struct json_value object, slice name)
{
    slice raw = json_raw(json_get(object, name));
    bool is_text = json_kind_of(json_get(object, name)) == JSON_STRING && raw.len >= 2 &&
                   memchr(raw.data, '\\', raw.len) == NULL;
    return is_text ? (slice){raw.data + 1, raw.len - 2} : SLICE_NONE;
}

int64_t stripe_number(struct json_value object, slice name)
{
    int64_t value = 0;
    return status_ok(json_read_i64(json_get(object, name), &value)) ? value : 0;
}

bool stripe_flag(struct json_value object, slice name)
{
    bool value = false;
    return status_ok(json_read_bool(json_get(object, name), &value)) && value;
}
