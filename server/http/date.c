#include "server/http/date.h"

#define SECONDS_PER_DAY  INT64_C(86400)
#define EPOCH_YEAR       1970
#define YEAR_MAX         9999
#define DAYS_PER_ERA     146097 /* 400 years of the Gregorian calendar */
#define DAYS_TO_EPOCH    719468 /* from 0000-03-01 to 1970-01-01 */
#define FUTURE_YEARS_MAX 50
#define DATE_BYTES_MIN   (sizeof("Sun Nov  6 08:49:37 1994") - 1)

static const char day_names[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct date {
    int64_t year;
    int32_t month; /* 1..12 */
    int32_t day;   /* 1..31 */
    int32_t hour;
    int32_t minute;
    int32_t second;
};

/* Days since 1970-01-01. Counts years from March, so that a leap day ends one. */
static int64_t days_of(int64_t year, int32_t month, int32_t day)
{
    int64_t march_year = month > 2 ? year : year - 1;
    int64_t era = march_year / 400;
    int64_t year_of_era = march_year % 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH;
}

/* The inverse: sets year, month and day. */
static void set_day(struct date *date, int64_t days)
{
    int64_t shifted = days + DAYS_TO_EPOCH;
    int64_t era = shifted / DAYS_PER_ERA;
    int64_t day_of_era = shifted % DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;
    date->day = (int32_t)(day_of_year - (153 * march_month + 2) / 5 + 1);
    date->month = (int32_t)(march_month < 10 ? march_month + 3 : march_month - 9);
    date->year = era * 400 + year_of_era + (date->month <= 2 ? 1 : 0);
}

static char *put_digits(char *out, int64_t value, uint32_t count)
{
    for (uint32_t i = count; i > 0; i--) {
        out[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + count;
}

static char *put_text(char *out, const char *text, size_t bytes)
{
    memcpy(out, text, bytes);
    return out + bytes;
}

void http_date_format(int64_t seconds, char out[static HTTP_DATE_BYTES + 1])
{
    if (seconds < 0) {
        seconds = 0;
    }
    if (seconds > HTTP_DATE_SECONDS_MAX) {
        seconds = HTTP_DATE_SECONDS_MAX;
    }
    int64_t days = seconds / SECONDS_PER_DAY;
    int64_t second_of_day = seconds % SECONDS_PER_DAY;
    struct date date;
    set_day(&date, days);

    char *end = put_text(out, day_names[(days + 4) % 7], 3); /* 1970-01-01 was a Thursday */
    end = put_text(end, ", ", 2);
    end = put_digits(end, date.day, 2);
    end = put_text(end, " ", 1);
    end = put_text(end, month_names[date.month - 1], 3);
    end = put_text(end, " ", 1);
    end = put_digits(end, date.year, 4);
    end = put_text(end, " ", 1);
    end = put_digits(end, second_of_day / 3600, 2);
    end = put_text(end, ":", 1);
    end = put_digits(end, second_of_day / 60 % 60, 2);
    end = put_text(end, ":", 1);
    end = put_digits(end, second_of_day % 60, 2);
    (void)put_text(end, " GMT", sizeof(" GMT")); /* with its NUL; nothing follows */
}

/* Each take_ reads from the front of `rest` and moves it; false leaves it anywhere. */

static bool take_text(struct span *rest, const char *text)
{
    size_t bytes = strlen(text);
    if (rest->bytes < bytes || memcmp(rest->ptr, text, bytes) != 0) {
        return false;
    }
    *rest = span_skip(*rest, bytes);
    return true;
}

static bool take_digits(struct span *rest, uint32_t count, int32_t *ret_value)
{
    int32_t value = 0;
    if (rest->bytes < count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (rest->ptr[i] < '0' || rest->ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (rest->ptr[i] - '0');
    }
    *rest = span_skip(*rest, count);
    *ret_value = value;
    return true;
}

static bool take_month(struct span *rest, int32_t *ret_month)
{
    for (int32_t i = 0; i < 12; i++) {
        if (take_text(rest, month_names[i])) {
            *ret_month = i + 1;
            return true;
        }
    }
    return false;
}

static bool take_time(struct span *rest, struct date *date)
{
    return take_digits(rest, 2, &date->hour) && take_text(rest, ":") &&
           take_digits(rest, 2, &date->minute) && take_text(rest, ":") &&
           take_digits(rest, 2, &date->second);
}

static bool take_year(struct span *rest, struct date *date)
{
    int32_t year;
    if (!take_digits(rest, 4, &year)) {
        return false;
    }
    date->year = year;
    return true;
}

/* "06 Nov 1994 08:49:37 GMT", behind "Sun, " */
static bool read_imf(struct span rest, struct date *date)
{
    return take_digits(&rest, 2, &date->day) && take_text(&rest, " ") &&
           take_month(&rest, &date->month) && take_text(&rest, " ") && take_year(&rest, date) &&
           take_text(&rest, " ") && take_time(&rest, date) && take_text(&rest, " GMT") &&
           rest.bytes == 0;
}

/* "Nov  6 08:49:37 1994", behind "Sun " */
static bool read_asctime(struct span rest, struct date *date)
{
    if (!take_month(&rest, &date->month) || !take_text(&rest, " ")) {
        return false;
    }
    bool has_day = take_text(&rest, " ") ? take_digits(&rest, 1, &date->day)
                                         : take_digits(&rest, 2, &date->day);
    return has_day && take_text(&rest, " ") && take_time(&rest, date) && take_text(&rest, " ") &&
           take_year(&rest, date) && rest.bytes == 0;
}

/*
 * "06-Nov-94 08:49:37 GMT", behind "Sunday, ". RFC 9110 5.6.7: a year that appears to be more than
 * 50 years in the future is the most recent past one with the same last two digits.
 */
static bool read_rfc850(struct span rest, int64_t now_seconds, struct date *date)
{
    int32_t year_of_century;
    bool is_read = take_digits(&rest, 2, &date->day) && take_text(&rest, "-") &&
                   take_month(&rest, &date->month) && take_text(&rest, "-") &&
                   take_digits(&rest, 2, &year_of_century) && take_text(&rest, " ") &&
                   take_time(&rest, date) && take_text(&rest, " GMT") && rest.bytes == 0;
    if (!is_read) {
        return false;
    }
    bool is_now_known = now_seconds >= 0 && now_seconds <= HTTP_DATE_SECONDS_MAX;
    struct date now;
    set_day(&now, is_now_known ? now_seconds / SECONDS_PER_DAY : 0);
    int64_t latest = now.year + FUTURE_YEARS_MAX;
    date->year = latest - latest % 100 + year_of_century;
    if (date->year > latest) {
        date->year -= 100;
    }
    return true;
}

static bool read_date(struct span text, int64_t now_seconds, struct date *date)
{
    if (text.bytes < DATE_BYTES_MIN) {
        return false; /* at once for a field that was not sent */
    }
    for (size_t i = 0; i < 7; i++) {
        struct span rest = text;
        if (take_text(&rest, day_names[i]) && take_text(&rest, ", ")) {
            return read_rfc850(rest, now_seconds, date);
        }
        if (memcmp(text.ptr, day_names[i], 3) != 0) {
            continue;
        }
        rest = span_skip(text, 3);
        if (take_text(&rest, ", ")) {
            return read_imf(rest, date);
        }
        return take_text(&rest, " ") && read_asctime(rest, date);
    }
    return false;
}

static bool date_is_valid(const struct date *date)
{
    static const int8_t month_days[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (date->year < EPOCH_YEAR || date->year > YEAR_MAX || date->day < 1 ||
        date->day > month_days[date->month - 1]) {
        return false;
    }
    bool is_leap = date->year % 4 == 0 && (date->year % 100 != 0 || date->year % 400 == 0);
    if (date->month == 2 && date->day == 29 && !is_leap) {
        return false;
    }
    return date->hour <= 23 && date->minute <= 59 && date->second <= 60;
}

bool http_date_parse(struct span text, int64_t now_seconds, int64_t *ret_seconds)
{
    struct date date;
    if (!read_date(text, now_seconds, &date) || !date_is_valid(&date)) {
        return false;
    }
    *ret_seconds = days_of(date.year, date.month, date.day) * SECONDS_PER_DAY + date.hour * 3600 +
                   date.minute * 60 + date.second;
    return true;
}
