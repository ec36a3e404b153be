/* SPDX-License-Identifier: Apache-2.0 */
/* ledger: the only process that can move money, and the one that knows who callers are. Here only
 * the order of start and end. */
#include <malloc.h>
#include <stdatomic.h>

#include "services/ledger/api/api.h"
#include "services/ledger/front.h"
#include "shared/daemon.h"
#include "shared/log.h"

#define CONNECTIONS_MIN 1024 /* the edge's threads, the control plane's clients, segments */

static status open_secrets(struct ledger *ledger)
{
    struct secret key;
    TRY(secret_read_file("secrets/ledger/pepper", 64, false, &ledger->pepper));
    TRY(secret_read_file("secrets/ledger/generation.key", 64, false, &key));
    status done =
        key.len == 16 ? generation_cipher_new(key.bytes, &ledger->cipher) : FAIL(CONFIGURATION);
    secret_free(&key);
    TRY(done);
    return token_signer_open("secrets/ledger/signing.pem", &ledger->signer);
}

static status start(struct ledger *ledger, struct token_verifier **verifier)
{
    TRY(open_secrets(ledger));
    TRY(token_verifier_open("secrets/ledger/signing.pub.pem", verifier));
    changes_init(&ledger->changes);
    TRY(ledger_recover(ledger));
    poster_start(ledger->poster);
    lender_start(ledger->lender);
    TRY(front_open(ledger, &ledger->front));
    return api_start(ledger, ledger->config, *verifier);
}

/* The poster's thread ends before the journal, of which it tells; what the last sync covers is
 * posted then on this thread. */
static void stop(struct ledger *ledger)
{
    lender_stop(ledger->lender);
    uint64_t seq = core_view(ledger->core).seq_last;
    poster_stop(ledger->poster);
    journal_close(&ledger->journal);
    status posted = poster_catch_up(ledger->poster, seq);
    if (!status_ok(posted)) log_warning("stopped_before_all_was_posted", F(error, posted));
    front_free(&ledger->front);
    poster_free(&ledger->poster);
    lender_free(&ledger->lender);
    core_free(&ledger->core);
    prices_free(&ledger->prices);
    inbox_free(&ledger->inbox);
    buffer_free(&ledger->records);
    token_signer_free(&ledger->signer);
    generation_cipher_free(&ledger->cipher);
    secret_free(&ledger->pepper);
}

/* Large blocks come from the kernel and go back to it. By default the first one freed raises the
 * limit, and from then on what libpq needs for a batch leaves holes in the heaps of the threads. */
#define LARGE_BLOCK (128 * 1024)

int main(int argc, char **argv)
{
    static struct config config;
    static struct ledger ledger;
    struct token_verifier *verifier = NULL;
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    if (!status_ok(daemon_start("ledger", argc, argv, CONNECTIONS_MIN, &config))) return 1;
    ledger.config = &config;
    ledger.cell = (uint16_t)config.cell;
    status started = start(&ledger, &verifier);
    if (!status_ok(started)) {
        log_error("start_failed", F(error, started));
        return 1;
    }
    log_info("started");
    front_run(ledger.front);
    api_stop();
    stop(&ledger);
    token_verifier_free(&verifier);
    log_info("stopped");
    return 0;
}
