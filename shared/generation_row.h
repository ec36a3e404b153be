/* SPDX-License-Identifier: Apache-2.0 */
/* The columns of a posted generation and the bytes that are hashed for it: what the ledger proves
 * when it posts a batch, and what an auditor encodes again from the table. */
#pragma once

#include "shared/billing.h"
#include "shared/buffer.h"

/* The number columns, in the order of the statement generations_add and of the canonical encoding,
 * which has those of own keys at its end. The units are as many columns, in the order of the
 * billing classes. */
#define GENERATION_NUMBERS(X) \
    X(org)                    \
    X(day)                    \
    X(hold)                   \
    X(part)                   \
    X(seq)                    \
    X(workspace)              \
    X(member)                 \
    X(key)                    \
    X(created_ns)             \
    X(state)                  \
    X(reason)                 \
    X(price)                  \
    BILLING_CLASSES(X)        \
    X(held)                   \
    X(charge)                 \
    X(charge_told)            \
    X(provider_cost)          \
    X(flags)                  \
    X(finish)                 \
    X(model)                  \
    X(endpoint)               \
    X(provider)               \
    X(first_byte_ms)          \
    X(total_ms)
/* Of requests with the customer's own key; 0 in all other rows. */
#define GENERATION_BYOK(X)   \
    X(byok_unit)             \
    X(byok_fee_basis_points) \
    X(byok_list)             \
    X(byok_units)
#define GENERATION_TEXTS(X) \
    X(native_finish)        \
    X(upstream_id)          \
    X(referer)              \
    X(title)                \
    X(user_agent)           \
    X(session)

enum generation_number {
#define X(name) GENERATION_##name,
    GENERATION_NUMBERS(X) GENERATION_BYOK(X)
#undef X
        GENERATION_NUMBER_COUNT,
    GENERATION_BYOK_FIRST = GENERATION_byok_unit
};
enum generation_text {
#define X(name) GENERATION_##name,
    GENERATION_TEXTS(X)
#undef X
        GENERATION_TEXT_COUNT
};

struct generation_row {
    uint16_t cell;
    uint32_t incarnation;
    int64_t numbers[GENERATION_NUMBER_COUNT];
    slice texts[GENERATION_TEXT_COUNT];
    slice attempts;
};

/* u16 cell, u32 incarnation, the number columns as i64 in their order, then the texts and the
 * attempts, each with a u16 length, then the columns of own keys as i64 if any of them is not 0, so
 * that rows from before there were any are encoded as they were. All little-endian. Appended; the
 * buffer's owner looks for overflow. */
void generation_row_encode(const struct generation_row *row, struct buffer *out);
/* Whether any column of own keys is not 0. */
bool generation_row_is_byok(const struct generation_row *row);
