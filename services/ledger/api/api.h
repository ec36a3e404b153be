/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's control plane: keys, credits, purchases for customers; organizations and grants for
 * operators. */
#pragma once

#include "services/ledger/api/stripe.h"
#include "shared/config.h"
#include "shared/http/control.h"
#include "shared/token.h"

struct ledger;

/* Starts the sockets and workers; runs until api_stop. Loads the pepper from secrets/ledger/pepper.
 */
status api_start(struct ledger *ledger, const struct config *config,
                 struct token_verifier *verifier);
void api_stop(void);

/* What the handlers get as request->service. */
struct api {
    struct ledger *ledger;
    const struct config *config;
    struct secret pepper;
    struct stripe stripe;
    struct stripe_janitor *janitor; /* NULL: no purchases by Stripe */
};

/* The organization a request is about: the principal's, or for an operator the query parameter
 * org=org-<number>. */
status api_org(struct control_request *request, struct control_response *response, int64_t *org);
void api_append_org(struct buffer *out, int64_t org);               /* org-123 */
void api_write_org(struct json_writer *w, slice name, int64_t org); /* "id": "org-123" */
status api_parse_org(slice text, int64_t *org);
/* The time by which money is counted: PostgreSQL's, as the core has it. The clock of this machine
 * decides nothing. */
wall_time api_now(void);
int64_t api_random_id(
    void); /* 53 random bits, so that JSON numbers carry it and ids tell nothing */
/* offset and limit of the query, within [0, …] and [1, limit_max]. */
status api_page(struct control_request *request, struct control_response *response,
                int64_t limit_max, int64_t *offset, int64_t *limit);
/* What a change answers with that is committed, and that the core has not taken in time: it will,
 * but a repeat tells for sure. */
status api_taken(struct control_response *response, status taken);
/* Waits for the poster; where that takes too long the answer says as of when it is
 * (X-Bourse-As-Of). */
void api_await_posted(struct control_request *request, struct control_response *response);

/* Credit moved and is committed: tell the core. A core that is late catches up by itself, so the
 * answer stands. */
void api_credit_moved(struct api *api, int64_t org);
/* There is less of it than was lent to the core: what no hold needs comes back. */
void api_recall_credit(struct api *api, int64_t org);

/* The same after Stripe was asked, whatever came of it; a frozen account gives its lease back. */
struct convergence;
void api_converged(struct api *api, const struct convergence *convergence);

/* A column of nanoseconds since 1970 as an ISO time, or null. */
void api_write_time(const struct db_result *rows, size_t row, slice name, size_t column,
                    struct json_writer *w);

status keys_current(struct control_request *request, struct control_response *response);
status keys_list(struct control_request *request, struct control_response *response);
status keys_create(struct control_request *request, struct control_response *response);
status keys_read(struct control_request *request, struct control_response *response);
status keys_change(struct control_request *request, struct control_response *response);
status keys_delete(struct control_request *request, struct control_response *response);
status keys_rotate(struct control_request *request, struct control_response *response);
status credits_read(struct control_request *request, struct control_response *response);
status purchases_create(struct control_request *request, struct control_response *response);
status purchases_list(struct control_request *request, struct control_response *response);
status purchases_read(struct control_request *request, struct control_response *response);
status purchases_confirm(struct control_request *request, struct control_response *response);
status purchases_cancel(struct control_request *request, struct control_response *response);
status members_list(struct control_request *request, struct control_response *response);
status members_create(struct control_request *request, struct control_response *response);
status limits_read(struct control_request *request, struct control_response *response);
status limits_change(struct control_request *request, struct control_response *response);
status purchases_refund(struct control_request *request, struct control_response *response);
status refunds_list(struct control_request *request, struct control_response *response);
status refunds_confirm(struct control_request *request, struct control_response *response);
status refunds_void(struct control_request *request, struct control_response *response);
status topups_read(struct control_request *request, struct control_response *response);
status topups_change(struct control_request *request, struct control_response *response);
status stripe_event_taken(struct control_request *request, struct control_response *response);
status orgs_create(struct control_request *request, struct control_response *response);
status orgs_list(struct control_request *request, struct control_response *response);
status orgs_grant(struct control_request *request, struct control_response *response);
status plans_list(struct control_request *request, struct control_response *response);
status plans_read(struct control_request *request, struct control_response *response);
status plans_create(struct control_request *request, struct control_response *response);
status plans_change(struct control_request *request, struct control_response *response);
status plan_rates_read(struct control_request *request, struct control_response *response);
status plan_rates_change(struct control_request *request, struct control_response *response);
status plans_assign(struct control_request *request, struct control_response *response);
status lots_list(struct control_request *request, struct control_response *response);
status codes_list(struct control_request *request, struct control_response *response);
status codes_create(struct control_request *request, struct control_response *response);
status codes_disable(struct control_request *request, struct control_response *response);
status credits_redeem(struct control_request *request, struct control_response *response);
status organization_read(struct control_request *request, struct control_response *response);
status organization_change(struct control_request *request, struct control_response *response);
status organization_freeze(struct control_request *request, struct control_response *response);
status organization_thaw(struct control_request *request, struct control_response *response);
status payments_create(struct control_request *request, struct control_response *response);
status receipts_read(struct control_request *request, struct control_response *response);
status invoices_read(struct control_request *request, struct control_response *response);
