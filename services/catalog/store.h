/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's SQL, one function per need. The only file of the catalog that runs statements. */
#pragma once

#include "services/catalog/facts.h"
#include "services/catalog/market.h"
#include "shared/db.h"

extern const struct db_statements store_statements;

status store_listen(struct db *db);
status store_read_revision(struct db *db, uint64_t *revision);

/* Reads the whole market, in one transaction, with the revision it is of. */
status store_read_market(struct db *db, const struct market_settings *settings,
                         struct market **market);

/* Within a transaction: makes every other change wait until this one ends, and reads the market as
 * it is now. */
status store_lock_market(struct db *db, const struct market_settings *settings,
                         struct market **market);

/* Within a transaction. Each answers the row's id. */
status store_insert_provider(struct db *db, const struct provider_facts *provider, uint32_t *id);
status store_update_provider(struct db *db, const struct provider_facts *provider);
status store_insert_model(struct db *db, const struct model_facts *model, slice source_date,
                          uint32_t *id);
status store_update_model(struct db *db, const struct model_facts *model, slice source_date);

struct store_price {
    uint32_t model, provider;
    const char *source; /* "catalog", "price-map", "operator" */
    slice source_date;
    const struct price_row *row; /* its id is ignored */
};
status store_insert_price(struct db *db, const struct store_price *new_price, uint32_t *id);
/* The id of what customers pay at a list price: with a margin of 0 that row itself, else a new one.
 * OVERFLOW: a price above what is counted. */
status store_add_margin(struct db *db, const struct price_row *list, uint32_t basis_points,
                        uint32_t *id);
/* Any row of the past; NOT_FOUND. */
status store_read_price(struct db *db, uint32_t id, struct price_row *row);
struct store_endpoint {
    uint32_t model, provider;
    uint32_t price; /* 0: none */
    uint32_t margin_basis_points;
};
status store_insert_endpoint(struct db *db, const struct endpoint_facts *endpoint,
                             const struct store_endpoint *place, uint32_t *id);
status store_update_endpoint(struct db *db, const struct endpoint_facts *endpoint, uint32_t id);
status store_set_price(struct db *db, uint32_t endpoint, uint32_t price_id);
/* Only the wish: the price that follows from it is set apart. */
status store_set_margin(struct db *db, uint32_t endpoint, uint32_t basis_points);
status store_set_provider_margin(struct db *db, uint32_t provider, uint32_t basis_points);
/* The newest price of this model at this provider that is not the operator's own; NOT_FOUND. */
status store_find_list_price(struct db *db, uint32_t model, uint32_t provider, uint32_t *id);
/* *changed: it was the other way before. */
status store_set_disabled(struct db *db, uint32_t endpoint, bool disabled, bool *changed);

/* An empty base_url_override: the catalog's address, whatever was called before. */
status store_set_live(struct db *db, slice provider, bool live, slice base_url_override);
status store_put_key(struct db *db, uint32_t provider, uint32_t version, slice sealed, slice label);

/* Last in every changing transaction: raises the revision and tells the other catalogs and, with
 * new prices, the ledger. */
status store_raise_revision(struct db *db, bool prices_changed, uint64_t *revision);
