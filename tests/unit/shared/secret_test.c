/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets: copies, files, comparison, and a process that leaves no core; random numbers beside
 * them. */
#include "tests/unit/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/random.h"
#include "shared/secret.h"
#include "tests/unit/shared/capture.h"

static char path[] = "/tmp/bourse-secret-XXXXXX";

static void write_file(const char *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

TEST(a_copy_is_apart_from_its_source)
{
    char source[] = "pepper";
    SCOPED(secret_free) struct secret secret = secret_copy(slice_of(source));
    source[0] = 'x';
    assert_slice(secret_slice(&secret), "pepper");
}

TEST(a_freed_secret_is_empty_and_may_be_freed_again)
{
    struct secret secret = secret_copy(SLICE("pepper"));
    secret_free(&secret);
    assert_null(secret.bytes);
    assert_slice(secret_slice(&secret), "");
    secret_free(&secret);
}

TEST(a_text_file_loses_one_newline_and_a_binary_file_none)
{
    SCOPED(secret_free) struct secret text = {0};
    SCOPED(secret_free) struct secret binary = {0};
    write_file("pepper\n\n", 8);
    assert_ok(secret_read_file(path, 100, true, &text));
    assert_slice(secret_slice(&text), "pepper\n");
    assert_ok(secret_read_file(path, 100, false, &binary));
    assert_slice(secret_slice(&binary), "pepper\n\n");
}

TEST(a_file_may_have_its_greatest_size_and_not_one_byte_more)
{
    SCOPED(secret_free) struct secret secret = {0};
    write_file("12345678", 8);
    assert_ok(secret_read_file(path, 8, false, &secret));
    assert_int_equal(secret.len, 8);
    struct secret refused = {0};
    assert_fails(secret_read_file(path, 7, false, &refused), TOO_LARGE);
    assert_null(refused.bytes);
}

TEST(a_file_that_is_not_there_is_an_error_of_its_own)
{
    struct secret secret = {0};
    assert_fails(secret_read_file("/nonexistent/pepper", 8, false, &secret), IO);
    assert_fails(secret_read_file("/tmp", 8, false, &secret), IO);
    assert_null(secret.bytes);
}

TEST(comparison_is_of_length_and_bytes)
{
    assert_true(secret_equal(SLICE("abc"), SLICE("abc")));
    assert_false(secret_equal(SLICE("abc"), SLICE("abd")));
    assert_false(secret_equal(SLICE("abc"), SLICE("ab")));
    assert_true(secret_equal(SLICE_NONE, (slice){NULL, 0}));
}

static void print_protection(void *argument)
{
    (void)argument;
    struct rlimit limit;
    status started = secret_init();
    getrlimit(RLIMIT_CORE, &limit);
    printf("%u %d %lu", started.code, prctl(PR_GET_DUMPABLE), (unsigned long)limit.rlim_max);
}

TEST(after_the_start_the_process_leaves_no_core)
{
    struct captured captured;
    capture(print_protection, NULL, &captured);
    assert_int_equal(captured.exit_code, 0);
    assert_string_equal(captured.text, "0 0 0");
}

static void read_past_the_end(void *argument)
{
    (void)argument;
    struct secret secret = secret_new(16);
    const volatile uint8_t *bytes = secret.bytes;
    printf("%d", bytes[16]);
}

TEST(a_read_past_a_secret_ends_the_process)
{
    struct captured captured;
    capture(read_past_the_end, NULL, &captured);
    assert_int_equal(captured.signal_number, SIGSEGV);
}

TEST(random_numbers_stay_below_their_bound_and_reach_all_of_it)
{
    int seen[7] = {0};
    for (int i = 0; i < 1000; i++) {
        seen[random_below(7)]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_true(seen[i] > 0); /* missed by chance once in 10^66 runs */
    }
    assert_int_equal(random_below(1), 0);
    assert_true(random_u64() != random_u64());
    uint8_t bytes[32] = {0};
    uint8_t others[32] = {0};
    random_bytes(bytes, sizeof(bytes));
    random_bytes(others, sizeof(others));
    assert_memory_not_equal(bytes, others, sizeof(bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_apart_from_its_source),
        cmocka_unit_test(a_freed_secret_is_empty_and_may_be_freed_again),
        cmocka_unit_test(a_text_file_loses_one_newline_and_a_binary_file_none),
        cmocka_unit_test(a_file_may_have_its_greatest_size_and_not_one_byte_more),
        cmocka_unit_test(a_file_that_is_not_there_is_an_error_of_its_own),
        cmocka_unit_test(comparison_is_of_length_and_bytes),
        cmocka_unit_test(after_the_start_the_process_leaves_no_core),
        cmocka_unit_test(a_read_past_a_secret_ends_the_process),
        cmocka_unit_test(random_numbers_stay_below_their_bound_and_reach_all_of_it),
    };
    return cmocka_run_group_tests_name("secret", tests, make_path, remove_path);
}
