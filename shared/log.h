/* SPDX-License-Identifier: Apache-2.0 */
/* Typed log lines, logfmt on stderr:
 *   log_info("hold_settled", F(request, id), F(amount, cost), F(ms, elapsed));
 *   → time=… level=info program=ledger event=hold_settled request=gen-… amount=0.00026265 ms=3
 * There is no field kind for prompts, keys or bodies, so they cannot be logged. */
#pragma once

#include "shared/id.h"
#include "shared/money.h"
#include "shared/slice.h"

enum log_kind { LOG_TEXT, LOG_INT, LOG_AMOUNT, LOG_REQUEST, LOG_STATUS, LOG_ERRNO };
struct log_field {
    const char *name;
    enum log_kind kind;
    slice text;
    int64_t number;
    struct generation_id request;
};

/* F(kind, value): the kind is also the printed name. FN(kind, name, value) prints another name. */
#define F(kind, value)        LOG_FIELD_##kind(#kind, value)
#define FN(kind, name, value) LOG_FIELD_##kind(#name, value)
#define LOG_FIELD_request(n, v) \
    ((struct log_field){.name = (n), .kind = LOG_REQUEST, .request = (v)})
#define LOG_FIELD_amount(n, v) \
    ((struct log_field){.name = (n), .kind = LOG_AMOUNT, .number = (v).nano})
#define LOG_FIELD_ms(n, v) \
    ((struct log_field){.name = (n), .kind = LOG_INT, .number = (int64_t)(v)})
#define LOG_FIELD_count(n, v) \
    ((struct log_field){.name = (n), .kind = LOG_INT, .number = (int64_t)(v)})
#define LOG_FIELD_number(n, v) \
    ((struct log_field){.name = (n), .kind = LOG_INT, .number = (int64_t)(v)})
#define LOG_FIELD_error(n, v) \
    ((struct log_field){.name = (n), .kind = LOG_STATUS, .number = (v).code})
#define LOG_FIELD_errno(n, v)  ((struct log_field){.name = (n), .kind = LOG_ERRNO, .number = (v)})
/* Names from a closed world: programs, providers, models, paths of routes, file names, SQLSTATEs,
 * peers. */
#define LOG_FIELD_name(n, v)   ((struct log_field){.name = (n), .kind = LOG_TEXT, .text = (v)})
#define LOG_FIELD_reason(n, v) ((struct log_field){.name = (n), .kind = LOG_TEXT, .text = (v)})

/* NONE is for tests that bring errors about by the million. */
enum log_level {
    LOG_LEVEL_NONE = -1,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};
void log_init(const char *program, enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count);

#define LOG_LINE(level, event, ...)                                                               \
    log_write(level, event, (const struct log_field[]){{0}, ##__VA_ARGS__} + 1,                   \
              sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field) - \
                  1)
#define log_error(event, ...)   LOG_LINE(LOG_LEVEL_ERROR, event, ##__VA_ARGS__)
#define log_warning(event, ...) LOG_LINE(LOG_LEVEL_WARNING, event, ##__VA_ARGS__)
#define log_info(event, ...)    LOG_LINE(LOG_LEVEL_INFO, event, ##__VA_ARGS__)
#define log_debug(event, ...)   LOG_LINE(LOG_LEVEL_DEBUG, event, ##__VA_ARGS__)
