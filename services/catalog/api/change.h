/* SPDX-License-Identifier: Apache-2.0 */
/* One operator's change: read the market under its lock, change rows, raise the revision, wait
 * until the change is in the present market. */
#pragma once

#include "services/catalog/api/api.h"
#include "services/catalog/store.h"

struct change {
    struct catalog *catalog;
    struct control_request *request;
    struct control_response *response;
    struct market *market; /* as it is within the transaction */
    bool changed;          /* set by the body: otherwise no revision is raised */
    bool prices_changed;
    uint64_t revision; /* after it */
    void *wish;        /* the body's own */
};
typedef status (*change_body)(struct db *db, struct change *change);

/* {"revision": …, "data": and no more: what a change answers begins so. */
void change_write_begin(const struct change *change);

/* Of a body: the endpoint is charged by this list price, with a margin, from now on. */
status change_put_price(struct db *db, struct change *change,
                        const struct market_endpoint *endpoint, const struct price_row *list,
                        uint32_t margin_basis_points);

/* The body may run several times. What it says with control_fail stands when it fails. */
status change_run(struct control_request *request, struct control_response *response,
                  change_body body, void *wish, struct change *change);
