#include "models/ranges.h"

#include <string.h>

/* First piece whose end is at or after `at`: the one a range from there may touch. */
static size_t lower(const struct ranges *r, uint64_t at)
{
	size_t lo = 0, hi = r->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (r->at[mid].to < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

enum err ranges_add(struct ranges *r, uint64_t from, uint64_t to)
{
	if (from > to)
		return ERR_INVALID;
	if (from == to)
		return OK;
	size_t first = lower(r, from), last = first;
	while (last < r->n && r->at[last].from <= to)
		last++;
	if (first == last) { /* touches nothing: a piece of its own */
		if (r->n == WRITER_RANGES_MAX)
			return ERR_LIMIT;
		memmove(&r->at[first + 1], &r->at[first], (r->n - first) * sizeof r->at[0]);
		r->at[first] = (struct writer_range){ from, to };
		r->n++;
		return OK;
	}
	if (r->at[first].from < from)
		from = r->at[first].from;
	if (r->at[last - 1].to > to)
		to = r->at[last - 1].to;
	r->at[first] = (struct writer_range){ from, to };
	memmove(&r->at[first + 1], &r->at[last], (r->n - last) * sizeof r->at[0]);
	r->n -= last - first - 1;
	return OK;
}

uint64_t ranges_total(const struct ranges *r)
{
	uint64_t n = 0;
	for (size_t i = 0; i < r->n; i++)
		n += r->at[i].to - r->at[i].from;
	return n;
}

uint64_t ranges_reach(const struct ranges *r, uint64_t at)
{
	size_t i = lower(r, at + 1);
	return i < r->n && r->at[i].from <= at ? r->at[i].to : at;
}

size_t ranges_gaps(const struct ranges *r, uint64_t size, struct writer_range *ret, size_t max)
{
	uint64_t at = 0;
	size_t n = 0;
	for (size_t i = 0; i < r->n && n < max; i++) {
		if (r->at[i].from > at)
			ret[n++] = (struct writer_range){ at, r->at[i].from };
		at = r->at[i].to;
	}
	if (at < size && n < max)
		ret[n++] = (struct writer_range){ at, size };
	return n;
}
