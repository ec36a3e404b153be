/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limits of a key in the control plane: read from a body, stored, shown. The ledger's core
 * keeps to them; see core/rates.h. */
#pragma once

#include "shared/db.h"
#include "shared/http/control.h"
#include "shared/json/write.h"

enum key_rate { KEY_RATE_REQUESTS, KEY_RATE_TOKENS, KEY_RATE_CONCURRENT, KEY_RATE_COUNT };

/* What rate_limit of a body says; what it does not name stays. */
struct key_rates {
    bool given;
    struct {
        bool given;
        int64_t value; /* 0: no limit */
    } limits[KEY_RATE_COUNT];
};

/* {"rate_limit": {"requests_per_minute": 60, "tokens_per_minute": null, …}}, or null for none. */
status key_rates_read(struct control_request *request, struct control_response *response,
                      struct key_rates *rates);
/* Part of the transaction that makes or changes the key. */
status key_rates_store(struct db *db, int64_t org, int64_t key, const struct key_rates *rates);

/* The columns stand side by side, from `column` on. /keys: the limits, or null for none. */
void key_rates_write(const struct db_result *rows, size_t row, size_t column,
                     struct json_writer *w);
/* /key: besides, the protocol's own words for them. */
void key_rates_write_current(const struct db_result *rows, size_t column, struct json_writer *w);
