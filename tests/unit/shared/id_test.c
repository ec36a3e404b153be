/* SPDX-License-Identifier: Apache-2.0 */
/* Ids and keys. The block cipher is checked by the example of FIPS 197, appendix C.1; base32 text,
 * key checksums and hashes were worked out with a second implementation in another language. */
#include "tests/unit/test.h"

#include "shared/id.h"

static const uint8_t example_key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const struct generation_place example_place = {
    .day = 0x0011, .cell = 0x2233, .incarnation = 0x44556677, .hold = 0x8899aabbccddeeff};
static const struct generation_id example_id = {{0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30,
                                                 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a}};
static const char example_text[] = "gen-39rkgdgtkv0grdhkdqg1rb9hat";

/* The keys whose random number is 0 and 2^256 - 1. */
static const char lowest_key[] = "sk-bourse-v1-00000000000000000000000000000000000000000003c6hub";
static const char highest_key[] = "sk-bourse-v1-yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp10pCIHp";

TEST(a_generation_id_is_one_aes_block_of_its_place)
{
    SCOPED(generation_cipher_free) struct generation_cipher *cipher = NULL;
    assert_ok(generation_cipher_new(example_key, &cipher));
    struct generation_id id = generation_id_seal(cipher, example_place);
    assert_memory_equal(id.bytes, example_id.bytes, 16);
}

TEST(a_place_is_read_back_from_its_id)
{
    SCOPED(generation_cipher_free) struct generation_cipher *cipher = NULL;
    assert_ok(generation_cipher_new(example_key, &cipher));
    for (uint64_t hold = 1; hold < 1000; hold++) {
        struct generation_place place = {20777, 4095, 7, hold};
        struct generation_place back =
            generation_id_open(cipher, generation_id_seal(cipher, place));
        assert_int_equal(back.day, 20777);
        assert_int_equal(back.cell, 4095);
        assert_int_equal(back.incarnation, 7);
        assert_int_equal(back.hold, hold);
    }
    assert_int_equal(generation_id_open(cipher, example_id).hold, 0x8899aabbccddeeff);
}

TEST(another_key_reads_another_place)
{
    const uint8_t other_key[16] = {1};
    SCOPED(generation_cipher_free) struct generation_cipher *cipher = NULL;
    assert_ok(generation_cipher_new(other_key, &cipher));
    assert_true(generation_id_open(cipher, example_id).hold != example_place.hold);
}

static void assert_text(struct generation_id id, const char *text)
{
    char memory[GENERATION_ID_TEXT_SIZE];
    struct buffer out;
    buffer_init_fixed(&out, memory, sizeof(memory));
    generation_id_append(&out, id);
    assert_ok(buffer_finish(&out));
    assert_slice(buffer_slice(&out), text);
    struct generation_id back;
    assert_ok(generation_id_parse(slice_of(text), &back));
    assert_memory_equal(back.bytes, id.bytes, 16);
}

TEST(an_id_is_written_in_base32_and_read_back)
{
    struct generation_id id = {{0}};
    assert_text(example_id, example_text);
    assert_text(id, "gen-00000000000000000000000000");
    id.bytes[15] = 31;
    assert_text(id, "gen-0000000000000000000000000z");
    id.bytes[15] = 32;
    assert_text(id, "gen-00000000000000000000000010");
    memset(id.bytes, 0xff, 16);
    assert_text(id, "gen-7zzzzzzzzzzzzzzzzzzzzzzzzz");
}

TEST(text_that_is_no_generation_id_is_refused)
{
    const char *const texts[] = {
        "",
        "gen-",
        "gen-39rkgdgtkv0grdhkdqg1rb9ha",   /* a digit short */
        "gen-39rkgdgtkv0grdhkdqg1rb9hatt", /* a digit long */
        "gen_39rkgdgtkv0grdhkdqg1rb9hat",
        "GEN-39rkgdgtkv0grdhkdqg1rb9hat",
        "gen-39RKGDGTKV0GRDHKDQG1RB9HAT", /* one text per id: no capitals */
        "gen-39rkgdgtkv0grdhkdqg1rb9hai", /* letters that are no digits */
        "gen-39rkgdgtkv0grdhkdqg1rb9hal",
        "gen-39rkgdgtkv0grdhkdqg1rb9hao",
        "gen-39rkgdgtkv0grdhkdqg1rb9hau",
        "gen-80000000000000000000000000", /* more than 128 bits */
        "gen-39rkgdgtkv0grdhkdqg1rb9ha ",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct generation_id id;
        assert_fails(generation_id_parse(slice_of(texts[i]), &id), MALFORMED);
    }
    struct generation_id id;
    assert_fails(generation_id_parse(SLICE("gen-39rkgdgtkv0grdhkdqg1rb9ha\0"), &id), MALFORMED);
}

TEST(random_ids_have_their_prefix_and_differ)
{
    char memory[2][64];
    for (int i = 0; i < 2; i++) {
        struct buffer out;
        buffer_init_fixed(&out, memory[i], 24);
        id_append_random(&out, SLICE("org-"));
        assert_ok(buffer_finish(&out));
        assert_int_equal(out.len, 24);
        assert_memory_equal(memory[i], "org-", 4);
        for (size_t j = 4; j < 24; j++) {
            assert_non_null(strchr("0123456789abcdefghjkmnpqrstvwxyz", memory[i][j]));
        }
    }
    assert_memory_not_equal(memory[0], memory[1], 24);
}

TEST(a_generated_key_passes_its_own_checksum)
{
    for (int i = 0; i < 100; i++) {
        SCOPED(secret_free) struct secret key = {0};
        key_generate(&key);
        assert_int_equal(key.len, KEY_TEXT_LEN);
        assert_true(slice_starts_with(secret_slice(&key), SLICE(KEY_PREFIX)));
        assert_true(key_checksum_ok(secret_slice(&key)));
    }
}

TEST(two_keys_differ)
{
    SCOPED(secret_free) struct secret a = {0};
    SCOPED(secret_free) struct secret b = {0};
    key_generate(&a);
    key_generate(&b);
    assert_false(secret_equal(secret_slice(&a), secret_slice(&b)));
}

TEST(the_checksum_of_known_keys_holds)
{
    assert_true(key_checksum_ok(slice_of(lowest_key)));
    assert_true(key_checksum_ok(slice_of(highest_key)));
}

TEST(a_typing_error_anywhere_fails_the_checksum)
{
    for (size_t i = 0; i < KEY_TEXT_LEN; i++) {
        char text[KEY_TEXT_LEN + 1];
        memcpy(text, highest_key, sizeof(text));
        text[i] = text[i] == 'x' ? 'y' : 'x';
        assert_false(key_checksum_ok(slice_of(text)));
    }
    /* Two neighbours in the wrong order, where they differ. */
    for (size_t i = 0; i + 1 < KEY_TEXT_LEN; i++) {
        char text[KEY_TEXT_LEN + 1];
        memcpy(text, highest_key, sizeof(text));
        text[i] = highest_key[i + 1];
        text[i + 1] = highest_key[i];
        assert_true(text[i] == text[i + 1] || !key_checksum_ok(slice_of(text)));
    }
}

TEST(text_of_another_shape_is_no_key)
{
    assert_false(key_checksum_ok(SLICE("")));
    assert_false(key_checksum_ok(SLICE("sk-or-v1-0123456789abcdef")));
    assert_false(key_checksum_ok(slice_first(slice_of(highest_key), KEY_TEXT_LEN - 1)));
    char longer[KEY_TEXT_LEN + 2] = {0};
    memcpy(longer, highest_key, KEY_TEXT_LEN);
    longer[KEY_TEXT_LEN] = '0';
    assert_false(key_checksum_ok(slice_of(longer)));
}

TEST(a_key_is_hashed_by_blake2b_and_then_under_the_pepper)
{
    struct key_hash hash = key_hash_outer(SLICE("abc")); /* a published vector of BLAKE2b-256 */
    uint8_t expected[32];
    assert_ok(slice_from_hex(
        SLICE("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"), expected, 32));
    assert_memory_equal(hash.bytes, expected, 32);

    SCOPED(secret_free) struct secret pepper = secret_new(32);
    for (size_t i = 0; i < 32; i++) {
        pepper.bytes[i] = (uint8_t)i;
    }
    struct key_hash outer = key_hash_outer(slice_of(lowest_key));
    assert_ok(slice_from_hex(
        SLICE("a60714b794b88b81d734f22c2ccb186b4fe9dd87a03bbd78178c932ea385bef9"), expected, 32));
    assert_memory_equal(outer.bytes, expected, 32);
    struct key_hash stored = key_hash_stored(&pepper, outer);
    assert_ok(slice_from_hex(
        SLICE("a162794ee8dc666e1364b99a5ef0a8447a3c3184ad8db53a4182e40f9315bbc4"), expected, 32));
    assert_memory_equal(stored.bytes, expected, 32);
    pepper.bytes[0] = 99;
    assert_memory_not_equal(key_hash_stored(&pepper, outer).bytes, expected, 32);
}

TEST(a_label_shows_both_ends_of_a_key_only)
{
    char memory[64];
    struct buffer out;
    buffer_init_fixed(&out, memory, sizeof(memory));
    key_append_label(&out, slice_of(highest_key));
    assert_slice(buffer_slice(&out), "sk-bourse-v1-yhj…CIHp");
    buffer_clear(&out);
    key_append_label(&out, SLICE("short"));
    assert_slice(buffer_slice(&out), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_generation_id_is_one_aes_block_of_its_place),
        cmocka_unit_test(a_place_is_read_back_from_its_id),
        cmocka_unit_test(another_key_reads_another_place),
        cmocka_unit_test(an_id_is_written_in_base32_and_read_back),
        cmocka_unit_test(text_that_is_no_generation_id_is_refused),
        cmocka_unit_test(random_ids_have_their_prefix_and_differ),
        cmocka_unit_test(a_generated_key_passes_its_own_checksum),
        cmocka_unit_test(two_keys_differ),
        cmocka_unit_test(the_checksum_of_known_keys_holds),
        cmocka_unit_test(a_typing_error_anywhere_fails_the_checksum),
        cmocka_unit_test(text_of_another_shape_is_no_key),
        cmocka_unit_test(a_key_is_hashed_by_blake2b_and_then_under_the_pepper),
        cmocka_unit_test(a_label_shows_both_ends_of_a_key_only),
    };
    return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
