/* bench/powercut - many simulated power cuts: every acknowledged write must be there afterwards.
 *
 *   powercut_bench [CUTS] [SEED]       default 1000 1; prints figures, exits 1 at the first loss */
#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/time.h"
#include "store/powercut.h"

int main(int argc, char **argv)
{
	uint64_t cuts = 1000, seed = 1;
	struct powercut_figures f = { 0 };
	int64_t begun = time_mono_ms();
	bool ok = (argc <= 1 || !str_to_u64(str_from(argv[1]), &cuts)) &&
		  (argc <= 2 || !str_to_u64(str_from(argv[2]), &seed));
	if (!ok || crypto_init()) {
		fprintf(stderr, "usage: powercut_bench [CUTS] [SEED]\n");
		return 2;
	}
	for (; f.cuts < cuts; seed++) {
		const char *why = powercut_round(seed, &f);
		if (why) {
			fprintf(stderr, "powercut: seed %llu: %s\n", (unsigned long long)seed, why);
			return 1;
		}
	}
	printf("{\"cuts\":%llu,\"acknowledged\":%llu,\"lost\":0,\"under_way_kept\":%llu,"
	       "\"under_way_lost\":%llu,\"rows_checked\":%llu,\"seconds\":%.1f}\n",
	       (unsigned long long)f.cuts, (unsigned long long)f.acknowledged,
	       (unsigned long long)f.kept_unacknowledged, (unsigned long long)f.lost_unacknowledged,
	       (unsigned long long)f.checked_rows, (double)(time_mono_ms() - begun) / 1000);
	return 0;
}
