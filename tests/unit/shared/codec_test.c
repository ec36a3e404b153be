/* SPDX-License-Identifier: Apache-2.0 */
/* The field kinds: their bytes, what an older sender leaves out, and what no sender may say. */
#include "tests/unit/test.h"

#include "shared/ipc/codec.h"

#define assert_bytes(out, ...)                                         \
    do {                                                               \
        static const uint8_t expected_[] = {__VA_ARGS__};              \
        assert_int_equal((out).len, sizeof(expected_));                \
        assert_memory_equal((out).data, expected_, sizeof(expected_)); \
    } while (0)

static char memory[8192];

static struct buffer fresh(void)
{
    struct buffer out;
    buffer_init_fixed(&out, memory, sizeof(memory));
    return out;
}

static struct codec_reader reader_of(const void *bytes, size_t len)
{
    return (struct codec_reader){.at = bytes, .end = (const uint8_t *)bytes + len};
}

TEST(integers_travel_with_the_low_byte_first)
{
    struct buffer out = fresh();
    codec_put_u8(&out, &(uint8_t){0xab});
    codec_put_u16(&out, &(uint16_t){0x1234});
    codec_put_u32(&out, &(uint32_t){0x89abcdef});
    codec_put_i64(&out, &(int64_t){-2});
    codec_put_u64(&out, &(uint64_t){0x0102030405060708});
    assert_bytes(out, 0xab, 0x34, 0x12, 0xef, 0xcd, 0xab, 0x89, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff,
                 0xff, 0xff, 8, 7, 6, 5, 4, 3, 2, 1);
}

TEST(integers_come_back_with_their_sign)
{
    static const uint8_t bytes[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x34, 0x12};
    struct codec_reader in = reader_of(bytes, sizeof(bytes));
    int64_t number = 0;
    uint16_t small = 0;
    codec_get_i64(&in, &number);
    codec_get_u16(&in, &small);
    assert_true(number == -2);
    assert_int_equal(small, 0x1234);
    assert_false(in.bad);
    assert_ptr_equal(in.at, in.end);
}

TEST(a_field_that_an_older_sender_does_not_know_is_zero)
{
    struct codec_reader in = reader_of("\x07", 1);
    uint8_t known = 0;
    uint64_t later = 9;
    slice text = SLICE("left from before");
    struct caller caller = {.org = 4};
    codec_get_u8(&in, &known);
    codec_get_u64(&in, &later);
    codec_get_text(&in, &text, 16);
    codec_get_caller(&in, &caller);
    assert_int_equal(known, 7);
    assert_true(later == 0);
    assert_int_equal(text.len, 0);
    assert_true(caller.org == 0);
    assert_false(in.bad);
}

TEST(a_field_that_begins_and_does_not_end_is_bad)
{
    struct codec_reader in = reader_of("\x07\x00\x00", 3);
    uint32_t number = 9;
    codec_get_u32(&in, &number);
    assert_int_equal(number, 0);
    assert_true(in.bad);
}

TEST(a_text_is_its_length_and_its_bytes)
{
    struct buffer out = fresh();
    codec_put_text(&out, SLICE("abc"), 3);
    codec_put_text(&out, (slice){NULL, 0}, 3);
    assert_bytes(out, 3, 0, 'a', 'b', 'c', 0, 0);
    struct codec_reader in = reader_of(out.data, out.len);
    slice text;
    codec_get_text(&in, &text, 3);
    assert_slice(text, "abc");
    assert_ptr_equal(text.data, out.data + 2);
    codec_get_text(&in, &text, 3);
    assert_int_equal(text.len, 0);
    assert_false(in.bad);
}

TEST(a_text_is_cut_when_sent_and_refused_when_received_too_long)
{
    struct buffer out = fresh();
    codec_put_text(&out, SLICE("abcd"), 3);
    assert_bytes(out, 3, 0, 'a', 'b', 'c');
    struct codec_reader in = reader_of("\x04\0abcd", 6);
    slice text;
    codec_get_text(&in, &text, 3);
    assert_int_equal(text.len, 0);
    assert_true(in.bad);
}

TEST(a_text_longer_than_its_frame_is_bad)
{
    struct codec_reader in = reader_of("\x04\0abc", 5);
    slice text;
    codec_get_text(&in, &text, 100);
    assert_true(in.bad);
    assert_int_equal(text.len, 0);
}

TEST(a_list_holds_what_it_says_and_not_more_than_its_bound)
{
    struct buffer out = fresh();
    codec_put_u32_list(&out, &(struct u32_list){.count = 2, .items = {1, 258}});
    assert_bytes(out, 2, 1, 0, 0, 0, 2, 1, 0, 0);
    struct codec_reader in = reader_of(out.data, out.len);
    struct u32_list list;
    codec_get_u32_list(&in, &list);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[1], 258);
    assert_false(in.bad);
    in = reader_of("\x09", 1); /* one more than CANDIDATES_MAX */
    codec_get_u32_list(&in, &list);
    assert_true(in.bad);
    assert_int_equal(list.count, 0);
    struct u64_list holds;
    in = reader_of("\x81", 1); /* 129: one more than CODEC_LIST_MAX */
    codec_get_u64_list(&in, &holds);
    assert_true(in.bad);
    assert_int_equal(holds.count, 0);
}

TEST(shares_of_meters_are_read_where_they_stand)
{
    const struct meter_share shares[2] = {{.meter = 7, .period = -1, .leased = {500}},
                                          {.meter = (int64_t)1 << 60, .period = 20777}};
    uint8_t bytes[2 * METER_SHARE_SIZE];
    assert_ptr_equal(meter_share_write(meter_share_write(bytes, &shares[0]), &shares[1]),
                     bytes + sizeof(bytes));
    uint8_t wire[1 + sizeof(bytes)];
    struct meter_shares list = {.bytes = {(const char *)bytes, sizeof(bytes)}};
    assert_ptr_equal(codec_write_meter_shares(wire, &list), wire + sizeof(wire));
    struct codec_reader in = reader_of((const char *)wire, sizeof(wire));
    codec_get_meter_shares(&in, &list);
    assert_false(in.bad);
    struct meter_share share;
    for (size_t i = 0; i < 2; i++) {
        assert_true(meter_share_next(&list.bytes, &share));
        assert_int_equal(share.meter, shares[i].meter);
        assert_int_equal(share.period, shares[i].period);
        assert_int_equal(share.leased.nano, shares[i].leased.nano);
    }
    assert_false(meter_share_next(&list.bytes, &share));
    in = reader_of((const char *)wire, sizeof(wire) - 1); /* cut */
    codec_get_meter_shares(&in, &list);
    assert_true(in.bad);
    assert_int_equal(list.bytes.len, 0);
    in = reader_of("\x11", 1); /* one more than METERS_MAX */
    codec_get_meter_shares(&in, &list);
    assert_true(in.bad);
    in = reader_of("", 0); /* an older record */
    codec_get_meter_shares(&in, &list);
    assert_false(in.bad);
    assert_int_equal(list.bytes.len, 0);
}

TEST(a_price_below_zero_is_bad)
{
    struct buffer out = fresh();
    price value = {-1};
    codec_put_price(&out, &value);
    struct codec_reader in = reader_of(out.data, out.len);
    codec_get_price(&in, &value);
    assert_true(in.bad);
    money debt = {-1};
    in = reader_of(out.data, out.len);
    codec_get_money(&in, &debt);
    assert_false(in.bad);
    assert_true(debt.nano == -1);
}

TEST(units_are_cut_when_sent_and_refused_when_received_too_many)
{
    struct buffer out = fresh();
    struct usage_vector usage = {
        .units = {[BILLING_prompt] = UINT32_MAX, [BILLING_web_search] = 3}};
    codec_put_usage(&out, &usage);
    assert_int_equal(out.len, 48); /* 12 classes of 4 bytes */
    struct codec_reader in = reader_of(out.data, out.len);
    codec_get_usage(&in, &usage);
    assert_false(in.bad);
    assert_int_equal(usage.units[BILLING_prompt], 0x7fffffff);
    assert_int_equal(usage.units[BILLING_web_search], 3);
    out.data[3] = (char)0x80; /* 2^31 and more */
    in = reader_of(out.data, out.len);
    codec_get_usage(&in, &usage);
    assert_true(in.bad);
}

TEST(a_caller_of_an_unknown_kind_is_bad)
{
    struct caller caller = {.org = 1,
                            .workspace = 2,
                            .member = 3,
                            .key = 4,
                            .version = 5,
                            .expires_ns = 6,
                            .kind = CALLER_MANAGEMENT};
    struct buffer out = fresh();
    codec_put_caller(&out, &caller);
    assert_int_equal(out.len, 49);
    struct caller back = {0};
    struct codec_reader in = reader_of(out.data, out.len);
    codec_get_caller(&in, &back);
    assert_false(in.bad);
    assert_true(back.org == 1 && back.workspace == 2 && back.member == 3 && back.key == 4);
    assert_true(back.version == 5 && back.expires_ns == 6);
    assert_int_equal(back.kind, CALLER_MANAGEMENT);
    out.data[48] = 3;
    in = reader_of(out.data, out.len);
    codec_get_caller(&in, &back);
    assert_true(in.bad);
}

static slice run_of(char c, size_t len)
{
    static char bytes[1024];
    memset(bytes, c, len);
    return (slice){bytes, len};
}

TEST(facts_are_cut_to_their_bounds_when_sent)
{
    slice longest = run_of('x', 1000);
    struct generation_facts facts = {.native_finish = longest,
                                     .upstream_id = longest,
                                     .referer = longest,
                                     .title = longest,
                                     .user_agent = longest,
                                     .session = longest,
                                     .attempt_count = 200};
    facts.attempts[7].latency_ms = 77;
    struct buffer out = fresh();
    codec_put_facts(&out, &facts);
    /* 38 bytes without texts and attempts, texts of 32 + 96 + 192 + 64 + 128 + 128, 8 attempts of
     * 15 bytes */
    assert_int_equal(out.len, 38 + 640 + 120);
    struct generation_facts back;
    struct codec_reader in = reader_of(out.data, out.len);
    codec_get_facts(&in, &back);
    assert_false(in.bad);
    assert_ptr_equal(in.at, in.end);
    assert_int_equal(back.native_finish.len, 32);
    assert_int_equal(back.upstream_id.len, 96);
    assert_int_equal(back.referer.len, 192);
    assert_int_equal(back.title.len, 64);
    assert_int_equal(back.user_agent.len, 128);
    assert_int_equal(back.session.len, 128);
    assert_int_equal(back.attempt_count, 8);
    assert_int_equal(back.attempts[7].latency_ms, 77);
}

TEST(facts_with_too_many_attempts_are_bad)
{
    struct buffer out = fresh();
    codec_put_facts(&out, &(struct generation_facts){0});
    assert_int_equal(out.len, 38);
    out.data[37] = 9;
    struct generation_facts back;
    struct codec_reader in = reader_of(out.data, out.len);
    codec_get_facts(&in, &back);
    assert_true(in.bad);
    assert_int_equal(back.attempt_count, 0);
}

TEST(a_price_row_has_one_to_four_tiers)
{
    struct price_row row = {.id = 9, .tier_count = 2};
    row.tiers[1].above_prompt_tokens = 200000;
    row.tiers[1].prices[BILLING_completion].nano_per_million = 15000000000000;
    struct buffer out = fresh();
    codec_put_price_row(&out, &row);
    assert_int_equal(out.len, 5 + 2 * (4 + 12 * 8));
    struct price_row back;
    struct codec_reader in = reader_of(out.data, out.len);
    codec_get_price_row(&in, &back);
    assert_false(in.bad);
    assert_int_equal(back.id, 9);
    assert_int_equal(back.tiers[1].above_prompt_tokens, 200000);
    assert_true(back.tiers[1].prices[BILLING_completion].nano_per_million == 15000000000000);
    static const uint8_t wrong_counts[] = {0, 5, 255};
    for (size_t i = 0; i < sizeof(wrong_counts); i++) {
        out.data[4] = (char)wrong_counts[i];
        in = reader_of(out.data, out.len);
        codec_get_price_row(&in, &back);
        assert_true(in.bad);
        assert_int_equal(back.tier_count, 0);
    }
}

TEST(hashes_and_ids_are_their_bytes)
{
    struct key_hash hash;
    struct generation_id id;
    memset(hash.bytes, 0x11, sizeof(hash.bytes));
    memset(id.bytes, 0x22, sizeof(id.bytes));
    struct buffer out = fresh();
    codec_put_key_hash(&out, &hash);
    codec_put_generation_id(&out, &id);
    assert_int_equal(out.len, 48);
    struct key_hash hash_back = {0};
    struct generation_id id_back = {0};
    struct codec_reader in = reader_of(out.data, out.len);
    codec_get_key_hash(&in, &hash_back);
    codec_get_generation_id(&in, &id_back);
    assert_memory_equal(&hash_back, &hash, sizeof(hash));
    assert_memory_equal(&id_back, &id, sizeof(id));
    in = reader_of(out.data, 31);
    codec_get_key_hash(&in, &hash_back);
    assert_true(in.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_travel_with_the_low_byte_first),
        cmocka_unit_test(shares_of_meters_are_read_where_they_stand),
        cmocka_unit_test(integers_come_back_with_their_sign),
        cmocka_unit_test(a_field_that_an_older_sender_does_not_know_is_zero),
        cmocka_unit_test(a_field_that_begins_and_does_not_end_is_bad),
        cmocka_unit_test(a_text_is_its_length_and_its_bytes),
        cmocka_unit_test(a_text_is_cut_when_sent_and_refused_when_received_too_long),
        cmocka_unit_test(a_text_longer_than_its_frame_is_bad),
        cmocka_unit_test(a_list_holds_what_it_says_and_not_more_than_its_bound),
        cmocka_unit_test(a_price_below_zero_is_bad),
        cmocka_unit_test(units_are_cut_when_sent_and_refused_when_received_too_many),
        cmocka_unit_test(a_caller_of_an_unknown_kind_is_bad),
        cmocka_unit_test(facts_are_cut_to_their_bounds_when_sent),
        cmocka_unit_test(facts_with_too_many_attempts_are_bad),
        cmocka_unit_test(a_price_row_has_one_to_four_tiers),
        cmocka_unit_test(hashes_and_ids_are_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
