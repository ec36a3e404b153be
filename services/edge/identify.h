/* SPDX-License-Identifier: Apache-2.0 */
/* Whose key is it. */
#pragma once

#include "shared/client_prefix.h"
#include "shared/h2o.h"
#include "shared/id.h"

/* The key's hash from Authorization: Bearer or x-api-key. NO_KEY, BAD_KEY (a random string dies on
 * its checksum here). */
status identify_key(const h2o_req_t *http, struct key_hash *key);
/* The value of a header; empty when absent. */
slice identify_header(const h2o_req_t *http, slice name);
/* The network the request came from, as its connection has it: the proxy's, where there is one. */
client_prefix identify_client(const h2o_req_t *http);
