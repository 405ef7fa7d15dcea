/* base/time.h - one clock. Wall time is Unix ms; durations come from the monotonic clock. */
#pragma once

#include "base/buf.h"

int64_t time_now_ms(void);  /* wall, Unix ms */
int64_t time_mono_ms(void); /* monotonic */
int64_t time_mono_ns(void);
/* Tests replace both clocks; NULL goes back. Process-wide, set before threads start. */
void time_set_source(int64_t (*wall_ms)(void), int64_t (*mono_ns)(void));
enum { TIME_RFC3339_LEN = 31 }; /* "2026-11-23T12:00:00.123456789Z" with terminator */
void time_rfc3339(int64_t unix_ms, char dst[TIME_RFC3339_LEN]); /* UTC, ms: ...00.123Z */
enum err time_parse_rfc3339(struct str s, int64_t *ret_ms); /* ERR_INVALID */
