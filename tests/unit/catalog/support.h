/* SPDX-License-Identifier: Apache-2.0 */
/* What the catalog's tests share: scratch places, a small market built by hand, texts parsed to
 * facts. */
#pragma once

#include "services/catalog/catalog.h"
#include "services/catalog/facts.h"
#include "shared/json/read.h"
#include "tests/unit/shared/scratch.h"

/* The market of the tests, in which every price is easy to add up:
 *   providers  1 acme (openai, live, key version 2)  2 beta (anthropic, not live)
 *              3 gone (openai, not live)
 *   models     1 acme/large   text, image to text; tools; created 2000
 *              2 acme/small   text to text; created 3000
 *              3 beta/thinker text to text, audio; reasoning; created 1000
 *              4 beta/unpriced
 *   endpoints  11 acme/large at acme   $3 in, $15 out; above 200,000 tokens $6 and $22.50
 *              12 acme/large at beta   $2, $10
 *              13 acme/small at acme   $0.15, $0.60, cache reads $0.075
 *              14 beta/thinker at beta $5, $25, reasoning $30
 *              15 beta/unpriced at beta, without a price
 * The prices are per million tokens. */
struct market *sample_market(uint64_t revision, bool simulated);

/* JSON in C is hard to read: here ' stands for ". The copy lies in the arena. */
slice sample_text(struct arena *arena, const char *text);
/* The parsed text, ' standing for "; the document lives until the next call. */
struct json_value sample_json(const char *text);

/* A directory with run/ and secrets/catalog/master.key, made the working directory; and a catalog
 * in it. */
void sample_catalog_open(struct scratch *scratch, struct catalog *catalog);
void sample_catalog_close(struct scratch *scratch, struct catalog *catalog);
