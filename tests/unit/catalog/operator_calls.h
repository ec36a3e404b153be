/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the market through the operator's routes, over a real PostgreSQL. The refresher runs,
 * so a test also sees its change in the present market. */
#pragma once

#include "shared/http/control.h"
#include "tests/unit/catalog/support.h"
#include "tests/unit/shared/database.h"
#include "tests/unit/test.h"

#define DOLLAR ((int64_t)1000000000) /* per million tokens */

extern char checkout[512]; /* where the tests are started; each runs in a place of its own */
extern struct database database;
extern struct catalog catalog;
extern struct control_response response; /* of the last call */

int group_set_up(void **state);
int group_tear_down(void **state);
/* Every test begins with an empty market of revision 0. */
int set_up(void **state);
int tear_down(void **state);

void run_psql(const char *option, const char *argument);

struct call {
    control_handler handler;
    const char *body, *query, *params[3]; /* ' stands for " */
};
status call(struct call call);
struct json_value answer(void);
int64_t number(const char *name); /* of the answer */
void load(const char *text);      /* a catalog file */

/* The present market; the caller releases it. */
struct market *present(void);
const struct market_endpoint *endpoint_of(const struct market *market, const char *slug,
                                          const char *tag);
/* -1: the endpoint has no price. */
int64_t prompt_price(const char *slug, const char *tag);

/* ---- what is loaded -------------------------------------------------------------------------- */

#define PROVIDER(id, dialect)                                 \
    "{'id':'" id "','name':'" id "','dialect':'" dialect "'," \
    "'base_url':'https://" id ".example/v1'}"
#define ENDPOINT(provider, upstream, prompt)                           \
    "{'provider':'" provider "','upstream_model':'" upstream "',"      \
    "'context_length':1000,'max_output':100,'quantization':'unknown'," \
    "'prices':{'prompt':'" prompt "','completion':'0.00001'}}"
#define MODEL(endpoints)                                                     \
    "{'id':'openai/gpt-x','name':'GPT X','created':1,'context_length':1000," \
    "'input_modalities':['text'],'output_modalities':['text'],"              \
    "'tokenizer':'GPT','supported_parameters':[],'endpoints':[" endpoints "]}"
#define ENDPOINTS(prompt) \
    ENDPOINT("openai", "gpt-x-1", prompt) "," ENDPOINT("anthropic", "borrowed", "0.000003")
#define PROVIDERS PROVIDER("openai", "openai") "," PROVIDER("anthropic", "anthropic")
#define CATALOG(prompt)                                 \
    "{'format':'bourse-catalog-1','date':'2026-07-24'," \
    "'providers':[" PROVIDERS "],'models':[" MODEL(ENDPOINTS(prompt)) "]}"
