/* SPDX-License-Identifier: Apache-2.0 */
/* usage: turns committed requests into reports; it reads, it cannot change a balance. */
#include "services/usage/api/api.h"
#include "services/usage/audit.h"
#include "shared/daemon.h"
#include "shared/log.h"

#define CONNECTIONS_MIN 64 /* the edge's and the operator's, each a descriptor */

int main(int argc, char **argv)
{
    static struct config config;
    struct token_verifier *verifier = NULL;
    struct control *control = NULL;
    if (!status_ok(daemon_start("usage", argc, argv, CONNECTIONS_MIN, &config))) return 1;
    status result = token_verifier_open("secrets/usage/signing.pub.pem", &verifier);
    if (status_ok(result)) result = usage_api_start(&config, verifier, &control);
    if (!status_ok(result)) {
        log_error("start_failed", F(error, result));
        return 1;
    }
    struct audit *audit = audit_start(&config);
    log_info("started");
    daemon_signal_wait();
    log_info("stopping");
    audit_stop(&audit);
    control_stop(&control);
    token_verifier_free(&verifier);
    return 0;
}
