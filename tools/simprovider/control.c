/* SPDX-License-Identifier: Apache-2.0 */
/* The hand of the tester: faults on and off, and what was served. */
#include "tools/simprovider/sim.h"

#define LOG_PAGE 50000

static slice path_tail(slice path, slice prefix)
{
    return slice_starts_with(path, prefix) ? slice_from(path, prefix.len) : SLICE_NONE;
}

static bool method_is(h2o_req_t *req, slice method)
{
    return slice_equal((slice){req->method.base, req->method.len}, method);
}

static void send_text(h2o_req_t *req, int http_status, slice json)
{
    struct buffer body;
    buffer_init(&body, 4096);
    buffer_append(&body, json);
    sim_send_json(req, http_status, &body);
    buffer_free(&body);
}

static void put_fault(struct sim *sim, h2o_req_t *req, slice provider)
{
    struct fault fault;
    slice body = {req->entity.base, req->entity.len};
    status result = json_parse(&sim->document, body);
    if (status_ok(result)) result = fault_read(json_root(&sim->document), &fault);
    if (status_ok(result)) result = fault_arm(&sim->faults, provider, &fault);
    if (status_ok(result)) {
        send_text(req, 200, SLICE("{\"armed\":true}"));
        return;
    }
    send_text(req, 400,
              SLICE("{\"error\":{\"code\":400,\"message\":\"kind must be status, reset, stall, "
                    "truncate, cut, garbage, "
                    "half, hold, usage (with usage: missing, twice, negative, huge, zero or "
                    "text), endless or error; "
                    "status 400-599; the other fields are numbers from 0\"}}"));
}

static int64_t query_number(h2o_req_t *req, slice name, int64_t otherwise)
{
    if (req->query_at == SIZE_MAX) return otherwise;
    slice rest = {req->path.base + req->query_at + 1, req->path.len - req->query_at - 1};
    while (rest.len > 0) {
        slice pair, key, value;
        int64_t number;
        slice_split(rest, '&', &pair, &rest);
        slice_split(pair, '=', &key, &value);
        if (slice_equal(key, name) && status_ok(slice_to_i64(value, &number)) && number >= 0)
            return number;
    }
    return otherwise;
}

static void get_log(struct sim *sim, h2o_req_t *req)
{
    struct buffer body;
    struct json_writer w;
    buffer_init(&body, 256u << 20);
    json_write_init(&w, &body);
    record_write(&sim->log, (uint64_t)query_number(req, SLICE("after"), 0),
                 (uint64_t)query_number(req, SLICE("limit"), LOG_PAGE), &w);
    sim_send_json(req, 200, &body);
    buffer_free(&body);
}

static void get_faults(struct sim *sim, h2o_req_t *req)
{
    struct buffer body;
    struct json_writer w;
    buffer_init(&body, 1u << 20);
    json_write_init(&w, &body);
    fault_write_all(&sim->faults, &w);
    sim_send_json(req, 200, &body);
    buffer_free(&body);
}

static void handle_faults(struct sim *sim, h2o_req_t *req, slice provider)
{
    if (method_is(req, SLICE("PUT")) && provider.len > 0) {
        put_fault(sim, req, provider);
    } else if (method_is(req, SLICE("DELETE"))) {
        fault_disarm(&sim->faults, provider);
        send_text(req, 200, SLICE("{\"armed\":false}"));
    } else {
        get_faults(sim, req);
    }
}

bool control_handle(struct sim *sim, h2o_req_t *req, slice path)
{
    if (slice_equal(path, SLICE("/healthz"))) {
        send_text(req, 200, SLICE("{\"status\":\"ok\"}"));
    } else if (slice_equal(path, SLICE("/sim/faults"))) {
        handle_faults(sim, req, SLICE_NONE);
    } else if (slice_starts_with(path, SLICE("/sim/faults/"))) {
        handle_faults(sim, req, path_tail(path, SLICE("/sim/faults/")));
    } else if (slice_equal(path, SLICE("/sim/log"))) {
        if (method_is(req, SLICE("DELETE"))) record_clear(&sim->log);
        get_log(sim, req);
    } else {
        return false;
    }
    return true;
}
