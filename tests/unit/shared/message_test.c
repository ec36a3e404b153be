/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and messages: the bytes of a head, cutting a stream into frames, fields that are missing
 * or new. */
#include "tests/unit/test.h"

#include "shared/ipc/message.h"

static char memory[FRAME_SIZE_MAX * 2];

static struct buffer fresh(void)
{
    struct buffer out;
    buffer_init_fixed(&out, memory, sizeof(memory));
    return out;
}

TEST(a_frame_is_a_head_of_16_bytes_and_its_fields)
{
    struct buffer out = fresh();
    struct message_settled m = {.n = 1, .charge = {262650}};
    message_encode_settled(&out, 0x0102030405060708, &m);
    static const uint8_t expected[] = {
        16,   0,    0, 0,             /* bytes after the head: two fields of 8 */
        32,   0,                      /* the number of SETTLED */
        0,    0,                      /* flags */
        8,    7,    6, 5, 4, 3, 2, 1, /* request id */
        1,    0,    0, 0, 0, 0, 0, 0, /* n */
        0xfa, 0x01, 4, 0, 0, 0, 0, 0, /* 262650 = 0x0401fa */
    };
    assert_int_equal(out.len, sizeof(expected));
    assert_memory_equal(out.data, expected, sizeof(expected));
}

TEST(a_stream_is_cut_into_its_frames_wherever_it_was_torn)
{
    struct buffer out = fresh();
    message_encode_key_open(&out, 7, &(struct message_key_open){.provider = 3});
    message_encode_market_begin(&out, 0, &(struct message_market_begin){.revision = 9});
    struct frame frame;
    size_t taken = 0;
    for (size_t len = 0; len < 20; len++) /* a head of 16 and a field of 4 */
        assert_fails(frame_next((slice){out.data, len}, &frame, &taken), END);
    assert_ok(frame_next(buffer_slice(&out), &frame, &taken));
    assert_int_equal(taken, 20);
    assert_int_equal(frame.type, MESSAGE_key_open);
    assert_true(frame.request == 7);
    struct message_key_open question;
    assert_ok(message_decode_key_open(frame.body, &question));
    assert_int_equal(question.provider, 3);
    assert_ok(frame_next(slice_from(buffer_slice(&out), 20), &frame, &taken));
    assert_int_equal(frame.type, MESSAGE_market_begin);
    assert_int_equal(taken, 24);
}

TEST(a_frame_may_be_as_long_as_the_bound_and_no_longer)
{
    struct frame frame;
    size_t taken = 0;
    memset(memory, 0, sizeof(memory));
    memory[0] = (char)0xf0; /* 0xfff0 = 65536 - 16 */
    memory[1] = (char)0xff;
    assert_ok(frame_next((slice){memory, FRAME_SIZE_MAX}, &frame, &taken));
    assert_int_equal(taken, FRAME_SIZE_MAX);
    assert_fails(frame_next((slice){memory, FRAME_SIZE_MAX - 1}, &frame, &taken), END);
    memory[0] = (char)0xf1;
    assert_fails(frame_next((slice){memory, FRAME_HEAD_SIZE}, &frame, &taken), MALFORMED);
    memset(memory, 0xff, 4);
    assert_fails(frame_next((slice){memory, FRAME_HEAD_SIZE}, &frame, &taken), MALFORMED);
}

TEST(unknown_flags_are_ignored)
{
    struct buffer out = fresh();
    message_encode_key_open(&out, 7, &(struct message_key_open){.provider = 3});
    out.data[6] = (char)0xff;
    struct frame frame;
    size_t taken = 0;
    assert_ok(frame_next(buffer_slice(&out), &frame, &taken));
    assert_int_equal(frame.flags, 0xff);
    assert_int_equal(frame.type, MESSAGE_key_open);
}

TEST(fields_of_a_newer_version_are_missing_in_an_older_frame_and_skipped_in_a_newer_one)
{
    struct message_hold hold = {.caller_version = 5, .fixed = {100}, .byok = 1};
    hold.price_ids = (struct u32_list){.count = 1, .items = {4}};
    struct buffer out = fresh();
    message_encode_hold(&out, 1, &hold);
    slice body = slice_from(buffer_slice(&out), FRAME_HEAD_SIZE);
    struct message_hold back;
    assert_ok(message_decode_hold(body, &back));
    assert_int_equal(back.price_ids.items[0], 4);
    /* As if price_ids (1 + 4 bytes), model_class (1), input_tokens (4), client (8) and choices (4)
     * had not been invented. */
    assert_ok(message_decode_hold(slice_first(body, body.len - 22), &back));
    assert_int_equal(back.price_ids.count, 0);
    assert_true(back.fixed.nano == 100);
    assert_int_equal(back.byok, 1);
    /* As if something followed. */
    buffer_append(&out, SLICE("of a later version"));
    assert_ok(message_decode_hold(slice_from(buffer_slice(&out), FRAME_HEAD_SIZE), &back));
    assert_int_equal(back.price_ids.items[0], 4);
    /* Torn inside a field. */
    assert_fails(message_decode_hold(slice_first(body, body.len - 1), &back), MALFORMED);
}

TEST(a_settlement_comes_back_as_it_was_sent)
{
    struct message_settle m = {.n = 3, .hold = 4, .price_id = 5, .charge = {262650}};
    m.generation.bytes[15] = 0x5a;
    m.usage.units[BILLING_prompt] = 19;
    m.usage.units[BILLING_completion] = 10;
    m.facts = (struct generation_facts){
        .model = 1,
        .endpoint = 2,
        .provider = 3,
        .flags = FACT_STREAMED | FACT_SIMULATED,
        .finish = FINISH_STOP,
        .first_byte_ms = 120,
        .total_ms = 900,
        .native_finish = SLICE("stop"),
        .upstream_id = SLICE("chatcmpl-1"),
        .referer = SLICE("https://example.com"),
        .title = SLICE("App"),
        .user_agent = SLICE("curl/8"),
        .session = SLICE("s-1"),
        .attempt_count = 1,
        .attempts = {{.endpoint = 2, .provider = 3, .http_status = 200, .latency_ms = 120}},
    };
    struct buffer out = fresh();
    message_encode_settle(&out, 0, &m);
    struct message_settle back;
    memset(&back, 0xff, sizeof(back));
    assert_ok(message_decode_settle(slice_from(buffer_slice(&out), FRAME_HEAD_SIZE), &back));
    assert_true(back.n == 3 && back.hold == 4 && back.charge.nano == 262650);
    assert_int_equal(back.price_id, 5);
    assert_int_equal(back.generation.bytes[15], 0x5a);
    assert_int_equal(back.usage.units[BILLING_prompt], 19);
    assert_int_equal(back.usage.units[BILLING_completion], 10);
    assert_int_equal(back.facts.flags, FACT_STREAMED | FACT_SIMULATED);
    assert_int_equal(back.facts.finish, FINISH_STOP);
    assert_int_equal(back.facts.total_ms, 900);
    assert_slice(back.facts.native_finish, "stop");
    assert_slice(back.facts.upstream_id, "chatcmpl-1");
    assert_slice(back.facts.referer, "https://example.com");
    assert_slice(back.facts.title, "App");
    assert_slice(back.facts.user_agent, "curl/8");
    assert_slice(back.facts.session, "s-1");
    assert_int_equal(back.facts.attempts[0].http_status, 200);
    assert_int_equal(back.facts.attempts[0].latency_ms, 120);
}

/* Every message of the list: an empty body is the oldest version there can be, and what is encoded
 * can be decoded. */
TEST(every_message_reads_an_empty_body_as_zeros_and_its_own_frame)
{
    struct buffer out;
    struct frame frame;
    size_t taken = 0;
#define MESSAGE(name, number, since)                                                 \
    {                                                                                \
        struct message_##name m;                                                     \
        memset(&m, 0xff, sizeof(m));                                                 \
        status empty = message_decode_##name(SLICE_NONE, &m);                        \
        if (number == MESSAGE_market_price) {                                        \
            assert_fails(empty, MALFORMED); /* a price row without a tier is none */ \
        } else {                                                                     \
            assert_ok(empty);                                                        \
            out = fresh();                                                           \
            message_encode_##name(&out, 5, &m);                                      \
            assert_ok(frame_next(buffer_slice(&out), &frame, &taken));               \
            assert_int_equal(taken, out.len);                                        \
            assert_int_equal(frame.type, number);                                    \
            assert_ok(message_decode_##name(frame.body, &m));                        \
        }                                                                            \
        assert_string_equal(message_name(number), #name);                            \
    }
#define FIELD(kind, name)
#define TEXT(name, max)
#define END(name)
#include "shared/ipc/messages.def"
#undef MESSAGE
#undef FIELD
#undef TEXT
#undef END
    assert_string_equal(message_name(0), "unknown");
    assert_string_equal(message_name(65535), "unknown");
}

TEST(a_frame_that_does_not_fit_is_taken_back_whole)
{
    char room[50];
    struct buffer out;
    buffer_init_fixed(&out, room, sizeof(room));
    message_encode_key_open(&out, 1, &(struct message_key_open){.provider = 1});
    assert_int_equal(out.len, 20);
    message_encode_settled(&out, 2, &(struct message_settled){.n = 1}); /* 32 bytes, 30 are left */
    assert_int_equal(out.len, 20);
    assert_true(out.overflowed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_a_head_of_16_bytes_and_its_fields),
        cmocka_unit_test(a_stream_is_cut_into_its_frames_wherever_it_was_torn),
        cmocka_unit_test(a_frame_may_be_as_long_as_the_bound_and_no_longer),
        cmocka_unit_test(unknown_flags_are_ignored),
        cmocka_unit_test(
            fields_of_a_newer_version_are_missing_in_an_older_frame_and_skipped_in_a_newer_one),
        cmocka_unit_test(a_settlement_comes_back_as_it_was_sent),
        cmocka_unit_test(every_message_reads_an_empty_body_as_zeros_and_its_own_frame),
        cmocka_unit_test(a_frame_that_does_not_fit_is_taken_back_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
