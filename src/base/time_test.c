#include "base/time.h"

#include <stdio.h>

#include "tests/test.h"

/* From Python's datetime. */
static const struct {
	const char *text;
	int64_t ms;
	const char *back; /* NULL: the same */
} known[] = {
	{ "1970-01-01T00:00:00.000Z", 0, NULL },
	{ "1600-02-29T23:59:59.999Z", -11670912000001, NULL },
	{ "2000-02-29T12:34:56.789Z", 951827696789, NULL },
	{ "2026-11-23T01:02:03+05:30", 1795375923000, "2026-11-22T19:32:03.000Z" },
	{ "1969-12-31T23:59:59.001-08:00", 28799001, "1970-01-01T07:59:59.001Z" },
	{ "9999-12-31T23:59:59.999Z", 253402300799999, NULL },
	{ "0001-01-01T00:00:00Z", -62135596800000, "0001-01-01T00:00:00.000Z" },
	{ "2026-11-23t12:00:00.1z", 1795435200100, "2026-11-23T12:00:00.100Z" },
	{ "2026-11-23T12:00:00.123456789Z", 1795435200123, "2026-11-23T12:00:00.123Z" },
	/* RFC 3339, section 5.8: a leap second, counted on as Unix time does */
	{ "1990-12-31T23:59:60Z", 662688000000, "1991-01-01T00:00:00.000Z" },
	{ "1990-12-31T15:59:60-08:00", 662688000000, "1991-01-01T00:00:00.000Z" },
	{ "1937-01-01T12:00:27.87+00:20", -1041337172130, "1937-01-01T11:40:27.870Z" },
};

TEST(known_instants_both_ways)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		int64_t ms = -1;
		char text[TIME_RFC3339_LEN];
		CHECK_OK(time_parse_rfc3339(str_from(known[i].text), &ms));
		CHECK_EQ_INT(ms, known[i].ms);
		time_rfc3339(ms, text);
		CHECK_EQ_Z(text, known[i].back ? known[i].back : known[i].text);
	}
}

TEST(bad_times_are_refused)
{
	static const char *const bad[] = {
		"", "2026", "2026-11-23", "2026-11-23T12:00:00", "2026-11-23 12:00:00Z",
		"2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z",
		"2026-11-31T00:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T12:60:00Z",
		"2026-11-23T12:00:61Z", "2026-11-23T12:00:60Z", "2026-11-23T12:00:00.Z",
		"2026-11-23T12:00:00.1234567890Z", "2026-11-23T12:00:00Z ", "2026-11-23T12:00:00ZZ",
		"2026-11-23T12:00:00+24:00", "2026-11-23T12:00:00+0100", "2026-11-23T12:00:00+01",
		"+026-11-23T12:00:00Z", "2026-1-23T12:00:00Z", "26-11-23T12:00:00Z",
		"2026-11-23T12:00:00,5Z", "2026-11-23T1 :00:00Z", "2026-11-23T-1:00:00Z",
	};
	int64_t ms = 5;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (time_parse_rfc3339(str_from(bad[i]), &ms) != ERR_INVALID)
			FAIL("taken: %s", bad[i]);
	CHECK_EQ_INT(ms, 5);
}

TEST(every_day_of_800_years_comes_back)
{
	int y = 1600, m = 1, d = 1;
	int64_t ms = -11676096000000; /* 1600-01-01 */
	while (y < 2400) {
		static const int len[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
		char text[TIME_RFC3339_LEN], want[48];
		time_rfc3339(ms, text);
		(void)snprintf(want, sizeof want, "%04d-%02d-%02dT00:00:00.000Z", y, m, d);
		CHECK_EQ_Z(text, want);
		bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
		if (++d > len[m - 1] + (m == 2 && leap)) {
			d = 1;
			if (++m > 12) {
				m = 1;
				y++;
			}
		}
		ms += 86400000;
	}
}

TEST(far_instants_are_clamped)
{
	char text[TIME_RFC3339_LEN];
	time_rfc3339(INT64_MAX, text);
	CHECK_EQ_Z(text, "9999-12-31T23:59:59.999Z");
	time_rfc3339(INT64_MIN, text);
	CHECK_EQ_Z(text, "0000-01-01T00:00:00.000Z");
}

static int64_t wall(void) { return 1234; }
static int64_t mono(void) { return 5678000000; }

TEST(clocks_run_and_can_be_replaced)
{
	int64_t a = time_mono_ns(), b = time_mono_ns();
	CHECK(a > 0 && b >= a);
	CHECK(time_now_ms() > 1700000000000);
	time_set_source(wall, mono);
	CHECK_EQ_INT(time_now_ms(), 1234);
	CHECK_EQ_INT(time_mono_ms(), 5678);
	time_set_source(NULL, NULL);
	CHECK(time_now_ms() > 1700000000000);
}
