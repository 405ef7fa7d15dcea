#include "base/time.h"

#include <stdio.h>
#include <time.h>

enum { DAY_MS = 24 * 60 * 60 * 1000 };

/* Set by tests before threads start; else the kernel's clocks. */
static int64_t (*source_wall_ms)(void);
static int64_t (*source_mono_ns)(void);

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;
	(void)clock_gettime(id, &t); /* cannot fail for these clocks */
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t time_now_ms(void)
{
	return source_wall_ms ? source_wall_ms() : clock_ns(CLOCK_REALTIME) / 1000000;
}

int64_t time_mono_ns(void) { return source_mono_ns ? source_mono_ns() : clock_ns(CLOCK_MONOTONIC); }

int64_t time_mono_ms(void) { return time_mono_ns() / 1000000; }

void time_set_source(int64_t (*wall_ms)(void), int64_t (*mono_ns)(void))
{
	source_wall_ms = wall_ms;
	source_mono_ns = mono_ns;
}

/* Days since 1970-01-01 and back, proleptic Gregorian; Howard Hinnant, "chrono-compatible
 * low-level date algorithms". */
static int64_t days_from_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_from_days(int64_t z, int *y, int *m, int *d)
{
	z += 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	*d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*y = (int)(yoe + era * 400 + (*m <= 2));
}

void time_rfc3339(int64_t unix_ms, char dst[TIME_RFC3339_LEN])
{
	/* The format has four digits for the year: clamp to 0000..9999. */
	const int64_t lowest = days_from_civil(0, 1, 1) * DAY_MS;
	const int64_t highest = days_from_civil(10000, 1, 1) * DAY_MS - 1;
	if (unix_ms < lowest)
		unix_ms = lowest;
	if (unix_ms > highest)
		unix_ms = highest;
	int64_t days = unix_ms / DAY_MS, ms = unix_ms % DAY_MS;
	if (ms < 0) {
		ms += DAY_MS;
		days--;
	}
	int y, m, d;
	civil_from_days(days, &y, &m, &d);
	(void)snprintf(dst, TIME_RFC3339_LEN, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
		       y % 10000, m % 100, d % 100, (int)(ms / 3600000) % 100,
		       (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
}

/* Exactly `digits` decimal digits from *s, within lo..hi. */
static bool take_number(struct str *s, size_t digits, int lo, int hi, int *ret)
{
	uint64_t v;
	if (s->len < digits || str_to_u64(str_sub(*s, 0, digits), &v) != OK)
		return false;
	*s = str_sub(*s, digits, SIZE_MAX);
	*ret = (int)v;
	return *ret >= lo && *ret <= hi;
}

static bool take_one_of(struct str *s, const char *set, char *ret)
{
	if (s->len == 0 || !s->ptr[0] || !strchr(set, s->ptr[0]))
		return false;
	*ret = s->ptr[0];
	*s = str_sub(*s, 1, SIZE_MAX);
	return true;
}

static bool take_fraction(struct str *s, int *ret_ms)
{
	char c;
	*ret_ms = 0;
	if (!take_one_of(s, ".", &c))
		return true;
	int digits = 0;
	for (; s->len && s->ptr[0] >= '0' && s->ptr[0] <= '9'; digits++) {
		if (digits < 3)
			*ret_ms = *ret_ms * 10 + (s->ptr[0] - '0');
		*s = str_sub(*s, 1, SIZE_MAX);
	}
	for (int i = digits; i < 3; i++)
		*ret_ms *= 10;
	return digits >= 1 && digits <= 9;
}

static bool take_zone(struct str *s, int *ret_minutes)
{
	char c;
	int h, m;
	*ret_minutes = 0;
	if (!take_one_of(s, "Zz+-", &c))
		return false;
	if (c == 'Z' || c == 'z')
		return s->len == 0;
	if (!take_number(s, 2, 0, 23, &h) || !take_one_of(s, ":", &(char){ 0 }) ||
	    !take_number(s, 2, 0, 59, &m))
		return false;
	*ret_minutes = (c == '-' ? -1 : 1) * (h * 60 + m);
	return s->len == 0;
}

enum err time_parse_rfc3339(struct str s, int64_t *ret_ms)
{
	int y, mo, d, h, mi, sec, ms, zone;
	char c;
	bool ok = take_number(&s, 4, 0, 9999, &y) && take_one_of(&s, "-", &c) &&
		  take_number(&s, 2, 1, 12, &mo) && take_one_of(&s, "-", &c) &&
		  take_number(&s, 2, 1, 31, &d) && take_one_of(&s, "Tt", &c) &&
		  take_number(&s, 2, 0, 23, &h) && take_one_of(&s, ":", &c) &&
		  take_number(&s, 2, 0, 59, &mi) && take_one_of(&s, ":", &c) &&
		  take_number(&s, 2, 0, 60, &sec) && take_fraction(&s, &ms) && take_zone(&s, &zone);
	if (!ok)
		return ERR_INVALID;
	int64_t days = days_from_civil(y, mo, d);
	int y2, m2, d2;
	civil_from_days(days, &y2, &m2, &d2);
	if (d2 != d || m2 != mo) /* 30 February */
		return ERR_INVALID;
	if (sec == 60 && mi != 59) /* a leap second ends an hour, in whatever zone */
		return ERR_INVALID;
	*ret_ms = days * DAY_MS + ((h * 60 + mi - zone) * (int64_t)60 + sec) * 1000 + ms;
	return OK;
}
