/* SPDX-License-Identifier: Apache-2.0 */
/* The table of armed faults and its JSON. */
#include "tools/simprovider/fault.h"

#include "shared/array.h"

static const struct {
    const char *name;
    enum fault_kind kind;
} kinds[] = {
    {"status", FAULT_STATUS},     {"reset", FAULT_RESET}, {"stall", FAULT_STALL},
    {"truncate", FAULT_TRUNCATE}, {"cut", FAULT_CUT},     {"garbage", FAULT_GARBAGE},
    {"half", FAULT_HALF},         {"hold", FAULT_HOLD},   {"usage", FAULT_USAGE},
    {"endless", FAULT_ENDLESS},   {"error", FAULT_ERROR},
};

static const struct {
    const char *name;
    enum fault_usage usage;
} usages[] = {
    {"missing", USAGE_MISSING}, {"twice", USAGE_TWICE}, {"negative", USAGE_NEGATIVE},
    {"huge", USAGE_HUGE},       {"zero", USAGE_ZERO},   {"text", USAGE_TEXT},
};

static status read_kind(struct json_value body, struct fault *fault)
{
    struct json_value kind = json_get(body, SLICE("kind"));
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (json_string_equal(kind, slice_of(kinds[i].name))) fault->kind = kinds[i].kind;
    }
    struct json_value usage = json_get(body, SLICE("usage"));
    for (size_t i = 0; i < COUNT_OF(usages); i++) {
        if (json_string_equal(usage, slice_of(usages[i].name))) fault->usage = usages[i].usage;
    }
    if (fault->kind == FAULT_NONE) return FAIL(BAD_REQUEST);
    if (fault->kind == FAULT_USAGE && fault->usage == USAGE_RIGHT) return FAIL(BAD_REQUEST);
    return OK;
}

static status read_number(struct json_value body, slice name, int64_t low, int64_t *value)
{
    struct json_value v = json_get(body, name);
    if (!json_exists(v)) return OK;
    TRY(json_read_i64(v, value));
    return *value < low || *value > INT32_MAX ? FAIL(OUT_OF_RANGE) : OK;
}

status fault_read(struct json_value body, struct fault *fault)
{
    *fault = (struct fault){.http_status = 500, .retry_after_s = -1, .delay_ms = -1, .left = -1};
    TRY(read_kind(body, fault));
    TRY(read_number(body, SLICE("status"), 400, &fault->http_status));
    if (fault->http_status > 599) return FAIL(OUT_OF_RANGE);
    TRY(read_number(body, SLICE("retry_after"), 0, &fault->retry_after_s));
    TRY(read_number(body, SLICE("after_chunks"), 0, &fault->after_chunks));
    TRY(read_number(body, SLICE("delay_ms"), 0, &fault->delay_ms));
    return read_number(body, SLICE("count"), 1, &fault->left);
}

static size_t find(const struct fault_table *table, slice provider)
{
    for (size_t i = 0; i < table->count; i++) {
        if (slice_equal(slice_of(table->providers[i]), provider)) return i;
    }
    return table->count;
}

status fault_arm(struct fault_table *table, slice provider, const struct fault *fault)
{
    size_t at = find(table, provider);
    if (at == FAULT_PROVIDERS_MAX) return FAIL(OVERFLOW);
    if (at == table->count) {
        TRY(slice_to_c_string(provider, table->providers[at], FAULT_PROVIDER_SIZE));
        table->count++;
    }
    table->faults[at] = *fault;
    return OK;
}

void fault_disarm(struct fault_table *table, slice provider)
{
    if (provider.len == 0) {
        table->count = 0;
        return;
    }
    size_t at = find(table, provider);
    if (at == table->count) return;
    table->count--;
    memmove(table->providers[at], table->providers[table->count], FAULT_PROVIDER_SIZE);
    table->faults[at] = table->faults[table->count];
}

struct fault fault_take(struct fault_table *table, slice provider)
{
    size_t at = find(table, provider);
    if (at == table->count || table->faults[at].left == 0) at = find(table, SLICE("*"));
    if (at == table->count || table->faults[at].left == 0) return (struct fault){0};
    if (table->faults[at].left > 0) table->faults[at].left--;
    return table->faults[at];
}

/* One that is used up still counts: whom it stalls waits until it is disarmed. */
bool fault_is_armed(const struct fault_table *table, slice provider, enum fault_kind kind)
{
    size_t own = find(table, provider), any = find(table, SLICE("*"));
    return (own < table->count && table->faults[own].kind == kind) ||
           (any < table->count && table->faults[any].kind == kind);
}

static slice kind_name(enum fault_kind kind)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (kinds[i].kind == kind) return slice_of(kinds[i].name);
    }
    return SLICE_NONE;
}

void fault_write_all(const struct fault_table *table, struct json_writer *w)
{
    json_array_begin(w);
    for (size_t i = 0; i < table->count; i++) {
        const struct fault *f = &table->faults[i];
        json_object_begin(w);
        json_key_string(w, SLICE("provider"), slice_of(table->providers[i]));
        json_key_string(w, SLICE("kind"), kind_name(f->kind));
        json_key_i64(w, SLICE("after_chunks"), f->after_chunks);
        json_key_i64(w, SLICE("delay_ms"), f->delay_ms);
        json_key_i64(w, SLICE("count"), f->left);
        json_object_end(w);
    }
    json_array_end(w);
}
