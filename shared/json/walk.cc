/* SPDX-License-Identifier: Apache-2.0 */
/* The first walk of the reader: simdjson's stage 1 behind a few C functions. It finds where
 * tokens begin and checks UTF-8 and raw control characters; it knows no grammar. The only C++
 * here, because simdjson is C++; nothing of it throws, and nothing of it is visible outside this
 * file.
 *
 * Stage 1 copies the last block of a text before it reads it, so texts need no padding. The
 * header of simdjson does not promise that; a test with an unreadable page behind the text holds
 * it to it. */

#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#include <cstdlib>
#include <memory>

extern "C" {
#include "shared/json/walk.h"
}

namespace
{

using parser = simdjson::internal::dom_parser_implementation;

/* The index takes four bytes per byte of text, so 64 KiB at first and at most 4 MiB between
 * texts. */
constexpr size_t TEXT_LEN_FIRST = 16 * 1024;
constexpr size_t TEXT_LEN_KEPT = 1024 * 1024;

/* Out of memory ends the process, as everywhere. */
void require(simdjson::error_code result)
{
    if (result != simdjson::SUCCESS) std::abort();
}

/* One per thread: its index is of use only until the tape is written, and is 64 KiB at least. */
thread_local std::unique_ptr<parser> kept;

parser *parser_of_thread()
{
    if (kept) return kept.get();
    /* The depth is of use to simdjson's own second stage only, which is never run. */
    require(simdjson::get_active_implementation()->create_dom_parser_implementation(TEXT_LEN_FIRST,
                                                                                    1, kept));
    return kept.get();
}

void parser_reserve(parser *p, size_t text_len)
{
    if (text_len <= p->capacity()) return;
    size_t doubled = 2 * p->capacity();
    size_t wanted = text_len > doubled ? text_len : doubled;
    require(p->set_capacity(wanted > UINT32_MAX ? UINT32_MAX : wanted));
}

} // namespace

extern "C" status json_walk_bytes(slice text, struct json_index *index)
{
    if (text.len == 0) return FAIL(BAD_JSON);
    parser *p = parser_of_thread();
    parser_reserve(p, text.len);

    const uint8_t *bytes = reinterpret_cast<const uint8_t *>(text.data);
    if (p->stage1(bytes, text.len, simdjson::stage1_mode::regular) != simdjson::SUCCESS)
        return FAIL(BAD_JSON);

    uint32_t *positions = p->structural_indexes.get();
    uint32_t count = p->n_structural_indexes;
    if (count == 0 || positions[count - 1] >= text.len) return FAIL(BAD_JSON);
    positions[count] = static_cast<uint32_t>(text.len);
    *index = {positions, count};
    return OK;
}

extern "C" void json_walk_trim(void)
{
    if (kept && kept->capacity() > TEXT_LEN_KEPT) require(kept->set_capacity(TEXT_LEN_FIRST));
}

extern "C" bool json_walk_utf8_valid(slice text)
{
    return simdjson::validate_utf8(text.data, text.len);
}
