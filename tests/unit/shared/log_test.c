/* SPDX-License-Identifier: Apache-2.0 */
/* The log: what a line looks like, that no value can break it, and that lines of threads do not
 * mix. */
#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "tests/unit/shared/capture.h"

static struct captured captured;

/* What follows the time of the first line; the time itself has to be a time of today. */
static const char *after_time(void)
{
    assert_memory_equal(captured.text, "time=", 5);
    slice time, rest;
    assert_true(slice_split(slice_from(slice_of(captured.text), 5), ' ', &time, &rest));
    wall_time at;
    assert_ok(clock_parse_iso(time, &at));
    assert_true(llabs(clock_wall().ns - at.ns) < 60000000000);
    assert_int_equal(time.len, strlen("2026-11-20T12:05:36.123Z"));
    return rest.data;
}

static void log_settled(void *argument)
{
    (void)argument;
    struct generation_id id = {{0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7,
                                0x80, 0x70, 0xb4, 0xc5, 0x5a}};
    log_init("ledger", LOG_LEVEL_INFO);
    log_info("hold_settled", F(request, id), F(amount, ((money){262650})), F(ms, 3),
             FN(number, hold, INT64_MAX), FN(name, model, SLICE("vendor/model-1:free")));
}

TEST(a_line_has_time_level_program_event_and_fields)
{
    capture(log_settled, NULL, &captured);
    assert_string_equal(after_time(),
                        "level=info program=ledger event=hold_settled "
                        "request=gen-39rkgdgtkv0grdhkdqg1rb9hat amount=0.00026265 ms=3 "
                        "hold=9223372036854775807 model=vendor/model-1:free\n");
}

static void log_bare(void *argument)
{
    (void)argument;
    log_init("edge", LOG_LEVEL_INFO);
    log_warning("draining");
}

TEST(an_event_needs_no_fields)
{
    capture(log_bare, NULL, &captured);
    assert_string_equal(after_time(), "level=warning program=edge event=draining\n");
}

static void log_failure(void *argument)
{
    (void)argument;
    log_init("edge", LOG_LEVEL_ERROR);
    log_error("failed", F(error, FAIL(NO_CREDIT)), F(errno, ENOENT), FN(errno, other, 9999));
}

TEST(failures_are_shown_by_name)
{
    capture(log_failure, NULL, &captured);
    assert_string_equal(after_time(), "level=error program=edge event=failed error=NO_CREDIT "
                                      "errno=\"ENOENT: No such file or directory\" other=9999\n");
}

static void log_texts(void *argument)
{
    (void)argument;
    log_init("edge", LOG_LEVEL_INFO);
    log_info("texts", FN(name, empty, SLICE_NONE), FN(name, blank, SLICE("a b")),
             FN(name, equals, SLICE("a=b")), FN(name, quote, SLICE("a\"b\\c")),
             FN(name, lines, SLICE("a\nevent=forged\r\t")), FN(name, control, SLICE("\x1b[2J\x7f")),
             FN(name, zero, SLICE("a\0b")), FN(name, beyond, SLICE("\xc2\x9b\xff")));
}

TEST(no_text_can_end_its_line_or_start_a_field)
{
    capture(log_texts, NULL, &captured);
    assert_string_equal(after_time(),
                        "level=info program=edge event=texts empty=\"\" blank=\"a b\" "
                        "equals=\"a=b\" quote=\"a\\\"b\\\\c\" lines=\"a\\nevent=forged\\r\\t\" "
                        "control=\"\\x1b[2J\\x7f\" zero=\"a\\x00b\" beyond=\"\\xc2\\x9b\\xff\"\n");
}

static void log_long_text(void *argument)
{
    (void)argument;
    char text[600];
    memset(text, 'x', sizeof(text));
    log_init("edge", LOG_LEVEL_INFO);
    log_info("long", F(name, ((slice){text, 512})), F(reason, ((slice){text, 513})));
}

TEST(a_text_of_more_than_512_bytes_is_cut_and_shows_it)
{
    char x[513];
    char expected[2048];
    memset(x, 'x', 512);
    x[512] = '\0';
    snprintf(expected, sizeof(expected),
             "level=info program=edge event=long name=%s reason=\"%s...\"\n", x, x);
    capture(log_long_text, NULL, &captured);
    assert_string_equal(after_time(), expected);
}

static void log_too_much(void *argument)
{
    (void)argument;
    char text[500];
    memset(text, '\n', sizeof(text)); /* 1,000 bytes as escapes */
    slice wide = {text, sizeof(text)};
    log_init("edge", LOG_LEVEL_INFO);
    log_info("wide", FN(name, a, wide), FN(name, b, wide), FN(name, c, wide), FN(name, d, wide),
             FN(name, e, wide), F(count, 1));
    log_info("next");
}

TEST(a_line_too_long_drops_whole_fields_and_says_so)
{
    capture(log_too_much, NULL, &captured);
    slice line, rest, next;
    assert_true(slice_split(slice_of(captured.text), '\n', &line, &rest));
    assert_true(line.len < 4096);
    assert_true(slice_ends_with(line, SLICE("\\n\" truncated=true")));
    assert_non_null(memmem(line.data, line.len, " c=\"", 4));
    assert_null(memmem(line.data, line.len, " d=\"", 4));
    assert_true(slice_split(rest, '\n', &next, &rest));
    assert_true(slice_ends_with(next, SLICE("event=next")));
    assert_int_equal(rest.len, 0);
}

static void log_all_levels(void *argument)
{
    log_init("edge", *(enum log_level *)argument);
    log_error("a");
    log_warning("b");
    log_info("c");
    log_debug("d");
}

static size_t count_lines(void)
{
    size_t lines = 0;
    for (const char *at = captured.text; *at != '\0'; at++) {
        lines += *at == '\n' ? 1 : 0;
    }
    return lines;
}

TEST(lines_below_the_level_are_not_written)
{
    for (size_t i = 0; i < 4; i++) {
        enum log_level level = (enum log_level)i;
        capture(log_all_levels, &level, &captured);
        assert_int_equal(count_lines(), i + 1);
    }
}

static void log_without_stderr(void *argument)
{
    (void)argument;
    log_init("edge", LOG_LEVEL_INFO);
    close(STDERR_FILENO);
    errno = ENOSPC;
    log_info("lost"); /* its write fails with EBADF */
    printf("%s", strerrorname_np(errno));
}

TEST(logging_leaves_errno_alone_even_when_nobody_reads)
{
    capture(log_without_stderr, NULL, &captured);
    assert_int_equal(captured.exit_code, 0);
    assert_string_equal(captured.text, "ENOSPC");
}

#define THREADS          4
#define LINES_PER_THREAD 100

static void *log_many(void *argument)
{
    for (int i = 0; i < LINES_PER_THREAD; i++) {
        log_info("tick", FN(number, thread, (intptr_t)argument), F(count, i));
    }
    return NULL;
}

static void log_from_threads(void *argument)
{
    (void)argument;
    pthread_t threads[THREADS];
    log_init("edge", LOG_LEVEL_INFO);
    for (intptr_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, log_many, (void *)i);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

TEST(lines_of_several_threads_do_not_mix)
{
    capture(log_from_threads, NULL, &captured);
    int next_of_thread[THREADS] = {0};
    slice rest = slice_of(captured.text);
    for (int i = 0; i < THREADS * LINES_PER_THREAD; i++) {
        slice line;
        assert_true(slice_split(rest, '\n', &line, &rest));
        line = slice_from(line, strlen("time=2026-11-20T12:05:36.123Z"));
        int thread, count;
        char text[128];
        assert_ok(slice_to_c_string(line, text, sizeof(text)));
        assert_int_equal(
            sscanf(text, " level=info program=edge event=tick thread=%d count=%d", &thread, &count),
            2);
        assert_int_equal(count, next_of_thread[thread]++);
    }
    assert_int_equal(rest.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_program_event_and_fields),
        cmocka_unit_test(an_event_needs_no_fields),
        cmocka_unit_test(failures_are_shown_by_name),
        cmocka_unit_test(no_text_can_end_its_line_or_start_a_field),
        cmocka_unit_test(a_text_of_more_than_512_bytes_is_cut_and_shows_it),
        cmocka_unit_test(a_line_too_long_drops_whole_fields_and_says_so),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(logging_leaves_errno_alone_even_when_nobody_reads),
        cmocka_unit_test(lines_of_several_threads_do_not_mix),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
