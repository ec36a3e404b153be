/* SPDX-License-Identifier: Apache-2.0 */
/* A sealed key opens in its own place only, with its own master key only, and unchanged only. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <unistd.h>

#include "services/catalog/vault.h"
#include "tests/unit/catalog/support.h"

static struct scratch scratch;
static struct vault *vault;

static const struct vault_place place = {.org = 0, .provider = {"openai", 6}, .version = 2};
#define KEY SLICE("sk-test-0123456789abcdefghijklmnop")

static void write_file(const char *path, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(close(fd), 0);
}

static struct vault *vault_with(const char *master, size_t len)
{
    struct vault *opened = NULL;
    const char *path = scratch_path(&scratch, "master.key");
    write_file(path, master, len);
    assert_ok(vault_open_file(path, &opened));
    return opened;
}

static int set_up(void **state)
{
    (void)state;
    assert_ok(secret_init());
    scratch_make(&scratch);
    vault = vault_with("0123456789abcdef0123456789abcdef", 32);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vault_free(&vault);
    scratch_remove(&scratch);
    return 0;
}

static slice seal(char memory[VAULT_SEALED_MAX])
{
    struct buffer sealed;
    buffer_init_fixed(&sealed, memory, VAULT_SEALED_MAX);
    assert_ok(vault_seal(vault, place, KEY, &sealed));
    return buffer_slice(&sealed);
}

TEST(a_sealed_key_opens_in_its_place)
{
    char memory[VAULT_SEALED_MAX];
    slice sealed = seal(memory);
    assert_int_equal(sealed.len, 24 + KEY.len + 16);
    struct secret key;
    assert_ok(vault_unseal(vault, place, sealed, &key));
    assert_slice(secret_slice(&key), "sk-test-0123456789abcdefghijklmnop");
    secret_free(&key);
}

TEST(the_sealed_bytes_do_not_hold_the_key)
{
    char memory[VAULT_SEALED_MAX];
    slice sealed = seal(memory);
    assert_null(memmem(sealed.data, sealed.len, "sk-test", 7));
}

TEST(two_seals_of_one_key_differ)
{
    char one[VAULT_SEALED_MAX];
    char other[VAULT_SEALED_MAX];
    slice first = seal(one);
    slice second = seal(other);
    assert_false(slice_equal(first, second));
}

TEST(a_key_does_not_open_in_another_place)
{
    char memory[VAULT_SEALED_MAX];
    slice sealed = seal(memory);
    struct secret key;
    struct vault_place other = place;
    other.version = 3;
    assert_fails(vault_unseal(vault, other, sealed, &key), CRYPTO);
    other = place;
    other.provider = SLICE("openrouter");
    assert_fails(vault_unseal(vault, other, sealed, &key), CRYPTO);
    other = place;
    other.org = 7;
    assert_fails(vault_unseal(vault, other, sealed, &key), CRYPTO);
}

TEST(a_changed_byte_anywhere_is_noticed)
{
    char memory[VAULT_SEALED_MAX];
    slice sealed = seal(memory);
    struct secret key;
    for (size_t i = 0; i < sealed.len; i++) {
        memory[i] = (char)(memory[i] ^ 1);
        assert_fails(vault_unseal(vault, place, sealed, &key), CRYPTO);
        memory[i] = (char)(memory[i] ^ 1);
    }
    for (size_t len = 0; len < sealed.len; len++)
        assert_fails(vault_unseal(vault, place, slice_first(sealed, len), &key), CRYPTO);
}

TEST(another_master_key_opens_nothing)
{
    char memory[VAULT_SEALED_MAX];
    slice sealed = seal(memory);
    struct vault *other = vault_with("fedcba9876543210fedcba9876543210", 32);
    struct secret key;
    assert_fails(vault_unseal(other, place, sealed, &key), CRYPTO);
    vault_free(&other);
}

TEST(a_master_key_of_another_length_is_refused)
{
    struct vault *opened = NULL;
    const char *path = scratch_path(&scratch, "short.key");
    write_file(path, "0123456789abcdef0123456789abcde", 31);
    assert_fails(vault_open_file(path, &opened), CRYPTO);
    assert_fails(vault_open_file(scratch_path(&scratch, "missing.key"), &opened), IO);
    assert_null(opened);
}

TEST(keys_that_are_empty_or_too_long_are_not_sealed)
{
    static char memory[2 * VAULT_SEALED_MAX];
    static const char long_key[VAULT_KEY_MAX + 1] = {'k'};
    struct buffer sealed;
    buffer_init_fixed(&sealed, memory, sizeof(memory));
    assert_fails(vault_seal(vault, place, SLICE_NONE, &sealed), TOO_LARGE);
    assert_fails(vault_seal(vault, place, (slice){long_key, sizeof(long_key)}, &sealed), TOO_LARGE);
    assert_ok(vault_seal(vault, place, (slice){long_key, VAULT_KEY_MAX}, &sealed));
}

TEST(a_label_shows_ten_characters_of_a_long_key_and_none_of_a_short_one)
{
    char memory[32];
    struct buffer label;
    buffer_init_fixed(&label, memory, sizeof(memory));
    vault_append_label(&label, KEY);
    assert_slice(buffer_slice(&label), "sk-tes\xE2\x80\xA6mnop");
    buffer_clear(&label);
    vault_append_label(&label, SLICE("12345678901234567890123"));
    assert_slice(buffer_slice(&label), "\xE2\x80\xA6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_key_opens_in_its_place),
        cmocka_unit_test(the_sealed_bytes_do_not_hold_the_key),
        cmocka_unit_test(two_seals_of_one_key_differ),
        cmocka_unit_test(a_key_does_not_open_in_another_place),
        cmocka_unit_test(a_changed_byte_anywhere_is_noticed),
        cmocka_unit_test(another_master_key_opens_nothing),
        cmocka_unit_test(a_master_key_of_another_length_is_refused),
        cmocka_unit_test(keys_that_are_empty_or_too_long_are_not_sealed),
        cmocka_unit_test(a_label_shows_ten_characters_of_a_long_key_and_none_of_a_short_one),
    };
    return cmocka_run_group_tests_name("vault", tests, set_up, tear_down);
}
