/* RFC 3339 times: what is taken prints as a text that gives the same instant. */
#include "base/time.h"
#include "tests/fuzz/fuzz.h"

FUZZ
{
	int64_t ms, again;
	char text[TIME_RFC3339_LEN];
	if (time_parse_rfc3339((struct str){ (const char *)data, size }, &ms) != OK)
		return;
	time_rfc3339(ms, text);
	/* a zone may push an instant out of the years that the format has: those are clamped */
	bool in_range = ms >= -62167219200000 && ms <= 253402300799999;
	if (time_parse_rfc3339(str_from(text), &again) != OK || (in_range && again != ms))
		DIE("an instant does not come back");
}
