/* SPDX-License-Identifier: Apache-2.0 */
/* Reads our own catalog file, format "bourse-catalog-1" (schema/README.md describes it). The file
 * is ours, so it is read strictly: one fault refuses the whole file and *message says where it is
 * and what to do. */
#pragma once

#include "services/catalog/facts.h"
#include "shared/json/read.h"

status import_catalog_read(struct json_value root, struct arena *arena, struct facts *facts,
                           slice *message);

/* One line of providers[]; also the body of POST /operator/providers. */
status import_provider_read(struct json_value object, struct arena *arena,
                            struct provider_facts *provider, slice *message);

/* {prompt, completion, …, tiers: [{above_prompt_tokens, …}]}; also the body of an operator's own
 * price. A class that the format does not know is refused. */
status import_prices_read(struct json_value prices, struct json_value tiers, struct arena *arena,
                          struct price_row *row, slice *message);
