/* SPDX-License-Identifier: Apache-2.0 */
/* The error envelope {"error":{"code":402,"message":…,"metadata":{"error_type":…}}}: the code is
 * always an integer and the HTTP status, which is what the strictest client accepts. Internal
 * errors are masked. */
#include "services/edge/answer.h"

#include "services/edge/edge.h"
#include "services/edge/rates.h"
#include "services/edge/serve.h"
#include "shared/http/reason.h"
#include "shared/json/write.h"

#define ENVELOPE_MAX          ((size_t)16 * 1024)
#define HTTP_SERVER_ERRORS    500
#define RETRY_AFTER_DEFAULT_S 1

static void write_metadata(struct json_writer *json, const struct failure *failure,
                           const struct error_row *row);

void answer_identify(h2o_req_t *http, slice request_id)
{
    answer_header_copied(http, SLICE("x-bourse-request"), request_id);
}

static slice header_value(slice value)
{
    size_t len = 0;
    while (len < value.len && value.data[len] != '\r' && value.data[len] != '\n' &&
           value.data[len] != '\0')
        len++;
    return slice_first(value, len);
}

void answer_header(h2o_req_t *http, slice name, slice value)
{
    slice clean = header_value(value);
    h2o_add_header_by_str(&http->pool, &http->res.headers, name.data, name.len, 1, NULL, clean.data,
                          clean.len);
}

void answer_header_copied(h2o_req_t *http, slice name, slice value)
{
    h2o_iovec_t copy = h2o_strdup(&http->pool, value.data, value.len);
    answer_header(http, name, (slice){copy.base, copy.len});
}

void answer_share(h2o_req_t *http)
{
    answer_header(http, SLICE("access-control-allow-origin"), SLICE("*"));
    answer_header(http, SLICE("access-control-expose-headers"),
                  SLICE("x-generation-id, x-bourse-request, x-bourse-simulated, x-bourse-as-of, "
                        "x-should-retry, retry-after, x-ratelimit-limit, x-ratelimit-remaining, "
                        "x-ratelimit-reset"));
}

void answer_preflight(h2o_req_t *http, slice methods)
{
    http->res.status = 204;
    http->res.reason = http_reason(204);
    answer_header_copied(http, SLICE("access-control-allow-methods"), methods);
    /* The asterisk stands for every name but authorization. */
    answer_header(http, SLICE("access-control-allow-headers"),
                  SLICE("authorization, content-type, idempotency-key, x-api-key, *"));
    answer_header(http, SLICE("access-control-max-age"), SLICE("7200"));
    h2o_send_inline(http, "", 0);
}

void answer_challenge(h2o_req_t *http)
{
    answer_header(http, SLICE("www-authenticate"), SLICE("Bearer"));
}

void answer_body(h2o_req_t *http, int http_status, slice content_type, slice body)
{
    http->res.status = http_status;
    http->res.reason = http_reason(http_status);
    http->res.content_length = body.len;
    answer_header(http, SLICE("content-type"), content_type);
    h2o_send_inline(http, body.data, body.len);
}

void answer_failure(h2o_req_t *http, const struct failure *failure)
{
    const struct error_row *row = error_row_of(failure->cause.code);
    SCOPED(buffer_free) struct buffer body;
    buffer_init(&body, ENVELOPE_MAX);
    failure_append(&body, failure);
    uint32_t retry_after_s = failure->retry_after_s;
    if (retry_after_s == 0 && row->http == 503) retry_after_s = RETRY_AFTER_DEFAULT_S;
    if (retry_after_s > 0) {
        char digits[16];
        struct buffer text;
        buffer_init_fixed(&text, digits, sizeof(digits));
        buffer_append_u64(&text, retry_after_s);
        answer_header_copied(http, SLICE("retry-after"), buffer_slice(&text));
    }
    /* Client libraries repeat what cannot get better, three times, unless they are told. */
    bool hopeless = row->http == 402 || row->http == 403 || failure->previous_count > 0;
    if (hopeless && retry_after_s == 0)
        answer_header(http, SLICE("x-should-retry"), SLICE("false"));
    if (row->http == 401) answer_challenge(http);
    if (failure->refusal != NULL && rates_refused(failure->refusal)) {
        const struct rate_shown shown = rates_shown(failure->refusal);
        rates_answer_headers(http, &shown);
    }
    answer_body(http, row->http, SLICE("application/json"), buffer_slice(&body));
}

void failure_append(struct buffer *out, const struct failure *failure)
{
    const struct error_row *row = error_row_of(failure->cause.code);
    /* What is ours alone shows nothing of the inside. */
    bool masked = row->http == HTTP_SERVER_ERRORS;
    if (masked) row = error_row_of(ERROR_INTERNAL);
    struct json_writer json;
    json_write_init(&json, out);
    json_object_begin(&json);
    json_key(&json, SLICE("error"));
    json_object_begin(&json);
    json_key_i64(&json, SLICE("code"), row->http);
    json_key_string(&json, SLICE("message"),
                    failure->message.len > 0 && !masked ? failure->message
                                                        : slice_of(row->sentence));
    json_key(&json, SLICE("metadata"));
    json_object_begin(&json);
    write_metadata(&json, failure, row);
    json_object_end(&json);
    json_object_end(&json);
    json_object_end(&json);
}

static void write_refusal(struct json_writer *json, const struct message_held *refusal)
{
    if (rates_refused(refusal)) {
        rates_write_refusal(json, refusal);
        return;
    }
    static const char *const sources[] = {
        [LIMIT_NONE] = "credits",  [LIMIT_CREDITS] = "credits",
        [LIMIT_KEY] = "key_limit", [LIMIT_MEMBER] = "member_limit",
        [LIMIT_ORG] = "org_limit", [LIMIT_WORKSPACE] = "workspace_budget",
    };
    size_t source = refusal->limit_source;
    if (source >= sizeof(sources) / sizeof(sources[0])) source = LIMIT_CREDITS;
    json_key_string(json, SLICE("limit_source"), slice_of(sources[source]));
    json_key(json, SLICE("affordable"));
    json_object_begin(json);
    json_key_u64(json, SLICE("output_tokens"), refusal->output_affordable);
    json_object_end(json);
    json_key_money(json, SLICE("available"), refusal->available);
    json_key(json, SLICE("resets_at"));
    if (refusal->resets_ns == 0)
        json_null(json);
    else
        json_time(json, (wall_time){refusal->resets_ns});
}

static void write_metadata(struct json_writer *json, const struct failure *failure,
                           const struct error_row *row)
{
    json_key_string(json, SLICE("error_type"), slice_of(row->type));
    json_key_string(json, SLICE("error_name"), slice_of(row->name));
    if (failure->field.len > 0) json_key_string(json, SLICE("field"), failure->field);
    if (failure->generation.len > 0)
        json_key_string(json, SLICE("generation_id"), failure->generation);
    if (failure->provider.len > 0) json_key_string(json, SLICE("provider_name"), failure->provider);
    if (failure->refusal != NULL) write_refusal(json, failure->refusal);
    if (failure->previous_count == 0) return;
    json_key(json, SLICE("previous_errors"));
    json_array_begin(json);
    for (size_t i = 0; i < failure->previous_count; i++) {
        json_object_begin(json);
        json_key_string(json, SLICE("provider"), failure->previous[i].provider);
        json_key_i64(json, SLICE("code"), failure->previous[i].code);
        json_object_end(json);
    }
    json_array_end(json);
}

/* ---- what the library says by itself --------------------------------------------------------- */

struct envelope_stream {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

static status cause_of(int http_status)
{
    if (http_status == 404) return FAIL(UNKNOWN_ROUTE);
    if (http_status == 413) return FAIL(TOO_LARGE);
    return http_status < HTTP_SERVER_ERRORS ? FAIL(BAD_FRAMING) : FAIL(INTERNAL);
}

static void send_envelope(h2o_ostream_t *stream, h2o_req_t *http, h2o_iovec_t *ignored,
                          size_t ignored_count, h2o_send_state_t state)
{
    (void)ignored, (void)ignored_count;
    struct envelope_stream *self = H2O_STRUCT_FROM_MEMBER(struct envelope_stream, super, stream);
    h2o_ostream_send_next(&self->super, http, &self->body, 1, state);
}

static void replace_body(h2o_filter_t *filter, h2o_req_t *http, h2o_ostream_t **slot)
{
    (void)filter;
    char text[REQUEST_ID_SIZE];
    struct buffer id;
    buffer_init_fixed(&id, text, sizeof(text));
    serve_request_id(thread_of(http), &id);
    answer_identify(http, buffer_slice(&id));
    answer_share(http);
    struct failure failure = {.cause = cause_of(http->res.status)};
    SCOPED(buffer_free) struct buffer body;
    buffer_init(&body, ENVELOPE_MAX);
    failure_append(&body, &failure);
    struct envelope_stream *stream =
        (void *)h2o_add_ostream(http, sizeof(struct envelope_stream), slot);
    stream->super.do_send = send_envelope;
    stream->body = h2o_strdup(&http->pool, body.data, body.len);
    http->res.status = error_row_of(failure.cause.code)->http;
    http->res.reason = http_reason(http->res.status);
    http->res.content_length = body.len;
    h2o_set_header(&http->pool, &http->res.headers, H2O_TOKEN_CONTENT_TYPE,
                   H2O_STRLIT("application/json"), 1);
}

void answer_install_filter(h2o_pathconf_t *path)
{
    h2o_filter_t *filter = h2o_create_filter(path, sizeof(*filter));
    filter->on_setup_ostream = replace_body;
}
