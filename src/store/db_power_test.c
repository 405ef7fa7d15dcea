/* Power cuts under group commits: bench/powercut runs the same check a thousand times. */
#include "store/powercut.h"
#include "tests/test.h"

TEST_TIMEOUT(every_acknowledged_write_survives_sixty_power_cuts, 120)
{
	struct powercut_figures f = { 0 };
	for (uint64_t seed = 1; seed <= 15; seed++) {
		const char *why = powercut_round(seed, &f);
		if (why)
			FAIL("seed %llu: %s", (unsigned long long)seed, why);
	}
	CHECK(f.acknowledged > 1000);
	CHECK(f.kept_unacknowledged + f.lost_unacknowledged > 10); /* cuts hit writes under way */
}
