/* SPDX-License-Identifier: Apache-2.0 */
/* Every command, once. Help, parsing and the request fall out of the row. */
#include "tools/bourse/command.h"

#define ORG                                                                                       \
    {                                                                                             \
        "org", "organization, as printed by `bourse org create`", "org", OPTION_STRING, IN_QUERY, \
            true                                                                                  \
    }
#define HASH                                                                                \
    {                                                                                       \
        "hash", "the key's hash, as printed by `bourse key create`", "hash", OPTION_STRING, \
            IN_PATH, true                                                                   \
    }
#define OWNER                                                                                    \
    {                                                                                            \
        "owner", "organization, workspace:ID, member:mem-… or key:HASH", "owner", OPTION_STRING, \
            IN_QUERY, true                                                                       \
    }
#define PURCHASE                                                                                  \
    {                                                                                             \
        "id", "the purchase, as printed by `bourse purchase list`", "id", OPTION_STRING, IN_PATH, \
            true                                                                                  \
    }
#define REFERENCE                                                                                \
    {                                                                                            \
        "reference", "your note, e.g. the line of a bank statement", "reference", OPTION_STRING, \
            IN_BODY, false                                                                       \
    }
#define LIMIT                                                                        \
    {                                                                                \
        "limit", "dollars the key may spend", "limit", OPTION_NUMBER, IN_BODY, false \
    }
#define RESET                                                                                  \
    {                                                                                          \
        "limit-reset", "daily, weekly or monthly; without it the limit is for the key's life", \
            "limit_reset", OPTION_STRING, IN_BODY, false                                       \
    }
#define AMOUNT                                                      \
    {                                                               \
        "amount", "dollars", "amount", OPTION_NUMBER, IN_BODY, true \
    }

#define IDEMPOTENCY                                                                            \
    {                                                                                          \
        "idempotency-key", "a name of your own: repeated with it, the money moves once", NULL, \
            OPTION_STRING, IN_HEADER, false                                                    \
    }

const struct command commands[] = {
    {.noun = "org",
     .verb = "create",
     .help = "make an organization",
     .service = "ledger",
     .method = "POST",
     .path = "/operator/orgs",
     .lift = "data",
     .options = {{"name", "its name", "name", OPTION_STRING, IN_BODY, true}}},
    {.noun = "org",
     .verb = "list",
     .help = "all organizations and their balances",
     .service = "ledger",
     .method = "GET",
     .path = "/operator/orgs",
     .pages = PAGES_BY_ID,
     .columns = {"id", "name", "balance", "created_at"},
     .options = {{"after", "go on behind this organization", "after", OPTION_STRING, IN_QUERY,
                  false}}},

    {.noun = "key",
     .verb = "create",
     .help = "make an API key; its secret is shown once",
     .service = "ledger",
     .method = "POST",
     .path = "/api/v1/keys",
     .lift = "key",
     .options = {ORG,
                 {"name", "its name", "name", OPTION_STRING, IN_BODY, true},
                 {"management", "a management key: administers, cannot call models", "management",
                  OPTION_SWITCH, IN_BODY, false},
                 LIMIT,
                 RESET,
                 {"expires-at", "when it ends, as 2027-01-31T00:00:00Z", "expires_at",
                  OPTION_STRING, IN_BODY, false},
                 {"member", "whose it is, as printed by `bourse member create`", "member_id",
                  OPTION_STRING, IN_BODY, false}}},
    {.noun = "key",
     .verb = "list",
     .help = "keys of an organization",
     .service = "ledger",
     .method = "GET",
     .path = "/api/v1/keys?include_disabled=true",
     .pages = PAGES_BY_OFFSET,
     .columns = {"hash", "name", "label", "limit", "limit_remaining", "usage", "disabled"},
     .options = {ORG}},
    {.noun = "key",
     .verb = "limit",
     .help = "set or change a key's limit",
     .service = "ledger",
     .method = "PATCH",
     .path = "/api/v1/keys/{}",
     .lift = "data",
     .options = {ORG,
                 HASH,
                 {"limit", "dollars the key may spend", "limit", OPTION_NUMBER, IN_BODY, true},
                 RESET}},
    {.noun = "key",
     .verb = "unlimit",
     .help = "take a key's limit away",
     .service = "ledger",
     .method = "PATCH",
     .path = "/api/v1/keys/{}",
     .lift = "data",
     .fixed = "\"limit\":null",
     .options = {ORG, HASH}},
    {.noun = "key",
     .verb = "disable",
     .help = "stop a key; it ends at its next request",
     .service = "ledger",
     .method = "PATCH",
     .path = "/api/v1/keys/{}",
     .lift = "data",
     .fixed = "\"disabled\":true",
     .options = {ORG, HASH}},
    {.noun = "key",
     .verb = "enable",
     .help = "let a disabled key work again",
     .service = "ledger",
     .method = "PATCH",
     .path = "/api/v1/keys/{}",
     .lift = "data",
     .fixed = "\"disabled\":false",
     .options = {ORG, HASH}},
    {.noun = "key",
     .verb = "delete",
     .help = "delete a key for ever",
     .service = "ledger",
     .method = "DELETE",
     .path = "/api/v1/keys/{}",
     .options = {ORG, HASH}},

    {.noun = "member",
     .verb = "create",
     .help = "add a person to an organization; one limit can bind all keys of a person",
     .service = "ledger",
     .method = "POST",
     .path = "/api/v1/organization/members",
     .lift = "data",
     .options = {ORG,
                 {"name", "the person's name", "name", OPTION_STRING, IN_BODY, true},
                 {"email", "where to reach them", "email", OPTION_STRING, IN_BODY, false}}},
    {.noun = "member",
     .verb = "list",
     .help = "members of an organization",
     .service = "ledger",
     .method = "GET",
     .path = "/api/v1/organization/members",
     .pages = PAGES_BY_OFFSET,
     .columns = {"id", "name", "email", "created_at"},
     .options = {ORG}},

    {.noun = "limit",
     .verb = "show",
     .help = "what an owner may spend and has spent, for life, by day, week and month",
     .service = "ledger",
     .method = "GET",
     .path = "/api/v1/limits",
     .columns = {"limit_reset", "limit", "limit_remaining", "usage", "limit_resets_at"},
     .options = {ORG, OWNER}},
    {.noun = "limit",
     .verb = "set",
     .help = "set limits; what is not named stays as it is",
     .service = "ledger",
     .method = "PATCH",
     .path = "/api/v1/limits",
     .columns = {"limit_reset", "limit", "limit_remaining", "usage", "limit_resets_at"},
     .options = {ORG,
                 OWNER,
                 {"lifetime", "dollars in all", "lifetime", OPTION_NUMBER, IN_BODY, false},
                 {"daily", "dollars a day (UTC)", "daily", OPTION_NUMBER, IN_BODY, false},
                 {"weekly", "dollars a week (from Monday, UTC)", "weekly", OPTION_NUMBER, IN_BODY,
                  false},
                 {"monthly", "dollars a month (UTC)", "monthly", OPTION_NUMBER, IN_BODY, false}}},
    {.noun = "limit",
     .verb = "clear",
     .help = "take all limits of an owner away",
     .service = "ledger",
     .method = "PATCH",
     .path = "/api/v1/limits",
     .columns = {"limit_reset", "limit", "limit_remaining", "usage", "limit_resets_at"},
     .fixed = "\"lifetime\":null,\"daily\":null,\"weekly\":null,\"monthly\":null",
     .options = {ORG, OWNER}},

    {.noun = "credit",
     .verb = "grant",
     .help = "give promotional credit (no fee, no purchase)",
     .service = "ledger",
     .method = "POST",
     .path = "/operator/grants",
     .moves_money = true,
     .lift = "data",
     .options = {ORG, AMOUNT, IDEMPOTENCY}},
    {.noun = "credit",
     .verb = "buy",
     .help = "make a manual purchase and confirm it at once, as if the money had come in",
     .service = "ledger",
     .method = "POST",
     .path = "/api/v1/purchases",
     .moves_money = true,
     .special = buy_run,
     .options = {ORG, AMOUNT, REFERENCE, IDEMPOTENCY}},
    {.noun = "credit",
     .verb = "show",
     .help = "credits, usage and balance of an organization",
     .service = "ledger",
     .method = "GET",
     .path = "/api/v1/credits",
     .lift = "data",
     .options = {ORG}},

    {.noun = "purchase",
     .verb = "list",
     .help = "purchases of an organization: amount, fee, charged, credited",
     .service = "ledger",
     .method = "GET",
     .path = "/api/v1/purchases",
     .pages = PAGES_BY_OFFSET,
     .columns = {"id", "status", "amount", "fee", "charged", "credited", "created_at"},
     .options = {ORG}},
    {.noun = "purchase",
     .verb = "confirm",
     .help = "the money of a manual purchase came in: credit it",
     .service = "ledger",
     .method = "POST",
     .path = "/operator/purchases/{}/confirm",
     .lift = "data",
     .options = {ORG, PURCHASE, REFERENCE}},
    {.noun = "purchase",
     .verb = "cancel",
     .help = "the money will not come",
     .service = "ledger",
     .method = "POST",
     .path = "/operator/purchases/{}/cancel",
     .lift = "data",
     .options = {ORG, PURCHASE, REFERENCE}},

    {.noun = "catalog",
     .verb = "load",
     .help = "load a catalog file of our own format (schema/catalog.json)",
     .argument = "FILE",
     .service = "catalog",
     .method = "POST",
     .path = "/operator/catalog/load",
     .body_is_file = true},
    {.noun = "catalog",
     .verb = "import",
     .help = "import a public price map",
     .argument = "FILE",
     .service = "catalog",
     .method = "POST",
     .path = "/operator/catalog/import",
     .body_is_file = true,
     .options = {{"source-date", "the day its prices are of, as 2026-07-24", "source_date",
                  OPTION_STRING, IN_QUERY, true},
                 {"dry-run", "report only, change nothing", "dry_run", OPTION_SWITCH, IN_QUERY,
                  false}}},
    {.noun = "catalog",
     .verb = "show",
     .help = "the market as it stands: revision, counts, health",
     .service = "catalog",
     .method = "GET",
     .path = "/operator/market"},

    {.noun = "provider",
     .verb = "list",
     .help = "providers and whether they are live or simulated",
     .service = "catalog",
     .method = "GET",
     .path = "/operator/providers",
     .columns = {"slug", "name", "dialect", "live", "base_url"}},
    {.noun = "provider",
     .verb = "live",
     .help = "seal a real key and call the real provider from now on",
     .argument = "SLUG",
     .service = "catalog",
     .method = "POST",
     .path = "/operator/providers/{}/live",
     .options = {{"key-file", "file that holds the provider's API key", "key", OPTION_SECRET,
                  IN_BODY, true},
                 {"base-url", "another address than the catalog's", "base_url", OPTION_STRING,
                  IN_BODY, false}}},
    {.noun = "provider",
     .verb = "simulated",
     .help = "back to the simulated provider",
     .argument = "SLUG",
     .service = "catalog",
     .method = "POST",
     .path = "/operator/providers/{}/simulated"},

    {.noun = "audit",
     .verb = "",
     .help = "check the books: every rule of schema/audit.sql, on the running instance",
     .special = audit_run},
    {.noun = "ledger",
     .verb = "verify",
     .help = "read all of the books and make every sum, charge and hash again; ends with 1 when "
             "something differs",
     .special = verify_run},
};

const size_t command_count = sizeof(commands) / sizeof(commands[0]);
