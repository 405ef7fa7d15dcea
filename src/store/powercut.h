/* store/powercut.h - one simulated power cut under load, for the unit test and bench/powercut.
 *
 * A database on the fault disk; threads write numbered rows (some in groups of several rows that
 * must stay together, some large enough to spill, checkpoints in between); after a number of disk
 * operations that the seed chooses the power goes; the disk comes back with what the seed left of
 * unsynced writes; then every acknowledged row must be there, groups whole, pages and references
 * intact. Several cuts follow each other on the same disk, so that logs with leftovers are met. */
#pragma once

#include <stdint.h>

struct powercut_figures {
	uint64_t cuts, acknowledged, kept_unacknowledged, lost_unacknowledged, checked_rows;
};
/* NULL when all held; else what did not (static text). Adds to `f`. */
const char *powercut_round(uint64_t seed, struct powercut_figures *f);
