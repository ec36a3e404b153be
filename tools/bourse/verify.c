/* SPDX-License-Identifier: Apache-2.0 */
/* bourse ledger verify: reads every row of the books as the reading role and makes every sum,
 * charge and hash again. What the poster wrote is believed nowhere; its SQL is not used. */
#include "tools/bourse/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/array.h"
#include "shared/clock.h"
#include "shared/config.h"
#include "tools/bourse/arguments.h"
#include "tools/bourse/command.h"
#include "tools/bourse/http.h"

#define PROGRESS_EACH_MS 2000
#define ANSWER_MAX       ((size_t)16 << 20)

extern const char bourse_statements_sql[];
static const struct db_statements statements = {bourse_statements_sql};

/* ---- telling --------------------------------------------------------------------------------- */

void verify_found(struct verify *verify, const char *where, const char *format, ...)
{
    char what[512];
    va_list values;
    va_start(values, format);
    vsnprintf(what, sizeof(what), format, values);
    va_end(values);
    verify->found++;
    if (verify->found > FOUND_SHOWN_MAX) return;
    if (!verify->json) {
        printf("%s: %s\n", where, what);
        return;
    }
    json_object_begin(&verify->out);
    json_key_string(&verify->out, SLICE("where"), slice_of(where));
    json_key_string(&verify->out, SLICE("what"), slice_of(what));
    json_object_end(&verify->out);
}

void verify_progress(struct verify *verify, const char *what, uint64_t done)
{
    uint64_t now_ms = clock_monotonic_ms();
    if (now_ms - verify->told_ms < PROGRESS_EACH_MS) return;
    verify->told_ms = now_ms;
    fprintf(stderr, "%s: %llu so far\n", what, (unsigned long long)done);
}

/* ---- the passes ------------------------------------------------------------------------------ */

static status run_passes(struct db *db, void *context)
{
    (void)db;
    struct verify *verify = context;
    TRY(verify_read_prices(verify));
    TRY(verify_read_batches(verify));
    TRY(verify_rows(verify));
    TRY(verify_transfers(verify));
    verify_sums(verify);
    return verify_chain(verify);
}

static status connect_reader(struct db **db)
{
    static struct config config;
    config_defaults(&config);
    TRY(config_read_file(&config, "bourse.conf"));
    TRY(db_open(config.database, "bourse_reader", &statements, db));
    return db_run(*db, "verify_snapshot", NULL, 0, NULL);
}

static void print_counts(struct verify *verify)
{
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {{"generations", verify->generations},
                  {"batches", verify->batch_count},
                  {"transfers", verify->transfers},
                  {"accounts", verify->accounts},
                  {"differences", verify->found}};
    if (!verify->json) {
        if (verify->found > FOUND_SHOWN_MAX)
            printf("%llu more\n", (unsigned long long)(verify->found - FOUND_SHOWN_MAX));
        printf("verify:");
        for (size_t i = 0; i < COUNT_OF(counts); i++)
            printf("%s %llu %s", i == 0 ? "" : ",", (unsigned long long)counts[i].count,
                   counts[i].name);
        printf("\n");
        return;
    }
    json_array_end(&verify->out);
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        json_key_u64(&verify->out, slice_of(counts[i].name), counts[i].count);
    json_object_end(&verify->out);
    printf("%.*s\n", (int)verify->out.out->len, verify->out.out->data);
}

int verify_run(const struct command *command, int argc, char **argv)
{
    struct arguments arguments = {0};
    if (!arguments_read(command, argc, argv, &arguments)) return 2;
    SCOPED(buffer_free) struct buffer answer;
    buffer_init(&answer, ANSWER_MAX);
    struct verify verify = {.json = arguments.json, .told_ms = clock_monotonic_ms()};
    json_write_init(&verify.out, &answer);
    json_object_begin(&verify.out);
    json_key(&verify.out, SLICE("found"));
    json_array_begin(&verify.out);
    SCOPED(db_close) struct db *db = NULL;
    if (!status_ok(http_enter_instance())) return 1;
    status done = connect_reader(&db);
    verify.db = db;
    if (status_ok(done)) done = db_transaction(db, 0, run_passes, &verify);
    free(verify.batches);
    free(verify.prices);
    if (!status_ok(done)) {
        fprintf(stderr, "bourse: the books could not be read to the end: %s\n",
                error_row_of(done.code)->sentence);
        return 1;
    }
    print_counts(&verify);
    return verify.found > 0 ? 1 : 0;
}
