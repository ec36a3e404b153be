/* SPDX-License-Identifier: Apache-2.0 */
/* Periods and ISO text. Day numbers are counted by hand: 2026-01-01 is 56 · 365 + 14 leap days =
 * 20454, a Thursday like 1970-01-01, because 20454 = 7 · 2922. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <time.h>

#include "shared/clock.h"

#define SECOND 1000000000ll
#define DAY    (86400 * SECOND)

static wall_time parse(const char *text)
{
    wall_time at = {-1};
    assert_ok(clock_parse_iso(slice_of(text), &at));
    return at;
}

static void assert_iso(wall_time at, const char *text)
{
    char memory[64];
    struct buffer out;
    buffer_init_fixed(&out, memory, sizeof(memory));
    clock_append_iso(&out, at);
    assert_slice(buffer_slice(&out), text);
}

TEST(the_first_periods_begin_at_the_epoch)
{
    wall_time epoch = parse("1970-01-01T00:00:00Z");
    assert_int_equal(epoch.ns, 0);
    assert_int_equal(clock_period(CADENCE_LIFE, epoch), 0);
    assert_int_equal(clock_period(CADENCE_DAY, epoch), 0);
    assert_int_equal(clock_period(CADENCE_WEEK, epoch), 0);
    assert_int_equal(clock_period(CADENCE_MONTH, epoch), 1970 * 12);
    assert_int_equal(clock_period_end(CADENCE_DAY, epoch).ns, DAY);
    assert_int_equal(clock_period_end(CADENCE_WEEK, epoch).ns, 4 * DAY); /* Monday, January 5 */
    assert_int_equal(clock_period_end(CADENCE_MONTH, epoch).ns, 31 * DAY);
    assert_true(clock_period_end(CADENCE_LIFE, epoch).ns == INT64_MAX);
}

TEST(a_day_ends_at_midnight_utc)
{
    wall_time last = parse("2026-01-31T23:59:59.999999999Z");
    wall_time first = parse("2026-02-01T00:00:00Z");
    assert_int_equal(first.ns - last.ns, 1);
    assert_int_equal(clock_period(CADENCE_DAY, last), 20484);
    assert_int_equal(clock_period(CADENCE_DAY, first), 20485);
    assert_int_equal(clock_period_end(CADENCE_DAY, last).ns, first.ns);
    assert_int_equal(clock_period_end(CADENCE_DAY, first).ns, first.ns + DAY);
}

TEST(a_month_ends_before_the_first_of_the_next)
{
    wall_time last = parse("2026-01-31T23:59:59.999999999Z");
    wall_time first = parse("2026-02-01T00:00:00Z");
    assert_int_equal(clock_period(CADENCE_MONTH, last), 2026 * 12);
    assert_int_equal(clock_period(CADENCE_MONTH, first), 2026 * 12 + 1);
    assert_int_equal(clock_period_end(CADENCE_MONTH, last).ns, first.ns);
    assert_int_equal(clock_period_end(CADENCE_MONTH, first).ns, parse("2026-03-01T00:00:00Z").ns);
    assert_int_equal(clock_period_end(CADENCE_MONTH, parse("2026-12-31T12:00:00Z")).ns,
                     parse("2027-01-01T00:00:00Z").ns);
}

TEST(a_week_ends_with_sunday)
{
    /* 2026-02-01 is day 20485, 31 days after a Thursday: a Sunday. (20486 + 3) / 7 = 2927. */
    wall_time sunday = parse("2026-02-01T23:59:59.999Z");
    wall_time monday = parse("2026-02-02T00:00:00Z");
    assert_int_equal(clock_period(CADENCE_WEEK, sunday), 2926);
    assert_int_equal(clock_period(CADENCE_WEEK, monday), 2927);
    assert_int_equal(clock_period_end(CADENCE_WEEK, sunday).ns, monday.ns);
    assert_int_equal(clock_period_end(CADENCE_WEEK, monday).ns, monday.ns + 7 * DAY);
    assert_int_equal(clock_period(CADENCE_WEEK, parse("2026-01-26T00:00:00Z")), 2926);
    assert_int_equal(clock_period(CADENCE_WEEK, parse("2026-01-25T23:59:59Z")), 2925);
}

TEST(the_leap_day_belongs_to_february)
{
    /* 2024-02-29: 54 · 365 + 13 leap days + 31 + 28 = 19782. */
    wall_time leap_day = parse("2024-02-29T12:00:00Z");
    assert_int_equal(clock_period(CADENCE_DAY, leap_day), 19782);
    assert_int_equal(clock_period(CADENCE_MONTH, leap_day), 2024 * 12 + 1);
    assert_int_equal(clock_period_end(CADENCE_MONTH, leap_day).ns, 19783 * DAY);
    assert_int_equal(clock_period_end(CADENCE_DAY, leap_day).ns, parse("2024-03-01T00:00:00Z").ns);
    assert_int_equal(parse("2000-02-29T00:00:00Z").ns, 11016 * DAY);
    assert_int_equal(parse("2100-03-01T00:00:00Z").ns - parse("2100-02-28T00:00:00Z").ns, DAY);
}

TEST(times_before_1970_lie_in_their_periods_too)
{
    wall_time before = {-1000000};
    assert_iso(before, "1969-12-31T23:59:59.999Z");
    assert_int_equal(clock_period(CADENCE_DAY, before), -1);
    assert_int_equal(clock_period(CADENCE_MONTH, before), 1969 * 12 + 11);
    assert_int_equal(clock_period(CADENCE_WEEK, (wall_time){-3 * DAY}), 0);
    assert_int_equal(clock_period(CADENCE_WEEK, (wall_time){-3 * DAY - 1}), -1);
    assert_int_equal(clock_period_end(CADENCE_DAY, before).ns, 0);
    /* -9,223,372,036.854775808 s: 106,752 days before the epoch, and 763.145 s into that day. */
    assert_iso((wall_time){INT64_MIN}, "1677-09-21T00:12:43.145Z");
}

TEST(every_period_ends_where_the_next_begins)
{
    const enum cadence cadences[] = {CADENCE_DAY, CADENCE_WEEK, CADENCE_MONTH};
    /* From 1885 to 2188: leap years, common years, and the centuries 1900, 2000 and 2100. */
    for (int64_t day = -31000; day < 80000; day++) {
        wall_time noon = {day * DAY + DAY / 2};
        for (size_t i = 0; i < 3; i++) {
            wall_time end = clock_period_end(cadences[i], noon);
            int32_t period = clock_period(cadences[i], noon);
            assert_true(end.ns > noon.ns && end.ns - noon.ns <= 31 * DAY);
            assert_int_equal(clock_period(cadences[i], end), period + 1);
            assert_int_equal(clock_period(cadences[i], (wall_time){end.ns - 1}), period);
        }
    }
}

TEST(the_last_period_ends_with_time_itself)
{
    wall_time last = {INT64_MAX};
    assert_true(clock_period_end(CADENCE_DAY, last).ns == INT64_MAX);
    assert_true(clock_period_end(CADENCE_WEEK, last).ns == INT64_MAX);
    assert_true(clock_period_end(CADENCE_MONTH, last).ns == INT64_MAX);
    assert_iso(last, "2262-04-11T23:47:16.854Z");
}

TEST(the_time_zone_of_the_process_does_not_matter)
{
    const char *const zones[] = {"Pacific/Kiritimati", "XXX+12", "XXX-14", "UTC0"};
    wall_time at = parse("2026-02-01T00:00:00Z");
    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        setenv("TZ", zones[i], 1);
        tzset();
        assert_int_equal(clock_period(CADENCE_DAY, at), 20485);
        assert_int_equal(clock_period(CADENCE_MONTH, at), 2026 * 12 + 1);
        assert_iso(at, "2026-02-01T00:00:00.000Z");
        assert_int_equal(parse("2026-02-01T00:00:00Z").ns, at.ns);
    }
    unsetenv("TZ");
    tzset();
}

TEST(iso_text_shows_milliseconds_and_never_rounds_into_the_future)
{
    /* 2026-11-20 is day 20454 + 304 + 19 = 20777; 12:05:36 is second 43,536 of it. */
    wall_time at = {(20777 * 86400 + 43536) * SECOND + 123999999};
    assert_iso(at, "2026-11-20T12:05:36.123Z");
    assert_iso((wall_time){0}, "1970-01-01T00:00:00.000Z");
}

TEST(iso_text_is_read_with_fractions_and_offsets)
{
    assert_int_equal(parse("2026-11-20T12:05:36Z").ns, 1795176336 * SECOND);
    assert_int_equal(parse("2026-11-20T12:05:36.5Z").ns, 1795176336 * SECOND + 500000000);
    assert_int_equal(parse("2026-11-20T12:05:36.123456789Z").ns, 1795176336 * SECOND + 123456789);
    /* Digits beyond the nanosecond are dropped. */
    assert_int_equal(parse("2026-11-20T12:05:36.1234567899Z").ns, 1795176336 * SECOND + 123456789);
    /* East of Greenwich the day begins earlier: 22:30 of the day before. */
    assert_int_equal(parse("2026-02-01T00:30:00+02:00").ns, 1769898600 * SECOND);
    assert_int_equal(parse("2026-01-31T17:00:00-05:30").ns, 1769898600 * SECOND);
    assert_int_equal(parse("2026-01-31T22:30:00.000+00:00").ns, 1769898600 * SECOND);
}

TEST(text_that_is_no_time_is_refused)
{
    const char *const texts[] = {
        "",
        "2026-11-20",
        "2026-11-20T12:05:36",
        "2026-11-20 12:05:36Z",
        "2026-11-20T12:05Z",
        "2026-11-20T12:05:36.Z",
        "2026-11-20T12:05:36Zx",
        "2026-11-20T12:05:36+0200",
        "2026-11-20T12:05:36+02",
        "2026-11-20T12:05:36+24:00",
        "2026-11-20T24:00:00Z",
        "2026-11-20T12:60:00Z",
        "2026-11-20T12:05:60Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "26-01-01T00:00:00Z",
        "-026-01-01T00:00:00Z",
        "2026-1-01T00:00:00Z",
        "2026-11-20t12:05:36z",
        " 2026-11-20T12:05:36Z",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        wall_time at;
        assert_fails(clock_parse_iso(slice_of(texts[i]), &at), BAD_REQUEST);
    }
}

TEST(times_that_64_bits_of_nanoseconds_do_not_hold_are_out_of_range)
{
    wall_time at;
    assert_fails(clock_parse_iso(SLICE("2262-04-11T23:47:16.854775808Z"), &at), OUT_OF_RANGE);
    assert_fails(clock_parse_iso(SLICE("9999-12-31T23:59:59Z"), &at), OUT_OF_RANGE);
    assert_fails(clock_parse_iso(SLICE("0001-01-01T00:00:00Z"), &at), OUT_OF_RANGE);
    assert_ok(clock_parse_iso(SLICE("2262-04-11T23:47:16.854775807Z"), &at));
    assert_true(at.ns == INT64_MAX);
}

TEST(the_clocks_of_the_system_go_forward)
{
    uint64_t boot = clock_boot_ns();
    uint64_t us = clock_monotonic_us();
    uint64_t ms = clock_monotonic_ms();
    assert_true(clock_boot_ns() >= boot);
    assert_true(clock_monotonic_us() >= us);
    assert_true(clock_monotonic_ms() >= ms && ms >= us / 1000);
    assert_true(clock_coarse_ms() <= clock_monotonic_ms() && clock_coarse_ms() + 50 >= ms);
    assert_true(clock_wall().ns > parse("2024-01-01T00:00:00Z").ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_periods_begin_at_the_epoch),
        cmocka_unit_test(a_day_ends_at_midnight_utc),
        cmocka_unit_test(a_month_ends_before_the_first_of_the_next),
        cmocka_unit_test(a_week_ends_with_sunday),
        cmocka_unit_test(the_leap_day_belongs_to_february),
        cmocka_unit_test(times_before_1970_lie_in_their_periods_too),
        cmocka_unit_test(every_period_ends_where_the_next_begins),
        cmocka_unit_test(the_last_period_ends_with_time_itself),
        cmocka_unit_test(the_time_zone_of_the_process_does_not_matter),
        cmocka_unit_test(iso_text_shows_milliseconds_and_never_rounds_into_the_future),
        cmocka_unit_test(iso_text_is_read_with_fractions_and_offsets),
        cmocka_unit_test(text_that_is_no_time_is_refused),
        cmocka_unit_test(times_that_64_bits_of_nanoseconds_do_not_hold_are_out_of_range),
        cmocka_unit_test(the_clocks_of_the_system_go_forward),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
