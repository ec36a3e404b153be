/* SPDX-License-Identifier: Apache-2.0 */
/* The frame around every single change. */
#include "services/catalog/api/change.h"

#include "shared/daemon.h"

struct run {
    struct change *change;
    change_body body;
};

static status run_in_transaction(struct db *db, void *context)
{
    struct run *run = context;
    struct change *change = run->change;
    change->changed = false;
    change->prices_changed = false;
    market_release(&change->market);
    TRY(store_lock_market(db, &change->catalog->settings, &change->market));
    change->revision = change->market->revision;
    TRY(run->body(db, change));
    if (!change->changed) return OK;
    return store_raise_revision(db, change->prices_changed, &change->revision);
}

status change_run(struct control_request *request, struct control_response *response,
                  change_body body, void *wish, struct change *change)
{
    *change = (struct change){
        .catalog = request->service, .request = request, .response = response, .wish = wish};
    struct run run = {change, body};
    status done = db_transaction(request->db, 0, run_in_transaction, &run);
    market_release(&change->market);
    if (status_ok(done) && change->changed) {
        fault_point("catalog_after_commit");
        catalog_await_revision(change->catalog, change->revision);
    }
    return done;
}

void change_write_begin(const struct change *change)
{
    struct json_writer *w = &change->response->json;
    json_object_begin(w);
    json_key_u64(w, SLICE("revision"), change->revision);
    json_key(w, SLICE("data"));
}

status change_put_price(struct db *db, struct change *change,
                        const struct market_endpoint *endpoint, const struct price_row *list,
                        uint32_t margin_basis_points)
{
    uint32_t id;
    status added = store_add_margin(db, list, margin_basis_points, &id);
    if (added.code == ERROR_OVERFLOW)
        return control_fail(change->response, FAIL(OUT_OF_RANGE),
                            SLICE("With this margin a price would be above what is counted."));
    TRY(added);
    change->changed = true;
    change->prices_changed = true;
    return store_set_price(db, endpoint->id, id);
}
