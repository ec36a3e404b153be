/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks of the system, and calendar arithmetic by hand: always UTC, the proleptic Gregorian
 * calendar, no leap seconds. The C library's calendar functions are not used, because they read the
 * time zone. */
#include "shared/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_SECOND   1000000000
#define NS_PER_MS       1000000
#define NS_PER_US       1000
#define SECONDS_PER_DAY 86400
#define NS_PER_DAY      (SECONDS_PER_DAY * (int64_t)NS_PER_SECOND)
#define DAYS_PER_ERA    146097 /* of 400 years, after which the calendar repeats */

struct civil_date {
    int64_t year;
    int64_t month; /* 1-12 */
    int64_t day;   /* 1-31 */
};

static uint64_t read_clock_ns(clockid_t id)
{
    struct timespec now;
    int failed = clock_gettime(id, &now);
    assert(failed == 0);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

#ifdef BOURSE_FAULT_POINTS
static int64_t offset_ns(void)
{
    const char *text = getenv("BOURSE_CLOCK_OFFSET_S");
    int64_t seconds;
    return text != NULL && status_ok(slice_to_i64(slice_of(text), &seconds))
               ? seconds * NS_PER_SECOND
               : 0;
}
#else
#define offset_ns() 0
#endif

wall_time clock_wall(void)
{
    return (wall_time){(int64_t)read_clock_ns(CLOCK_REALTIME) + offset_ns()};
}

uint64_t clock_monotonic_ms(void)
{
    return read_clock_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}

uint64_t clock_monotonic_us(void)
{
    return read_clock_ns(CLOCK_MONOTONIC) / NS_PER_US;
}

uint64_t clock_coarse_ms(void)
{
    return read_clock_ns(CLOCK_MONOTONIC_COARSE) / NS_PER_MS;
}

uint64_t clock_boot_ns(void)
{
    return read_clock_ns(CLOCK_BOOTTIME);
}

/* ---- calendar -------------------------------------------------------------------------------- */

static int64_t divide_floor(int64_t value, int64_t divisor)
{
    int64_t quotient = value / divisor;
    return value % divisor < 0 ? quotient - 1 : quotient;
}

/* Both directions count years from 1 March, so that the leap day is the last of its year, and eras
 * of 400 years. 719468 is the number of days from 0000-03-01 to 1970-01-01; (153·m + 2) / 5 is the
 * number of days before the m-th month of such a year (31, 30, 31, 30, 31 repeated). */
static int64_t days_from_civil(struct civil_date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t month = date.month <= 2 ? date.month + 9 : date.month - 3;
    int64_t era = divide_floor(year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * month + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - 719468;
}

static struct civil_date civil_from_days(int64_t days)
{
    int64_t shifted = days + 719468;
    int64_t era = divide_floor(shifted, DAYS_PER_ERA);
    int64_t day_of_era = shifted - era * DAYS_PER_ERA;
    /* 1460, 36524 and 146096 are the last days of 4, 100 and 400 years: the leap days are taken
     * out. */
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    struct civil_date date = {.day = day_of_year - (153 * month + 2) / 5 + 1};
    date.month = month < 10 ? month + 3 : month - 9;
    date.year = era * 400 + year_of_era + (date.month <= 2 ? 1 : 0);
    return date;
}

static int64_t days_of(wall_time at)
{
    return divide_floor(at.ns, NS_PER_DAY);
}

/* The first instant of a day; days past the end of 64-bit nanoseconds (year 2262) saturate. */
static wall_time start_of_day(int64_t days)
{
    int64_t ns;
    if (__builtin_mul_overflow(days, NS_PER_DAY, &ns)) ns = days < 0 ? INT64_MIN : INT64_MAX;
    return (wall_time){ns};
}

/* ---- periods --------------------------------------------------------------------------------- */

int32_t clock_period(enum cadence cadence, wall_time at)
{
    int64_t days = days_of(at);
    struct civil_date date;
    switch (cadence) {
    case CADENCE_DAY: return (int32_t)days;
    case CADENCE_WEEK: return (int32_t)divide_floor(days + 3, 7);
    case CADENCE_MONTH:
        date = civil_from_days(days);
        return (int32_t)(date.year * 12 + date.month - 1);
    case CADENCE_LIFE: break;
    }
    return 0;
}

wall_time clock_period_end(enum cadence cadence, wall_time at)
{
    int64_t next = (int64_t)clock_period(cadence, at) + 1;
    switch (cadence) {
    case CADENCE_DAY: return start_of_day(next);
    case CADENCE_WEEK: return start_of_day(next * 7 - 3);
    case CADENCE_MONTH:
        return start_of_day(days_from_civil((struct civil_date){next / 12, next % 12 + 1, 1}));
    case CADENCE_LIFE: break;
    }
    return (wall_time){INT64_MAX};
}

/* ---- ISO 8601 text --------------------------------------------------------------------------- */

static void append_digits(struct buffer *out, int64_t value, int width)
{
    char digits[8];
    for (int i = width; i > 0; i--) {
        digits[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    buffer_append_bytes(out, digits, (size_t)width);
}

void clock_append_iso(struct buffer *out, wall_time at)
{
    struct civil_date date = civil_from_days(days_of(at));
    int64_t ns_of_day = at.ns % NS_PER_DAY;
    int64_t ms = (ns_of_day < 0 ? ns_of_day + NS_PER_DAY : ns_of_day) / NS_PER_MS;
    int64_t seconds = ms / 1000;
    append_digits(out, date.year, 4);
    buffer_append_char(out, '-');
    append_digits(out, date.month, 2);
    buffer_append_char(out, '-');
    append_digits(out, date.day, 2);
    buffer_append_char(out, 'T');
    append_digits(out, seconds / 3600, 2);
    buffer_append_char(out, ':');
    append_digits(out, seconds / 60 % 60, 2);
    buffer_append_char(out, ':');
    append_digits(out, seconds % 60, 2);
    buffer_append_char(out, '.');
    append_digits(out, ms % 1000, 3);
    buffer_append_char(out, 'Z');
}

/* Exactly `width` digits with a value in [min, max]. */
static status take_number(slice *text, size_t width, int64_t min, int64_t max, int64_t *value)
{
    slice digits = slice_first(*text, width);
    if (digits.len != width || digits.data[0] == '-') return FAIL(BAD_REQUEST);
    TRY(slice_to_i64(digits, value));
    *text = slice_from(*text, width);
    return *value >= min && *value <= max ? OK : FAIL(BAD_REQUEST);
}

static status expect_char(slice *text, char c)
{
    return slice_take_char(text, c) ? OK : FAIL(BAD_REQUEST);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    struct civil_date first = {year, month, 1};
    struct civil_date next =
        month == 12 ? (struct civil_date){year + 1, 1, 1} : (struct civil_date){year, month + 1, 1};
    return days_from_civil(next) - days_from_civil(first);
}

static status take_date(slice *text, int64_t *days)
{
    struct civil_date date;
    TRY(take_number(text, 4, 0, 9999, &date.year));
    TRY(expect_char(text, '-'));
    TRY(take_number(text, 2, 1, 12, &date.month));
    TRY(expect_char(text, '-'));
    TRY(take_number(text, 2, 1, days_in_month(date.year, date.month), &date.day));
    *days = days_from_civil(date);
    return OK;
}

static status take_time(slice *text, int64_t *seconds)
{
    int64_t hour, minute, second;
    TRY(take_number(text, 2, 0, 23, &hour));
    TRY(expect_char(text, ':'));
    TRY(take_number(text, 2, 0, 59, &minute));
    TRY(expect_char(text, ':'));
    TRY(take_number(text, 2, 0, 59, &second));
    *seconds = hour * 3600 + minute * 60 + second;
    return OK;
}

/* Digits beyond nanoseconds are read and dropped. */
static status take_fraction(slice *text, int64_t *ns)
{
    *ns = 0;
    if (!slice_take_char(text, '.')) return OK;
    int64_t unit = NS_PER_SECOND / 10;
    size_t count = 0;
    for (; text->len > 0 && text->data[0] >= '0' && text->data[0] <= '9'; count++, unit /= 10) {
        *ns += (text->data[0] - '0') * unit;
        *text = slice_from(*text, 1);
    }
    return count > 0 ? OK : FAIL(BAD_REQUEST);
}

static status take_offset(slice *text, int64_t *seconds)
{
    *seconds = 0;
    if (slice_take_char(text, 'Z')) return OK;
    bool west = slice_take_char(text, '-');
    if (!west) TRY(expect_char(text, '+'));
    int64_t hours, minutes;
    TRY(take_number(text, 2, 0, 23, &hours));
    TRY(expect_char(text, ':'));
    TRY(take_number(text, 2, 0, 59, &minutes));
    *seconds = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return OK;
}

status clock_parse_iso(slice text, wall_time *at)
{
    int64_t days, seconds, fraction_ns, offset_seconds;
    TRY(take_date(&text, &days));
    TRY(expect_char(&text, 'T'));
    TRY(take_time(&text, &seconds));
    TRY(take_fraction(&text, &fraction_ns));
    TRY(take_offset(&text, &offset_seconds));
    if (text.len > 0) return FAIL(BAD_REQUEST);
    __int128 ns =
        (__int128)(days * SECONDS_PER_DAY + seconds - offset_seconds) * NS_PER_SECOND + fraction_ns;
    if (ns < INT64_MIN || ns > INT64_MAX) return FAIL(OUT_OF_RANGE);
    at->ns = (int64_t)ns;
    return OK;
}
