/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over the lines of the head. Everything here was accepted by the HTTP parser before; this
 * only looks for what two parsers can disagree about. */
#include "services/edge/framing.h"

struct head_facts {
    unsigned hosts;
    unsigned lengths;
    unsigned encodings;
};

static status read_line(slice line, struct head_facts *facts);

status framing_check(slice bytes, bool host_needed)
{
    struct head_facts facts = {0};
    slice rest = bytes;
    slice line;
    size_t seen = 0;
    bool request_line = true;
    while (slice_split(rest, '\n', &line, &rest)) {
        seen += line.len + 1;
        if (line.len > 0 && line.data[line.len - 1] == '\r') line.len--;
        /* Parsers skip an empty line before the request line. */
        if (line.len == 0 && request_line) continue;
        if (line.len == 0) break;
        if (line.len > HEADER_LINE_MAX || seen > HEADER_TOTAL_MAX) return FAIL(HEADERS_TOO_LARGE);
        if (!request_line) TRY(read_line(line, &facts));
        request_line = false;
    }
    if (facts.hosts > 1 || facts.lengths > 1 || facts.encodings > 1) return FAIL(BAD_FRAMING);
    if (facts.lengths > 0 && facts.encodings > 0) return FAIL(BAD_FRAMING);
    if (host_needed && facts.hosts == 0) return FAIL(BAD_FRAMING);
    return OK;
}

static status read_line(slice line, struct head_facts *facts)
{
    slice name, value;
    if (line.data[0] == ' ' || line.data[0] == '\t') return FAIL(BAD_FRAMING);
    if (!slice_split(line, ':', &name, &value)) return FAIL(BAD_FRAMING);
    facts->hosts += slice_equal_nocase(name, SLICE("host"));
    facts->lengths += slice_equal_nocase(name, SLICE("content-length"));
    facts->encodings += slice_equal_nocase(name, SLICE("transfer-encoding"));
    return OK;
}
