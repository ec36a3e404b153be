/* SPDX-License-Identifier: Apache-2.0 */
/* Heads are parsed by picohttpparser once for each arrival, then one pass over the headers picks
 * the few that matter. The rules are those of RFC 9112, section 6.3, and where it leaves a choice
 * between guessing and refusing, the answer is refused. */
#include "services/edge/upstream/http.h"

#define RETRY_AFTER_S_MAX 86400

/* picohttpparser as libh2o exports it, without a header file. A struct upstream_header is what it
 * calls a phr_header: two pairs of a pointer and a length; a name of NULL is a folded line. */
int phr_parse_response(const char *bytes, size_t len, int *minor_version, int *http_status,
                       const char **reason, size_t *reason_len, struct upstream_header *headers,
                       size_t *header_count, size_t last_len);
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *bytes, size_t *len);
enum { PHR_BROKEN = -1, PHR_UNFINISHED = -2 };

_Static_assert(sizeof(struct upstream_header) == 4 * sizeof(void *), "phr_header's layout");

/* What the headers say, before it is weighed. */
struct facts {
    struct upstream_head *head;
    int64_t precise_ms; /* retry-after-ms; -1: none */
    uint64_t length;
    bool has_length, has_encoding, chunked;
    bool close, keep_alive;
};

static bool read_headers(struct upstream_answer *answer, struct facts *facts);
static status decide_body(const struct facts *facts, struct upstream_body *body);

/* ---- heads ----------------------------------------------------------------------------------- */

status upstream_answer_read(h2o_iovec_t bytes, size_t seen, bool method_is_head,
                            struct upstream_answer *answer)
{
    struct upstream_head *head = &answer->head;
    *head = (struct upstream_head){.retry_after_ms = -1,
                                   .content_type = SLICE_NONE,
                                   .headers = answer->headers,
                                   .header_count = UPSTREAM_ANSWER_HEADERS_MAX};
    int minor_version;
    const char *reason;
    size_t reason_len;
    int len = phr_parse_response(bytes.base, bytes.len, &minor_version, &head->http_status, &reason,
                                 &reason_len, answer->headers, &head->header_count, seen);
    if (len == PHR_UNFINISHED)
        return bytes.len <= UPSTREAM_ANSWER_HEAD_MAX ? FAIL(END) : FAIL(TOO_LARGE);
    if (len < 0) return FAIL(BAD_FRAMING);
    answer->len = (size_t)len;
    if (answer->len > UPSTREAM_ANSWER_HEAD_MAX) return FAIL(TOO_LARGE);
    if (head->http_status < 100 || head->http_status == 101) return FAIL(BAD_FRAMING);

    struct facts facts = {.head = head, .precise_ms = -1};
    if (!read_headers(answer, &facts)) return FAIL(BAD_FRAMING);
    if (facts.precise_ms >= 0) head->retry_after_ms = facts.precise_ms;
    TRY(decide_body(&facts, &answer->body));
    bool bodiless = head->http_status < 200 || head->http_status == 204 || head->http_status == 304;
    if (method_is_head || bodiless) answer->body.framing = FRAMING_NONE;
    /* HTTP/1.0 knows no chunks: whoever sends them is not trusted with another request. */
    answer->body.reusable = answer->body.framing != FRAMING_UNTIL_CLOSE && !facts.close &&
                            (minor_version > 0 || (facts.keep_alive && !facts.chunked));
    return OK;
}

/* -1 for anything but a number: a date is read by nobody here. */
static int64_t read_wait(slice text, int64_t unit_ms)
{
    uint64_t number;
    slice whole, fraction;
    (void)slice_split(text, '.', &whole, &fraction);
    if (!status_ok(slice_to_u64(whole, &number))) return -1;
    int64_t number_max = RETRY_AFTER_S_MAX * 1000LL / unit_ms;
    return (number > (uint64_t)number_max ? number_max : (int64_t)number) * unit_ms;
}

static bool read_content_type(struct facts *facts, slice value)
{
    facts->head->content_type = value;
    return true;
}

static bool read_retry_after(struct facts *facts, slice value)
{
    facts->head->retry_after_ms = read_wait(value, 1000);
    return true;
}

static bool read_retry_after_ms(struct facts *facts, slice value)
{
    facts->precise_ms = read_wait(value, 1);
    return true;
}

/* Digits, and the same ones when there are two. */
static bool read_content_length(struct facts *facts, slice value)
{
    uint64_t length;
    if (slice_starts_with(value, SLICE("-")) || !status_ok(slice_to_u64(value, &length)))
        return false;
    bool differs = facts->has_length && facts->length != length;
    facts->has_length = true;
    facts->length = length;
    return !differs;
}

static bool read_transfer_encoding(struct facts *facts, slice value)
{
    bool repeated = facts->has_encoding;
    facts->has_encoding = true;
    facts->chunked = slice_equal_nocase(value, SLICE("chunked"));
    return !repeated && (facts->chunked || slice_equal_nocase(value, SLICE("identity")));
}

static bool read_connection(struct facts *facts, slice value)
{
    bool more;
    do {
        slice word, rest;
        more = slice_split(value, ',', &word, &rest);
        word = slice_trim(word);
        facts->close |= slice_equal_nocase(word, SLICE("close"));
        facts->keep_alive |= slice_equal_nocase(word, SLICE("keep-alive"));
        value = rest;
    } while (more);
    return true;
}

static const struct {
    slice name;
    bool (*read)(struct facts *facts, slice value); /* false: not acceptable */
} readers[] = {
    {SLICE_INIT("content-type"), read_content_type},
    {SLICE_INIT("content-length"), read_content_length},
    {SLICE_INIT("transfer-encoding"), read_transfer_encoding},
    {SLICE_INIT("connection"), read_connection},
    {SLICE_INIT("retry-after"), read_retry_after},
    {SLICE_INIT("retry-after-ms"), read_retry_after_ms},
};

static void lower_case(slice name)
{
    char *at = (char *)(uintptr_t)name.data; /* in the socket's buffer, which is ours */
    for (size_t i = 0; i < name.len; i++) {
        if (at[i] >= 'A' && at[i] <= 'Z') at[i] = (char)(at[i] | 0x20);
    }
}

static bool read_headers(struct upstream_answer *answer, struct facts *facts)
{
    for (size_t i = 0; i < answer->head.header_count; i++) {
        struct upstream_header *header = &answer->headers[i];
        if (header->name.data == NULL) return false;
        lower_case(header->name);
        header->value = slice_trim(header->value);
        for (size_t j = 0; j < sizeof(readers) / sizeof(readers[0]); j++) {
            if (!slice_equal(header->name, readers[j].name)) continue;
            if (!readers[j].read(facts, header->value)) return false;
            break;
        }
    }
    return true;
}

static status decide_body(const struct facts *facts, struct upstream_body *body)
{
    if (facts->chunked && facts->has_length) return FAIL(BAD_FRAMING);
    *body = (struct upstream_body){
        .framing = FRAMING_UNTIL_CLOSE, .left = facts->length, .chunks = {.consume_trailer = 1}};
    if (facts->chunked)
        body->framing = FRAMING_CHUNKED;
    else if (facts->has_length)
        body->framing = FRAMING_LENGTH;
    return OK;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static status take_chunks(struct upstream_body *body, h2o_iovec_t bytes, size_t *content_len,
                          size_t *surplus)
{
    *content_len = bytes.len;
    ssize_t left = phr_decode_chunked(&body->chunks, bytes.base, content_len);
    if (left == PHR_BROKEN) return FAIL(BAD_FRAMING);
    body->ended = left >= 0;
    *surplus = body->ended ? (size_t)left : 0;
    return OK;
}

status upstream_body_take(struct upstream_body *body, h2o_iovec_t bytes, slice *content)
{
    size_t len = 0, surplus = 0;
    status taken = OK;
    switch (body->framing) {
    case FRAMING_NONE:
        body->ended = true;
        surplus = bytes.len;
        break;
    case FRAMING_LENGTH:
        len = bytes.len < body->left ? bytes.len : (size_t)body->left;
        body->left -= len;
        body->ended = body->left == 0;
        surplus = bytes.len - len;
        break;
    case FRAMING_CHUNKED: taken = take_chunks(body, bytes, &len, &surplus); break;
    case FRAMING_UNTIL_CLOSE: len = bytes.len; break;
    }
    if (surplus > 0) body->reusable = false;
    *content = (slice){bytes.base, len};
    return taken;
}
