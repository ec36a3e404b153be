/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: counting, and the text that Prometheus reads. One process, so the tests build on each
 * other. */
#include "tests/unit/test.h"

#include <pthread.h>

#include "shared/metrics.h"

static void assert_text(const char *program, const char *text)
{
    SCOPED(buffer_free) struct buffer out;
    buffer_init(&out, 65536);
    metrics_append_text(&out, program);
    assert_ok(buffer_finish(&out));
    assert_slice(buffer_slice(&out), text);
}

TEST(metrics_that_were_never_touched_are_not_shown)
{
    assert_text("ledger", "");
}

TEST(a_metric_is_shown_with_its_help_type_and_program)
{
    metric_add(holds_total, 2);
    metric_add(holds_total, 1);
    metric_set(holds_open, 5);
    metric_set(holds_open, 0); /* touched, hence shown at 0 */
    assert_int_equal(metric_read(METRIC_holds_total), 3);
    assert_text("ledger", "# HELP bourse_holds_open Holds without a terminal record.\n"
                          "# TYPE bourse_holds_open gauge\n"
                          "bourse_holds_open{program=\"ledger\"} 0\n"
                          "# HELP bourse_holds_total Holds admitted.\n"
                          "# TYPE bourse_holds_total counter\n"
                          "bourse_holds_total{program=\"ledger\"} 3\n");
}

TEST(a_gauge_goes_down_too)
{
    metric_add(connections, 5);
    metric_add(connections, -7);
    assert_int_equal(metric_read(METRIC_connections), -2);
    metric_set(market_models, 5);
    metric_set(market_models, 3);
    assert_int_equal(metric_read(METRIC_market_models), 3);
}

TEST(the_label_is_escaped)
{
    SCOPED(buffer_free) struct buffer out;
    buffer_init(&out, 65536);
    metrics_append_text(&out, "a\"b\\c\nd");
    buffer_append_char(&out, '\0');
    assert_non_null(strstr(out.data, "bourse_holds_total{program=\"a\\\"b\\\\c\\nd\"} 3\n"));
}

static void *end_one(void *argument)
{
    metric_add(requests_in_flight, -1);
    return argument;
}

TEST(a_gauge_that_one_thread_raised_is_lowered_by_another)
{
    pthread_t thread;
    metric_add(requests_in_flight, 3);
    assert_int_equal(pthread_create(&thread, NULL, end_one, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(metric_read(METRIC_requests_in_flight), 2);
}

static void *count_requests(void *argument)
{
    for (int i = 0; i < 10000; i++) {
        metric_add(requests_total, 1);
    }
    return argument;
}

/* More threads than there are places. */
TEST(no_count_of_several_threads_is_lost)
{
    pthread_t threads[METRIC_PLACES + 2];
    const size_t count = sizeof(threads) / sizeof(threads[0]);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_requests, NULL), 0);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(metric_read(METRIC_requests_total), 660000);
}

/* By hand: 16 µs, 16·2^¼ = 19.03, 16·2^½ = 22.6, 16·2^¾ = 26.9, 32, … */
TEST(bounds_of_a_histogram_are_quarters_of_an_octave_apart)
{
    const uint64_t first_us[] = {16, 19, 23, 27, 32, 38, 46, 54, 64};
    for (size_t i = 0; i < sizeof(first_us) / sizeof(first_us[0]); i++)
        assert_int_equal(histogram_bound_us(i), first_us[i]);
    assert_int_equal(histogram_bound_us(HISTOGRAM_BOUNDS - 4), UINT64_C(16) << 19);
}

static void assert_in_text(const char *text, const char *line)
{
    if (strstr(text, line) == NULL) fail_msg("%s is not in %s", line, text);
}

/* 0 and 16 µs are at most 16, 17 is above; 23 is at a bound, 24 above; a minute is above all. */
TEST(a_duration_is_counted_in_the_bucket_whose_bound_it_does_not_exceed)
{
    const uint64_t took_us[] = {0, 16, 17, 23, 24, 60000000};
    for (size_t i = 0; i < sizeof(took_us) / sizeof(took_us[0]); i++)
        metric_time(journal_sync, took_us[i]);
    SCOPED(buffer_free) struct buffer out;
    buffer_init(&out, 65536);
    metrics_append_text(&out, "ledger");
    buffer_append_char(&out, '\0');
    assert_ok(buffer_finish(&out));
    assert_in_text(out.data,
                   "# TYPE bourse_journal_sync_seconds histogram\n"
                   "bourse_journal_sync_seconds_bucket{program=\"ledger\",le=\"0.000016\"} 2\n"
                   "bourse_journal_sync_seconds_bucket{program=\"ledger\",le=\"0.000019\"} 3\n"
                   "bourse_journal_sync_seconds_bucket{program=\"ledger\",le=\"0.000023\"} 4\n"
                   "bourse_journal_sync_seconds_bucket{program=\"ledger\",le=\"0.000027\"} 5\n");
    assert_in_text(out.data, ",le=\"+Inf\"} 6\n"
                             "bourse_journal_sync_seconds_sum{program=\"ledger\"} 60.000080\n"
                             "bourse_journal_sync_seconds_count{program=\"ledger\"} 6\n");
    assert_null(strstr(out.data, "hold_wait")); /* nothing was counted in it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_that_were_never_touched_are_not_shown),
        cmocka_unit_test(a_metric_is_shown_with_its_help_type_and_program),
        cmocka_unit_test(a_gauge_goes_down_too),
        cmocka_unit_test(the_label_is_escaped),
        cmocka_unit_test(a_gauge_that_one_thread_raised_is_lowered_by_another),
        cmocka_unit_test(no_count_of_several_threads_is_lost),
        cmocka_unit_test(bounds_of_a_histogram_are_quarters_of_an_octave_apart),
        cmocka_unit_test(a_duration_is_counted_in_the_bucket_whose_bound_it_does_not_exceed),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
