/* SPDX-License-Identifier: Apache-2.0 */
/* POST /webhooks/stripe. An event only says that something happened: what is believed is the
 * object, which is fetched. It is answered with 200 once what followed from it is committed; until
 * then Stripe sends it again. */
#include "services/ledger/api/api.h"
#include "services/ledger/api/stripe_purchase.h"
#include "services/ledger/api/stripe_signature.h"
#include "shared/clock.h"
#include "shared/log.h"

#define VALUES_MAX   65536
#define EVENT_ID_MAX 255
#define NANO_PER_S   INT64_C(1000000000)

struct event {
    slice id, type, object;
    slice session, intent; /* what it is about; one of them at least */
    int64_t org;           /* 0: nothing of ours */
    slice purchase;
};

static status answer_received(struct control_response *response)
{
    json_object_begin(&response->json);
    json_key_bool(&response->json, SLICE("received"), true);
    json_object_end(&response->json);
    return OK;
}

static status read_event(const struct stripe *stripe, struct json_value root, struct event *event)
{
    struct json_value object = json_get(json_get(root, SLICE("data")), SLICE("object"));
    *event = (struct event){
        .id = stripe_text(root, SLICE("id")),
        .type = stripe_text(root, SLICE("type")),
        .object = stripe_text(object, SLICE("object")),
        .intent = stripe_text(object, SLICE("payment_intent")),
    };
    if (slice_equal(event->object, SLICE("checkout.session")))
        event->session = stripe_text(object, SLICE("id"));
    if (slice_equal(event->object, SLICE("payment_intent")))
        event->intent = stripe_text(object, SLICE("id"));
    if (event->id.len == 0 || event->id.len > EVENT_ID_MAX) return FAIL(BAD_REQUEST);
    return stripe_flag(root, SLICE("livemode")) == stripe->livemode ? OK : FAIL(CONFLICT);
}

/* What Stripe's own copy of the object says about whose it is: our names stand in its metadata. */
static status read_place(struct control_request *request, struct event *event,
                         struct json_value metadata)
{
    slice purchase = arena_copy(request->arena, stripe_text(metadata, SLICE("purchase")));
    if (purchase.data == NULL) return FAIL(TOO_LARGE);
    if (!status_ok(api_parse_org(stripe_text(metadata, SLICE("org")), &event->org))) event->org = 0;
    event->purchase = purchase;
    return OK;
}

static status fetch_place(struct control_request *request, struct event *event)
{
    const struct stripe *stripe = &((struct api *)request->service)->stripe;
    SCOPED(stripe_reply_free) struct stripe_reply reply = {0};
    SCOPED(stripe_reply_free) struct stripe_reply sessions = {0};
    bool by_session = event->session.len > 0;
    enum stripe_outcome told = by_session ? stripe_session_read(stripe, event->session, &reply)
                                          : stripe_intent_read(stripe, event->intent, &reply);
    if (told == STRIPE_REFUSED) return OK; /* there is no such object: nothing of ours */
    if (told != STRIPE_DONE) return FAIL(PAYMENTS_DOWN);
    TRY(read_place(request, event, json_get(reply.root, SLICE("metadata"))));
    if (by_session || event->org == 0) return OK;
    if (stripe_sessions_read(stripe, event->intent, &sessions) != STRIPE_DONE)
        return FAIL(PAYMENTS_DOWN);
    struct json_iterator first = json_iterate(json_get(sessions.root, SLICE("data")));
    if (json_next(&first))
        event->session = arena_copy(request->arena, stripe_text(first.value, SLICE("id")));
    return event->session.data == NULL ? FAIL(TOO_LARGE) : OK;
}

static status find_place(struct control_request *request, struct event *event)
{
    SCOPED(db_result_free) struct db_result *found = NULL;
    TRY(db_run(request->db, "find_purchase_of_payment",
               (const struct db_param[]){DB_P_TEXT(event->session), DB_P_TEXT(event->intent)}, 2,
               &found));
    if (db_row_count(found) == 0) return fetch_place(request, event);
    event->org = db_i64(found, 0, 0);
    event->purchase = arena_copy(request->arena, db_text(found, 0, 1));
    return event->purchase.data == NULL ? FAIL(TOO_LARGE) : OK;
}

static status take(struct control_request *request, struct control_response *response,
                   struct event *event)
{
    struct api *api = request->service;
    struct convergence convergence = {.stripe = &api->stripe,
                                      .db = request->db,
                                      .arena = request->arena,
                                      .cell = api->config->cell,
                                      .org = event->org,
                                      .purchase = event->purchase,
                                      .session = event->session,
                                      .intent = event->intent};
    status done = stripe_converge(&convergence);
    if (done.code == ERROR_NOT_FOUND) { /* of another instance that uses the same account */
        event->org = 0;
        event->purchase = SLICE_NONE;
        return OK;
    }
    TRY(done);
    api_converged(api, &convergence);
    if (convergence.alien) {
        return control_fail(response, FAIL(CONFLICT),
                            SLICE("The payment contradicts the purchase; nothing was credited."));
    }
    return convergence.unknown ? FAIL(PAYMENTS_DOWN) : OK;
}

static status take_event(struct control_request *request, struct control_response *response,
                         struct event *event)
{
    SCOPED(db_result_free) struct db_result *seen = NULL;
    TRY(db_run(request->db, "find_stripe_event", (const struct db_param[]){DB_P_TEXT(event->id)}, 1,
               &seen));
    if (db_row_count(seen) > 0) return answer_received(response);
    if (event->session.len > 0 || event->intent.len > 0) TRY(find_place(request, event));
    if (event->org != 0) TRY(take(request, response, event));
    TRY(db_run(request->db, "insert_stripe_event",
               (const struct db_param[]){DB_P_TEXT(event->id), DB_P_TEXT(event->type),
                                         DB_P_TEXT(event->object), DB_P_I64(event->org),
                                         DB_P_TEXT(event->purchase)},
               5, NULL));
    log_info("stripe_event_taken", FN(name, type, event->type), FN(name, id, event->id));
    return answer_received(response);
}

status stripe_event_taken(struct control_request *request, struct control_response *response)
{
    const struct stripe *stripe = &((struct api *)request->service)->stripe;
    struct event event;
    if (!stripe_is_on(stripe)) return FAIL(UNKNOWN_ROUTE);
    if (!status_ok(stripe_signature_check(request->signature, request->body,
                                          secret_slice(&stripe->secrets),
                                          api_now().ns / NANO_PER_S))) {
        return control_fail(response, FAIL(BAD_REQUEST),
                            SLICE("Stripe-Signature is not one of this body, or is too old."));
    }
    SCOPED(json_document_free) struct json_document document;
    json_document_init(&document, VALUES_MAX);
    TRY(json_parse(&document, request->body));
    status read = read_event(stripe, json_root(&document), &event);
    if (read.code == ERROR_CONFLICT) {
        return control_fail(response, read,
                            SLICE("The event is of the other mode (live or test) than the key."));
    }
    TRY(read);
    bool probe;
    TRY(stripe_enter(stripe, &probe));
    status taken = take_event(request, response, &event);
    stripe_leave(stripe, probe);
    return taken;
}
