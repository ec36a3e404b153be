/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C against the vectors of RFC 3720, appendix B.4, on all of its ways. */
#include "tests/unit/test.h"

#include "shared/crc32c.h"

TEST(the_published_vectors_hold_on_both_ways)
{
    uint8_t zeros[32] = {0};
    uint8_t ones[32];
    uint8_t counting[32];
    for (size_t i = 0; i < 32; i++) {
        ones[i] = 0xff;
        counting[i] = (uint8_t)i;
    }
    const struct {
        const void *bytes;
        size_t len;
        uint32_t checksum;
    } rows[] = {
        {"123456789", 9, 0xE3069283}, {"", 0, 0}, {zeros, 32, 0x8A9136AA}, {ones, 32, 0x62A8AB43},
        {counting, 32, 0x46DD794E},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(crc32c(0, rows[i].bytes, rows[i].len), rows[i].checksum);
        assert_int_equal(crc32c_portable(0, rows[i].bytes, rows[i].len), rows[i].checksum);
    }
}

TEST(both_ways_agree_at_every_length_and_alignment)
{
    uint8_t bytes[160];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t offset = 0; offset < 16; offset++) {
        for (size_t len = 0; len <= 128; len++) {
            assert_int_equal(crc32c(0, bytes + offset, len),
                             crc32c_portable(0, bytes + offset, len));
        }
    }
}

/* From 192 bytes on the processor folds 64 bytes a step; what is left over goes the other way. */
TEST(the_folded_way_agrees_at_every_length_and_with_every_seed)
{
    uint8_t bytes[1024 + 16];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * i * 31 + i / 256 + 7);
    }
    for (size_t len = 128; len <= 1024; len++) {
        const uint8_t *at = bytes + len % 16;
        uint32_t seed = (uint32_t)len * 2654435761u;
        assert_int_equal(crc32c(0, at, len), crc32c_portable(0, at, len));
        assert_int_equal(crc32c(seed, at, len), crc32c_portable(seed, at, len));
    }
}

TEST(parts_chain_to_the_checksum_of_the_whole)
{
    const char whole[] = "123456789";
    for (size_t cut = 0; cut <= 9; cut++) {
        assert_int_equal(crc32c(crc32c(0, whole, cut), whole + cut, 9 - cut), 0xE3069283);
        assert_int_equal(crc32c_portable(crc32c_portable(0, whole, cut), whole + cut, 9 - cut),
                         0xE3069283);
    }
}

TEST(a_flipped_bit_changes_the_checksum)
{
    char text[] = "123456789";
    for (size_t bit = 0; bit < 72; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        assert_int_not_equal(crc32c(0, text, 9), 0xE3069283);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
    }
    assert_int_equal(crc32c(0, text, 9), 0xE3069283);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vectors_hold_on_both_ways),
        cmocka_unit_test(both_ways_agree_at_every_length_and_alignment),
        cmocka_unit_test(the_folded_way_agrees_at_every_length_and_with_every_seed),
        cmocka_unit_test(parts_chain_to_the_checksum_of_the_whole),
        cmocka_unit_test(a_flipped_bit_changes_the_checksum),
    };
    return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
