/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. The text is one transaction of many statements; each row of each of them is a
 * violation: its rule and where. */
#include "services/usage/store_audit.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/config.h"
#include "shared/log.h"

extern const char schema_audit_sql[];

struct store_audit {
    PGconn *pg;
};

static void log_failure(const PGconn *pg)
{
    slice message = slice_of(PQerrorMessage(pg));
    slice line, rest;
    slice_split(message, '\n', &line, &rest);
    log_error("audit_failed", FN(reason, reason, line));
}

struct store_audit *store_audit_begin(const char *database)
{
    char connection[CONFIG_TEXT_SIZE + 64];
    snprintf(connection, sizeof(connection), "%s user=bourse_reader application_name=audit",
             database);
    struct store_audit *audit = calloc(1, sizeof(*audit));
    if (audit == NULL) abort();
    audit->pg = PQconnectdb(connection);
    bool sent = PQstatus(audit->pg) == CONNECTION_OK && PQsendQuery(audit->pg, schema_audit_sql);
    if (sent) return audit;
    log_failure(audit->pg);
    store_audit_end(&audit);
    return NULL;
}

int store_audit_descriptor(const struct store_audit *audit)
{
    return PQsocket(audit->pg);
}

static bool take_rows(const struct store_audit *audit, const PGresult *rows,
                      void (*found)(void *context, slice rule, slice detail), void *context)
{
    ExecStatusType kind = PQresultStatus(rows);
    if (kind != PGRES_TUPLES_OK && kind != PGRES_COMMAND_OK) {
        log_failure(audit->pg);
        return false;
    }
    for (int row = 0; row < PQntuples(rows); row++)
        found(context, slice_of(PQgetvalue(rows, row, 0)), slice_of(PQgetvalue(rows, row, 1)));
    return true;
}

enum audit_progress store_audit_go_on(struct store_audit *audit,
                                      void (*found)(void *context, slice rule, slice detail),
                                      void *context)
{
    if (!PQconsumeInput(audit->pg)) {
        log_failure(audit->pg);
        return AUDIT_FAILED;
    }
    while (!PQisBusy(audit->pg)) {
        PGresult *rows = PQgetResult(audit->pg);
        if (rows == NULL) return AUDIT_ENDED;
        bool whole = take_rows(audit, rows, found, context);
        PQclear(rows);
        if (!whole) return AUDIT_FAILED;
    }
    return AUDIT_WAITS;
}

void store_audit_end(struct store_audit **pointer)
{
    struct store_audit *audit = TAKE(*pointer);
    if (audit == NULL) return;
    char reason[256];
    PGcancel *cancel = PQgetCancel(audit->pg);
    if (cancel != NULL && PQtransactionStatus(audit->pg) == PQTRANS_ACTIVE)
        (void)PQcancel(cancel, reason, sizeof(reason));
    PQfreeCancel(cancel);
    PQfinish(audit->pg);
    free(audit);
}
