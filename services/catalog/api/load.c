/* SPDX-License-Identifier: Apache-2.0 */
/* Files into the market: our own catalog file, and public price maps. Both are read into facts,
 * applied in one transaction and reported; with dry_run=true the transaction is rolled back and the
 * report is the answer all the same. */
#include "services/catalog/api/api.h"

#include "services/catalog/apply.h"
#include "services/catalog/import_catalog.h"
#include "services/catalog/import_map.h"
#include "shared/log.h"

#define FACTS_MEMORY_MAX ((size_t)256 << 20) /* of a file of 16 MiB */

static status apply_and_answer(struct control_request *request, struct control_response *response,
                               struct facts *facts, struct arena *arena);
static void write_report(struct json_writer *w, const struct facts *facts,
                         const struct apply_report *report, bool dry_run);

status api_catalog_load(struct control_request *request, struct control_response *response)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, FACTS_MEMORY_MAX);
    struct facts facts;
    slice message = SLICE_NONE;
    status read = import_catalog_read(request->json, &arena, &facts, &message);
    if (!status_ok(read)) {
        message = arena_copy(request->arena, message); /* outlives the facts' arena */
        return control_fail(response, read, message);
    }
    return apply_and_answer(request, response, &facts, &arena);
}

/* The query's source_date, else the day that the map says it is of, else today. */
static status map_date(struct control_request *request, struct control_response *response,
                       slice *date)
{
    *date = control_query(request, SLICE("source_date"));
    if (date->len > 0) {
        if (facts_date_valid(*date)) return OK;
        return control_fail(response, FAIL(BAD_REQUEST), SLICE("source_date: must be YYYY-MM-DD"));
    }
    slice updated;
    struct json_value last_updated = json_get(request->json, SLICE("last_updated"));
    if (status_ok(json_read_string(last_updated, request->arena, &updated)) &&
        facts_date_valid(slice_first(updated, 10))) {
        *date = slice_first(updated, 10);
        return OK;
    }
    return api_today(request->arena, date);
}

status api_catalog_import(struct control_request *request, struct control_response *response)
{
    SCOPED(arena_free) struct arena arena;
    arena_init(&arena, FACTS_MEMORY_MAX);
    struct facts facts;
    slice date;
    TRY(map_date(request, response, &date));
    if (json_exists(json_get(request->json, SLICE("format"))))
        return control_fail(response, FAIL(BAD_REQUEST),
                            SLICE("this is a catalog file; send it to catalog load"));
    TRY(import_map_read(request->json, date, &arena, &facts));
    if (facts.endpoint_count == 0)
        return control_fail(response, FAIL(BAD_REQUEST),
                            SLICE("no entry of a known provider was found; is this a price map?"));
    return apply_and_answer(request, response, &facts, &arena);
}

static status apply_and_answer(struct control_request *request, struct control_response *response,
                               struct facts *facts, struct arena *arena)
{
    struct catalog *catalog = request->service;
    struct apply_settings settings = {
        .market = catalog->settings,
        .dry_run = slice_equal(control_query(request, SLICE("dry_run")), SLICE("true")),
    };
    struct apply_report report;
    status done = apply_facts(request->db, facts, arena, &settings, &report);
    if (done.code == ERROR_DATABASE_CONFLICT)
        return control_fail(response, done,
                            SLICE("the file names a provider, a model or an endpoint twice"));
    TRY(done);
    if (report.changed && !settings.dry_run) catalog_await_revision(catalog, report.revision);
    log_info("catalog_applied", FN(count, models_new, report.models_new),
             FN(count, endpoints_new, report.endpoints_new),
             FN(count, prices_new, report.prices_new), FN(count, dropped, facts->dropped_total),
             FN(number, dry_run, settings.dry_run));
    write_report(&response->json, facts, &report, settings.dry_run);
    return OK;
}

static void write_report(struct json_writer *w, const struct facts *facts,
                         const struct apply_report *report, bool dry_run)
{
    json_object_begin(w);
    json_key_bool(w, SLICE("dry_run"), dry_run);
    json_key_string(w, SLICE("source_date"), facts->source_date);
    json_key_u64(w, SLICE("providers"), report->providers);
    json_key_u64(w, SLICE("models"), report->models);
    json_key_u64(w, SLICE("endpoints"), report->endpoints);
    json_key_u64(w, SLICE("providers_new"), report->providers_new);
    json_key_u64(w, SLICE("models_new"), report->models_new);
    json_key_u64(w, SLICE("endpoints_new"), report->endpoints_new);
    json_key_u64(w, SLICE("prices_new"), report->prices_new);
    json_key_u64(w, SLICE("prices_unchanged"), report->prices_unchanged);
    json_key_u64(w, SLICE("prices_kept"), report->prices_kept);
    json_key_u64(w, SLICE("skipped"), facts->skipped);
    json_key_u64(w, SLICE("dropped_total"), facts->dropped_total);
    json_key_u64(w, SLICE("revision"), report->revision);
    json_key(w, SLICE("dropped"));
    json_array_begin(w);
    for (uint32_t i = 0; i < facts->dropped_count; i++) {
        json_object_begin(w);
        json_key_string(w, SLICE("model"), facts->dropped[i].model);
        json_key_string(w, SLICE("reason"), facts->dropped[i].reason);
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
}
