/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the control plane: the error envelope, headers, query parameters. Everything a handler
 * says is checked or cut here, so that handlers can be short. */
#include "shared/http/job.h"

#include "shared/http/routes.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define INTERNAL_CODE_MAX 99  /* errors.def: these are never shown */
#define HIDDEN_CODE_MIN   600 /* errors.def: between edge and ledger only */

static const struct error_row *visible_row(status failure);
static void write_envelope(struct control_response *response, const struct error_row *row,
                           slice message, slice metadata);
static void splice_members(struct buffer *out, slice object);
static bool has_header(const struct control_response *response, slice name);

slice control_query(const struct control_request *request, slice name)
{
    slice rest = request->query;
    while (rest.len > 0) {
        slice pair, key, value;
        (void)slice_split(rest, '&', &pair, &rest);
        (void)slice_split(pair, '=', &key, &value);
        if (!slice_equal(key, name)) continue;
        slice decoded;
        /* The whole query was checked when the request came in; only memory can be missing. */
        return status_ok(percent_decode(request->arena, value, true, &decoded)) ? decoded
                                                                                : SLICE_NONE;
    }
    return SLICE_NONE;
}

status control_header(struct control_response *response, slice name, slice value)
{
    static const char refused[] = {'\r', '\n', '\0'};
    for (size_t i = 0; i < sizeof(refused); i++) {
        if (name.len > 0 && memchr(name.data, refused[i], name.len) != NULL)
            return FAIL(BAD_REQUEST);
        if (value.len > 0 && memchr(value.data, refused[i], value.len) != NULL)
            return FAIL(BAD_REQUEST);
    }
    size_t room = sizeof(response->header_names) / sizeof(response->header_names[0]);
    if (name.len == 0 || response->header_count == room) return FAIL(OVERFLOW);
    response->header_names[response->header_count] = name;
    response->header_values[response->header_count++] = value;
    return OK;
}

status control_fail(struct control_response *response, status failure, slice message)
{
    response->message = message;
    return failure;
}

void answer_fail(struct control_job *job, status failure)
{
    struct control_response *response = &job->response;
    const struct error_row *row = visible_row(failure);
    bool masked = row->code != failure.code;
    if (masked) {
        log_error("control_failure", F(error, failure),
                  FN(name, route, slice_of(job->route == NULL ? "none" : job->route->path)));
    }
    buffer_clear(&response->body);
    response->http_status = row->http;
    response->content_type = SLICE("application/json");
    bool own_words = !masked && response->message.len > 0;
    write_envelope(response, row, own_words ? response->message : slice_of(row->sentence),
                   masked ? SLICE_NONE : response->metadata);
    if (row->http == 503 && !has_header(response, SLICE("retry-after"))) {
        /* A full table of headers is no reason to lose the answer. */
        (void)!status_ok(control_header(response, SLICE("retry-after"), SLICE("1")));
    }
}

void answer_log(const struct control_job *job)
{
    metric_add(control_requests_total, 1);
    uint64_t ms = (clock_monotonic_us() - job->started_us) / 1000;
    log_info("control_request", FN(name, method, job->request.method),
             FN(name, route, slice_of(job->route == NULL ? "none" : job->route->path)),
             FN(number, status, job->response.http_status), F(ms, ms),
             FN(name, request, job->request.request_id));
}

static const struct error_row *visible_row(status failure)
{
    bool shown = failure.code == ERROR_DATABASE ||
                 (failure.code > INTERNAL_CODE_MAX && failure.code < HIDDEN_CODE_MIN);
    return error_row_of(shown ? failure.code : ERROR_INTERNAL);
}

static void write_envelope(struct control_response *response, const struct error_row *row,
                           slice message, slice metadata)
{
    struct json_writer *w = &response->json;
    json_write_init(w, &response->body);
    json_object_begin(w);
    json_key(w, SLICE("error"));
    json_object_begin(w);
    json_key_i64(w, SLICE("code"), row->http);
    json_key_string(w, SLICE("message"), message);
    json_key(w, SLICE("metadata"));
    json_object_begin(w);
    json_key_string(w, SLICE("error_type"), slice_of(row->type));
    json_key_string(w, SLICE("error_name"), slice_of(row->name));
    splice_members(&response->body, metadata);
    json_object_end(w);
    json_object_end(w);
    json_object_end(w);
}

/* The handler's object was written by the same writer; its members follow ours. */
static void splice_members(struct buffer *out, slice object)
{
    if (object.len <= 2) return;
    buffer_append_char(out, ',');
    buffer_append(out, slice_first(slice_from(object, 1), object.len - 2));
}

static bool has_header(const struct control_response *response, slice name)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (slice_equal_nocase(response->header_names[i], name)) return true;
    }
    return false;
}
