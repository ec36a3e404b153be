/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the usage service's routes. */
#include "services/usage/api/api.h"

extern const char usage_statements_sql[];

static const struct control_route routes[] = {
    {"GET", "/api/v1/generation", ACCESS_KEY, 0, false, false, generation_read},
};

status usage_api_start(const struct config *config, struct token_verifier *verifier,
                       struct control **control)
{
    static const struct db_statements statements = {usage_statements_sql};
    static struct usage_api api;
    TRY(secret_read_file("secrets/usage/generation.key", 16, false, &api.generation_key));
    if (api.generation_key.len != 16) return FAIL(CONFIGURATION);
    waiting_init(&api.waiting, config->control_workers);
    const struct control_settings settings = {
        .service = "usage",
        .routes = routes,
        .route_count = sizeof(routes) / sizeof(routes[0]),
        .workers = config->control_workers,
        .database = config->database,
        .database_role = "bourse_usage_api",
        .statements = &statements,
        .verifier = verifier,
        .context = &api,
    };
    return control_start(&settings, control);
}
