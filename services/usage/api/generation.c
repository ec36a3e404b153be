/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/generation?id=gen-…: what one request cost and why. The id itself says where the row
 * stands. A generation is posted some milliseconds after its answer, so a reader who comes at once
 * is kept waiting a little, if there is something to wait for and a worker to spare. */
#include <time.h>

#include "services/usage/api/api.h"
#include "services/usage/store.h"
#include "shared/clock.h"
#include "shared/daemon.h"

#define WAIT_MS 1000 /* a row that is not posted within this is answered 404 */
#define POLL_MS 20

/* ---- finding */

static status open_id(struct control_request *request, struct control_response *response,
                      struct generation_place *place)
{
    const struct usage_api *api = request->service;
    struct generation_cipher *cipher = NULL;
    struct generation_id id;
    slice text = control_query(request, SLICE("id"));
    if (text.len == 0)
        return control_fail(response, FAIL(MISSING_FIELD), SLICE("Name the generation: ?id=gen-…"));
    if (!status_ok(generation_id_parse(text, &id))) {
        return control_fail(response, FAIL(NOT_FOUND), SLICE("No generation has this id."));
    }
    TRY(generation_cipher_new(api->generation_key.bytes, &cipher));
    *place = generation_id_open(cipher, id);
    generation_cipher_free(&cipher);
    return OK;
}

static status find(struct control_request *request, struct generation_place place,
                   struct generation_row *row)
{
    return store_find_generation(request->db, request->arena, request->principal.org, place, row);
}

static status find_until_posted(struct control_request *request, struct generation_place place,
                                struct generation_row *row)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
    uint64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    for (;;) {
        nanosleep(&pause, NULL);
        status result = find(request, place, row);
        if (result.code != ERROR_NOT_FOUND || clock_monotonic_ms() >= deadline_ms) return result;
    }
}

static status find_or_wait(struct control_request *request, struct generation_place place,
                           struct generation_row *row)
{
    struct usage_api *api = request->service;
    struct stream_end end;
    status result = find(request, place, row);
    if (result.code != ERROR_NOT_FOUND) return result;
    TRY(store_find_stream(request->db, place.cell, &end));
    /* It may have been posted since the first look. */
    if (!waiting_may_come(place, clock_wall(), &end)) return find(request, place, row);
    if (!waiting_enter(&api->waiting)) return result;
    result = find_until_posted(request, place, row);
    waiting_leave(&api->waiting);
    return result;
}

/* ---- writing */

static void write_nulls(struct json_writer *w, const slice *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_key_null(w, names[i]);
}

/* What later capabilities will fill; the protocol wants the names present. */
static void write_absent(struct json_writer *w)
{
    static const slice names[] = {
        SLICE_INIT("app_id"),
        SLICE_INIT("cache_discount"),
        SLICE_INIT("external_user"),
        SLICE_INIT("moderation_latency"),
        SLICE_INIT("num_fetches"),
        SLICE_INIT("num_input_audio_prompt"),
        SLICE_INIT("num_media_completion"),
        SLICE_INIT("num_search_results"),
        SLICE_INIT("preset_id"),
        SLICE_INIT("request_id"),
        SLICE_INIT("response_cache_source_id"),
        SLICE_INIT("router"),
        SLICE_INIT("service_tier"),
        SLICE_INIT("web_search_engine"),
    };
    write_nulls(w, names, sizeof(names) / sizeof(names[0]));
}

static slice finish_name(uint8_t finish)
{
    static const slice names[] = {
        SLICE_INIT(""),           SLICE_INIT("stop"),           SLICE_INIT("length"),
        SLICE_INIT("tool_calls"), SLICE_INIT("content_filter"), SLICE_INIT("error")};
    return finish < sizeof(names) / sizeof(names[0]) ? names[finish] : SLICE_NONE;
}

static void write_tokens(const struct generation_row *row, struct json_writer *w)
{
    const uint32_t *units = row->usage.units;
    uint64_t prompt = billing_input_tokens(&row->usage);
    uint64_t completion = billing_output_tokens(&row->usage);
    json_key_u64(w, SLICE("tokens_prompt"), prompt);
    json_key_u64(w, SLICE("tokens_completion"), completion);
    json_key_u64(w, SLICE("native_tokens_prompt"), prompt);
    json_key_u64(w, SLICE("native_tokens_completion"), completion);
    json_key_u64(w, SLICE("native_tokens_reasoning"), units[BILLING_reasoning]);
    json_key_u64(w, SLICE("native_tokens_cached"), units[BILLING_cache_read]);
    json_key_u64(w, SLICE("native_tokens_completion_images"), units[BILLING_image_out]);
    json_key_u64(w, SLICE("num_media_prompt"), units[BILLING_image_in]);
}

static void write_money(const struct generation_row *row, struct json_writer *w)
{
    json_key_money(w, SLICE("total_cost"), row->charge);
    json_key_money(w, SLICE("usage"), row->charge);
    json_key_bool(w, SLICE("is_byok"), row->byok);
    if (row->byok)
        json_key_money(w, SLICE("upstream_inference_cost"), row->byok_list);
    else
        json_key_null(w, SLICE("upstream_inference_cost"));
    json_key_money(w, SLICE("held"), row->held);
    json_key_i64(w, SLICE("price_id"), row->price_id);
    json_key_bool(w, SLICE("estimated"), (row->facts.flags & FACT_ESTIMATED) != 0);
    json_key_string(w, SLICE("settlement"),
                    row->state == GENERATION_SETTLED    ? SLICE("settled")
                    : row->state == GENERATION_RELEASED ? SLICE("released")
                                                        : SLICE("absorbed"));
}

static void write_attempts(const struct generation_row *row, struct json_writer *w)
{
    json_key(w, SLICE("provider_responses"));
    json_array_begin(w);
    for (size_t i = 0; i < row->facts.attempt_count; i++) {
        const struct attempt_fact *attempt = &row->facts.attempts[i];
        json_object_begin(w);
        json_key_string(w, SLICE("provider_name"), row->attempt_names[i].provider);
        json_key_string(w, SLICE("model_permaslug"), row->attempt_names[i].model);
        json_key(w, SLICE("status"));
        if (attempt->http_status == 0) {
            json_null(w);
        } else {
            json_i64(w, attempt->http_status);
        }
        json_key_i64(w, SLICE("latency"), attempt->latency_ms);
        json_key_bool(w, SLICE("is_byok"), row->byok);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_origin(const struct generation_row *row, struct json_writer *w)
{
    char text[24];
    struct buffer workspace;
    buffer_init_fixed(&workspace, text, sizeof(text));
    buffer_append_i64(&workspace, row->workspace);
    json_key_string_or_null(w, SLICE("http_referer"), row->facts.referer);
    json_key_string(w, SLICE("origin"), row->facts.referer);
    json_key_string_or_null(w, SLICE("user_agent"), row->facts.user_agent);
    json_key_string_or_null(w, SLICE("session_id"), row->facts.session);
    json_key_string(w, SLICE("workspace_id"), buffer_slice(&workspace));
    json_key_string(w, SLICE("data_region"), SLICE("global"));
}

static void write_generation(const struct generation_row *row, slice id, struct json_writer *w)
{
    const struct generation_facts *facts = &row->facts;
    json_key_string(w, SLICE("id"), id);
    json_key_string_or_null(w, SLICE("upstream_id"), facts->upstream_id);
    json_key_string(w, SLICE("api_type"), SLICE("completions"));
    json_key_string(w, SLICE("model"), row->model);
    json_key_string_or_null(w, SLICE("provider_name"), row->provider);
    json_key(w, SLICE("created_at"));
    json_time(w, (wall_time){row->created_ns});
    json_key_bool(w, SLICE("streamed"), (facts->flags & FACT_STREAMED) != 0);
    json_key_bool(w, SLICE("cancelled"), (facts->flags & FACT_CANCELLED) != 0);
    json_key_bool(w, SLICE("simulated"), (facts->flags & FACT_SIMULATED) != 0);
    json_key_string_or_null(w, SLICE("finish_reason"), finish_name(facts->finish));
    json_key_string_or_null(w, SLICE("native_finish_reason"), facts->native_finish);
    json_key_i64(w, SLICE("latency"), facts->first_byte_ms);
    json_key_i64(w, SLICE("generation_time"), facts->total_ms);
    write_tokens(row, w);
    write_money(row, w);
    write_attempts(row, w);
    write_origin(row, w);
    write_absent(w);
}

status generation_read(struct control_request *request, struct control_response *response)
{
    struct generation_place place;
    struct generation_row row;
    TRY(open_id(request, response, &place));
    status result = find_or_wait(request, place, &row);
    if (result.code == ERROR_NOT_FOUND) {
        return control_fail(response, result,
                            SLICE("No generation of this organization has this id."));
    }
    TRY(result);
    fault_point("usage_row_read");
    json_object_begin(&response->json);
    json_key(&response->json, SLICE("data"));
    json_object_begin(&response->json);
    write_generation(&row, control_query(request, SLICE("id")), &response->json);
    json_object_end(&response->json);
    json_object_end(&response->json);
    return OK;
}
