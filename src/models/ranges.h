/* models/ranges.h - a small ordered set of disjoint byte ranges: what of a file is there.
 *
 * Half-open, merged when they touch. Pure; memory is fixed and inside. */
#pragma once

#include "models/writer.h"

struct ranges {
	size_t n;
	struct writer_range at[WRITER_RANGES_MAX];
};
/* Errors: ERR_INVALID (from > to), ERR_LIMIT (too many pieces); then unchanged. */
enum err ranges_add(struct ranges *r, uint64_t from, uint64_t to);
uint64_t ranges_total(const struct ranges *r);
/* End of the piece that holds byte `at`, or `at` when it is missing. */
uint64_t ranges_reach(const struct ranges *r, uint64_t at);
/* The missing pieces of [0, size), the first `max` of them; returns how many. */
size_t ranges_gaps(const struct ranges *r, uint64_t size, struct writer_range *ret, size_t max);
