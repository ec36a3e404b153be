/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts with a credit line instead of credit: what an operator decides about them. */
#pragma once

#include "services/ledger/api/fields.h"

/* Inside a transaction: the line, in nano-dollars; is_null: back to credit. CONFLICT with a
 * sentence while a purchase or refund is not decided, cells have credit on lease, or a debt stands
 * that nobody could lower. */
status credit_line_set(struct db *db, struct control_response *response, int64_t org,
                       const struct field_value *line);

/* CONFLICT with a sentence for an organization that has a line: it buys no credit and is
 * given none. Inside a transaction, until the end of which no line is set. */
status credit_line_refuse(struct db *db, struct control_response *response, int64_t org);
